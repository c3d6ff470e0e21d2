//! The tables, and how one file's are brought up to date.

use std::{cmp::Ordering, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::unavailable;
use crate::LogError;

/// Each step leads from the version that is its index to the next one.
const STEPS: &[&str] = &[
    "
    CREATE TABLE documents (
        number  INTEGER PRIMARY KEY,
        id      BLOB    NOT NULL UNIQUE,
        head    INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    -- One row for each append, so that all or none of its changes are there.
    CREATE TABLE appends (
        document INTEGER NOT NULL,
        last     INTEGER NOT NULL,
        first    INTEGER NOT NULL,
        record   BLOB    NOT NULL,
        PRIMARY KEY (document, last)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE checkpoints (
        document INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        record   BLOB    NOT NULL,
        PRIMARY KEY (document, revision)
    ) STRICT, WITHOUT ROWID;
    ",
    "
    -- As far as this small appends were put together.
    ALTER TABLE documents ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;
    ",
];

/// Pages of 4 KiB in the write-ahead log before they are copied into the file. Where a thousand documents are written in turn
/// each has a page that changes again and again, and is copied once for all.
const WAL_PAGES: i64 = 4_096;
/// How much of the file the writer keeps in memory: the page at the end of each document that is written.
const CACHE_KIB: i64 = 16 << 10;

/// How long a reader waits for a lock that only a checkpoint of the write-ahead log can hold.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the file for writing, with the latest tables.
pub(super) fn open(path: &Path) -> Result<Connection, LogError> {
    let mut connection = Connection::open(path).map_err(|error| unavailable(&error))?;
    prepare(&mut connection).map_err(|error| unavailable(&error))??;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> Result<Result<(), LogError>, rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Freed pages of deleted documents are overwritten: what is deleted must not be found.
    connection.pragma_update(None, "secure_delete", "on")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let transaction = connection.transaction()?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let supported = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    if found > supported {
        return Ok(Err(LogError::NewerFormat { found, supported }));
    }
    for step in &STEPS[found as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", supported)?;
    transaction.commit()?;
    Ok(Ok(()))
}

/// Whether the tables are those of this program.
pub(super) fn check(path: &Path) -> Result<(), LogError> {
    let found: u32 = open_reader(path)
        .and_then(|it| it.pragma_query_value(None, "user_version", |row| row.get(0)))
        .map_err(|error| unavailable(&error))?;
    let supported = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    match found.cmp(&supported) {
        Ordering::Greater => Err(LogError::NewerFormat { found, supported }),
        Ordering::Less => Err(LogError::OlderFormat { found, supported }),
        Ordering::Equal => Ok(()),
    }
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}
