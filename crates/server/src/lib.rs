//! The Motet server: HTTP, WebSocket, accounts, and the tasks of open documents.
//!
//! `serve.rs` puts it together; `http/` is the REST API and the web application, `collab/` the live
//! documents, `auth/` passwords and tokens, `audit.rs` the queue of the audit trail, `refusals.rs` what it is told of what is refused,
//! `export.rs` and `erasure.rs` what people may ask for of what is kept about them, `config.rs` the
//! settings, `limits.rs` a list of all limits, `housekeeping.rs` and `compaction.rs` what is done from time to time, `jobs.rs` which node does
//! that, `watch.rs` what is done elsewhere meanwhile, `nodes.rs` the other nodes, `stores.rs` where all is kept, `events/`
//! what is told to other programs, `cli.rs` the commands, `migrate/` the one that moves everything elsewhere.
//! `clock.rs` and `entropy.rs` are the only places that ask the system for time and randomness.

pub mod audit;
pub mod auth;
pub mod cli;
mod clock;
pub mod collab;
mod compaction;
pub mod config;
mod entropy;
mod erasure;
mod events;
mod export;
mod housekeeping;
mod http;
mod jobs;
mod limits;
mod migrate;
mod nodes;
mod refusals;
mod serve;
mod stores;
mod watch;
