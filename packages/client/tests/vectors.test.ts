import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Attributes } from '../src/attributes.js';
import * as attributes from '../src/attributes.js';
import {
  compose,
  type Delta,
  invert,
  normal,
  type Op,
  transform,
  transformPosition,
} from '../src/delta.js';

interface Wire {
  ops: Delta;
}

function cases<Case>(name: string): Case[] {
  const file = new URL(`../../../vectors/delta/${name}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Case[] };
  expect(cases.length).toBeGreaterThan(50);
  return cases;
}

const some = (it: Attributes | null) => it ?? undefined;

describe('as quill-delta', () => {
  test('compose', () => {
    for (const it of cases<{ a: Wire; b: Wire; expected: Wire }>('compose')) {
      expect(compose(it.a.ops, it.b.ops)).toEqual(it.expected.ops);
    }
  });

  test('transform', () => {
    for (const it of cases<{ a: Wire; b: Wire; left: Wire; right: Wire }>('transform')) {
      expect(transform(it.a.ops, it.b.ops, 'left')).toEqual(it.left.ops);
      expect(transform(it.a.ops, it.b.ops, 'right')).toEqual(it.right.ops);
    }
  });

  test('transform-position', () => {
    type Case = { change: Wire; index: number; left: number; right: number };
    for (const it of cases<Case>('transform-position')) {
      expect(transformPosition(it.change.ops, it.index, 'left')).toBe(it.left);
      expect(transformPosition(it.change.ops, it.index, 'right')).toBe(it.right);
    }
  });

  test('invert', () => {
    for (const it of cases<{ base: Wire; change: Wire; expected: Wire }>('invert')) {
      expect(invert(it.change.ops, it.base.ops)).toEqual(it.expected.ops);
    }
  });

  test('normal', () => {
    for (const it of cases<{ ops: Op[]; expected: Wire }>('normal')) {
      expect(normal(it.ops)).toEqual(it.expected.ops);
    }
  });

  test('attributes', () => {
    type Case = { [field: string]: Attributes | null };
    for (const it of cases<Case>('attributes')) {
      const [a, b] = [some(it.a ?? null), some(it.b ?? null)];
      expect(attributes.compose(a, b, false) ?? null).toEqual(it.compose);
      expect(attributes.compose(a, b, true) ?? null).toEqual(it.composeKeepNull);
      expect(attributes.invert(a, b) ?? null).toEqual(it.invert);
      expect(attributes.transform(a, b, true) ?? null).toEqual(it.transformLeft);
      expect(attributes.transform(a, b, false) ?? null).toEqual(it.transformRight);
    }
  });
});
