//! The source of truth of each document: its changes, in order.
//!
//! [`DocumentLog`] is the interface, with [`DocumentList`] for whoever needs all of it and [`Compact`] for whoever
//! saves room in it, [`SqliteLog`] the embedded store, [`PostgresLog`] that of several
//! nodes, [`AnyLog`] either of them, [`MemoryLog`] the model that they are tested against. A log takes
//! deltas and updates as opaque bytes. [`Outbox`] has what is yet to be told outside; only [`PostgresLog`] has one.
//!
//! # Not here
//!
//! What a change means (`document`), who may append (`server`).

mod any;
mod codec;
mod compaction;
mod error;
mod memory;
mod outbox;
mod page;
mod postgres;
mod sqlite;

use motet_model::{Change, Checkpoint, DocumentId, Revision};

pub use any::AnyLog;
pub use codec::{decode_record, encode_record};
pub use compaction::Compacted;
pub use error::LogError;
pub use memory::MemoryLog;
pub use outbox::{OUTBOX_SHARDS, Outbox, OutboxKind, OutboxRow, OutboxSettings};
pub use postgres::{PostgresLog, PostgresSettings};
pub use sqlite::SqliteLog;

/// The append-only log of each document's committed changes.
///
/// # Invariants
///
/// - **dense**: revisions are 1, 2, 3, …
/// - **fenced**: at most one append succeeds after a given base.
/// - **durable**: `Ok` means stored, as this backend's `# Durability` section defines.
/// - **prefix**: a change, once read, never changes.
///
/// A document needs no creation: one that was never written has revision 0.
pub trait DocumentLog: Send + Sync + 'static {
    /// Appends `changes` directly after `base`, all or none, and returns the new head.
    ///
    /// # Errors
    ///
    /// `Conflict`: the head is not `base`; nothing was written. `Unknown`: it may have been written;
    /// read before retrying. `Deleted`, `Unavailable`: nothing was written.
    fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Revision, LogError>> + Send;

    /// The number of changes.
    ///
    /// # Errors
    ///
    /// `Deleted`, `Unavailable`.
    fn head(&self, id: DocumentId) -> impl Future<Output = Result<Revision, LogError>> + Send;

    /// The heads of those of these documents that have changes, in any order. Documents that were never
    /// written and those that were deleted are left out, so that one of them does not fail the others. An
    /// id that comes twice may be answered twice.
    ///
    /// A store answers with one query for some hundreds or thousands of ids.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    fn heads(
        &self,
        ids: &[DocumentId],
    ) -> impl Future<Output = Result<Vec<(DocumentId, Revision)>, LogError>> + Send {
        async move {
            let mut heads = Vec::with_capacity(ids.len());
            for id in ids {
                match self.head(*id).await {
                    Ok(Revision::ZERO) | Err(LogError::Deleted { .. }) => {}
                    head => heads.push((*id, head?)),
                }
            }
            Ok(heads)
        }
    }

    /// The changes after `after`, in order: at least one if there is one, and then about as many as fit
    /// in `bytes_max`, never more.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `NewerFormat`, `Deleted`, `Unavailable`.
    fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<Change>, LogError>> + Send;

    /// The latest checkpoint at or before `at_most`.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `NewerFormat`, `Deleted`, `Unavailable`.
    fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> impl Future<Output = Result<Option<Checkpoint>, LogError>> + Send;

    /// Stores a checkpoint. It only saves time: losing one loses nothing.
    ///
    /// Kept are the newest and some before it, which lie the farther apart the farther back they are, so that
    /// their number grows with the logarithm of the history.
    ///
    /// # Errors
    ///
    /// `Conflict`: the checkpoint is past the head. `Deleted`, `Unavailable`.
    fn put_checkpoint(
        &self,
        id: DocumentId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Removes a document's changes and checkpoints for good. Its id is never used again. Deleting it
    /// once more changes nothing.
    ///
    /// # Errors
    ///
    /// `Unknown`: try again. `Unavailable`.
    fn delete(&self, id: DocumentId) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// A log that can say which documents it has: for whoever copies it. Who serves documents need not know.
pub trait DocumentList: DocumentLog {
    /// Documents in the order of their ids, those after `after`, at most `limit`: all that have changes, and
    /// all that were deleted.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Listed>, LogError>> + Send;
}

/// A document as a list has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: DocumentId,
    /// The number of its changes; 0 once it was deleted.
    pub head: Revision,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A log that can be rewritten so that it takes less room. Whoever reads finds the same changes before, meanwhile
/// and after. Who serves documents need not know.
pub trait Compact: DocumentLog {
    /// Documents in the order of their ids, those after `after`, at most `limit`, that have some tens of changes or
    /// more that were not looked through.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    fn loose(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<DocumentId>, LogError>> + Send;

    /// Puts some of a document's small appends together. A step takes a few ms and some MB of memory, whatever
    /// the document holds; appends wait for a part of it.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `NewerFormat`: the document stays as it is. `Unknown`: it may have been done, which makes
    /// no difference. `Deleted`, `Unavailable`.
    fn compact(&self, id: DocumentId) -> impl Future<Output = Result<Compacted, LogError>> + Send;
}

impl<L: DocumentLog> DocumentLog for std::sync::Arc<L> {
    fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<Revision, LogError>> + Send {
        (**self).append(id, base, changes)
    }

    fn head(&self, id: DocumentId) -> impl Future<Output = Result<Revision, LogError>> + Send {
        (**self).head(id)
    }

    fn heads(
        &self,
        ids: &[DocumentId],
    ) -> impl Future<Output = Result<Vec<(DocumentId, Revision)>, LogError>> + Send {
        (**self).heads(ids)
    }

    fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Vec<Change>, LogError>> + Send {
        (**self).read(id, after, bytes_max)
    }

    fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> impl Future<Output = Result<Option<Checkpoint>, LogError>> + Send {
        (**self).checkpoint(id, at_most)
    }

    fn put_checkpoint(
        &self,
        id: DocumentId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<(), LogError>> + Send {
        (**self).put_checkpoint(id, checkpoint)
    }

    fn delete(&self, id: DocumentId) -> impl Future<Output = Result<(), LogError>> + Send {
        (**self).delete(id)
    }
}

impl<L: DocumentList> DocumentList for std::sync::Arc<L> {
    fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Listed>, LogError>> + Send {
        (**self).documents(after, limit)
    }
}

impl<L: Compact> Compact for std::sync::Arc<L> {
    fn loose(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<DocumentId>, LogError>> + Send {
        (**self).loose(after, limit)
    }

    fn compact(&self, id: DocumentId) -> impl Future<Output = Result<Compacted, LogError>> + Send {
        (**self).compact(id)
    }
}

/// The checkpoints to keep, of those at `revisions` in ascending order: the newest one, and the first in each
/// stretch of the history. Stretches that are farther back are longer, each a power of two of changes from
/// a multiple of it on, so that the first in a stretch is that of a shorter one as well: what will be kept later is
/// there now.
pub(crate) fn thinned(revisions: &[Revision]) -> Vec<Revision> {
    /// The shortest stretch, in changes.
    const STRETCH_MIN: u64 = 16_384;
    let Some(newest) = revisions.last() else {
        return Vec::new();
    };
    let mut kept: Vec<Revision> = Vec::new();
    for revision in revisions {
        let far = newest.since(*revision).max(1);
        let stretch = (1_u64 << far.ilog2()).max(STRETCH_MIN);
        let same = |it: &Revision| it.get() / stretch == revision.get() / stretch;
        if !kept.last().is_some_and(same) || revision == newest {
            kept.push(*revision);
        }
    }
    kept
}

/// About what a change weighs where it is stored.
pub(crate) fn size_bytes(change: &Change) -> usize {
    const FIELDS_BYTES: usize = 64;
    FIELDS_BYTES + change.delta.len() + change.update.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However often they are made, there is one not long before each revision, and there are few.
        #[test]
        fn checkpoints_are_near_and_few(steps in proptest::collection::vec(100..3_000_u64, 1..400)) {
            let mut kept = Vec::new();
            let mut head = 0;
            for step in steps {
                head += step;
                kept.push(Revision::new(head));
                kept = thinned(&kept);
                prop_assert_eq!(kept.last(), Some(&Revision::new(head)));
                prop_assert!(kept.len() as u64 <= u64::from(head.ilog2()), "{:?}", kept);
                for pair in kept.windows(2) {
                    let (gap, far) = (pair[1].since(pair[0]), head - pair[1].get());
                    prop_assert!(gap <= 40_000 + 3 * far, "{:?} at {}", pair, head);
                }
            }
        }
    }
}
