use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use motet_model::{Change, Checkpoint, DocumentId, Revision};

use crate::{Compact, Compacted, DocumentList, DocumentLog, Listed, LogError, size_bytes, thinned};

/// A log in memory, for tests and simulation. Clones share it.
///
/// # Durability
///
/// None: it lives as long as its last clone.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    documents: Arc<Mutex<BTreeMap<DocumentId, Stored>>>,
}

#[derive(Debug)]
enum Stored {
    Live {
        changes: Vec<Change>,
        checkpoints: BTreeMap<Revision, Checkpoint>,
    },
    Deleted,
}

impl Default for Stored {
    fn default() -> Self {
        Self::Live {
            changes: Vec::new(),
            checkpoints: BTreeMap::new(),
        }
    }
}

type Live<'a> = (&'a mut Vec<Change>, &'a mut BTreeMap<Revision, Checkpoint>);

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentId, Stored>> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        id: DocumentId,
        act: impl FnOnce(Live<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        match self.lock().entry(id).or_default() {
            Stored::Live {
                changes,
                checkpoints,
            } => act((changes, checkpoints)),
            Stored::Deleted => Err(LogError::Deleted { id }),
        }
    }
}

impl DocumentLog for MemoryLog {
    async fn append(
        &self,
        id: DocumentId,
        base: Revision,
        mut changes: Vec<Change>,
    ) -> Result<Revision, LogError> {
        self.with(id, |(stored, _)| {
            let head = Revision::new(stored.len() as u64);
            if head != base {
                return Err(LogError::Conflict { head });
            }
            stored.append(&mut changes);
            Ok(Revision::new(stored.len() as u64))
        })
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        self.with(id, |(stored, _)| Ok(Revision::new(stored.len() as u64)))
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> Result<Vec<Change>, LogError> {
        self.with(id, |(stored, _)| {
            let skip = usize::try_from(after.get()).unwrap_or(usize::MAX);
            let mut budget = bytes_max;
            let mut changes = Vec::new();
            for change in stored.iter().skip(skip) {
                let size = size_bytes(change);
                if size > budget && !changes.is_empty() {
                    break;
                }
                budget = budget.saturating_sub(size);
                changes.push(change.clone());
            }
            Ok(changes)
        })
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        self.with(id, |(_, checkpoints)| {
            Ok(checkpoints
                .range(..=at_most)
                .next_back()
                .map(|(_, checkpoint)| checkpoint.clone()))
        })
    }

    async fn put_checkpoint(&self, id: DocumentId, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.with(id, |(stored, checkpoints)| {
            let head = Revision::new(stored.len() as u64);
            if checkpoint.revision > head {
                return Err(LogError::Conflict { head });
            }
            checkpoints.insert(checkpoint.revision, checkpoint);
            let revisions: Vec<_> = checkpoints.keys().copied().collect();
            let kept = thinned(&revisions);
            checkpoints.retain(|revision, _| kept.contains(revision));
            Ok(())
        })
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        self.lock().insert(id, Stored::Deleted);
        Ok(())
    }
}

impl DocumentList for MemoryLog {
    async fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Listed>, LogError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let documents = self.lock();
        let listed = documents.range((from, Bound::Unbounded));
        let listed = listed.map(|(id, stored)| match stored {
            Stored::Live { changes, .. } => Listed {
                id: *id,
                head: Revision::new(changes.len() as u64),
                deleted: false,
            },
            Stored::Deleted => Listed {
                id: *id,
                head: Revision::ZERO,
                deleted: true,
            },
        });
        // Whoever asks for a document makes a place for it.
        let listed = listed.filter(|it| it.deleted || it.head > Revision::ZERO);
        Ok(listed.take(limit as usize).collect())
    }
}

/// It has no rows.
impl Compact for MemoryLog {
    async fn loose(&self, _: Option<DocumentId>, _: u32) -> Result<Vec<DocumentId>, LogError> {
        Ok(Vec::new())
    }

    async fn compact(&self, id: DocumentId) -> Result<Compacted, LogError> {
        self.with(id, |_| Ok(Compacted::default()))
    }
}
