//! What is yet to be told outside.

use motet_model::{DocumentId, Revision};

use crate::{AnyLog, DocumentLog, LogError};

/// How many parts an outbox has. Each can be told by somebody else.
pub const OUTBOX_SHARDS: u8 = 16;

/// What leaves a row in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Every append.
    pub changes: bool,
    /// Every new checkpoint.
    pub checkpoints: bool,
}

/// What a row of the outbox tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutboxKind {
    /// Changes were appended.
    Changes,
    /// A checkpoint was made.
    Checkpoint,
}

/// A row of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number, by which it is removed.
    pub seq: u64,
    /// The document.
    pub id: DocumentId,
    /// What happened.
    pub kind: OutboxKind,
    /// The first of the changes; of a checkpoint, its revision.
    pub first: Revision,
    /// The last of them; of a checkpoint, its revision.
    pub last: Revision,
    /// When the row was stored by the store's clock, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// A log that notes what is to be told outside, in the transaction of the append itself.
///
/// # Invariants
///
/// - **with the append**: a row is there if and only if what it tells of is, as long as the document is.
/// - **in turn**: of one document, whoever sees a row sees all before it that were not removed. So who tells what
///   was read in its order, and removes it only then, never tells a later change before an earlier one for the
///   first time, however many do so at once.
pub trait Outbox: DocumentLog {
    /// The part that a document's rows are in.
    #[must_use]
    fn shard(id: DocumentId) -> u8 {
        // The last bytes of an id are random.
        let [.., last] = id.to_bytes();
        last % OUTBOX_SHARDS
    }

    /// The first rows of a shard, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    fn outbox(
        &self,
        shard: u8,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, LogError>> + Send;

    /// The shards that have rows.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    fn waiting(&self) -> impl Future<Output = Result<Vec<u8>, LogError>> + Send;

    /// Removes rows of a shard, which were told. Of rows that are gone nothing is said.
    ///
    /// # Errors
    ///
    /// `Unknown`, `Unavailable`: they may be there still.
    fn remove_told(
        &self,
        shard: u8,
        seqs: &[u64],
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Waits until something was left in the shard by this process, since it was asked last.
    fn left(&self, shard: u8) -> impl Future<Output = ()> + Send;
}

impl<L: Outbox> Outbox for std::sync::Arc<L> {
    fn outbox(
        &self,
        shard: u8,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, LogError>> + Send {
        (**self).outbox(shard, limit)
    }

    fn waiting(&self) -> impl Future<Output = Result<Vec<u8>, LogError>> + Send {
        (**self).waiting()
    }

    fn remove_told(
        &self,
        shard: u8,
        seqs: &[u64],
    ) -> impl Future<Output = Result<(), LogError>> + Send {
        (**self).remove_told(shard, seqs)
    }

    fn left(&self, shard: u8) -> impl Future<Output = ()> + Send {
        (**self).left(shard)
    }
}

/// One file has no outbox: nothing is ever in it.
impl Outbox for AnyLog {
    async fn outbox(&self, shard: u8, limit: u32) -> Result<Vec<OutboxRow>, LogError> {
        match self {
            Self::Sqlite(_) => Ok(Vec::new()),
            Self::Postgres(log) => log.outbox(shard, limit).await,
        }
    }

    async fn waiting(&self) -> Result<Vec<u8>, LogError> {
        match self {
            Self::Sqlite(_) => Ok(Vec::new()),
            Self::Postgres(log) => log.waiting().await,
        }
    }

    async fn remove_told(&self, shard: u8, seqs: &[u64]) -> Result<(), LogError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(log) => log.remove_told(shard, seqs).await,
        }
    }

    async fn left(&self, shard: u8) {
        match self {
            Self::Sqlite(_) => std::future::pending().await,
            Self::Postgres(log) => log.left(shard).await,
        }
    }
}
