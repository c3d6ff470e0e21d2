import { describe, expect, it } from 'vitest';
import { returnPath, signInPath } from '../src/auth/returnPath';
import { initials } from '../src/components/initials';
import { personColor } from '../src/components/personColor';
import { ago } from '../src/components/RelativeTime';
import { normalizeLink } from '../src/editor/link';
import { type Situation, saveState, saveStateText } from '../src/editor/saveState';

describe('the way back after signing in', () => {
  it('leads to the page that was asked for', () => {
    const search = new URLSearchParams(signInPath('/d/1?x=2').split('?')[1]);
    expect(returnPath(search)).toBe('/d/1?x=2');
  });

  it.each([
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    '',
  ])('never leads to %j', (next) => {
    expect(returnPath(new URLSearchParams({ next }))).toBe('/');
  });
});

describe('links', () => {
  it.each([
    ['example.org', 'https://example.org'],
    [' https://example.org/a?b#c ', 'https://example.org/a?b#c'],
    ['ada@example.org', 'mailto:ada@example.org'],
    ['mailto:ada@example.org', 'mailto:ada@example.org'],
    ['example.org/@ada', 'https://example.org/@ada'],
    ['javascript:alert(1)', 'https://javascript:alert(1)'],
  ])('%j becomes %j', (typed, link) => {
    expect(normalizeLink(typed)).toBe(link);
  });
});

describe('the state line', () => {
  const calm: Situation = {
    loaded: true,
    connection: 'online',
    waiting: 0,
    role: 'editor',
    problem: undefined,
  };
  it.each<[string, Partial<Situation>, string]>([
    ['all is stored', {}, 'Saved'],
    ['edits are under way', { waiting: 2 }, 'Saving…'],
    ['a viewer looks on', { role: 'viewer' }, 'Read only'],
    ['nothing is here, nor a connection', { loaded: false, connection: 'offline' }, 'Offline'],
    ['nothing is here yet', { loaded: false, connection: 'reconnecting' }, 'Opening…'],
    ['the line is being mended', { connection: 'reconnecting' }, 'Reconnecting…'],
    ['the line is down', { connection: 'offline' }, 'Offline'],
    ['one edit waits', { connection: 'offline', waiting: 1 }, 'Offline – 1 edit waiting'],
    ['more edits wait', { connection: 'offline', waiting: 3 }, 'Offline – 3 edits waiting'],
    [
      'edits wait for the line',
      { connection: 'reconnecting', waiting: 3 },
      'Reconnecting… – 3 edits waiting',
    ],
    [
      'there is no way on',
      { problem: 'Open elsewhere', waiting: 1 },
      'Open elsewhere – 1 edit waiting',
    ],
  ])('when %s', (_, change, text) => {
    expect(saveStateText(saveState({ ...calm, ...change }))).toBe(text);
  });
});

describe('people', () => {
  it.each([
    ['Ada Lovelace', 'AL'],
    ['josquin', 'J'],
    ['  Guillaume  de  Machaut ', 'GM'],
    ['👩‍🎤 Ziggy', '👩‍🎤Z'],
    ['', '?'],
  ])('%j has the initials %j', (name, letters) => {
    expect(initials(name)).toBe(letters);
  });

  it('have 16 different colours, on which white can be read', () => {
    const colors = Array.from({ length: 16 }, (_, number) => personColor(number));
    expect(new Set(colors).size).toBe(16);
    for (const color of colors) expect(contrastToWhite(color)).toBeGreaterThanOrEqual(4.5);
    expect(personColor(16)).toBe(personColor(0));
  });
});

describe('times', () => {
  it.each([
    [0, 'just now'],
    [-59, 'just now'],
    [-60, '1 minute ago'],
    [-7_200, '2 hours ago'],
    [-86_400, 'yesterday'],
    [-86_400 * 400, 'last year'],
  ])('%d s is %j', (seconds, text) => {
    expect(ago(seconds)).toBe(text);
  });
});

/** WCAG 2.2's contrast ratio of a `#rrggbb` colour to white. */
function contrastToWhite(color: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05);
}
