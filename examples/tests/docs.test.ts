/** The snippets of docs/editors.md are the examples' own code. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../', import.meta.url);

/** Code without indentation, so that a snippet may stand anywhere. */
const flat = (code: string) => code.replace(/^\s+/gm, '').trim();

const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => /^[\w-]+\/\w+\.tsx?$/.test(path))
  .map((path) => flat(readFileSync(new URL(path, root), 'utf8')));

const page = readFileSync(new URL('../docs/editors.md', root), 'utf8');
const snippets = [...page.matchAll(/```tsx?\n(.*?)```/gs)].map(([, code]) => flat(code ?? ''));

test.each(snippets)('%s', (snippet) => {
  expect(sources.some((source) => source.includes(snippet))).toBe(true);
});
