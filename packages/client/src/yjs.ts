/**
 * A Yjs document kept in IndexedDB, for editors that speak Yjs. Providers such as y-websocket and
 * Hocuspocus send by themselves what the server lacks once they are back; so it is enough that the
 * document is still there.
 *
 * A row is an update; rows of one document are joined when they are many. Any number of tabs may keep
 * the same document at once, since updates may be applied twice and in any order.
 *
 * # Invariants
 *
 * - **at once**: an edit's transaction is committed to the browser in the task that made the edit, so
 *   the end of the page does not lose it.
 * - **whole**: the rows of a document never lack an update that a later one builds on: after a write
 *   that failed, the next one holds the whole document.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import {
  applyUpdate,
  Doc,
  encodeStateAsUpdate,
  encodeStateVector,
  mergeUpdates,
  transact,
} from 'yjs';
import { Emitter } from './emitter.js';
import type { Place } from './offline.js';

export type { Place } from './offline.js';

interface Row {
  readonly place: string;
  readonly userId: string;
  readonly update: Uint8Array;
}

interface Schema extends DBSchema {
  updates: { key: number; value: Row; indexes: { place: string; userId: string } };
}

const DATABASE = 'motet-yjs';
const VERSION = 1;

/** As many rows of one document as are read without a delay that a person notices. */
const ROWS_MAX = 200;

/** The state vector of a document that nobody has written to. */
const EMPTY_VECTOR_BYTES = 1;

export type KeptEvents = {
  /** What was kept has been put into the document. */
  synced: undefined;
  /**
   * `not_kept`: the last edits could not be stored, for want of space say; the next write tries again.
   * `not_loaded`: what was kept cannot be read, or a part of it.
   */
  error: { readonly code: 'not_kept' | 'not_loaded'; readonly message: string };
  /** Everything of this user was forgotten, here or in another tab; nothing is kept any more. */
  cleared: undefined;
};

/** Where Yjs documents are kept, of any number of users. */
export class YjsStore {
  private readonly database: Promise<IDBPDatabase<Schema>>;
  private readonly open = new Set<KeptDocument>();
  private readonly channel: BroadcastChannel | undefined;

  constructor(name = DATABASE) {
    this.database = openDatabase(name);
    // Whoever uses the store is told; this only keeps a browser without storage from complaining.
    this.database.catch(() => {});
    this.channel = openChannel(name, (userId) => this.stop(userId));
  }

  /** Puts what is kept into `doc`, and keeps whatever is done to it from now on. */
  keep(doc: Doc, place: Place): KeptDocument {
    const kept = new KeptDocument(doc, place, this.database, () => this.open.delete(kept));
    this.open.add(kept);
    return kept;
  }

  /**
   * Forgets everything of a user, on sign-out say. Documents of that user that are open, in this tab or
   * in others, are kept no longer.
   */
  async clear(userId: string): Promise<void> {
    this.stop(userId);
    this.channel?.postMessage(userId);
    const database = await this.database;
    const transaction = database.transaction('updates', 'readwrite');
    const keys = await transaction.store.index('userId').getAllKeys(userId);
    await Promise.all([...keys.map((key) => transaction.store.delete(key)), transaction.done]);
  }

  private stop(userId: string): void {
    for (const kept of this.open) if (kept.place.userId === userId) kept.stop();
  }
}

/** A document that is kept, from `keep` until `destroy`. */
export class KeptDocument extends Emitter<KeptEvents> {
  /** Resolves when what was kept is in the document; rejects if the browser refuses its storage. */
  readonly whenSynced: Promise<void>;
  private readonly key: string;
  private database: IDBPDatabase<Schema> | undefined;
  /** Edits that no write has taken yet. */
  private pending: Uint8Array[] = [];
  private readonly writes = new Set<Promise<void>>();
  /** Why the last write failed; then the next one holds the whole document. */
  private failure: Error | undefined;
  private rows = 0;
  private ended = false;

  /** Made by `YjsStore.keep`. */
  constructor(
    private readonly doc: Doc,
    readonly place: Place,
    database: Promise<IDBPDatabase<Schema>>,
    private readonly onEnd: () => void,
  ) {
    super();
    this.key = JSON.stringify([place.url, place.userId, place.documentId]);
    if (encodeStateVector(doc).length > EMPTY_VECTOR_BYTES) {
      this.pending.push(encodeStateAsUpdate(doc));
    }
    doc.on('update', this.onUpdate);
    doc.on('destroy', this.onDestroy);
    this.whenSynced = this.load(database);
    this.whenSynced.catch((error: unknown) => {
      this.failure = asError(error);
      this.stop(false);
      this.tell('not_loaded', error);
    });
  }

  /** Edits wait to be stored, or could not be. */
  get waiting(): boolean {
    return this.pending.length > 0 || this.writes.size > 0 || this.failure !== undefined;
  }

  /**
   * Waits until everything is stored.
   *
   * @throws Error what keeps it from being stored, such as a `QuotaExceededError`.
   */
  async flush(): Promise<void> {
    await this.whenSynced;
    this.write();
    while (this.writes.size > 0) await Promise.all(this.writes);
    if (this.failure) throw this.failure;
  }

  /** Waits until everything that can be stored is stored, and lets go of the document. */
  async destroy(): Promise<void> {
    if (!this.ended) await this.flush().catch(() => {});
    this.stop(false);
  }

  /** Keeps nothing from now on. */
  stop(cleared = true): void {
    if (this.ended) return;
    this.ended = true;
    this.pending = [];
    this.doc.off('update', this.onUpdate);
    this.doc.off('destroy', this.onDestroy);
    this.onEnd();
    if (cleared) this.emit('cleared', undefined);
  }

  private readonly onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin === this) return;
    this.pending.push(update);
    // Still in this task, yet once for all the transactions of it.
    if (this.pending.length === 1) queueMicrotask(() => this.write());
  };

  private readonly onDestroy = (): void => {
    void this.destroy();
  };

  private async load(opening: Promise<IDBPDatabase<Schema>>): Promise<void> {
    const database = await opening;
    const rows = await database.getAllFromIndex('updates', 'place', this.key);
    if (this.ended) return;
    const apply = () => {
      for (const { update } of rows) this.apply(update);
    };
    transact(this.doc, apply, this, false);
    this.database = database;
    this.rows = rows.length;
    this.write();
    this.emit('synced', undefined);
  }

  private apply(update: Uint8Array): void {
    try {
      applyUpdate(this.doc, update, this);
    } catch (error) {
      this.tell('not_loaded', error);
    }
  }

  /** Hands what waits to the browser, now. */
  private write(): void {
    const database = this.database;
    const { pending, failure } = this;
    if (!database || this.ended || (pending.length === 0 && !failure)) return;
    this.pending = [];
    this.failure = undefined;
    const update = failure ? encodeStateAsUpdate(this.doc) : mergeUpdates(pending);
    const row = { place: this.key, userId: this.place.userId, update };
    const written = add(database, row).then(
      () => {
        this.rows += 1;
        if (this.rows > ROWS_MAX) this.join(database);
      },
      (error: unknown) => {
        this.failure = asError(error);
        this.tell('not_kept', error);
      },
    );
    this.track(written);
  }

  /** Makes one row of all rows of this document, those of other tabs too. */
  private join(database: IDBPDatabase<Schema>): void {
    this.rows = 1;
    // Nothing is lost when it fails: the transaction takes the rows away and puts theirs in, or neither.
    this.track(join(database, this.key, this.place.userId).catch(() => {}));
  }

  private track(work: Promise<void>): void {
    this.writes.add(work);
    void work.finally(() => this.writes.delete(work));
  }

  private tell(code: KeptEvents['error']['code'], error: unknown): void {
    this.emit('error', { code, message: String(error) });
  }
}

/** A browser may refuse this by an exception as well as by a rejection. */
async function openDatabase(name: string): Promise<IDBPDatabase<Schema>> {
  return openDB<Schema>(name, VERSION, {
    upgrade(database) {
      const updates = database.createObjectStore('updates', { autoIncrement: true });
      updates.createIndex('place', 'place');
      updates.createIndex('userId', 'userId');
    },
  });
}

/** Stores a row. What it asks of the browser it asks before it first waits. */
async function add(database: IDBPDatabase<Schema>, row: Row): Promise<void> {
  const transaction = database.transaction('updates', 'readwrite');
  const added = transaction.store.add(row);
  transaction.commit();
  await Promise.all([added, transaction.done]);
}

async function join(database: IDBPDatabase<Schema>, place: string, userId: string): Promise<void> {
  const transaction = database.transaction('updates', 'readwrite');
  const index = transaction.store.index('place');
  const [keys, rows] = await Promise.all([index.getAllKeys(place), index.getAll(place)]);
  const joined = new Doc();
  for (const { update } of rows) applyUpdate(joined, update);
  const row = { place, userId, update: encodeStateAsUpdate(joined) };
  const requests = [transaction.store.add(row), ...keys.map((it) => transaction.store.delete(it))];
  await Promise.all([...requests, transaction.done]);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Tells the tabs of this browser whose data is forgotten. */
function openChannel(
  name: string,
  onCleared: (userId: string) => void,
): BroadcastChannel | undefined {
  if (typeof BroadcastChannel === 'undefined') return undefined;
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => onCleared(String(data));
  // In Node a channel would keep the process alive.
  (channel as { unref?: () => void }).unref?.();
  return channel;
}
