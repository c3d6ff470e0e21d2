//! What travels between server and clients, as docs/protocol.md of the project says.
//!
//! [`ot`] is the dialect of positions: JSON over WebSocket. [`yjs`] has those of identities: y-websocket and
//! Hocuspocus. [`ErrorCode`] and [`close`] are the codes of all
//! dialects, in one place: they are permanent.
//!
//! Everything here is a pure function of its arguments; decoding takes any bytes and answers with a
//! typed error, never with a panic.
//!
//! # Not here
//!
//! Sockets and HTTP (`server`), what a message does (`document`).

mod codes;
pub mod ot;
pub mod yjs;

pub use codes::{ErrorCode, close};
