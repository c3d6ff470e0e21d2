//! What only a store on a disk has to show: that it survives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use bytes::Bytes;
use motet_log::{Compact, DocumentLog, LogError, SqliteLog};
use motet_model::{Change, Checkpoint, DocumentId, Revision, UserId};
use tempfile::TempDir;

const ID: DocumentId = DocumentId::from_bytes([9; 16]);
const FOLDER: &str = "MOTET_LOG_TEST_FOLDER";

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

fn open(folder: &TempDir) -> Result<SqliteLog, LogError> {
    SqliteLog::open(&folder.path().join("log.db"))
}

#[tokio::test]
async fn durable_across_a_reopen() {
    let folder = TempDir::new().unwrap();
    let checkpoint = Checkpoint {
        revision: Revision::new(2),
        state: Bytes::from_static(b"state"),
    };
    {
        let log = open(&folder).unwrap();
        log.append(ID, Revision::ZERO, vec![change(1), change(2)])
            .await
            .unwrap();
        log.put_checkpoint(ID, checkpoint.clone()).await.unwrap();
    }
    let log = open(&folder).unwrap();
    let read = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap();
    assert_eq!(read, [change(1), change(2)]);
    assert_eq!(
        log.checkpoint(ID, Revision::new(5)).await.unwrap(),
        Some(checkpoint)
    );
}

/// The other half of `durable_across_kills`, which runs this binary again with a folder to write to.
#[tokio::test]
async fn child_appends_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let log = SqliteLog::open(&std::path::Path::new(&folder).join("log.db")).unwrap();
    let mut head = log.head(ID).await.unwrap();
    loop {
        head = log
            .append(ID, head, vec![change(head.get() + 1)])
            .await
            .unwrap();
        // So that some are killed in the midst of that as well.
        log.compact(ID).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "acknowledged {head}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn durable_across_kills() {
    let folder = TempDir::new().unwrap();
    for round in 1..=8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_appends_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0_u64;
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("acknowledged ") else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            seen += 1;
            if seen == round * 7 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let log = open(&folder).unwrap();
        let read = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap();
        assert!(acknowledged > 0 && read.len() as u64 >= acknowledged);
        let expected: Vec<_> = (1..=read.len() as u64).map(change).collect();
        assert_eq!(read, expected, "each exactly once, in order");
    }
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder).unwrap();
    assert!(matches!(open(&folder), Err(LogError::InUse { .. })));
    drop(log);
    open(&folder).unwrap();
}

/// Neither the other process writes nor this one.
#[tokio::test]
async fn alone_to_read() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("log.db");
    let missing = SqliteLog::open_alone_to_read(&file);
    assert!(matches!(missing, Err(LogError::Unavailable { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let log = open(&folder).unwrap();
    log.append(ID, Revision::ZERO, vec![change(1)])
        .await
        .unwrap();
    let used = SqliteLog::open_alone_to_read(&file);
    assert!(matches!(used, Err(LogError::InUse { .. })));
    drop(log);
    let before = std::fs::read(&file).unwrap();
    let log = SqliteLog::open_alone_to_read(&file).unwrap();
    assert!(matches!(open(&folder), Err(LogError::InUse { .. })));
    let read = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap();
    assert_eq!(read, [change(1)]);
    let refused = log.append(ID, Revision::new(1), vec![change(2)]).await;
    assert!(matches!(refused, Err(LogError::Unavailable { .. })));
    drop(log);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    for (version, newer) in [(0, false), (99, true)] {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(connection);
        match SqliteLog::open_alone_to_read(&file).unwrap_err() {
            LogError::NewerFormat { found: 99, .. } => assert!(newer),
            LogError::OlderFormat { found: 0, .. } => assert!(!newer),
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn damage_is_found() {
    let damages = [
        "UPDATE appends SET record = CAST(substr(record, 1, length(record) - 1) || x'07' AS BLOB) WHERE last = 2",
        "UPDATE appends SET record = (SELECT record FROM appends WHERE last = 1) WHERE last = 2",
        "DELETE FROM appends WHERE last = 2",
        "DELETE FROM appends WHERE last = 3",
    ];
    for damage in damages {
        let folder = TempDir::new().unwrap();
        {
            let log = open(&folder).unwrap();
            for n in 0..3 {
                log.append(ID, Revision::new(n), vec![change(n + 1)])
                    .await
                    .unwrap();
            }
        }
        let connection = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
        connection.execute_batch(damage).unwrap();
        drop(connection);
        let log = open(&folder).unwrap();
        let error = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap_err();
        assert!(
            matches!(error, LogError::Corrupt { .. }),
            "{damage}: {error}"
        );
    }
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    connection
        .pragma_update(None, "user_version", 1_000)
        .unwrap();
    drop(connection);
    assert!(matches!(
        open(&folder),
        Err(LogError::NewerFormat { found: 1_000, .. })
    ));
}

/// Where rows moved within pages, SQLite leaves copies of them that `secure_delete` does not reach.
#[tokio::test]
async fn nothing_of_a_deleted_document_is_left() {
    const DELETED: DocumentId = DocumentId::from_bytes([5; 16]);
    let folder = TempDir::new().unwrap();
    let log = open(&folder).unwrap();
    let mut heads = [0; 9];
    for round in 0..150_u64 {
        for (n, head) in (1..).zip(&mut heads) {
            let id = DocumentId::from_bytes([n; 16]);
            let word = if id == DELETED { "needle" } else { "others" };
            let times = usize::try_from((round * 7 + u64::from(n) * 13) % 60).unwrap();
            let change = Change {
                delta: Bytes::from(word.repeat(1 + times)),
                ..change(*head + 1)
            };
            log.append(id, Revision::new(*head), vec![change])
                .await
                .unwrap();
            *head += 1;
        }
    }
    log.delete(DELETED).await.unwrap();
    log.scrub().await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(6).filter(|part| part == b"needle").count();
        assert_eq!(found, 0, "{}", path.display());
    }
    let kept = DocumentId::from_bytes([1; 16]);
    let read = log.read(kept, Revision::ZERO, usize::MAX).await.unwrap();
    assert_eq!(read.len(), 150);
}

/// Of a change that came alone, with all that it says.
#[tokio::test]
async fn compacted_it_takes_little() {
    const COUNT: u32 = 3_000;
    let folder = TempDir::new().unwrap();
    let log = open(&folder).unwrap();
    let keystroke = |n: u64| Change {
        client_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        time_ms: 1_700_000_000_000 + n * 170,
        delta: Bytes::from(format!(
            r#"{{"ops":[{{"retain":{}}},{{"insert":"a"}}]}}"#,
            n * 7_919 % 10_000
        )),
        update: Bytes::from((n * 104_729 % 16_000_000).to_be_bytes().repeat(4)),
        ..change(n)
    };
    let bytes = || {
        let connection = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
        let sum = "SELECT sum(length(record)), count(*) FROM appends";
        connection
            .query_row(sum, [], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?))
            })
            .unwrap()
    };
    for n in 0..COUNT.into() {
        log.append(ID, Revision::new(n), vec![keystroke(n)])
            .await
            .unwrap();
    }
    assert!(bytes().0 > 120 * COUNT);
    while log.compact(ID).await.unwrap().more {}
    let (bytes, rows) = bytes();
    assert!(bytes < 25 * COUNT && rows < 8, "{bytes} bytes, {rows} rows");
    let read = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap();
    let expected: Vec<_> = (0..COUNT.into()).map(keystroke).collect();
    assert_eq!(read, expected);
}

/// A file of the version before, with what an earlier program wrote into it.
#[tokio::test]
async fn a_file_of_before_is_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    {
        let log = open(&folder).unwrap();
        for n in 0..40 {
            log.append(ID, Revision::new(n), vec![change(n + 1)])
                .await
                .unwrap();
        }
    }
    let connection = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
    connection
        .execute_batch("ALTER TABLE documents DROP COLUMN compacted; PRAGMA user_version = 1")
        .unwrap();
    drop(connection);
    let log = open(&folder).unwrap();
    assert_eq!(log.loose(None, 9).await.unwrap(), [ID]);
    assert_eq!(log.compact(ID).await.unwrap().rows, 39);
    let read = log.read(ID, Revision::ZERO, usize::MAX).await.unwrap();
    assert_eq!(read, (1..=40).map(change).collect::<Vec<_>>());
}
