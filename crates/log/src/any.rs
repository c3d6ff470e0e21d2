use motet_model::{Change, Checkpoint, DocumentId, Revision};

use crate::{
    Compact, Compacted, DocumentList, DocumentLog, Listed, LogError, PostgresLog, SqliteLog,
};

/// One of the stores that last, chosen at the start of the program.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a program, behind a reference"
)]
pub enum AnyLog {
    /// A file, of one process.
    Sqlite(SqliteLog),
    /// A database, of any number of processes.
    Postgres(PostgresLog),
}

/// Does the same with whichever it is.
macro_rules! either {
    ($any:expr, $log:ident => $act:expr) => {
        match $any {
            AnyLog::Sqlite($log) => $act,
            AnyLog::Postgres($log) => $act,
        }
    };
}

impl AnyLog {
    /// Removes what was deleted and is still in the store, as far as its kind of store allows:
    /// [`SqliteLog::scrub`], [`PostgresLog::scrub`].
    ///
    /// # Errors
    ///
    /// `Unavailable`: not done, try again.
    pub async fn scrub(&self) -> Result<(), LogError> {
        either!(self, log => log.scrub().await)
    }
}

impl From<SqliteLog> for AnyLog {
    fn from(log: SqliteLog) -> Self {
        Self::Sqlite(log)
    }
}

impl From<PostgresLog> for AnyLog {
    fn from(log: PostgresLog) -> Self {
        Self::Postgres(log)
    }
}

impl DocumentLog for AnyLog {
    async fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> Result<Revision, LogError> {
        either!(self, log => log.append(id, base, changes).await)
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        either!(self, log => log.head(id).await)
    }

    async fn heads(&self, ids: &[DocumentId]) -> Result<Vec<(DocumentId, Revision)>, LogError> {
        either!(self, log => log.heads(ids).await)
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> Result<Vec<Change>, LogError> {
        either!(self, log => log.read(id, after, bytes_max).await)
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        either!(self, log => log.checkpoint(id, at_most).await)
    }

    async fn put_checkpoint(&self, id: DocumentId, checkpoint: Checkpoint) -> Result<(), LogError> {
        either!(self, log => log.put_checkpoint(id, checkpoint).await)
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        either!(self, log => log.delete(id).await)
    }
}

impl DocumentList for AnyLog {
    async fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Listed>, LogError> {
        either!(self, log => log.documents(after, limit).await)
    }
}

impl Compact for AnyLog {
    async fn loose(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, LogError> {
        either!(self, log => log.loose(after, limit).await)
    }

    async fn compact(&self, id: DocumentId) -> Result<Compacted, LogError> {
        either!(self, log => log.compact(id).await)
    }
}
