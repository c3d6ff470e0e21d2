import { describe, expect, test } from 'vitest';
import {
  apart,
  document,
  type Effect,
  localPresence,
  restore,
  type Sync,
  save,
  start,
  step,
  waiting,
} from '../src/core.js';
import { compose, type Delta, length, split, text } from '../src/delta.js';
import type { ClientMessage, Presence, ServerMessage } from '../src/messages.js';
import { generator, randomEdit } from './support/random.js';
import { DummyServer } from './support/server.js';

/** A client with an editor, connected to a dummy server by hand. */
class Client {
  sync: Sync;
  editor: Delta = [];
  readonly outbox: ClientMessage[] = [];
  readonly inbox: ServerMessage[] = [];
  readonly effects: Effect[] = [];

  constructor(
    readonly server: DummyServer,
    readonly id: string,
  ) {
    this.sync = start(id);
  }

  join(): this {
    this.server.join(this.id, this.sync.content && this.sync.revision, (message) =>
      this.inbox.push(message),
    );
    return this;
  }

  /** Takes the messages that have arrived. */
  hear(count = this.inbox.length): this {
    for (const message of this.inbox.splice(0, count)) {
      for (const one of apart(this.sync, message)) this.take({ type: 'message', message: one });
    }
    return this;
  }

  /** Sends what waits. */
  speak(): this {
    for (const message of this.outbox.splice(0)) this.server.receive(this.id, message);
    return this;
  }

  type(...ops: Delta): this {
    this.editor = compose(this.editor, ops);
    return this.take({ type: 'edit', delta: ops });
  }

  lose(): this {
    this.server.leave(this.id);
    this.inbox.length = 0;
    this.outbox.length = 0;
    return this.take({ type: 'disconnected' });
  }

  take(input: Parameters<typeof step>[1]): this {
    const [sync, effects] = step(this.sync, input);
    this.sync = sync;
    for (const effect of effects) {
      this.effects.push(effect);
      if (effect.type === 'send') this.outbox.push(effect.message);
      if (effect.type === 'load') this.editor = document(sync) ?? [];
      if (effect.type === 'change') this.editor = compose(this.editor, effect.delta);
    }
    expect(this.editor, 'the editor shows the document').toEqual(document(sync));
    return this;
  }

  get text(): string {
    return text(this.editor);
  }
}

function two(): [DummyServer, Client, Client] {
  const server = new DummyServer();
  const [a, b] = [new Client(server, 'a'), new Client(server, 'b')];
  a.join().hear();
  b.join().hear();
  a.hear();
  return [server, a, b];
}

describe('a conversation', () => {
  test('an edit is sent, acknowledged and seen by the other', () => {
    const [, a, b] = two();
    a.type({ insert: 'hello' });
    expect(waiting(a.sync)).toBe(1);
    a.speak().hear();
    expect(waiting(a.sync)).toBe(0);
    expect(b.hear().text).toBe('hello');
  });

  test('one submission is in flight, the rest waits in one buffer', () => {
    const [server, a] = two();
    a.type({ insert: 'a' })
      .type({ retain: 1 }, { insert: 'b' })
      .type({ retain: 2 }, { insert: 'c' });
    expect(a.outbox).toHaveLength(1);
    expect(waiting(a.sync)).toBe(3);
    a.speak().hear().speak().hear();
    expect(server.log.map((change) => text(change.delta))).toEqual(['a', 'bc']);
    expect(waiting(a.sync)).toBe(0);
  });

  test('in a tie what was committed first comes first, everywhere', () => {
    const [, a, b] = two();
    a.type({ insert: 'left' });
    b.type({ insert: 'right' }).type({ retain: 5 }, { insert: '!' });
    a.speak();
    b.speak().hear().speak().hear();
    expect(b.text).toBe('leftright!');
    expect(a.hear().text).toBe('leftright!');
  });

  test('edits made offline are sent on return', () => {
    const [, a, b] = two();
    a.type({ insert: 'base' }).speak().hear();
    b.hear();
    b.lose().type({ retain: 4 }, { insert: ' offline' });
    a.type({ insert: '> ' }).speak().hear();
    b.join().hear().speak().hear();
    a.hear();
    expect([a.text, b.text]).toEqual(['> base offline', '> base offline']);
  });

  test('a submission whose acknowledgement was lost is sent again, and applied once', () => {
    const [server, a, b] = two();
    a.type({ insert: 'once' }).speak().lose();
    b.hear().type({ insert: 'b' }).speak().hear();
    a.type({ retain: 4 }, { insert: '!' });
    a.join().hear(1);
    expect(a.outbox[0]).toMatchObject({ type: 'edit_operation', seq: 1, revision: 0 });
    a.speak().hear().speak().hear();
    b.hear();
    expect(server.log).toHaveLength(3);
    expect([a.text, b.text]).toEqual(['bonce!', 'bonce!']);
  });

  test('a refused edit is taken back, and what was typed since stays', () => {
    const [server, a, b] = two();
    a.type({ insert: 'good ' }).speak().hear();
    server.refuse = (delta) => (text(delta).includes('bad') ? 'document_too_large' : undefined);
    a.type({ retain: 5 }, { insert: 'bad' }).type({ retain: 8 }, { insert: ' fine' });
    a.speak().hear().speak().hear();
    expect(a.effects).toContainEqual(
      expect.objectContaining({ type: 'rejected', code: 'document_too_large' }),
    );
    expect(a.text).toBe('good  fine');
    expect(b.hear().text).toBe('good  fine');
  });

  test('what is saved can be gone on with', () => {
    const [server, a, b] = two();
    a.type({ insert: 'kept' }).speak().type({ retain: 4 }, { insert: ' pending' });
    const saved = save(a.sync);
    expect(saved).toBeDefined();
    a.lose();
    b.hear().type({ insert: 'b ' }).speak().hear();
    const again = new Client(server, 'a');
    again.sync = restore(JSON.parse(JSON.stringify(saved)));
    again.editor = document(again.sync) ?? [];
    expect(waiting(again.sync)).toBe(2);
    again.join().hear().speak().hear().speak().hear();
    expect([again.text, b.hear().text]).toEqual(['b kept pending', 'b kept pending']);
  });

  test('a state that was kept too early is given up for what the server has', () => {
    const [server, a, b] = two();
    a.type({ insert: 'one' }).speak().type({ retain: 3 }, { insert: ' two' });
    const saved = save(a.sync);
    // All that is in the saved state arrives, and more; then the tab crashes.
    a.type({ retain: 7 }, { insert: ' three' }).hear().speak().lose();
    b.hear().type({ insert: 'b ' }).speak().hear();
    const again = new Client(server, 'a');
    again.sync = restore(JSON.parse(JSON.stringify(saved)));
    again.editor = document(again.sync) ?? [];
    again.join();
    again.inbox.splice(1);
    again.sync = step(again.sync, { type: 'message', message: again.inbox.shift() as never })[0];
    expect([again.sync.content, again.sync.seq]).toEqual([undefined, 2]);
    again.join().hear();
    again.type({ insert: '!' }).speak().hear();
    expect([again.text, b.hear().text]).toEqual(['!b one two three', '!b one two three']);
  });

  test('a gap in the stream, or a failure of the server, is mended by joining anew', () => {
    const [, a, b] = two();
    b.type({ insert: 'one ' }).speak().hear();
    b.type({ retain: 4 }, { insert: 'two' }).speak().hear();
    a.type({ insert: 'a ' });
    a.inbox.shift();
    a.hear();
    expect(a.effects.at(-1)).toEqual({ type: 'resume' });
    a.lose().join().hear().speak().hear();
    expect([a.text, b.hear().text]).toEqual(['one twoa ', 'one twoa ']);

    a.type({ insert: 'x' });
    a.inbox.push({ type: 'error', code: 'unavailable', message: 'later', seq: 2 });
    a.hear();
    expect(a.effects.at(-1)).toEqual({ type: 'resume' });
    expect(a.text).toBe('xone twoa ');
    a.lose().join().hear().speak().hear();
    expect(b.hear().text).toBe('xone twoa ');
  });

  test('what is too long for one submission goes in several', () => {
    const [server, a, b] = two();
    const long = '😀\n'.repeat(400_000);
    a.lose();
    for (let n = 0; n < 3; n += 1) a.type({ insert: long });
    a.join().hear();
    for (let n = 0; n < 200 && waiting(a.sync) > 0; n += 1) {
      expect(JSON.stringify(a.outbox).length).toBeLessThan(1 << 20);
      a.speak().hear();
    }
    expect([waiting(a.sync), a.sync.inflight, a.sync.buffer]).toEqual([0, undefined, undefined]);
    expect(server.log.length).toBeGreaterThan(10);
    expect(b.hear().text === long.repeat(3)).toBe(true);
  });

  test('a reconciled submission is merged by the server', () => {
    const [, a] = two();
    a.type({ insert: 'mine' });
    a.type({ retain: 4 }, { insert: '!' });
    a.inbox.push({
      type: 'reconciled',
      seq: 1,
      revision: 9,
      operation: { ops: [{ insert: 'theirs ' }] },
    });
    a.hear();
    expect([a.text, a.sync.revision]).toEqual(['theirs mine!', 9]);
    expect(a.outbox.at(-1)).toMatchObject({ seq: 2, revision: 9 });
  });
});

describe('a split', () => {
  const split1 = (delta: Delta, units: number): Delta[] => {
    const [first, rest] = split(delta, units);
    return rest.length > 0 ? [first, ...split1(rest, units)] : [first];
  };

  test('makes parts that compose to the whole, and cuts no pair', () => {
    const random = generator(11);
    for (let n = 0; n < 300; n += 1) {
      let content: Delta = [{ insert: 'x😀y'.repeat(20) }];
      let whole: Delta = [];
      for (let k = 0; k < 12; k += 1) {
        const edit = randomEdit(content, random);
        content = compose(content, edit);
        whole = compose(whole, edit);
      }
      const parts = split1(whole, 60 + Math.floor(random() * 200));
      expect(parts.reduce(compose, [])).toEqual(whole);
      for (const part of parts) expect(part.length).toBeGreaterThan(0);
      expect(JSON.stringify(parts)).not.toMatch(/\\ud[89ab]/);
    }
  });

  test('leaves alone what cannot be split', () => {
    const image = { insert: { image: 'i'.repeat(100) } };
    expect(split([{ retain: 5 }, image, { insert: 'a' }], 20)).toEqual([
      [{ retain: 5 }, image],
      [{ retain: 6 }, { insert: 'a' }],
    ]);
    expect(length(split([image], 20)[0])).toBe(1);
  });
});

describe('cursors', () => {
  const other: Presence = {
    sessionId: 'session-b',
    userId: 'b',
    name: 'B',
    color: 1,
    anchor: 2,
    head: 4,
  };

  test('the others stay where they are in the text', () => {
    const [, a] = two();
    a.type({ insert: '0123456' }).speak().hear();
    a.inbox.push({ type: 'presence_update', joined: [other] });
    a.hear();
    a.type({ insert: 'ab' });
    expect(localPresence(a.sync).get('session-b')).toMatchObject({ anchor: 4, head: 6 });
    a.speak().hear();
    expect(localPresence(a.sync).get('session-b')).toMatchObject({ anchor: 4, head: 6 });
    a.inbox.push({ type: 'presence_update', left: ['session-b'] });
    expect(localPresence(a.hear().sync).size).toBe(0);
  });

  test('who moves is known by a number, and what came before is not counted twice', () => {
    const [, a, b] = two();
    a.type({ insert: '0123456' }).speak().hear();
    b.hear();
    const third = { ...other, sessionId: 'session-c', number: 7 };
    a.inbox.push({ type: 'presence_update', joined: [{ ...other, number: 2 }, third] });
    b.type({ insert: 'ab' }).speak();
    a.inbox.push({
      type: 'presence_update',
      moved: [
        [7, 1, 3],
        [99, 0],
      ],
    });
    const seen = () => ['session-b', 'session-c'].map((id) => localPresence(a.sync).get(id));
    a.hear();
    expect(seen()).toMatchObject([
      { name: 'B', anchor: 2, head: 2 },
      { name: 'B', anchor: 1, head: 3 },
    ]);
    expect(localPresence(a.sync).size).toBe(2);
    a.inbox.push({ type: 'presence_update', moved: [[7, 5]] });
    expect(localPresence(a.hear().sync).get('session-c')).toMatchObject({ anchor: 5, head: 5 });
    a.inbox.push({ type: 'presence_update', moved: [[7]] });
    const gone = localPresence(a.hear().sync).get('session-c');
    expect([gone?.name, gone?.anchor, gone?.head]).toEqual(['B', undefined, undefined]);
  });

  test('typing takes its cursor along', () => {
    const [, a, b] = two();
    a.inbox.push({ type: 'presence_update', joined: [{ ...other, anchor: 0, head: 0 }] });
    a.hear();
    b.type({ insert: 'hello' }).speak();
    expect(localPresence(a.hear().sync).get('session-b')).toMatchObject({ anchor: 5, head: 5 });
  });

  test('are those of before a resume until it is told who is there, but not by their numbers', () => {
    const [, a] = two();
    a.inbox.push({ type: 'presence_update', joined: [{ ...other, number: 7 }] });
    a.hear().take({ type: 'disconnected', briefly: true });
    a.join().hear(1).inbox.length = 0;
    expect(localPresence(a.sync).get('session-b')).toMatchObject({ anchor: 2, head: 4 });
    // In the room that was opened again, 7 is somebody else.
    a.inbox.push({ type: 'operations', revision: 1, changes: [[7, 1, 'hello']] });
    a.hear();
    expect(localPresence(a.sync).get('session-b')).toMatchObject({ anchor: 7, head: 9 });
  });

  test('are told when nothing is pending, and only when others cannot infer them', () => {
    const [, a] = two();
    const told = () =>
      a.effects.filter((it) => it.type === 'send' && it.message.type === 'selection_update');
    a.take({ type: 'select', selection: { anchor: 0, head: 0 } });
    expect(told()).toHaveLength(1);
    a.speak();
    a.type({ insert: 'abc' }).take({ type: 'select', selection: { anchor: 3, head: 3 } });
    a.speak().hear();
    expect(told(), 'the caret is where the edit ended').toHaveLength(1);
    a.take({ type: 'select', selection: { anchor: 1, head: 3 } });
    expect(told()).toHaveLength(2);
  });

  test('are told again after a reconnect, and so is what else the others should know', () => {
    const [, a] = two();
    a.type({ insert: 'abc' }).speak().hear();
    a.take({ type: 'select', selection: { anchor: 1, head: 2 } });
    a.take({ type: 'describe', data: { status: 'reading' } });
    const told = a.outbox.splice(0);
    expect(told.map((it) => it.type)).toEqual(['selection_update', 'presence_update']);
    a.lose().join().hear();
    expect(a.outbox).toEqual([{ ...told[0], revision: 1 }, told[1]]);
  });
});
