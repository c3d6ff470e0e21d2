// The real client core behind a pipe, for the simulator: one JSON request a line, one answer a line.
//
//   {"op":"reset"}                                       forgets every client
//   {"op":"start","client":C}                            a client that has seen nothing; with "yjs":ID
//                                                        one of Yjs, see yjs.mjs
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
import { compose, length } from '../dist/delta.js';
import { randomEdit, reset } from './edits.mjs';
import { YjsClient } from './yjs.mjs';

/** A browser stores a state some time after it was reached. */
const KEPT = 4;
const clients = new Map();

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
    reset();
  }
  if (request.op === 'start') {
    const { client, yjs } = request;
    const fresh = { sync: start(client), editor: undefined, kept: [] };
    clients.set(client, yjs === undefined ? fresh : new YjsClient(client, yjs));
  }
  const client = clients.get(request.client);
  if (!client) return {};
  if (client instanceof YjsClient) return client.perform(request);
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
