// What the simulator's clients do to a text, in both dialects.
import { cuts, length, normal, text } from '../dist/delta.js';

const WORDS = ['a', 'bc', '\n', 'é', '😀', 'x😀y'];

/** Each embed has a name of its own, which shows whether an edit was made twice. */
let embeds = 0;

/** Counts embeds from the first one again. */
export function reset() {
  embeds = 0;
}

/** A random edit of a document; dice are numbers in [0, 1). */
export function randomEdit(content, [where, what, word]) {
  const whole = text(content);
  const boundary = (at) => (cuts(whole, at) ? at - 1 : at);
  const start = boundary(Math.floor(where * (length(content) + 1)));
  const end = boundary(Math.min(length(content), start + Math.floor(word * 5)));
  const count = Math.max(0, end - start);
  if (what < 0.55)
    return normal([{ retain: start }, { insert: WORDS[Math.floor(word * WORDS.length)] }]);
  if (what < 0.62) {
    embeds += 1;
    return normal([{ retain: start }, { insert: { image: embeds } }]);
  }
  if (what < 0.85 || count === 0) return normal([{ retain: start }, { delete: count }]);
  return normal([
    { retain: start },
    { retain: count, attributes: { bold: what < 0.95 ? true : null } },
  ]);
}
