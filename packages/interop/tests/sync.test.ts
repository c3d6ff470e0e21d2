/** What every provider does all day: load, edit, show cursors, lose the network and come back. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Account, Motet, until } from '../../client/tests/support/motet.js';
import { type Open, PEERS, type Peer } from './support/peers.js';

const motet = new Motet();
let ada: Account;
let documentId: string;
let peers: Peer[] = [];

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterEach(() => {
  for (const peer of peers) peer.destroy();
  peers = [];
});
afterAll(() => motet.destroy());

/** Opens peers on a new document, each when the one before is synced. */
async function open(...kinds: Open[]): Promise<Peer[]> {
  documentId = await motet.create(ada);
  for (const kind of kinds) await join(kind);
  return peers;
}

async function join(kind: Open): Promise<Peer> {
  const peer = kind({ url: motet.url, documentId, token: ada.token });
  peers.push(peer);
  await until(() => peer.synced(), 'the peer is synced');
  return peer;
}

/** The peers' names in the eyes of one of them. */
function seen(peer: Peer): string[] {
  const states = [...peer.awareness.getStates().values()];
  return states.flatMap(({ user }) => (user ? [user.name as string] : [])).sort();
}

describe.each(PEERS)('%s', (_name, kind) => {
  test('two see each other’s edits, and a third one finds them', async () => {
    const [a, b] = await open(kind, kind);
    if (!a || !b) throw new Error('two peers');
    a.text.insert(0, 'Hello');
    await until(() => b.text.toString() === 'Hello', 'b sees it');
    b.text.insert(5, ' you');
    b.text.format(0, 5, { bold: true });
    await until(() => a.text.toString() === 'Hello you', 'a sees it');
    const c = await join(kind);
    const content = [{ insert: 'Hello', attributes: { bold: true } }, { insert: ' you' }];
    for (const peer of [a, b, c]) expect(peer.text.toDelta()).toEqual(content);
  });

  test('roots and types beside the text are kept', async () => {
    const [a] = await open(kind);
    if (!a) throw new Error('a peer');
    a.doc.transact(() => {
      a.doc.getMap('settings').set('deep', new Y.Map([['answer', 42]]));
      a.doc.getArray('list').insert(0, [1, 'two', null, { three: true }, new Uint8Array([4])]);
      const paragraph = new Y.XmlElement('paragraph');
      a.doc.getXmlFragment('prosemirror').insert(0, [paragraph]);
      paragraph.insert(0, [new Y.XmlText('in a paragraph')]);
      a.text.insert(0, '😀');
    });
    const b = await join(kind);
    expect(b.doc.getMap('settings').toJSON()).toEqual({ deep: { answer: 42 } });
    expect(b.doc.getArray('list').toJSON()).toEqual(a.doc.getArray('list').toJSON());
    expect(b.doc.getXmlFragment('prosemirror').toString()).toBe(
      '<paragraph>in a paragraph</paragraph>',
    );
    expect(b.text.toString()).toBe('😀');
  });

  test('cursors are shown both ways, and go with their owner', async () => {
    const [a, b] = await open(kind, kind);
    if (!a || !b) throw new Error('two peers');
    a.awareness.setLocalStateField('user', { name: 'Ada' });
    b.awareness.setLocalStateField('user', { name: 'Ben' });
    const both = ['Ada', 'Ben'];
    await until(() => [a, b].every((peer) => `${seen(peer)}` === `${both}`), 'both are seen');
    // One who comes later is told at once, not when the others move.
    const c = await join(kind);
    await until(() => `${seen(c)}` === `${both}`, 'the third one sees both');
    await b.leave();
    await until(() => `${seen(a)}` === 'Ada', 'who has left is gone');
  });

  test('who comes back does not take the others’ cursors away', async () => {
    const [a, b, c] = await open(kind, kind, kind);
    if (!a || !b || !c) throw new Error('three peers');
    a.awareness.setLocalStateField('user', { name: 'Ada' });
    b.awareness.setLocalStateField('user', { name: 'Ben' });
    await until(() => seen(c).length === 2 && seen(b).length === 2, 'both are seen');
    const lost: number[] = [];
    c.awareness.on('change', ({ removed }: { removed: number[] }) => lost.push(...removed));
    b.cut();
    await until(() => !b.synced(), 'b is cut off');
    await until(() => b.synced(), 'b is back');
    b.awareness.setLocalStateField('user', { name: 'Ben again' });
    await until(() => `${seen(c)}` === 'Ada,Ben again', 'b is seen again');
    expect(lost).not.toContain(a.doc.clientID);
  });

  test('edits made offline arrive, and those of the others too', async () => {
    const [a, b] = await open(kind, kind);
    if (!a || !b) throw new Error('two peers');
    a.text.insert(0, 'base\n');
    await until(() => b.text.length === 5, 'b sees it');
    await a.leave();
    for (let n = 0; n < 20; n += 1) a.text.insert(a.text.length, `${n},`);
    b.text.insert(0, 'meanwhile\n');
    a.comeBack();
    await until(() => a.synced(), 'a is back');
    const all = `meanwhile\nbase\n${Array.from({ length: 20 }, (_, n) => `${n},`).join('')}`;
    await until(() => [a, b].every((it) => it.text.toString() === all), 'both have everything');
  });

  test('edits go on through restarts, and none is lost or doubled', async () => {
    const [a, b] = await open(kind, kind);
    if (!a || !b) throw new Error('two peers');
    a.text.insert(0, '|');
    await until(() => b.text.length === 1, 'b sees where a ends');
    for (let round = 0; round < 4; round += 1) {
      for (let n = 0; n < 25; n += 1) {
        a.text.insert(0, 'a');
        b.text.insert(b.text.length, 'b');
        if (n === 12) await motet.end(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
        await new Promise((resolve) => setImmediate(resolve));
      }
      await motet.start();
      await until(() => a.synced() && b.synced(), 'both are back');
    }
    const all = `${'a'.repeat(100)}|${'b'.repeat(100)}`;
    await until(() => [a, b].every((it) => it.text.toString() === all), 'both have everything');
    expect((await join(kind)).text.toString()).toBe(all);
  });

  test('a large paste arrives whole', async () => {
    const [a, b] = await open(kind, kind);
    if (!a || !b) throw new Error('two peers');
    const page = 'The quick brown fox jumps over the lazy dog.\n'.repeat(20_000);
    a.text.insert(0, page);
    await until(() => b.text.length === page.length, 'b has it');
    expect(b.text.toString()).toBe(page);
  });
});

test('every provider is in one document with every other', async () => {
  const all = await open(...PEERS.map(([, kind]) => kind));
  for (const [n, peer] of all.entries()) {
    peer.text.insert(peer.text.length, `${n}`);
    peer.awareness.setLocalStateField('user', { name: `${n}` });
    await until(() => all.every((it) => it.text.length === n + 1), `edit ${n} is seen by all`);
  }
  await until(() => all.every((it) => seen(it).length === all.length), 'all cursors are seen');
});
