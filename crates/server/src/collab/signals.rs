//! What a room is told beside its inbox, which may be full, and what it tells so.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use motet_model::Revision;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long the log may take once a room is to end.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

/// What concerns all of one room.
///
/// # Invariants
///
/// - **at once**: to give one never waits.
/// - **bounded**: given often they are one.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    look: Notify,
    end: CancellationToken,
    head: AtomicU64,
}

impl Signals {
    /// Others may have appended.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// Waits until they may have.
    pub(crate) async fn looked(&self) {
        self.look.notified().await;
    }

    /// The room's document has this head.
    pub(crate) fn reached(&self, head: Revision) {
        self.head.store(head.get(), Ordering::Relaxed);
    }

    /// The head that the room has reached.
    pub(crate) fn head(&self) -> Revision {
        Revision::new(self.head.load(Ordering::Relaxed))
    }

    /// The room is to end, which its inbox tells it as well. From here on it does not wait for long for a log
    /// that does not answer.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// Waits until the room is to end, and then for as long as the log may take.
    pub(crate) async fn given_up(&self) {
        self.end.cancelled().await;
        sleep(GIVEN_UP_AFTER).await;
    }

    /// Whether the room is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.end.is_cancelled()
    }
}
