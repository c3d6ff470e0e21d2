/** The real client and the real server with a network between them that blocks WebSockets. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { compose } from '../src/delta.js';
import type { MotetDocument } from '../src/index.js';
import { type Account, Motet, until } from './support/motet.js';
import { type Block, Network } from './support/network.js';
import { generator, randomEdit } from './support/random.js';

const motet = new Motet();
let ada: Account;

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterAll(() => motet.destroy());

async function behind(block: Block): Promise<Network> {
  const network = await Network.to(motet.url);
  network.block = block;
  onTestFinished(() => network.close());
  return network;
}

/** Everything that a user sees of the connection. */
function seen(document: MotetDocument): string[] {
  const connections: string[] = [];
  document.on('status', ({ connection }) => {
    if (connections.at(-1) !== connection) connections.push(connection);
  });
  return connections;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test.each([
  'refuse',
  'swallow',
  'mute',
  'cut',
] as const)('falls back to an event stream where a proxy does this to WebSockets: %s', async (block) => {
  const network = await behind(block);
  const id = await motet.create(ada);
  const socket = motet.open(ada, id);
  const stream = motet.open(ada, id, { url: network.url });
  // One that is cut has worked, and is given up only when that happens again and again.
  await until(() => stream.carrier === 'sse', 'an event stream carries it');
  await until(() => socket.loaded && stream.loaded, 'both are loaded');
  stream.edit([{ insert: 'stream' }]);
  await until(() => socket.text === 'stream', 'the socket has it');
  socket.edit([{ insert: 'socket and ' }]);
  await until(() => stream.text === 'socket and stream', 'the stream has it');
  stream.select({ anchor: 1, head: 3 });
  await until(() => [...socket.presence.values()].some((it) => it.head === 3), 'the cursor too');
  await until(() => stream.status.saved && socket.status.saved, 'both are saved');
  expect([socket.carrier, stream.carrier]).toEqual(['websocket', 'sse']);
  // What one document has found out, the next one knows.
  const next = motet.open(ada, id, { url: network.url });
  const connections = seen(next);
  await until(() => next.loaded, 'the next is loaded');
  expect([next.carrier, connections]).toEqual(['sse', ['online']]);
  await Promise.all([socket, stream, next].map((it) => it.destroy()));
});

test('converges while streams break and answers get lost', async () => {
  const networks = [await behind('refuse'), await behind('refuse')];
  const id = await motet.create(ada);
  const random = generator(11);
  const documents = [
    motet.open(ada, id),
    ...networks.map((network) => motet.open(ada, id, { url: network.url })),
  ];
  await until(() => documents.every((it) => it.loaded), 'all are loaded');
  const editors = documents.map((document) => {
    const editor = { content: document.content ?? [] };
    document.on('change', ({ delta }) => {
      editor.content = compose(editor.content, delta);
    });
    return editor;
  });
  for (const network of networks) {
    network.random = random;
    network.unanswered = 0.2;
  }
  for (let round = 0; round < 6; round += 1) {
    for (let n = 0; n < 100; n += 1) {
      const at = Math.floor(random() * documents.length);
      documents[at]?.edit(randomEdit(editors[at]?.content ?? [], random));
      if (n % 4 === 0) await turn();
    }
    const network = networks[round % networks.length];
    await until(() => documents.every((it) => it.status.connection === 'online'), 'all are online');
    network?.cut();
  }
  for (const network of networks) network.unanswered = 0;
  const still = () => documents.every((it) => it.status.saved && it.status.connection === 'online');
  const same = () => new Set(documents.map((it) => it.revision)).size === 1;
  await until(() => still() && same(), 'everything is saved and seen by all');
  const { content } = await motet.call('GET', `documents/${id}`, ada.token);
  for (const [n, document] of documents.entries()) {
    expect({ ops: document.content }).toEqual(content);
    expect({ ops: editors[n]?.content }).toEqual(content);
  }
  await Promise.all(documents.map((it) => it.destroy()));
});

test('returns to a WebSocket in the middle of typing, and nobody notices', async () => {
  const network = await behind('refuse');
  const id = await motet.create(ada);
  const [writer, reader] = [motet.open(ada, id, { url: network.url }), motet.open(ada, id)];
  await until(() => writer.carrier === 'sse' && reader.loaded, 'both are there');
  const connections = seen(writer);
  const people: number[] = [];
  writer.on('presence', () => people.push(writer.presence.size));
  await until(() => writer.presence.size > 0, 'the writer sees the reader');
  people.length = 0;
  network.block = 'none';
  let typed = '';
  for (let n = 0; writer.carrier === 'sse' || n % 100 !== 0; n += 1) {
    const letter = String.fromCharCode(97 + (n % 26));
    // Where others type meanwhile, order is theirs as well; here it is not.
    writer.edit(
      typed.length > 0 ? [{ retain: typed.length }, { insert: letter }] : [{ insert: letter }],
    );
    typed += letter;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await until(() => writer.status.saved && reader.text === typed, 'the reader has all of it');
  expect(writer.text).toBe(typed);
  expect([writer.carrier, network.sockets > 1]).toEqual(['websocket', true]);
  expect([connections, people.includes(0)]).toEqual([['online'], false]);
  await Promise.all([writer, reader].map((it) => it.destroy()));
});

test('a favourite that works for a moment only is not returned to for long', async () => {
  const network = await behind('mute');
  const id = await motet.create(ada);
  const document = motet.open(ada, id, { url: network.url });
  await until(() => document.carrier === 'sse' && document.loaded, 'an event stream carries it');
  const [connections, tried] = [seen(document), network.sockets];
  document.edit([{ insert: 'abc' }]);
  await until(() => network.sockets > tried, 'a WebSocket has been tried again');
  document.edit([{ insert: 'def' }]);
  await until(() => document.status.saved, 'it is saved');
  expect(document.text).toBe('defabc');
  expect([document.carrier, connections]).toEqual(['sse', ['online']]);
  await document.destroy();
});

test('a token is renewed, and one that runs out is replaced', async () => {
  const short = new Motet('--access-token-seconds', '2');
  onTestFinished(() => short.destroy());
  await short.start();
  const ben = await short.register('ben');
  const id = await short.create(ben);
  let { token } = ben;
  const document = short.open(ben, id, {
    transports: ['sse'],
    token: async (refused) => {
      if (refused) {
        const body = { email: 'ben@example.com', password: 'a good password' };
        token = (await short.call('POST', 'auth/login', undefined, body)).token as string;
      }
      return token;
    },
  });
  let edits = 0;
  const end = Date.now() + 6_000;
  while (Date.now() < end) {
    if (document.loaded && document.status.saved) {
      document.edit([{ insert: 'x' }]);
      edits += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await until(() => document.status.saved, 'it is saved');
  expect(document.text).toBe('x'.repeat(edits));
  expect(document.carrier).toBe('sse');
  await document.destroy();
});

test('comes back when the server does, and is told when it may not', async () => {
  const id = await motet.create(ada);
  const document = motet.open(ada, id, { transports: ['sse'] });
  await until(() => document.loaded, 'it is loaded');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await motet.end(signal);
    document.edit([{ insert: 'x' }]);
    await motet.start();
    await until(() => document.status.saved, 'it is saved');
  }
  expect(document.text).toBe('xx');
  await motet.call('DELETE', `documents/${id}`, ada.token);
  await until(() => document.status.connection === 'closed', 'it is closed');
  expect(document.status.reason).toBe('not_found');
  await document.destroy();
});

test('an edit that is too large is taken back', async () => {
  const small = new Motet('--message-bytes-max', '4096');
  onTestFinished(() => small.destroy());
  await small.start();
  const ben = await small.register('ben');
  const id = await small.create(ben);
  const document = small.open(ben, id, { transports: ['sse'] });
  await until(() => document.loaded, 'it is loaded');
  const refused: string[] = [];
  document.on('rejected', ({ code }) => refused.push(code));
  document.edit([{ insert: 'x'.repeat(5_000) }]);
  await until(() => refused.length > 0, 'it is refused');
  document.edit([{ insert: 'small' }]);
  await until(() => document.status.saved, 'the next is saved');
  expect([refused, document.text]).toEqual([['too_large'], 'small']);
  await document.destroy();
});
