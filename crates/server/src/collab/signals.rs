//! What a room is told beside its inbox, which may be full.

use std::time::Duration;

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
