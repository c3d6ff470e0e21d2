import { expect, test } from 'vitest';
import {
  apart,
  document,
  localPresence,
  restore,
  type Sync,
  save,
  settled,
  start,
  step,
  waiting,
} from '../src/core.js';
import { compose, type Delta, length, text } from '../src/delta.js';
import type { ClientMessage, ServerMessage } from '../src/messages.js';
import { generator, randomEdit } from './support/random.js';
import { DummyServer } from './support/server.js';

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** A client behind a network that delays and loses connections. */
class Client {
  sync: Sync;
  editor: Delta | undefined;
  online = false;
  toServer: ClientMessage[] = [];
  toClient: ServerMessage[] = [];

  constructor(
    readonly server: DummyServer,
    readonly id: string,
    /** It takes changes together. */
    readonly batches: boolean,
  ) {
    this.sync = start(id);
  }

  take(input: Parameters<typeof step>[1]): void {
    const [sync, effects] = step(this.sync, input);
    this.sync = sync;
    for (const effect of effects) {
      if (effect.type === 'send') this.toServer.push(effect.message);
      if (effect.type === 'load') this.editor = document(sync);
      if (effect.type === 'change') this.editor = compose(this.editor ?? [], effect.delta);
    }
  }

  connect(): void {
    if (this.online) return;
    this.online = true;
    const mine: ServerMessage[] = [];
    this.toClient = mine;
    this.server.join(this.id, this.sync.content && this.sync.revision, (message) =>
      mine.push(message),
    );
  }

  lose(): void {
    if (!this.online) return;
    this.online = false;
    this.server.leave(this.id);
    this.toServer = [];
    this.toClient = [];
    this.take({ type: 'disconnected' });
  }

  /** Delivers at most so many messages, each way. */
  deliver(count: number): void {
    for (const message of this.toServer.splice(0, count)) this.server.receive(this.id, message);
    const told = this.toClient.splice(0, count);
    const messages = this.batches ? this.server.together(told, this.id) : told;
    for (const message of messages) {
      for (const one of apart(this.sync, message)) this.take({ type: 'message', message: one });
    }
  }

  edit(random: () => number): void {
    if (!this.editor) return;
    const delta = randomEdit(this.editor, random);
    if (delta.length === 0) return;
    this.editor = compose(this.editor, delta);
    this.take({ type: 'edit', delta });
  }

  select(random: () => number): void {
    if (!this.editor) return;
    const place = () => Math.floor(random() * (length(this.editor ?? []) + 1));
    const anchor = place();
    const head = random() < 0.5 ? anchor : place();
    const selection = random() < 0.1 ? undefined : { anchor, head };
    this.take({ type: 'select', selection });
  }

  /** The tab is closed and opened again. */
  reload(): void {
    this.lose();
    const saved = save(this.sync);
    if (saved) this.sync = restore(JSON.parse(JSON.stringify(saved)));
  }
}

function run(seed: number): void {
  const random = generator(seed);
  const server = new DummyServer();
  const clients = Array.from(
    { length: 2 + Math.floor(random() * 4) },
    (_, n) => new Client(server, `c${n}`, n % 2 === 0),
  );
  // Now and then something is refused, for no reason that a client could know.
  server.refuse = () => (random() < 0.03 ? 'document_too_large' : undefined);
  for (let turn = 0; turn < 300; turn += 1) {
    const client = clients[Math.floor(random() * clients.length)];
    if (!client) continue;
    const dice = random();
    if (dice < 0.35) client.edit(random);
    else if (dice < 0.43) client.select(random);
    else if (dice < 0.46) server.tell();
    else if (dice < 0.5) {
      const before = client.sync;
      client.sync = settled(before);
      expect(localPresence(client.sync), `seed ${seed}`).toEqual(localPresence(before));
    } else if (dice < 0.85) client.deliver(1 + Math.floor(random() * 4));
    else if (dice < 0.92) client.connect();
    else if (dice < 0.98) client.lose();
    else client.reload();
  }
  for (const client of clients) client.connect();
  while (clients.some((it) => it.toServer.length + it.toClient.length > 0)) {
    for (const client of clients) client.deliver(1_000);
  }
  for (const client of clients) {
    expect(waiting(client.sync), `seed ${seed}: everything is acknowledged`).toBe(0);
    expect(client.editor, `seed ${seed}: ${client.id} shows what the server has`).toEqual(
      server.content,
    );
    expect(document(client.sync), `seed ${seed}`).toEqual(server.content);
  }
  server.tell();
  for (const client of clients) client.deliver(1_000);
  for (const client of clients) {
    const seen = [...localPresence(client.sync).values()].map(({ name, anchor, head }) =>
      anchor === undefined ? [name] : [name, anchor, head],
    );
    const others = clients.filter((it) => it !== client).map((it) => it.id);
    const expected = others.map((id) => {
      const at = server.selections.get(id);
      return at ? [id, at.anchor, at.head] : [id];
    });
    expect(seen.sort(), `seed ${seed}: whom ${client.id} sees, and where`).toEqual(expected.sort());
  }
  const numbers = server.log.map((change) => `${change.clientId} ${change.seq}`);
  expect(new Set(numbers).size, `seed ${seed}: exactly once`).toBe(numbers.length);
  expect(LONE_SURROGATE.test(text(server.content)), `seed ${seed}: no cut pair`).toBe(false);
}

test('many clients converge, whatever the network does', () => {
  for (let seed = 1; seed <= 300; seed += 1) run(seed);
});
