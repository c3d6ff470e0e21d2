import type { Tokens } from '../api/types';

// Where tokens live, and why.
//
// The access token stays in memory: it is sent with every request and ends within minutes. The
// refresh token is kept in `localStorage`, because a person expects to be signed in after a reload
// and in every tab. A script injected into the page could read it there; the content security policy
// (no inline and no foreign scripts) is what stands against that, and each refresh token works once,
// so a stolen one that is used signs the owner out visibly. An `HttpOnly` cookie would hide it from
// scripts, but needs protection against forged requests and the same origin for every client.

const KEY = 'motet.session';

/** What survives a reload: who is signed in here, and how to get an access token. */
export interface StoredSession {
  userId: string;
  refreshToken: string;
}

/** An access token with the time at which it ends on this machine's clock, in ms since the epoch. */
export interface AccessToken {
  token: string;
  endsAtMs: number;
}

/** What is stored when a user chose to sign out: other tabs are to forget as much as this one. */
export const SIGNED_OUT = 'signed_out';

export function loadSession(): StoredSession | typeof SIGNED_OUT | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? 'null');
    return isStoredSession(value) || value === SIGNED_OUT ? value : null;
  } catch {
    // Storage is blocked, or holds what is not ours.
    return null;
  }
}

export function storeSession(session: StoredSession | typeof SIGNED_OUT | null): void {
  try {
    if (session) localStorage.setItem(KEY, JSON.stringify(session));
    else localStorage.removeItem(KEY);
  } catch {
    // Storage is blocked: the session lasts until the page is closed.
  }
}

/** Calls `changed` when another tab signs in, signs out or refreshes. Returns how to stop. */
export function watchStoredSession(changed: () => void): () => void {
  const listener = (event: StorageEvent) => {
    if (event.key === KEY || event.key === null) changed();
  };
  window.addEventListener('storage', listener);
  return () => window.removeEventListener('storage', listener);
}

/**
 * The access token of an answer. Its end is moved onto this machine's clock with the server's own
 * time, so that a wrong clock here neither wears out tokens early nor keeps dead ones.
 */
export function accessToken(answer: Tokens, serverTimeMs: number | undefined): AccessToken {
  const skewMs = serverTimeMs === undefined ? 0 : Date.now() - serverTimeMs;
  return { token: answer.token, endsAtMs: Date.parse(answer.expiresAt) + skewMs };
}

function isStoredSession(value: unknown): value is StoredSession {
  return (
    typeof value === 'object' &&
    value !== null &&
    'userId' in value &&
    typeof value.userId === 'string' &&
    'refreshToken' in value &&
    typeof value.refreshToken === 'string'
  );
}
