//! The targets of `fuzz/` on their seeds and on damaged ones: what libFuzzer goes on with for hours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mutate.rs"]
mod mutate;
#[path = "support/random.rs"]
mod random;
#[path = "../../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod targets;

use mutate::mutate;
use random::Random;
use targets::{TARGETS, seeds};

/// Damaged seeds of one target.
const ROUNDS: usize = 1_500;
/// The longest seed that is damaged: debug builds check invariants slowly.
const SEED_BYTES_MAX: usize = 2_000;

fn survives(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let seeds: Vec<Vec<u8>> = seeds()
        .into_iter()
        .filter_map(|(of, bytes)| (of == name).then_some(bytes))
        .collect();
    assert!(seeds.len() > 3, "{name} has hardly any seeds");
    seeds.iter().for_each(|seed| target(seed));
    let short = seeds.iter().filter(|seed| seed.len() <= SEED_BYTES_MAX);
    let short: Vec<&Vec<u8>> = short.collect();
    let mut random = Random(7);
    for _ in 0..ROUNDS {
        let mut bytes = short[random.below(short.len())].clone();
        mutate(&mut bytes, &mut random);
        target(&bytes);
    }
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
