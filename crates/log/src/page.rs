//! Putting together what a read gives, from the records of a store.

use bytes::Bytes;
use motet_model::{Change, DocumentId, Revision};

use crate::{
    LogError,
    codec::{self, Place},
    size_bytes,
};

/// The changes after a revision, as far as they fit.
pub(crate) struct Page {
    id: DocumentId,
    next: Revision,
    budget: usize,
    changes: Vec<Change>,
}

impl Page {
    pub(crate) fn new(id: DocumentId, after: Revision, bytes_max: usize) -> Self {
        Self {
            id,
            next: after.next(),
            budget: bytes_max,
            changes: Vec::new(),
        }
    }

    /// Adds the record that comes next in the store, as far as it fits; says whether all of it did.
    pub(crate) fn add(
        &mut self,
        first: Revision,
        last: Revision,
        record: &Bytes,
    ) -> Result<bool, LogError> {
        if first > self.next {
            return Err(self.missing(format!("the changes before {first} are missing")));
        }
        let id = self.id;
        let changes = codec::decode_changes(Place { id, first, last }, record)?;
        let skip = usize::try_from(self.next.since(first)).unwrap_or(usize::MAX);
        for change in changes.into_iter().skip(skip) {
            let size = size_bytes(&change);
            if size > self.budget && !self.changes.is_empty() {
                return Ok(false);
            }
            self.budget = self.budget.saturating_sub(size);
            self.changes.push(change);
        }
        self.next = last.next();
        Ok(true)
    }

    /// The changes, where the store holds no further ones.
    pub(crate) fn end(self, head: Revision) -> Result<Vec<Change>, LogError> {
        if self.next <= head {
            return Err(self.missing(format!("the changes up to {head} are missing")));
        }
        Ok(self.changes)
    }

    /// The changes, where more may follow.
    pub(crate) fn cut(self) -> Vec<Change> {
        self.changes
    }

    fn missing(&self, detail: String) -> LogError {
        LogError::Corrupt {
            id: self.id,
            revision: self.next,
            detail,
        }
    }
}
