//! The OT dialect: JSON text frames, each one message or an array of them.

mod client;
mod operations;
mod server;

pub use client::{ClientMessage, Incoming, Refused, decode};
pub use operations::{Author, Authored, operations};
pub use server::{Body, Cursor, Moved, Piece, ServerMessage, Text, encode, frame, operation, row};
