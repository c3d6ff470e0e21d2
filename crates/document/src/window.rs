//! The latest changes of a document, kept in memory to transform over and to catch up from.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use motet_model::{Change, Revision, SessionId};
use motet_ot::Delta;

/// A change of an open document, with what the log does not hold.
#[derive(Debug)]
pub struct Committed {
    /// The revision that the change leads to.
    pub revision: Revision,
    /// The session that made it; `None` where the change was read from the log.
    pub session: Option<SessionId>,
    /// The change as the log holds it.
    pub change: Change,
    /// The change's delta, decoded.
    pub delta: Delta,
    /// A place for the caller to keep the change's wire form, so that it is encoded once for all.
    pub wire: OnceLock<Bytes>,
}

/// Some changes in order, shared by all the sessions that are sent them.
#[derive(Clone, Debug)]
pub struct Changes {
    entries: Arc<[Arc<Committed>]>,
    range: Range<usize>,
}

impl Changes {
    pub(crate) fn new(entries: Arc<[Arc<Committed>]>) -> Self {
        let range = 0..entries.len();
        Self { entries, range }
    }

    /// Those after `revision`.
    pub(crate) fn after(&self, revision: Revision) -> Self {
        let start = self.partition_point(|entry| entry.revision <= revision);
        Self {
            entries: Arc::clone(&self.entries),
            range: self.range.start + start..self.range.end,
        }
    }
}

impl std::ops::Deref for Changes {
    type Target = [Arc<Committed>];

    fn deref(&self) -> &Self::Target {
        &self.entries[self.range.clone()]
    }
}

/// The changes `start + 1 ..= head`.
///
/// # Invariants
///
/// **contiguous**: the entries have the revisions `start + 1`, `start + 2`, … without a gap.
#[derive(Debug)]
pub(crate) struct Window {
    start: Revision,
    entries: VecDeque<Arc<Committed>>,
    size_bytes: usize,
}

impl Window {
    pub(crate) fn new(start: Revision) -> Self {
        Self {
            start,
            entries: VecDeque::new(),
            size_bytes: 0,
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
        self.entries.push_back(entry);
    }

    /// Drops the oldest changes until the window is within its bounds.
    pub(crate) fn trim(&mut self, changes_max: usize, bytes_max: usize) {
        while self.entries.len() > changes_max
            || (self.size_bytes > bytes_max && self.entries.len() > 1)
        {
            if let Some(entry) = self.entries.pop_front() {
                self.size_bytes -= size_bytes(&entry);
                self.start = self.start.next();
            }
        }
    }

    /// The changes after `revision`, or `None` when some of them are gone.
    pub(crate) fn after(
        &self,
        revision: Revision,
    ) -> Option<impl ExactSizeIterator<Item = &Arc<Committed>>> {
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
    size_of::<Committed>() + 2 * entry.change.delta.len() + entry.change.update.len()
}
