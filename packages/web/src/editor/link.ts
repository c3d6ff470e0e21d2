import type Quill from 'quill/core.js';
import type { Range } from 'quill/core.js';

/** An address as people type it, made into one that a browser follows. */
export function normalizeLink(address: string): string {
  const text = address.trim();
  if (/^(https?:|mailto:|tel:|sms:)/i.test(text)) return text;
  if (/^[^\s@/]+@[^\s@/]+$/.test(text)) return `mailto:${text}`;
  return `https://${text.replace(/^\/+/, '')}`;
}

/** A stretch of the text, in UTF-16 code units. */
export type Span = Pick<Range, 'index' | 'length'>;

/** What a link form at `selection` acts on: the selection, or else the whole link around the caret. */
export function linkRange(quill: Quill, selection: Span): Span {
  if (selection.length > 0) return selection;
  const link = quill.getFormat(selection).link;
  if (link === undefined) return selection;
  const at = (index: number) => quill.getFormat(index, 1).link === link;
  let start = selection.index;
  let end = selection.index;
  while (start > 0 && at(start - 1)) start -= 1;
  while (end < quill.getLength() - 1 && at(end)) end += 1;
  return { index: start, length: end - start };
}
