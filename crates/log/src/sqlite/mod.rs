//! The embedded store: one SQLite file, one writer, group commit.

mod reader;
mod schema;
mod writer;

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use bytes::Bytes;
use motet_model::{Change, Checkpoint, DocumentId, Revision};

use self::{
    reader::Readers,
    writer::{Request, Writer},
};
use crate::{
    Compact, Compacted, DocumentList, DocumentLog, Listed, LogError,
    codec::{self, Place},
    compaction::Merge,
};

/// A log in a SQLite file.
///
/// One thread writes. It takes every append that is waiting, of whatever document, into one
/// transaction: one fsync carries all that arrived while the last one ran. Reads run beside it on
/// connections of their own.
///
/// # Durability
///
/// SQLite's write-ahead log with `synchronous=FULL`: `Ok` means that the change has been through
/// fsync. It survives the end of the process at any moment, and a loss of power if the disk keeps its
/// promise. Of an append that was under way either all or nothing is there afterwards.
#[derive(Debug)]
pub struct SqliteLog {
    writer: Writer,
    readers: Readers,
    /// Held as long as the log is open for writing: one process, one writer.
    _lock: Option<File>,
}

impl SqliteLog {
    /// Opens the log in the file `path`, and makes it if it is not there. The folder must exist.
    ///
    /// # Errors
    ///
    /// `InUse`: another process has it open. `NewerFormat`. `Unavailable`: the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let lock = lock(&path.with_extension("lock"))?;
        let connection = schema::open(path)?;
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Readers::new(path),
            _lock: Some(lock),
        })
    }
}

impl SqliteLog {
    /// Overwrites what was deleted and is still somewhere in the log's files. It rewrites the log: appends
    /// wait meanwhile, and the disk needs room for a second and third copy.
    ///
    /// # Errors
    ///
    /// `Unavailable`: not done, try again; also while somebody reads for long.
    pub async fn scrub(&self) -> Result<(), LogError> {
        self.writer.ask(|reply| Request::Scrub { reply }).await
    }

    /// Opens the log in the file `path` only to read, and keeps everybody else from opening it to write
    /// meanwhile. The log is not changed; whatever would change it is refused.
    ///
    /// # Errors
    ///
    /// `InUse`: another process has it open. `NewerFormat`, `OlderFormat`. `Unavailable`: the file is not
    /// there, or cannot be used.
    pub fn open_alone_to_read(path: &Path) -> Result<Self, LogError> {
        if !path.is_file() {
            return Err(LogError::Unavailable {
                detail: format!("there is no file {}", path.display()),
            });
        }
        let lock = lock(&path.with_extension("lock"))?;
        schema::check(path)?;
        Ok(Self {
            _lock: Some(lock),
            ..Self::open_to_read(path)
        })
    }

    /// A log for reading, which another process may have open for writing: whatever would change it is
    /// refused.
    #[must_use]
    pub fn open_to_read(path: &Path) -> Self {
        Self {
            writer: Writer::none(),
            readers: Readers::new(path),
            _lock: None,
        }
    }
}

fn lock(path: &Path) -> Result<File, LogError> {
    let unavailable = |error: std::io::Error| LogError::Unavailable {
        detail: format!("{}: {error}", path.display()),
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse {
            path: path.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

impl DocumentLog for SqliteLog {
    async fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> Result<Revision, LogError> {
        if changes.is_empty() {
            let head = self.head(id).await?;
            return if head == base {
                Ok(head)
            } else {
                Err(LogError::Conflict { head })
            };
        }
        let last = base.plus(changes.len() as u64);
        let place = Place {
            id,
            first: base.next(),
            last,
        };
        // Encoded here, beside the writer, which does nothing that others could do.
        let record = codec::encode_append(place, changes).await?;
        self.writer
            .ask(|reply| Request::Append {
                place,
                record,
                reply,
            })
            .await
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        self.readers
            .run(move |connection| reader::head(connection, id))
            .await
    }

    async fn heads(&self, ids: &[DocumentId]) -> Result<Vec<(DocumentId, Revision)>, LogError> {
        let ids = ids.to_vec();
        self.readers
            .run(move |connection| reader::heads(connection, &ids))
            .await
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> Result<Vec<Change>, LogError> {
        self.readers
            .run(move |connection| reader::read(connection, id, after, bytes_max))
            .await
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        self.readers
            .run(move |connection| reader::checkpoint(connection, id, at_most))
            .await
    }

    async fn put_checkpoint(&self, id: DocumentId, checkpoint: Checkpoint) -> Result<(), LogError> {
        let Checkpoint { revision, state } = checkpoint;
        let size_bytes = state.len();
        let place = Place {
            id,
            first: revision,
            last: revision,
        };
        let encode = move || codec::encode_checkpoint(place, &state);
        let record = codec::work(size_bytes, encode).await?;
        self.writer
            .ask(|reply| Request::Checkpoint {
                place,
                record,
                reply,
            })
            .await
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        self.writer.ask(|reply| Request::Delete { id, reply }).await
    }
}

impl DocumentList for SqliteLog {
    async fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Listed>, LogError> {
        self.readers
            .run(move |connection| reader::documents(connection, after, limit))
            .await
    }
}

impl Compact for SqliteLog {
    async fn loose(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, LogError> {
        self.readers
            .run(move |connection| reader::loose(connection, after, limit))
            .await
    }

    async fn compact(&self, id: DocumentId) -> Result<Compacted, LogError> {
        // Read, unpacked and packed beside the writer.
        let step = self
            .readers
            .run(move |connection| reader::step(connection, id))
            .await?;
        let Some(step) = step else {
            return Ok(Compacted::default());
        };
        let saves = step.merge.as_ref().map(Merge::saves).unwrap_or_default();
        let (merge, through) = (step.merge, step.through);
        let done = self
            .writer
            .ask(|reply| Request::Compact {
                id,
                merge,
                through,
                reply,
            })
            .await?;
        Ok(if done {
            Compacted {
                more: step.more,
                ..saves
            }
        } else {
            Compacted::default()
        })
    }
}

/// A document as the table of documents has it.
#[derive(Clone, Copy, Debug)]
struct Document {
    number: i64,
    head: Revision,
    deleted: bool,
}

fn document(
    connection: &rusqlite::Connection,
    id: DocumentId,
) -> Result<Option<Document>, rusqlite::Error> {
    use rusqlite::OptionalExtension;
    connection
        .prepare_cached("SELECT number, head, deleted FROM documents WHERE id = ?1")?
        .query_row([id.to_bytes().as_slice()], |row| {
            Ok(Document {
                number: row.get(0)?,
                head: revision(row.get(1)?),
                deleted: row.get(2)?,
            })
        })
        .optional()
}

/// Revisions are stored as SQLite's signed integers.
fn revision(stored: i64) -> Revision {
    Revision::new(stored.try_into().unwrap_or(0))
}

fn stored(revision: Revision) -> i64 {
    revision.get().try_into().unwrap_or(i64::MAX)
}

/// Nothing was written.
fn unavailable(error: &rusqlite::Error) -> LogError {
    LogError::Unavailable {
        detail: error.to_string(),
    }
}

fn blob(row: &rusqlite::Row<'_>, index: usize) -> Result<Bytes, rusqlite::Error> {
    row.get::<_, Vec<u8>>(index).map(Bytes::from)
}
