//! A submission that is too old for positions, merged by identities.
//!
//! Moving a delta to the head costs its operations times the changes since its base. Where that is too
//! much, the document is rebuilt at the base from the log, the delta is made there as its author saw it,
//! and what that is as an update merges into the head in a time that does not depend on what came between.
//!
//! The update need not do what moving the delta would have done, so its author cannot work out for itself
//! what became of it: it is told, also when it asks again because the answer was lost.

use std::sync::Arc;

use bytes::Bytes;
use motet_crdt::{Client, Version, clients_of_update};
use motet_model::{Change, Revision};
use motet_ot::Delta;

use crate::{
    Document, OpenError, Reject, Submission,
    content::{Content, ContentError, text::TextError},
};

/// What came of a submission at its base.
#[derive(Debug)]
pub struct Reconciliation {
    pub(crate) base: Revision,
    pub(crate) seq: u64,
    pub(crate) result: ReconciliationResult,
}

#[derive(Debug)]
pub(crate) enum ReconciliationResult {
    /// The content at the base with the submission, and the update that this was.
    Made(Box<Content>, Bytes),
    /// It was committed before by its position.
    Moved,
    /// It was committed before as this revision, to which this leads from it.
    Merged(Revision, Arc<Delta>),
    Rejected(Reject),
}

impl Reconciliation {
    /// Makes the submission on `base`, the document as it was at the submission's base, under a client that
    /// nobody can guess: whoever makes something under it first would make it in the submission's place.
    /// O(the base and the submission).
    ///
    /// # Panics
    ///
    /// When `base` is at another revision, or the submission has no number.
    #[must_use]
    pub fn new(base: Document, submission: Submission, client: Client) -> Self {
        Self::of(submission, |submission| {
            let content = content(base, submission.base())?;
            let (content, update) = make(content, submission, client)?;
            Ok(ReconciliationResult::Made(Box::new(content), update))
        })
    }

    /// The submission was committed before, by its position.
    ///
    /// # Panics
    ///
    /// When the submission has no number.
    #[must_use]
    pub fn moved(submission: Submission) -> Self {
        Self::of(submission, |_| Ok(ReconciliationResult::Moved))
    }

    /// The submission was committed before, as the last change of `committed`, and that was a
    /// reconciliation. O(both documents and the submission).
    ///
    /// # Errors
    ///
    /// `Corrupt`: the change is not what the submission makes.
    ///
    /// # Panics
    ///
    /// When `base` is at another revision, or the submission has no number.
    pub fn merged(
        base: Document,
        committed: Document,
        submission: Submission,
        change: &Change,
    ) -> Result<Self, OpenError> {
        let revision = committed.head();
        let client = client_of_change(change);
        let this = Self::of(submission, |submission| {
            let content = content(base, submission.base())?;
            // The same client makes the same identities of it.
            let (mut made, _) = make(content, submission, client)?;
            let operation = made.lead_to(committed.content())?;
            Ok(ReconciliationResult::Merged(revision, Arc::new(operation)))
        });
        match this.result {
            ReconciliationResult::Rejected(reject) => Err(OpenError::Corrupt {
                revision,
                detail: format!("the change is not what its submission makes: {reject}"),
            }),
            _ => Ok(this),
        }
    }

    fn of(
        submission: Submission,
        make: impl FnOnce(Submission) -> Result<ReconciliationResult, Reject>,
    ) -> Self {
        Self {
            base: submission.base(),
            seq: submission.seq().expect("only clients that count reconcile"),
            result: make(submission).unwrap_or_else(ReconciliationResult::Rejected),
        }
    }
}

/// The client under which a change was merged; another one does the same if it made nothing.
fn client_of_change(change: &Change) -> Client {
    let made = clients_of_update(&change.update, Version::V1).unwrap_or_default();
    made.last().map_or(0, |(client, _)| *client)
}

fn content(base: Document, at: Revision) -> Result<Content, Reject> {
    assert_eq!(base.head(), at, "the base is rebuilt");
    // Identities that were not stored might be others at the head.
    base.into_content().ok_or(Reject::NoIdentities { base: at })
}

fn make(
    mut content: Content,
    submission: Submission,
    client: Client,
) -> Result<(Content, Bytes), Reject> {
    let len_utf16 = content.text().len_utf16();
    let position = submission.extent_utf16();
    if position > len_utf16 {
        let error = TextError::OutOfRange {
            position,
            len_utf16,
        };
        return Err(ContentError::Text(error).into());
    }
    let delta = submission.into_delta();
    let update = content.edit_as(&delta, client)?;
    Ok((content, update))
}
