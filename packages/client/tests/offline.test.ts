import 'fake-indexeddb/auto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Saved } from '../src/core.js';
import { IndexedDbStore, MotetDocument } from '../src/index.js';
import { DummyServer, socketTo } from './support/server.js';

/** Web Locks as the browser has them: a tab is an object that holds some. */
class Locks {
  private readonly held = new Set<string>();

  async request(
    name: string,
    _options: LockOptions,
    callback: (lock: Lock | null) => Promise<unknown> | undefined,
  ): Promise<void> {
    if (this.held.has(name)) {
      await callback(null);
      return;
    }
    this.held.add(name);
    await callback({ name, mode: 'exclusive' });
    this.held.delete(name);
  }

  /** All tabs have crashed. */
  crash(): void {
    this.held.clear();
  }
}

const locks = new Locks();
const place = { url: 'http://x', userId: 'ann', documentId: 'd' };
let databases = 0;
const newStore = () => {
  databases += 1;
  return new IndexedDbStore(`motet-${databases}`);
};
const saved = (clientId: string, text: string): Saved => ({
  clientId,
  seq: 1,
  revision: 3,
  content: [{ insert: 'text' }],
  inflight: undefined,
  buffer: text ? { delta: [{ insert: text }], edits: text.length } : undefined,
});

afterEach(() => vi.unstubAllGlobals());

describe.each([
  ['with Web Locks', true],
  ['without, over plain HTTP', false],
])('a record %s', (_name, secure) => {
  const browser = () => {
    if (secure) vi.stubGlobal('navigator', { locks });
    else vi.stubGlobal('navigator', {});
  };

  test('goes to the next tab when its own is closed', async () => {
    browser();
    const store = newStore();
    const first = await store.claim(place);
    expect(first.saved).toBeUndefined();
    first.save(() => saved(first.clientId, 'abc'));
    await first.release();
    const next = await store.claim(place);
    expect(next.clientId).toBe(first.clientId);
    expect(next.saved).toEqual(saved(first.clientId, 'abc'));
    await next.release();
  });

  test('belongs to one tab at a time', async () => {
    browser();
    const store = newStore();
    const one = await store.claim(place);
    one.save(() => saved(one.clientId, 'abc'));
    const two = await store.claim(place);
    expect(two.clientId).not.toBe(one.clientId);
    expect(two.saved).toBeUndefined();
    await Promise.all([one.release(), two.release()]);
  });

  test('with edits comes before one without', async () => {
    browser();
    const store = newStore();
    const [one, two] = [await store.claim(place), await store.claim(place)];
    one.save(() => saved(one.clientId, ''));
    two.save(() => saved(two.clientId, 'waits'));
    await Promise.all([one.release(), two.release()]);
    const next = await store.claim(place);
    expect(next.clientId).toBe(two.clientId);
    await next.release();
  });

  test("is no other user's, no other document's and no other server's", async () => {
    browser();
    const store = newStore();
    const mine = await store.claim(place);
    mine.save(() => saved(mine.clientId, 'abc'));
    await mine.release();
    for (const other of [{ userId: 'bob' }, { documentId: 'e' }, { url: 'http://y' }]) {
      const claim = await store.claim({ ...place, ...other });
      expect(claim.saved).toBeUndefined();
      await claim.release();
    }
    expect([await store.unsent('ann'), await store.unsent('bob')]).toEqual([3, 0]);
    await store.clear('bob');
    expect(await store.unsent('ann')).toBe(3);
    await store.clear('ann');
    expect(await store.unsent('ann')).toBe(0);
  });
});

test('a state that could not be stored is told, and the next one is stored', async () => {
  vi.stubGlobal('navigator', { locks });
  const store = newStore();
  const errors: unknown[] = [];
  const claim = await store.claim(place, (error) => errors.push(error));
  const full = new DOMException('full', 'QuotaExceededError');
  const put = vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementationOnce(() => {
    throw full;
  });
  claim.save(() => saved(claim.clientId, 'abc'));
  await vi.waitFor(() => expect(errors).toEqual([full]));
  put.mockRestore();
  claim.save(() => saved(claim.clientId, 'abcd'));
  await claim.release();
  expect((await store.claim(place)).saved?.buffer?.edits).toBe(4);
});

test('edits made without a connection outlive a crash of the tab, and are sent once', async () => {
  vi.stubGlobal('navigator', { locks });
  const offline = newStore();
  const server = new DummyServer();
  const options = { ...place, offline, token: () => 't', WebSocket: socketTo(server) as never };
  const first = new MotetDocument(options);
  first.connect();
  await vi.waitFor(() => expect(first.status.connection).toBe('online'));
  first.edit([{ insert: 'online' }]);
  await vi.waitFor(() => expect(first.status.saved).toBe(true));
  first.disconnect();
  first.edit([{ retain: 6 }, { insert: ', offline' }]);
  await vi.waitFor(async () => expect(await offline.unsent('ann')).toBe(1));
  locks.crash();

  const second = new MotetDocument(options);
  second.connect();
  await vi.waitFor(() => expect(second.text).toBe('online, offline'));
  await vi.waitFor(() => expect(second.status.saved).toBe(true));
  expect(server.log).toHaveLength(2);
  await second.destroy();
  expect(await offline.unsent('ann')).toBe(0);
});
