// The real client core behind a pipe, for the simulator: one JSON request a line, one answer a line.
//
//   {"op":"reset"}                                       forgets every client
//   {"op":"start","client":C}                            a client that has seen nothing
//   {"op":"edit","client":C,"dice":[x,y,z]}              a random edit; dice are numbers in [0, 1)
//   {"op":"select","client":C,"dice":[x]}                moves the cursor
//   {"op":"message","client":C,"message":{…}}            a message of the server has arrived
//   {"op":"disconnected","client":C}                     the connection is lost
//   {"op":"reload","client":C,"dice":[x]}                crashed, and opened again from what was saved,
//                                                        perhaps some inputs ago
//   {"op":"state","client":C}                            answered with the whole state
//
// Answers hold what the client sends and what its submissions were committed as:
// {"send":[…],"acknowledged":[…],"resume":B,"revision":N|null,"pending":B}. A revision of null asks for the content on
// joining; `pending` says that a submission follows; `resume` asks for a new connection.
import { createInterface } from 'node:readline';
import {
  document,
  hasPending,
  localPresence,
  restore,
  save,
  start,
  step,
  waiting,
} from '../dist/core.js';
import { compose, cuts, length, normal, text } from '../dist/delta.js';

/** A browser stores a state some time after it was reached. */
const KEPT = 4;
const WORDS = ['a', 'bc', '\n', 'é', '😀', 'x😀y'];
const clients = new Map();

/** Each embed has a name of its own, which shows whether an edit was made twice. */
let embeds = 0;

function randomEdit(content, [where, what, word]) {
  const whole = text(content);
  const boundary = (at) => (cuts(whole, at) ? at - 1 : at);
  const start = boundary(Math.floor(where * (length(content) + 1)));
  const end = boundary(Math.min(length(content), start + Math.floor(word * 5)));
  const count = Math.max(0, end - start);
  if (what < 0.55)
    return normal([{ retain: start }, { insert: WORDS[Math.floor(word * WORDS.length)] }]);
  if (what < 0.62) {
    embeds += 1;
    return normal([{ retain: start }, { insert: { image: embeds } }]);
  }
  if (what < 0.85 || count === 0) return normal([{ retain: start }, { delete: count }]);
  return normal([
    { retain: start },
    { retain: count, attributes: { bold: what < 0.95 ? true : null } },
  ]);
}

/** Takes an input, and keeps an editor beside the core to check that it shows the same. */
function take(client, input) {
  const answer = { send: [], acknowledged: [], resume: false };
  const [sync, effects] = step(client.sync, input);
  client.sync = sync;
  for (const effect of effects) {
    if (effect.type === 'send') answer.send.push(effect.message);
    if (effect.type === 'acknowledged') answer.acknowledged.push(effect.revision);
    if (effect.type === 'resume') answer.resume = true;
    if (effect.type === 'load') client.editor = document(sync);
    if (effect.type === 'change') client.editor = compose(client.editor, effect.delta);
  }
  client.kept = [sync, ...client.kept].slice(0, KEPT);
  return answer;
}

function perform(request) {
  if (request.op === 'reset') {
    clients.clear();
    embeds = 0;
  }
  if (request.op === 'start')
    clients.set(request.client, { sync: start(request.client), editor: undefined, kept: [] });
  const client = clients.get(request.client);
  if (!client) return {};
  let answer = { send: [], acknowledged: [] };
  switch (request.op) {
    case 'edit': {
      if (!client.sync.content) break;
      const delta = randomEdit(client.editor, request.dice);
      if (delta.length === 0) break;
      client.editor = compose(client.editor, delta);
      answer = take(client, { type: 'edit', delta });
      break;
    }
    case 'select': {
      if (!client.sync.content) break;
      const head = Math.floor(request.dice[0] * (length(client.editor) + 1));
      answer = take(client, { type: 'select', selection: { anchor: head, head } });
      break;
    }
    case 'message':
      answer = take(client, { type: 'message', message: request.message });
      break;
    case 'disconnected':
      answer = take(client, { type: 'disconnected' });
      break;
    case 'reload': {
      const at = Math.floor(request.dice[0] * client.kept.length);
      const saved = client.kept[at] && save(client.kept[at]);
      if (!saved) break;
      client.sync = restore(JSON.parse(JSON.stringify(saved)));
      client.editor = document(client.sync);
      client.kept = [];
      break;
    }
    case 'state':
      return {
        content: document(client.sync) ?? null,
        editor: client.editor ?? null,
        revision: client.sync.revision,
        waiting: waiting(client.sync),
        presence: [...localPresence(client.sync).keys()],
      };
  }
  answer.revision = client.sync.content ? client.sync.revision : null;
  answer.pending = hasPending(client.sync);
  return answer;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(perform(JSON.parse(line)))}\n`);
}
