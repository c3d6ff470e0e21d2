//! What stands on changes that are not here yet.
//!
//! A block that waits is kept as an update of its own. Each client's first one is entered with the clock
//! that it waits for, so that nothing is looked at again before that has come.
//!
//! # Invariants
//!
//! - **ascending**: of the blocks of a client that wait, one that begins later ends later.
//! - **apart**: the deletions of a client that wait neither touch nor overlap.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    Replica,
    integrate::Ready,
    size::{ALLOCATION_BYTES, MAP_ENTRY_BYTES},
};
use crate::{
    Version,
    encoding::Write,
    id::{IdSet, StateVector},
    store::ShortId,
    update::{Block, Kind, Sink, Update, V1, diff_update, write_block},
};

/// A block that waits.
#[derive(Clone)]
struct Kept {
    end: u32,
    /// What it needs whatever comes before it, if anything: known without decoding.
    right: ShortId,
    /// An update with it alone.
    update: Box<[u8]>,
}

/// Blocks and deletions that wait.
#[derive(Clone, Default)]
pub(super) struct Pending {
    /// By client and clock.
    blocks: BTreeMap<(u32, u32), Kept>,
    /// Of the updates in `blocks`.
    size_bytes: usize,
    /// Who waits: for a client, the clock needed of it, and the client that waits.
    waiting: BTreeSet<(u32, u32, u32)>,
    /// By client and first clock: the end of each range.
    deleted: BTreeMap<(u32, u32), u32>,
    /// Clients whose blocks have not been looked at yet.
    fresh: Vec<u32>,
    /// What was so before each change since the savepoint, if there is one.
    notes: Option<Vec<Note>>,
}

/// What was so before a change.
#[derive(Clone)]
enum Note {
    Block((u32, u32), Option<Kept>),
    Deleted((u32, u32), Option<u32>),
    Waits((u32, u32, u32)),
    WaitsNot((u32, u32, u32)),
}

impl Replica {
    /// About the memory of what waits for changes that are not here; part of [`Self::size_bytes`]. O(1).
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.pending.size_bytes()
    }

    /// Whether something waits for changes that are not here.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.blocks.is_empty() || !self.pending.deleted.is_empty()
    }

    /// Keeps what is not here of a block for later, unless it is kept already.
    pub(super) fn keep(&mut self, update: &Update<'_>, authors: &[u32], block: &Block) {
        let author = authors[block.client as usize];
        let start = block.clock.max(self.end(author));
        let end = block.clock + block.len;
        if block.kind == Kind::Skip || start >= end {
            return;
        }
        let mut before = self.pending.blocks.range((author, 0)..=(author, start));
        let before = before.next_back();
        if before.is_some_and(|(_, known)| known.end >= end) {
            return;
        }
        let mut sink = V1::default();
        sink.rest().extend_from_slice(&[1, 1]);
        sink.client(self.client(author));
        sink.rest().var_u64(start.into());
        write_block(&mut sink, update, block, start - block.clock);
        sink.rest().push(0);
        let right = block.right_origin.map_or(ShortId::NONE, |id| ShortId {
            client: authors[id.client as usize],
            clock: id.clock,
        });
        let update = sink.finish().into_boxed_slice();
        let kept = Kept { end, right, update };
        self.pending.insert((author, start), kept);
        self.transaction.kept.push((author, start));
        // Those behind the first wait for that one.
        let mut own = self.pending.blocks.range((author, 0)..=(author, start));
        if own
            .next()
            .is_some_and(|(first, _)| *first == (author, start))
        {
            self.pending.fresh.push(author);
        }
    }

    /// Deletes what is here of a range, and keeps the rest for later.
    pub(super) fn delete_range(&mut self, author: u32, range: Range<u32>) {
        let end = self.end(author);
        if range.start < end {
            self.delete_clocks(author, range.start..range.end.min(end));
        }
        let rest = range.start.max(end)..range.end;
        if !rest.is_empty() {
            let news = self.pending.keep_deleted(author, rest);
            let news = news.into_iter().map(|clocks| (author, clocks));
            self.transaction.kept_deleted.extend(news);
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
            self.pending.clear_waiting();
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
        let mut due = self.pending.waiting.range((author, 0, 0)..(author, end, 0));
        let entry = *due.next()?;
        self.pending.wait_not(entry);
        Some(entry.2)
    }

    /// Integrates the kept blocks of a client until one has to wait on.
    fn integrate_kept(&mut self, author: u32) {
        loop {
            let mut own = self.pending.blocks.range((author, 0)..=(author, u32::MAX));
            let Some((key, kept)) = own.next() else {
                return;
            };
            let (key, right) = (*key, kept.right);
            if kept.end <= self.end(author) {
                self.pending.remove(key);
                continue;
            }
            if right.is_some() && right.clock >= self.end(right.client) {
                self.await_clock(right, author);
                return;
            }
            let bytes = kept.update.clone();
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
                        self.await_clock(ShortId { client, clock }, author);
                        return;
                    }
                }
            }
            self.pending.remove(key);
        }
    }

    /// Enters a client whose first kept block needs `id`.
    fn await_clock(&mut self, id: ShortId, waiter: u32) {
        self.pending.wait((id.client, id.clock, waiter));
    }

    /// Deletes what has come of a client's kept deletions.
    fn delete_kept(&mut self, author: u32) {
        let end = self.end(author);
        loop {
            let mut due = self.pending.deleted.range((author, 0)..(author, end));
            let Some((&(_, start), &until)) = due.next() else {
                return;
            };
            self.pending.set_deleted((author, start), None);
            self.delete_clocks(author, start..until.min(end));
            if end < until {
                self.pending.set_deleted((author, end), Some(until));
            }
        }
    }

    /// All that waits, as updates v1.
    pub(super) fn pending_updates(&self) -> Vec<Vec<u8>> {
        let blocks = self.pending.blocks.iter();
        let mut updates: Vec<Vec<u8>> = blocks
            .map(|(key, kept)| self.kept_update(*key, &kept.update))
            .collect();
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

    /// The blocks that wait since the transaction under way, as updates v1.
    pub(super) fn kept_updates(&self) -> Vec<Vec<u8>> {
        let mut kept = self.transaction.kept.clone();
        kept.sort_unstable();
        kept.dedup();
        let kept = kept.into_iter().filter_map(|key| {
            let kept = self.pending.blocks.get(&key)?;
            Some(self.kept_update(key, &kept.update))
        });
        kept.collect()
    }

    /// An update with a block that is kept.
    fn kept_update(&self, (author, clock): (u32, u32), bytes: &[u8]) -> Vec<u8> {
        let end = self.end(author);
        if clock >= end {
            return bytes.to_vec();
        }
        // Its first units came otherwise, and those are what counts.
        let mut known = StateVector::default();
        known.set(self.client(author), end);
        diff_update(bytes, &known, Version::V1).unwrap_or_default()
    }
}

impl Pending {
    /// Keeps a block, and lets go of those that it holds.
    fn insert(&mut self, key: (u32, u32), kept: Kept) {
        let end = kept.end;
        self.set_block(key, Some(kept));
        let (author, start) = key;
        loop {
            let mut later = self.blocks.range((author, start + 1)..(author, end));
            match later.next() {
                Some((key, known)) if known.end <= end => {
                    let key = *key;
                    self.remove(key);
                }
                _ => return,
            }
        }
    }

    fn remove(&mut self, key: (u32, u32)) {
        self.set_block(key, None);
    }

    fn set_block(&mut self, key: (u32, u32), kept: Option<Kept>) {
        let before = match kept {
            Some(kept) => {
                self.size_bytes += kept.update.len();
                self.blocks.insert(key, kept)
            }
            None => self.blocks.remove(&key),
        };
        self.size_bytes -= before.as_ref().map_or(0, |kept| kept.update.len());
        if let Some(notes) = &mut self.notes {
            notes.push(Note::Block(key, before));
        }
    }

    fn set_deleted(&mut self, key: (u32, u32), end: Option<u32>) {
        let before = match end {
            Some(end) => self.deleted.insert(key, end),
            None => self.deleted.remove(&key),
        };
        if let Some(notes) = &mut self.notes {
            notes.push(Note::Deleted(key, before));
        }
    }

    fn wait(&mut self, entry: (u32, u32, u32)) {
        if self.waiting.insert(entry)
            && let Some(notes) = &mut self.notes
        {
            notes.push(Note::WaitsNot(entry));
        }
    }

    fn wait_not(&mut self, entry: (u32, u32, u32)) {
        if self.waiting.remove(&entry)
            && let Some(notes) = &mut self.notes
        {
            notes.push(Note::Waits(entry));
        }
    }

    fn clear_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(notes) = &mut self.notes {
            notes.extend(waiting.into_iter().map(Note::Waits));
        }
    }

    /// Notes each change from here on.
    pub(super) fn note(&mut self) {
        self.notes = Some(Vec::new());
    }

    pub(super) fn forget_notes(&mut self) {
        self.notes = None;
    }

    /// Undoes the changes that were noted.
    pub(super) fn undo(&mut self) {
        for note in self.notes.take().into_iter().flatten().rev() {
            match note {
                Note::Block(key, kept) => self.set_block(key, kept),
                Note::Deleted(key, end) => self.set_deleted(key, end),
                Note::Waits(entry) => self.wait(entry),
                Note::WaitsNot(entry) => self.wait_not(entry),
            }
        }
    }

    /// Keeps deletions, and returns those that were not kept before. O(k log n) for k ranges that become
    /// one.
    fn keep_deleted(&mut self, author: u32, range: Range<u32>) -> Vec<Range<u32>> {
        let (mut whole, mut at) = (range.clone(), range.start);
        let mut before = self.deleted.range((author, 0)..=(author, range.start));
        if let Some((&(_, start), &end)) = before.next_back()
            && end >= range.start
        {
            whole = start..whole.end.max(end);
            at = end;
        }
        let mut news = Vec::new();
        loop {
            let mut later = self
                .deleted
                .range((author, range.start + 1)..=(author, range.end));
            let Some((&(_, start), &end)) = later.next() else {
                break;
            };
            self.set_deleted((author, start), None);
            news.push(at..start);
            at = end;
            whole.end = whole.end.max(end);
        }
        news.push(at..range.end);
        news.retain(|range| !range.is_empty());
        self.set_deleted((author, whole.start), Some(whole.end));
        news
    }

    /// The memory that it takes up. O(1).
    pub(super) fn size_bytes(&self) -> usize {
        let block = MAP_ENTRY_BYTES + size_of::<Kept>() + ALLOCATION_BYTES;
        self.blocks.len() * block
            + self.size_bytes
            + self.waiting.len() * MAP_ENTRY_BYTES
            + self.deleted.len() * MAP_ENTRY_BYTES
            + self.fresh.capacity() * size_of::<u32>()
    }
}
