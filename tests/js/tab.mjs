// One tab of a browser for tests/tabs.py: it runs the code of README.md and docs/live.md, and does what it is told.

import { createInterface } from "node:readline";

const [folder, url, ...events] = process.argv.slice(2);
const stored = new Map();
globalThis.VITE_API_URL = url;
globalThis.localStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
  removeItem: (key) => stored.delete(key),
};
const api = await import(`${folder}/api.js`);
const { IdyllLive, Refusal } = await import(`${folder}/live.js`);
const { start } = await import(`${folder}/start.js`);
let live;
let shown;

function tell(kind, name, content) {
  process.stdout.write(`tab\t${kind}\t${name}\t${process.hrtime.bigint()}\t${JSON.stringify(content)}\n`);
}

function listen(opened) {
  live = opened;
  for (const name of events) live.on(name, (data) => tell("event", name, data));
}

const commands = {
  signIn: (login, password) => api.login(login, password),
  signOut: () => api.logout(),
  get: (path) => api.get(path),
  start: async () => {
    shown = await start();
    listen(shown.live);
  },
  // With a token that ends soon, from the time before the tab was reloaded.
  open: ({ token, seconds, ...options }) => {
    const ends = Date.now() + seconds * 1000;
    const given = async (left) => (token && Date.now() + left * 1000 < ends ? token : api.token(left));
    listen(new IdyllLive({ url, token: given, ...options }));
  },
  shown: () => ({ tasks: [...shown.tasks.values()], messages: [...shown.messages.values()] }),
  // Loads that fail at first, and how often they ran.
  loadBadly: (failures) => live.load(async () => {
    tell("event", "loaded", failures);
    if (failures-- > 0) throw new Error("the list did not come");
  }) && null,
  state: () => live.state,
  live: (method, ...args) => live[method](...args),
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { do: command, id, args } = JSON.parse(line);
    try {
      tell("ack", id, { error: null, answers: [(await commands[command](...args)) ?? null] });
    } catch (error) {
      const answer = error instanceof Refusal ? { refused: error.problem } : null;
      tell("ack", id, { error: answer ? null : String(error.stack), answers: [answer] });
    }
  })
  .on("close", () => process.exit(0));
