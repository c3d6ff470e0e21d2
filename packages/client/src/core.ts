/**
 * The client protocol as a pure state machine: no sockets, no timers, no editor.
 *
 *     document = content(revision) ∘ inflight ∘ buffer
 *
 * One submission is in flight; what the user does meanwhile is composed into one buffer. A committed
 * change stands on the left of what is pending here, and is transformed change by change, in the order
 * of the log, never over a composition: so every client ends in the same text.
 */

import type { Attributes } from './attributes.js';
import {
  caretAfter,
  compose,
  cross,
  type Delta,
  invert,
  type Op,
  split,
  transform,
  transformPosition,
} from './delta.js';
import type { ClientMessage, Move, Presence, Role, Selection, ServerMessage } from './messages.js';

/** A submission that the server may or may not have. */
export interface Inflight {
  /** Its number; the same whenever it is sent again. */
  readonly seq: number;
  readonly delta: Delta;
  /** How many local edits it holds. */
  readonly edits: number;
}

/** Local edits that wait for the submission in flight. */
export interface Buffer {
  readonly delta: Delta;
  readonly edits: number;
}

/** The server's document at `revision`, folded only when somebody asks. */
interface Content {
  readonly base: Delta;
  readonly changes: readonly Delta[];
}

/** The others as they were some changes ago; they are moved on only when somebody asks. */
interface Others {
  /** By session; positions count in the document before `changes`. */
  readonly base: ReadonlyMap<string, Presence>;
  /** With the session that made each, where it is known. */
  readonly changes: readonly { readonly delta: Delta; readonly author: string | undefined }[];
}

const NOBODY: Others = { base: new Map(), changes: [] };

/** The client's state. Values come from the server unless told. */
export interface Sync {
  /** Chosen here, kept as long as the pending edits are. */
  readonly clientId: string;
  /** The last number used. Counted here. */
  readonly seq: number;
  /** The last change applied here. */
  readonly revision: number;
  /** `undefined` until the document has been loaded once. */
  readonly content: Content | undefined;
  readonly inflight: Inflight | undefined;
  readonly buffer: Buffer | undefined;
  /** Whether the server knows this session: from `document_state` until the connection is lost. */
  readonly joined: boolean;
  readonly sessionId: string | undefined;
  /** What stands for this session among changes. */
  readonly number: number | undefined;
  readonly role: Role | undefined;
  readonly color: number | undefined;
  /** The others; see `localPresence`. */
  readonly others: Others;
  /** The local selection in the local document. From the editor. */
  readonly selection: Selection | undefined;
  /** What the others believe it to be, in the document at `revision`. */
  readonly shown: Selection | undefined;
  /** What else the others are told of this client. From the application. */
  readonly data: Attributes | undefined;
}

/** A message that moves the document by one change at most: see `apart`. */
export type SingleMessage =
  | Exclude<ServerMessage, { type: 'operation' | 'operations' }>
  | Omit<Extract<ServerMessage, { type: 'operation' }>, 'userId'>;

export type Input =
  | { readonly type: 'edit'; readonly delta: Delta }
  | { readonly type: 'select'; readonly selection: Selection | undefined }
  | { readonly type: 'describe'; readonly data: Attributes | undefined }
  | { readonly type: 'message'; readonly message: SingleMessage }
  /** `briefly`: another connection follows at once, and the others are still there. */
  | { readonly type: 'disconnected'; readonly briefly?: boolean };

export type Effect =
  | { readonly type: 'send'; readonly message: ClientMessage }
  /** The document is there, or is a new one altogether. */
  | { readonly type: 'load' }
  /** For the editor: apply this. */
  | { readonly type: 'change'; readonly delta: Delta; readonly source: 'remote' | 'rejected' }
  /** The server refused an edit; it has been taken back by a `change`. */
  | {
      readonly type: 'rejected';
      readonly delta: Delta;
      readonly code: string;
      readonly message: string;
    }
  /** A submission of this client is durable as that change. */
  | { readonly type: 'acknowledged'; readonly revision: number }
  | { readonly type: 'presence' }
  | { readonly type: 'role' }
  /** This connection cannot go on: join anew, from `revision` or without one. */
  | { readonly type: 'resume' }
  /** The server refused something that is not an edit. */
  | { readonly type: 'error'; readonly code: string; readonly message: string };

type Step = [Sync, Effect[]];

/** Changes are folded into the content when there are this many. */
const UNFOLDED_MAX = 256;

/** A submission is split when its JSON is longer, in UTF-16 units: some way below the server's limit. */
const SUBMISSION_JSON_MAX = 512 << 10;

/** Refusals that say nothing about the edit: sent right after joining anew, it is taken. */
const PASSING: ReadonlySet<string> = new Set(['unavailable', 'internal', 'too_far_behind']);

/** A client that has seen nothing yet. */
export function start(clientId: string): Sync {
  return {
    clientId,
    seq: 0,
    revision: 0,
    content: undefined,
    inflight: undefined,
    buffer: undefined,
    joined: false,
    sessionId: undefined,
    number: undefined,
    role: undefined,
    color: undefined,
    others: NOBODY,
    selection: undefined,
    shown: undefined,
    data: undefined,
  };
}

/** What is worth keeping of a state while the client is away. */
export interface Saved {
  readonly clientId: string;
  readonly seq: number;
  readonly revision: number;
  readonly content: Delta;
  readonly inflight: Inflight | undefined;
  readonly buffer: Buffer | undefined;
}

export function save(sync: Sync): Saved | undefined {
  if (!sync.content) return undefined;
  const { clientId, seq, revision, inflight, buffer } = sync;
  return { clientId, seq, revision, content: fold(sync.content), inflight, buffer };
}

export function restore(saved: Saved): Sync {
  const { clientId, seq, revision, inflight, buffer } = saved;
  const content = { base: saved.content, changes: [] };
  return { ...start(clientId), seq, revision, content, inflight, buffer };
}

/** The document as the user sees it; `undefined` until it is loaded. O(n). */
export function document(sync: Sync): Delta | undefined {
  if (!sync.content) return undefined;
  return pending(sync).reduce(compose, fold(sync.content));
}

/** How many local edits the server has not acknowledged. */
export function waiting(sync: Sync): number {
  return (sync.inflight?.edits ?? 0) + (sync.buffer?.edits ?? 0);
}

/** The same state, of which it costs less to ask once more where the others are. */
export function settled(sync: Sync): Sync {
  return sync.others.changes.length === 0 ? sync : { ...sync, others: settle(sync.others) };
}

/** The others, by session, with their positions in the local document. */
export function localPresence(sync: Sync): Map<string, Presence> {
  const local = new Map<string, Presence>();
  for (const [id, presence] of settle(sync.others).base) {
    const moved = pending(sync).reduce((at, delta) => moveCursor(at, delta), presence);
    local.set(id, moved);
  }
  return local;
}

/** Whether a submission follows as soon as the server knows this client again. */
export function hasPending(sync: Sync): boolean {
  return sync.inflight !== undefined || sync.buffer !== undefined;
}

/** Takes one input. The state is never changed in place. */
export function step(sync: Sync, input: Input): Step {
  switch (input.type) {
    case 'edit':
      return edit(sync, input.delta);
    case 'select':
      return select({ ...sync, selection: input.selection });
    case 'describe':
      return describe({ ...sync, data: input.data });
    case 'disconnected':
      if (input.briefly) return [{ ...sync, joined: false, shown: undefined }, []];
      return [{ ...sync, joined: false, shown: undefined, others: NOBODY }, [{ type: 'presence' }]];
    case 'message':
      return receive(sync, input.message);
  }
}

function edit(sync: Sync, delta: Delta): Step {
  if (!sync.content) throw new Error('the document is not loaded yet');
  if (delta.length === 0) return [sync, []];
  const before = sync.buffer;
  const buffer: Buffer = before
    ? { delta: compose(before.delta, delta), edits: before.edits + 1 }
    : { delta, edits: 1 };
  const caret = caretAfter(delta);
  // The editor tells its selection too, but perhaps later.
  const selection =
    sync.selection && caret !== undefined ? { anchor: caret, head: caret } : sync.selection;
  return submit({ ...sync, buffer, selection });
}

/** Sends the buffer if nothing is in flight. */
function submit(sync: Sync): Step {
  if (sync.inflight || !sync.buffer || !sync.joined) return [sync, []];
  const seq = sync.seq + 1;
  const { edits } = sync.buffer;
  const [delta, rest] = split(sync.buffer.delta, SUBMISSION_JSON_MAX);
  // An edit counts until all of it is acknowledged.
  const [inflight, buffer] =
    rest.length > 0
      ? [
          { seq, delta, edits: 0 },
          { delta: rest, edits },
        ]
      : [{ seq, delta, edits }, undefined];
  const sent: Sync = { ...sync, seq, inflight, buffer };
  return [sent, [send(sent, delta)]];
}

function send(sync: Sync, delta: Delta): Effect {
  const { seq, revision } = sync;
  return {
    type: 'send',
    message: { type: 'edit_operation', seq, revision, operation: { ops: delta } },
  };
}

function receive(sync: Sync, message: SingleMessage): Step {
  switch (message.type) {
    case 'document_state':
      return join(sync, message);
    case 'ack':
      return acknowledge(sync, message.seq, message.revision);
    case 'operation':
      return remote(sync, message.revision, message.operation.ops, message.sessionId);
    case 'reconciled':
      return reconcile(sync, message.seq, message.revision, message.operation.ops);
    case 'presence_update':
      return [{ ...sync, others: update(sync, message) }, [{ type: 'presence' }]];
    case 'permission_changed':
      return [{ ...sync, role: message.role }, [{ type: 'role' }]];
    case 'error':
      if (message.seq !== undefined && message.seq === sync.inflight?.seq) {
        if (PASSING.has(message.code)) return resume(sync);
        return reject(sync, message.code, message.message);
      }
      return [sync, [{ type: 'error', code: message.code, message: message.message }]];
    default:
      return [sync, []];
  }
}

type State = Extract<ServerMessage, { type: 'document_state' }>;

/** The server is asked again for what this connection did not bring. */
function resume(sync: Sync): Step {
  return [{ ...sync, joined: false, shown: undefined }, [{ type: 'resume' }]];
}

function join(sync: Sync, state: State): Step {
  if (!state.content && state.lastSeq > sync.seq) {
    // This state was kept before its client sent more and crashed. What waits here is part of what was
    // sent, so the server's document holds it all; sent again it would be there twice.
    const { clientId, data } = sync;
    const anew = { ...start(clientId), seq: state.lastSeq, data };
    return [anew, [{ type: 'role' }, { type: 'resume' }]];
  }
  // Behind what a resume has missed comes who is there; until then it is those who were.
  const others = state.content
    ? { base: new Map(state.presence.map((it) => [it.sessionId, it])), changes: [] }
    : unnumbered(sync.others);
  const { sessionId, number, role, color } = state;
  const joined: Sync = {
    ...sync,
    joined: true,
    sessionId,
    number,
    role,
    color,
    others,
    shown: undefined,
  };
  const effects: Effect[] = [{ type: 'role' }, { type: 'presence' }];
  if (state.content) {
    // Only a client without a document of its own asks for the content, so nothing is pending.
    const content = { base: state.content.ops, changes: [] };
    const seq = Math.max(sync.seq, state.lastSeq);
    const loaded = {
      ...joined,
      content,
      revision: state.revision,
      seq,
      inflight: undefined,
      buffer: undefined,
      // Places in a document that was there before mean nothing in this one.
      selection: undefined,
    };
    return introduce(loaded, [{ type: 'load' }, ...effects]);
  }
  if (joined.inflight) {
    // It may have arrived. If it has, the changes that follow hold its acknowledgement, and the server
    // recognizes the number.
    effects.push(send({ ...joined, seq: joined.inflight.seq }, joined.inflight.delta));
    return introduce(joined, effects);
  }
  const [next, more] = submit(joined);
  return introduce(next, [...effects, ...more]);
}

/** Tells a server that has forgotten this client what the others should see of it. */
function introduce(sync: Sync, effects: Effect[]): Step {
  const [selected, cursor] = select(sync);
  const data = sync.data === undefined ? [] : describe(sync)[1];
  return [selected, [...effects, ...cursor, ...data]];
}

function describe(sync: Sync): Step {
  if (!sync.joined) return [sync, []];
  return [sync, [{ type: 'send', message: { type: 'presence_update', data: sync.data ?? null } }]];
}

function acknowledge(sync: Sync, seq: number, revision: number): Step {
  const { inflight } = sync;
  // One that was sent twice may be acknowledged twice.
  if (!inflight || inflight.seq !== seq || !sync.content) return [sync, []];
  if (revision !== sync.revision + 1) return resume(sync);
  const shown = sync.shown && moveOwn(sync.shown, inflight.delta);
  const others = pass(sync.others, inflight.delta);
  const content = append(sync.content, inflight.delta);
  const acknowledged = { ...sync, content, revision, inflight: undefined, shown, others };
  const [submitted, effects] = submit(acknowledged);
  const [selected, more] = select(submitted);
  return [selected, [{ type: 'acknowledged', revision }, ...effects, ...more]];
}

function remote(sync: Sync, revision: number, delta: Delta, session: string | undefined): Step {
  if (!sync.content || !sync.joined || revision <= sync.revision) return [sync, []];
  if (revision !== sync.revision + 1) return resume(sync);
  let change = delta;
  let { inflight, buffer } = sync;
  if (inflight) {
    const [moved, pending] = cross(change, inflight.delta);
    inflight = { ...inflight, delta: pending };
    change = moved;
  }
  if (buffer) {
    const [moved, pending] = cross(change, buffer.delta);
    buffer = { ...buffer, delta: pending };
    change = moved;
  }
  const moved: Sync = {
    ...sync,
    revision,
    content: append(sync.content, delta),
    inflight,
    buffer,
    others: pass(sync.others, delta, session),
    shown: sync.shown && moveSelection(sync.shown, delta),
    selection: sync.selection && moveSelection(sync.selection, change),
  };
  return [moved, [{ type: 'change', delta: change, source: 'remote' }, { type: 'presence' }]];
}

/**
 * The messages that a message stands for: one for each of the changes that are told together. They are taken one by
 * one, so that whoever hears of a change finds the document as that change left it, and may edit it.
 */
export function apart(sync: Sync, message: ServerMessage): readonly SingleMessage[] {
  if (message.type !== 'operations') return [message];
  const sessions = new Map<number | string, string>();
  for (const { number, sessionId } of sync.others.base.values()) {
    if (number !== undefined) sessions.set(number, sessionId);
  }
  return message.changes.map(([author, seq, ...ops], index) => {
    const revision = message.revision + index;
    if (author === sync.number && seq > 0) return { type: 'ack', seq, revision };
    const sessionId = sessions.get(author);
    const operation = { ops: ops.map(operationOf) };
    return { type: 'operation', revision, operation, ...(sessionId ? { sessionId } : {}) };
  });
}

function operationOf(op: number | string | Op): Op {
  if (typeof op === 'string') return { insert: op };
  if (typeof op === 'number') return op > 0 ? { retain: op } : { delete: -op };
  return op;
}

/** The server merged the inflight by another way; `operation` leads from content ∘ inflight to its head. */
function reconcile(sync: Sync, seq: number, revision: number, operation: Delta): Step {
  const { inflight } = sync;
  if (!inflight || inflight.seq !== seq || !sync.content) return [sync, []];
  const content = append(append(sync.content, inflight.delta), operation);
  let { buffer } = sync;
  let change = operation;
  if (buffer) {
    const [moved, pending] = cross(change, buffer.delta);
    buffer = { ...buffer, delta: pending };
    change = moved;
  }
  const selection = sync.selection && moveSelection(sync.selection, change);
  const merged = {
    ...sync,
    revision,
    content,
    inflight: undefined,
    buffer,
    selection,
    shown: undefined,
  };
  const [submitted, effects] = submit(merged);
  return [
    submitted,
    [
      { type: 'change', delta: change, source: 'remote' },
      { type: 'acknowledged', revision },
      ...effects,
    ],
  ];
}

/** Takes the inflight back; what was typed since goes on. */
export function reject(sync: Sync, code: string, message: string): Step {
  const { inflight } = sync;
  if (!inflight || !sync.content) return [sync, []];
  const undo = invert(inflight.delta, fold(sync.content));
  let change = undo;
  let { buffer } = sync;
  if (buffer) {
    const delta = transform(undo, buffer.delta, 'left');
    change = transform(buffer.delta, undo, 'right');
    buffer = delta.length > 0 ? { ...buffer, delta } : undefined;
  }
  const selection = sync.selection && moveSelection(sync.selection, change);
  const [next, effects] = submit({ ...sync, inflight: undefined, buffer, selection });
  return [
    next,
    [
      { type: 'change', delta: change, source: 'rejected' },
      { type: 'rejected', delta: inflight.delta, code, message },
      ...effects,
    ],
  ];
}

/**
 * Tells the others where the cursor is, unless they know. While edits are pending they can infer it from
 * those, and positions in text that the server does not have yet would mean nothing to it.
 */
function select(sync: Sync): Step {
  if (!sync.joined || sync.inflight || sync.buffer) return [sync, []];
  const { selection, shown, revision } = sync;
  if (same(selection, shown)) return [sync, []];
  const message: ClientMessage = { type: 'selection_update', revision, ...selection };
  return [{ ...sync, shown: selection }, [{ type: 'send', message }]];
}

function same(a: Selection | undefined, b: Selection | undefined): boolean {
  return a?.anchor === b?.anchor && a?.head === b?.head;
}

type Update = Extract<ServerMessage, { type: 'presence_update' }>;

function update(sync: Sync, message: Update): Others {
  const base = new Map(message.reset ? [] : settle(sync.others, message.moved).base);
  for (const one of [...(message.joined ?? []), ...(message.updated ?? [])]) {
    if (one.sessionId !== sync.sessionId) base.set(one.sessionId, one);
  }
  for (const id of message.left ?? []) base.delete(id);
  return { base, changes: [] };
}

/** In a room that was opened again their numbers may be those of others. */
function unnumbered({ base, changes }: Others): Others {
  const without = ({ number: _number, ...one }: Presence): Presence => one;
  return { base: new Map([...base].map(([id, one]) => [id, without(one)])), changes };
}

/** A change that the others are to be moved past. Moving each at once would cost O(n) a change. */
function pass(others: Others, delta: Delta, author?: string): Others {
  if (others.base.size === 0) return others;
  const { base, changes } = others;
  const passed = { base, changes: [...changes, { delta, author }] };
  return passed.changes.length < UNFOLDED_MAX ? passed : settle(passed);
}

/** Moves the others past the changes, but for those of whom it is told where they are then. */
function settle(others: Others, moved: readonly Move[] = []): Others {
  if (others.changes.length === 0 && moved.length === 0) return others;
  const moves = new Map(moved.map((move) => [move[0], move]));
  const base = new Map<string, Presence>();
  for (const [id, one] of others.base) {
    const move = one.number === undefined ? undefined : moves.get(one.number);
    base.set(id, move ? pointing(one, move) : passing(one, others.changes));
  }
  return { base, changes: [] };
}

function pointing(presence: Presence, [, anchor, head = anchor]: Move): Presence {
  if (anchor !== undefined && head !== undefined) return { ...presence, anchor, head };
  const { anchor: _anchor, head: _head, ...rest } = presence;
  return rest;
}

function passing(presence: Presence, changes: Others['changes']): Presence {
  const { sessionId, anchor, head } = presence;
  if (anchor === undefined || head === undefined) return presence;
  let at: Selection = { anchor, head };
  for (const { delta, author } of changes) {
    at = author === sessionId ? moveOwn(at, delta) : moveSelection(at, delta);
  }
  return { ...presence, ...at };
}

function moveCursor(presence: Presence, delta: Delta): Presence {
  const { anchor, head } = presence;
  if (anchor === undefined || head === undefined) return presence;
  return { ...presence, ...moveSelection({ anchor, head }, delta) };
}

/** Text that others insert at a cursor comes behind it. */
function moveSelection(selection: Selection, delta: Delta): Selection {
  const move = (position: number) => transformPosition(delta, position, 'right');
  return { anchor: move(selection.anchor), head: move(selection.head) };
}

function moveOwn(selection: Selection, delta: Delta): Selection {
  const caret = caretAfter(delta);
  return caret === undefined ? moveSelection(selection, delta) : { anchor: caret, head: caret };
}

function pending(sync: Sync): Delta[] {
  return [sync.inflight?.delta, sync.buffer?.delta].filter((it) => it !== undefined);
}

/** Folding each change at once would cost O(n) a keystroke. */
function append(content: Content, delta: Delta): Content {
  const changes = [...content.changes, delta];
  return changes.length < UNFOLDED_MAX
    ? { base: content.base, changes }
    : { base: fold({ base: content.base, changes }), changes: [] };
}

function fold(content: Content): Delta {
  return content.changes.reduce(compose, content.base);
}
