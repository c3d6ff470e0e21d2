/**
 * Edits and documents kept in IndexedDB, so that closing the tab loses nothing.
 *
 * A record belongs to one client id, and a client id to one tab at a time: two tabs that shared one would
 * number their submissions alike. A tab holds a lock on its record; a new tab takes over a record that
 * nobody holds, edits and all. Locks are the browser's Web Locks; where a page has none, because it came
 * over plain HTTP, the holder of a record answers on a channel.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Saved } from './core.js';
import { randomId } from './id.js';

/** Which document, and whose: another user on the same browser never sees it. */
export interface Place {
  readonly url: string;
  readonly userId: string;
  readonly documentId: string;
}

/** Where a document is kept while the application is closed. */
export interface OfflineStore {
  /**
   * Claims a record of this place, an orphaned one if there is one. `onError` hears of a state that
   * could not be stored; the next is tried again.
   */
  claim(place: Place, onError?: (error: unknown) => void): Promise<Claim>;
  /** How many edits of a user wait to be sent, in documents that are open and those that are not. */
  unsent(userId: string): Promise<number>;
  /** Forgets all that was kept for a user. */
  clear(userId: string): Promise<void>;
}

/** A record that this tab holds. */
export interface Claim {
  readonly clientId: string;
  readonly saved: Saved | undefined;
  /** Stores a state, worked out when its turn comes. Of several that wait, only the last is stored. */
  save(saved: () => Saved | undefined): void;
  /** Waits until everything is stored, and gives the record up. */
  release(): Promise<void>;
}

interface Row {
  readonly clientId: string;
  readonly place: string;
  readonly userId: string;
  readonly saved: Saved | undefined;
}

interface Schema extends DBSchema {
  clients: { key: string; value: Row; indexes: { place: string; userId: string } };
}

const DATABASE = 'motet';
const VERSION = 1;

/** The browser's own store. */
export class IndexedDbStore implements OfflineStore {
  private readonly database: Promise<IDBPDatabase<Schema>>;

  constructor(name = DATABASE) {
    this.database = openDB<Schema>(name, VERSION, {
      upgrade(database) {
        const clients = database.createObjectStore('clients', { keyPath: 'clientId' });
        clients.createIndex('place', 'place');
        clients.createIndex('userId', 'userId');
      },
    });
  }

  async claim(place: Place, onError: (error: unknown) => void = () => {}): Promise<Claim> {
    const database = await this.database;
    const key = JSON.stringify([place.url, place.userId, place.documentId]);
    const rows = await database.getAllFromIndex('clients', 'place', key);
    // Records with edits first: they are what must not be left behind.
    rows.sort((a, b) => edits(b.saved) - edits(a.saved));
    for (const { clientId } of rows) {
      const unlock = await lock(clientId);
      if (!unlock) continue;
      // Its last holder may have stored more since.
      const row = await database.get('clients', clientId);
      if (row) return claim(database, row, unlock, onError);
      unlock();
    }
    const row: Row = {
      clientId: randomId(),
      place: key,
      userId: place.userId,
      saved: undefined,
    };
    return claim(database, row, (await lock(row.clientId, true)) ?? (() => {}), onError);
  }

  async unsent(userId: string): Promise<number> {
    const rows = await (await this.database).getAllFromIndex('clients', 'userId', userId);
    return rows.reduce((sum, { saved }) => sum + edits(saved), 0);
  }

  async clear(userId: string): Promise<void> {
    const transaction = (await this.database).transaction('clients', 'readwrite');
    const keys = await transaction.store.index('userId').getAllKeys(userId);
    await Promise.all([...keys.map((key) => transaction.store.delete(key)), transaction.done]);
  }
}

function edits(saved: Saved | undefined): number {
  return (saved?.inflight?.edits ?? 0) + (saved?.buffer?.edits ?? 0);
}

/**
 * Holds a record until the returned function is called or the tab ends; `undefined` if another tab has it.
 * Nobody else knows one that is `fresh`.
 */
function lock(clientId: string, fresh = false): Promise<(() => void) | undefined> {
  const name = `motet-client-${clientId}`;
  const locks = globalThis.navigator?.locks;
  return locks ? webLock(locks, name) : channelLock(name, fresh);
}

function webLock(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const hold = (held: Lock | null) =>
      held ? new Promise<void>((release) => resolve(release)) : resolve(undefined);
    locks.request(name, { ifAvailable: true }, hold).catch(reject);
  });
}

/** How long a tab may take to say that a record is its own. */
const ANSWER_MS = 250;

async function channelLock(name: string, fresh: boolean): Promise<(() => void) | undefined> {
  const channel = new BroadcastChannel(name);
  const asked = new Promise<boolean>((resolve) => {
    // Whatever is heard comes from the holder, or from another that asks: then neither takes it.
    channel.onmessage = () => resolve(true);
    channel.postMessage('whose');
    setTimeout(() => resolve(false), ANSWER_MS);
  });
  if (!fresh && (await asked)) {
    channel.close();
    return undefined;
  }
  channel.onmessage = ({ data }) => {
    if (data === 'whose') channel.postMessage('mine');
  };
  return () => channel.close();
}

function claim(
  database: IDBPDatabase<Schema>,
  row: Row,
  unlock: () => void,
  onError: (error: unknown) => void,
): Claim {
  let next: (() => Saved | undefined) | undefined;
  let writing = Promise.resolve();
  const write = async () => {
    const saved = next?.();
    next = undefined;
    // Without a document there is nothing to keep that is better than what is kept.
    if (saved) await database.put('clients', { ...row, saved });
  };
  return {
    clientId: row.clientId,
    saved: row.saved,
    save(saved) {
      next = saved;
      // One write at a time, and then the latest state: a slow disk makes for fewer writes.
      writing = writing.then(write).catch(onError);
    },
    async release() {
      await writing;
      unlock();
    },
  };
}
