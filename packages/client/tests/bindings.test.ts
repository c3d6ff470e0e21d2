// @vitest-environment jsdom
import { expect, test, vi } from 'vitest';
import { withoutLastNewline } from '../src/bindings/quill.js';
import { bindTextarea, difference } from '../src/bindings/textarea.js';
import { compose, text } from '../src/delta.js';
import { MotetDocument } from '../src/index.js';
import type { ServerMessage } from '../src/messages.js';
import { generator } from './support/random.js';

const WORDS = ['a', 'b', '😀', '😎', 'aa'];

test('a difference leads from one text to the other, and cuts no pair', () => {
  const random = generator(3);
  const word = () => WORDS[Math.floor(random() * WORDS.length)] ?? '';
  for (let n = 0; n < 5_000; n += 1) {
    const before = Array.from({ length: Math.floor(random() * 6) }, word).join('');
    const after = Array.from({ length: Math.floor(random() * 6) }, word).join('');
    const delta = difference(before, after, Math.floor(random() * (after.length + 1)));
    const base = before ? [{ insert: before }] : [];
    expect(text(compose(base, delta))).toBe(after);
    for (const op of delta) {
      if ('insert' in op)
        expect(String(op.insert)).not.toMatch(/^[\udc00-\udfff]|[\ud800-\udbff]$/);
    }
  }
});

test('where several differences would do, it is the one at the caret', () => {
  expect(difference('aa', 'aaa', 1)).toEqual([{ insert: 'a' }]);
  expect(difference('aa', 'aaa', 3)).toEqual([{ retain: 2 }, { insert: 'a' }]);
});

test("Quill's last newline is not the document's", () => {
  // Typing in an empty editor, which shows one newline.
  expect(withoutLastNewline([{ insert: 'a' }], 0)).toEqual({
    delta: [{ insert: 'a' }],
    extra: false,
  });
  // A heading on the last line needs a newline to live on.
  const heading = { retain: 1, attributes: { header: 1 } };
  expect(withoutLastNewline([{ retain: 3 }, heading], 3)).toEqual({
    delta: [{ retain: 3 }, { insert: '\n', attributes: { header: 1 } }],
    extra: true,
  });
  // A heading on an earlier line, or one taken back on the last, does not.
  expect(withoutLastNewline([{ retain: 1 }, heading], 3)).toEqual({
    delta: [{ retain: 1 }, heading],
    extra: false,
  });
  const plain = { retain: 1, attributes: { header: null } };
  expect(withoutLastNewline([{ retain: 3 }, plain], 3)).toEqual({ delta: [], extra: false });
  // All is selected and deleted, Quill's own newline included.
  expect(withoutLastNewline([{ delete: 4 }], 3)).toEqual({ delta: [{ delete: 3 }], extra: false });
});

/** A document whose server the test plays. */
function open(content: string): {
  doc: MotetDocument;
  say: (message: ServerMessage) => void;
  sent: () => unknown[];
} {
  const sent: unknown[] = [];
  let listen: (event: { data: unknown }) => void = () => {};
  class Socket {
    onopen: ((event: never) => void) | null = null;
    onclose = null;
    onerror = null;
    set onmessage(listener: ((event: { data: unknown }) => void) | null) {
      if (listener) listen = listener;
    }
    send(data: string): void {
      sent.push(JSON.parse(data));
    }
    close(): void {}
  }
  const doc = new MotetDocument({
    url: 'http://example.com',
    documentId: 'd',
    token: () => 't',
    WebSocket: Socket as never,
  });
  const say = (message: ServerMessage) => listen({ data: JSON.stringify(message) });
  doc.connect();
  queueMicrotask(() => {});
  const state = {
    type: 'document_state',
    revision: 1,
    sessionId: 's',
    lastSeq: 0,
    role: 'editor',
  } as const;
  return {
    doc,
    say: (message) => {
      if (!doc.loaded)
        say({ ...state, color: 0, presence: [], content: { ops: [{ insert: content }] } });
      say(message);
    },
    sent: () => sent.filter((it) => (it as { type: string }).type === 'edit_operation'),
  };
}

test('a textarea edits, follows others, and keeps its selection', async () => {
  const { doc, say, sent } = open('hello');
  await vi.waitFor(() => {
    say({ type: 'pong' });
    expect(doc.loaded).toBe(true);
  });
  const element = document.createElement('textarea');
  const unbind = bindTextarea(doc, element);
  expect([element.value, element.readOnly]).toEqual(['hello', false]);
  element.setSelectionRange(5, 5);
  element.value = 'hello!';
  element.setSelectionRange(6, 6);
  element.dispatchEvent(new Event('input'));
  expect(sent()).toMatchObject([{ operation: { ops: [{ retain: 5 }, { insert: '!' }] } }]);
  say({ type: 'operation', revision: 2, userId: 'u', operation: { ops: [{ insert: '> ' }] } });
  expect([element.value, element.selectionStart]).toEqual(['> hello!', 8]);

  // While an input method is at work the element is left alone, and nothing is lost.
  element.dispatchEvent(new Event('compositionstart'));
  element.value = '> hello!か';
  element.setSelectionRange(9, 9);
  element.dispatchEvent(new Event('input'));
  say({ type: 'operation', revision: 3, userId: 'u', operation: { ops: [{ insert: '>' }] } });
  expect(element.value).toBe('> hello!か');
  element.dispatchEvent(new Event('compositionend'));
  expect([element.value, doc.text]).toEqual(['>> hello!か', '>> hello!か']);
  expect([element.selectionStart, element.selectionEnd]).toEqual([10, 10]);

  say({ type: 'permission_changed', role: 'viewer' });
  expect(element.readOnly).toBe(true);
  unbind();
  await doc.destroy();
});

test('of changes that arrive together each is heard in the document that it led to', async () => {
  const { doc, say, sent } = open('hello');
  await vi.waitFor(() => {
    say({ type: 'pong' });
    expect(doc.loaded).toBe(true);
  });
  const heard: unknown[] = [];
  const drawn: number[] = [];
  doc.on('presence', () => drawn.push(doc.revision));
  doc.on('change', ({ source }) => {
    heard.push([source, doc.revision, doc.text]);
    // Somebody who answers at once, as an editor that numbers a list would.
    if (doc.revision === 2 && source === 'remote') {
      doc.edit([{ retain: doc.text.length }, { insert: '?' }]);
    }
  });
  say({
    type: 'operations',
    revision: 2,
    changes: [
      [7, 1, '> '],
      [8, 1, 7, ' world'],
      ['u', 0, 1, -1, { insert: '-', attributes: { bold: true } }],
    ],
  });
  expect(heard).toEqual([
    ['remote', 2, '> hello'],
    ['local', 2, '> hello?'],
    ['remote', 3, '> hello world?'],
    ['remote', 4, '>-hello world?'],
  ]);
  expect(sent()).toMatchObject([
    { revision: 2, operation: { ops: [{ retain: 7 }, { insert: '?' }] } },
  ]);
  // Whoever shows the others draws them once.
  expect(drawn).toEqual([4]);
  await doc.destroy();
});
