//! Rich-text deltas and the functions that make them collaborative.
//!
//! Semantics of quill-delta 5.1, checked by `vectors/delta`. Lengths are UTF-16 code units.
//!
//! # Invariants
//!
//! **normal**: no empty operation, no mergeable neighbours, no trailing bare retain, and an insertion
//! before a deletion at the same place. Every function keeps it; [`Delta::assert_normal`] checks it.
//!
//! # Not here
//!
//! Wire messages (`protocol`), revisions (`document`), I/O.

mod attributes;
mod compose;
mod delta;
mod diff;
mod invert;
mod iter;
mod json;
mod operation;
mod splice;
mod text;
mod transform;

pub use attributes::Attributes;
pub use compose::ComposeError;
pub use delta::Delta;
pub use diff::DiffError;
pub use json::{DecodeError, Decoded, decode};
pub use operation::{Embed, Insert, Operation};
pub use splice::Splice;
pub use text::{SplitError, Text};
pub use transform::Side;
