//! Two thousand offline merges on every run; `make merges` runs more.

use motet_sim::{Routes, merge};

const MERGES: u64 = 2_000;

#[test]
fn two_thousand_merges() {
    let mut routes = Routes::default();
    for seed in 1..=MERGES {
        match merge(seed) {
            Ok(more) => routes += more,
            Err(failure) => panic!(
                "merge {seed}: {}\n{}\nagain: make merges MERGE={seed}",
                failure.what, failure.trace
            ),
        }
    }
    let Routes {
        returns,
        moved,
        merged,
        repeated,
        updates,
    } = routes;
    let every_way = [returns, moved, merged, repeated, updates]
        .into_iter()
        .all(|it| it > MERGES / 10);
    assert!(every_way, "a way was hardly taken: {routes:?}");
}
