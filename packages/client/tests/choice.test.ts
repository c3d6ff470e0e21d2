import { expect, test } from 'vitest';
import type { CarrierName } from '../src/carrier.js';
import { Choice } from '../src/choice.js';

const BOTH: readonly CarrierName[] = ['websocket', 'sse'];
const refused = { code: 1006, heard: false, lastedMs: 0 };
const cut = { code: 1006, heard: true, lastedMs: 1_000 };
const lost = { code: 1006, heard: true, lastedMs: 60_000 };
const restarted = { code: 1012, heard: true, lastedMs: 1_000 };

let servers = 0;
function choice(names = BOTH): Choice {
  servers += 1;
  return new Choice(`https://${servers}.example.com`, names);
}

test('a WebSocket of which nothing is heard is given up at once, and so is an event stream', () => {
  const it = choice();
  expect([it.current, it.hasOther, it.favourite]).toEqual(['websocket', true, undefined]);
  it.ended(refused);
  expect([it.current, it.favourite]).toEqual(['sse', 'websocket']);
  it.ended(refused);
  expect(it.current).toBe('websocket');
});

test.each([
  ['refused', refused],
  ['cut', cut],
])('one that has worked may be %s three times', (_, end) => {
  const it = choice();
  it.works();
  for (const name of ['websocket', 'websocket', 'sse'] as const) {
    it.ended(end);
    expect(it.current).toBe(name);
  }
});

test('what the server says, or a long life, is no failure', () => {
  const it = choice();
  it.works();
  for (const end of [cut, cut, restarted, cut, cut, lost, cut, cut]) it.ended(end);
  expect(it.current).toBe('websocket');
  const denied = choice();
  denied.ended({ code: 4401, heard: false, lastedMs: 0 });
  expect(denied.current).toBe('websocket');
});

test('the favourite is tried again later and later, until it is trusted', () => {
  const it = choice();
  it.ended(refused);
  it.works();
  const waits = Array.from({ length: 9 }, () => {
    const wait = it.returnInMs(0);
    // An event stream that breaks meanwhile does not put it off.
    it.ended(lost);
    expect(it.returnInMs(1_000)).toBe(wait - 1_000);
    it.tried(false);
    return wait / 1_000;
  });
  expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600]);
  it.tried(true);
  it.works();
  expect([it.current, it.favourite]).toEqual(['websocket', undefined]);
  // It has deceived before: once more is enough.
  it.ended(cut);
  expect([it.current, it.returnInMs(0)]).toEqual(['sse', 600_000]);
  it.tried(true);
  it.works();
  for (const end of [lost, cut, cut, cut]) it.ended(end);
  expect([it.current, it.returnInMs(0)]).toEqual(['sse', 5_000]);
});

test('what worked for a server is where its next document begins', () => {
  const url = 'https://known.example.com';
  const first = new Choice(url, BOTH);
  first.ended(refused);
  first.works();
  expect(new Choice(url, BOTH).current).toBe('sse');
  expect(new Choice(url, ['websocket']).current).toBe('websocket');
  expect(choice().current).toBe('websocket');
});

test('where there is one carrier, it stays', () => {
  const it = choice(['sse']);
  for (let n = 0; n < 5; n += 1) it.ended(refused);
  expect([it.current, it.hasOther, it.favourite]).toEqual(['sse', false, undefined]);
  expect(() => choice([])).toThrow();
});
