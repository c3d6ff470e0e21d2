//! What goes into the audit trail without its own transaction: who came, read, edited and left.
//!
//! One task takes everything that waits into one transaction, so a storm of joins costs a few of them.
//!
//! # Invariants
//!
//! - **none lost**: what was noted is stored, however long the catalog cannot be used; only the end of the
//!   process without leave (SIGKILL, loss of power) loses what still waits.
//! - **bounded**: acts that begin something wait for room first. A session's end needs none, and there are
//!   no more ends than sessions.
//! - **in order**: of one session, the end is noted after the beginning.
//!
//! # Not here
//!
//! Acts that change the catalog: they and their rows are one transaction (`motet_catalog`).

use std::{sync::Arc, time::Duration};

use motet_catalog::{Actor, Catalog, Entry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};

/// Most acts that wait, besides the ends of sessions.
const WAITING_MAX: usize = 4_096;
/// Most rows of one transaction.
const ROWS_MAX: usize = 256;
/// How long to wait before the catalog is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the catalog may take to answer: longer than a statement may. A machine that is gone never does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an act waits for room.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long whoever changed something waits for its row.
const STORED_TIMEOUT: Duration = Duration::from_secs(10);

/// Stores acts in the order in which they are noted. Clones share it.
#[derive(Clone, Debug)]
pub struct Auditor {
    queue: mpsc::UnboundedSender<Noted>,
    places: Arc<Semaphore>,
}

/// The trail takes no more for now, since the catalog cannot be used: retry later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail takes no more for now")]
pub struct Full;

/// Room for one act.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Noted {
    /// Nothing, of one who only wants to know that everything before is stored.
    act: Option<(Actor, Entry)>,
    _place: Option<Place>,
    stored: Option<oneshot::Sender<()>>,
}

impl Auditor {
    /// Starts the task; it ends with the last clone.
    #[must_use]
    pub fn start(catalog: Catalog) -> Self {
        let (queue, noted) = mpsc::unbounded_channel();
        tokio::spawn(run(catalog, noted));
        Self {
            queue,
            places: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Room for one act, once there is some.
    pub(crate) async fn place(&self) -> Result<Place, Full> {
        let place = Arc::clone(&self.places).acquire_owned();
        match timeout(PLACE_TIMEOUT, place).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // Nobody closes it.
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Notes an act that waited for its place before it was done.
    pub(crate) fn note_at(&self, place: Option<Place>, actor: Actor, entry: Entry) {
        self.put(Some((actor, entry)), place, None);
    }

    /// Notes an act; returns before it is stored.
    ///
    /// # Errors
    ///
    /// `Full`: it is not noted, and must not be done.
    pub async fn note(&self, actor: Actor, entry: Entry) -> Result<(), Full> {
        let place = self.place().await?;
        self.note_at(Some(place), actor, entry);
        Ok(())
    }

    /// Notes an act that has changed something, for which there was a place; returns once it is stored,
    /// or will be as soon as the catalog can be used.
    pub(crate) async fn stored(&self, place: Place, actor: Actor, entry: Entry) {
        let (tell, told) = oneshot::channel();
        self.put(Some((actor, entry)), Some(place), Some(tell));
        let _late = timeout(STORED_TIMEOUT, told).await;
    }

    /// Waits until everything that was noted is stored, at most so long.
    pub async fn flush(&self, at_most: Duration) {
        let (tell, told) = oneshot::channel();
        self.put(None, None, Some(tell));
        if timeout(at_most, told).await.is_err() {
            tracing::error!("the last rows of the audit trail were not stored");
        }
    }

    fn put(
        &self,
        act: Option<(Actor, Entry)>,
        place: Option<Place>,
        stored: Option<oneshot::Sender<()>>,
    ) {
        // The task lives as long as there is a sender.
        let _sent = self.queue.send(Noted {
            act,
            _place: place,
            stored,
        });
    }
}

async fn run(catalog: Catalog, mut queue: mpsc::UnboundedReceiver<Noted>) {
    let mut noted = Vec::with_capacity(ROWS_MAX);
    while queue.recv_many(&mut noted, ROWS_MAX).await > 0 {
        let acts: Vec<_> = noted.iter_mut().filter_map(|it| it.act.take()).collect();
        loop {
            match timeout(ANSWER_TIMEOUT, catalog.note(&acts)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) => {
                    tracing::error!(?error, rows = acts.len(), "the audit trail was not stored");
                }
                Err(_) => {
                    tracing::error!(rows = acts.len(), "no answer whether the trail was stored");
                }
            }
            sleep(RETRY).await;
        }
        for it in noted.drain(..) {
            if let Some(stored) = it.stored {
                // Who asked may have gone.
                let _gone = stored.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_catalog::{AuditAction, AuditFilter};
    use motet_model::OrganizationId;

    use super::*;

    fn actor() -> Actor {
        Actor {
            user: None,
            organization: OrganizationId::DEFAULT,
            address: String::new(),
            nonce: [0; 16],
            at_ms: 1,
        }
    }

    // Here others wait for the database's lock, while the task that has it goes on elsewhere.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn none_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        let auditor = Auditor::start(catalog.clone());
        // The catalog cannot be used for a while.
        let database = rusqlite::Connection::open(&file).unwrap();
        database
            .execute_batch("ALTER TABLE audit RENAME TO gone")
            .unwrap();
        let noted = async {
            for _ in 0..2 * WAITING_MAX {
                let entry = Entry::new(AuditAction::DocumentRead);
                while auditor.note(actor(), entry.clone()).await.is_err() {}
            }
            auditor.flush(Duration::from_secs(60)).await;
        };
        let repaired = async {
            while auditor.places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            database
                .execute_batch("ALTER TABLE gone RENAME TO audit")
                .unwrap();
        };
        tokio::join!(noted, repaired);
        let rows = catalog.audit(&AuditFilter::default(), u32::MAX).await;
        assert_eq!(rows.unwrap().len(), 2 * WAITING_MAX);
    }
}
