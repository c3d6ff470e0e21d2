//! What stands on changes that are not here yet.
//!
//! A block that waits is kept as an update of its own. Each client's first one is entered with the clock
//! that it waits for, so that nothing is looked at again before that has come.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Range,
};

use super::{Replica, integrate::Ready};
use crate::{
    Version,
    encoding::Write,
    id::IdSet,
    update::{Block, Kind, Sink, Update, V1, diff_update, write_block},
};

/// The end of a block, and an update with it alone.
type Kept = (u32, Box<[u8]>);

/// Blocks and deletions that wait.
#[derive(Clone, Default)]
pub(super) struct Pending {
    /// By client and clock.
    blocks: BTreeMap<(u32, u32), Kept>,
    /// Who waits for a client: the clock needed, and the client that waits.
    waiting: BTreeMap<u32, BinaryHeap<Reverse<(u32, u32)>>>,
    /// By client and first clock: the end of each range.
    deleted: BTreeMap<(u32, u32), u32>,
    /// Clients whose blocks have not been looked at yet.
    fresh: Vec<u32>,
}

impl Replica {
    /// Whether something waits for changes that are not here.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.blocks.is_empty() || !self.pending.deleted.is_empty()
    }

    /// Keeps a block for later.
    pub(super) fn keep(&mut self, update: &Update<'_>, authors: &[u32], block: &Block) {
        if block.kind == Kind::Skip {
            return;
        }
        let author = authors[block.client as usize];
        let end = block.clock + block.len;
        let known = self.pending.blocks.get(&(author, block.clock));
        if known.is_some_and(|(known, _)| *known >= end) {
            return;
        }
        let mut sink = V1::default();
        sink.rest().extend_from_slice(&[1, 1]);
        sink.client(self.client(author));
        sink.rest().var_u64(block.clock.into());
        write_block(&mut sink, update, block, 0);
        sink.rest().push(0);
        let bytes = sink.finish().into_boxed_slice();
        self.pending
            .blocks
            .insert((author, block.clock), (end, bytes));
        if self.pending.fresh.last() != Some(&author) {
            self.pending.fresh.push(author);
        }
    }

    /// Deletes what is here of a range, and keeps the rest for later.
    pub(super) fn delete_range(&mut self, author: u32, range: Range<u32>) {
        let end = self.end(author);
        if range.start < end {
            self.delete_clocks(author, range.start..range.end.min(end));
        }
        let rest = range.start.max(end);
        if rest < range.end {
            let kept = self.pending.deleted.entry((author, rest)).or_default();
            *kept = range.end.max(*kept);
        }
    }

    /// Integrates what waited for the clients that have come on.
    pub(super) fn wake(&mut self) {
        let mut work: Vec<u32> = std::mem::take(&mut self.pending.fresh);
        for author in &work {
            self.integrate_kept(*author);
        }
        work.clear();
        if self.pending.blocks.is_empty() && self.pending.deleted.is_empty() {
            self.pending.waiting.clear();
            return;
        }
        let mut seen = 0;
        loop {
            while let Some((author, _)) = self.transaction.before.get(seen) {
                work.push(*author);
                seen += 1;
            }
            let Some(author) = work.pop() else { break };
            self.delete_kept(author);
            if self.goes_on(author) {
                self.integrate_kept(author);
            }
            while let Some(waiter) = self.next_woken(author) {
                self.integrate_kept(waiter);
                work.push(waiter);
            }
        }
    }

    /// Whether a client's first block that is kept goes on from one that is here: it waits for less then.
    fn goes_on(&self, author: u32) -> bool {
        let mut own = self.pending.blocks.range((author, 0)..=(author, u32::MAX));
        own.next()
            .is_some_and(|((_, clock), _)| *clock < self.end(author))
    }

    fn next_woken(&mut self, author: u32) -> Option<u32> {
        let end = self.end(author);
        let heap = self.pending.waiting.get_mut(&author)?;
        let Reverse((clock, _)) = heap.peek()?;
        if *clock >= end {
            return None;
        }
        heap.pop().map(|Reverse((_, waiter))| waiter)
    }

    /// Integrates the kept blocks of a client until one has to wait on.
    fn integrate_kept(&mut self, author: u32) {
        loop {
            let mut own = self.pending.blocks.range((author, 0)..=(author, u32::MAX));
            let Some((key, (_, bytes))) = own.next() else {
                return;
            };
            let (key, bytes) = (*key, bytes.clone());
            let Ok(update) = Update::decode(&bytes, Version::V1) else {
                unreachable!("what is kept was written here")
            };
            let authors: Vec<u32> = update
                .clients
                .iter()
                .map(|client| self.author(*client))
                .collect();
            for block in &update.blocks {
                match self.ready(&authors, block) {
                    Ready::Past => {}
                    Ready::Now(offset) => self.integrate(&update, &authors, block, offset),
                    Ready::Waits(client, clock) => {
                        let heap = self.pending.waiting.entry(client).or_default();
                        heap.push(Reverse((clock, author)));
                        return;
                    }
                }
            }
            self.pending.blocks.remove(&key);
        }
    }

    /// Deletes what has come of a client's kept deletions.
    fn delete_kept(&mut self, author: u32) {
        let end = self.end(author);
        loop {
            let mut due = self.pending.deleted.range((author, 0)..(author, end));
            let Some((&(_, start), &until)) = due.next() else {
                return;
            };
            self.pending.deleted.remove(&(author, start));
            self.delete_range(author, start..until);
        }
    }

    /// All that waits, as updates v1.
    pub(super) fn pending_updates(&self) -> Vec<Vec<u8>> {
        let known = self.state_vector();
        let blocks = self
            .pending
            .blocks
            .iter()
            .map(|((author, clock), (_, bytes))| {
                if *clock >= self.end(*author) {
                    return bytes.to_vec();
                }
                // Its first units came otherwise, and those are what counts.
                diff_update(bytes, &known, Version::V1).unwrap_or_default()
            });
        let mut updates: Vec<Vec<u8>> = blocks.collect();
        if !self.pending.deleted.is_empty() {
            let mut set = IdSet::default();
            for ((author, start), end) in &self.pending.deleted {
                set.push(self.client(*author), *start..*end);
            }
            set.normalize();
            let mut sink = V1::default();
            sink.rest().push(0);
            sink.id_set(&set);
            updates.push(sink.finish());
        }
        updates
    }
}
