//! The store of several nodes: a PostgreSQL database.

mod compaction;
mod failure;
mod lanes;
mod outbox;
mod pool;
mod schema;

use std::time::Duration;

use bytes::Bytes;
use motet_model::{Change, Checkpoint, DocumentId, Revision};
use sqlx::{
    Row,
    postgres::{PgConnectOptions, PgRow},
};
use uuid::Uuid;

use self::{failure::Failure, lanes::Lanes, outbox::Left, pool::Pool};
use crate::{
    DocumentList, DocumentLog, Listed, LogError, Outbox, OutboxSettings,
    codec::{self, Place},
    page::Page,
    thinned,
};

/// How long a statement may take that moves much: a checkpoint, or what a document leaves when it goes.
const LARGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most ids that one query asks for.
const HEADS_MAX: usize = 4_096;
/// Most rows that are deleted at a time.
const DELETE_ROWS_MAX: i64 = 10_000;
/// About what a small change takes that is read: a page has no more of them than this allows, however small their
/// records are.
const CHANGE_BYTES: i64 = 128;

/// How a [`PostgresLog`] uses its server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresSettings {
    /// Connections that append. Each has one statement under way, with all that has gathered for it.
    pub lanes: usize,
    /// Most connections for everything else, made as needed.
    pub readers_max: u32,
    /// How long the answer to an append or a read may take before another connection is tried.
    pub answer_timeout: Duration,
    /// How long an append or a read is tried in all, while the server is away.
    pub give_up_after: Duration,
    /// What is to be told outside: nothing, unless it is said. All nodes of a database say the same, or what
    /// some of them write is not told.
    pub outbox: OutboxSettings,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            lanes: 4,
            readers_max: 8,
            answer_timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(15),
            outbox: OutboxSettings::default(),
        }
    }
}

/// A log in a PostgreSQL database, which any number of nodes may use at a time.
///
/// Appends of many documents go together, each batch one statement; several batches are under way at a
/// time, on connections of their own. What waits is bounded. If a connection breaks, what was under way
/// is sent again on another one, which also tells what became of it; only if none can be had in time the
/// answer is `Unknown`.
///
/// # Durability
///
/// `synchronous_commit` is `on`, whatever the server's configuration says, or `remote_apply` if that says
/// so: `Ok` means that the change has been through fsync on the server, and on its synchronous standbys
/// if it has any. It survives the end of any process at any moment, and a loss of power if the disk keeps
/// its promise and the server does not run with `fsync = off`, of which opening warns. Without a
/// synchronous standby a failover may lose the latest changes. Of an append that was under way either all
/// or nothing is there afterwards.
#[derive(Debug)]
pub struct PostgresLog {
    options: PgConnectOptions,
    lanes: Lanes,
    pool: Pool,
    answer_timeout: Duration,
    outbox: OutboxSettings,
    left: Left,
}

impl PostgresLog {
    /// Opens the log in the database at `url`, `postgres://user:password@host:port/database`, and makes
    /// its tables or brings them up to date. What is between must keep a session on one connection.
    ///
    /// # Errors
    ///
    /// `NewerFormat`: a later program has been there. `Unavailable`: the database cannot be used.
    pub async fn open(url: &str, settings: PostgresSettings) -> Result<Self, LogError> {
        let options = schema::options(url)?;
        schema::migrate(&options).await?;
        Ok(Self::with(options, &settings))
    }

    /// Opens the log only to read. Nothing in the database is changed; whatever would change it is refused.
    ///
    /// # Errors
    ///
    /// `NewerFormat`, `OlderFormat`. `Unavailable`: the database cannot be used, or has no log.
    pub async fn open_to_read(url: &str, settings: PostgresSettings) -> Result<Self, LogError> {
        let options = schema::options(url)?.options([("default_transaction_read_only", "on")]);
        schema::check(&options).await?;
        Ok(Self::with(options, &settings))
    }

    fn with(options: PgConnectOptions, settings: &PostgresSettings) -> Self {
        Self {
            lanes: Lanes::start(&options, settings),
            pool: Pool::new(options.clone(), settings),
            answer_timeout: settings.answer_timeout,
            outbox: settings.outbox,
            left: Left::default(),
            options,
        }
    }

    /// Removes from the tables what was deleted, so that no statement finds it; appends go on meanwhile.
    /// Rows that a transaction can still see, that of a backup say, wait for the next time. The bytes
    /// stay in the server's files until something else takes their place, or until `VACUUM FULL`.
    ///
    /// # Errors
    ///
    /// `Unavailable`: not done, try again.
    pub async fn scrub(&self) -> Result<(), LogError> {
        schema::vacuum(&self.options)
            .await
            .map_err(Failure::unavailable)
    }

    /// Deletes a document's rows of one kind, some at a time, with a statement that says how many it found.
    async fn delete_rows(&self, id: DocumentId, statement: &'static str) -> Result<(), LogError> {
        loop {
            let delete = || sqlx::query(statement).bind(uuid(id)).bind(DELETE_ROWS_MAX);
            let rows = self.pool.ask(LARGE_TIMEOUT, delete).await?;
            let found: i64 = column(&rows[0], 0)?;
            // How many it deleted says nothing of what is left: who compacts, or deletes the same document,
            // may take some of those that were found.
            if found == 0 {
                return Ok(());
            }
        }
    }
}

impl DocumentLog for PostgresLog {
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
        let place = Place {
            id,
            first: base.next(),
            last: base.plus(changes.len() as u64),
        };
        let record = codec::encode_append(place, changes).await?;
        let head = self.lanes.append(place, record).await?;
        if self.outbox.changes {
            self.left.tell(id);
        }
        Ok(head)
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        let select =
            || sqlx::query("SELECT deleted, head FROM log_documents WHERE id = $1").bind(uuid(id));
        let rows = self.pool.ask(self.answer_timeout, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        existing(id, &rows)?.map_or(Ok(Revision::ZERO), |row| Ok(revision(column(row, 1)?)))
    }

    async fn heads(&self, ids: &[DocumentId]) -> Result<Vec<(DocumentId, Revision)>, LogError> {
        let mut heads = Vec::with_capacity(ids.len());
        for ids in ids.chunks(HEADS_MAX) {
            let ids: Vec<_> = ids.iter().copied().map(uuid).collect();
            // Those that were deleted have none.
            let select = || {
                sqlx::query("SELECT id, head FROM log_documents WHERE id = ANY($1) AND head > 0")
                    .bind(ids.as_slice())
            };
            let rows = self.pool.ask(self.answer_timeout, select).await;
            for row in &rows.map_err(Failure::unavailable)? {
                heads.push((listed_id(row)?, revision(column(row, 1)?)));
            }
        }
        Ok(heads)
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        bytes_max: usize,
    ) -> Result<Vec<Change>, LogError> {
        let rows_max = (count(bytes_max) / CHANGE_BYTES).saturating_add(1);
        let bytes = count(bytes_max.max(1));
        let select = || {
            let query = sqlx::query(
                "SELECT document.deleted, document.head, append.first, append.last, append.record
                 FROM log_documents AS document LEFT JOIN LATERAL (
                     SELECT *, sum(weight) OVER (ORDER BY last) - weight AS before
                     FROM (
                         SELECT *, greatest(octet_length(record), (last - first + 1) * $5) AS weight
                         FROM log_appends
                         WHERE document = $1 AND last > $2 ORDER BY last LIMIT $3
                     ) AS next
                 ) AS append ON append.before < $4
                 WHERE document.id = $1",
            );
            let query = query.bind(uuid(id)).bind(stored(after));
            query.bind(rows_max).bind(bytes).bind(CHANGE_BYTES)
        };
        let rows = self.pool.ask(self.answer_timeout, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        let Some(row) = existing(id, &rows)? else {
            return Ok(Vec::new());
        };
        let head = revision(column(row, 1)?);
        // They come in order, but are not said to: sorting them there would take room for all of them.
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(last) = column::<Option<i64>>(row, 3)? {
                let first: i64 = column(row, 2)?;
                records.push((revision(last), revision(first), column::<&[u8]>(row, 4)?));
            }
        }
        records.sort_unstable_by_key(|(last, ..)| *last);
        let mut page = Page::new(id, after, bytes_max);
        let mut read = 0_i64;
        for (last, first, record) in records {
            let changes = stored(last) - stored(first) + 1;
            let weight = count(record.len()).max(changes.saturating_mul(CHANGE_BYTES));
            read = read.saturating_add(weight);
            if !page.add(first, last, &Bytes::copy_from_slice(record))? {
                return Ok(page.cut());
            }
        }
        if read >= bytes || count(rows.len()) >= rows_max {
            return Ok(page.cut());
        }
        page.end(head)
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        let select = || {
            let query = sqlx::query(
                "SELECT document.deleted, checkpoint.revision, checkpoint.record
                 FROM log_documents AS document LEFT JOIN LATERAL (
                     SELECT revision, record FROM log_checkpoints
                     WHERE document = $1 AND revision <= $2 ORDER BY revision DESC LIMIT 1
                 ) AS checkpoint ON true
                 WHERE document.id = $1",
            );
            query.bind(uuid(id)).bind(stored(at_most))
        };
        let rows = self.pool.ask(LARGE_TIMEOUT, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        let Some(row) = existing(id, &rows)? else {
            return Ok(None);
        };
        let Some(at) = column::<Option<i64>>(row, 1)?.map(revision) else {
            return Ok(None);
        };
        let place = Place {
            id,
            first: at,
            last: at,
        };
        let record = Bytes::copy_from_slice(column(row, 2)?);
        let record_bytes = record.len();
        drop(rows);
        let decode = move || codec::decode_checkpoint(place, &record);
        let state = codec::work(record_bytes, decode).await??;
        Ok(Some(Checkpoint {
            revision: at,
            state,
        }))
    }

    async fn put_checkpoint(&self, id: DocumentId, checkpoint: Checkpoint) -> Result<(), LogError> {
        let Checkpoint {
            revision: at,
            state,
        } = checkpoint;
        let size_bytes = state.len();
        let place = Place {
            id,
            first: at,
            last: at,
        };
        let encode = move || codec::encode_checkpoint(place, &state);
        let record = codec::work(size_bytes, encode).await?;
        let insert = || {
            // The lock keeps a deletion out, and lets appends pass.
            let query = sqlx::query(
                "WITH document AS (
                     SELECT * FROM log_documents WHERE id = $1 FOR KEY SHARE
                 ), put AS (
                     INSERT INTO log_checkpoints (document, revision, record)
                     SELECT $1, $2, $3 FROM document WHERE NOT deleted AND head >= $2
                     ON CONFLICT (document, revision) DO UPDATE SET record = excluded.record
                     RETURNING document
                 ), left_to_tell AS (
                     -- Unless it was there before.
                     INSERT INTO log_outbox (shard, document, kind, first, last)
                     SELECT $4, document, 1, $2, $2 FROM put WHERE $5 AND (
                         SELECT true FROM log_checkpoints WHERE document = $1 AND revision = $2
                     ) IS NULL
                 )
                 SELECT deleted, head, ARRAY(SELECT revision FROM log_checkpoints WHERE document = $1)
                 FROM document",
            );
            query
                .bind(uuid(id))
                .bind(stored(at))
                .bind(record.as_slice())
                .bind(i16::from(Self::shard(id)))
                .bind(self.outbox.checkpoints)
        };
        let rows = self.pool.ask(LARGE_TIMEOUT, insert).await?;
        if self.outbox.checkpoints {
            self.left.tell(id);
        }
        // One that was never written has nothing but what it begins with.
        let Some(row) = existing(id, &rows)? else {
            let head = Revision::ZERO;
            return if at == head {
                Ok(())
            } else {
                Err(LogError::Conflict { head })
            };
        };
        let head = revision(column(row, 1)?);
        if at > head {
            return Err(LogError::Conflict { head });
        }
        let mut revisions: Vec<_> = column::<Vec<i64>>(row, 2)?;
        revisions.push(stored(at));
        revisions.sort_unstable();
        revisions.dedup();
        let mut revisions: Vec<_> = revisions.into_iter().map(revision).collect();
        let kept = thinned(&revisions);
        revisions.retain(|revision| !kept.contains(revision));
        if !revisions.is_empty() {
            let gone: Vec<_> = revisions.into_iter().map(stored).collect();
            let delete = || {
                sqlx::query(
                    "DELETE FROM log_checkpoints WHERE document = $1 AND revision = ANY($2)",
                )
                .bind(uuid(id))
                .bind(gone.as_slice())
            };
            self.pool.ask(LARGE_TIMEOUT, delete).await?;
        }
        Ok(())
    }

    /// First the document is marked, from when on nothing of it can be read or written; then its rows go.
    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        let mark = || {
            // The lock is one that checkpoints wait for too.
            sqlx::query(
                "WITH locked AS MATERIALIZED (SELECT FROM log_documents WHERE id = $1 FOR UPDATE)
                 INSERT INTO log_documents AS document (id, base, head, deleted)
                 SELECT $1, 0, 0, true FROM (SELECT count(*) FROM locked) AS locked
                 ON CONFLICT (id) DO UPDATE SET base = 0, head = 0, deleted = true",
            )
            .bind(uuid(id))
        };
        self.pool.ask(self.answer_timeout, mark).await?;
        self.delete_rows(
            id,
            "WITH found AS MATERIALIZED (
                 SELECT last FROM log_appends WHERE document = $1 ORDER BY last LIMIT $2
             ), gone AS (
                 DELETE FROM log_appends
                 WHERE document = $1 AND last IN (SELECT last FROM found)
             ) SELECT count(*) FROM found",
        )
        .await?;
        self.delete_rows(
            id,
            "WITH found AS MATERIALIZED (
                 SELECT revision FROM log_checkpoints WHERE document = $1 LIMIT $2
             ), gone AS (
                 DELETE FROM log_checkpoints
                 WHERE document = $1 AND revision IN (SELECT revision FROM found)
             ) SELECT count(*) FROM found",
        )
        .await?;
        // Those of nodes that tell, whether this one does or not.
        self.delete_rows(
            id,
            "WITH found AS MATERIALIZED (
                 SELECT seq FROM log_outbox
                 WHERE shard = get_byte(uuid_send($1), 15) % 16 AND document = $1
                 ORDER BY seq LIMIT $2
             ), gone AS (
                 DELETE FROM log_outbox
                 WHERE shard = get_byte(uuid_send($1), 15) % 16
                   AND seq IN (SELECT seq FROM found)
             ) SELECT count(*) FROM found",
        )
        .await
    }
}

impl DocumentList for PostgresLog {
    async fn documents(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<Listed>, LogError> {
        // One with and one without a place to go on from: each finds the index.
        let select = || match after {
            None => sqlx::query(
                "SELECT id, head, deleted FROM log_documents
                 WHERE head > 0 OR deleted ORDER BY id LIMIT $1",
            )
            .bind(i64::from(limit)),
            Some(after) => sqlx::query(
                "SELECT id, head, deleted FROM log_documents
                 WHERE id > $2 AND (head > 0 OR deleted) ORDER BY id LIMIT $1",
            )
            .bind(i64::from(limit))
            .bind(uuid(after)),
        };
        let rows = self.pool.ask(self.answer_timeout, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        let listed = rows.iter().map(|row| {
            Ok(Listed {
                id: listed_id(row)?,
                head: revision(column(row, 1)?),
                deleted: column(row, 2)?,
            })
        });
        listed.collect()
    }
}

/// The first row of a document that is there; column 0 says whether it was deleted.
fn existing(id: DocumentId, rows: &[PgRow]) -> Result<Option<&PgRow>, LogError> {
    match rows.first() {
        Some(row) if column(row, 0)? => Err(LogError::Deleted { id }),
        row => Ok(row),
    }
}

fn column<'r, T>(row: &'r PgRow, index: usize) -> Result<T, LogError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(index)
        .map_err(|error| Failure::from(error).unavailable())
}

fn listed_id(row: &PgRow) -> Result<DocumentId, LogError> {
    let id: Uuid = column(row, 0)?;
    Ok(DocumentId::from_bytes(id.into_bytes()))
}

fn uuid(id: DocumentId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

/// Revisions are stored as signed integers.
fn revision(stored: i64) -> Revision {
    Revision::new(stored.try_into().unwrap_or(0))
}

fn stored(revision: Revision) -> i64 {
    count(revision.get())
}

fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
