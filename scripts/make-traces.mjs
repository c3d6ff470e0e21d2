// Makes vectors/traces: short editing traces in the format of the collection editing-traces, typed by a
// generator with a fixed seed. One person, and two at once. Positions count characters.
import { mkdirSync, writeFileSync } from 'node:fs';
import Delta from 'quill-delta';

const folder = new URL('../vectors/traces/', import.meta.url);
mkdirSync(folder, { recursive: true });

let state = 42;
/** mulberry32: the same sequence everywhere. */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n) => Math.floor(random() * n);
const LETTERS = 'abcdefghijklmnopqrstuvwxyz     .,\n';

/** Types like a person: mostly on where the caret is, sometimes elsewhere, sometimes backspace. */
class Typist {
  caret = 0;

  patch(length) {
    if (random() < 0.05) this.caret = below(length + 1);
    this.caret = Math.min(this.caret, length);
    if (random() < 0.15 && this.caret > 0) {
      const deleted = 1 + below(Math.min(4, this.caret));
      this.caret -= deleted;
      return [this.caret, deleted, ''];
    }
    const inserted = LETTERS[below(LETTERS.length)];
    this.caret += 1;
    return [this.caret - 1, 0, inserted];
  }
}

function sequential(count) {
  const typist = new Typist();
  const text = [];
  const txns = [];
  for (let n = 0; n < count; n += 1) {
    const [position, deleted, letter] = typist.patch(text.length);
    const inserted = letter && random() < 0.02 ? '😀' : letter;
    text.splice(position, deleted, ...(inserted ? [inserted] : []));
    txns.push({ patches: [[position, deleted, inserted]] });
  }
  return { startContent: '', endContent: text.join(''), txns };
}

function concurrent(rounds) {
  const typists = [new Typist(), new Typist()];
  let document = new Delta();
  const txns = [];
  let last = [];
  for (let round = 0; round < rounds; round += 1) {
    const heads = last;
    const changes = typists.map((typist, agent) => {
      let change = new Delta();
      let parents = heads;
      for (let n = 1 + below(12); n > 0; n -= 1) {
        const length = document.compose(change).length();
        const [position, deleted, inserted] = typist.patch(length);
        change = change.compose(new Delta().retain(position).insert(inserted).delete(deleted));
        txns.push({ parents, numChildren: 0, agent, patches: [[position, deleted, inserted]] });
        parents = [txns.length - 1];
      }
      last = agent === 0 ? parents : [...last, ...parents];
      return change;
    });
    document = document.compose(changes[0]).compose(changes[0].transform(changes[1], true));
  }
  for (const { parents } of txns) for (const parent of parents) txns[parent].numChildren += 1;
  const endContent = document.ops.map((op) => op.insert).join('');
  return { kind: 'concurrent', endContent, numAgents: 2, txns };
}

writeFileSync(new URL('sequential.json', folder), `${JSON.stringify(sequential(3000))}\n`);
writeFileSync(new URL('concurrent.json', folder), `${JSON.stringify(concurrent(120))}\n`);
