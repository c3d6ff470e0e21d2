//! A thousand seeds on every run; `make sim` runs more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};

use motet_sim::{Agent, run};

const SEEDS: u64 = 1_000;
const THREADS: usize = 2;

#[test]
fn a_thousand_seeds() {
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut agent = Agent::start().unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    if let Err(failure) = run(seed, &mut agent) {
                        let lines: Vec<&str> = failure.trace.lines().collect();
                        let story = lines[lines.len().saturating_sub(40)..].join("\n");
                        panic!(
                            "seed {seed}: {}\n{story}\nagain: make sim SEED={seed}",
                            failure.what
                        );
                    }
                }
            });
        }
    });
}
