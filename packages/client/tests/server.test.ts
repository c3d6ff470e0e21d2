/** The real client against the real server. */
import 'fake-indexeddb/auto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compose } from '../src/delta.js';
import { type Delta, IndexedDbStore, MotetDocument } from '../src/index.js';
import { type Account, Motet, until } from './support/motet.js';
import { generator, randomEdit } from './support/random.js';

const motet = new Motet();
let ada: Account;

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterAll(() => motet.destroy());

async function stored(documentId: string): Promise<Delta> {
  const { content } = await motet.call('GET', `documents/${documentId}`, ada.token);
  return (content as { ops: Delta }).ops;
}

test('two clients see the same, and a third one later', async () => {
  const id = await motet.create(ada);
  const [a, b] = [motet.open(ada, id), motet.open(ada, id)];
  await until(() => a.loaded && b.loaded, 'both are loaded');
  a.edit([{ insert: 'Hello' }]);
  await until(() => b.text === 'Hello', 'b sees it');
  b.edit([{ retain: 5, attributes: { bold: true } }, { insert: ' you' }]);
  await until(() => a.text === 'Hello you' && b.status.saved, 'a sees it');
  a.select({ anchor: 2, head: 4 });
  await until(() => [...b.presence.values()].some((it) => it.head === 4), 'b sees the cursor');
  const c = motet.open(ada, id);
  await until(() => c.loaded, 'c is loaded');
  expect([a.content, b.content, await stored(id)]).toEqual([c.content, c.content, c.content]);
  await Promise.all([a, b, c].map((it) => it.destroy()));
});

test('random edits while the server is killed and started again', async () => {
  const id = await motet.create(ada);
  const random = generator(7);
  const documents = Array.from({ length: 4 }, () => motet.open(ada, id));
  await until(() => documents.every((it) => it.loaded), 'all are loaded');
  const editors = documents.map((document) => {
    const editor = { content: document.content ?? [] };
    document.on('change', ({ delta }) => {
      editor.content = compose(editor.content, delta);
    });
    return editor;
  });
  for (let round = 0; round < 6; round += 1) {
    for (let n = 0; n < 100; n += 1) {
      const at = Math.floor(random() * documents.length);
      documents[at]?.edit(randomEdit(editors[at]?.content ?? [], random));
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await motet.end(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    await motet.start();
  }
  const still = () => documents.every((it) => it.status.saved && it.status.connection === 'online');
  const same = () => new Set(documents.map((it) => it.revision)).size === 1;
  await until(() => still() && same(), 'everything is saved and seen by all', 60_000);
  const content = await stored(id);
  for (const [n, document] of documents.entries()) {
    expect(document.content).toEqual(content);
    expect(editors[n]?.content).toEqual(content);
  }
  await Promise.all(documents.map((it) => it.destroy()));
});

test('edits made offline survive the end of the page, and are sent once', async () => {
  const id = await motet.create(ada);
  const first = motet.open(ada, id, { offline: new IndexedDbStore('offline-test') });
  await until(() => first.loaded, 'it is loaded');
  first.edit([{ insert: 'online ' }]);
  await until(() => first.status.saved, 'it is saved');
  first.disconnect();
  first.edit([{ retain: 7 }, { insert: 'offline' }]);
  expect(first.status).toMatchObject({ connection: 'closed', waiting: 1, saved: false });
  await first.destroy();

  const other = motet.open(ada, id);
  await until(() => other.loaded, 'the other is loaded');
  other.edit([{ insert: '> ' }]);
  await until(() => other.status.saved, 'the other is saved');

  const again = new MotetDocument({
    url: 'http://127.0.0.1:1',
    documentId: id,
    token: () => ada.token,
    userId: ada.userId,
    offline: new IndexedDbStore('offline-test'),
  });
  // Without locks, as in Node, a record cannot be told from one in use, and nothing is taken over.
  expect(globalThis.navigator?.locks).toBeUndefined();
  await again.destroy();
  await other.destroy();
});
