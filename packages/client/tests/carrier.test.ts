import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Carrier } from '../src/carrier.js';
import { openEvents } from '../src/events.js';

/** A request to send a frame, until the test answers it. */
interface Request {
  readonly query: URLSearchParams;
  readonly token: string | null;
  readonly body: string;
  answer(status: number, body?: object): void;
  fail(): void;
}

let say: (text: string) => void;
let posts: Request[];
let heard: string[];
let ends: [number, string | undefined][];
let carrier: Carrier;

/** A server that the test plays. */
function fetchFromTest(url: URL, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.method !== 'POST') {
    expect(url.href).toBe(
      'https://example.com/app/api/v1/documents/d/events?clientId=c&batches=true&revision=3',
    );
    expect(headers.get('authorization')).toBe('Bearer first');
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        say = (text) => controller.enqueue(new TextEncoder().encode(text));
        init.signal?.addEventListener('abort', () => controller.error(new Error('aborted')));
      },
    });
    return Promise.resolve(new Response(body));
  }
  return new Promise((resolve, reject) => {
    init.signal?.addEventListener('abort', () => reject(new Error('aborted')));
    posts.push({
      query: url.searchParams,
      token: headers.get('authorization'),
      body: String(init.body),
      answer: (status, body) =>
        resolve(new Response(body ? JSON.stringify(body) : null, { status })),
      fail: () => reject(new TypeError('the network is gone')),
    });
  });
}

const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
const frames = () => posts.map(({ query, body }) => [query.get('frame'), body]);
const ping = '{"type":"ping"}';

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', fetchFromTest);
  [posts, heard, ends] = [[], [], []];
  const opening = { url: 'https://example.com/app/', documentId: 'd', clientId: 'c' };
  carrier = openEvents(
    { ...opening, token: 'first', revision: 3, pending: false },
    {
      onFrame: (frame) => heard.push(frame),
      onEnd: (code, complaint) => ends.push([code, complaint]),
    },
  );
  await pass();
  say('event: connection\ndata: {"connectionId":"x"}\n\n');
  await pass();
});

afterEach(() => {
  carrier.close();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test('hears frames, however the stream is cut up', async () => {
  for (const part of ['data: {"a":', '"é"', '}\n', '\n:\n\ndata: [1]\n\ndata: {']) {
    say(part);
    await pass();
  }
  expect(heard).toEqual(['{"a":"é"}', '[1]']);
});

test('sends one frame at a time, and together what gathers meanwhile', async () => {
  carrier.send({ type: 'ping' });
  carrier.send({ type: 'presence_update', data: null });
  carrier.send({ type: 'auth', token: 'second' });
  await pass();
  expect(frames()).toEqual([['1', ping]]);
  expect(posts[0]?.query.get('connection')).toBe('x');
  posts[0]?.answer(204);
  await pass();
  expect(frames()[1]).toEqual([
    '2',
    '[{"type":"presence_update","data":null},{"type":"auth","token":"second"}]',
  ]);
  expect(posts.map(({ token }) => token)).toEqual(['Bearer first', 'Bearer second']);
});

test('sends a frame again under its number until it is taken', async () => {
  carrier.send({ type: 'ping' });
  await pass();
  posts[0]?.fail();
  for (const status of [503, 429, 502, 408]) {
    await pass(5_000);
    posts.at(-1)?.answer(status);
  }
  await pass(5_000);
  posts.at(-1)?.answer(204);
  carrier.send({ type: 'ping' });
  await pass();
  expect(frames().map(([frame]) => frame)).toEqual(['1', '1', '1', '1', '1', '1', '2']);
  expect(ends).toEqual([]);
});

test.each([
  [401, 'token_expired', 4401],
  [413, 'too_large', 1009],
  [410, 'connection_gone', 1006],
  [403, undefined, 1006],
])('%i %s ends it with %i', async (status, complaint, code) => {
  carrier.send({ type: 'ping' });
  carrier.send({ type: 'ping' });
  await pass();
  posts[0]?.answer(status, complaint ? { error: { code: complaint } } : undefined);
  await pass(60_000);
  expect(ends).toEqual([[code, complaint]]);
  expect(posts).toHaveLength(1);
});

test('a frame that nobody takes is given up with its connection', async () => {
  carrier.send({ type: 'ping' });
  await pass(120_000);
  expect(ends).toEqual([[1006, undefined]]);
});

test('shows that it lives when it only listens', async () => {
  for (let second = 0; second < 60; second += 10) {
    say(':\n\n');
    await pass(10_000);
    posts.at(-1)?.answer(204);
    await pass();
  }
  expect(frames()).toEqual([
    ['1', ping],
    ['2', ping],
  ]);
});

test('ends with what the server says, and says nothing after that', async () => {
  carrier.send({ type: 'ping' });
  await pass();
  say('event: close\ndata: {"code":4403}\n\ndata: {}\n\n');
  await pass(60_000);
  carrier.send({ type: 'ping' });
  await pass(60_000);
  expect([ends, heard, posts.length]).toEqual([[[4403, undefined]], [], 1]);
});

test('says nothing once it is closed', async () => {
  carrier.close();
  await pass(60_000);
  expect([ends, heard]).toEqual([[], []]);
});
