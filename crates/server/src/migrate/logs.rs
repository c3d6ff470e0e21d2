//! The log of documents: some documents at a time, each a page at a time.
//!
//! # Invariants
//!
//! - **prefix**: what the target has of a document is the beginning of what the source has, from
//!   before the first append until the last.

use anyhow::Context;
use futures_util::{Stream, TryStreamExt, stream};
use motet_log::{AnyLog, DocumentList, DocumentLog, Listed, LogError};
use motet_model::{Change, DocumentId, Revision};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::progress::{Phase, Progress};

/// Bytes of changes that are read and appended at a time. Whoever reads one change of an append
/// later reads all of it.
const PAGE_BYTES: usize = 256 << 10;
/// Documents that are listed at a time.
const DOCUMENTS: u32 = 500;
/// Documents that are copied at once, so that a commit carries changes of several.
const AT_ONCE: usize = 8;
/// Checkpoints that are held at once; each is as large as its document.
const CHECKPOINTS_AT_ONCE: usize = 2;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that are not deleted.
    pub(crate) documents: u64,
    pub(crate) deleted: u64,
    pub(crate) changes: u64,
    /// Of changes.
    pub(crate) bytes: u64,
}

/// Two logs, the second of which becomes what the first is.
pub(super) struct Logs<'p> {
    source: AnyLog,
    target: AnyLog,
    progress: &'p Progress,
    checkpoints: Semaphore,
}

impl<'p> Logs<'p> {
    pub(super) fn new(source: AnyLog, target: AnyLog, progress: &'p Progress) -> Self {
        Self {
            source,
            target,
            progress,
            checkpoints: Semaphore::new(CHECKPOINTS_AT_ONCE),
        }
    }

    /// Copies what the target has not yet.
    pub(super) async fn copy(&self) -> anyhow::Result<Counts> {
        let there = count(&self.target).await?;
        let there = there.documents + there.deleted;
        self.progress.begin(Phase::Looking, there);
        listed(&self.target)
            .try_for_each_concurrent(AT_ONCE, async |it| self.check_prefix(it).await)
            .await?;
        let counts = count(&self.source).await?;
        self.progress
            .begin(Phase::Copying, counts.documents + counts.deleted);
        listed(&self.source)
            .try_for_each_concurrent(AT_ONCE, async |it| {
                let copied = self.copy_document(it, there == 0).await;
                copied.with_context(|| {
                    format!(
                        "document {} could not be copied; run it again to go on from there",
                        it.id
                    )
                })
            })
            .await?;
        Ok(counts)
    }

    /// **prefix**, before anything is changed.
    async fn check_prefix(&self, Listed { id, head, deleted }: Listed) -> anyhow::Result<()> {
        let same = match self.source.head(id).await {
            Err(LogError::Deleted { .. }) => deleted,
            there => !deleted && there? >= head && self.digests(id, head).await?,
        };
        anyhow::ensure!(
            same,
            "the target has a document {id} that is not the beginning of the source's: begin with \
             a fresh target"
        );
        self.progress.document();
        Ok(())
    }

    /// Whether a document is the same on both sides up to a revision.
    async fn digests(&self, id: DocumentId, up_to: Revision) -> anyhow::Result<bool> {
        let (source, target) = tokio::try_join!(
            digest(&self.source, id, up_to),
            digest(&self.target, id, up_to)
        )?;
        self.progress.bytes(source.bytes);
        Ok(source == target && source.changes == up_to.get())
    }

    async fn copy_document(&self, listed: Listed, fresh: bool) -> anyhow::Result<()> {
        let Listed { id, head, deleted } = listed;
        if deleted {
            // Its id is never used again there either.
            self.target.delete(id).await?;
        } else {
            let mut at = match fresh {
                true => Revision::ZERO,
                false => self.target.head(id).await?,
            };
            while at < head {
                let page = self.source.read(id, at, PAGE_BYTES).await?;
                self.progress.bytes(page.iter().map(size_bytes).sum());
                at = self.target.append(id, at, page).await?;
            }
            self.copy_checkpoints(id, head, fresh).await?;
        }
        self.progress.document();
        Ok(())
    }

    /// The newest first: without the others, old states of the document take longer to make.
    async fn copy_checkpoints(
        &self,
        id: DocumentId,
        head: Revision,
        fresh: bool,
    ) -> anyhow::Result<()> {
        let _permit = self.checkpoints.acquire().await?;
        let mut at_most = head;
        while let Some(checkpoint) = self.source.checkpoint(id, at_most).await? {
            let revision = checkpoint.revision;
            let there = match fresh {
                true => None,
                false => self.target.checkpoint(id, revision).await?,
            };
            if there.is_none_or(|there| there.revision != revision) {
                self.target.put_checkpoint(id, checkpoint).await?;
            }
            match revision.get().checked_sub(1) {
                Some(before) => at_most = Revision::new(before),
                None => break,
            }
        }
        Ok(())
    }

    /// **the same**: every document with every change, and the newest checkpoint of each. Adds to
    /// the counts how many bytes there are.
    pub(super) async fn compare(&self, counts: Counts) -> anyhow::Result<Counts> {
        let documents = counts.documents + counts.deleted;
        self.progress.begin(Phase::Comparing, documents);
        let mut after = None;
        loop {
            let source = self.source.documents(after, DOCUMENTS).await?;
            let target = self.target.documents(after, DOCUMENTS).await?;
            anyhow::ensure!(
                source == target,
                "the two logs do not have the same documents, or some went on meanwhile"
            );
            let Some(last) = source.last() else {
                let bytes = self.progress.bytes_done();
                return Ok(Counts { bytes, ..counts });
            };
            after = Some(last.id);
            stream::iter(source.into_iter().map(anyhow::Ok))
                .try_for_each_concurrent(AT_ONCE, async |it| {
                    let same = it.deleted || self.is_same(it.id, it.head).await?;
                    anyhow::ensure!(same, "document {} is not the same on both sides", it.id);
                    self.progress.document();
                    Ok(())
                })
                .await?;
        }
    }

    async fn is_same(&self, id: DocumentId, head: Revision) -> anyhow::Result<bool> {
        if !self.digests(id, head).await? {
            return Ok(false);
        }
        let _permit = self.checkpoints.acquire().await?;
        let source = self.source.checkpoint(id, head).await?;
        Ok(source.is_none() || source == self.target.checkpoint(id, head).await?)
    }
}

/// All documents of a log.
fn listed(log: &AnyLog) -> impl Stream<Item = anyhow::Result<Listed>> {
    let pages = stream::try_unfold(None, async |after| {
        let page = log.documents(after, DOCUMENTS).await?;
        let last = page.last().map(|it| Some(it.id));
        Ok::<_, anyhow::Error>(last.map(|after| (stream::iter(page.into_iter().map(Ok)), after)))
    });
    pages.try_flatten()
}

/// How much there is, without the bytes.
async fn count(log: &AnyLog) -> anyhow::Result<Counts> {
    let counted = listed(log).try_fold(Counts::default(), async |mut counts, it| {
        match it.deleted {
            true => counts.deleted += 1,
            false => counts.documents += 1,
        }
        counts.changes += it.head.get();
        Ok(counts)
    });
    counted.await
}

/// What changes add up to.
#[derive(PartialEq)]
struct Digest {
    changes: u64,
    bytes: u64,
    sha: [u8; 32],
}

async fn digest(log: &AnyLog, id: DocumentId, up_to: Revision) -> Result<Digest, LogError> {
    let mut sha = Sha256::new();
    let (mut at, mut bytes) = (Revision::ZERO, 0);
    while at < up_to {
        let page = log.read(id, at, PAGE_BYTES).await?;
        if page.is_empty() {
            break;
        }
        for change in page {
            if at < up_to {
                at = at.next();
                bytes += size_bytes(&change);
                add(&mut sha, &change);
            }
        }
    }
    Ok(Digest {
        changes: at.get(),
        bytes,
        sha: sha.finalize().into(),
    })
}

/// Each part with its length before it, so that no two changes add up to the same.
fn add(sha: &mut Sha256, change: &Change) {
    // Whoever adds a field must say it here.
    let Change {
        author,
        client_id,
        seq,
        merged,
        time_ms,
        delta,
        update,
    } = change;
    sha.update(author.to_bytes());
    sha.update(seq.to_be_bytes());
    sha.update(time_ms.to_be_bytes());
    sha.update([u8::from(*merged)]);
    for bytes in [client_id.as_str().as_bytes(), delta, update] {
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
    }
}

fn size_bytes(change: &Change) -> u64 {
    (change.delta.len() + change.update.len()) as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use motet_log::SqliteLog;
    use motet_model::{Checkpoint, UserId};
    use tempfile::TempDir;

    use super::*;

    const ID: DocumentId = DocumentId::from_bytes([1; 16]);

    fn open(folder: &TempDir, name: &str) -> AnyLog {
        let path = folder.path().join(name).with_extension("db");
        SqliteLog::open(&path).unwrap().into()
    }

    fn change(seq: u64) -> Change {
        Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "client".parse().unwrap(),
            seq,
            merged: false,
            time_ms: seq,
            delta: Bytes::from(seq.to_string()),
            update: Bytes::new(),
        }
    }

    async fn write(log: &AnyLog, after: u64, seqs: &[u64]) {
        let changes = seqs.iter().copied().map(change).collect();
        let appended = log.append(ID, Revision::new(after), changes).await;
        appended.unwrap();
    }

    async fn put(log: &AnyLog, revision: u64, state: &'static str) {
        let checkpoint = Checkpoint {
            revision: Revision::new(revision),
            state: state.into(),
        };
        log.put_checkpoint(ID, checkpoint).await.unwrap();
    }

    #[tokio::test]
    async fn prefix() {
        let folder = TempDir::new().unwrap();
        let progress = Progress::default();
        let source = open(&folder, "source");
        write(&source, 0, &[1, 2, 3]).await;
        put(&source, 3, "state").await;
        let mut logs = Logs::new(source, open(&folder, "none"), &progress);
        for (name, there, good) in [
            ("nothing", [].as_slice(), true),
            ("beginning", &[1, 2], true),
            ("all", &[1, 2, 3], true),
            ("more", &[1, 2, 3, 4], false),
            ("other", &[1, 9], false),
            ("deleted", &[1], false),
        ] {
            logs.target = open(&folder, name);
            if !there.is_empty() {
                write(&logs.target, 0, there).await;
            }
            if name == "deleted" {
                logs.target.delete(ID).await.unwrap();
            }
            let before = logs.target.documents(None, 10).await.unwrap();
            let copied = logs.copy().await;
            assert_eq!(copied.is_ok(), good, "{name}: {copied:?}");
            if good {
                let counts = logs.compare(copied.unwrap()).await.unwrap();
                assert_eq!((counts.documents, counts.changes, counts.bytes), (1, 3, 3));
            } else {
                let after = logs.target.documents(None, 10).await.unwrap();
                assert_eq!(after, before, "{name}: nothing is changed");
            }
        }
        logs.source.delete(ID).await.unwrap();
        logs.target = open(&folder, "gone");
        write(&logs.target, 0, &[1]).await;
        logs.copy().await.unwrap_err();
        logs.target = open(&folder, "fresh");
        logs.copy().await.unwrap();
        assert!(logs.target.documents(None, 10).await.unwrap()[0].deleted);
    }

    #[tokio::test]
    async fn the_same() {
        let folder = TempDir::new().unwrap();
        let progress = Progress::default();
        let source = open(&folder, "source");
        write(&source, 0, &[1, 2, 3]).await;
        put(&source, 3, "state").await;
        let mut logs = Logs::new(source, open(&folder, "none"), &progress);
        for (name, there, state) in [
            ("shorter", [1, 2].as_slice(), None),
            ("other", &[1, 9, 3], Some("state")),
            ("without a checkpoint", &[1, 2, 3], None),
            ("with another checkpoint", &[1, 2, 3], Some("other")),
        ] {
            logs.target = open(&folder, name);
            write(&logs.target, 0, there).await;
            if let Some(state) = state {
                put(&logs.target, 3, state).await;
            }
            let compared = logs.compare(Counts::default()).await;
            assert!(compared.is_err(), "{name}");
        }
        put(&logs.target, 3, "state").await;
        logs.compare(Counts::default()).await.unwrap();
    }
}
