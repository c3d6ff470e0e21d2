//! What sessions ask of a document.

use std::sync::Arc;

use motet_model::{ClientId, Revision, SessionId, UserId};

use crate::{Selection, Submission};

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
    /// What the account may do.
    pub access: Access,
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
        /// The revision of the state that the client has, if it wants to go on from there.
        from: Option<Revision>,
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
    /// A user's rights on this document are other ones now; `None`: they are gone.
    SetAccess {
        /// Whose.
        user: UserId,
        /// The rights from now on.
        access: Option<Access>,
    },
}
