//! What a document tells its sessions.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use motet_crdt::DecodeError;
use motet_model::{ClientId, Revision};
use motet_ot::Delta;

use crate::{
    Access, AwarenessState, Changes, Presence, PresenceUpdate,
    content::{
        ContentError,
        text::{RichText, TextError},
    },
};

/// Something to send to one session.
#[derive(Clone, Debug)]
pub enum Event {
    /// The session has joined.
    Joined(Box<Joined>),
    /// Changes, in order, directly after what the session was last sent.
    ///
    /// `live` is false when more are to come than this: the session is behind, and once these are
    /// sent a [`Command::CatchUp`](crate::Command::CatchUp) asks for the next.
    Changes {
        /// The changes.
        changes: Changes,
        /// Whether later changes will be sent as they are committed.
        live: bool,
    },
    /// The changes after `after` are no longer in memory: send those up to `through` from the log,
    /// then ask to catch up from there.
    ReadLog {
        /// The revision that the session was last sent.
        after: Revision,
        /// A revision from which the document can go on.
        through: Revision,
    },
    /// What a session that speaks identities lacked, as an update.
    Missing {
        /// The update.
        update: Bytes,
        /// The revision that the session has then.
        through: Revision,
        /// What the document has at that revision, as a state vector, if the session has asked; otherwise
        /// it had fallen behind.
        asked: Option<Bytes>,
    },
    /// An update of the session is stored, as far as it was new.
    UpdateStored,
    /// A submission was merged by its identities.
    Reconciled {
        /// Its number.
        seq: u64,
        /// The revision that the session has then.
        revision: Revision,
        /// What leads from the submission, on its base, to `revision`.
        operation: Arc<Delta>,
    },
    /// A submission that was committed before, and sent once more; or one of a session that is here for one
    /// edit, and there was nothing to commit.
    Acknowledged {
        /// Its number.
        seq: u64,
        /// The revision that it was committed as, or on which it changes nothing.
        revision: Revision,
    },
    /// A submission, or with no `seq` another command, was refused and has changed nothing.
    Rejected {
        /// Its number.
        seq: Option<u64>,
        /// Why.
        reject: Reject,
    },
    /// Who came, moved and left.
    Presence(Arc<PresenceUpdate>),
    /// The session's rights are other ones now.
    AccessChanged(Access),
    /// The session is over; nothing more is sent to it.
    Closed(CloseReason),
}

/// A text that many sessions are sent.
#[derive(Debug)]
pub struct SharedText {
    /// The text.
    pub text: RichText,
    /// A place for the caller to keep its wire form, so that it is encoded once for all.
    pub wire: OnceLock<Bytes>,
}

/// The answer to a join.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The revision that the session starts from.
    pub revision: Revision,
    /// The text at `revision`; `None` when the client said that it has it, or speaks identities.
    pub content: Option<Arc<SharedText>>,
    /// The name under which the client numbers its submissions.
    pub client_id: ClientId,
    /// The latest number known of this client, 0 if none.
    pub last_seq: u64,
    /// What stands for the session in [changes](crate::Committed::number).
    pub number: u32,
    /// The session's colour.
    pub color: u8,
    /// What the session may do.
    pub access: Access,
    /// Who else is here; positions count in the document at the head. Empty for a client that is not
    /// there yet, whose catch-up ends with all of them.
    pub presence: Vec<Presence>,
    /// The same for a client that speaks identities.
    pub awareness: Vec<AwarenessState>,
}

/// Why a submission or another command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// The session may only read. Take the edit back.
    #[error("this session may not edit")]
    ReadOnly,
    /// The base, or the revision of a position, is later than the head. Read the document again.
    #[error("revision {revision} is ahead of the document's head, {head}")]
    RevisionAhead {
        /// The revision named.
        revision: Revision,
        /// The head.
        head: Revision,
    },
    /// Too much has been committed since the base for a delta of this size. Join anew from the revision
    /// of the document that the edit was made on, and send it at once: it is reconciled then.
    #[error("{changes} changes since revision {base} are too many for {operations} operations")]
    TooFarBehind {
        /// The base.
        base: Revision,
        /// How many changes follow it.
        changes: u64,
        /// How many operations the delta has.
        operations: usize,
    },
    /// The base is from before changes had identities, and too much has been committed since. Take the
    /// edit back.
    #[error("revision {base} is from before changes had identities")]
    NoIdentities {
        /// The base.
        base: Revision,
    },
    /// The submission was to be taken on the head only, and its base is an earlier revision. Read the
    /// document again.
    #[error("revision {base} is not the document's head, {head}")]
    Outdated {
        /// The base.
        base: Revision,
        /// The head.
        head: Revision,
    },
    /// The delta reaches past the end of the document. Take the edit back.
    #[error("position {position} is out of range: the document is {len_utf16} long")]
    OutOfRange {
        /// The first position needed that does not exist.
        position: usize,
        /// The document's length.
        len_utf16: usize,
    },
    /// The delta begins or ends inside a surrogate pair. Take the edit back.
    #[error("position {position} is inside a surrogate pair")]
    SplitSurrogate {
        /// Where.
        position: usize,
    },
    /// The number is 0, or stands for an earlier submission. Number submissions 1, 2, 3, …
    #[error("seq {seq} was used before; the last one was {last}")]
    SeqReused {
        /// The number.
        seq: u64,
        /// The latest number of this client.
        last: u64,
    },
    /// What was sent as an update is none.
    #[error("the update cannot be read: {error}")]
    InvalidUpdate {
        /// Why.
        error: DecodeError,
    },
    /// The update makes something under the client id of the edits by position.
    #[error("client {client} is the server's own")]
    ReservedClient {
        /// The client id.
        client: u64,
    },
    /// An awareness state is too large, or there are too many.
    #[error("the awareness has more than {max} {unit}")]
    AwarenessTooLarge {
        /// The most.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The document would become larger than it may be. Take the edit back.
    #[error("the document would have more than {max} {unit}")]
    DocumentTooLarge {
        /// The largest that a document may be.
        max: usize,
        /// What that counts.
        unit: &'static str,
    },
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The document has as many sessions as it may have.
    Full,
    /// Another connection joined under the same client id.
    Replaced,
    /// The user may no longer read the document.
    Forbidden,
    /// The client says that it has a revision which the document has not reached.
    RevisionAhead,
}

impl From<ContentError> for Reject {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::Text(TextError::OutOfRange {
                position,
                len_utf16,
            }) => Self::OutOfRange {
                position,
                len_utf16,
            },
            ContentError::Text(TextError::SplitSurrogate { position }) => {
                Self::SplitSurrogate { position }
            }
            ContentError::Text(TextError::TooLarge { bytes_max }) => Self::DocumentTooLarge {
                max: bytes_max,
                unit: "bytes",
            },
            ContentError::TooLarge { max, unit } => Self::DocumentTooLarge { max, unit },
            ContentError::Update(error) => Self::InvalidUpdate { error },
            ContentError::ReservedClient { client } => Self::ReservedClient { client },
        }
    }
}
