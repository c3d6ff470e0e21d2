//! What a target of `fuzz/` has to bear in an ordinary test; those of other crates do the same.

use crate::{mutate::mutate, random::Random};

/// Damaged seeds of one target.
const ROUNDS: usize = 1_500;
/// The longest seed that is damaged: debug builds check invariants slowly.
const SEED_BYTES_MAX: usize = 2_000;

/// Runs a target on its seeds, and on damaged ones.
pub(crate) fn survive(target: fn(&[u8]), name: &str, seeds: Vec<(&str, Vec<u8>)>) {
    let own = seeds.into_iter().filter(|(of, _)| *of == name);
    let seeds: Vec<Vec<u8>> = own.map(|(_, bytes)| bytes).collect();
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
