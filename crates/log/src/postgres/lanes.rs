//! The connections that append.
//!
//! A document always goes through the same lane, so its appends stay in order. A lane takes what waits,
//! of many documents, into one statement, which is one transaction and one round trip; several lanes
//! have several under way at a time.
//!
//! When a connection breaks before the answer, the same statement is sent again on another one. That
//! settles what became of the first one even if it still runs: after each base only one append succeeds,
//! so either the second one does and the first cannot any more, or the log shows whose was first.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use motet_model::{DocumentId, Revision};
use sqlx::{
    Connection, PgConnection, Postgres, Row,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    PostgresSettings,
    failure::{Failure, Pauses},
    revision, schema, stored, uuid,
};
use crate::{LogError, codec::Place};

/// Most appends that wait for one lane.
const QUEUE_APPENDS_MAX: usize = 4_096;
/// Most bytes of records that wait, of all lanes. A larger record waits until all of it is free.
const QUEUE_BYTES_MAX: usize = 128 << 20;
/// Most appends that one statement carries.
const GROUP_APPENDS_MAX: usize = 1_024;
/// Most bytes of records that one statement carries, unless it is one record.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How often an idle connection is used, so that nothing on the way forgets it.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// **dense**, **fenced**: one statement compares the head with the base, moves it and adds the changes.
/// Rows are locked in the order of ids, whoever asks, so nobody waits in a circle. Where two ask for the
/// same base, the second waits for the first, and compares with the row that the first left. What is looked
/// up stands in subqueries that cannot be turned into a scan of the whole table.
///
/// **with the append**, **in turn**: a row of the outbox takes its number when the document's row is locked, and
/// the lock goes when the row can be seen.
const APPEND: &str = "
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])
            AS asked (id, base, last, record)
    ), moved AS (
        INSERT INTO log_documents AS document (id, base, head)
        SELECT id, base, last FROM asked
        -- A document that was never written has revision 0.
        WHERE base = 0 OR (SELECT true FROM log_documents AS document WHERE document.id = asked.id)
        ORDER BY id
        ON CONFLICT (id) DO UPDATE SET base = excluded.base, head = excluded.head
            WHERE document.head = excluded.base AND NOT document.deleted
        RETURNING id
    ), left_to_tell AS (
        INSERT INTO log_outbox (shard, document, kind, first, last)
        SELECT get_byte(uuid_send(id), 15) % 16, id, 0, base + 1, last
        FROM asked JOIN moved USING (id) WHERE $5
    )
    INSERT INTO log_appends (document, first, last, record)
    SELECT id, base + 1, last, record FROM asked JOIN moved USING (id)
    RETURNING document";

/// What those have to know that did not succeed: also whether theirs or another record is in its place. Without a
/// record none is looked for, and where appends were put together none is there.
const LOOK: &str = "
    SELECT asked.id, document.head, document.deleted, (
        SELECT append.record = asked.record FROM log_appends AS append
        WHERE append.document = asked.id AND append.last = asked.last AND append.first = asked.first
    )
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[]) AS asked (id, first, last, record)
    LEFT JOIN LATERAL (
        SELECT * FROM log_documents WHERE log_documents.id = asked.id LIMIT 1
    ) AS document ON true";

type Reply = oneshot::Sender<Result<Revision, LogError>>;

struct Append {
    place: Place,
    record: Vec<u8>,
    reply: Reply,
    asked_at: Instant,
    /// Not together with others: one of those it was with is not accepted.
    alone: bool,
    _space: OwnedSemaphorePermit,
}

impl Append {
    fn answer(self, answer: Result<Revision, LogError>) {
        // Who asked may have gone.
        let _gone = self.reply.send(answer);
    }
}

/// The handle of the lanes, which end when this is dropped, after all that was asked.
#[derive(Debug)]
pub(super) struct Lanes {
    queues: Vec<mpsc::Sender<Append>>,
    space: Arc<Semaphore>,
    give_up_after: Duration,
}

impl Lanes {
    pub(super) fn start(options: &PgConnectOptions, settings: &PostgresSettings) -> Self {
        let queues = (0..settings.lanes.max(1)).map(|_| {
            let (queue, requests) = mpsc::channel(QUEUE_APPENDS_MAX);
            let lane = Lane {
                options: options.clone(),
                connection: None,
                answer_timeout: settings.answer_timeout,
                give_up_after: settings.give_up_after,
                tells: settings.outbox.changes,
            };
            tokio::spawn(lane.run(requests));
            queue
        });
        Self {
            queues: queues.collect(),
            space: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            give_up_after: settings.give_up_after,
        }
    }

    pub(super) async fn append(&self, place: Place, record: Vec<u8>) -> Result<Revision, LogError> {
        let unavailable = |detail: &str| LogError::Unavailable {
            detail: detail.to_owned(),
        };
        let asked_at = Instant::now();
        let size = record.len().clamp(1, QUEUE_BYTES_MAX);
        // The last bytes of an id are random.
        let [.., high, low] = place.id.to_bytes();
        let lane = usize::from(u16::from_be_bytes([high, low])) % self.queues.len();
        let (reply, answer) = oneshot::channel();
        let queued = async {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            let space = Arc::clone(&self.space)
                .acquire_many_owned(size)
                .await
                .ok()?;
            let append = Append {
                place,
                record,
                reply,
                asked_at,
                alone: false,
                _space: space,
            };
            self.queues[lane].send(append).await.ok()
        };
        timeout_at(asked_at + self.give_up_after, queued)
            .await
            .map_err(|_| unavailable("too much waits to be written"))?
            .ok_or_else(|| unavailable("the log is closed"))?;
        // Only a panic of the lane leaves an append unanswered, and it may have been sent.
        answer.await.unwrap_or_else(|_| {
            Err(LogError::Unknown {
                detail: "the lane died".to_owned(),
            })
        })
    }
}

/// One append of each document, in the order of ids.
type Batch = BTreeMap<DocumentId, Append>;

struct Lane {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    answer_timeout: Duration,
    give_up_after: Duration,
    /// Whether appends leave rows in the outbox.
    tells: bool,
}

impl Lane {
    async fn run(mut self, mut requests: mpsc::Receiver<Append>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match timeout(KEEP_ALIVE, requests.recv()).await {
                    Ok(Some(append)) => waiting.push_back(append),
                    Ok(None) => break,
                    Err(_) => self.keep_alive().await,
                }
            }
            while waiting.len() < GROUP_APPENDS_MAX
                && let Ok(append) = requests.try_recv()
            {
                waiting.push_back(append);
            }
            let batch = next_batch(&mut waiting);
            for mut append in self.write(batch).await.into_values().rev() {
                append.alone = true;
                waiting.push_front(append);
            }
        }
        if let Some(connection) = self.connection {
            // Nothing waits for it any more.
            let _closed = connection.close().await;
        }
    }

    async fn keep_alive(&mut self) {
        if let Some(connection) = &mut self.connection {
            let alive = timeout(self.answer_timeout, connection.ping()).await;
            if !matches!(alive, Ok(Ok(()))) {
                self.connection = None;
            }
        }
    }

    /// Writes and answers, again and again if need be. Gives back what ought to be tried alone.
    async fn write(&mut self, mut batch: Batch) -> Batch {
        let Some(oldest) = batch.values().map(|append| append.asked_at).min() else {
            return batch;
        };
        let give_up = oldest + self.give_up_after;
        let mut sent = false;
        let mut pauses = Pauses::new();
        while let Err(failure) = self.attempt(&mut batch, sent).await {
            tracing::warn!(
                error = failure.detail,
                appends = batch.len(),
                "the log could not be written to"
            );
            self.connection = None;
            sent |= failure.sent;
            if !sent && !failure.passing && batch.len() > 1 {
                return batch;
            }
            let pause = pauses.next();
            if !(sent || failure.passing) || Instant::now() + pause > give_up {
                for append in std::mem::take(&mut batch).into_values() {
                    let detail = failure.detail.clone();
                    append.answer(Err(Failure {
                        sent,
                        detail,
                        ..failure
                    }
                    .into()));
                }
                break;
            }
            sleep(pause).await;
        }
        batch
    }

    /// Sends the batch once, and takes out of it what has an answer. `again`: it may have been sent before.
    async fn attempt(&mut self, batch: &mut Batch, again: bool) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.connection.is_none() {
            self.connection = Some(schema::connect(&self.options).await?);
        }
        for row in self.ask(append_query(batch, self.tells)).await? {
            if let Some(append) = batch.remove(&document(&row)?) {
                let head = append.place.last;
                append.answer(Ok(head));
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        // Who is left has not been written by this attempt, and what follows only reads.
        let rows = self.ask(look_query(batch, again)).await;
        for row in rows.map_err(Failure::unsent)? {
            let id = document(&row)?;
            let (head, deleted): (Option<i64>, Option<bool>) = (row.try_get(1)?, row.try_get(2)?);
            let written: Option<bool> = row.try_get(3)?;
            let Some(append) = batch.remove(&id) else {
                continue;
            };
            let last = append.place.last;
            let head = head.map_or(Revision::ZERO, revision);
            append.answer(if written == Some(true) {
                Ok(last)
            } else if deleted == Some(true) {
                Err(LogError::Deleted { id })
            } else if again && written.is_none() && head >= last {
                // It may have been put together with others since.
                Err(LogError::Unknown {
                    detail: "there is no record in its place".to_owned(),
                })
            } else {
                Err(LogError::Conflict { head })
            });
        }
        Ok(())
    }

    /// To the last message of the answer: only then it is committed.
    async fn ask(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Failure> {
        let Some(connection) = &mut self.connection else {
            return Ok(Vec::new());
        };
        match timeout(self.answer_timeout, query.fetch_all(connection)).await {
            Ok(rows) => Ok(rows?),
            Err(_) => Err(Failure::timeout()),
        }
    }
}

fn document(row: &PgRow) -> Result<DocumentId, Failure> {
    let id: Uuid = row.try_get(0)?;
    Ok(DocumentId::from_bytes(id.into_bytes()))
}

/// Takes what goes together, and leaves the rest in order.
fn next_batch(waiting: &mut VecDeque<Append>) -> Batch {
    let mut batch = Batch::new();
    let mut bytes = 0;
    let mut full = false;
    for append in std::mem::take(waiting) {
        full |= append.alone || bytes + append.record.len() > GROUP_BYTES_MAX;
        if (full && !batch.is_empty()) || batch.contains_key(&append.place.id) {
            waiting.push_back(append);
        } else {
            bytes += append.record.len();
            batch.insert(append.place.id, append);
        }
    }
    batch
}

fn append_query(batch: &Batch, tells: bool) -> Query<'_, Postgres, PgArguments> {
    let bases = batch.values().map(|it| stored(it.place.first) - 1);
    sqlx::query(APPEND)
        .bind(batch.keys().map(|id| uuid(*id)).collect::<Vec<_>>())
        .bind(bases.collect::<Vec<_>>())
        .bind(lasts(batch))
        .bind(records(batch))
        .bind(tells)
}

fn look_query(batch: &Batch, again: bool) -> Query<'_, Postgres, PgArguments> {
    let firsts = batch.values().map(|it| stored(it.place.first));
    let records = if again { records(batch) } else { Vec::new() };
    sqlx::query(LOOK)
        .bind(batch.keys().map(|id| uuid(*id)).collect::<Vec<_>>())
        .bind(firsts.collect::<Vec<_>>())
        .bind(lasts(batch))
        .bind(records)
}

fn lasts(batch: &Batch) -> Vec<i64> {
    batch.values().map(|it| stored(it.place.last)).collect()
}

fn records(batch: &Batch) -> Vec<&[u8]> {
    batch.values().map(|it| it.record.as_slice()).collect()
}
