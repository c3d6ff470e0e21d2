//! The targets of `fuzz/` on their seeds and on damaged ones: what libFuzzer goes on with for hours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mutate.rs"]
mod mutate;
#[path = "support/random.rs"]
mod random;
#[path = "support/survive.rs"]
mod survive;
#[path = "../../../fuzz/src/documents/mod.rs"]
#[allow(unreachable_pub, reason = "part of a library elsewhere")]
mod targets;

use targets::{TARGETS, seeds};

fn survives(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    survive::survive(*target, name, seeds());
}

#[test]
fn apply() {
    survives("apply");
}

#[test]
fn merge() {
    survives("merge");
}

#[test]
fn load() {
    survives("load");
}

#[test]
fn messages() {
    survives("messages");
}

#[test]
fn operations() {
    survives("operations");
}

#[test]
fn all_targets_are_run() {
    let names = TARGETS.map(|(name, _)| name);
    assert_eq!(names, ["apply", "merge", "load", "messages", "operations"]);
    assert!(seeds().iter().all(|(name, _)| names.contains(name)));
}
