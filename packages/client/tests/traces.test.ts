/**
 * Keystrokes of real people through real sockets: `MOTET_TRACES` names a folder with traces in the
 * format of the collection editing-traces; without it the short ones in vectors/traces are used.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  compose,
  type Delta,
  invert,
  length,
  normal,
  type Op,
  text,
  transform,
} from '../src/delta.js';
import type { MotetDocument } from '../src/index.js';
import { type Account, Motet, until } from './support/motet.js';

type Patch = [position: number, deleted: number, inserted: string];

interface Sequential {
  startContent: string;
  endContent: string;
  txns: { patches: Patch[] }[];
}

interface Concurrent {
  kind: 'concurrent';
  numAgents: number;
  txns: { parents: number[]; numChildren: number; agent: number; patches: Patch[] }[];
}

const OWN = fileURLToPath(new URL('../../../vectors/traces', import.meta.url));
const FOLDER = process.env.MOTET_TRACES ?? OWN;

function read<Trace>(file: string): Trace {
  const bytes = readFileSync(`${FOLDER}/${file}`);
  return JSON.parse((file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')) as Trace;
}

const traces = readdirSync(FOLDER)
  .filter((file) => /\.json(\.gz)?$/.test(file))
  .map((file) => ({ file, trace: read<Sequential | Concurrent>(file) }));
const sequential = traces.filter(
  (it): it is { file: string; trace: Sequential } => !('kind' in it.trace),
);
const concurrent = traces.filter(
  (it): it is { file: string; trace: Concurrent } => 'kind' in it.trace,
);

const motet = new Motet();
let ada: Account;

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterAll(() => motet.destroy());

async function storedText(documentId: string): Promise<string> {
  const { content } = await motet.call('GET', `documents/${documentId}`, ada.token);
  return text((content as { ops: Delta }).ops);
}

/** The UTF-16 place of a place in characters. */
function units(whole: string, characters: number): number {
  if (/^[\0-\ud7ff]*$/.test(whole)) return characters;
  return [...whole].slice(0, characters).join('').length;
}

test('there are traces of both kinds', () => {
  expect(sequential.length).toBeGreaterThan(0);
  expect(concurrent.length).toBeGreaterThan(0);
});

test.each(sequential)('$file ends in its known text', { timeout: 120_000 }, async ({ trace }) => {
  const id = await motet.create(ada);
  const [writer, reader] = [motet.open(ada, id), motet.open(ada, id)];
  await until(() => writer.loaded && reader.loaded, 'both are loaded');
  let whole = trace.startContent;
  if (whole) writer.edit([{ insert: whole }]);
  const plain = /^[\0-\ud7ff]*$/.test(trace.endContent + trace.startContent);
  for (const [n, { patches }] of trace.txns.entries()) {
    for (const [position, deleted, inserted] of patches) {
      const start = plain ? position : units(whole, position);
      const end = plain ? position + deleted : units(whole, position + deleted);
      writer.edit(normal([{ retain: start }, { insert: inserted }, { delete: end - start }]));
      if (!plain) whole = whole.slice(0, start) + inserted + whole.slice(end);
    }
    if (n % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => writer.status.saved, 'all is saved');
  await until(() => reader.revision === writer.revision, 'the reader has seen all');
  expect(writer.text === trace.endContent).toBe(true);
  expect(reader.text === trace.endContent).toBe(true);
  expect((await storedText(id)) === trace.endContent).toBe(true);
  await Promise.all([writer.destroy(), reader.destroy()]);
});

/** Consecutive transactions of one agent that nobody else refers to in between: one submission. */
interface Unit {
  readonly agent: number;
  /** Its place among the agent's units. */
  readonly index: number;
  /** How many units of each agent are in its history. */
  readonly history: number[];
  readonly patches: Patch[];
  revision?: number;
}

function unitsOf(trace: Concurrent): Unit[][] {
  const byAgent: Unit[][] = Array.from({ length: trace.numAgents }, () => []);
  /** Of each transaction: its unit, and how many units of each agent its document holds. */
  const states: { unit: Unit; after: number[] }[] = [];
  for (const [n, { parents, agent, patches }] of trace.txns.entries()) {
    const [only] = parents;
    const before = only === undefined ? undefined : states[only];
    const grows =
      parents.length === 1 &&
      only === n - 1 &&
      before?.unit.agent === agent &&
      trace.txns[only]?.numChildren === 1;
    if (grows && before) {
      before.unit.patches.push(...patches);
      states.push(before);
      continue;
    }
    const history = Array.from({ length: trace.numAgents }, (_, of) =>
      Math.max(0, ...parents.map((parent) => states[parent]?.after[of] ?? 0)),
    );
    const index = byAgent[agent]?.length ?? 0;
    const unit: Unit = { agent, index, history, patches: [...patches] };
    byAgent[agent]?.push(unit);
    const after = [...history];
    after[agent] = byAgent[agent]?.length ?? 0;
    states.push({ unit, after });
  }
  return byAgent;
}

/** Every inserted character becomes another one, so that each can be told from all others. */
class Characters {
  private next = 0x10000;
  readonly inserted = new Set<string>();
  readonly deleted = new Set<string>();

  fresh(count: number): string {
    let made = '';
    for (let n = 0; n < count; n += 1) {
      const character = String.fromCodePoint(this.next);
      this.next += 1;
      this.inserted.add(character);
      made += character;
    }
    return made;
  }
}

/**
 * A person at a client. The client may already show changes that the person, when they typed, had not
 * seen: those are kept apart, and what is typed is moved over them.
 */
class Person {
  /** What the person has seen. */
  seen: Delta = [];
  /** What the client shows besides, in order. */
  readonly unseen: { revision: number; delta: Delta }[] = [];
  /** The revision of the last change that was typed here. */
  committed = 0;

  constructor(
    readonly doc: MotetDocument,
    readonly characters: Characters,
  ) {
    doc.on('change', ({ delta, source }) => {
      if (source === 'remote') this.unseen.push({ revision: doc.revision, delta });
    });
    doc.on('acknowledged', ({ revision }) => {
      this.committed = revision;
    });
  }

  /** The person sees the unseen change at `index`, before those in front of it. */
  see(index: number): void {
    for (let at = index; at > 0; at -= 1) {
      const [front, back] = [this.unseen[at - 1], this.unseen[at]];
      if (!front || !back) return;
      const before = this.unseen
        .slice(0, at - 1)
        .reduce((doc, it) => compose(doc, it.delta), this.seen);
      const first = transform(invert(front.delta, before), back.delta, 'left');
      this.unseen[at - 1] = { revision: back.revision, delta: first };
      this.unseen[at] = { revision: front.revision, delta: transform(first, front.delta, 'right') };
    }
    const [first] = this.unseen.splice(0, 1);
    if (first) this.seen = compose(this.seen, first.delta);
  }

  type(patches: readonly Patch[]): void {
    let typed: Delta = [];
    let made = '';
    let whole = length(this.seen);
    for (const [position, deleted, inserted] of patches) {
      // All characters are two units long here. With three people the order of ties may differ from that
      // of the recording, and a place may be past the end.
      const start = Math.min(position * 2, whole);
      const end = Math.min(start + deleted * 2, whole);
      const insert = this.characters.fresh([...inserted].length);
      made += insert;
      const patch: Op[] = [{ retain: start }, { insert }, { delete: end - start }];
      typed = compose(typed, normal(patch));
      whole += insert.length - (end - start);
    }
    for (const character of text(invert(typed, this.seen))) this.characters.deleted.add(character);
    // What is typed and deleted again within one unit never was in the document before.
    const kept = new Set(text(typed));
    for (const character of made) if (!kept.has(character)) this.characters.deleted.add(character);
    this.seen = compose(this.seen, typed);
    let moved = typed;
    for (const [index, { revision, delta }] of this.unseen.entries()) {
      this.unseen[index] = { revision, delta: transform(moved, delta, 'right') };
      moved = transform(delta, moved, 'left');
    }
    this.doc.edit(moved);
  }
}

test.each(concurrent)('$file: all replicas agree, nothing is lost or doubled', {
  timeout: 240_000,
}, async ({ trace }) => {
  const id = await motet.create(ada);
  const characters = new Characters();
  const byAgent = unitsOf(trace);
  const people = byAgent.map(() => new Person(motet.open(ada, id), characters));
  await until(() => people.every((it) => it.doc.loaded), 'all are loaded');
  const units = byAgent.flat();
  const byRevision = new Map<number, Unit>();
  await Promise.all(
    people.map(async (person, agent) => {
      for (const unit of byAgent[agent] ?? []) {
        const needed = unit.history.flatMap((count, of) =>
          of === agent ? [] : (byAgent[of] ?? []).slice(0, count).slice(-1),
        );
        await until(
          () =>
            needed.every((it) => it.revision !== undefined && it.revision <= person.doc.revision) &&
            person.unseen.every((it) => byRevision.has(it.revision)),
          'the history has arrived',
          120_000,
        );
        const inHistory = ({ revision }: { revision: number }) => {
          const of = byRevision.get(revision);
          return of !== undefined && of.index < (unit.history[of.agent] ?? 0);
        };
        for (
          let at = person.unseen.findIndex(inHistory);
          at >= 0;
          at = person.unseen.findIndex(inHistory)
        ) {
          person.see(at);
        }
        person.type(unit.patches);
        await until(() => person.doc.status.saved, 'it is saved');
        unit.revision = person.committed;
        byRevision.set(unit.revision, unit);
      }
    }),
  );
  expect(units.length).toBeGreaterThan(0);
  await until(() => new Set(people.map((it) => it.doc.revision)).size === 1, 'all have seen all');
  const final = await storedText(id);
  for (const person of people) expect(person.doc.text === final).toBe(true);
  const left = [...final];
  expect(new Set(left).size).toBe(left.length);
  const expected = [...characters.inserted].filter((it) => !characters.deleted.has(it)).sort();
  expect(left.sort().join('') === expected.join('')).toBe(true);
  await Promise.all(people.map((it) => it.doc.destroy()));
});
