// One tab of a browser for tests/tabs.py: it has the code of README.md and docs/live.md, and does what it is told.

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

function use(opened) {
  live = opened;
  for (const name of events) live.on(name, (data) => tell("event", name, data));
  tell("event", "state", live.state);
}

const commands = {
  signIn: (login, password) => api.login(login, password),
  signOut: () => api.logout(),
  start: async () => {
    shown = await start();
    use(shown.live);
  },
  // `token` is from an earlier log-in, and taken to be good for so many seconds.
  open: ({ token, seconds = 0, ...options } = {}) => {
    const ends = Date.now() + seconds * 1000;
    const given = async (left) => (token && Date.now() + left * 1000 < ends ? token : api.token(left));
    use(new IdyllLive({ url, token: given, ...options }));
  },
  shown: () => ({ tasks: [...shown.tasks.values()], messages: [...shown.messages.values()] }),
  // A list that takes its time, and can't be had at first.
  load: (failures, milliseconds = 0) => {
    live.load(async () => {
      tell("event", "load", failures);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      if (failures > 0) throw new Error(`no list, ${failures--}`);
      tell("event", "loaded", failures);
    });
  },
  send: (text, room, clientId) => live.send(text, room, clientId ?? undefined),
  join: (room) => live.join(room),
  leave: (room) => live.leave(room),
  typing: (room, typing) => live.typing(room, typing),
  ask: (event, payload) => live.ask(event, payload),
  state: () => live.state,
  startOver: () => live.startOver(),
  close: () => live.close(),
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { do: command, id, args } = JSON.parse(line);
    try {
      tell("ack", id, { error: null, answers: [(await commands[command](...args)) ?? null] });
    } catch (error) {
      const refused = error instanceof Refusal;
      tell("ack", id, { error: refused ? null : String(error), answers: refused ? [{ refused: error.problem }] : [] });
    }
  })
  .on("close", () => process.exit(0));
