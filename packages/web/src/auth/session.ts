import { ApiError, hasCode } from '../api/error';
import { type Answer, type RequestOptions, send } from '../api/http';
import type { LinkOpened, Tokens } from '../api/types';
import {
  type AccessToken,
  accessToken,
  readMark,
  SessionSlot,
  SIGNED_OUT,
  watchMark,
  writeMark,
} from './tokens';

/**
 * Why nobody is signed in: `signed_out` was the user's choice, in this tab or another; `expired` was not,
 * nor was `disabled`, an administrator's.
 */
export type Absence = 'never' | 'signed_out' | 'expired' | 'disabled';

export type SessionState =
  | { readonly userId: string }
  | { readonly userId: null; readonly absence: Absence };

/** A token this close to its end is renewed before it is used. */
const RENEW_BEFORE_MS = 15_000;

/** The lock under which one tab at a time uses or replaces the refresh token, which works only once. */
const LOCK = 'motet.session';

/**
 * Who is signed in, and the one source of access tokens for HTTP requests and sockets alike.
 *
 * Every tab has its own access token; the refresh token is shared by all tabs of the origin.
 */
export class Session {
  #state: SessionState;
  #access: AccessToken | null = null;
  #renewal: Promise<string> | null = null;
  readonly #slot = new SessionSlot();
  readonly #listeners = new Set<() => void>();

  constructor() {
    const mark = readMark();
    const isSomeone = mark !== null && mark !== SIGNED_OUT;
    this.#state = isSomeone ? { userId: mark.userId } : { userId: null, absence: 'never' };
    watchMark(() => this.#follow());
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
    await this.#begin(await send<Tokens>('auth/login', { method: 'POST', body: credentials }));
  }

  /** Makes an account and signs in to it. Throws an [ApiError]. */
  async register(account: { email: string; password: string; name: string }): Promise<void> {
    await this.#begin(await send<Tokens>('auth/register', { method: 'POST', body: account }));
  }

  /** Ends a sign-in at a provider, with what it sent the browser back with. Throws an [ApiError]. */
  async finishProvider(providerId: string, code: string, state: string): Promise<void> {
    const path = `auth/providers/${encodeURIComponent(providerId)}/finish`;
    await this.#begin(await send<Tokens>(path, { method: 'POST', body: { code, state } }));
  }

  /**
   * Opens a share link: for whoever is signed in, or else as a guest, who is signed in by that.
   * Throws an [ApiError].
   */
  async openLink(
    linkToken: string,
    body: { password?: string; name?: string },
  ): Promise<LinkOpened> {
    const path = `links/${encodeURIComponent(linkToken)}`;
    if (this.#state.userId !== null) {
      return this.request<LinkOpened>(path, { method: 'POST', body });
    }
    const answer = await send<LinkOpened>(path, { method: 'POST', body });
    const { guest } = answer.body;
    if (guest) await this.#begin({ body: guest, serverTimeMs: answer.serverTimeMs });
    return answer.body;
  }

  /** Changes the password, which ends all other sign-ins of the account. Throws an [ApiError]. */
  async changePassword(passwords: { password: string; newPassword: string }): Promise<void> {
    const token = await this.token();
    // Under the lock: another tab that renews meanwhile would use a token that has just become void.
    await withLock(LOCK, async () => {
      const request = { method: 'PUT', body: passwords, token } as const;
      const answer = await send<Tokens>('auth/password', request);
      await this.#keep(answer);
      this.#access = accessToken(answer.body, answer.serverTimeMs);
    });
  }

  /** Forgets a session whose account is gone, in every tab. */
  async forget(): Promise<void> {
    this.#end('signed_out');
    await withLock(LOCK, () => this.#slot.put(SIGNED_OUT));
  }

  /** Signs out in every tab. The refresh token is made void at the server if that can be reached. */
  async signOut(): Promise<void> {
    this.#end('signed_out');
    const last = await withLock(LOCK, async () => {
      const stored = await this.#slot.get();
      await this.#slot.put(SIGNED_OUT);
      return stored;
    });
    if (last === undefined || last === SIGNED_OUT) return;
    try {
      const { refreshToken } = last;
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
    this.#renewal ??= withLock(LOCK, () => this.#renew()).finally(() => {
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
      if (hasCode(error, 'account_disabled')) await this.#lose('disabled');
      if (!hasCode(error, 'token_expired', 'unauthenticated')) throw error;
      const fresh = await this.token(token);
      return (await send<T>(path, { ...options, token: fresh })).body;
    }
  }

  /** Under the lock. */
  async #renew(): Promise<string> {
    const { userId } = this.#state;
    const stored = userId === null ? SIGNED_OUT : await this.#slot.get();
    // Who signed out has said so in every tab; a session that is merely gone ends here.
    if (stored === undefined) this.#end('expired');
    if (stored === undefined || stored === SIGNED_OUT || stored.userId !== userId) {
      throw new ApiError('unauthenticated', 'Nobody is signed in.', { status: 401 });
    }
    try {
      const { refreshToken } = stored;
      const answer = await send<Tokens>('auth/refresh', { method: 'POST', body: { refreshToken } });
      await this.#keep(answer);
      // The user may have signed out meanwhile; the new token is stored for that to make it void.
      if (this.#state.userId !== userId) throw new ApiError('unauthenticated', 'Signed out.');
      this.#access = accessToken(answer.body, answer.serverTimeMs);
      return answer.body.token;
    } catch (error) {
      if (hasCode(error, 'account_disabled')) await this.#lose('disabled');
      else if (error instanceof ApiError && error.status === 401) await this.#lose('expired');
      throw error;
    }
  }

  /** The server no longer takes the session. */
  async #lose(absence: Absence): Promise<void> {
    await this.#slot.put(undefined);
    this.#end(absence);
  }

  async #begin(answer: Answer<Tokens>): Promise<void> {
    await withLock(LOCK, () => this.#keep(answer));
    const { userId } = answer.body;
    this.#access = accessToken(answer.body, answer.serverTimeMs);
    writeMark({ userId });
    this.#become({ userId });
  }

  /** Under the lock. */
  #keep({ body: { userId, refreshToken } }: Answer<Tokens>): Promise<void> {
    return this.#slot.put({ userId, refreshToken });
  }

  #end(absence: Absence): void {
    if (this.#state.userId === null) return;
    writeMark(absence === 'signed_out' ? SIGNED_OUT : null);
    this.#become({ userId: null, absence });
  }

  /** Takes over what another tab did. */
  #follow(): void {
    const mark = readMark();
    if (mark === SIGNED_OUT) this.#become({ userId: null, absence: 'signed_out' });
    else if (mark === null) this.#become({ userId: null, absence: 'expired' });
    else this.#become(mark);
  }

  #become(state: SessionState): void {
    if (state.userId === this.#state.userId) return;
    // A token is of the user that was; the new one's, if this tab has it, comes with the sign-in.
    if (this.#state.userId !== null) this.#access = null;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

/** Runs `task` while no other tab runs one under the same name. */
async function withLock<T>(name: string, task: () => Promise<T>): Promise<T> {
  // Locks exist only in secure contexts (HTTPS, or the machine itself). Elsewhere two tabs that
  // refresh in the same instant may sign one of them out.
  if (!('locks' in navigator)) return task();
  // Without the cast the result of a promise-returning callback is typed as a nested promise.
  return (await navigator.locks.request(name, task)) as T;
}
