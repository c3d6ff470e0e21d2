/** Who may not, and how each provider learns of it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { type Account, Motet, until } from '../../client/tests/support/motet.js';
import {
  HOCUSPOCUS,
  openHocuspocus3,
  openHocuspocus4,
  openYWebsocket,
  PEERS,
  type Peer,
  socketOptions,
} from './support/peers.js';

/** A while in which a provider that tries again would have done so several times. */
const RETRIES_MS = 2_500;
const TOKEN_SECONDS = 4;

const motet = new Motet();
let ada: Account;
let vic: Account;
let documentId: string;
let peers: Peer[] = [];

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
  vic = await motet.register('vic');
});
beforeEach(async () => {
  documentId = await motet.create(ada);
});
afterEach(() => {
  for (const peer of peers) peer.destroy();
  peers = [];
});
afterAll(() => motet.destroy());

/** Opens a peer that is closed with the test. */
function kept<P extends Peer>(peer: P): P {
  peers.push(peer);
  return peer;
}

const place = (token: string, id = documentId) => ({ url: motet.url, documentId: id, token });
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A token with a changed signature. */
function forged(token: string): string {
  const at = token.length - 10;
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
}

describe.each(PEERS)('%s', (_name, kind) => {
  test('a reader sees the edits and the cursors, and changes nothing', async () => {
    await motet.share(ada, documentId, 'vic', 'viewer');
    const writer = kept(kind(place(ada.token)));
    const reader = kept(kind(place(vic.token)));
    await until(() => writer.synced() && reader.synced(), 'both are synced');
    writer.text.insert(0, 'Hello');
    await until(() => reader.text.toString() === 'Hello', 'the reader sees it');
    reader.text.insert(0, 'not allowed ');
    reader.awareness.setLocalStateField('user', { name: 'Vic' });
    writer.awareness.setLocalStateField('user', { name: 'Ada' });
    const sees = (peer: Peer, name: string) =>
      [...peer.awareness.getStates().values()].some(({ user }) => user?.name === name);
    await until(() => sees(writer, 'Vic') && sees(reader, 'Ada'), 'both cursors are seen');
    writer.text.insert(5, '!');
    await until(() => reader.text.toString().endsWith('Hello!'), 'the reader sees more');
    expect(writer.text.toString()).toBe('Hello!');
    const third = kept(kind(place(ada.token)));
    await until(() => third.synced(), 'a third one is synced');
    expect(third.text.toString()).toBe('Hello!');
  });
});

describe('y-websocket', () => {
  test.each([
    ['a bad token', async () => place(forged(ada.token)), 4401],
    ['no token', async () => place(''), 4401],
    ['a document of others', async () => place(vic.token), 4404],
    ['no such document', async () => place(ada.token, 'no-such-document'), 4404],
  ])('%s closes the connection for good', async (_what, where, code) => {
    const peer = kept(openYWebsocket(await where()));
    const codes: number[] = [];
    let attempts = 0;
    peer.provider.on('closed', (event) => codes.push(event.code));
    peer.provider.on('status', ({ status }) => {
      if (status === 'connecting') attempts += 1;
    });
    await until(() => codes.length > 0, 'the provider is told');
    await later(RETRIES_MS);
    expect(codes).toEqual([code]);
    expect(attempts).toBeLessThanOrEqual(1);
    expect(peer.provider.shouldConnect).toBe(false);
    expect(peer.synced()).toBe(false);
  });

  test('a fresh token lets it in again', async () => {
    const peer = kept(openYWebsocket(place(forged(ada.token))));
    await new Promise((resolve) => peer.provider.once('closed', resolve));
    peer.text.insert(0, 'kept');
    peer.provider.params = { token: ada.token };
    peer.provider.connect();
    await until(() => peer.synced(), 'it is synced');
    const other = kept(openYWebsocket(place(ada.token)));
    await until(() => other.text.toString() === 'kept', 'its edit has arrived');
  });

  test('who loses access is put out', async () => {
    await motet.share(ada, documentId, 'vic', 'editor');
    const peer = kept(openYWebsocket(place(vic.token)));
    await until(() => peer.synced(), 'it is synced');
    const closed = new Promise<number>((resolve) =>
      peer.provider.once('closed', ({ code }) => resolve(code)),
    );
    await motet.call('DELETE', `documents/${documentId}/grants/${vic.userId}`, ada.token);
    expect(await closed).toBe(4403);
  });
});

describe.each(HOCUSPOCUS)('%s', (name, kind) => {
  test.each([
    ['a bad token', async () => place(forged(ada.token))],
    ['a document of others', async () => place(vic.token)],
    ['no such document', async () => place(ada.token, 'no-such-document')],
  ])('%s fails the authentication, once', async (_what, where) => {
    const peer = kept(kind(await where()));
    await until(() => peer.told.includes('authenticationFailed'), 'it is refused');
    await later(RETRIES_MS);
    expect(peer.told.filter((it) => it === 'authenticationFailed')).toHaveLength(1);
    expect(peer.told).not.toContain('authenticated');
    expect(peer.synced()).toBe(false);
    expect(peer.text.length).toBe(0);
  });

  test('a reader learns that it is one, and an editor too', async () => {
    await motet.share(ada, documentId, 'vic', 'viewer');
    const reader = kept(kind(place(vic.token)));
    const owner = kept(kind(place(ada.token)));
    await until(() => reader.synced() && owner.synced(), 'both are synced');
    expect([reader.scope(), owner.scope()]).toEqual(['readonly', 'read-write']);
    await until(() => reader.unsaved() === 0, 'nothing waits');
    reader.text.insert(0, 'not allowed');
    owner.text.insert(0, 'allowed');
    await until(() => owner.unsaved() === 0, 'the owner’s edit is stored');
    await until(() => reader.text.toString().includes('allowed'), 'the reader sees it');
    // A refused edit is never said to be stored.
    expect(reader.unsaved()).toBe(1);
  });

  test('who becomes a reader is told so without a reconnect', async () => {
    await motet.share(ada, documentId, 'vic', 'editor');
    const peer = kept(kind(place(vic.token)));
    await until(() => peer.synced() && peer.scope() === 'read-write', 'it may write');
    await motet.share(ada, documentId, 'vic', 'viewer');
    await until(() => peer.scope() === 'readonly', 'it may only read');
    expect(peer.told).not.toContain('close');
  });

  test('who loses access is told, and hears no more', async () => {
    await motet.share(ada, documentId, 'vic', 'editor');
    const peer = kept(kind(place(vic.token)));
    const owner = kept(kind(place(ada.token)));
    await until(() => peer.synced() && owner.synced(), 'both are synced');
    await motet.call('DELETE', `documents/${documentId}/grants/${vic.userId}`, ada.token);
    const told =
      name === 'Hocuspocus 2' ? ['authenticationFailed'] : ['close', 'authenticationFailed'];
    await until(() => told.some((it) => peer.told.includes(it)), 'it is told');
    owner.text.insert(0, 'secret');
    await until(() => owner.unsaved() === 0, 'the owner’s edit is stored');
    const again = kept(kind(place(ada.token)));
    await until(() => again.text.toString() === 'secret', 'others see it');
    expect(peer.text.toString()).toBe('');
  });
});

describe.each([
  ['Hocuspocus 3', openHocuspocus3],
  ['Hocuspocus 4', openHocuspocus4],
] as const)('%s', (_name, kind) => {
  test('a better token on the same socket is heard', async () => {
    const peer = kept(kind(place(forged(ada.token))));
    await until(() => peer.told.includes('authenticationFailed'), 'it is refused');
    peer.text.insert(0, 'kept');
    peer.setToken(ada.token);
    peer.askAgain();
    await until(() => peer.synced() && peer.unsaved() === 0, 'it is let in');
    const other = kept(kind(place(ada.token)));
    await until(() => other.text.toString() === 'kept', 'its edit has arrived');
  });
});

describe('tokens that run out', () => {
  const brief = new Motet('--access-token-seconds', `${TOKEN_SECONDS}`);
  let bob: Account;
  let id: string;
  const here = (token: string) => ({ url: brief.url, documentId: id, token });

  beforeAll(() => brief.start());
  beforeEach(async () => {
    const name = `bob-${Math.random().toString(36).slice(2)}`;
    bob = await brief.register(name);
    id = await brief.create(bob);
  });
  afterAll(() => brief.destroy());

  test('y-websocket is closed with 4401 when its token is over', async () => {
    const peer = kept(openYWebsocket(here(bob.token)));
    await until(() => peer.synced(), 'it is synced');
    const code = await new Promise((resolve) =>
      peer.provider.once('closed', (event) => resolve(event.code)),
    );
    expect(code).toBe(4401);
  });

  test.each(HOCUSPOCUS)('%s with nothing better to show is refused', async (_name, kind) => {
    const peer = kept(kind(here(bob.token)));
    await until(() => peer.synced(), 'it is synced');
    await until(
      () => peer.told.includes('authenticationFailed') || peer.told.includes('close'),
      'it is told',
    );
  });

  test.each([
    ['Hocuspocus 3', openHocuspocus3],
    ['Hocuspocus 4', openHocuspocus4],
  ] as const)('%s is asked for a fresh token, and stays', async (_name, kind) => {
    const peer = kept(kind(here(bob.token)));
    await until(() => peer.synced(), 'it is synced');
    const login = { refreshToken: (bob as unknown as { refreshToken: string }).refreshToken };
    const fresh = await brief.call('POST', 'auth/refresh', undefined, login);
    await later((TOKEN_SECONDS * 1_000) / 2);
    const newer = await brief.call('POST', 'auth/refresh', undefined, {
      refreshToken: fresh.refreshToken,
    });
    peer.setToken(newer.token as string);
    await later((TOKEN_SECONDS * 1_000 * 3) / 4);
    expect(peer.told).not.toContain('authenticationFailed');
    expect(peer.told).not.toContain('close');
    peer.text.insert(0, 'still here');
    await until(() => peer.unsaved() === 0, 'its edit is stored');
  });
});

test('a frame that makes no sense harms only its sender', async () => {
  const good = kept(openHocuspocus4(place(ada.token)));
  await until(() => good.synced(), 'it is synced');
  for (const bytes of [[], [9], [10], [255, 255, 255, 255, 255], [0], [3, 97, 98, 99, 99]]) {
    for (const path of [
      socketOptions(motet.url).url,
      `${motet.url.replace('http', 'ws')}/yjs/${documentId}?token=${ada.token}`,
    ]) {
      const socket = new WebSocket(path);
      await new Promise((resolve) => socket.once('open', resolve));
      socket.send(new Uint8Array(bytes));
      socket.send('text');
      socket.close();
      await new Promise((resolve) => socket.once('close', resolve));
    }
  }
  good.text.insert(0, 'fine');
  await until(() => good.unsaved() === 0, 'the others are served');
});

describe('a message that is too large', () => {
  const BYTES_MAX = 65_536;
  const narrow = new Motet('--update-bytes-max', `${BYTES_MAX}`);
  let bea: Account;

  beforeAll(async () => {
    await narrow.start();
    bea = await narrow.register('bea');
  });
  afterAll(() => narrow.destroy());

  test.each(PEERS)('from %s is refused, and the others go on', async (_name, kind) => {
    const id = await narrow.create(bea);
    const here = { url: narrow.url, documentId: id, token: bea.token };
    const [large, other] = [kept(kind(here)), kept(kind(here))];
    await until(() => large.synced() && other.synced(), 'both are synced');
    large.text.insert(0, 'x'.repeat(2 * BYTES_MAX));
    for (let n = 1; n <= 20; n += 1) {
      other.text.insert(0, '.');
      await later(50);
    }
    expect(other.text.toString()).toBe('.'.repeat(20));
    const third = kept(kind(here));
    await until(() => third.text.length === 20, 'a third one sees the others’ edits');
  });
});
