// fanout.mjs URL PEOPLE_FILE CLIENTS MESSAGES paced|burst|acked [RATE]
// One client of a room sends, all of them receive: deliveries a second, and milliseconds from sending to receiving.

import { crowd, say, sleep, tell, times } from "./clients.mjs";

const [url, file, clients, count, mode, rate = "20"] = process.argv.slice(2);
const messages = Number(count);
const { sockets, failures } = await crowd(url, file, Number(clients));
if (failures.length > 0) throw new Error(`${failures.length} clients did not get in: ${failures[0]}`);
await sleep(500); // until everybody was told who came

const sent = new Map();
const delays = [];
const want = sockets.length * messages;
let last = 0;
const all = new Promise((done) => {
  for (const socket of sockets) {
    socket.on("new_message", ({ clientId }) => {
      const at = sent.get(clientId);
      if (at === undefined) return;
      last = performance.now();
      delays.push(last - at);
      if (delays.length === want) done();
    });
  }
});

const begin = performance.now();
const acknowledged = [];
let refused = 0;
for (let n = 0; n < messages; n++) {
  const clientId = `fan-${process.pid}-${Date.now()}-${n}`;
  sent.set(clientId, performance.now());
  const answer = say(sockets[0], `Message ${n}: the colour grade on the second cut looks good`, clientId).catch(() => {
    refused++;
  });
  if (mode === "acked") await answer;
  else acknowledged.push(answer);
  if (mode === "paced") await sleep(Math.max(0, begin + ((n + 1) * 1000) / Number(rate) - performance.now()));
}
const spent = performance.now() - begin;
await Promise.race([Promise.all([all, ...acknowledged]), sleep(60_000, null, { ref: false })]);
tell({
  got: delays.length,
  want,
  refused,
  deliveredPerSecond: Math.round((delays.length / (last - begin)) * 1000),
  ...(mode === "acked" && { ackedPerSecond: Math.round((messages / spent) * 1000) }),
  ...times(delays),
});
process.exit(delays.length === want && refused === 0 ? 0 : 1);
