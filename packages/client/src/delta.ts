/**
 * Rich-text deltas: quill-delta 5.1 semantics, immutable and typed, checked by `vectors/delta`.
 *
 * Positions and lengths are UTF-16 code units, an embed has length 1. Every function returns normal
 * deltas: no empty operation, no mergeable neighbours, no trailing bare retain, an insertion before a
 * deletion at the same place.
 */

import type { Attributes, Json } from './attributes.js';
import * as attributes from './attributes.js';

/** Content that is not text: an object whose one key usually names its kind. */
export type Embed = { readonly [kind: string]: Json };

export type Insert = { readonly insert: string | Embed; readonly attributes?: Attributes };
export type Retain = { readonly retain: number; readonly attributes?: Attributes };
export type Delete = { readonly delete: number };
export type Op = Insert | Retain | Delete;

/** A change to a document, or a document if it only inserts. */
export type Delta = readonly Op[];

/** Where a delta stands in a tie: on the left its insertion comes first, and its format wins. */
export type Side = 'left' | 'right';

/** A change that cannot be made: it would leave half of a surrogate pair, or reaches past the end. */
export class DeltaError extends Error {
  override name = 'DeltaError';
}

/** How much an operation adds, passes or removes. */
export function opLength(op: Op): number {
  if ('insert' in op) return typeof op.insert === 'string' ? op.insert.length : 1;
  return 'retain' in op ? op.retain : op.delete;
}

/** The length of a document; of a change, what it inserts. */
export function length(delta: Delta): number {
  return delta.reduce((sum, op) => sum + ('insert' in op ? opLength(op) : 0), 0);
}

/** How long a document must be for the change. */
export function baseLength(delta: Delta): number {
  return delta.reduce((sum, op) => sum + ('insert' in op ? 0 : opLength(op)), 0);
}

/** The text of a document, with U+FFFC for embeds. */
export function text(document: Delta): string {
  let joined = '';
  for (const op of document) {
    if ('insert' in op) joined += typeof op.insert === 'string' ? op.insert : '\ufffc';
  }
  return joined;
}

/** A delta in the making: keeps it normal. */
class Builder {
  readonly ops: Op[] = [];

  push(op: Op): void {
    if (opLength(op) === 0) return;
    let end = this.ops.length;
    const last = this.ops[end - 1];
    if (last && 'delete' in last) {
      if ('delete' in op) {
        this.ops[end - 1] = { delete: last.delete + op.delete };
        return;
      }
      // The order makes no difference, so there is only one.
      if ('insert' in op) end -= 1;
    }
    const before = this.ops[end - 1];
    const merged = before && merge(before, op);
    if (merged) this.ops[end - 1] = merged;
    else this.ops.splice(end, 0, op);
  }

  finish(): Delta {
    const last = this.ops[this.ops.length - 1];
    if (last && 'retain' in last && !last.attributes) this.ops.pop();
    return this.ops;
  }
}

function merge(a: Op, b: Op): Op | undefined {
  if ('insert' in a && 'insert' in b) {
    if (typeof a.insert !== 'string' || typeof b.insert !== 'string') return undefined;
    return attributes.equal(a.attributes, b.attributes)
      ? insert(a.insert + b.insert, a.attributes)
      : undefined;
  }
  if ('retain' in a && 'retain' in b) {
    return attributes.equal(a.attributes, b.attributes)
      ? retain(a.retain + b.retain, a.attributes)
      : undefined;
  }
  return undefined;
}

function insert(content: string | Embed, format: Attributes | undefined): Insert {
  return format ? { insert: content, attributes: format } : { insert: content };
}

function retain(count: number, format: Attributes | undefined): Retain {
  return format ? { retain: count, attributes: format } : { retain: count };
}

/** Walks over operations in pieces. Past the end there is an endless bare retain. */
class Cursor {
  private index = 0;
  private offset = 0;

  constructor(private readonly ops: Delta) {}

  get done(): boolean {
    return this.index >= this.ops.length;
  }

  get kind(): 'insert' | 'retain' | 'delete' {
    const op = this.ops[this.index];
    if (!op) return 'retain';
    return 'insert' in op ? 'insert' : 'retain' in op ? 'retain' : 'delete';
  }

  get left(): number {
    const op = this.ops[this.index];
    return op ? opLength(op) - this.offset : Number.POSITIVE_INFINITY;
  }

  take(count = Number.POSITIVE_INFINITY): Op {
    const op = this.ops[this.index];
    if (!op) return { retain: count };
    const [start, end] = [this.offset, Math.min(this.offset + count, opLength(op))];
    if (end === opLength(op)) {
      this.index += 1;
      this.offset = 0;
    } else {
      this.offset = end;
    }
    if ('delete' in op) return { delete: end - start };
    if ('retain' in op) return retain(end - start, op.attributes);
    if (typeof op.insert !== 'string' || (start === 0 && end === op.insert.length)) return op;
    return insert(slice(op.insert, start, end), op.attributes);
  }
}

function slice(whole: string, start: number, end: number): string {
  if (cuts(whole, start) || cuts(whole, end)) {
    throw new DeltaError('the change would cut a surrogate pair');
  }
  return whole.slice(start, end);
}

/** Whether a place in a text is inside a surrogate pair. */
export function cuts(whole: string, at: number): boolean {
  const [before, after] = [whole.charCodeAt(at - 1), whole.charCodeAt(at)];
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000;
}

/** Makes any list of operations normal. */
export function normal(ops: Iterable<Op>): Delta {
  const builder = new Builder();
  for (const op of ops) builder.push(op);
  return builder.finish();
}

/**
 * The one change that does what `first` and then `second` do; of a document, the document after
 * `second`. O(n + m).
 *
 * @throws DeltaError when `second` was not made on what `first` leads to.
 */
export function compose(first: Delta, second: Delta): Delta {
  const [a, b, composed] = [new Cursor(first), new Cursor(second), new Builder()];
  while (!a.done || !b.done) {
    if (b.kind === 'insert') {
      composed.push(b.take());
    } else if (a.kind === 'delete') {
      composed.push(a.take());
    } else {
      const count = Math.min(a.left, b.left);
      const [one, two] = [a.take(count), b.take(count)];
      if ('retain' in two) {
        const bare = 'retain' in one;
        const format = attributes.compose(
          'delete' in one ? undefined : one.attributes,
          two.attributes,
          bare,
        );
        composed.push(bare ? retain(count, format) : insert((one as Insert).insert, format));
      } else if ('retain' in one) {
        composed.push(two);
      }
      // Else an insertion and its deletion, which cancel out.
    }
  }
  return composed.finish();
}

/**
 * `other`, moved past `delta`; both were made on the same document. `side` is where `delta` stands.
 * O(n + m).
 */
export function transform(delta: Delta, other: Delta, side: Side): Delta {
  const [a, b, moved] = [new Cursor(delta), new Cursor(other), new Builder()];
  const left = side === 'left';
  while (!b.done) {
    if (a.kind === 'insert' && (left || b.kind !== 'insert')) {
      moved.push({ retain: opLength(a.take()) });
    } else if (b.kind === 'insert') {
      moved.push(b.take());
    } else {
      const count = Math.min(a.left, b.left);
      const [passed, op] = [a.take(count), b.take(count)];
      // What is gone can neither be formatted nor deleted.
      if ('delete' in passed) continue;
      if ('delete' in op) moved.push(op);
      else
        moved.push(
          retain(count, attributes.transform(passed.attributes, (op as Retain).attributes, left)),
        );
    }
  }
  return moved.finish();
}

/** Moves two concurrent deltas past each other: `left` stands on the left. */
export function cross(left: Delta, right: Delta): [left: Delta, right: Delta] {
  return [transform(right, left, 'right'), transform(left, right, 'left')];
}

/**
 * A delta as two that follow each other, so that the JSON of the first has at most about `units` UTF-16
 * units. The second is empty where all fits; the first is longer where one embed or one format is. O(n).
 */
export function split(delta: Delta, units: number): [first: Delta, second: Delta] {
  let used = 0;
  /** Where the first ends, in the document that it leads to. */
  let position = 0;
  let changes = false;
  for (const [index, op] of delta.entries()) {
    const size = JSON.stringify(op).length;
    const text = 'insert' in op && typeof op.insert === 'string' ? op.insert : '';
    let at = 0;
    if (used + size > units) {
      // A unit of text takes up to six as JSON.
      at = Math.min(text.length, Math.floor(Math.max(0, units - used) / 6));
      if (cuts(text, at)) at -= 1;
      if (at > 0 || changes) {
        const [head, tail] = [text.slice(0, at), text.slice(at)];
        const rest: Op[] = tail ? [{ ...op, insert: tail } as Insert] : at > 0 ? [] : [op];
        const first: Op[] = head ? [{ ...op, insert: head } as Insert] : [];
        return [
          normal([...delta.slice(0, index), ...first]),
          normal([{ retain: position + at }, ...rest, ...delta.slice(index + 1)]),
        ];
      }
    }
    used += size;
    position += 'delete' in op ? 0 : opLength(op);
    changes ||= !('retain' in op) || op.attributes !== undefined;
  }
  return [delta, []];
}

/**
 * A position, moved past `delta`. `side` is where the delta's insertion stands when it meets the
 * position: on the left it pushes the position on.
 */
export function transformPosition(delta: Delta, position: number, side: Side): number {
  let offset = 0;
  for (const op of delta) {
    if (offset > position) break;
    const count = opLength(op);
    if ('delete' in op) {
      position -= Math.min(count, position - offset);
      continue;
    }
    if ('insert' in op && (offset < position || side === 'left')) position += count;
    offset += count;
  }
  return position;
}

/** Where the caret is after typing `delta`: the end of its last insertion or deletion. */
export function caretAfter(delta: Delta): number | undefined {
  let position = 0;
  let caret: number | undefined;
  for (const op of delta) {
    if (!('delete' in op)) position += opLength(op);
    if (!('retain' in op)) caret = position;
  }
  return caret;
}

/**
 * The change that takes `delta` back on `base`. O(n + m).
 *
 * @throws DeltaError when `delta` was not made on `base`.
 */
export function invert(delta: Delta, base: Delta): Delta {
  const [cursor, inverted] = [new Cursor(base), new Builder()];
  for (const op of delta) {
    if ('insert' in op) {
      inverted.push({ delete: opLength(op) });
      continue;
    }
    for (let left = opLength(op); left > 0 && !cursor.done; ) {
      const piece = cursor.take(left) as Insert;
      left -= opLength(piece);
      if ('delete' in op) inverted.push(piece);
      else
        inverted.push(retain(opLength(piece), attributes.invert(op.attributes, piece.attributes)));
    }
  }
  return inverted.finish();
}
