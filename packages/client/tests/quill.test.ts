// @vitest-environment jsdom
import Quill from 'quill';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bindQuill } from '../src/bindings/quill.js';
import { compose, type Delta } from '../src/delta.js';
import { MotetDocument } from '../src/index.js';
import { DummyServer, socketTo } from './support/server.js';

class Editor {
  readonly doc: MotetDocument;
  readonly quill: Quill;
  private readonly unbind: () => void;

  constructor(server: DummyServer) {
    const WebSocket = socketTo(server) as never;
    this.doc = new MotetDocument({ url: 'http://x', documentId: 'd', token: () => 't', WebSocket });
    const element = document.createElement('div');
    document.body.append(element);
    this.quill = new Quill(element, { modules: { history: { userOnly: true } } });
    this.unbind = bindQuill(this.doc, this.quill);
    this.doc.connect();
  }

  /** What is shown, without Quill's own last newline. */
  get shown(): Delta {
    const length = this.quill.getLength();
    return compose(this.quill.getContents().ops as Delta, [{ retain: length - 1 }, { delete: 1 }]);
  }

  async end(): Promise<void> {
    this.unbind();
    await this.doc.destroy();
  }
}

let server: DummyServer;
let editors: Editor[];

// jsdom lays nothing out.
Range.prototype.getBoundingClientRect = () => document.body.getBoundingClientRect();

beforeEach(async () => {
  server = new DummyServer();
  editors = [new Editor(server), new Editor(server)];
  await vi.waitFor(() => expect(editors.every((it) => it.doc.loaded)).toBe(true));
});
afterEach(() => Promise.all(editors.map((it) => it.end())));

const settled = () =>
  vi.waitFor(() => {
    for (const { doc, shown } of editors) {
      expect(doc.status.saved && doc.revision === server.log.length).toBe(true);
      expect(doc.content).toEqual(server.content);
      expect(shown).toEqual(server.content);
    }
  });

function pair(): [Editor, Editor] {
  const [a, b] = editors;
  if (!a || !b) throw new Error('two editors');
  return [a, b];
}

test('two editors that open an empty document at once add nothing', async () => {
  await settled();
  expect(server.log).toEqual([]);
  const [a, b] = pair();
  a.quill.insertText(0, 'left', 'user');
  b.quill.insertText(0, 'right', 'user');
  await settled();
  expect(server.content).toEqual([{ insert: 'leftright' }]);
});

test('formats of text and of lines, the last one too', async () => {
  const [a, b] = pair();
  a.quill.insertText(0, 'title\nbody', 'user');
  a.quill.formatText(6, 4, 'bold', true, 'user');
  a.quill.formatLine(0, 1, 'header', 1, 'user');
  await settled();
  b.quill.formatLine(6, 1, 'list', 'bullet', 'user');
  await settled();
  expect(server.content.at(-1)).toEqual({ insert: '\n', attributes: { list: 'bullet' } });
  expect(b.quill.getText()).toBe('title\nbody\n\n');
});

test('all is deleted', async () => {
  const [a, b] = pair();
  a.quill.insertText(0, 'one\ntwo\n', 'user');
  await settled();
  b.quill.deleteText(0, b.quill.getLength(), 'user');
  await settled();
  expect(server.content).toEqual([]);
});

test('undo takes back only what was done here', async () => {
  const [a, b] = pair();
  a.quill.insertText(0, 'mine', 'user');
  await settled();
  b.quill.insertText(4, ' theirs', 'user');
  await settled();
  a.quill.history.undo();
  await settled();
  expect(server.content).toEqual([{ insert: ' theirs' }]);
});

test('an embed that Quill does not know keeps its place', async () => {
  const [a, b] = pair();
  a.doc.edit([{ insert: 'a' }, { insert: { 'some-widget': { x: 1 } } }, { insert: 'b' }]);
  await vi.waitFor(() => expect(b.quill.getText()).toBe('a\ufffcb\n'));
  b.quill.insertText(2, '!', 'user');
  await vi.waitFor(() => expect(server.log).toHaveLength(2));
  expect(server.content).toEqual([
    { insert: 'a' },
    { insert: { 'some-widget': { x: 1 } } },
    { insert: '!b' },
  ]);
});

test('a refused edit disappears from the editor', async () => {
  const [a] = pair();
  server.refuse = () => 'document_too_large';
  a.quill.insertText(0, 'too much', 'user');
  await vi.waitFor(() => expect(a.quill.getText()).toBe('\n'));
  expect(a.doc.status.waiting).toBe(0);
});

test('while an input method is at work the text is left alone, and nothing is lost', async () => {
  const [a, b] = editors as [Editor, Editor];
  a.quill.insertText(0, 'hello', 'user');
  await vi.waitFor(() => expect(b.shown).toEqual([{ insert: 'hello' }]));
  const paragraph = b.quill.root.querySelector('p');
  const text = paragraph?.firstChild as Text;
  text.dispatchEvent(new Event('compositionstart', { bubbles: true }));
  expect(b.quill.composition.isComposing).toBe(true);
  text.data = 'helloか';
  a.quill.insertText(0, '> ', 'user');
  a.quill.insertText(7, '!', 'user');
  await vi.waitFor(() => expect(b.doc.text).toBe('> hello!'));
  expect(b.quill.root.textContent).toBe('helloか');
  text.dispatchEvent(new Event('compositionend', { bubbles: true }));
  await vi.waitFor(() => expect(a.shown).toEqual([{ insert: '> hello!か' }]));
  expect(b.shown).toEqual(a.shown);
  b.quill.insertText(0, 'b', 'user');
  await vi.waitFor(() => expect(a.shown).toEqual([{ insert: 'b> hello!か' }]));
});
