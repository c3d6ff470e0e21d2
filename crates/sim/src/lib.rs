//! A deterministic simulator: the real document logic and the real client logic on a virtual clock,
//! network and disk.
//!
//! `world.rs` runs one seed; `server.rs` is a server around the real `Document`, which can lose
//! power; `disk.rs` is what it has then; `agent.rs` drives the real TypeScript core and real
//! documents of Yjs in a Node process, one request at a time; `yjs.rs` is what the latter say;
//! `check.rs` says whether all is well in the end; `random.rs` is the only source of chance. The
//! same seed gives the same run, event for event.
//!
//! `merges.rs` leaves out the network and Node to simulate very many offline merges: `offline.rs`
//! holds their clients, `markers.rs` texts in which nothing is lost or doubled unnoticed.
//!
//! `placement/` is something else, a model of a large fleet: sizes, costs and storms, without the real logic.
//!
//! # What is checked
//!
//! - **convergence**: when all is quiet, every client of either dialect, the log and the checkpoint
//!   hold the
//!   same content; those of Yjs and the server's replica also the same other roots.
//! - **acknowledged implies durable**: what a client was told is committed, or stored, stays so.
//! - **dense** revisions, and **exactly once**: no `(client, seq)` stands in the log twice, and no
//!   embed is
//!   inserted twice.
//! - **presence expires**: who is here is seen in both dialects, and who is gone is not any more.
//!
//! # Not here
//!
//! Sockets, queues and tasks of the server: its own tests run those as they are.

mod agent;
mod check;
mod disk;
mod markers;
mod merges;
mod offline;
pub mod placement;
mod random;
mod server;
mod world;
mod yjs;

pub use agent::Agent;
pub use merges::{Routes, merge};
pub use world::{Failure, run};
