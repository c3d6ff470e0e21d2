//! Targets of `fuzz/` on their seeds and on damaged ones: what libFuzzer goes on with for hours.

#[path = "../../crdt/tests/support/mutate.rs"]
mod mutate;
#[path = "../../crdt/tests/support/random.rs"]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod random;
#[path = "../../crdt/tests/support/survive.rs"]
mod survive;
#[path = "../../../fuzz/src/frames.rs"]
#[allow(unreachable_pub, reason = "part of a library elsewhere")]
mod targets;

#[test]
fn frames() {
    survive::survive(targets::frames, "frames", targets::seeds());
}

#[test]
fn batches() {
    survive::survive(targets::batches, "batches", targets::seeds());
}
