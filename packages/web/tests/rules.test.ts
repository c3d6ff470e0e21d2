import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ApiError, describe as inWords, waitText } from '../src/api/error';
import type { AuditEntry } from '../src/api/types';
import { ACTIONS, actorOf, sentence } from '../src/audit/sentence';
import { returnPath, signInPath } from '../src/auth/returnPath';
import { initials } from '../src/components/initials';
import { personColor } from '../src/components/personColor';
import { ago } from '../src/components/RelativeTime';
import { contentOf, TEMPLATES } from '../src/documents/templates';
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

describe('a refusal', () => {
  it.each([
    ['last_administrator', 'let another member manage the organization first'],
    ['invalid_request', 'transferTo must be somebody else'],
    ['invalid_request', 'title must have 1 to 200 characters, and no … direction of text'],
    ['unheard_of', 'a code of a newer server'],
  ])('with the code %s becomes a sentence', (code, message) => {
    const words = inWords(new ApiError(code, message, { status: 400 }));
    expect(words).toMatch(/^[A-Z].*\.$/);
    expect(words).not.toMatch(/must have/);
  });
});

describe('a wait', () => {
  it.each([
    [undefined, 'in a while'],
    [1, 'in 1 second'],
    [59, 'in 59 seconds'],
    [60, 'in 1 minute'],
    [61, 'in 2 minutes'],
  ])('of %s s is %j', (seconds, text) => {
    expect(waitText(seconds)).toBe(text);
  });
});

describe('templates', () => {
  it('are deltas without neighbours that could be one operation', () => {
    const lines = [['**A:** b'], ['c'], ['d', { list: 'bullet' }]] as const;
    expect(contentOf(lines).ops).toEqual([
      { insert: 'A:', attributes: { bold: true } },
      { insert: ' b\nc\nd' },
      { insert: '\n', attributes: { list: 'bullet' } },
    ]);
  });

  it.each(
    TEMPLATES.map(({ title, content }) => [title, content.ops] as const),
  )('%s ends as documents do, and has bold in pairs', (_, ops) => {
    expect(ops.at(-1)?.insert.endsWith('\n')).toBe(true);
    expect(ops.map(({ insert }) => insert).join('')).not.toContain('*');
  });
});

describe('the audit trail', () => {
  const entry: AuditEntry = {
    seq: 1,
    at: '2026-01-01T00:00:00Z',
    actorId: 'ada',
    actorName: 'Ada',
    action: '',
    documentId: 'd',
    documentTitle: 'Motets',
    userId: 'bo',
    userName: 'Bo',
    details: null,
    address: null,
  };
  const read = (change: Partial<AuditEntry>) => {
    const told = { ...entry, ...change };
    const words = sentence(told).map((part) => (typeof part === 'string' ? part : part.strong));
    return `${actorOf(told)} ${words.join('')}`;
  };

  it.each<[Partial<AuditEntry>, string]>([
    [{ action: 'document.shared', details: { role: 'viewer' } }, 'Ada let Bo view Motets'],
    [
      { action: 'document.shared', details: { role: 'editor', group: 'g' } },
      'Ada let a group edit Motets',
    ],
    [{ action: 'document.unshared' }, 'Ada stopped sharing Motets with Bo'],
    [{ action: 'document.unshared', userId: 'ada' }, 'Ada left Motets'],
    [{ action: 'document.closed', details: { changes: 1 } }, 'Ada closed Motets after 1 change'],
    [
      { action: 'document.organization_role_changed', details: { role: null } },
      'Ada closed Motets to the organization',
    ],
    [{ action: 'document.deleted', documentTitle: null }, 'Ada deleted a document for good'],
    [
      { action: 'key.rotated', actorId: null, actorName: null },
      'The server began to use a new signing key',
    ],
    [
      { action: 'account.erased', actorName: null },
      'Someone who has left erased the account of Bo',
    ],
    [{ action: 'moon.eaten' }, 'Ada did moon.eaten'],
  ])('%j is %j', (change, text) => {
    expect(read(change)).toBe(text);
  });

  it('can be searched for whatever the server records', () => {
    const source = new URL('../../../crates/catalog/src/action.rs', import.meta.url);
    const names = readFileSync(source, 'utf8').matchAll(/=> "(\w+\.\w+)"/g);
    const known = ACTIONS.flatMap(({ items }) => items).map(({ value }) => value);
    expect(known.sort()).toEqual([...names].map(([, name]) => name).sort());
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
