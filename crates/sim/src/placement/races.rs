//! One document that several nodes write at a time: who is first to append, and what the others do then.
//!
//! As `room/append.rs` and `room/turn.rs` have it: an append names the head that its node knows; of two after
//! one head the second waits for the row, and loses; who has lost reads what it missed, pauses by chance, and
//! tries again; who has appended leaves the others a turn; and who loses too often in a row closes its room.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{figures::Figures, workload::whole};
use crate::random::Random;

/// The longest pause after a race that was lost.
const RACE_PAUSE_MS_MAX: f64 = 64.0;
/// The longest that others are given.
const GIVEN_MS_MAX: f64 = 50.0;
/// Most of the others that are counted.
const OTHERS_MAX: usize = 16;
/// How long a node counts as one that writes.
const WRITES_MS: f64 = 1_000.0;

/// Who writes, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    pub(super) nodes: usize,
    pub(super) writers: usize,
    /// Submissions a second of each writer who waits for nothing.
    pub(super) rate: f64,
    pub(super) seconds: f64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) edits: usize,
    pub(super) appends: usize,
    pub(super) lost: usize,
    /// Rooms that were closed after too many.
    pub(super) closed: usize,
    /// From a submission to its acknowledgement, in order.
    pub(super) waits_ms: Vec<f64>,
}

impl Outcome {
    pub(super) fn wait_ms(&self, quantile: f64) -> f64 {
        let last = self.waits_ms.len().saturating_sub(1);
        let at = whole(quantile * last as f64);
        self.waits_ms.get(at).copied().unwrap_or(0.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A writer has something to say.
    Writes(usize),
    /// A node may append, if there is something.
    Turns(usize),
    /// An append has got to the database.
    Asks(usize),
    /// The database answers, that it stands, or not.
    Answers(usize, bool),
    /// A node has read what it missed.
    Follows(usize),
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// When each submission that waits was made, and by whom.
    inbox: Vec<(f64, usize)>,
    under_way: Vec<(f64, usize)>,
    busy: bool,
    known: u64,
    lost: u32,
    asked_ms: f64,
    next_ms: f64,
    append_ms: f64,
}

struct World<'a> {
    figures: &'a Figures,
    contest: Contest,
    random: Random,
    now_ms: f64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    nodes: Vec<Node>,
    head: u64,
    /// When each append stood, and whose it was: the last ones are what others may not know.
    appends: Vec<(f64, usize)>,
    /// Until when the document's row is held.
    held_ms: f64,
    outcome: Outcome,
}

/// Lets them write.
pub(super) fn contest(contest: Contest, figures: &Figures, seed: u64) -> Outcome {
    let mut world = World {
        figures,
        contest,
        random: Random::new(seed),
        now_ms: 0.0,
        events: BinaryHeap::new(),
        count: 0,
        nodes: vec![Node::default(); contest.nodes],
        head: 0,
        appends: Vec::new(),
        held_ms: 0.0,
        outcome: Outcome::default(),
    };
    for writer in 0..contest.writers {
        world.writes_next(writer);
    }
    world.run();
    world.outcome.waits_ms.sort_unstable_by(f64::total_cmp);
    world.outcome
}

impl World<'_> {
    fn after(&mut self, pause_ms: f64, event: Event) {
        // Upwards: what is to be over then is over.
        let at_us = whole((self.now_ms + pause_ms) * 1e3) as u64 + 1;
        self.count += 1;
        self.events.push(Reverse((at_us, self.count, event)));
    }

    fn writes_next(&mut self, writer: usize) {
        let pause_s = -(1.0 - self.random.unit()).ln() / self.contest.rate;
        self.after(pause_s * 1e3, Event::Writes(writer));
    }

    fn run(&mut self) {
        while let Some(Reverse((at_us, _, event))) = self.events.pop() {
            self.now_ms = at_us as f64 / 1e3;
            if self.now_ms > self.contest.seconds * 1e3 {
                return;
            }
            match event {
                Event::Writes(writer) => {
                    let node = writer % self.contest.nodes;
                    self.nodes[node].inbox.push((self.now_ms, writer));
                    self.turns(node);
                }
                Event::Turns(node) => self.turns(node),
                Event::Asks(node) => self.asks(node),
                Event::Answers(node, stands) => self.answers(node, stands),
                Event::Follows(node) => {
                    self.nodes[node].known = self.head;
                    self.append(node);
                }
            }
        }
    }

    fn turns(&mut self, node: usize) {
        let (now_ms, it) = (self.now_ms, &mut self.nodes[node]);
        if it.busy || it.inbox.is_empty() {
            return;
        }
        if it.next_ms > now_ms {
            let pause_ms = it.next_ms - now_ms;
            return self.after(pause_ms, Event::Turns(node));
        }
        it.busy = true;
        it.under_way = std::mem::take(&mut it.inbox);
        it.lost = 0;
        // Those of which the others have told it by now.
        let hint_ms = self.figures.hint_ms;
        let unheard = self.appends.iter().rev();
        let unheard = unheard.take_while(|(at_ms, by)| *by != node && at_ms + hint_ms > now_ms);
        let heard = self.head - unheard.count() as u64;
        it.known = it.known.max(heard);
        self.append(node);
    }

    fn append(&mut self, node: usize) {
        self.nodes[node].asked_ms = self.now_ms;
        self.after(self.figures.round_trip_ms / 2.0, Event::Asks(node));
    }

    fn asks(&mut self, node: usize) {
        let way_ms = self.figures.round_trip_ms / 2.0;
        if self.held_ms > self.now_ms {
            // Whoever holds the row moves the head, or would not hold it.
            let pause_ms = self.held_ms - self.now_ms;
            return self.after(pause_ms + way_ms, Event::Answers(node, false));
        }
        if self.nodes[node].known != self.head {
            return self.after(way_ms, Event::Answers(node, false));
        }
        let commit_ms = (self.figures.append_ms - self.figures.round_trip_ms).max(0.1);
        self.held_ms = self.now_ms + commit_ms;
        self.head += 1;
        self.nodes[node].known = self.head;
        self.appends.push((self.held_ms, node));
        self.after(commit_ms + way_ms, Event::Answers(node, true));
    }

    fn answers(&mut self, node: usize, stands: bool) {
        if !stands {
            self.outcome.lost += 1;
            let it = &mut self.nodes[node];
            it.lost += 1;
            if f64::from(it.lost) >= self.figures.races_max {
                // Its clients come back at once, and send again.
                self.outcome.closed += 1;
                it.lost = 0;
            }
            let most_ms = f64::from(1_u32 << self.nodes[node].lost.min(16)).min(RACE_PAUSE_MS_MAX);
            let pause_ms = self.random.unit() * most_ms;
            // It asks what the head is, reads on, pauses, and reads once more.
            let reads_ms = 3.0 * self.figures.round_trip_ms;
            return self.after(reads_ms + pause_ms, Event::Follows(node));
        }
        let now_ms = self.now_ms;
        let latest = self.appends.iter().rev();
        let mut others: Vec<_> = latest
            .take_while(|(at_ms, _)| at_ms + WRITES_MS > now_ms)
            .map(|(_, by)| *by)
            .filter(|by| *by != node)
            .collect();
        others.sort_unstable();
        others.dedup();
        let others = others.len().min(OTHERS_MAX);
        let it = &mut self.nodes[node];
        it.append_ms = (it.append_ms * 3.0 + now_ms - it.asked_ms) / 4.0;
        it.next_ms = now_ms + (it.append_ms * others as f64).min(GIVEN_MS_MAX);
        it.busy = false;
        let stored = std::mem::take(&mut it.under_way);
        self.outcome.appends += 1;
        for (since_ms, writer) in stored {
            self.outcome.edits += 1;
            self.outcome.waits_ms.push(now_ms - since_ms);
            self.writes_next(writer);
        }
        self.turns(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: usize) -> Outcome {
        let it = Contest {
            nodes,
            writers: 64,
            rate: 2.0,
            seconds: 20.0,
        };
        contest(it, &Figures::USUAL, 5)
    }

    #[test]
    fn who_is_alone_loses_no_race() {
        let outcome = of(1);
        assert_eq!((outcome.lost, outcome.closed), (0, 0));
        assert!(outcome.edits > 2_000, "{}", outcome.edits);
        assert!(outcome.appends < outcome.edits, "they are gathered");
    }

    #[test]
    fn the_more_nodes_the_more_races_are_lost() {
        let lost = [2, 8, 32].map(|nodes| {
            let outcome = of(nodes);
            outcome.lost as f64 / outcome.appends as f64
        });
        assert!(lost[0] < lost[1] && lost[1] < lost[2], "{lost:?}");
    }

    #[test]
    fn deterministic() {
        assert_eq!(of(5), of(5));
        assert_eq!(
            of(5).edits,
            of(5).waits_ms.len(),
            "each is acknowledged once"
        );
    }
}
