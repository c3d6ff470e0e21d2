//! How busy the machine is, and what rooms do about it.
//!
//! What a room does for an edit that comes alone (a record, a commit, a frame for each session) costs many times what
//! one more edit in the same batch costs. A room with many writers has large batches by itself; a thousand rooms with a
//! few writers each would each do all of it for every edit, until the machine can do no more. So the busier the machine is,
//! the longer a room that has just committed lets edits gather before it commits again: not at all while there is
//! time to spare, and where there is none for as long as it takes until there is, within what nobody notices. Network
//! cards spare their hosts interrupts in the same way.
//!
//! # Invariants
//!
//! - **nobody waits where there is time**: below [`BUSY`] the pause falls to nothing within some ticks.
//! - **the first edit never waits**: the pause begins with a commit, so who types after a rest is not held up.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Above this share of their time that workers are busy, rooms wait longer; and below [`CALM`] less long.
const BUSY: f64 = 0.9;
const CALM: f64 = 0.75;

/// The longest pause. A tenth of a second is what people notice, and the rest of the way takes some of it.
const PAUSE_MAX: Duration = Duration::from_millis(60);
/// By how much it grows and shrinks in a tick, in parts of itself.
const GROWTH: f64 = 1.25;
const DECLINE: f64 = 0.9;
/// What it begins with; less than that is nothing.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// How long rooms wait between two commits.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pause_us: AtomicU64,
}

impl Load {
    /// How long a room that has committed lets edits gather.
    pub(crate) fn pause(&self) -> Duration {
        Duration::from_micros(self.pause_us.load(Ordering::Relaxed))
    }

    /// So busy the workers were, from 0 to 1.
    fn note(&self, busy: f64) {
        let pause = self.pause();
        let pause = if busy > BUSY {
            pause.mul_f64(GROWTH).clamp(PAUSE_MIN, PAUSE_MAX)
        } else if busy < CALM {
            let less = pause.mul_f64(DECLINE);
            if less < PAUSE_MIN {
                Duration::ZERO
            } else {
                less
            }
        } else {
            pause
        };
        let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.pause_us.store(pause_us, Ordering::Relaxed);
    }
}

/// Looks at the runtime that this runs on for as long as anybody wants to know.
pub(crate) async fn watch(load: Weak<Load>) {
    let metrics = Handle::current().metrics();
    let workers = metrics.num_workers();
    let busy = || -> Duration {
        let each = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker));
        each.sum()
    };
    let (mut since, mut before) = (Instant::now(), busy());
    while let Some(load) = Weak::upgrade(&load) {
        let (now, total) = (Instant::now(), busy());
        let elapsed = now.duration_since(since).as_secs_f64() * workers as f64;
        if elapsed > 0.0 {
            load.note(total.saturating_sub(before).as_secs_f64() / elapsed);
        }
        (since, before) = (now, total);
        drop::<Arc<Load>>(load);
        sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_makes_rooms_wait_and_a_calm_one_does_not() {
        let load = Load::default();
        load.note(0.85);
        assert_eq!(load.pause(), Duration::ZERO, "there is time");
        load.note(0.95);
        assert_eq!(load.pause(), PAUSE_MIN);
        for _ in 0..100 {
            load.note(1.0);
        }
        assert_eq!(load.pause(), PAUSE_MAX, "and no longer");
        load.note(0.8);
        assert_eq!(load.pause(), PAUSE_MAX, "it is what it takes");
        for _ in 0..50 {
            load.note(0.5);
        }
        assert_eq!(load.pause(), Duration::ZERO);
    }
}
