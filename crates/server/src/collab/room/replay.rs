//! A document from the log: as it is, as it was, and what becomes of an edit that was made then.

use motet_document::{Document, Reconciliation, Settings, Snapshot, Submission};
use motet_log::{DocumentLog, LogError};
use motet_model::{Change, ClientId, DocumentId, Revision, UserId, limits};

use super::{RoomError, Shared};
use crate::entropy;

/// Work that walks over more operations than this, some ms, leaves the async threads.
const STEPS_INLINE_MAX: u64 = 100_000;

/// About what replaying a change costs, in such operations.
pub(super) const STEPS_PER_REPLAY: u64 = 20;

/// Later than any revision.
pub(super) const HEAD: Revision = Revision::new(u64::MAX >> 1);

/// The document from its latest checkpoint and the log after it; and the checkpoint's revision.
pub(in crate::collab) async fn open<L: DocumentLog>(
    id: DocumentId,
    log: &L,
    settings: &Settings,
    at: Revision,
) -> Result<(Document, Revision), RoomError> {
    let checkpoint = log.checkpoint(id, at).await?;
    let mut document = Document::open(id, checkpoint.as_ref(), settings.clone())?;
    while document.head() < at {
        let head = document.head();
        let mut changes = log.read(id, head, limits::WINDOW_BYTES_MAX).await?;
        if changes.is_empty() {
            break;
        }
        changes.truncate(usize::try_from(at.since(head)).unwrap_or(usize::MAX));
        let work = changes.len() as u64 * STEPS_PER_REPLAY;
        off_async_threads(work, || document.replay(changes))?;
    }
    let checkpoint = checkpoint.map_or(Revision::ZERO, |it| it.revision);
    Ok((document, checkpoint))
}

/// The text at the head, from the log alone.
pub(crate) async fn read<L: DocumentLog>(
    id: DocumentId,
    log: &L,
    settings: &Settings,
) -> Result<Snapshot, RoomError> {
    let (document, _) = open(id, log, settings, HEAD).await?;
    Ok(document.snapshot())
}

/// Rebuilds the document at a submission's base and makes the submission there; or finds that it was
/// committed before.
pub(super) async fn reconcile<L: DocumentLog>(
    id: DocumentId,
    shared: &Shared<L>,
    (author, client_id): (UserId, ClientId),
    submission: Submission,
) -> Result<Reconciliation, RoomError> {
    // Nobody closes it.
    let _permit = shared.reconciling.acquire().await;
    let mut after = submission.base();
    let committed = loop {
        let changes = shared.log.read(id, after, limits::WINDOW_BYTES_MAX).await?;
        if changes.is_empty() {
            break None;
        }
        let count = changes.len() as u64;
        let is_it = |change: &Change| submission.is(author, &client_id, change);
        if let Some(at) = changes.iter().position(is_it) {
            break Some((after.plus(at as u64 + 1), changes[at].clone()));
        }
        after = after.plus(count);
    };
    match committed {
        None => {
            // Of 53 bits, as JavaScript counts.
            let client = u64::from_be_bytes(entropy::bytes()) >> 11;
            let base = open_at(id, shared, submission.base()).await?;
            Ok(off_async_threads(u64::MAX, || {
                Reconciliation::new(base, submission, client)
            }))
        }
        Some((_, change)) if !change.merged => Ok(Reconciliation::moved(submission)),
        Some((revision, change)) => {
            let base = open_at(id, shared, submission.base()).await?;
            let committed = open_at(id, shared, revision).await?;
            Ok(off_async_threads(u64::MAX, || {
                Reconciliation::merged(base, committed, submission, &change)
            })?)
        }
    }
}

/// The document as it was at a revision.
async fn open_at<L: DocumentLog>(
    id: DocumentId,
    shared: &Shared<L>,
    at: Revision,
) -> Result<Document, RoomError> {
    let (document, _) = open(id, &shared.log, &shared.settings, at).await?;
    if document.head() < at {
        // The log has become shorter: somebody has deleted it.
        return Err(LogError::Deleted { id }.into());
    }
    Ok(document)
}

/// Does work of about this many steps: other documents must not wait for a large one.
pub(super) fn off_async_threads<T>(steps: u64, work: impl FnOnce() -> T) -> T {
    if steps > STEPS_INLINE_MAX {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}
