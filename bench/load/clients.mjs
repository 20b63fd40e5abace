// The official Socket.IO client, from the packages of tests/js, many times over.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const { io } = createRequire(new URL("../../tests/js/package.json", import.meta.url))("socket.io-client");
const ROOM = "team";

export { sleep };

async function enter(url, { token, id, role }, onSocket) {
  const socket = io(url, {
    auth: { token },
    transports: ["websocket"],
    forceNew: true,
    reconnection: false,
    perMessageDeflate: false,
  });
  onSocket(socket);
  await new Promise((connected, failed) => {
    socket.once("connect", connected);
    socket.once("connect_error", (error) => failed(new Error(error.data?.code ?? error.message)));
  });
  const answer = await socket.emitWithAck("join_room", { userId: id, role });
  if (answer.room !== ROOM) throw new Error(answer.code ?? JSON.stringify(answer));
  return socket;
}

/** So many clients, the people of the file by turns, `atOnce` of them connecting at any time. */
export async function crowd(url, file, size, { atOnce = 20, onSocket = () => {} } = {}) {
  const people = JSON.parse(readFileSync(file, "utf8"));
  const sockets = [];
  const failures = [];
  let next = 0;
  async function worker() {
    while (next < size) {
      const person = people[next++ % people.length];
      try {
        sockets.push(await enter(url, person, onSocket));
      } catch (error) {
        failures.push(error.message);
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker));
  return { sockets, failures };
}

export async function say(socket, message, clientId) {
  const answer = await socket.emitWithAck("send_message", { message, room: ROOM, clientId });
  if (answer.code) throw new Error(`refused: ${answer.code}`);
}

export function times(list) {
  const sorted = list.toSorted((a, b) => a - b);
  const at = (share) => Number((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(2));
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

export const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
