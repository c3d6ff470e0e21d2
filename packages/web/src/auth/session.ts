import { ApiError, hasCode } from '../api/error';
import { type RequestOptions, send } from '../api/http';
import type { Tokens } from '../api/types';
import {
  type AccessToken,
  accessToken,
  loadSession,
  SIGNED_OUT,
  type StoredSession,
  storeSession,
  watchStoredSession,
} from './tokens';

/**
 * Why nobody is signed in: `signed_out` was the user's choice, in this tab or another; `expired` was not.
 */
export type Absence = 'never' | 'signed_out' | 'expired';

export type SessionState =
  | { readonly userId: string }
  | { readonly userId: null; readonly absence: Absence };

/** A token this close to its end is renewed before it is used. */
const RENEW_BEFORE_MS = 15_000;

/** The lock under which one tab at a time uses the refresh token, which works only once. */
const REFRESH_LOCK = 'motet.refresh';

/**
 * Who is signed in, and the one source of access tokens for HTTP requests and sockets alike.
 *
 * Every tab has its own access token; the refresh token is shared by all tabs of the origin.
 */
export class Session {
  #state: SessionState;
  #access: AccessToken | null = null;
  #renewal: Promise<string> | null = null;
  /** The refresh token of a session that storage would not take. */
  #stored: StoredSession | null;
  readonly #listeners = new Set<() => void>();

  constructor() {
    this.#stored = stored();
    this.#state = this.#stored
      ? { userId: this.#stored.userId }
      : { userId: null, absence: 'never' };
    watchStoredSession(() => this.#follow());
  }

  get state(): SessionState {
    return this.#state;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Signs in with e-mail and password. Throws an [ApiError]. */
  async signIn(credentials: { email: string; password: string }): Promise<void> {
    this.#begin(await send<Tokens>('auth/login', { method: 'POST', body: credentials }));
  }

  /** Makes an account and signs in to it. Throws an [ApiError]. */
  async register(account: { email: string; password: string; name: string }): Promise<void> {
    this.#begin(await send<Tokens>('auth/register', { method: 'POST', body: account }));
  }

  /** Signs out in every tab. The refresh token is made void at the server if that can be reached. */
  async signOut(): Promise<void> {
    const refreshToken = this.#current()?.refreshToken;
    this.#end('signed_out');
    if (refreshToken === undefined) return;
    try {
      await send('auth/logout', { method: 'POST', body: { refreshToken } });
    } catch {
      // Offline: the token ends by itself, and nothing here remembers it any more.
    }
  }

  /**
   * An access token that should be good now. `refused` is one that the server did not take: it is
   * never given again. Throws an [ApiError]: `unauthenticated` when nobody is signed in any more.
   */
  async token(refused?: string): Promise<string> {
    const access = this.#access;
    if (access && access.token !== refused && access.endsAtMs - Date.now() > RENEW_BEFORE_MS) {
      return access.token;
    }
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  /** Sends a request as the user, and once more if it met the end of the access token. */
  async request<T>(path: string, options: Omit<RequestOptions, 'token'> = {}): Promise<T> {
    const token = await this.token();
    try {
      return (await send<T>(path, { ...options, token })).body;
    } catch (error) {
      if (!hasCode(error, 'token_expired', 'unauthenticated')) throw error;
      const fresh = await this.token(token);
      return (await send<T>(path, { ...options, token: fresh })).body;
    }
  }

  async #renew(): Promise<string> {
    return withLock(REFRESH_LOCK, async () => {
      // Read under the lock: another tab may have used the token that this one knew.
      const current = this.#current();
      if (!current || current.userId !== this.#state.userId) {
        throw new ApiError('unauthenticated', 'Nobody is signed in.', 401);
      }
      try {
        const { body, serverTimeMs } = await send<Tokens>('auth/refresh', {
          method: 'POST',
          body: { refreshToken: current.refreshToken },
        });
        this.#keep(body, serverTimeMs);
        return body.token;
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) this.#end('expired');
        throw error;
      }
    });
  }

  #begin({ body, serverTimeMs }: { body: Tokens; serverTimeMs: number | undefined }): void {
    this.#keep(body, serverTimeMs);
    this.#become({ userId: body.userId });
  }

  #keep(tokens: Tokens, serverTimeMs: number | undefined): void {
    this.#access = accessToken(tokens, serverTimeMs);
    this.#stored = { userId: tokens.userId, refreshToken: tokens.refreshToken };
    storeSession(this.#stored);
  }

  #end(absence: Absence): void {
    this.#access = null;
    this.#stored = null;
    storeSession(absence === 'signed_out' ? SIGNED_OUT : null);
    this.#become({ userId: null, absence });
  }

  /** The stored session as of now, whichever tab wrote it. */
  #current(): StoredSession | null {
    return stored() ?? this.#stored;
  }

  /** Takes over what another tab did. */
  #follow(): void {
    const now = loadSession();
    this.#stored = now === SIGNED_OUT ? null : now;
    const userId = this.#stored?.userId ?? null;
    if (userId === this.#state.userId) return;
    this.#access = null;
    if (userId !== null) this.#become({ userId });
    else this.#become({ userId, absence: now === SIGNED_OUT ? 'signed_out' : 'expired' });
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function stored(): StoredSession | null {
  const value = loadSession();
  return value === SIGNED_OUT ? null : value;
}

/** Runs `task` while no other tab runs one under the same name. */
async function withLock<T>(name: string, task: () => Promise<T>): Promise<T> {
  // Locks exist only in secure contexts (HTTPS, or the machine itself). Elsewhere two tabs that
  // refresh in the same instant may sign one of them out.
  if (!('locks' in navigator)) return task();
  // Without the cast the result of a promise-returning callback is typed as a nested promise.
  return (await navigator.locks.request(name, task)) as T;
}
