import { expect, test } from 'vitest';
import type { Attributes, Json } from '../src/attributes.js';
import { compose, invert, transform } from '../src/attributes.js';
import * as delta from '../src/delta.js';

// No vectors: quill-delta itself loses some of these. `a_name_is_any_text` is the same in Rust.
test.each([
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
])('a name is any text: %s', (name) => {
  const set = (value: Json): Attributes => ({ [name]: value });
  const json = (value: unknown) => JSON.stringify(value);
  const plain = (value: unknown) => `{${json(name)}:${json(value)}}`;

  expect(json(compose(undefined, set('a'), false))).toBe(plain('a'));
  expect(json(compose(set('a'), { bold: true }, false))).toContain(plain('a').slice(1, -1));
  expect(json(compose(set('a'), set('b'), false))).toBe(plain('b'));
  expect(json(compose(set({ a: 1 }), set({ b: 1 }), true))).toBe(plain({ b: 1 }));
  expect(compose(set('a'), set(null), false)).toBeUndefined();
  expect(json(compose(set('a'), set(null), true))).toBe(plain(null));
  expect(transform(set('a'), set('b'), true)).toBeUndefined();
  expect(json(transform({ bold: true }, set('b'), true))).toBe(plain('b'));
  expect(json(invert(set('b'), set('a')))).toBe(plain('a'));
  expect(json(invert(set('b'), {}))).toBe(plain(null));

  const document = [{ insert: 'ab' }];
  const formatted = delta.compose(document, [{ retain: 1, attributes: set({ bold: 1 }) }]);
  expect(json(formatted)).toBe(
    `[{"insert":"a","attributes":${plain({ bold: 1 })}},{"insert":"b"}]`,
  );
  expect((formatted[0] as delta.Insert).attributes?.bold).toBeUndefined();
});
