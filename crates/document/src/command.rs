//! What sessions ask of a document.

use std::sync::Arc;

use bytes::Bytes;
use motet_crdt::StateVector;
use motet_model::{ClientId, Revision, SessionId, UserId};

use crate::{AwarenessState, Reconciliation, Selection, Submission};

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// See the document and who is in it.
    Read,
    /// Also change it.
    Write,
}

/// Who a session belongs to.
#[derive(Clone, Debug)]
pub struct Member {
    /// The account.
    pub user: UserId,
    /// The name that others see.
    pub name: Arc<str>,
    /// The colour that it likes.
    pub color: Option<u8>,
    /// What the account may do.
    pub access: Access,
}

/// Where a new session starts from, and with it what it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Positions, from the document's text.
    #[default]
    Text,
    /// Positions, from the text that the client has.
    Revision {
        /// The revision of that text.
        revision: Revision,
        /// The client has a submission on it, and sends that at once. It is sent nothing before, so that
        /// the submission can be [reconciled](crate::Reconciliation) if it must be.
        pending: bool,
    },
    /// Positions, for one submission on this revision, which makes no change if it changes nothing. The
    /// others are not shown the session.
    Once(Revision),
    /// Identities: updates, state vectors and awareness of Yjs.
    Identities,
}

/// Something that a session, or the server on its behalf, asks of the document.
#[derive(Debug)]
pub enum Command {
    /// A new session. Answered by [`Event::Joined`](crate::Event::Joined) or
    /// [`Event::Closed`](crate::Event::Closed).
    Join {
        /// The session's id, never used before.
        session: SessionId,
        /// Who joins.
        member: Member,
        /// The name under which the client numbers its submissions.
        client_id: ClientId,
        /// Where it starts from.
        start: Start,
    },
    /// The session is over.
    Leave {
        /// Whose.
        session: SessionId,
    },
    /// An edit.
    Submit {
        /// Whose.
        session: SessionId,
        /// The edit.
        submission: Submission,
    },
    /// A submission that was [reconciled](crate::Route::Reconcile).
    Reconcile {
        /// Whose.
        session: SessionId,
        /// What came of it.
        reconciliation: Box<Reconciliation>,
    },
    /// An edit by identities: a Yjs update v1. Answered by [`Event::UpdateStored`](crate::Event) or
    /// `Rejected`.
    Update {
        /// Whose.
        session: SessionId,
        /// The update, as it came.
        update: Bytes,
    },
    /// What the session has; answered by what it lacks.
    Sync {
        /// Whose.
        session: SessionId,
        /// What it has.
        state_vector: StateVector,
    },
    /// What the session says of itself, and repeats of others.
    Awareness {
        /// Whose.
        session: SessionId,
        /// The states.
        states: Vec<AwarenessState>,
    },
    /// Asks who is here.
    AskPresence {
        /// Whose.
        session: SessionId,
    },
    /// The session's queue has drained after it fell behind; it has been sent every change up to
    /// and including `after`.
    CatchUp {
        /// Whose.
        session: SessionId,
        /// The revision of the last change sent.
        after: Revision,
    },
    /// Shows, moves or (with `None`) removes the session's cursor.
    Select {
        /// Whose.
        session: SessionId,
        /// Where, in the document at `revision`.
        selection: Option<Selection>,
        /// The revision that the positions count in.
        revision: Revision,
    },
    /// Replaces the free-form part of the session's presence: a JSON object, or `None`.
    Describe {
        /// Whose.
        session: SessionId,
        /// JSON text of an object.
        data: Option<Arc<str>>,
    },
    /// A sign of life.
    Heard {
        /// Whose.
        session: SessionId,
    },
    /// A session's rights on this document are other ones now; `None`: they are gone.
    SetAccess {
        /// Whose.
        session: SessionId,
        /// The rights from now on.
        access: Option<Access>,
    },
}

impl Command {
    /// Whose it is.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::Join { session, .. }
            | Self::Leave { session }
            | Self::Submit { session, .. }
            | Self::Reconcile { session, .. }
            | Self::Update { session, .. }
            | Self::Sync { session, .. }
            | Self::Awareness { session, .. }
            | Self::AskPresence { session }
            | Self::CatchUp { session, .. }
            | Self::Select { session, .. }
            | Self::Describe { session, .. }
            | Self::Heard { session }
            | Self::SetAccess { session, .. } => *session,
        }
    }

    /// Whether it may change the document.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        matches!(
            self,
            Self::Submit { .. } | Self::Reconcile { .. } | Self::Update { .. }
        )
    }

    /// The revision that it says the document has, if it does.
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Join {
                start: Start::Revision { revision, .. } | Start::Once(revision),
                ..
            }
            | Self::Select { revision, .. } => Some(*revision),
            Self::Submit { submission, .. } => Some(submission.base()),
            _ => None,
        }
    }
}
