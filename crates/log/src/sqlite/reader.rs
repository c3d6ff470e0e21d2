//! Reads, beside the writer.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use motet_model::{Change, Checkpoint, DocumentId, Revision};
use rusqlite::{Connection, params, params_from_iter};

use super::{Document, blob, document, revision, schema, stored, unavailable};
use crate::{
    Listed, LogError,
    codec::{self, Place},
    compaction::{
        self, LOOSE_CHANGES_MIN, ROWS_MAX, Row, SMALL_BYTES_MAX, SMALL_CHANGES_MAX, Step,
    },
    page::Page,
};

/// Most connections that are kept open while nobody reads.
const IDLE_MAX: usize = 4;
/// Most ids that one query asks for.
const HEADS_MAX: usize = 512;

/// Connections for reading, opened as needed. Each read runs on a thread that may block.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Arc::default(),
        }
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<Result<T, LogError>, rusqlite::Error> + Send + 'static,
    ) -> Result<T, LogError> {
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let task = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| schema::open_reader(&path), Ok);
            let connection = connection.map_err(|error| unavailable(&error))?;
            let result = read(&connection).map_err(|error| unavailable(&error))?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(connection);
            }
            result
        });
        task.await.unwrap_or_else(|error| {
            Err(LogError::Unavailable {
                detail: error.to_string(),
            })
        })
    }
}

type Outcome<T> = Result<Result<T, LogError>, rusqlite::Error>;

/// Runs `read` on a document that is there, or gives what an unwritten one has.
fn existing<T>(
    connection: &Connection,
    id: DocumentId,
    unwritten: T,
    read: impl FnOnce(Document) -> Outcome<T>,
) -> Outcome<T> {
    match document(connection, id)? {
        None => Ok(Ok(unwritten)),
        Some(found) if found.deleted => Ok(Err(LogError::Deleted { id })),
        Some(found) => read(found),
    }
}

pub(super) fn head(connection: &Connection, id: DocumentId) -> Outcome<Revision> {
    existing(connection, id, Revision::ZERO, |found| Ok(Ok(found.head)))
}

pub(super) fn heads(
    connection: &Connection,
    ids: &[DocumentId],
) -> Outcome<Vec<(DocumentId, Revision)>> {
    let mut heads = Vec::with_capacity(ids.len());
    for ids in ids.chunks(HEADS_MAX) {
        // Those that were deleted have none.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, head FROM documents WHERE head > 0 AND id IN ({})",
            vec!["?"; ids.len()].join(", ")
        ))?;
        let ids = ids.iter().map(|id| id.to_bytes());
        let found = statement.query_map(params_from_iter(ids), |row| {
            Ok((listed_id(row)?, revision(row.get(1)?)))
        })?;
        for head in found {
            heads.push(head?);
        }
    }
    Ok(Ok(heads))
}

pub(super) fn documents(
    connection: &Connection,
    after: Option<DocumentId>,
    limit: u32,
) -> Outcome<Vec<Listed>> {
    // Before every id is the empty text of bytes.
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let documents = connection
        .prepare_cached(
            "SELECT id, head, deleted FROM documents
             WHERE id > ?1 AND (head > 0 OR deleted) ORDER BY id LIMIT ?2",
        )?
        .query_map(params![after, limit], |row| {
            Ok(Listed {
                id: listed_id(row)?,
                head: revision(row.get(1)?),
                deleted: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Ok(documents))
}

fn listed_id(row: &rusqlite::Row<'_>) -> Result<DocumentId, rusqlite::Error> {
    row.get(0).map(DocumentId::from_bytes)
}

pub(super) fn read(
    connection: &Connection,
    id: DocumentId,
    after: Revision,
    bytes_max: usize,
) -> Outcome<Vec<Change>> {
    existing(connection, id, Vec::new(), |found| {
        let mut statement = connection.prepare_cached(
            "SELECT first, last, record FROM appends WHERE document = ?1 AND last > ?2 ORDER BY last",
        )?;
        let mut rows = statement.query(params![found.number, stored(after)])?;
        let mut page = Page::new(id, after, bytes_max);
        while let Some(row) = rows.next()? {
            let (first, last) = (revision(row.get(0)?), revision(row.get(1)?));
            match page.add(first, last, &blob(row, 2)?) {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(page.cut())),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(page.end(found.head))
    })
}

pub(super) fn checkpoint(
    connection: &Connection,
    id: DocumentId,
    at_most: Revision,
) -> Outcome<Option<Checkpoint>> {
    existing(connection, id, None, |found| {
        let mut statement = connection.prepare_cached(
            "SELECT revision, record FROM checkpoints
             WHERE document = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1",
        )?;
        let mut rows = statement.query(params![found.number, stored(at_most)])?;
        let Some(row) = rows.next()? else {
            return Ok(Ok(None));
        };
        let revision = revision(row.get(0)?);
        let place = Place {
            id,
            first: revision,
            last: revision,
        };
        let state = codec::decode_checkpoint(place, &blob(row, 1)?);
        Ok(state.map(|state| Some(Checkpoint { revision, state })))
    })
}

pub(super) fn loose(
    connection: &Connection,
    after: Option<DocumentId>,
    limit: u32,
) -> Outcome<Vec<DocumentId>> {
    let after = after.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
    let documents = connection
        .prepare_cached(
            "SELECT id FROM documents
             WHERE id > ?1 AND head - compacted >= ?2 ORDER BY id LIMIT ?3",
        )?
        .query_map(params![after, LOOSE_CHANGES_MIN, limit], listed_id)?
        .collect::<Result<_, _>>()?;
    Ok(Ok(documents))
}

/// What is to be done next to take less room. `None`: nothing was written yet.
pub(super) fn step(connection: &Connection, id: DocumentId) -> Outcome<Option<Step>> {
    existing(connection, id, None, |found| {
        let through: i64 = connection
            .prepare_cached("SELECT compacted FROM documents WHERE number = ?1")?
            .query_row([found.number], |row| row.get(0))?;
        // Of large rows only the length is looked at.
        let mut statement = connection.prepare_cached(
            "SELECT first, last, CASE
                 WHEN last - first + 1 < ?3 AND length(record) < ?4 THEN record
             END FROM appends WHERE document = ?1 AND last >= ?2 ORDER BY last LIMIT ?5",
        )?;
        let bounds = params![
            found.number,
            through,
            SMALL_CHANGES_MAX,
            SMALL_BYTES_MAX,
            ROWS_MAX
        ];
        let rows = statement.query_map(bounds, |row| {
            let record: Option<Vec<u8>> = row.get(2)?;
            Ok(Row {
                first: revision(row.get(0)?),
                last: revision(row.get(1)?),
                record: record.map(Into::into),
            })
        })?;
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(compaction::step(id, revision(through), rows).map(Some))
    })
}
