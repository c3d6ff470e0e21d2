/** Every dialect in one document at once: Yjs providers, OT clients, and a bare socket. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import * as Y from 'yjs';
import { type Delta, normal } from '../../client/src/delta.js';
import type { MotetDocument } from '../../client/src/index.js';
import { type Account, Motet, until } from '../../client/tests/support/motet.js';
import { generator, randomEdit } from '../../client/tests/support/random.js';
import { gateway, openHocuspocus4, openYWebsocket, PEERS, type Peer } from './support/peers.js';

const SEEDS = (process.env.MOTET_INTEROP_SEEDS ?? '1,2').split(',').map(Number);
const ROUNDS = 5;
const EDITS_PER_ROUND = 120;
const SETTLE_MS_MAX = 60_000;

const motet = new Motet();
let ada: Account;

beforeAll(async () => {
  await motet.start();
  ada = await motet.register('ada');
});
afterAll(() => motet.destroy());

/** The text of a Yjs client as OT clients write it. */
function content(peer: Peer): Delta {
  return normal(peer.text.toDelta() as Delta);
}

async function stored(documentId: string): Promise<Delta> {
  const document = await motet.call('GET', `documents/${documentId}`, ada.token);
  return normal((document.content as { ops: Delta }).ops);
}

/** Types into a document as a person with a terminal does. */
class Terminal {
  private socket: WebSocket | undefined;
  /** Insertions that were acknowledged. */
  acknowledged = 0;

  constructor(private readonly documentId: string) {}

  async open(): Promise<void> {
    const url = gateway(motet.url, 'yjs').replace(/yjs$/, `collab/${this.documentId}`);
    const socket = new WebSocket(`${url}?token=${ada.token}`);
    this.socket = socket;
    const joined = new Promise<void>((resolve) => {
      socket.on('message', (frame) => {
        const messages = [JSON.parse(String(frame))].flat() as { type: string }[];
        for (const { type } of messages) {
          if (type === 'document_state') resolve();
          if (type === 'ack') this.acknowledged += 1;
        }
      });
    });
    socket.on('error', () => {});
    await joined;
  }

  type(text: string): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ type: 'insert', pos: 0, text }));
  }

  close(): void {
    this.socket?.terminate();
  }
}

test('an edit of each dialect is seen by all others', async () => {
  const documentId = await motet.create(ada);
  const place = { url: motet.url, documentId, token: ada.token };
  const peers = PEERS.map(([, open]) => open(place));
  const ot = motet.open(ada, documentId);
  await until(() => peers.every((it) => it.synced()) && ot.loaded, 'all are there');
  const everywhere = (text: string) =>
    until(() => ot.text === text && peers.every((it) => `${it.text}` === text), `all see ${text}`);

  ot.edit([{ insert: 'OT' }]);
  await everywhere('OT');
  let text = 'OT';
  for (const [n, peer] of peers.entries()) {
    peer.text.insert(1, `${n}`);
    text = `${text[0]}${n}${text.slice(1)}`;
    await everywhere(text);
  }
  const terminal = new Terminal(documentId);
  await terminal.open();
  terminal.type('> ');
  await everywhere(`> ${text}`);
  const clientVersion = ot.revision - 1;
  const changes = { ops: [{ retain: text.length }, { insert: ' REST' }] };
  await motet.call('PATCH', `documents/${documentId}/edit`, ada.token, { changes, clientVersion });
  await everywhere(`> ${text} REST`);

  // Formats and embeds too, from either side.
  ot.edit([{ retain: 2, attributes: { bold: true } }, { insert: { image: 'i.png' } }]);
  await until(() => peers.every((it) => it.text.length === ot.text.length), 'all see the image');
  peers[0]?.text.format(2, 3, { italic: true, link: 'https://example.org/' });
  await until(() => JSON.stringify(ot.content).includes('example.org'), 'the OT client sees it');
  await until(
    () => peers.every((it) => JSON.stringify(content(it)).includes('example.org')),
    'the others see it',
  );
  for (const peer of peers) expect(content(peer)).toEqual(ot.content);
  expect(await stored(documentId)).toEqual(ot.content);

  terminal.close();
  for (const peer of peers) peer.destroy();
  await ot.destroy();
});

test('cursors of OT clients and of Yjs clients are seen by each other', async () => {
  const documentId = await motet.create(ada);
  const place = { url: motet.url, documentId, token: ada.token };
  const peers = [openYWebsocket(place), openHocuspocus4(place)];
  const ot = motet.open(ada, documentId);
  await until(() => peers.every((it) => it.synced()) && ot.loaded, 'all are there');
  ot.edit([{ insert: 'Hello you' }]);
  await until(() => peers.every((it) => it.text.length === 9), 'all see the text');
  ot.select({ anchor: 2, head: 5 });
  const cursors = (peer: Peer) =>
    [...peer.awareness.getStates()].filter(
      ([id, state]) => id !== peer.doc.clientID && state.cursor && state.user?.name === 'ada',
    );
  await until(() => peers.every((it) => cursors(it).length === 1), 'Yjs clients see the OT cursor');
  const [peer] = peers;
  if (!peer) throw new Error('there is one');
  const at = (index: number) =>
    Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(peer.text, index));
  peer.awareness.setLocalState({
    user: { name: 'whoever', color: '#0a7' },
    cursor: { anchor: at(6), head: at(9) },
  });
  // By the name of the account, whatever the client says.
  const seen = () => [...ot.presence.values()].filter((it) => it.sessionId !== ot.sessionId);
  await until(
    () => seen().some((it) => it.name === 'ada' && it.anchor === 6 && it.head === 9),
    'the OT client sees the cursor of a Yjs client',
  );
  for (const it of peers) it.destroy();
  await until(() => seen().length === 0, 'who has left is gone');
  await ot.destroy();
});

test.each(SEEDS)('random edits, lost connections and restarts, with seed %i', async (seed) => {
  const random = generator(seed);
  const below = (n: number) => Math.floor(random() * n);
  const documentId = await motet.create(ada);
  const place = { url: motet.url, documentId, token: ada.token };
  const peers = PEERS.map(([, open]) => open(place));
  const ots: MotetDocument[] = [motet.open(ada, documentId), motet.open(ada, documentId)];
  const terminal = new Terminal(documentId);
  await terminal.open();
  await until(() => peers.every((it) => it.synced()), 'the Yjs clients are there');
  await until(() => ots.every((it) => it.loaded), 'the OT clients are there');

  for (let round = 0; round < ROUNDS; round += 1) {
    const away = peers[below(peers.length)];
    await away?.leave();
    peers[below(peers.length)]?.cut();
    for (let n = 0; n < EDITS_PER_ROUND; n += 1) {
      const who = below(peers.length + ots.length + 1);
      const peer = peers[who];
      const ot = ots[who - peers.length];
      if (peer) {
        // Without `sanitize: false` Yjs takes newlines off the ends of what it is told to insert.
        const edit = randomEdit(content(peer), random);
        peer.text.applyDelta([...edit], { sanitize: false });
      } else if (ot) {
        ot.edit(randomEdit(ot.content ?? [], random));
      } else {
        terminal.type('T');
      }
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (n === EDITS_PER_ROUND / 2 && round % 2 === 0) ots[below(2)]?.disconnect();
    }
    const body = { changes: { ops: [{ insert: 'R' }] }, clientVersion: below(3) };
    await motet.call('PATCH', `documents/${documentId}/edit`, ada.token, body).catch((error) => {
      // The document may be younger than that.
      if (!`${error}`.includes('revision_ahead')) throw error;
    });
    if (round % 2 === 1) {
      await motet.end(round % 4 === 1 ? 'SIGKILL' : 'SIGTERM');
      await motet.start();
      terminal.close();
      await terminal.open();
    }
    away?.comeBack();
    for (const ot of ots) ot.connect();
  }

  await until(() => ots.every((it) => it.status.saved), 'OT edits are stored', SETTLE_MS_MAX);
  const calm = () => peers.every((it) => it.synced() && (it.unsaved() ?? 0) <= 0);
  await until(calm, 'the edits of Yjs clients are stored', SETTLE_MS_MAX);
  const contents = () =>
    new Set([...peers.map(content), ...ots.map((it) => it.content ?? [])].map(canonical));
  await until(() => contents().size === 1, 'all see the same', SETTLE_MS_MAX);
  const all = await stored(documentId);
  for (const ot of ots) expect(ot.content).toEqual(all);
  for (const peer of peers) expect(content(peer)).toEqual(all);
  const late = openYWebsocket(place);
  await until(() => late.synced(), 'one who comes late is synced');
  expect(content(late)).toEqual(all);

  terminal.close();
  for (const peer of [...peers, late]) peer.destroy();
  await Promise.all(ots.map((it) => it.destroy()));
}, 180_000);

/** A delta as text, the same for the same formats in whatever order. */
function canonical(delta: Delta): string {
  return JSON.stringify(delta, (_key, value: unknown) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
