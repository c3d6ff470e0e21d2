import 'fake-indexeddb/auto';
import { IDBObjectStore } from 'fake-indexeddb';
import { openDB } from 'idb';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Doc } from 'yjs';
import { type KeptDocument, YjsStore } from '../src/yjs.js';
import { generator } from './support/random.js';

const place = { url: 'http://x', userId: 'ann', documentId: 'd' };
let databases = 0;
let database = '';

/** The stores of a browser that nobody has used. */
function newStore(): YjsStore {
  databases += 1;
  database = `motet-yjs-${databases}`;
  return new YjsStore(database);
}

/** The store of another tab of the same browser. */
const otherTab = () => new YjsStore(database);

/** A document and its keeper, when what was kept is there. */
async function open(store: YjsStore, where = place): Promise<[Doc, KeptDocument]> {
  const doc = new Doc();
  const kept = store.keep(doc, where);
  await kept.whenSynced;
  return [doc, kept];
}

const text = (doc: Doc) => doc.getText('content');
const read = (doc: Doc) => text(doc).toString();

async function rows(): Promise<number> {
  const opened = await openDB(database);
  const count = await opened.count('updates');
  opened.close();
  return count;
}

function full(): void {
  vi.spyOn(IDBObjectStore.prototype, 'add').mockImplementation(() => {
    throw new DOMException('the disk is full', 'QuotaExceededError');
  });
}

afterEach(() => vi.restoreAllMocks());

describe('a document', () => {
  test('is there again, of every root', async () => {
    const store = newStore();
    const [doc, kept] = await open(store);
    text(doc).insert(0, 'Hello');
    text(doc).format(0, 5, { bold: true });
    doc.getMap('settings').set('wide', true);
    await kept.destroy();
    const [again] = await open(store);
    expect(text(again).toDelta()).toEqual([{ insert: 'Hello', attributes: { bold: true } }]);
    expect(again.getMap('settings').toJSON()).toEqual({ wide: true });
  });

  test('is kept with what it had before, and with edits made while it loads', async () => {
    const store = newStore();
    const [first, kept] = await open(store);
    text(first).insert(0, 'kept ');
    await kept.destroy();
    const doc = new Doc();
    text(doc).insert(0, 'before ');
    const second = store.keep(doc, place);
    text(doc).insert(7, 'meanwhile ');
    await second.destroy();
    expect(read(doc).split(' ').sort()).toEqual(['', 'before', 'kept', 'meanwhile']);
    expect(read((await open(store))[0])).toBe(read(doc));
  });

  test('is another one for another user or server', async () => {
    const store = newStore();
    const [doc, kept] = await open(store);
    text(doc).insert(0, 'Ann’s');
    await kept.flush();
    expect(read((await open(store, { ...place, userId: 'ben' }))[0])).toBe('');
    expect(read((await open(store, { ...place, url: 'http://y' }))[0])).toBe('');
  });

  test('ends with its Yjs document', async () => {
    const store = newStore();
    const [doc, kept] = await open(store);
    text(doc).insert(0, 'last words');
    doc.destroy();
    await kept.destroy();
    expect(read((await open(store))[0])).toBe('last words');
  });
});

test('at once: the edit is with the browser before its task is over', async () => {
  const [doc] = await open(newStore());
  const commits = vi.spyOn(IDBTransaction.prototype, 'commit');
  text(doc).insert(0, 'a');
  text(doc).insert(1, 'b');
  // Microtasks belong to the task.
  await Promise.resolve();
  expect(commits).toHaveBeenCalledTimes(1);
});

test('waiting says whether all is stored', async () => {
  const [doc, kept] = await open(newStore());
  expect(kept.waiting).toBe(false);
  text(doc).insert(0, 'a');
  expect(kept.waiting).toBe(true);
  await kept.flush();
  expect(kept.waiting).toBe(false);
});

describe('tabs', () => {
  test('that edit side by side lose nothing, however often rows are joined', async () => {
    const tabs = [await open(newStore()), await open(otherTab())] as const;
    const random = generator(3);
    for (let n = 0; n < 450; n += 1) {
      const [doc, kept] = tabs[n % 2] ?? tabs[0];
      text(doc).insert(Math.floor(random() * (text(doc).length + 1)), n % 2 ? 'b' : 'a');
      if (n % 3 === 0) await kept.flush();
      else await Promise.resolve();
    }
    await Promise.all(tabs.map(([, kept]) => kept.destroy()));
    const [all] = await open(otherTab());
    expect(read(all).replaceAll('b', '')).toBe(read(tabs[0][0]));
    expect(read(all).replaceAll('a', '')).toBe(read(tabs[1][0]));
    expect(await rows()).toBeLessThan(420);
  });

  test('rows of one document do not grow without bound', async () => {
    const [doc, kept] = await open(newStore());
    for (let n = 0; n < 1_000; n += 1) {
      text(doc).insert(n, 'x');
      await Promise.resolve();
      if (n % 50 === 0) await kept.flush();
    }
    await kept.destroy();
    expect(await rows()).toBeLessThan(300);
    expect(read((await open(otherTab()))[0])).toHaveLength(1_000);
  });
});

describe('whole: a full disk', () => {
  test('is told, and the next write holds everything', async () => {
    const store = newStore();
    const [doc, kept] = await open(store);
    const errors: string[] = [];
    kept.on('error', ({ code, message }) => errors.push(`${code} ${message}`));
    text(doc).insert(0, 'stored ');
    await kept.flush();
    full();
    text(doc).insert(7, 'not stored ');
    await expect(kept.flush()).rejects.toThrow('the disk is full');
    expect(errors[0]).toContain('not_kept');
    expect(errors[0]).toContain('the disk is full');
    expect(kept.waiting).toBe(true);
    vi.restoreAllMocks();
    text(doc).insert(18, 'stored again');
    await kept.flush();
    expect(kept.waiting).toBe(false);
    expect(read((await open(store))[0])).toBe('stored not stored stored again');
  });

  test('is tried again by flush', async () => {
    const store = newStore();
    const [doc, kept] = await open(store);
    full();
    text(doc).insert(0, 'a');
    await expect(kept.flush()).rejects.toThrow('the disk is full');
    vi.restoreAllMocks();
    await kept.flush();
    expect(read((await open(store))[0])).toBe('a');
  });
});

test('a browser that refuses its storage is told of, and the document still works', async () => {
  vi.spyOn(indexedDB, 'open').mockImplementation(() => {
    throw new DOMException('not in a private window', 'SecurityError');
  });
  const doc = new Doc();
  const kept = newStore().keep(doc, place);
  const error = new Promise((resolve) => kept.on('error', resolve));
  await expect(kept.whenSynced).rejects.toThrow('not in a private window');
  expect(await error).toMatchObject({ code: 'not_loaded' });
  text(doc).insert(0, 'a');
  await expect(kept.flush()).rejects.toThrow();
  await kept.destroy();
});

test('a damaged row is told of, and the others are read', async () => {
  const store = newStore();
  const [doc, kept] = await open(store);
  text(doc).insert(0, 'whole');
  await kept.destroy();
  const opened = await openDB(database);
  const key = JSON.stringify([place.url, place.userId, place.documentId]);
  const update = new Uint8Array([1, 1, 1, 255]);
  await opened.add('updates', { place: key, userId: 'ann', update });
  opened.close();
  const again = new Doc();
  const damaged = otherTab().keep(again, place);
  const errors: string[] = [];
  damaged.on('error', ({ code }) => errors.push(code));
  await damaged.whenSynced;
  expect([read(again), errors]).toEqual(['whole', ['not_loaded']]);
});

describe('clearing', () => {
  test('forgets one user’s documents, and stops keeping them in every tab', async () => {
    const store = newStore();
    const ben = { ...place, userId: 'ben' };
    const [doc] = await open(store);
    const [elsewhere, inOtherTab] = await open(otherTab());
    const [bens, bensKept] = await open(store, ben);
    text(doc).insert(0, 'secret');
    text(bens).insert(0, 'Ben’s');
    const cleared = new Promise((resolve) => inOtherTab.on('cleared', resolve));
    await bensKept.flush();
    await store.clear('ann');
    await cleared;
    text(doc).insert(0, 'more ');
    text(elsewhere).insert(0, 'more ');
    await inOtherTab.destroy();
    expect(read((await open(store))[0])).toBe('');
    expect(read((await open(store, ben))[0])).toBe('Ben’s');
    expect(await rows()).toBe(1);
  });
});
