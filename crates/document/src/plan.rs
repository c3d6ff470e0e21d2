//! Edits that are worked out and not yet durable.

use std::{collections::HashMap, sync::Arc};

use motet_model::{Change, Revision, SessionId};
use motet_ot::Delta;

use crate::{
    Access, CloseReason, Command, Committed, Event, Reject, clients::Replaced, session::Sessions,
};

/// What the sessions are told, in order.
pub type Events = Vec<(SessionId, Event)>;

/// Edits, and the changes to append for them: the content, the window and the table of clients are ahead by
/// these until the plan is [committed](crate::Document::commit) or [aborted](crate::Document::abort). What the sessions
/// are told is found out when it is committed.
#[derive(Debug)]
#[must_use = "append its changes, then commit it; or abort it"]
pub struct Plan {
    pub(crate) base: Revision,
    pub(crate) now_ms: u64,
    pub(crate) changes: Vec<Arc<Committed>>,
    /// In the order in which they came: edits, and what their sessions asked for after them.
    pub(crate) steps: Vec<Step>,
    /// Rights that sessions have after their latest steps, where those change them; `None`: they leave.
    pub(crate) access: HashMap<SessionId, Option<Access>>,
    /// How many come that were not here.
    pub(crate) joins: usize,
    /// What the changes replaced in the table of clients.
    pub(crate) replaced: Vec<Replaced>,
}

/// A command of a plan.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) command: Command,
    pub(crate) outcome: Outcome,
}

/// What comes of a command once its plan is committed.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done then.
    Put,
    /// A join that is not let in.
    Refused(CloseReason),
    /// An edit of a session that is not here, or that stands among the changes.
    Planned,
    /// An edit that was committed before, as this revision, which its session was sent.
    Acknowledged(u64, Revision),
    /// An update that is stored then.
    Stored,
    /// A reconciliation that becomes this revision, to which the delta leads from what its client has.
    Merged(Revision, Arc<Delta>),
    /// An edit that is not made.
    Rejected(Reject),
}

impl Plan {
    /// The revision that the changes follow.
    #[must_use]
    pub fn base(&self) -> Revision {
        self.base
    }

    /// The changes to append; when there are none, there is nothing to wait for.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.changes
            .iter()
            .map(|entry| entry.change.clone())
            .collect()
    }

    /// Whether there is nothing to append.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether an edit is refused that may be about what others have appended and is not here yet.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        let mut outcomes = self.steps.iter().map(|step| &step.outcome);
        outcomes.any(|outcome| {
            matches!(
                outcome,
                Outcome::Rejected(Reject::RevisionAhead { .. } | Reject::ReservedClient { .. })
            )
        })
    }

    /// Whose each change is, in order.
    pub fn authors(&self) -> impl Iterator<Item = (SessionId, Revision)> {
        let changes = self.changes.iter();
        changes.filter_map(|entry| Some((entry.session?, entry.revision)))
    }

    /// What a session may do when its next command comes; `None` if it is not here.
    pub(crate) fn access(&self, sessions: &Sessions, id: SessionId) -> Option<Access> {
        let access = sessions.get(id)?.member.access;
        // What has been put off holds nevertheless.
        let later = self.access.get(&id).copied();
        later.unwrap_or(Some(access))
    }
}
