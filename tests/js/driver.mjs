// Many official Socket.IO clients for tests/sockets.py: a command a line comes in, and what clients receive goes out.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const clients = new Map();
let lines = [];

function flush() {
  process.stdout.write(lines.join("\n") + "\n");
  lines = [];
}

// Tabs between the parts: the reader can tell whose line it is without parsing the payload.
function tell(client, kind, name, content) {
  if (lines.length === 0) setImmediate(flush);
  // The clock that Python's time.monotonic() reads too.
  lines.push(`${client}\t${kind}\t${name}\t${process.hrtime.bigint()}\t${JSON.stringify(content)}`);
}

function open({ client, url, namespace, auth, options }) {
  // Asked for at every connect, so a token that the test replaced is sent with the next one.
  const held = { auth };
  clients.set(client, held);
  const given = auth === null ? {} : { auth: (send) => send(held.auth) };
  const socket = (held.socket = io(url + namespace, { forceNew: true, ...options, ...given }));
  socket.onAny((name, ...payload) => tell(client, "event", name, payload));
  socket.on("connect", () => tell(client, "connect", "", { id: socket.id }));
  socket.on("disconnect", (reason) => tell(client, "disconnect", "", { reason }));
  socket.on("connect_error", (error) =>
    tell(client, "refused", "", {
      message: error.message,
      data: error.data ?? null,
      // Of a handshake that was answered with an HTTP error; WebSockets have it in words alone.
      status: Number(/^\d+$|(?<=response: )\d+$/.exec(error.description?.message ?? error.description)?.[0]) || null,
      body: error.context?.responseText ?? null,
      final: !socket.active || !socket.io.reconnection(),
    }),
  );
}

const argument = (value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes, "base64"));

function emit({ socket }, { client, id, event, payload, timeout }) {
  const values = payload.map(argument);
  if (id === null) {
    socket.emit(event, ...values);
  } else {
    socket.timeout(timeout).emit(event, ...values, (error, ...answers) => {
      tell(client, "ack", id, { error: error?.message ?? null, answers });
    });
  }
}

// The network goes away: nothing is said to the server.
function drop({ socket }) {
  const transport = socket.io.engine?.transport;
  if (transport?.ws) {
    transport.ws.terminate();
  } else {
    transport?.onClose({ description: "dropped by the test" });
  }
}

function close({ socket }, { client }) {
  clients.delete(client);
  socket.offAny();
  for (const event of ["connect", "disconnect", "connect_error"]) socket.off(event);
  socket.disconnect();
}

function state({ socket }, { client, id }) {
  const { connected, active } = socket;
  const transport = socket.io.engine?.transport?.name ?? null;
  const answer = { connected, active, id: socket.id ?? null, transport };
  tell(client, "ack", id, { error: null, answers: [answer] });
}

const commands = {
  emit,
  drop,
  close,
  state,
  auth: (client, { auth }) => (client.auth = auth),
  connect: ({ socket }) => socket.connect(),
  disconnect: ({ socket }) => socket.disconnect(),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    if (command.do === "open") {
      open(command);
    } else if (clients.has(command.client)) {
      commands[command.do](clients.get(command.client), command);
    }
  })
  .on("close", () => process.exit(0));
