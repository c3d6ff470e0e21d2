//! What a replica is made of: runs, where they stand, and how they are found.

mod content;
mod index;
mod run;
mod tree;

pub(crate) use content::{Contents, ContentsMark, Scalar, Type, Value, any_of, is_narrow};
pub(crate) use index::Index;
pub(crate) use run::{CLIENTS_MAX, Handle, NONE, Run, RunKind, Runs, ShortId};
pub(crate) use tree::{Place, SeqId, Trees, Walker};
