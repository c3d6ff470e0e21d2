//! The server in its own process, driven through its real interfaces.
//!
//! One program for all of them: each would have to be linked with what they share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
mod together;

mod accounts;
mod audit;
mod authorization;
#[cfg(target_os = "linux")]
mod chaos;
mod collab;
mod compaction;
mod config;
mod documents;
mod edit;
mod events;
mod events_out;
mod http;
mod keys;
mod kill;
mod limits;
mod malformed;
mod migrate;
mod nodes;
mod offline;
mod openapi;
mod origins;
mod outsiders;
mod privacy;
mod sharing;
#[cfg(target_os = "linux")]
mod slow;
#[cfg(target_os = "linux")]
mod storm;
