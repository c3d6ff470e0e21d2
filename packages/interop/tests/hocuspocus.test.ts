/** What only the Hocuspocus protocol has: many documents on a socket, and word of what is stored. */
import * as hocuspocus2 from 'hocuspocus-provider-2';
import * as hocuspocus3 from 'hocuspocus-provider-3';
import * as hocuspocus4 from 'hocuspocus-provider-4';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { type Account, Motet, until } from '../../client/tests/support/motet.js';
import { HOCUSPOCUS, type Peer, socketOptions } from './support/peers.js';

const motet = new Motet();
let ada: Account;
let ends: (() => void)[] = [];

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterEach(() => {
  for (const end of ends) end();
  ends = [];
});
afterAll(() => motet.destroy());

function kept<P extends Peer>(peer: P): P {
  ends.push(() => peer.destroy());
  return peer;
}

const VERSIONS = [
  ['Hocuspocus 2', hocuspocus2],
  ['Hocuspocus 3', hocuspocus3],
  ['Hocuspocus 4', hocuspocus4],
] as const;

describe.each(VERSIONS)('%s', (name, library) => {
  test('several documents share a socket, and one that is refused harms no other', async () => {
    const socket = new library.HocuspocusProviderWebsocket(socketOptions(motet.url));
    const failed: string[] = [];
    const join = (documentId: string) => {
      const options = {
        websocketProvider: socket as never,
        name: documentId,
        document: new Y.Doc(),
        token: ada.token,
        onAuthenticationFailed: () => failed.push(documentId),
        ...(name === 'Hocuspocus 2' ? { broadcast: false, preserveConnection: true } : {}),
      };
      const provider = new library.HocuspocusProvider(options);
      if ('attach' in provider) provider.attach();
      ends.push(() => provider.destroy());
      return provider;
    };
    const ids = await Promise.all(Array.from({ length: 5 }, () => motet.create(ada)));
    const first = ids.slice(0, 3).map(join);
    join('no-such-document');
    await until(() => first.every((it) => it.isSynced), 'the first three are synced');
    await until(() => failed.length === 1, 'the wrong one is refused');
    const all = [...first, ...ids.slice(3).map(join)];
    await until(() => all.every((it) => it.isSynced), 'those that joined later are synced too');
    for (const [n, it] of all.entries()) it.document.getText('content').insert(0, `document ${n}`);
    await until(() => all.every((it) => it.unsyncedChanges === 0), 'everything is stored');

    for (const [n, [, open]] of HOCUSPOCUS.entries()) {
      const documentId = ids[n] ?? '';
      const other = kept(open({ url: motet.url, documentId, token: ada.token }));
      await until(() => other.synced(), 'another client is synced');
      expect(other.text.toString()).toBe(`document ${n}`);
    }
    // One document is left; its neighbours stay.
    if (name !== 'Hocuspocus 2') {
      all[0]?.destroy();
      all[1]?.document.getText('content').insert(0, '> ');
      await until(() => all[1]?.unsyncedChanges === 0, 'a neighbour is still served');
    }
    expect(failed).toEqual(['no-such-document']);
    ends.push(() => socket.destroy());
  });

  test('a document that was closed is opened again on the same socket', async () => {
    if (name === 'Hocuspocus 2') return; // Its provider ends the socket with itself.
    const socket = new library.HocuspocusProviderWebsocket(socketOptions(motet.url));
    ends.push(() => socket.destroy());
    const documentId = await motet.create(ada);
    for (let round = 1; round <= 5; round += 1) {
      const provider = new library.HocuspocusProvider({
        websocketProvider: socket as never,
        name: documentId,
        token: ada.token,
      });
      if ('attach' in provider) provider.attach();
      await until(() => provider.isSynced, `it is synced in round ${round}`);
      provider.document.getText('content').insert(0, 'x');
      await until(() => provider.unsyncedChanges === 0, 'its edit is stored');
      expect(provider.document.getText('content').length).toBe(round);
      provider.destroy();
    }
  });

  test('a forced sync is answered', async () => {
    const documentId = await motet.create(ada);
    const socket = new library.HocuspocusProviderWebsocket(socketOptions(motet.url));
    const options = { websocketProvider: socket as never, name: documentId, token: ada.token };
    const provider = new library.HocuspocusProvider({
      ...options,
      ...(name === 'Hocuspocus 2' ? { broadcast: false } : {}),
    });
    if ('attach' in provider) provider.attach();
    ends.push(() => {
      provider.destroy();
      socket.destroy();
    });
    await until(() => provider.isSynced && provider.unsyncedChanges === 0, 'it is synced');
    provider.forceSync();
    expect(provider.unsyncedChanges).toBe(1);
    await until(() => provider.unsyncedChanges === 0, 'it is synced again');
  });
});

test('Hocuspocus 4 holds two sessions of one document on one socket', async () => {
  const socket = new hocuspocus4.HocuspocusProviderWebsocket(socketOptions(motet.url));
  const documentId = await motet.create(ada);
  const [a, b] = [0, 1].map(() => {
    const provider = new hocuspocus4.HocuspocusProvider({
      websocketProvider: socket,
      name: documentId,
      token: ada.token,
      sessionAwareness: true,
    });
    provider.attach();
    ends.push(() => provider.destroy());
    return provider;
  });
  if (!a || !b) throw new Error('two providers');
  await until(() => a.isSynced && b.isSynced, 'both are synced');
  a.document.getText('content').insert(0, 'one socket');
  await until(() => `${b.document.getText('content')}` === 'one socket', 'b sees it');
  a.destroy();
  b.document.getText('content').insert(0, 'still ');
  await until(() => b.unsyncedChanges === 0, 'b stays');
  ends.push(() => socket.destroy());
});

test('Hocuspocus 4 with a delay before it sends is told the truth, too', async () => {
  const socket = new hocuspocus4.HocuspocusProviderWebsocket(socketOptions(motet.url));
  const documentId = await motet.create(ada);
  const provider = new hocuspocus4.HocuspocusProvider({
    websocketProvider: socket,
    name: documentId,
    token: ada.token,
    flushDelay: 50,
  });
  provider.attach();
  ends.push(() => {
    provider.destroy();
    socket.destroy();
  });
  await until(() => provider.isSynced && provider.unsyncedChanges === 0, 'it is synced');
  for (let n = 0; n < 10; n += 1) provider.document.getText('content').insert(0, `${n}`);
  expect(provider.hasUnsyncedChanges).toBe(true);
  await until(() => !provider.hasUnsyncedChanges, 'everything is stored');
});

describe.each(HOCUSPOCUS)('%s and a server that is killed', (_name, open) => {
  const at = async (documentId: string) => {
    const peer = kept(open({ url: motet.url, documentId, token: ada.token }));
    await until(() => peer.synced() && peer.unsaved() === 0, 'the peer is synced');
    return peer;
  };

  /** Kills the server in the very moment in which nothing seems to wait any more. */
  async function killWhenSaved(peer: Peer): Promise<void> {
    await until(() => (peer.unsaved() ?? 0) > 0, 'something waits');
    await until(() => (peer.unsaved() ?? 0) <= 0, 'nothing waits');
    await motet.end('SIGKILL');
  }

  test('what was said to be stored is there', async () => {
    const documentId = await motet.create(ada);
    let length = 0;
    for (let round = 0; round < 5; round += 1) {
      const peer = await at(documentId);
      expect(peer.text.length).toBe(length);
      for (let n = 0; n < 30; n += 1) peer.text.insert(peer.text.length, 'x');
      length += 30;
      await killWhenSaved(peer);
      // What a peer still has must not be what saves the edit.
      peer.destroy();
      await motet.start();
    }
    expect((await at(documentId)).text.length).toBe(length);
  });

  test('what was written offline is said to be stored when all of it is', async () => {
    const documentId = await motet.create(ada);
    const peer = await at(documentId);
    await peer.leave();
    for (let n = 0; n < 200; n += 1) peer.text.insert(peer.text.length, `${n},`);
    const text = peer.text.toString();
    peer.comeBack();
    await until(() => peer.synced(), 'it is back');
    await until(() => (peer.unsaved() ?? 0) <= 0, 'nothing waits');
    await motet.end('SIGKILL');
    peer.destroy();
    await motet.start();
    expect((await at(documentId)).text.toString()).toBe(text);
  });
});
