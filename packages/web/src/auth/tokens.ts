import { type IDBPDatabase, openDB } from 'idb';
import type { Tokens } from '../api/types';

// Where tokens live, and why.
//
// The access token stays in memory: it is sent with every request and ends within minutes. The
// refresh token is kept by the browser, because a person expects to be signed in after a reload and in
// every tab. A script injected into the page could read it there; the content security policy (no
// inline and no foreign scripts) is what stands against that, and each refresh token works once, so a
// stolen one that is used signs the owner out visibly. An `HttpOnly` cookie would hide it from scripts,
// but needs protection against forged requests and the same origin for every client.
//
// It is kept in IndexedDB and not in `localStorage`. Tabs may be processes of their own, and what one
// writes to `localStorage` reaches the next only after a while, lock or no lock: it would use a token
// that is spent, which to the server looks like theft. IndexedDB orders transactions over all tabs.
// `localStorage` holds who is signed in: it can be read before the first paint, and tells other tabs.

const MARK = 'motet.user';
const DATABASE = 'motet-session';
const STORE = 'session';
const CURRENT = 'current';

/** What is stored once a user chose to sign out: other tabs are to forget as much as this one. */
export const SIGNED_OUT = 'signed_out';

/** How to get an access token, and whose it will be. */
export interface StoredSession {
  userId: string;
  refreshToken: string;
}

/** An access token with the time at which it ends on this machine's clock, in ms since the epoch. */
export interface AccessToken {
  token: string;
  endsAtMs: number;
}

/** The stored session, the same for all tabs. To be used under a lock that they share. */
export class SessionSlot {
  #database: Promise<IDBPDatabase> | undefined;
  /** Stands in where the browser keeps nothing: then the session lasts as long as the page. */
  #own: StoredSession | typeof SIGNED_OUT | undefined;

  async get(): Promise<StoredSession | typeof SIGNED_OUT | undefined> {
    try {
      return await (await this.#open()).get(STORE, CURRENT);
    } catch {
      return this.#own;
    }
  }

  /** Resolves once every tab would read `value`. */
  async put(value: StoredSession | typeof SIGNED_OUT | undefined): Promise<void> {
    this.#own = value;
    try {
      const database = await this.#open();
      // `strict`: after a power failure the token of before would be a spent one.
      const transaction = database.transaction(STORE, 'readwrite', { durability: 'strict' });
      if (value === undefined) await transaction.store.delete(CURRENT);
      else await transaction.store.put(value, CURRENT);
      await transaction.done;
    } catch {
      // `#own` has it.
    }
  }

  #open(): Promise<IDBPDatabase> {
    this.#database ??= openDB(DATABASE, 1, {
      upgrade: (database) => {
        database.createObjectStore(STORE);
      },
    });
    return this.#database;
  }
}

/** Who is signed in, [SIGNED_OUT], or null; perhaps a moment late where another tab changed it. */
export function readMark(): { userId: string } | typeof SIGNED_OUT | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(MARK) ?? 'null');
    if (value === SIGNED_OUT) return SIGNED_OUT;
    return isUser(value) ? value : null;
  } catch {
    // Storage is blocked, or holds what is not ours.
    return null;
  }
}

export function writeMark(mark: { userId: string } | typeof SIGNED_OUT | null): void {
  try {
    if (mark) localStorage.setItem(MARK, JSON.stringify(mark));
    else localStorage.removeItem(MARK);
  } catch {
    // Storage is blocked: the session lasts until the page is closed.
  }
}

/** Calls `changed` when another tab writes the mark. */
export function watchMark(changed: () => void): void {
  window.addEventListener('storage', (event) => {
    if (event.key === MARK || event.key === null) changed();
  });
}

/**
 * The access token of an answer. Its end is moved onto this machine's clock with the server's own
 * time, so that a wrong clock here neither wears out tokens early nor keeps dead ones.
 */
export function accessToken(answer: Tokens, serverTimeMs: number | undefined): AccessToken {
  const skewMs = serverTimeMs === undefined ? 0 : Date.now() - serverTimeMs;
  return { token: answer.token, endsAtMs: Date.parse(answer.expiresAt) + skewMs };
}

function isUser(value: unknown): value is { userId: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'userId' in value &&
    typeof value.userId === 'string'
  );
}
