//! Single characters in a replica of ten thousand runs.

use std::hint::black_box;

use motet_crdt::{Client, Options, Replica, StateVector, Version};

use super::{TIMES, ot::typed, places};
use crate::Work;

const ROOT: &str = "content";
const RUNS: usize = 10_000;
const FIRST: Client = 1 << 32;
const SECOND: Client = 1 << 33;

/// Each character is a run, since they were typed all over the text.
fn replica() -> Replica {
    let mut replica = Replica::new(Options::default());
    for (n, at) in places(RUNS).enumerate().take(RUNS) {
        edit(&mut replica, at % (n + 1), FIRST);
    }
    replica
}

fn edit(replica: &mut Replica, at: usize, client: Client) -> Vec<u8> {
    let update = replica.apply_delta(ROOT, &typed(at), client);
    update.expect("it is within the text")
}

/// Edits by positions.
pub(super) fn local_edit() -> Work {
    let mut replica = replica();
    Box::new(move || {
        for at in places(RUNS).take(TIMES) {
            black_box(edit(&mut replica, at, SECOND));
        }
    })
}

/// The same that somebody else has made, and what they did to the text.
pub(super) fn integrate() -> Work {
    let mut there = replica();
    let whole = there.encode_update(&StateVector::default(), Version::V1);
    let mut here = Replica::new(Options::default());
    here.apply_update(&whole, Version::V1).expect("an update");
    let edits = places(RUNS).take(TIMES);
    let updates: Vec<_> = edits.map(|at| edit(&mut there, at, SECOND)).collect();
    Box::new(move || {
        for update in &updates {
            let delta = here.apply_update_to(update, Version::V1, ROOT);
            assert!(black_box(delta).is_ok_and(|delta| !delta.is_empty()));
        }
    })
}
