// Makes vectors/delta/*.json by running quill-delta: hand-written kinds of cases, and random ones from a
// fixed seed. Running it twice gives the same bytes.
import { mkdirSync, writeFileSync } from 'node:fs';
import QuillDelta from 'quill-delta';

const { AttributeMap } = QuillDelta;
const Delta = QuillDelta.default ?? QuillDelta;
const folder = new URL('../vectors/delta/', import.meta.url);
mkdirSync(folder, { recursive: true });

/** mulberry32: a small generator whose sequence is the same everywhere. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Objects are compared by identity in `invert`; what comes over a wire is never identical. */
const structured = (delta) => new Delta(structuredClone(delta.ops));

const random = generator(20_260_101);
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

const FORMATS = [
  undefined,
  { bold: true },
  { bold: null },
  { color: 'red', bold: true },
  { color: null, italic: true },
  { link: { href: 'x', title: null } },
  { link: { href: 'y' } },
  { list: ['a', { b: 1 }] },
];
/** Formats without null, as documents have them. */
const PLAIN = FORMATS.filter(
  (format) => !format || Object.values(format).every((value) => value !== null),
);
const WORDS = ['a', 'bc', 'def', '\n', 'é', '漢字', '😀', 'x😀y', 'aa', 'ab'];
const EMBEDS = [{ image: 'i' }, { image: 'j' }, { formula: { tex: 'x', size: 2 } }];

function insertion(delta, formats) {
  delta.insert(random() < 0.15 ? pick(EMBEDS) : pick(WORDS), pick(formats));
}

function randomDocument() {
  const delta = new Delta();
  for (let n = below(6); n > 0; n -= 1) insertion(delta, PLAIN);
  return delta;
}

/** The units of a document, to cut between characters only. */
function boundaries(document) {
  const places = [0];
  for (const op of document.ops) {
    const last = places[places.length - 1];
    if (typeof op.insert !== 'string') places.push(last + 1);
    else for (const char of op.insert) places.push(places[places.length - 1] + char.length);
  }
  return places;
}

function randomChange(document) {
  const places = boundaries(document);
  const delta = new Delta();
  let at = 0;
  while (random() < 0.85) {
    if (random() < 0.4) insertion(delta, FORMATS);
    if (at >= places.length - 1) break;
    const to = at + 1 + below(Math.min(4, places.length - 1 - at));
    const count = places[to] - places[at];
    if (random() < 0.4) delta.delete(count);
    else delta.retain(count, pick(FORMATS));
    at = to;
  }
  return delta.chop();
}

/** What `a` leads to from `document`. */
const after = (document, a) => document.compose(a);

const t = (text, attributes) => new Delta().insert(text, attributes);
const r = (count, attributes) => new Delta().retain(count, attributes);
const d = (count) => new Delta().delete(count);
const B = { bold: true };
const I = { italic: true };

const documents = {
  empty: new Delta(),
  'one letter': t('A'),
  'two formats': t('ab', B).insert('cd'),
  'an embed': t('a').insert({ image: 'i' }, B).insert('b'),
  'pairs outside the BMP': t('x😀y😀'),
  lines: t('one\n', { header: 1 }).insert('two\n'),
};

/** Kinds of changes; each is tried on each document that is long enough. */
const changes = {
  nothing: new Delta(),
  'insert at the start': t('X'),
  'insert with format': t('X', B),
  'insert two formats': t('X', B).insert('Y', I),
  'insert an embed': new Delta().insert({ image: 'n' }),
  'insert an embed with format': new Delta().insert({ formula: 'f' }, B),
  'insert a pair': t('😎'),
  'insert after one': r(1).insert('X'),
  'insert after one with format': r(1).insert('X', B),
  'delete one': d(1),
  'delete and insert': d(1).insert('X'),
  'insert and delete': t('X').delete(1),
  'delete after one': r(1).delete(1),
  'format one': r(1, B),
  'format one in two ways': r(1, { bold: true, color: 'red' }),
  'unformat one': r(1, { bold: null }),
  'unformat and format': r(1, { bold: null, italic: true }),
  'nested format': r(1, { link: { href: 'a', rel: { x: 1 } } }),
  'another nested format': r(1, { link: { href: 'b' } }),
  'format after one': r(1).retain(1, I),
  'format, then delete': r(1, B).delete(1),
  'delete, then format': d(1).retain(1, B),
  'insert on both sides': t('X').retain(1).insert('Y'),
  'replace all but one': r(1).delete(1).insert('XYZ'),
  'trailing retain': t('X').retain(1),
};

const cases = {
  compose: [],
  transform: [],
  'transform-position': [],
  invert: [],
  diff: [],
  normal: [],
  attributes: [],
};
const ops = (delta) => ({ ops: delta.ops });
const need = (delta) => delta.ops.reduce((sum, op) => sum + (op.retain ?? op.delete ?? 0), 0);
const fits = (document, change) =>
  need(change) <= document.length() &&
  boundaries(document).includes(need(change)) &&
  splits(change).every((place) => boundaries(document).includes(place));

/** The places at which a change cuts the document. */
function splits(change) {
  let place = 0;
  return change.ops.map((op) => {
    place += op.retain ?? op.delete ?? 0;
    return place;
  });
}

for (const [documentName, document] of Object.entries(documents)) {
  for (const [name, change] of Object.entries(changes)) {
    if (!fits(document, change)) continue;
    const title = `${documentName}: ${name}`;
    cases.compose.push({
      name: title,
      a: ops(document),
      b: ops(change),
      expected: ops(after(document, change)),
    });
    cases.invert.push({
      name: title,
      base: ops(document),
      change: ops(change),
      expected: ops(change.invert(structured(document))),
    });
    for (const [otherName, other] of Object.entries(changes)) {
      const composed = after(document, change);
      if (fits(composed, other)) {
        cases.compose.push({
          name: `${title}, then ${otherName}`,
          a: ops(change),
          b: ops(other),
          expected: ops(change.compose(other)),
        });
      }
      if (documentName !== 'two formats' || !fits(document, other)) continue;
      cases.transform.push({
        name: `${name} / ${otherName}`,
        a: ops(change),
        b: ops(other),
        left: ops(change.transform(other, true)),
        right: ops(change.transform(other, false)),
      });
    }
  }
  for (const [otherName, other] of Object.entries(documents)) {
    cases.diff.push({
      name: `${documentName} to ${otherName}`,
      a: ops(document),
      b: ops(other),
      expected: ops(document.diff(other)),
    });
  }
}

/** Changes of a document of six letters, to move positions over. */
const moves = {
  'insert at the start': t('XY'),
  'insert in the middle': r(3).insert('XY'),
  'insert an embed in the middle': r(3).insert({ image: 'i' }),
  'insert a pair in the middle': r(3).insert('😀'),
  'insert twice at one place': r(3).insert('X', B).insert('Y'),
  'insert at the end': r(6).insert('XY'),
  'delete at the start': d(2),
  'delete in the middle': r(2).delete(2),
  'delete all': d(6),
  'replace in the middle': r(2).insert('X').delete(2),
  'delete, retain, insert': d(1).retain(2).insert('X'),
  'insert, retain, delete': t('X').retain(2).delete(1),
  'format only': r(2, B).retain(2, I),
};
for (const [name, change] of Object.entries(moves)) {
  for (const index of [0, 1, 2, 3, 4, 6]) moved(`${name}: ${index}`, change, index);
}

function moved(name, change, index) {
  // quill-delta's priority says that the position stays: the change's insertion stands on the right.
  cases['transform-position'].push({
    name,
    change: ops(change),
    index,
    left: change.transformPosition(index, false),
    right: change.transformPosition(index, true),
  });
}

/** Operations as a careless writer may list them. */
const lists = {
  nothing: [],
  'texts of one format': [
    { insert: 'a', attributes: B },
    { insert: 'b', attributes: B },
  ],
  'texts of equal nested formats': [
    { insert: 'a', attributes: { link: { href: 'x', rel: 1 } } },
    { insert: 'b', attributes: { link: { rel: 1, href: 'x' } } },
  ],
  'texts of two formats': [
    { insert: 'a', attributes: B },
    { insert: 'b', attributes: I },
  ],
  'text without and with a format': [{ insert: 'a' }, { insert: 'b', attributes: B }],
  'two embeds': [{ insert: { image: 'i' } }, { insert: { image: 'i' } }],
  'text around an embed': [{ insert: 'a' }, { insert: { image: 'i' } }, { insert: 'b' }],
  'retains of one format': [
    { retain: 1, attributes: B },
    { retain: 2, attributes: B },
  ],
  'retains of two formats': [
    { retain: 1, attributes: B },
    { retain: 2, attributes: I },
  ],
  'retains that remove': [
    { retain: 1, attributes: { bold: null } },
    { retain: 2, attributes: { bold: null } },
  ],
  'a trailing retain': [{ insert: 'a' }, { retain: 3 }],
  'two trailing retains': [{ insert: 'a' }, { retain: 3 }, { retain: 1 }],
  'a trailing retain that formats': [{ insert: 'a' }, { retain: 3, attributes: B }],
  deletions: [{ delete: 1 }, { delete: 2 }],
  'a deletion, then text': [{ delete: 1 }, { insert: 'a' }],
  'text, a deletion, text': [{ insert: 'a' }, { delete: 1 }, { insert: 'b' }],
  'text between deletions': [{ delete: 1 }, { insert: 'a' }, { delete: 2 }],
  'texts of two formats between deletions': [
    { delete: 1 },
    { insert: 'a' },
    { insert: 'b', attributes: B },
    { delete: 2 },
  ],
  'an embed after a deletion': [{ retain: 1 }, { delete: 1 }, { insert: { image: 'i' } }],
};
for (const [name, list] of Object.entries(lists)) {
  cases.normal.push({ name, ops: list, expected: ops(pushed(list)) });
}

function pushed(list) {
  return list.reduce((delta, op) => delta.push(structuredClone(op)), new Delta()).chop();
}

for (let n = 0; n < 900; n += 1) {
  const document = randomDocument();
  const [a, b] = [randomChange(document), randomChange(document)];
  cases.transform.push({
    a: ops(a),
    b: ops(b),
    left: ops(a.transform(b, true)),
    right: ops(a.transform(b, false)),
  });
  cases.compose.push({ a: ops(document), b: ops(a), expected: ops(after(document, a)) });
  const c = randomChange(after(document, a));
  cases.compose.push({ a: ops(a), b: ops(c), expected: ops(a.compose(c)) });
  cases.invert.push({
    base: ops(document),
    change: ops(a),
    expected: ops(a.invert(structured(document))),
  });
  moved(undefined, a, below(document.length() + 3));
  if (n % 3 === 0) {
    const other = randomDocument();
    cases.diff.push({ a: ops(document), b: ops(other) });
  }
  const raw = [];
  for (let k = below(6); k > 0; k -= 1) {
    const kind = below(3);
    if (kind === 0)
      raw.push({ insert: random() < 0.2 ? pick(EMBEDS) : pick(WORDS), attributes: pick(FORMATS) });
    else if (kind === 1) raw.push({ retain: 1 + below(3), attributes: pick(FORMATS) });
    else raw.push({ delete: 1 + below(3) });
  }
  cases.normal.push({ ops: raw, expected: ops(pushed(raw)) });
}

for (const a of FORMATS) {
  for (const b of FORMATS) {
    cases.attributes.push({
      a: a ?? null,
      b: b ?? null,
      compose: AttributeMap.compose(a, b, false) ?? null,
      composeKeepNull: AttributeMap.compose(a, b, true) ?? null,
      diff: AttributeMap.diff(a, b) ?? null,
      invert: empty(AttributeMap.invert(a, structuredClone(b))),
      transformLeft: AttributeMap.transform(a, b, true) ?? null,
      transformRight: AttributeMap.transform(a, b, false) ?? null,
    });
  }
}

function empty(attributes) {
  return Object.keys(attributes).length > 0 ? attributes : null;
}

for (const [name, list] of Object.entries(cases)) {
  const lines = list.map((one) => JSON.stringify(one));
  writeFileSync(new URL(`${name}.json`, folder), `{"cases":[\n${lines.join(',\n')}\n]}\n`);
  process.stdout.write(`${name}: ${list.length} cases\n`);
}
