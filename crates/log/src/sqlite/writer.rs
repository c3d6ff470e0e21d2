//! The one thread that writes.

use std::{
    collections::HashMap,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use motet_model::{DocumentId, Revision};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{Document, document, revision, stored, unavailable};
use crate::{LogError, codec::Place, compaction::Merge, thinned};

/// Most requests that wait; who comes later waits to be let in.
const QUEUE_REQUESTS_MAX: usize = 4_096;
/// Most requests that one transaction carries.
const GROUP_REQUESTS_MAX: usize = 1_024;
/// Most documents whose heads are remembered.
const HEADS_MAX: usize = 65_536;

/// The longest that a commit waits for more to write.
const PAUSE_MAX: Duration = Duration::from_millis(10);

type Reply<T> = oneshot::Sender<Result<T, LogError>>;

/// Something to write. Records are encoded already.
pub(super) enum Request {
    Append {
        place: Place,
        record: Vec<u8>,
        reply: Reply<Revision>,
    },
    Checkpoint {
        place: Place,
        record: Vec<u8>,
        reply: Reply<()>,
    },
    Delete {
        id: DocumentId,
        reply: Reply<()>,
    },
    /// A record in place of several; answered is whether they were still there.
    Compact {
        id: DocumentId,
        merge: Option<Merge>,
        through: Revision,
        reply: Reply<bool>,
    },
    /// Overwrite what was deleted, wherever it still is.
    Scrub {
        reply: Reply<()>,
    },
}

/// An answer that waits for the commit.
enum Answer {
    Appended(Reply<Revision>, Result<Revision, LogError>),
    Done(Reply<()>, Result<(), LogError>),
    Compacted(Reply<bool>, Result<bool, LogError>),
}

/// The handle of the writing thread, which ends when this is dropped, after all that was asked.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, LogError> {
        let (queue, requests) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let mut store = Store {
            connection,
            heads: HashMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || store.run(requests))
            .map_err(|error| LogError::Unavailable {
                detail: error.to_string(),
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// One that refuses everything.
    pub(super) fn none() -> Self {
        Self {
            queue: None,
            thread: None,
        }
    }

    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, LogError> {
        let ended = || LogError::Unavailable {
            detail: "the log is closed".to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(ended)?;
        queue.send(request(reply)).await.map_err(|_| ended())?;
        // Only a panic of the writer leaves a request unanswered, and it may have been in a commit.
        answer.await.unwrap_or_else(|_| {
            Err(LogError::Unknown {
                detail: "the writer died".to_owned(),
            })
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the thread itself.
            let _panicked = thread.join();
        }
    }
}

struct Store {
    connection: Connection,
    heads: HashMap<DocumentId, Document>,
}

impl Store {
    fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP_REQUESTS_MAX);
        while requests.blocking_recv_many(&mut group, GROUP_REQUESTS_MAX) > 0 {
            #[allow(
                clippy::disallowed_methods,
                reason = "the disk's time, which nobody else is told"
            )]
            let began = Instant::now();
            let mut answers = Vec::with_capacity(group.len());
            // Not in a transaction with others.
            let scrubs = group.extract_if(.., |it| matches!(it, Request::Scrub { .. }));
            let scrubs: Vec<_> = scrubs.collect();
            let outcome = self.write(group.drain(..), &mut answers);
            if outcome.is_err() || self.heads.len() > HEADS_MAX {
                // What was remembered may not be so, or is too much.
                self.heads.clear();
            }
            answers
                .into_iter()
                .for_each(|answer| answer.send(outcome.as_ref().err()));
            if !scrubs.is_empty() {
                let scrubbed = self.scrub();
                for scrub in scrubs {
                    if let Request::Scrub { reply } = scrub {
                        // Who asked may have gone.
                        let unavailable = |detail| LogError::Unavailable { detail };
                        let _gone = reply.send(scrubbed.clone().map_err(unavailable));
                    }
                }
            }
            // Where others have asked meanwhile, those who were just answered ask again soon, and a commit with them in
            // it costs little more than one without. Whoever writes alone waits for nobody.
            if (1..GROUP_REQUESTS_MAX).contains(&requests.len()) {
                std::thread::sleep((began.elapsed() * 2).min(PAUSE_MAX));
            }
        }
    }

    /// `secure_delete` overwrites rows that are deleted, but not copies of them which were left behind
    /// when rows moved within their pages, nor the write-ahead log.
    fn scrub(&self) -> Result<(), String> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = self.connection.execute_batch("VACUUM").and_then(|()| {
            self.connection
                .query_row(checkpoint, [], |row| row.get::<_, bool>(0))
        });
        match busy {
            Ok(false) => Ok(()),
            Ok(true) => Err("the log is being read".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// One transaction for the whole group: one fsync.
    fn write(
        &mut self,
        group: impl Iterator<Item = Request>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Failure> {
        let Self { connection, heads } = self;
        let mut failure = connection.execute_batch("BEGIN IMMEDIATE").err();
        for request in group {
            // One refusal, a conflict say, does not concern the others; an error of the store does.
            let answer = match request {
                Request::Append {
                    place,
                    record,
                    reply,
                } => {
                    let result = check(&failure, || append(connection, heads, place, &record));
                    Answer::Appended(reply, settle(result, &mut failure))
                }
                Request::Checkpoint {
                    place,
                    record,
                    reply,
                } => {
                    let result = check(&failure, || checkpoint(connection, heads, place, &record));
                    Answer::Done(reply, settle(result, &mut failure))
                }
                Request::Delete { id, reply } => {
                    let result = check(&failure, || delete(connection, heads, id));
                    Answer::Done(reply, settle(result, &mut failure))
                }
                Request::Compact {
                    id,
                    merge,
                    through,
                    reply,
                } => {
                    let result = check(&failure, || {
                        compact(connection, heads, id, merge.as_ref(), through)
                    });
                    Answer::Compacted(reply, settle(result, &mut failure))
                }
                Request::Scrub { .. } => unreachable!("it is done on its own"),
            };
            answers.push(answer);
        }
        if let Some(error) = failure {
            // Rolled back, by this or by SQLite itself: nothing was written.
            let _rolled_back = connection.execute_batch("ROLLBACK");
            return Err(Failure {
                written: false,
                detail: error.to_string(),
            });
        }
        connection.execute_batch("COMMIT").map_err(|error| {
            let _rolled_back = connection.execute_batch("ROLLBACK");
            Failure {
                written: true,
                detail: error.to_string(),
            }
        })
    }
}

/// Why a whole group failed.
struct Failure {
    /// Whether it may have been written all the same.
    written: bool,
    detail: String,
}

type Outcome<T> = Result<Result<T, LogError>, rusqlite::Error>;

/// Once the store has failed there is no use in trying more.
fn check<T>(failure: &Option<rusqlite::Error>, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    match failure {
        None => act(),
        Some(error) => Ok(Err(unavailable(error))),
    }
}

fn settle<T>(outcome: Outcome<T>, failure: &mut Option<rusqlite::Error>) -> Result<T, LogError> {
    outcome.unwrap_or_else(|error| {
        let answer = Err(unavailable(&error));
        *failure = Some(error);
        answer
    })
}

impl Answer {
    /// Sends the answer; a failure of the group is everyone's. Who asked may have gone.
    fn send(self, failure: Option<&Failure>) {
        let error = failure.map(|Failure { written, detail }| {
            let detail = detail.clone();
            if *written {
                LogError::Unknown { detail }
            } else {
                LogError::Unavailable { detail }
            }
        });
        match self {
            Self::Appended(reply, result) => {
                let _gone = reply.send(error.map_or(result, Err));
            }
            Self::Done(reply, result) => {
                let _gone = reply.send(error.map_or(result, Err));
            }
            Self::Compacted(reply, result) => {
                let _gone = reply.send(error.map_or(result, Err));
            }
        }
    }
}

type Heads = HashMap<DocumentId, Document>;

/// The document, made if it is not there.
fn find(
    connection: &Connection,
    heads: &mut Heads,
    id: DocumentId,
) -> Result<Document, rusqlite::Error> {
    if let Some(found) = heads.get(&id) {
        return Ok(*found);
    }
    let found = match document(connection, id)? {
        Some(found) => found,
        None => {
            connection
                .prepare_cached("INSERT INTO documents (id, head) VALUES (?1, 0)")?
                .execute([id.to_bytes().as_slice()])?;
            let number = connection.last_insert_rowid();
            Document {
                number,
                head: Revision::ZERO,
                deleted: false,
            }
        }
    };
    heads.insert(id, found);
    Ok(found)
}

/// **dense**, **fenced**: the head is compared and moved in the transaction that adds the changes.
fn append(
    connection: &Connection,
    heads: &mut Heads,
    place: Place,
    record: &[u8],
) -> Outcome<Revision> {
    let id = place.id;
    let found = find(connection, heads, id)?;
    if found.deleted {
        return Ok(Err(LogError::Deleted { id }));
    }
    if found.head.next() != place.first {
        return Ok(Err(LogError::Conflict { head: found.head }));
    }
    connection
        .prepare_cached(
            "INSERT INTO appends (document, last, first, record) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            found.number,
            stored(place.last),
            stored(place.first),
            record
        ])?;
    connection
        .prepare_cached("UPDATE documents SET head = ?2 WHERE number = ?1")?
        .execute(params![found.number, stored(place.last)])?;
    heads.insert(
        id,
        Document {
            head: place.last,
            ..found
        },
    );
    Ok(Ok(place.last))
}

fn checkpoint(
    connection: &Connection,
    heads: &mut Heads,
    place: Place,
    record: &[u8],
) -> Outcome<()> {
    let found = find(connection, heads, place.id)?;
    if found.deleted {
        return Ok(Err(LogError::Deleted { id: place.id }));
    }
    if place.last > found.head {
        return Ok(Err(LogError::Conflict { head: found.head }));
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO checkpoints (document, revision, record) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![found.number, stored(place.last), record])?;
    let revisions = connection
        .prepare_cached("SELECT revision FROM checkpoints WHERE document = ?1 ORDER BY revision")?
        .query_map([found.number], |row| row.get(0).map(revision))?
        .collect::<Result<Vec<_>, _>>()?;
    let kept = thinned(&revisions);
    for gone in revisions.iter().filter(|revision| !kept.contains(revision)) {
        connection
            .prepare_cached("DELETE FROM checkpoints WHERE document = ?1 AND revision = ?2")?
            .execute(params![found.number, stored(*gone)])?;
    }
    Ok(Ok(()))
}

fn delete(connection: &Connection, heads: &mut Heads, id: DocumentId) -> Outcome<()> {
    let found = find(connection, heads, id)?;
    for statement in [
        "DELETE FROM appends WHERE document = ?1",
        "DELETE FROM checkpoints WHERE document = ?1",
        "UPDATE documents SET deleted = 1, head = 0 WHERE number = ?1",
    ] {
        connection
            .prepare_cached(statement)?
            .execute([found.number])?;
    }
    heads.insert(
        id,
        Document {
            deleted: true,
            head: Revision::ZERO,
            ..found
        },
    );
    Ok(Ok(()))
}

/// Replaces rows by one with the same changes, if they are still those that were read.
fn compact(
    connection: &Connection,
    heads: &mut Heads,
    id: DocumentId,
    merge: Option<&Merge>,
    through: Revision,
) -> Outcome<bool> {
    let found = find(connection, heads, id)?;
    if found.deleted {
        return Ok(Err(LogError::Deleted { id }));
    }
    if let Some(Merge {
        place,
        record,
        rows,
        ..
    }) = merge
    {
        let (first, last) = (stored(place.first), stored(place.last));
        let there: (i64, Option<i64>, Option<i64>) = connection
            .prepare_cached(
                "SELECT count(*), min(first), max(last) FROM appends
                 WHERE document = ?1 AND last BETWEEN ?2 AND ?3",
            )?
            .query_row(params![found.number, first, last], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let read = i64::try_from(*rows).unwrap_or(i64::MAX);
        if there != (read, Some(first), Some(last)) {
            return Ok(Ok(false));
        }
        connection
            .prepare_cached("DELETE FROM appends WHERE document = ?1 AND last BETWEEN ?2 AND ?3")?
            .execute(params![found.number, first, last])?;
        connection
            .prepare_cached(
                "INSERT INTO appends (document, last, first, record) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![found.number, last, first, record])?;
    }
    connection
        .prepare_cached("UPDATE documents SET compacted = ?2 WHERE number = ?1")?
        .execute(params![found.number, stored(through)])?;
    Ok(Ok(true))
}
