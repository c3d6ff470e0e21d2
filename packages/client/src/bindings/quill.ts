/**
 * Binds a Quill 2 editor to a document.
 *
 * Quill always shows a newline at its end that nobody typed. That newline is Quill's affair: the editor
 * shows the document and one newline more. So an empty document is empty, two editors that open it at
 * once add nothing, and a `<textarea>` on the same document sees just what was typed. When the user
 * formats the last line, as a heading say, the format needs a newline of the document to live on: the
 * binding inserts one, and the editor shows an empty line below.
 */
import type Quill from 'quill';
import type { Attributes } from '../attributes.js';
import { cross, type Delta, length, normal, type Op, opLength } from '../delta.js';
import type { MotetDocument } from '../document.js';
import type { Presence } from '../messages.js';

/** What the binding needs of the module `quill-cursors`. */
export interface Cursors {
  createCursor(id: string, name: string, color: string): unknown;
  moveCursor(id: string, range: { index: number; length: number } | null): void;
  removeCursor(id: string): void;
}

export interface QuillOptions {
  /** The editor's cursors module, to show where the others are. */
  readonly cursors?: Cursors;
  /** The colour for one of the document's colour numbers, 0 to 15. */
  readonly color?: (color: number) => string;
}

type QuillDelta = Parameters<Quill['updateContents']>[0];

/** The editor shows the document from here on, and edits it. Returns a function that ends this. */
export function bindQuill(
  doc: MotetDocument,
  quill: Quill,
  options: QuillOptions = {},
): () => void {
  const shown = new Set<string>();
  /** Changes that came while an input method was at work: showing them would end it. */
  let held: Delta[] = [];

  const load = (content: Delta) => {
    held = [];
    quill.setContents(toQuill(quill, [...content, { insert: '\n' }]), 'api');
    quill.history?.clear();
  };

  const onTextChange = (change: { ops: unknown[] }, _before: unknown, source: string) => {
    if (source !== 'user' || !doc.loaded) return;
    const ops = change.ops as Op[];
    // The editor has changed already, the document has not.
    const documentLength = quill.getLength() - 1 - growth(ops);
    const { delta, extra } = withoutLastNewline(ops, documentLength);
    let edit = delta;
    held = held.map((change) => {
      const [moved, after] = cross(change, edit);
      edit = after;
      return moved;
    });
    doc.edit(edit);
    if (extra)
      quill.updateContents(
        toQuill(quill, [{ retain: quill.getLength() }, { insert: '\n' }]),
        'silent',
      );
  };

  // Quill tells the new selection before the edit that moved it, so the selection waits its turn.
  let selecting = false;
  const onSelectionChange = () => {
    if (selecting) return;
    selecting = true;
    queueMicrotask(() => {
      selecting = false;
      const range = quill.getSelection();
      doc.select(range && { anchor: range.index, head: range.index + range.length });
    });
  };

  const onPresence = (presence: ReadonlyMap<string, Presence>) => {
    const { cursors } = options;
    if (!cursors) return;
    for (const id of [...shown].filter((id) => !presence.has(id))) {
      cursors.removeCursor(id);
      shown.delete(id);
    }
    for (const [id, { name, color, anchor, head }] of presence) {
      if (anchor === undefined || head === undefined) {
        if (shown.delete(id)) cursors.removeCursor(id);
        continue;
      }
      if (!shown.has(id)) {
        cursors.createCursor(id, name, options.color?.(color) ?? hue(color));
        shown.add(id);
      }
      cursors.moveCursor(id, { index: Math.min(anchor, head), length: Math.abs(head - anchor) });
    }
  };

  const enable = () => quill.enable(doc.loaded && doc.role !== 'viewer');

  if (doc.content) load(doc.content);
  enable();
  const ends = [
    doc.on('load', (content) => {
      load(content);
      enable();
    }),
    doc.on('role', enable),
    doc.on('change', ({ delta, source }) => {
      if (source === 'local') return;
      if (quill.composition.isComposing) held.push(delta);
      else quill.updateContents(toQuill(quill, delta), 'api');
    }),
    doc.on('presence', onPresence),
  ];
  // Quill has told what was composed when it says this.
  const onCompositionEnd = () => {
    for (const delta of held.splice(0)) quill.updateContents(toQuill(quill, delta), 'api');
  };
  quill.on('composition-end', onCompositionEnd);
  quill.on('text-change', onTextChange);
  quill.on('selection-change', onSelectionChange);
  onPresence(doc.presence);
  return () => {
    for (const end of ends) end();
    quill.off('composition-end', onCompositionEnd);
    quill.off('text-change', onTextChange);
    quill.off('selection-change', onSelectionChange);
    for (const id of shown) options.cursors?.removeCursor(id);
  };
}

/**
 * A change of the editor as a change of the document, which is one newline shorter. `extra` says that the
 * editor's last newline has become part of the document, and the editor needs another.
 *
 * `documentLength` is that of the document before the change.
 */
export function withoutLastNewline(
  change: readonly Op[],
  documentLength: number,
): { delta: Delta; extra: boolean } {
  const ops: Op[] = [];
  let extra = false;
  let position = 0;
  for (const op of change) {
    if ('insert' in op) {
      ops.push(op);
      continue;
    }
    const inside = Math.max(0, Math.min(opLength(op), documentLength - position));
    const beyond = opLength(op) - inside;
    position += opLength(op);
    if ('delete' in op) {
      ops.push({ delete: inside });
      continue;
    }
    ops.push({ ...op, retain: inside });
    const format = beyond > 0 ? kept(op.attributes) : undefined;
    if (format) {
      ops.push({ insert: '\n', attributes: format });
      extra = true;
    }
  }
  return { delta: normal(ops), extra };
}

/** The attributes that are set: removing one from a newline that has none does nothing. */
function kept(attributes: Attributes | undefined): Attributes | undefined {
  const set = Object.entries(attributes ?? {}).filter(([, value]) => value !== null);
  return set.length > 0 ? Object.fromEntries(set) : undefined;
}

function growth(ops: readonly Op[]): number {
  const deleted = ops.reduce((sum, op) => sum + ('delete' in op ? op.delete : 0), 0);
  return length(ops) - deleted;
}

/**
 * The operations as Quill takes them. It throws at embeds of a kind that it does not know; such a one shows
 * as U+FFFC, which is as long, so that every position stays right.
 */
function toQuill(quill: Quill, delta: Delta): QuillDelta {
  const ops = delta.map((op) => {
    if (!('insert' in op) || typeof op.insert === 'string') return op;
    const kinds = Object.keys(op.insert);
    const known = kinds.length === 1 && kinds.every((kind) => quill.scroll.query(kind) !== null);
    return known ? op : { insert: '\ufffc' };
  });
  return ops as unknown as QuillDelta;
}

/** Sixteen hues that are as far apart as can be, neighbours first. */
function hue(color: number): string {
  return `hsl(${(color * 137.5) % 360} 70% 45%)`;
}
