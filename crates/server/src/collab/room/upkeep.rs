//! What a room stores beside the log, which nobody waits for: when the document changed, its text for
//! search, and checkpoints.
//!
//! Checkpoints are made where the document is open: the state is there, and anybody else would replay the log
//! for it. Of several nodes one makes each: that whose append reaches the next `CHECKPOINT_CHANGES`, and on
//! unloading the one that appended last. One that has found much to replay makes it as well: the last may have died.

use std::time::Duration;

use motet_log::DocumentLog;
use tokio::time::timeout;

use super::Room;
use crate::collab::{indexing, registry::Registry};

/// How often at most the catalog is told that a document has changed.
const TOUCH_INTERVAL_MS: u64 = 10_000;

/// A checkpoint is made on unloading when at least this many changes are not in one.
const UNLOAD_CHECKPOINT_CHANGES: u64 = 100;

/// How long a room that was asked to end may store what nobody waits for: it is made again from the log.
const UNLOAD_TIMEOUT: Duration = Duration::from_secs(10);

impl<L: DocumentLog + Clone> Room<'_, L> {
    /// Tells the catalog that the document has changed, now and then: the list of documents shows
    /// when that was.
    pub(super) fn touch(&mut self, now_ms: u64) {
        self.untouched_since_ms = Some(now_ms);
        if now_ms >= self.touched_ms + TOUCH_INTERVAL_MS {
            self.touched_ms = now_ms;
            tokio::spawn(self.store_touch());
        }
    }

    fn store_touch(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (catalog, id) = (self.shared.catalog.clone(), self.document.id());
        let since_ms = self.untouched_since_ms.take();
        async move {
            if let Some(at_ms) = since_ms
                && let Err(error) = catalog.touch_document(id, at_ms).await
            {
                tracing::warn!(document = %id, %error, "the time of the last change was not stored");
            }
        }
    }

    /// When search is to know the text, if it does not.
    pub(super) fn index_due_ms(&self) -> Option<u64> {
        let since_ms = self.unindexed_since_ms?;
        let next_ms = self.indexed_ms + indexing::INTERVAL_MS;
        Some(next_ms.max(since_ms + indexing::DELAY_MS))
    }

    pub(super) fn index_when_due(&mut self, now_ms: u64) {
        if self.index_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.indexed_ms = now_ms;
            tokio::spawn(self.index());
        }
    }

    fn index(&mut self) -> impl Future<Output = ()> + Send + 'static {
        self.unindexed_since_ms = None;
        let (shared, id) = (self.shared.clone(), self.document.id());
        let snapshot = self.document.snapshot();
        async move { indexing::index(&shared, id, snapshot).await }
    }

    /// A checkpoint only saves time: one that fails is tried again with the next.
    pub(super) fn store_checkpoint(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (log, id) = (self.shared.log.clone(), self.document.id());
        let state = self.document.state();
        self.checkpoint = state.revision();
        async move {
            let encoded = tokio::task::spawn_blocking(move || state.encode()).await;
            let Ok(checkpoint) = encoded else { return };
            if let Err(error) = log.put_checkpoint(id, checkpoint).await {
                tracing::warn!(document = %id, %error, "a checkpoint was not stored");
            }
        }
    }

    pub(super) async fn unload(&mut self, registry: &Registry<L>) {
        if self.signals.is_ending() {
            // Whoever ends the server waits; what is late is stored by the next one.
            let _late = timeout(UNLOAD_TIMEOUT, self.store_rest(registry)).await;
        } else {
            self.store_rest(registry).await;
        }
    }

    async fn store_rest(&mut self, registry: &Registry<L>) {
        self.store_touch().await;
        // Whoever ends the server waits; the next one finds what was not indexed.
        if self.unindexed_since_ms.is_some() && !registry.is_draining() {
            self.index().await;
        }
        // Where another node has appended since, that one makes it.
        let unstored = self.document.head().since(self.checkpoint);
        if self.is_last && unstored >= UNLOAD_CHECKPOINT_CHANGES {
            self.store_checkpoint().await;
        }
    }
}
