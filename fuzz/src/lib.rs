//! What is fuzzed. Each target takes any bytes, and panics where something does not hold that must.
//!
//! `targets/` gives them to libFuzzer, which looks for bytes that reach new code. The ordinary tests of the crates
//! run the same functions on their seeds and on damaged ones: each module here is used by the `tests/fuzz.rs`
//! of the crate whose bytes it is about.

pub mod documents;
pub mod frames;
pub mod records;

/// Bytes to begin with, each with the name of its target.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    [documents::seeds(), frames::seeds(), records::seeds()].concat()
}
