import { cuts, type Delta, length, normal, type Op } from '../../src/delta.js';

/** A sequence of numbers in [0, 1) that is the same for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ['a', 'bc', '\n', 'é', '😀', 'x😀y'];

/** A random edit of a document, which cuts no surrogate pair. */
export function randomEdit(document: Delta, random: () => number): Delta {
  const below = (n: number) => Math.floor(random() * n);
  const units = document.map((op) =>
    'insert' in op && typeof op.insert === 'string' ? op.insert : '\ufffc',
  );
  const text = units.join('');
  const boundary = (at: number) => (cuts(text, at) ? at - 1 : at);
  const start = boundary(below(length(document) + 1));
  const end = boundary(Math.min(length(document), start + below(5)));
  const bold: Op[] =
    end > start ? [{ retain: end - start, attributes: { bold: random() < 0.7 || null } }] : [];
  const kind = random();
  if (kind < 0.55)
    return normal([{ retain: start }, { insert: WORDS[below(WORDS.length)] ?? 'a' }]);
  if (kind < 0.62) return normal([{ retain: start }, { insert: { image: 'i' } }]);
  if (kind < 0.85) return normal([{ retain: start }, { delete: Math.max(0, end - start) }]);
  return normal([{ retain: start }, ...bold]);
}
