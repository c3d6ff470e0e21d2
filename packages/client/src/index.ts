/**
 * Edit Motet documents from a browser or Node.
 *
 * `MotetDocument` is what applications use. `step` is the protocol as a pure function, for those who
 * bring their own sockets.
 */
export type { Attributes, Json } from './attributes.js';
export type { CarrierName, Socket, SocketConstructor } from './carrier.js';
export * as core from './core.js';
export type { Delete, Delta, Embed, Insert, Op, Retain } from './delta.js';
export * as delta from './delta.js';
export { DeltaError } from './delta.js';
export { type DocumentOptions, type Events, MotetDocument, type Status } from './document.js';
export type { ClientMessage, Presence, Role, Selection, ServerMessage } from './messages.js';
export { type Claim, IndexedDbStore, type OfflineStore, type Place } from './offline.js';
export type { FatalReason } from './transport.js';
