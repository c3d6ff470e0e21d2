import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Session } from '../src/auth/session';
import { SessionSlot } from '../src/auth/tokens';

// A server that knows one refresh token at a time, as the real one does.
class Auth {
  refreshes = 0;
  current = 'refresh-0';
  lifetimeMs = 60_000;
  /** The server's clock against this machine's. */
  clockMs = 0;
  /** Access tokens that the server refuses, and how. */
  refused = new Map<string, string>();
  /** What happens while a refresh is under way. */
  onRefresh: () => void = () => {};
  /** Refresh tokens that a sign-out gave back. */
  voided: unknown[] = [];

  answer(path: string, body: { refreshToken?: string }, token: string | undefined): Response {
    if (path === 'auth/login') return this.tokens();
    if (path === 'auth/logout') {
      this.voided.push(body.refreshToken);
      return new Response(null, { status: 204 });
    }
    if (path === 'auth/refresh') {
      if (body.refreshToken !== this.current) return failure(401, 'unauthenticated');
      this.refreshes += 1;
      this.onRefresh();
      return this.tokens();
    }
    const refusal = this.refused.get(token ?? '');
    return refusal ? failure(401, refusal) : Response.json({ token });
  }

  tokens(): Response {
    this.current = `refresh-${this.refreshes}`;
    const now = Date.now() + this.clockMs;
    return Response.json(
      {
        userId: 'ada',
        token: `access-${this.refreshes}`,
        refreshToken: this.current,
        expiresAt: new Date(now + this.lifetimeMs).toISOString(),
      },
      { headers: { date: new Date(now).toUTCString() } },
    );
  }
}

const failure = (status: number, code: string) =>
  Response.json({ error: { code, message: code, requestId: 'r' } }, { status });

/** Locks as browsers have them: one holder at a time, in the order of asking. */
function locks() {
  let last: Promise<unknown> = Promise.resolve();
  return {
    request: (_: string, task: () => Promise<unknown>) => {
      last = last.then(task, task);
      return last;
    },
  };
}

const storage = new Map<string, string>();
let auth: Auth;

beforeEach(() => {
  auth = new Auth();
  storage.clear();
  vi.stubGlobal('indexedDB', new IDBFactory());
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => storage.get(key) ?? null,
    setItem: (key: string, value: string) => storage.set(key, value),
    removeItem: (key: string) => storage.delete(key),
  });
  vi.stubGlobal('window', new EventTarget());
  vi.stubGlobal('navigator', { locks: locks() });
  vi.stubGlobal('fetch', async (url: string, { body, headers }: RequestInit) =>
    auth.answer(
      url.replace('/api/v1/', ''),
      body ? JSON.parse(String(body)) : {},
      new Headers(headers).get('authorization')?.replace('Bearer ', ''),
    ),
  );
});

afterEach(() => {
  vi.unstubAllGlobals();
});

async function signedIn(): Promise<Session> {
  const session = new Session();
  await session.signIn({ email: 'ada@example.org', password: 'x' });
  return session;
}

describe('Session', () => {
  it('starts with nobody, and with the stored user after a reload', async () => {
    expect(new Session().state).toEqual({ userId: null, absence: 'never' });
    await signedIn();
    expect(new Session().state).toEqual({ userId: 'ada' });
  });

  it('keeps tokens out of localStorage, which other tabs read late', async () => {
    await signedIn();
    expect([...storage.values()].join()).not.toMatch(/access-|refresh-/);
  });

  it('uses one access token while it is good', async () => {
    const session = await signedIn();
    expect(await session.token()).toBe('access-0');
    expect(await session.token()).toBe('access-0');
    expect(auth.refreshes).toBe(0);
  });

  it('renews a token that is about to end, once for all who ask', async () => {
    auth.lifetimeMs = 1_000;
    const session = await signedIn();
    auth.lifetimeMs = 60_000;
    expect(await Promise.all([session.token(), session.token()])).toEqual(['access-1', 'access-1']);
    expect(auth.refreshes).toBe(1);
  });

  it.each([-3_600_000, 3_600_000])('is not misled by a clock that is off by %d ms', async (ms) => {
    auth.clockMs = ms;
    const session = await signedIn();
    expect(await session.token()).toBe('access-0');
    auth.lifetimeMs = 1_000;
    const other = await signedIn();
    await other.token();
    expect(auth.refreshes).toBe(1);
  });

  it('never gives again a token that was refused', async () => {
    const session = await signedIn();
    expect(await session.token('access-0')).toBe('access-1');
    expect(await session.token('access-0')).toBe('access-1');
  });

  it('repeats a request with a fresh token when the old one has expired', async () => {
    const session = await signedIn();
    auth.refused.set('access-0', 'token_expired');
    expect(await session.request('documents')).toEqual({ token: 'access-1' });
  });

  it('repeats a request only once', async () => {
    const session = await signedIn();
    auth.refused.set('access-0', 'unauthenticated').set('access-1', 'unauthenticated');
    await expect(session.request('documents')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('lets two tabs renew one after the other, each with the token of the moment', async () => {
    const one = await signedIn();
    const two = new Session();
    expect(await Promise.all([one.token('access-0'), two.token()])).toEqual([
      'access-1',
      'access-2',
    ]);
    expect(two.state).toEqual({ userId: 'ada' });
  });

  it('ends when the refresh token is no longer taken', async () => {
    const session = await signedIn();
    auth.current = 'another';
    await expect(session.token('access-0')).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(session.state).toEqual({ userId: null, absence: 'expired' });
    expect(storage.size).toBe(0);
    expect(await new SessionSlot().get()).toBeUndefined();
  });

  it('survives a server that cannot be reached', async () => {
    const session = await signedIn();
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
    await expect(session.token('access-0')).rejects.toMatchObject({ code: 'no_answer' });
    expect(session.state).toEqual({ userId: 'ada' });
    expect(new Session().state).toEqual({ userId: 'ada' });
  });

  it('follows another tab that signs out', async () => {
    const [here, there] = [await signedIn(), new Session()];
    await there.signOut();
    window.dispatchEvent(Object.assign(new Event('storage'), { key: null }));
    expect(here.state).toEqual({ userId: null, absence: 'signed_out' });
  });

  it('tells the end of a session from signing out, in other tabs too', async () => {
    const [here, there] = [await signedIn(), new Session()];
    auth.current = 'another';
    await expect(there.token()).rejects.toMatchObject({ code: 'unauthenticated' });
    window.dispatchEvent(Object.assign(new Event('storage'), { key: null }));
    expect(here.state).toEqual({ userId: null, absence: 'expired' });
  });

  it('follows another tab that signs in as someone', async () => {
    const [here, there] = [new Session(), new Session()];
    await there.signIn({ email: 'ada@example.org', password: 'x' });
    window.dispatchEvent(Object.assign(new Event('storage'), { key: null }));
    expect(here.state).toEqual({ userId: 'ada' });
  });

  it('forgets everything on signing out, also when the server is away', async () => {
    const session = await signedIn();
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
    await session.signOut();
    expect(await new SessionSlot().get()).toBe('signed_out');
    expect(session.state).toEqual({ userId: null, absence: 'signed_out' });
    expect([...storage.values()].join()).not.toMatch(/ada|refresh/);
    await expect(session.token()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('makes void what a refresh brought while the user signed out', async () => {
    const session = await signedIn();
    let leaving: Promise<void> | undefined;
    auth.onRefresh = () => {
      leaving = session.signOut();
    };
    await expect(session.token('access-0')).rejects.toMatchObject({ code: 'unauthenticated' });
    await leaving;
    expect(auth.voided).toEqual(['refresh-1']);
    await expect(session.token()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('lasts as long as the page where the browser keeps nothing', async () => {
    vi.stubGlobal('indexedDB', undefined);
    const session = await signedIn();
    expect(await session.token('access-0')).toBe('access-1');
    expect(await session.token('access-1')).toBe('access-2');
  });

  it('ends when the browser has lost the refresh token', async () => {
    const session = await signedIn();
    await new SessionSlot().put(undefined);
    await expect(session.token('access-0')).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(session.state).toEqual({ userId: null, absence: 'expired' });
  });
});
