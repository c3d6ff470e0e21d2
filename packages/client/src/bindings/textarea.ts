/**
 * Binds a plain `<textarea>` to a document: its text, without formats. An embed shows as U+FFFC.
 */
import { cross, cuts, type Delta, normal, transformPosition } from '../delta.js';
import type { MotetDocument } from '../document.js';

/** The element shows the document from here on, and edits it. Returns a function that ends this. */
export function bindTextarea(doc: MotetDocument, element: HTMLTextAreaElement): () => void {
  /** What the element and the document agree on. */
  let agreed = '';
  let composing = false;
  /** Changes that came while an input method was at work: setting the value would end it. */
  let held: Delta[] = [];

  /** Shows the document, which is `changes` ahead of what the element shows. */
  const show = (changes: readonly Delta[]) => {
    const { selectionStart, selectionEnd, selectionDirection, scrollTop } = element;
    const move = (position: number) =>
      changes.reduce((at, change) => transformPosition(change, at, 'right'), position);
    agreed = doc.text;
    element.value = agreed;
    element.setSelectionRange(move(selectionStart), move(selectionEnd), selectionDirection);
    element.scrollTop = scrollTop;
  };

  const push = () => {
    const value = element.value;
    if (value === agreed || !doc.loaded) return;
    let edit = difference(agreed, value, element.selectionEnd);
    agreed = value;
    held = held.map((change) => {
      const [moved, after] = cross(change, edit);
      edit = after;
      return moved;
    });
    doc.edit(edit);
  };

  const onInput = () => {
    if (!composing) push();
  };
  const onCompositionStart = () => {
    composing = true;
  };
  const onCompositionEnd = () => {
    composing = false;
    push();
    if (held.length > 0) show(held.splice(0));
  };
  const onSelect = () => {
    const { selectionStart, selectionEnd, selectionDirection } = element;
    const backward = selectionDirection === 'backward';
    doc.select({
      anchor: backward ? selectionEnd : selectionStart,
      head: backward ? selectionStart : selectionEnd,
    });
  };
  const onBlur = () => doc.select(null);
  const enable = () => {
    element.readOnly = !doc.loaded || doc.role === 'viewer';
  };

  show([]);
  enable();
  const ends = [
    doc.on('load', () => {
      held = [];
      show([]);
      enable();
    }),
    doc.on('role', enable),
    doc.on('change', ({ delta, source }) => {
      if (source === 'local') return;
      if (composing) held.push(delta);
      else show([delta]);
    }),
  ];
  const listeners: [string, () => void][] = [
    ['input', onInput],
    ['compositionstart', onCompositionStart],
    ['compositionend', onCompositionEnd],
    ['select', onSelect],
    ['keyup', onSelect],
    ['pointerup', onSelect],
    ['blur', onBlur],
  ];
  for (const [name, listener] of listeners) element.addEventListener(name, listener);
  return () => {
    for (const end of ends) end();
    for (const [name, listener] of listeners) element.removeEventListener(name, listener);
  };
}

/**
 * The one replacement that leads from `before` to `after`. Where several would do, as in `aa` to `aaa`,
 * it is the one that ends at the caret.
 */
export function difference(before: string, after: string, caret: number): Delta {
  const most = Math.min(before.length, after.length);
  let suffix = 0;
  while (suffix < Math.min(most, after.length - caret) && same(before, after, suffix)) suffix += 1;
  let prefix = 0;
  while (prefix < most - suffix && before.charCodeAt(prefix) === after.charCodeAt(prefix))
    prefix += 1;
  while (suffix < most - prefix && same(before, after, suffix)) suffix += 1;
  // Neither end may be inside a surrogate pair, of either text.
  if (cuts(before, prefix) || cuts(after, prefix)) prefix -= 1;
  if (cuts(before, before.length - suffix) || cuts(after, after.length - suffix)) suffix -= 1;
  return normal([
    { retain: prefix },
    { insert: after.slice(prefix, after.length - suffix) },
    { delete: before.length - prefix - suffix },
  ]);
}

function same(before: string, after: string, suffix: number): boolean {
  return (
    before.charCodeAt(before.length - 1 - suffix) === after.charCodeAt(after.length - 1 - suffix)
  );
}
