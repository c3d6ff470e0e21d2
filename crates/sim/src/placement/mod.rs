//! A model of a fleet at the size of millions of people: who is where, what that asks of each machine, and what
//! becomes of them when machines fail. `docs/scaling.md` has the results.
//!
//! `figures.rs` is what machines can do, and `workload.rs` what people do: two tables, each number with where it
//! comes from. `fleet.rs` places sessions and sums up what they ask for; `plan.rs` looks for the size that bears
//! it; `storm.rs` lets sessions lose their nodes and come back, event by event; `outage.rs` takes a database of
//! the log away; `races.rs` lets several nodes append to one document; `hash.rs` says which place a key belongs
//! to; `report.rs` prints it all. The same seed gives the same report.
//!
//! # Not here
//!
//! The software itself: it is a model, and knows of it only what the tables and the comments say. What is right
//! under faults is for the rest of this crate and the tests of the server.

mod figures;
mod fleet;
mod hash;
mod outage;
mod plan;
mod races;
mod report;
mod storm;
mod workload;

pub use figures::{Basis, Figure, Figures};
pub use report::{Part, report, tables};
pub use workload::Workload;
