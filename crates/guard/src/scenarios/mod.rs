//! The hot paths: what happens for each edit that somebody makes.
//!
//! A scenario is a function that prepares everything, and gives the work that is counted. Nothing comes by chance, and
//! small work is done many times, so that what happens once does not count.

mod crdt;
mod document;
mod log;
mod ot;
mod protocol;

use crate::Work;

/// A name, and what prepares the work.
pub(crate) type Scenario = (&'static str, fn() -> Work);

/// All of them, by the crate and what it does.
pub(crate) const SCENARIOS: [Scenario; 16] = [
    ("ot/decode", ot::decode),
    ("ot/transform", ot::transform),
    ("ot/compose", ot::compose),
    ("ot/pass-splices", ot::pass_splices),
    ("protocol/decode-edit", protocol::decode_edit),
    ("protocol/encode-operations-16", protocol::encode_operations),
    ("crdt/local-edit", crdt::local_edit),
    ("crdt/integrate", crdt::integrate),
    ("document/one-submission", document::one_submission),
    ("document/batch-64-of-16", document::batch),
    ("document/splice-1000-behind", document::splice_behind),
    ("document/format-1000-behind", document::format_behind),
    ("log/encode-1", log::encode_one),
    ("log/encode-256", log::encode_many),
    ("log/decode-1", log::decode_one),
    ("log/decode-256", log::decode_many),
];

/// How often small work is done.
const TIMES: usize = 100;

/// Places all over a document of this length, the same each time.
fn places(len_utf16: usize) -> impl Iterator<Item = usize> {
    (1..).map(move |n: usize| n.wrapping_mul(7_919) % len_utf16)
}
