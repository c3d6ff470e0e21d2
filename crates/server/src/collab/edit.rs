//! One edit without a connection: a session that joins, submits, and leaves.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use motet_document::{Command, Event, Reject, Start, Submission};
use motet_log::DocumentLog;
use motet_model::{Change, DocumentId, Revision, UserId, limits};
use motet_ot::{Decoded, Delta, Operation, Side};
use motet_protocol::ErrorCode;
use tokio::{sync::Notify, time::timeout};

use super::{
    Collab, Joining,
    outbox::End,
    session::{Positions, Session, Speech},
};
use crate::auth::Principal;

/// How long an edit may take. The one that takes longer may still be stored.
const EDIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Most overlapping changes that are told, the latest.
const OVERLAPPING_MAX: usize = 100;

/// An edit that was made.
#[derive(Clone, Debug)]
pub struct Edited {
    /// The change that it became; or, of one that changes nothing, the revision on which that is so.
    pub revision: Revision,
    /// Whether it became one.
    pub is_stored: bool,
    /// Changes that others made since its base at the places that it touches, the earliest first.
    pub overlapping: Vec<Overlapping>,
}

/// A change of somebody else at the same place.
#[derive(Clone, Debug)]
pub struct Overlapping {
    /// The change.
    pub revision: Revision,
    /// Who made it.
    pub author: UserId,
    /// What it did, as JSON.
    pub delta: Bytes,
}

/// Why an edit was not made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The document refused it.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// The document cannot be joined, with a code of the protocol.
    #[error("{0}")]
    Refused(ErrorCode),
    /// It is not known whether it was made: look before it is made again.
    #[error("the edit took too long")]
    Unknown,
}

impl Collab {
    /// Makes an edit on the document at `base`, as the principal. `strict`: only if that is the head.
    ///
    /// # Errors
    ///
    /// As [`EditError`] says.
    pub async fn edit(
        &self,
        principal: &Arc<Principal>,
        id: DocumentId,
        base: Revision,
        operation: Decoded,
        strict: bool,
    ) -> Result<Edited, EditError> {
        let wake = Arc::new(Notify::new());
        let (start, speech) = (Start::Once(base), Speech::Ot(Positions::default()));
        let joining = Joining {
            principal,
            address: &Arc::from(""),
            document: id,
            client_id: None,
            start,
            speech,
            writer: Arc::clone(&wake),
            noted: false,
            gone: None,
            as_of: None,
        };
        let session = self.join(joining).await.map_err(EditError::Refused)?;
        let mut follower = Follower {
            collab: self,
            session: &session,
            touched: operation.delta.clone(),
            overlapping: Vec::new(),
            seen: base,
            idle_on: None,
        };
        let mut submission = Submission::new(base, 1, operation);
        if strict {
            submission = submission.only_on_head();
        }
        let submit = Command::Submit {
            session: session.id,
            submission,
        };
        session.tell(submit).await;
        let following = async {
            loop {
                wake.notified().await;
                if let Some(revision) = follower.take().await? {
                    return Ok(revision);
                }
            }
        };
        let revision = timeout(EDIT_TIMEOUT, following)
            .await
            .unwrap_or(Err(EditError::Unknown))?;
        Ok(Edited {
            revision,
            is_stored: follower.idle_on.is_none(),
            overlapping: follower.overlapping,
        })
    }
}

/// Looks through what a session is sent for what became of its edit.
struct Follower<'c> {
    collab: &'c Collab,
    session: &'c Session,
    /// The edit where it stands now.
    touched: Delta,
    overlapping: Vec<Overlapping>,
    /// Up to where changes were looked through.
    seen: Revision,
    /// The revision on which the edit changes nothing.
    idle_on: Option<Revision>,
}

impl Follower<'_> {
    /// Takes all that waits. Returns the revision once the edit is stored, or there is nothing to store and
    /// all changes before are looked through.
    async fn take(&mut self) -> Result<Option<Revision>, EditError> {
        let taken = self.session.outbox.take();
        for event in taken.events {
            match event {
                Event::Changes { changes, live } => {
                    for entry in changes.iter() {
                        if self.is_own(&entry.change) {
                            return Ok(Some(entry.revision));
                        }
                        self.pass(entry.revision, &entry.change, &entry.delta);
                    }
                    let last = changes.last().map(|entry| entry.revision);
                    if let Some(after) = last.filter(|_| !live) {
                        self.catch_up(after).await;
                    }
                }
                Event::ReadLog { after, through } => {
                    if let Some(revision) = self.read_log(after, through).await? {
                        return Ok(Some(revision));
                    }
                    self.catch_up(through).await;
                }
                Event::Reconciled { revision, .. } => return Ok(Some(revision)),
                Event::Acknowledged { revision, .. } => self.idle_on = Some(revision),
                Event::Rejected { reject, .. } => return Err(reject.into()),
                _ => {}
            }
        }
        if let Some(revision) = self.idle_on.filter(|revision| self.seen >= *revision) {
            return Ok(Some(revision));
        }
        match taken.end {
            Some(End::Closed(code)) => Err(EditError::Refused(code)),
            Some(End::Left | End::Unread) => Err(EditError::Unknown),
            None => Ok(None),
        }
    }

    async fn read_log(
        &mut self,
        mut after: Revision,
        through: Revision,
    ) -> Result<Option<Revision>, EditError> {
        let log = Arc::clone(&self.collab.registry.shared().log);
        while after < through {
            let read = log.read(self.session.document, after, limits::CATCH_UP_BYTES_MAX);
            let changes = read.await.unwrap_or_default();
            if changes.is_empty() {
                return Err(EditError::Unknown);
            }
            for change in changes {
                after = after.next();
                if self.is_own(&change) {
                    return Ok(Some(after));
                }
                if let Ok(decoded) = motet_ot::decode(&change.delta) {
                    self.pass(after, &change, &decoded.delta);
                }
            }
        }
        Ok(None)
    }

    async fn catch_up(&self, after: Revision) {
        let command = Command::CatchUp {
            session: self.session.id,
            after,
        };
        self.session.tell(command).await;
    }

    fn is_own(&self, change: &Change) -> bool {
        change.client_id == self.session.client_id && change.author == self.session.user
    }

    fn pass(&mut self, revision: Revision, change: &Change, delta: &Delta) {
        self.seen = revision;
        if overlap(&places(delta), &places(&self.touched)) {
            if self.overlapping.len() == OVERLAPPING_MAX {
                self.overlapping.remove(0);
            }
            self.overlapping.push(Overlapping {
                revision,
                author: change.author,
                delta: change.delta.clone(),
            });
        }
        self.touched = delta.transform(&self.touched, Side::Left);
    }
}

/// The stretches of a document that a delta changes; an insertion is one without length.
fn places(delta: &Delta) -> Vec<Range<usize>> {
    let (mut places, mut at) = (Vec::new(), 0);
    for operation in delta.ops() {
        match operation {
            Operation::Insert { .. } => places.push(at..at),
            Operation::Retain {
                len_utf16,
                attributes,
            } => {
                if !attributes.is_empty() {
                    places.push(at..at + len_utf16);
                }
                at += len_utf16;
            }
            Operation::Delete { len_utf16 } => {
                places.push(at..at + len_utf16);
                at += len_utf16;
            }
        }
    }
    places
}

/// Whether two changes of a document meet. Both lists are in order, so one pass finds out.
fn overlap(a: &[Range<usize>], b: &[Range<usize>]) -> bool {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let meet = if a.is_empty() || b.is_empty() {
            a.start <= b.end && b.start <= a.end
        } else {
            a.start < b.end && b.start < a.end
        };
        if meet {
            return true;
        }
        if a.end <= b.end {
            left.next();
        } else {
            right.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_meet_where_they_touch_the_same() {
        let insert = |at| Delta::new().retain(at).insert("x");
        let delete = |at, len| Delta::new().retain(at).delete(len);
        let meet = |a: &Delta, b: &Delta| overlap(&places(a), &places(b));
        assert!(meet(&insert(3), &insert(3)));
        assert!(!meet(&insert(3), &insert(4)));
        assert!(meet(&insert(3), &delete(2, 3)));
        assert!(meet(&delete(2, 3), &delete(4, 1)));
        assert!(!meet(&delete(2, 2), &delete(4, 1)), "side by side");
        let both = Delta::new().insert("a").retain(9).insert("b");
        assert!(meet(&both, &insert(9)));
        assert!(!meet(&both, &insert(5)));
    }
}
