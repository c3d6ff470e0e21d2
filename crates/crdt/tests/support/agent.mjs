// Yjs behind a pipe, as an oracle: one JSON request a line, one answer a line. Bytes travel as hex.
//
//   {"op":"session","seed":S}      a random session of several Yjs peers; answered with every update that
//                                  was made, in v1 and v2, the document that all of them lead to, and, if
//                                  nothing is collected, what its text was at some snapshots
//   {"op":"tidied","seed":S}       a random session in which all updates go to all, and the deletions that
//                                  Yjs makes of its own after those of others; answered with all updates,
//                                  those that were edits, what each peer says, and what one says that
//                                  heard of the edits only and tidied up for itself
//   {"op":"apply","updates":[…],"v2":B,"gc":B}
//                                  a fresh document that takes these in order; answered with what it says
import { createInterface } from 'node:readline';
import * as Y from 'yjs';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => new Uint8Array(Buffer.from(text, 'hex'));

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ['a', 'bc', 'Motet', '\n', 'é', 'ÿü', '😀', 'x😀y', '世界', ' '];
const VALUES = [0, 1, -5, 2 ** 31, 0.5, -1.25, 1e300, true, false, null, 'text', '', { a: [1, { b: null }] }, []];
const KEYS = ['k', 'l', 'm'];

class Peer {
  constructor(random, client, gc, onUpdate) {
    this.random = random;
    this.words = WORDS;
    this.doc = new Y.Doc({ gc });
    this.doc.clientID = client;
    this.doc.on('update', (update, origin) => origin !== 'remote' && onUpdate(hex(update), undefined));
    this.doc.on('updateV2', (update, origin) => origin !== 'remote' && onUpdate(undefined, hex(update)));
  }

  below(n) {
    return Math.floor(this.random() * n);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  roots() {
    const { doc } = this;
    return [doc.getText('content'), doc.getArray('array'), doc.getMap('map'), doc.getXmlFragment('xml')];
  }

  /** A root, or something that is in one. */
  branch() {
    let branch = this.pick(this.roots());
    for (let depth = 0; depth < 3; depth += 1) {
      const inside = children(branch);
      if (inside.length === 0 || this.random() < 0.4) break;
      branch = this.pick(inside);
    }
    return branch;
  }

  node() {
    switch (this.below(10)) {
      case 0:
        return new Y.Array();
      case 1:
        return new Y.Map();
      case 2:
        return new Y.Text(this.pick(WORDS));
      case 3:
        return new Uint8Array([1, 2, this.below(256)]);
      case 4:
        return this.subdocument();
      default:
        return this.pick(VALUES);
    }
  }

  subdocument() {
    const guid = `guid ${this.below(1000)}`;
    return new Y.Doc({ guid, ...this.pick([{}, { gc: false }, { autoLoad: true, meta: { a: [1, null] } }]) });
  }

  edit() {
    this.doc.transact(() => {
      for (let n = 1 + this.below(3); n > 0; n -= 1) this.editBranch(this.branch());
    });
  }

  editBranch(branch) {
    if (branch instanceof Y.Text) this.editText(branch);
    else if (branch instanceof Y.XmlFragment) this.editXml(branch);
    else if (branch instanceof Y.Array) {
      const at = this.below(branch.length + 1);
      const count = Math.min(branch.length - at, 1 + this.below(3));
      if (this.random() < 0.65 || count === 0) branch.insert(at, Array.from({ length: 1 + this.below(3) }, () => this.node()));
      else branch.delete(at, count);
    } else if (branch instanceof Y.Map) {
      if (this.random() < 0.75) branch.set(this.pick(KEYS), this.node());
      else branch.delete(this.pick(KEYS));
    }
  }

  editText(text) {
    const at = this.below(text.length + 1);
    const count = Math.min(text.length - at, 1 + this.below(6));
    const attributes = { [this.pick(['bold', 'italic', 'color'])]: this.pick([true, null, 'red', { a: 1 }]) };
    const dice = this.random();
    if (dice < 0.35) text.insert(at, this.pick(this.words));
    else if (dice < 0.5) text.insert(at, this.pick(this.words), this.random() < 0.3 ? {} : attributes);
    else if (dice < 0.57) {
      const embed = this.pick([{ image: this.below(9) }, { image: 'é' }, new Y.Map(), new Y.XmlHook('hook')]);
      text.insertEmbed(at, embed, this.random() < 0.5 ? {} : attributes);
    }
    else if (count === 0) text.insert(at, 'z');
    else if (dice < 0.78) text.delete(at, count);
    else text.format(at, count, attributes);
  }

  editXml(xml) {
    const at = this.below(xml.length + 1);
    const dice = this.random();
    if (xml instanceof Y.XmlElement && dice < 0.25) xml.setAttribute(this.pick(KEYS), this.pick(WORDS));
    else if (xml instanceof Y.XmlElement && dice < 0.3) xml.removeAttribute(this.pick(KEYS));
    else if (dice < 0.75 || xml.length === 0) {
      const kind = this.random();
      if (kind < 0.4) xml.insert(at, [new Y.XmlElement(this.pick(['p', 'div']))]);
      else if (kind < 0.8) xml.insert(at, [new Y.XmlText(this.pick(WORDS))]);
      else xml.insert(at, [new Y.XmlHook(this.pick(['hook', 'é']))]);
    } else xml.delete(Math.min(at, xml.length - 1), 1);
  }

  take(other) {
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(other.doc, Y.encodeStateVector(this.doc)), 'remote');
  }
}

function children(branch) {
  if (branch instanceof Y.Map) return [...branch.values()].filter((it) => it instanceof Y.AbstractType);
  if (branch instanceof Y.XmlFragment || branch instanceof Y.Array)
    return branch.toArray().filter((it) => it instanceof Y.AbstractType);
  return [];
}

// Yjs leaves pieces of text apart that are formatted alike, depending on how they came about.
const { toDelta } = Y.Text.prototype;
Y.Text.prototype.toDelta = function joined(...options) {
  const ops = [];
  for (const op of toDelta.apply(this, options)) {
    if (op.insert instanceof Y.AbstractType) op.insert = { type: op.insert instanceof Y.XmlHook ? 'xml_hook' : 'map' };
    const last = ops.at(-1);
    const alike = last && JSON.stringify(last.attributes) === JSON.stringify(op.attributes);
    if (alike && typeof last.insert === 'string' && typeof op.insert === 'string') last.insert += op.insert;
    else ops.push({ ...op });
  }
  return ops;
};

/** JSON in which bytes are lists, and subdocuments nothing. */
const plain = (value) =>
  JSON.parse(
    JSON.stringify(value, function replace(key, it) {
      if (this[key] instanceof Y.Doc) return null;
      return it instanceof Uint8Array ? [...it] : it;
    }),
  );

function said(doc) {
  const text = doc.getText('content');
  return {
    text: text.toString(),
    delta: text.toDelta(),
    array: plain(doc.getArray('array').toJSON()),
    map: plain(doc.getMap('map').toJSON()),
    xml: doc.getXmlFragment('xml').toString(),
    vector: hex(Y.encodeStateVector(doc)),
    update: hex(Y.encodeStateAsUpdate(doc)),
    pending: doc.store.pendingStructs !== null || doc.store.pendingDs !== null,
  };
}

function session({ seed }) {
  const random = generator(seed);
  const gc = random() < 0.7;
  const updates = [];
  const updatesV2 = [];
  const onUpdate = (v1, v2) => (v1 === undefined ? updatesV2.push(v2) : updates.push(v1));
  const clients = [1, 2, 3, 77, 300, 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 1].sort(() => random() - 0.5);
  const count = 2 + Math.floor(random() * 7);
  const peers = clients.slice(0, count).map((client) => new Peer(random, client, gc, onUpdate));
  const snapshots = [];
  for (let n = 10 + Math.floor(random() * 30); n > 0; n -= 1) {
    const peer = peers[Math.floor(random() * count)];
    if (n % 12 === 0) snapshots.push(Y.snapshot(peer.doc));
    if (random() < 0.75) peer.edit();
    else peer.take(peers[Math.floor(random() * count)]);
  }
  // At once: between updates Yjs would delete formats that it takes for useless, and tell nobody here.
  const merged = Y.mergeUpdates(updates.map(bytes));
  const whole = () => {
    const doc = new Y.Doc({ gc });
    doc.clientID = 12345;
    Y.applyUpdate(doc, merged);
    return doc;
  };
  // Each in a document of its own: to look at a snapshot, Yjs cuts surrogate pairs for good.
  const at = (snapshot) => ({
    snapshot: hex(Y.encodeSnapshot(snapshot)),
    delta: whole().getText('content').toDelta(snapshot),
  });
  return { gc, updates, updatesV2, said: said(whole()), snapshots: gc ? [] : snapshots.map(at) };
}

/** Peers that hear of every update, late and each in its own order, and tidy up formats after each. */
function tidied({ seed }) {
  const random = generator(seed);
  const gc = random() < 0.7;
  const updates = [];
  const edits = [];
  let editing = false;
  const inboxes = [1, 2, 300, 2 ** 40].slice(0, 2 + Math.floor(random() * 3)).map(() => []);
  const peers = inboxes.map((_inbox, at) => {
    const onUpdate = (v1) => {
      if (v1 === undefined) return;
      updates.push(v1);
      if (editing) edits.push(v1);
      for (const [other, inbox] of inboxes.entries()) if (other !== at) inbox.push(bytes(v1));
    };
    const peer = new Peer(random, [1, 2, 300, 2 ** 40][at], gc, onUpdate);
    // Who cuts a surrogate pair for a format that changes nothing does not tell the others.
    peer.words = WORDS.filter((word) => !word.includes('😀'));
    return peer;
  });
  const hear = (at) => {
    const update = inboxes[at].shift();
    if (update !== undefined) Y.applyUpdate(peers[at].doc, update, 'remote');
  };
  for (let n = 40 + Math.floor(random() * 60); n > 0; n -= 1) {
    const at = Math.floor(random() * peers.length);
    editing = random() < 0.4;
    const { doc } = peers[at];
    if (editing) doc.transact(() => peers[at].editText(doc.getText('content')));
    else hear(at);
  }
  editing = false;
  while (inboxes.some((inbox) => inbox.length > 0)) for (const at of peers.keys()) hear(at);
  const alone = new Y.Doc({ gc });
  for (const update of edits) Y.applyUpdate(alone, bytes(update));
  return { gc, updates, edits, peers: peers.map(({ doc }) => said(doc)), alone: said(alone) };
}

function apply({ updates, v2, gc }) {
  const doc = new Y.Doc({ gc });
  doc.clientID = 12345;
  if (v2) Y.applyUpdateV2(doc, Y.mergeUpdatesV2(updates.map(bytes)));
  else Y.applyUpdate(doc, Y.mergeUpdates(updates.map(bytes)));
  return said(doc);
}

const OPS = { session, tidied, apply };
for await (const line of createInterface({ input: process.stdin })) {
  const requests = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(requests.map((request) => OPS[request.op](request)))}\n`);
}
