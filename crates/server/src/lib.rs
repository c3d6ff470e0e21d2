//! The Motet server: HTTP, WebSocket, accounts, and the tasks of open documents.
//!
//! `serve.rs` puts it together; `http/` is the REST API and the web application, `collab/` the live
//! documents, `auth/` passwords and tokens, `config.rs` the settings, `cli.rs` the commands.
//! `clock.rs` and `entropy.rs` are the only places that ask the system for time and randomness.

pub mod auth;
pub mod cli;
mod clock;
pub mod collab;
pub mod config;
mod entropy;
mod http;
mod serve;
