// Takes the documents that Yjs keeps to show that it still reads what its version 13.2 wrote, from a checkout
// of https://github.com/yjs/yjs (MIT): node scripts/take-yjs-fixtures.mjs CHECKOUT/tests/compatibility.tests.js
import { readFileSync, writeFileSync } from 'node:fs';

const source = readFileSync(process.argv[2], 'utf8');
const fixtures = [];
for (const part of source.split('export const ').slice(1)) {
  const name = part.match(/^\w+/)[0];
  const update = part.match(/oldDoc = '([^']+)'/)[1];
  const expected = part.match(
    /oldVal = (?:JSON\.parse\('(.*)'\)|\/\*\*.*?\*\/ \((.*)\)|(\[.*\]|\{.*\}))\n/,
  );
  const json = expected[1] ?? expected[2] ?? expected[3];
  const [, kind, root] = part.match(/doc\.get(\w+)\('(\w+)'\)/);
  const hex = Buffer.from(update, 'base64').toString('hex');
  fixtures.push({
    name,
    kind,
    root,
    update: hex,
    expected: JSON.parse(json.replaceAll("\\'", "'")),
  });
}
writeFileSync('vectors/yjs/compatibility.json', `${JSON.stringify(fixtures, null, 1)}\n`);
