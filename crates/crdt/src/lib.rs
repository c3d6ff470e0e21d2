//! A Yjs-wire-compatible document engine.
//!
//! A [`Replica`] holds the document model of Yjs 13: text with formats and embeds, lists, maps, XML, types in
//! one another. Updates come from anywhere in any order; replicas that have applied the same updates
//! are the same. Positions, lengths and clocks count UTF-16 code units.
//!
//! What is not in a replica's hands is what the bytes of strangers say: decoding allocates no more than a
//! small multiple of their length, nothing recurses as deep as they please, and an update that is refused
//! changes nothing.
//!
//! Follows the YATA algorithm (Nicolaescu, Jahns, Derntl, Klamma: Near Real-Time Peer-to-Peer Shared
//! Editing on Extensible Data Types, 2016) as Yjs 13.6 has it.
//!
//! # Invariants
//!
//! - **dense**: a client's clocks are 0, 1, 2, …, each in exactly one run.
//! - **joined**: consecutive runs of a client that stand side by side and are alike are one.
//! - those of `store::tree`.
//!
//! # Not here
//!
//! I/O, networks, documents as the server knows them (`document`).

mod encoding;
mod error;
mod id;
pub mod lib0;
mod replica;
mod snapshot;
mod store;
mod sync;
mod update;

pub use encoding::ANY_DEPTH_MAX;
pub use error::{DecodeError, EditError};
pub use id::{CLIENT_MAX, CLOCK_END, Client, Id, IdSet, StateVector};
pub use replica::{
    Association, Branch, JSON_DEPTH_MAX, Node, Options, Received, RelativePosition, Replica, Shape,
};
pub use snapshot::Snapshot;
pub use sync::{AwarenessEntry, SyncMessage, decode_awareness, encode_awareness};
pub use update::{
    Version, clients_of_update, decode_state_vector, diff_update, merge_updates, reach_of_update,
    state_vector_of,
};
