//! A deterministic simulator: the real document logic and the real client logic on a virtual clock,
//! network and disk.
//!
//! `world.rs` runs one seed; `server.rs` is a server around the real `Document`, which can lose power;
//! `disk.rs` is what it has then; `agent.rs` drives the real TypeScript core in a Node process, one request
//! at a time; `random.rs` is the only source of chance. The same seed gives the same run, event for event.
//!
//! `merges.rs` leaves out the network and Node to simulate very many offline merges: `offline.rs` holds their
//! clients, `markers.rs` texts in which nothing is lost or doubled unnoticed.
//!
//! # What is checked
//!
//! - **convergence**: when all is quiet, every client and the log hold the same content.
//! - **acknowledged implies durable**: what a client was told is committed stays committed.
//! - **dense** revisions, and **exactly once**: no `(client, seq)` stands in the log twice.
//! - **presence expires**: who is gone is not seen any more.
//!
//! # Not here
//!
//! Sockets, queues and tasks of the server: its own tests run those as they are.

mod agent;
mod disk;
mod markers;
mod merges;
mod offline;
mod random;
mod server;
mod world;

pub use agent::Agent;
pub use merges::{Routes, merge};
pub use world::{Failure, run};
