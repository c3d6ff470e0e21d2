//! How fast a room goes on: no faster than what it says leaves.
//!
//! Every batch that a room commits costs a frame for each of its sessions, however few edits are in it. A room that
//! commits again while the frames of the last batch still wait makes more and smaller frames the busier its machine is,
//! and falls behind. So it waits until the writers of nine in ten have taken theirs, and gathers edits meanwhile: where the
//! machine is idle that is at once, and where it is busy batches grow as large as need be.
//!
//! Rooms with few sessions are never late by that measure, and too many where the machine is busy: after a commit they let
//! edits gather for as long as `load.rs` says.
//!
//! # Invariants
//!
//! - **not for one**: somebody who does not read, or reads slowly, holds nobody up. One may always be late; whoever has not
//!   taken what came before is not waited for; and nobody is for longer than [`PATIENCE`].

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

/// The longest that a room waits after it has said something.
const PATIENCE: Duration = Duration::from_millis(25);

/// With so many changes in a batch what it costs by itself hardly counts: the next need not gather.
const MANY: u64 = 64;

/// One queue may be late, and one more of so many.
const LATE: usize = 10;

/// What a room and the queues of its sessions share.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Queues with something in them.
    queues: AtomicUsize,
    /// With no more of them than this the room goes on.
    few: AtomicUsize,
    fewer: Notify,
}

/// A queue that has something in it; until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Waiting>);

impl Hold {
    pub(crate) fn new(waiting: &Arc<Waiting>) -> Self {
        waiting.queues.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let left = self.0.queues.fetch_sub(1, Ordering::AcqRel) - 1;
        if left == self.0.few.load(Ordering::Acquire) {
            self.0.fewer.notify_one();
        }
    }
}

/// The pace of one room.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waiting: Arc<Waiting>,
    until: Option<Instant>,
    /// Until when edits gather after a commit, since the machine is busy.
    gathers: Option<Instant>,
}

impl Pace {
    /// The room says something to its sessions. While it waits, those who have not taken the last batch yet are
    /// still waited for, and for no longer than before.
    pub(super) fn say(&mut self, say: impl FnOnce(&Arc<Waiting>)) {
        let pending = self.said_until();
        let before = self.waiting.queues.load(Ordering::Acquire);
        // Nobody tells before it is known what is few.
        let few = self.waiting.few.swap(usize::MAX, Ordering::AcqRel);
        let few = if pending.is_some() { few } else { before + 1 };
        say(&self.waiting);
        let now = self.waiting.queues.load(Ordering::Acquire);
        let few = few + now.saturating_sub(before) / LATE;
        self.waiting.few.store(few, Ordering::Release);
        let until = || pending.unwrap_or_else(|| Instant::now() + PATIENCE);
        self.until = (now > few).then(until);
    }

    /// The room has committed so many changes; the next ones may gather for so long.
    pub(super) fn committed(&mut self, changes: u64, pause: Duration) {
        let gathers = changes < MANY && !pause.is_zero();
        self.gathers = gathers.then(|| Instant::now() + pause);
    }

    /// Until when the room waits, if it does.
    pub(super) fn until(&mut self) -> Option<Instant> {
        self.gathers = self.gathers.filter(|until| *until > Instant::now());
        self.said_until().max(self.gathers)
    }

    /// Until when it waits for those who have not taken what it said.
    fn said_until(&mut self) -> Option<Instant> {
        let is_over =
            self.waiting.queues.load(Ordering::Acquire) <= self.waiting.few.load(Ordering::Acquire);
        if is_over || self.until.is_some_and(|until| until <= Instant::now()) {
            self.until = None;
        }
        self.until
    }

    /// Perhaps it is over.
    pub(super) async fn changed(&self) {
        self.waiting.fewer.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_room_waits_for_nine_in_ten() {
        let mut pace = Pace::default();
        let mut holds = Vec::new();
        pace.say(|waiting| holds.extend((0..20).map(|_| Hold::new(waiting))));
        assert!(pace.until().is_some());
        holds.truncate(4);
        assert!(pace.until().is_some());
        holds.truncate(3);
        pace.changed().await;
        assert_eq!(pace.until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn not_for_one() {
        let mut pace = Pace::default();
        let mut deaf = Vec::new();
        pace.say(|waiting| deaf.push(Hold::new(waiting)));
        assert_eq!(pace.until(), None);
        pace.say(|waiting| deaf.extend((0..5).map(|_| Hold::new(waiting))));
        assert!(pace.until().is_some(), "it is not known yet who is deaf");
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(pace.until(), None);
        // From here on the others alone are waited for.
        let mut holds = Vec::new();
        pace.say(|waiting| holds.extend((0..5).map(|_| Hold::new(waiting))));
        assert!(pace.until().is_some());
        holds.clear();
        assert_eq!(pace.until(), None);
        assert_eq!(deaf.len(), 6);
    }

    /// Whoever moves a cursor or comes right after a batch does not hurry the room, nor hold it up for longer.
    #[tokio::test(start_paused = true)]
    async fn what_is_said_between_batches_leaves_the_pace_as_it_is() {
        let mut pace = Pace::default();
        let mut holds = Vec::new();
        pace.say(|waiting| holds.extend((0..20).map(|_| Hold::new(waiting))));
        let until = pace.until();
        assert!(until.is_some());
        tokio::time::advance(PATIENCE / 2).await;
        pace.say(|_| {});
        assert_eq!(pace.until(), until, "nobody has taken the batch");
        let mut comes = Vec::new();
        pace.say(|waiting| comes.push(Hold::new(waiting)));
        assert_eq!(pace.until(), until);
        comes.clear();
        holds.truncate(4);
        assert_eq!(pace.until(), until);
        holds.truncate(3);
        pace.changed().await;
        assert_eq!(pace.until(), None);
    }

    /// What is said of a commit comes in two: to those who asked for something else, and then to all.
    #[tokio::test(start_paused = true)]
    async fn more_that_is_said_is_waited_for_as_well() {
        let mut pace = Pace::default();
        let mut holds = Vec::new();
        pace.say(|waiting| holds.extend((0..5).map(|_| Hold::new(waiting))));
        pace.say(|waiting| holds.extend((0..40).map(|_| Hold::new(waiting))));
        holds.truncate(6);
        assert!(pace.until().is_some());
        holds.truncate(5);
        pace.changed().await;
        assert_eq!(pace.until(), None);
    }

    /// Edits may gather after all have taken what was said: what others say then has its own time.
    #[tokio::test(start_paused = true)]
    async fn what_is_said_while_edits_gather_is_waited_for_as_ever() {
        const PAUSE: Duration = Duration::from_millis(5);
        let mut pace = Pace::default();
        let mut holds = Vec::new();
        pace.say(|waiting| holds.extend((0..20).map(|_| Hold::new(waiting))));
        pace.committed(1, PAUSE);
        holds.clear();
        pace.say(|waiting| holds.extend((0..20).map(|_| Hold::new(waiting))));
        assert_eq!(pace.until(), Some(Instant::now() + PATIENCE));
        tokio::time::advance(PAUSE).await;
        holds.truncate(4);
        assert!(pace.until().is_some());
        holds.truncate(3);
        assert_eq!(pace.until(), None);
    }
}
