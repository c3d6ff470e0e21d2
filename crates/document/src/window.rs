//! The latest changes of a document, kept in memory to transform over and to catch up from.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasher,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use foldhash::fast::FixedState;
use motet_crdt::StateVector;
use motet_model::{Change, ClientId, Revision, SessionId, UserId};
use motet_ot::{Delta, Side, Splice};

use crate::presence::Wire;

/// A change of an open document, with what the log does not hold.
#[derive(Debug)]
pub struct Committed {
    /// The revision that the change leads to.
    pub revision: Revision,
    /// The session that made it; `None` where the change was read from the log.
    pub session: Option<SessionId>,
    /// What stands for that session among those that are shown to others.
    pub number: Option<u32>,
    /// The change as the log holds it.
    pub change: Change,
    /// The change's delta, decoded.
    pub delta: Arc<Delta>,
    /// Places for the caller to keep the change's wire forms, so that each is encoded once for all.
    pub wire: Wire,
}

/// Some changes in order, shared by all the sessions that are sent them.
#[derive(Clone, Debug)]
pub struct Changes {
    batch: Arc<Batch>,
    range: Range<usize>,
}

#[derive(Debug)]
struct Batch {
    entries: Box<[Arc<Committed>]>,
    /// See [`Changes::size_bytes`].
    size_bytes: usize,
    /// Whose changes stand where.
    places: OnceLock<HashMap<(UserId, ClientId), Vec<usize>>>,
    wire: BatchWire,
}

/// The wire forms of a whole batch, so that a session is sent it at no cost for each of its changes.
#[derive(Debug, Default)]
pub struct BatchWire {
    /// In the dialect of positions, all changes as one message.
    pub ot: OnceLock<Bytes>,
    /// The same as a message for each, for clients that do not take one for all.
    pub ot_row: OnceLock<Row>,
    /// The latter where each message names its document.
    pub ot_row_named: OnceLock<Row>,
    /// In the dialect of identities, all changes as one.
    pub yjs: OnceLock<Bytes>,
}

/// Wire forms of changes one after another, in one piece.
#[derive(Clone, Debug)]
pub struct Row {
    /// All of them.
    pub bytes: Bytes,
    /// Where each ends, in bytes; what separates it from the next follows.
    pub ends: Box<[usize]>,
}

fn sent_bytes(entries: &[Arc<Committed>]) -> usize {
    let size_bytes = |change: &Change| change.delta.len().max(change.update.len());
    entries.iter().map(|entry| size_bytes(&entry.change)).sum()
}

impl Changes {
    pub(crate) fn new(entries: Vec<Arc<Committed>>) -> Self {
        let range = 0..entries.len();
        let batch = Arc::new(Batch {
            size_bytes: sent_bytes(&entries),
            entries: entries.into(),
            places: OnceLock::new(),
            wire: BatchWire::default(),
        });
        Self { batch, range }
    }

    /// Places for the caller to keep the wire forms of all these changes together; `None` where they are
    /// not all that were committed at once.
    #[must_use]
    pub fn wire(&self) -> Option<&BatchWire> {
        self.is_whole().then_some(&self.batch.wire)
    }

    /// How much they hold, in whichever dialect that is more. O(1) where they are all that were committed at
    /// once.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        if self.is_whole() {
            self.batch.size_bytes
        } else {
            sent_bytes(self)
        }
    }

    /// Which of all that were committed at once a client has made, in order. O(1), after the first time.
    #[must_use]
    pub fn made_by(&self, author: UserId, client_id: &ClientId) -> &[usize] {
        let places = self.batch.places.get_or_init(|| {
            let mut places: HashMap<_, Vec<_>> = HashMap::new();
            for (place, entry) in self.batch.entries.iter().enumerate() {
                let client = (entry.change.author, entry.change.client_id.clone());
                places.entry(client).or_default().push(place);
            }
            places
        });
        let places = places.get(&(author, client_id.clone()));
        places.map_or(&[], Vec::as_slice)
    }

    fn is_whole(&self) -> bool {
        self.range.len() == self.batch.entries.len()
    }

    /// Those after `revision`.
    pub(crate) fn after(&self, revision: Revision) -> Self {
        let start = self.partition_point(|entry| entry.revision <= revision);
        Self {
            batch: Arc::clone(&self.batch),
            range: self.range.start + start..self.range.end,
        }
    }
}

impl std::ops::Deref for Changes {
    type Target = [Arc<Committed>];

    fn deref(&self) -> &Self::Target {
        &self.batch.entries[self.range.clone()]
    }
}

/// The changes `start + 1 ..= head`.
///
/// # Invariants
///
/// - **contiguous**: the entries have the revisions `start + 1`, `start + 2`, … without a gap.
/// - **counted**: what is known of scattered changes is that of the entries, however they came and went.
#[derive(Debug)]
pub(crate) struct Window {
    start: Revision,
    entries: VecDeque<Entry>,
    size_bytes: usize,
    scattered: VecDeque<Scattered>,
    /// What the scattered changes have, those included that are gone from the front.
    operations: u64,
}

/// A change that is not at one place: what passes it is transformed as a delta.
#[derive(Debug)]
struct Scattered {
    revision: Revision,
    /// What scattered changes before this one have.
    operations_before: u64,
}

/// A change, and what passing it needs of it: next to that of its neighbours, so that to pass many takes
/// no walk through memory.
#[derive(Debug)]
struct Entry {
    splice: Option<Splice>,
    mark: Mark,
    committed: Arc<Committed>,
}

impl Entry {
    fn passed(&self) -> Passed<'_> {
        Passed {
            splice: self.splice,
            mark: self.mark,
            change: &self.committed.change,
            delta: &self.committed.delta,
        }
    }
}

/// A change that something is moved past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed<'a> {
    /// Where it changes the document, if at one place.
    pub(crate) splice: Option<Splice>,
    /// Changes with different marks are different submissions.
    pub(crate) mark: Mark,
    /// The change as a submission.
    pub(crate) change: &'a Change,
    /// The change. Not looked at where the splice will do: it is elsewhere in memory.
    pub(crate) delta: &'a Arc<Delta>,
}

/// Stands for a submission's name, which is its author, client and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// The mark of that submission.
    pub(crate) fn of(author: UserId, client_id: &ClientId, seq: u64) -> Self {
        // Two that happen to be alike cost a comparison.
        Self(FixedState::default().hash_one((author, client_id, seq)))
    }
}

impl<'a> Passed<'a> {
    /// A change with its delta.
    pub(crate) fn new(change: &'a Change, delta: &'a Arc<Delta>) -> Self {
        Self {
            splice: Splice::of(delta),
            mark: Mark::of(change.author, &change.client_id, change.seq),
            change,
            delta,
        }
    }

    /// A position, moved past it; what it inserts there comes behind.
    pub(crate) fn transform_position(&self, index_utf16: usize) -> usize {
        match self.splice {
            Some(splice) => splice.transform_position(index_utf16),
            None => self.delta.transform_position(index_utf16, Side::Right),
        }
    }
}

impl Window {
    pub(crate) fn new(start: Revision) -> Self {
        Self {
            start,
            entries: VecDeque::new(),
            size_bytes: 0,
            scattered: VecDeque::new(),
            operations: 0,
        }
    }

    /// The revision before the first change held.
    pub(crate) fn start(&self) -> Revision {
        self.start
    }

    /// The revision that the last change held leads to.
    pub(crate) fn head(&self) -> Revision {
        self.start.plus(self.entries.len() as u64)
    }

    /// Adds the next change.
    pub(crate) fn push(&mut self, entry: Arc<Committed>) {
        assert_eq!(
            entry.revision,
            self.head().next(),
            "contiguous: changes come one by one"
        );
        self.size_bytes += size_bytes(&entry);
        let Passed { splice, mark, .. } = Passed::new(&entry.change, &entry.delta);
        if splice.is_none() {
            self.scattered.push_back(Scattered {
                revision: entry.revision,
                operations_before: self.operations,
            });
            self.operations += entry.delta.ops().len() as u64;
        }
        self.entries.push_back(Entry {
            splice,
            mark,
            committed: entry,
        });
    }

    /// Takes back the latest changes, down to `head`.
    pub(crate) fn take_back(&mut self, head: Revision) {
        while self.head() > head
            && let Some(entry) = self.entries.pop_back()
        {
            self.size_bytes -= size_bytes(&entry.committed);
        }
        while let Some(latest) = self.scattered.back()
            && latest.revision > head
        {
            self.operations = latest.operations_before;
            self.scattered.pop_back();
        }
    }

    /// Whether there is so much more than its bounds that it should be [trimmed](Self::trim): not one by one.
    pub(crate) fn is_full(&self, changes_max: usize, bytes_max: usize) -> bool {
        let over = |is: usize, max: usize| is > max + max / 8;
        over(self.entries.len(), changes_max)
            || (over(self.size_bytes, bytes_max) && self.entries.len() > 1)
    }

    /// Drops the oldest changes until the window is within its bounds.
    pub(crate) fn trim(&mut self, changes_max: usize, bytes_max: usize) {
        while self.entries.len() > changes_max
            || (self.size_bytes > bytes_max && self.entries.len() > 1)
        {
            self.drop_first();
        }
    }

    /// Whether the oldest change is from before `then_ms`, and there are more than `kept`.
    pub(crate) fn is_aged(&self, then_ms: u64, kept: usize) -> bool {
        let first = self.entries.front().filter(|_| self.entries.len() > kept);
        first.is_some_and(|entry| entry.committed.change.time_ms < then_ms)
    }

    /// Drops changes from before `then_ms`, but for the latest `kept`.
    pub(crate) fn age(&mut self, then_ms: u64, kept: usize) {
        while self.is_aged(then_ms, kept) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.size_bytes -= size_bytes(&entry.committed);
            self.start = self.start.next();
            if self
                .scattered
                .front()
                .is_some_and(|it| it.revision <= self.start)
            {
                self.scattered.pop_front();
            }
        }
    }

    /// How many of the changes after `revision` are not at one place, and the operations of all those. O(log n)
    pub(crate) fn scattered_after(&self, revision: Revision) -> (u64, u64) {
        let at = self.scattered.partition_point(|it| it.revision <= revision);
        let changes = (self.scattered.len() - at) as u64;
        let operations = self
            .scattered
            .get(at)
            .map_or(0, |first| self.operations - first.operations_before);
        (changes, operations)
    }

    /// The changes after `revision`, or `None` when some of them are gone.
    pub(crate) fn after(
        &self,
        revision: Revision,
    ) -> Option<impl ExactSizeIterator<Item = &Arc<Committed>>> {
        let entries = self.entries_after(revision)?;
        Some(entries.map(|entry| &entry.committed))
    }

    /// The same, for what is to be moved past them.
    pub(crate) fn passed_after(
        &self,
        revision: Revision,
    ) -> Option<impl ExactSizeIterator<Item = Passed<'_>>> {
        Some(self.entries_after(revision)?.map(Entry::passed))
    }

    fn entries_after(&self, revision: Revision) -> Option<impl ExactSizeIterator<Item = &Entry>> {
        if revision < self.start {
            return None;
        }
        let skip = usize::try_from(revision.since(self.start))
            .ok()?
            .min(self.entries.len());
        Some(self.entries.range(skip..))
    }
}

/// What a change weighs in the window: its bytes, and about what the decoded delta adds.
fn size_bytes(entry: &Committed) -> usize {
    size_of::<Entry>()
        + size_of::<Committed>()
        + 2 * entry.change.delta.len()
        + entry.change.update.len()
}

/// What the document had made at some revisions: for a client that fell behind after one of them, a state
/// vector that it is sure to have.
///
/// Their number grows with the logarithm of the changes since the document was opened.
#[derive(Debug, Default)]
pub(crate) struct Milestones(Vec<(Revision, Arc<StateVector>)>);

impl Milestones {
    /// How many changes lie between two of them at least.
    const CHANGES: u64 = 256;

    /// Whether it is time for another.
    pub(crate) fn is_due(&self, head: Revision) -> bool {
        self.0
            .last()
            .is_none_or(|(last, _)| head.since(*last) >= Self::CHANGES)
    }

    /// Adds the latest, and thins the earlier ones out.
    pub(crate) fn push(&mut self, head: Revision, made: StateVector) {
        self.0.push((head, Arc::new(made)));
        let distance = |at: Revision| head.since(at).max(1).ilog2();
        // Of three at about the same distance, the middle one is not missed.
        let middle = (1..self.0.len().saturating_sub(1))
            .rev()
            .find(|at| distance(self.0[at - 1].0) == distance(self.0[at + 1].0));
        if let Some(middle) = middle {
            self.0.remove(middle);
        }
    }

    /// What a client has that has everything up to `revision`, as far as is known.
    pub(crate) fn at(&self, revision: Revision) -> Arc<StateVector> {
        let found = self.0.iter().rev().find(|(at, _)| *at <= revision);
        found.map_or_else(Arc::default, |(_, made)| Arc::clone(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLICE: &str = r#"{"ops":[{"retain":3},{"insert":"x"}]}"#;
    const FORMAT: &str = r#"{"ops":[{"retain":3},{"retain":1,"attributes":{"bold":true}}]}"#;

    fn committed(revision: u64, json: &str) -> Arc<Committed> {
        let delta = motet_ot::decode(json.as_bytes()).unwrap().delta;
        Arc::new(Committed {
            revision: Revision::new(revision),
            session: None,
            number: None,
            change: Change {
                author: UserId::from_bytes([1; 16]),
                client_id: "client".parse().unwrap(),
                seq: revision,
                merged: false,
                time_ms: revision,
                delta: Bytes::copy_from_slice(json.as_bytes()),
                update: Bytes::new(),
            },
            delta: Arc::new(delta),
            wire: Wire::default(),
        })
    }

    fn assert_counted(window: &Window) {
        for revision in 0..=window.head().get() {
            let revision = Revision::new(revision);
            let after = window.entries.iter();
            let after = after.filter(|it| it.committed.revision > revision);
            let scattered: Vec<_> = after.filter(|it| it.splice.is_none()).collect();
            let operations = scattered.iter().map(|it| it.committed.delta.ops().len());
            let expected = (scattered.len() as u64, operations.sum::<usize>() as u64);
            assert_eq!(window.scattered_after(revision), expected, "{revision}");
        }
    }

    #[test]
    fn counted() {
        let mut window = Window::new(Revision::ZERO);
        for n in 1..=60 {
            window.push(committed(n, if n % 3 == 0 { FORMAT } else { SPLICE }));
        }
        assert_counted(&window);
        assert_eq!(window.scattered_after(Revision::ZERO), (20, 40));
        window.take_back(Revision::new(51));
        assert_counted(&window);
        window.push(committed(52, FORMAT));
        assert_counted(&window);
        window.trim(36, usize::MAX);
        assert_counted(&window);
        window.age(31, 1);
        assert_counted(&window);
        assert_eq!(window.scattered_after(Revision::ZERO), (8, 16));
        window.trim(0, usize::MAX);
        assert_counted(&window);
    }
}
