/** A dummy server in memory: the rules of docs/protocol.md, and nothing else. */
import { caretAfter, compose, type Delta, transform, transformPosition } from '../../src/delta.js';
import type {
  BatchedChange,
  ClientMessage,
  Move,
  Presence,
  Selection,
  ServerMessage,
} from '../../src/messages.js';

interface Change {
  readonly clientId: string;
  readonly seq: number;
  readonly delta: Delta;
}

/** One document. Messages to a client are handed to the function that it joined with. */
export class DummyServer {
  readonly log: Change[] = [];
  readonly sessions = new Map<string, (message: ServerMessage) => void>();
  /** Where those who are here point, in the document at the head. */
  readonly selections = new Map<string, Selection>();
  private readonly moved = new Set<string>();
  private readonly numbers: string[] = [];
  /** Refuses what this says. */
  refuse: (delta: Delta) => string | undefined = () => undefined;

  get content(): Delta {
    return this.log.map((change) => change.delta).reduce(compose, []);
  }

  join(
    clientId: string,
    revision: number | undefined,
    send: (message: ServerMessage) => void,
  ): void {
    this.sessions.set(clientId, send);
    const others = [...this.sessions.keys()].filter((id) => id !== clientId);
    for (const id of others) {
      this.sessions.get(id)?.({ type: 'presence_update', joined: [this.presence(clientId)] });
    }
    const presence = others.map((id) => this.presence(id));
    const mine = this.log.filter((change) => change.clientId === clientId);
    const state = {
      type: 'document_state',
      sessionId: `session-${clientId}`,
      number: this.number(clientId),
      lastSeq: mine.at(-1)?.seq ?? 0,
      role: 'editor',
      color: 0,
    } as const;
    if (revision === undefined) {
      send({ ...state, revision: this.log.length, content: { ops: this.content }, presence });
      return;
    }
    send({ ...state, revision, presence: [] });
    this.log.slice(revision).forEach((change, index) => {
      send(this.message(change, revision + index + 1, clientId));
    });
    const everybody = [...presence, this.presence(clientId)];
    send({ type: 'presence_update', joined: everybody, reset: true });
  }

  leave(clientId: string): void {
    if (!this.sessions.delete(clientId)) return;
    this.selections.delete(clientId);
    this.moved.delete(clientId);
    const left = [`session-${clientId}`];
    for (const send of this.sessions.values()) send({ type: 'presence_update', left });
  }

  /** Tells everybody who has moved since the last time. */
  tell(): void {
    const updated = [...this.moved].map((id) => this.presence(id));
    this.moved.clear();
    if (updated.length === 0) return;
    for (const send of this.sessions.values()) send({ type: 'presence_update', updated });
  }

  receive(clientId: string, message: ClientMessage): void {
    if (message.type === 'selection_update') this.select(clientId, message);
    if (message.type !== 'edit_operation') return;
    const { seq } = message;
    let delta = message.operation.ops;
    for (const [index, change] of this.log.slice(message.revision).entries()) {
      if (change.clientId === clientId && change.seq === seq) {
        this.sessions.get(clientId)?.({ type: 'ack', seq, revision: message.revision + index + 1 });
        return;
      }
      delta = transform(change.delta, delta, 'left');
    }
    const code = this.refuse(delta);
    if (code) {
      this.sessions.get(clientId)?.({ type: 'error', seq, code, message: 'refused' });
      return;
    }
    const change = { clientId, seq, delta };
    this.log.push(change);
    const caret = caretAfter(delta);
    for (const [id, at] of this.selections) {
      const own = id === clientId && caret !== undefined;
      this.selections.set(id, own ? { anchor: caret, head: caret } : moved(at, delta));
    }
    for (const [id, send] of this.sessions) send(this.message(change, this.log.length, id));
  }

  /** Messages as a client gets them that takes changes together. */
  together(messages: readonly ServerMessage[], to: string): ServerMessage[] {
    const told: ServerMessage[] = [];
    let batch: { type: 'operations'; revision: number; changes: BatchedChange[] } | undefined;
    for (const message of messages) {
      if (message.type === 'presence_update' && message.updated) {
        // Nothing but where they point is ever another here.
        const moved = message.updated.map(({ number = 0, anchor, head }): Move => {
          if (anchor === undefined || head === undefined) return [number];
          return anchor === head ? [number, head] : [number, anchor, head];
        });
        told.push({ type: 'presence_update', moved });
        batch = undefined;
        continue;
      }
      const change =
        message.type === 'ack' || message.type === 'operation'
          ? this.log[message.revision - 1]
          : undefined;
      if (!change || !('revision' in message)) {
        told.push(message);
        batch = undefined;
        continue;
      }
      const author = message.type === 'ack' ? to : change.clientId;
      const ops = change.delta.map((op) => {
        if ('attributes' in op) return op;
        if ('retain' in op) return op.retain;
        if ('delete' in op) return -op.delete;
        return typeof op.insert === 'string' ? op.insert : op;
      });
      if (!batch || batch.revision + batch.changes.length !== message.revision) {
        batch = { type: 'operations', revision: message.revision, changes: [] };
        told.push(batch);
      }
      batch.changes.push([this.number(author), change.seq, ...ops]);
    }
    return told;
  }

  private select(
    clientId: string,
    { anchor, head, revision }: Extract<ClientMessage, { type: 'selection_update' }>,
  ): void {
    if (anchor === undefined || head === undefined) this.selections.delete(clientId);
    else {
      const since = this.log.slice(revision).map((change) => change.delta);
      this.selections.set(clientId, since.reduce(moved, { anchor, head }));
    }
    this.moved.add(clientId);
  }

  private presence(clientId: string): Presence {
    return {
      sessionId: `session-${clientId}`,
      number: this.number(clientId),
      userId: 'user',
      name: clientId,
      color: 0,
      ...this.selections.get(clientId),
    };
  }

  private number(clientId: string): number {
    if (!this.numbers.includes(clientId)) this.numbers.push(clientId);
    return this.numbers.indexOf(clientId) + 1;
  }

  private message(change: Change, revision: number, to: string): ServerMessage {
    if (change.clientId === to) return { type: 'ack', seq: change.seq, revision };
    const sessionId = `session-${change.clientId}`;
    return {
      type: 'operation',
      revision,
      userId: 'user',
      sessionId,
      operation: { ops: change.delta },
    };
  }
}

function moved(at: Selection, delta: Delta): Selection {
  const move = (position: number) => transformPosition(delta, position, 'right');
  return { anchor: move(at.anchor), head: move(at.head) };
}

/** A socket that is joined to the dummy server. */
export function socketTo(server: DummyServer) {
  return class Socket {
    onopen: ((event: never) => void) | null = null;
    onmessage: ((event: { data: unknown }) => void) | null = null;
    onclose: ((event: { code: number }) => void) | null = null;
    onerror: ((event: never) => void) | null = null;
    private readonly clientId: string;
    private readonly revision: number | undefined;

    constructor(url: string) {
      const { searchParams } = new URL(url);
      const revision = searchParams.get('revision');
      this.clientId = searchParams.get('clientId') ?? '';
      this.revision = revision === null ? undefined : Number(revision);
      queueMicrotask(() => this.onopen?.({} as never));
    }

    send(data: string): void {
      const message = JSON.parse(data) as ClientMessage;
      const say = (it: unknown) =>
        queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(it) }));
      if (message.type !== 'auth') {
        queueMicrotask(() => server.receive(this.clientId, message));
        return;
      }
      say({
        type: 'authenticated',
        userId: 'u',
        expiresAt: new Date(Date.now() + 3.6e6).toISOString(),
      });
      server.join(this.clientId, this.revision, say);
    }

    close(): void {
      server.leave(this.clientId);
    }
  };
}
