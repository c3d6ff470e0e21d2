//! Whose turn it is to append, where several nodes write one document at a time.
//!
//! Nothing is agreed upon, and the log decides. But a node that appends again and again as fast as it can
//! leaves the others none of the races, so whoever has appended gives each of the others time for an append
//! of theirs, and gathers edits meanwhile. Whoever has lost goes on at once. So each gets its turn, and
//! appends carry more edits the more nodes there are.

use std::{collections::HashMap, time::Duration};

use motet_model::NodeId;
use tokio::time::Instant;

/// How long after its last append a node counts as one that writes.
const WRITES: Duration = Duration::from_secs(1);

/// Most of the others that are counted.
const OTHERS_MAX: usize = 16;

/// The longest that others are given.
const GIVEN_MAX: Duration = Duration::from_millis(50);

/// The turns of one room.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// When each of the others last appended, as far as they said so themselves.
    others: HashMap<NodeId, Instant>,
    /// When somebody else last appended, as the log says.
    missed: Option<Instant>,
    /// How long an append takes, about.
    append: Duration,
    /// When the next own append is due.
    next: Option<Instant>,
}

impl Turn {
    /// Another node says that it has appended.
    pub(super) fn heard(&mut self, node: NodeId) {
        let now = Instant::now();
        if self.others.len() >= OTHERS_MAX {
            self.others.retain(|_, at| writes(*at, now));
        }
        if self.others.len() < OTHERS_MAX || self.others.contains_key(&node) {
            self.others.insert(node, now);
        }
    }

    /// The log has something that somebody else has appended.
    pub(super) fn missed(&mut self) {
        self.missed = Some(Instant::now());
    }

    /// An own append is through, and took so long.
    pub(super) fn appended(&mut self, took: Duration) {
        // The latest count for a quarter: one that was slow is soon forgotten.
        self.append = (self.append * 3 + took) / 4;
        let now = Instant::now();
        let others = self.others.values().filter(|at| writes(**at, now)).count();
        let others = others.max(usize::from(self.missed.is_some_and(|at| writes(at, now))));
        let given = self.append * u32::try_from(others).unwrap_or(u32::MAX);
        self.next = (others > 0).then(|| now + given.min(GIVEN_MAX));
    }

    /// When the next own turn is, if it is not now.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.next.filter(|next| *next > Instant::now())
    }
}

fn writes(at: Instant, now: Instant) -> bool {
    now.duration_since(at) < WRITES
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const APPEND: Duration = Duration::from_millis(8);

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 16])
    }

    /// For how long others are given time after an append.
    fn given(turn: &mut Turn) -> Duration {
        turn.append = APPEND;
        turn.appended(APPEND);
        let opens = turn.opens();
        opens.map_or(Duration::ZERO, |at| at.duration_since(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_waits_for_nobody() {
        let mut turn = Turn::default();
        assert_eq!(given(&mut turn), Duration::ZERO);
        turn.heard(node(1));
        turn.missed();
        advance(WRITES).await;
        assert_eq!(given(&mut turn), Duration::ZERO, "they write no more");
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_the_others_is_given_time() {
        let mut turn = Turn::default();
        turn.missed();
        assert_eq!(given(&mut turn), APPEND, "whoever that was");
        for n in 1..=3 {
            turn.heard(node(n));
            turn.heard(node(n));
            assert_eq!(given(&mut turn), APPEND * u32::from(n));
        }
        advance(APPEND * 3).await;
        assert_eq!(turn.opens(), None);
        for n in 0..=u8::MAX {
            turn.heard(node(n));
        }
        assert_eq!(given(&mut turn), GIVEN_MAX);
        assert_eq!(turn.others.len(), OTHERS_MAX);
    }
}
