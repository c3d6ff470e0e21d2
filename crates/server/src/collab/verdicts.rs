//! What becomes of a room's sessions: told beside the room's inbox, which may be full.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use motet_document::Access;
use motet_model::SessionId;
use motet_protocol::ErrorCode;
use tokio::sync::Notify;

/// What is to become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is what it may do from now on.
    Access(Access),
    /// It is over.
    End(ErrorCode),
}

/// The verdicts on the sessions of one room that it has not carried out yet.
///
/// # Invariants
///
/// - **at once**: to pass one never waits, and the room carries them out before whatever it takes from its
///   inbox afterwards.
/// - **bounded**: one for each session, until that has left.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    passed: Mutex<HashMap<SessionId, Verdict>>,
    room: Notify,
}

impl Verdicts {
    /// The latest counts, but an end is one.
    pub(crate) fn pass(&self, session: SessionId, verdict: Verdict) {
        let mut passed = self.passed();
        let latest = passed.entry(session).or_insert(verdict);
        if !matches!(latest, Verdict::End(_)) {
            *latest = verdict;
        }
        drop(passed);
        self.room.notify_one();
    }

    /// Waits for one that was not there before.
    pub(crate) async fn more(&self) {
        self.room.notified().await;
    }

    /// Takes those on sessions that are `known`. The others have not joined yet, or have never come so far.
    pub(crate) fn take(&self, known: impl Fn(SessionId) -> bool) -> Vec<(SessionId, Verdict)> {
        let mut passed = self.passed();
        if passed.is_empty() {
            return Vec::new();
        }
        passed.extract_if(|session, _| known(*session)).collect()
    }

    /// Takes the one on a session that joins, or leaves.
    pub(crate) fn take_one(&self, session: SessionId) -> Option<Verdict> {
        self.passed().remove(&session)
    }

    /// Those that are over, but stay until they are taken.
    pub(crate) fn ends(&self, known: impl Fn(SessionId) -> bool) -> Vec<(SessionId, ErrorCode)> {
        let passed = self.passed();
        let ends = passed
            .iter()
            .filter_map(|(session, verdict)| match verdict {
                Verdict::End(code) if known(*session) => Some((*session, *code)),
                _ => None,
            });
        ends.collect()
    }

    /// Whether there is one on a session that is `known`.
    pub(crate) fn concern(&self, known: impl Fn(SessionId) -> bool) -> bool {
        self.passed().keys().any(|session| known(*session))
    }

    /// Some that were there before have not been taken.
    pub(crate) fn remind(&self) {
        self.room.notify_one();
    }

    fn passed(&self) -> MutexGuard<'_, HashMap<SessionId, Verdict>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
