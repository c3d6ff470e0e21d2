//! Targets of `fuzz/` on their seeds and on damaged ones: what libFuzzer goes on with for hours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../crdt/tests/support/mutate.rs"]
mod mutate;
#[path = "../../crdt/tests/support/random.rs"]
mod random;
#[path = "../../crdt/tests/support/survive.rs"]
mod survive;
#[path = "../../../fuzz/src/records.rs"]
#[allow(unreachable_pub, reason = "part of a library elsewhere")]
mod targets;

#[test]
fn records() {
    survive::survive(targets::records, "records", targets::seeds());
}
