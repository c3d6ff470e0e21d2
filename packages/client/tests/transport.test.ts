import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MotetDocument, type Socket } from '../src/index.js';
import type { ServerMessage } from '../src/messages.js';

/** A socket that the test holds the other end of. */
class FakeSocket implements Socket {
  static all: FakeSocket[] = [];
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  onerror: Socket['onerror'] = null;
  readonly sent: { type: string; [field: string]: unknown }[] = [];
  closed = false;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.closed = true;
  }

  say(
    ...messages: (ServerMessage | { type: 'authenticated'; userId: string; expiresAt: string })[]
  ): void {
    this.onmessage?.({ data: JSON.stringify(messages.length === 1 ? messages[0] : messages) });
  }

  types(): string[] {
    return this.sent.map((it) => it.type);
  }
}

const authenticated = (ms = 3_600_000) =>
  ({
    type: 'authenticated',
    userId: 'u',
    expiresAt: new Date(Date.now() + ms).toISOString(),
  }) as const;
const state = (revision: number, ops?: readonly { insert: string }[]): ServerMessage => ({
  type: 'document_state',
  revision,
  sessionId: 's',
  lastSeq: 0,
  role: 'editor',
  color: 0,
  presence: [],
  ...(ops ? { content: { ops } } : {}),
});

let tokens: boolean[];
let doc: MotetDocument;

async function connected(): Promise<FakeSocket> {
  await vi.advanceTimersByTimeAsync(0);
  const socket = FakeSocket.all.at(-1);
  if (!socket) throw new Error('no socket');
  socket.onopen?.({} as never);
  return socket;
}

/** The next attempt, however long the back-off. */
async function reconnected(): Promise<FakeSocket> {
  const before = FakeSocket.all.length;
  for (let n = 0; n < 600 && FakeSocket.all.length === before; n += 1)
    await vi.advanceTimersByTimeAsync(100);
  expect(FakeSocket.all.length).toBe(before + 1);
  return connected();
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  tokens = [];
  doc = new MotetDocument({
    url: 'https://example.com/',
    documentId: 'd',
    token: (refused) => {
      tokens.push(refused);
      return 'a token';
    },
    WebSocket: FakeSocket,
    transports: ['websocket'],
  });
  doc.connect();
});

afterEach(async () => {
  await doc.destroy();
  vi.useRealTimers();
});

test('authenticates in a message, never in the address', async () => {
  const socket = await connected();
  expect(socket.url).toMatch(
    /^wss:\/\/example\.com\/collab\/d\?clientId=[0-9a-f]{32}&batches=true$/,
  );
  expect(socket.sent).toEqual([{ type: 'auth', token: 'a token' }]);
});

test('a document that comes before the word about the token counts as that word', async () => {
  const socket = await connected();
  socket.say(state(3, [{ insert: 'abc' }]), authenticated());
  doc.edit([{ insert: 'x' }]);
  expect(socket.types()).toEqual(['auth', 'edit_operation']);
  expect(doc.status).toMatchObject({ connection: 'online', waiting: 1, saved: false });
});

test('resumes by revision, and sends what waits', async () => {
  const socket = await connected();
  socket.say(authenticated(), state(3, [{ insert: 'abc' }]));
  socket.onclose?.({ code: 1006 });
  expect(doc.status.connection).toBe('offline');
  doc.edit([{ insert: 'x' }]);
  const again = await reconnected();
  expect(new URL(again.url).searchParams.get('revision')).toBe('3');
  again.say(state(3), authenticated());
  expect(again.sent.at(-1)).toMatchObject({ type: 'edit_operation', seq: 1, revision: 3 });
  again.say({ type: 'ack', seq: 1, revision: 4 });
  expect(doc.status).toEqual({ connection: 'online', waiting: 0, saved: true });
});

test('backs off longer and longer', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1);
  const attempts: number[] = [];
  for (let n = 0; n < 10; n += 1) {
    await vi.advanceTimersByTimeAsync(0);
    FakeSocket.all.at(-1)?.onclose?.({ code: 1006 });
    const [before, start] = [FakeSocket.all.length, Date.now()];
    while (FakeSocket.all.length === before) await vi.advanceTimersByTimeAsync(50);
    attempts.push(Date.now() - start);
  }
  expect(attempts).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test('a token that runs out on its way is replaced again, but not for ever', async () => {
  const expire = (socket: FakeSocket) => {
    socket.say({ type: 'error', code: 'token_expired', message: 'the token has expired' });
    socket.onclose?.({ code: 4401 });
  };
  expire(await connected());
  for (let n = 0; n < 3; n += 1) expire(await reconnected());
  const again = await reconnected();
  again.say(authenticated(), state(0, []));
  expect(doc.status.connection).toBe('online');
  expect(tokens).toEqual([false, true, true, true, true]);

  again.onclose?.({ code: 1006 });
  for (let n = 0; n < 6; n += 1) expire(await reconnected());
  expect(doc.status).toMatchObject({ connection: 'closed', reason: 'unauthenticated' });
});

test('a refused token is replaced once', async () => {
  (await connected()).onclose?.({ code: 4401 });
  (await reconnected()).onclose?.({ code: 4401 });
  expect(tokens).toEqual([false, true]);
  expect(doc.status).toMatchObject({ connection: 'closed', reason: 'unauthenticated' });
});

test.each([
  [4403, 'forbidden'],
  [4404, 'not_found'],
  [4409, 'replaced'],
])('%i is the end', async (code, reason) => {
  (await connected()).onclose?.({ code });
  expect(doc.status).toMatchObject({ connection: 'closed', reason });
  await vi.advanceTimersByTimeAsync(120_000);
  expect(FakeSocket.all).toHaveLength(1);
});

test('a silent server is asked, and then given up', async () => {
  const socket = await connected();
  socket.say(authenticated(), state(0, []));
  await vi.advanceTimersByTimeAsync(15_000);
  expect(socket.types()).toEqual(['auth', 'ping']);
  socket.say({ type: 'pong' });
  await vi.advanceTimersByTimeAsync(15_000);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(socket.closed).toBe(true);
  expect(doc.status.connection).not.toBe('online');
});

test('a token is renewed in band, and not without a pause when the clock runs ahead', async () => {
  const socket = await connected();
  socket.say(authenticated(120_000), state(0, []));
  for (let n = 0; n < 6; n += 1) {
    await vi.advanceTimersByTimeAsync(10_000);
    socket.say({ type: 'pong' });
  }
  expect(socket.types().filter((type) => type === 'auth')).toHaveLength(2);
  socket.say(authenticated(-3_600_000));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(tokens).toHaveLength(2);
});

test('an edit that is too large is taken back instead of sent for ever', async () => {
  const socket = await connected();
  socket.say(authenticated(), state(0, []));
  const rejected = vi.fn();
  doc.on('rejected', rejected);
  doc.edit([{ insert: 'too large' }]);
  socket.onclose?.({ code: 1009 });
  expect(rejected).toHaveBeenCalledWith(expect.objectContaining({ code: 'too_large' }));
  expect([doc.text, doc.status.waiting]).toEqual(['', 0]);
});
