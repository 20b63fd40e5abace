// idle.mjs URL PEOPLE_FILE CLIENTS [HOLD_MS]
// Clients who only listen. The first line says that they are all there and how long that took: then is the time to
// look at the server's memory. The second says whether they stayed, and how one message reached them all.

import { crowd, say, sleep, tell, times } from "./clients.mjs";

const [url, file, clients, hold = "6000"] = process.argv.slice(2);
let lost = 0;
const begin = performance.now();
const { sockets, failures } = await crowd(url, file, Number(clients), {
  atOnce: 25,
  onSocket: (socket) => socket.on("disconnect", () => lost++),
});
const seconds = (performance.now() - begin) / 1000;
tell({ up: sockets.length, failed: failures.length, why: failures[0], seconds: Number(seconds.toFixed(2)) });
if (sockets.length === 0) process.exit(1);

await sleep(Number(hold));
const delays = [];
const at = performance.now();
for (const socket of sockets) socket.on("new_message", () => delays.push(performance.now() - at));
await say(sockets[0], "To all");
await sleep(3000);
tell({ stillUp: sockets.length - lost, got: delays.length, ...times(delays) });
process.exit(0);
