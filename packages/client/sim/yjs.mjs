// A client that speaks identities: a real document of Yjs, what its provider does (y-websocket 3),
// and what awareness does (y-protocols 1.0). Bytes are hex.
//
// Understood beside the requests that agent.mjs lists:
//   {"op":"renew","client":C,"now":MS}     time has passed for awareness
//
// Messages of the server: {"type":"welcome","states"}, {"type":"update","update","vector"?},
// {"type":"stored"}, {"type":"awareness","states"}. Those to it: "sync" with a vector, "update",
// "awareness". A state is {"client","clock","state"}, the state null when its client has left.
import * as Y from 'yjs';
import { normal } from '../dist/delta.js';
import { randomEdit } from './edits.mjs';

/** The root that both dialects edit. */
const ROOT = 'content';
/** Updates of others have this origin. */
const REMOTE = Symbol('remote');
/** The latest updates, up to this many, may not have been stored when a client crashes. */
const UNSTORED_MAX = 4;
/** Others that are not heard of for so long are forgotten. */
const SILENT_MS = 30_000;

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (text) => Buffer.from(text, 'hex');

export class YjsClient {
  constructor(name, id) {
    this.name = name;
    /** What the browser stores, an update at a time. */
    this.stored = [];
    this.open(id);
  }

  /** Begins a life of the document, from what is stored. */
  open(id) {
    this.joined = false;
    this.outbox = [];
    this.doc = new Y.Doc();
    for (const update of this.stored) Y.applyUpdate(this.doc, update, REMOTE);
    // Yjs takes a new one each time; here chance is not its own.
    this.doc.clientID = id;
    this.doc.on('update', (update, origin) => {
      this.stored.push(update);
      if (origin !== REMOTE && this.joined) this.send({ type: 'update', update: hex(update) });
    });
    /** Who else is here. */
    this.states = new Map();
    /** Of each client ever heard of, the latest clock, and when that was. */
    this.clocks = new Map();
    this.clock = 0;
    this.cursor = null;
  }

  get text() {
    return this.doc.getText(ROOT);
  }

  /** The text, with neighbours that are alike as one. */
  get content() {
    return normal(this.text.toDelta());
  }

  send(message) {
    this.outbox.push(message);
  }

  perform(request) {
    switch (request.op) {
      case 'edit':
        this.edit(request.dice);
        break;
      case 'select':
        this.select(request.dice[0]);
        break;
      case 'message':
        this.receive(request.message, request.now);
        break;
      case 'renew':
        if (!this.joined) break;
        this.show();
        for (const [client, { heard }] of this.clocks)
          if (heard + SILENT_MS <= request.now) this.states.delete(client);
        break;
      case 'disconnected':
        this.joined = false;
        this.states.clear();
        break;
      case 'reload':
        this.reload(request);
        break;
      case 'state':
        return this.state();
    }
    return { send: this.outbox.splice(0), acknowledged: [], resume: false };
  }

  edit([where, what, word, root]) {
    if (root < 0.8) {
      const delta = randomEdit(this.content, [where, what, word]);
      this.text.applyDelta(delta, { sanitize: false });
      return;
    }
    const key = 'abc'[Math.floor(where * 3)];
    if (root < 0.9) {
      const map = this.doc.getMap('map');
      if (what < 0.7) map.set(key, { at: Math.floor(word * 1e6), is: [key] });
      else map.delete(key);
      return;
    }
    const xml = this.doc.getXmlFragment('xml');
    const at = Math.floor(where * (xml.length + 1));
    if (what < 0.4) xml.insert(at, [new Y.XmlElement(key)]);
    else if (what < 0.6) xml.insert(at, [new Y.XmlText(key)]);
    else if (at === xml.length) return;
    else if (what < 0.8) xml.delete(at, 1);
    else if (xml.get(at) instanceof Y.XmlText) xml.get(at).insert(0, key);
    else xml.get(at).setAttribute(key, word.toFixed(3));
  }

  select(where) {
    const index = Math.floor(where * (this.text.length + 1));
    const place = Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(this.text, index));
    this.cursor = { anchor: place, head: place };
    this.show();
  }

  /** Tells the others its state anew, once they can hear it. */
  show() {
    this.clock += 1;
    if (!this.joined) return;
    const state = { user: { name: this.name }, cursor: this.cursor };
    const { clock } = this;
    this.send({ type: 'awareness', states: [{ client: this.doc.clientID, clock, state }] });
  }

  receive(message, now) {
    if (message.type === 'welcome') {
      this.joined = true;
      this.send({ type: 'sync', vector: hex(Y.encodeStateVector(this.doc)) });
      this.show();
    }
    if (message.vector) {
      const missing = Y.encodeStateAsUpdate(this.doc, bytes(message.vector));
      this.send({ type: 'update', update: hex(missing) });
    }
    if (message.type === 'update') Y.applyUpdate(this.doc, bytes(message.update), REMOTE);
    for (const state of message.states ?? []) this.learn(state, now);
  }

  /** As `applyAwarenessUpdate` of y-protocols. */
  learn({ client, clock, state }, now) {
    const known = this.clocks.get(client)?.clock ?? 0;
    const leaves = clock === known && state === null && this.states.has(client);
    if (client === this.doc.clientID || (clock <= known && !leaves)) return;
    if (state === null) this.states.delete(client);
    else this.states.set(client, state);
    this.clocks.set(client, { clock, heard: now });
  }

  /** Crashes, and is opened again from what was stored, which may lack the latest. */
  reload({ dice, yjs }) {
    const lost = Math.floor(dice[0] * (UNSTORED_MAX + 1));
    this.stored.splice(Math.max(0, this.stored.length - lost));
    this.doc.destroy();
    this.open(yjs);
    this.stored = [Y.encodeStateAsUpdate(this.doc)];
  }

  state() {
    return {
      content: this.content,
      map: this.doc.getMap('map').toJSON(),
      xml: this.doc.getXmlFragment('xml').toString(),
      waiting: this.doc.store.pendingStructs || this.doc.store.pendingDs ? 1 : 0,
      presence: [...this.states.values()].map((state) => state.user.name).sort(),
    };
  }
}
