//! What is yet to be told outside. Each test of an invariant bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use motet_log::{
    AnyLog, DocumentLog, LogError, OUTBOX_SHARDS, Outbox, OutboxKind, OutboxRow, OutboxSettings,
    PostgresLog, PostgresSettings, SqliteLog,
};
use motet_model::{Change, Checkpoint, DocumentId, Revision};
use motet_testing::{Fault, Proxy, Schema};
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use self::support::change;

const ALL: OutboxSettings = OutboxSettings {
    changes: true,
    checkpoints: true,
};

fn id(n: u8) -> DocumentId {
    DocumentId::from_bytes([n; 16])
}

fn revision(n: u64) -> Revision {
    Revision::new(n)
}

fn changes(seqs: std::ops::Range<u64>) -> Vec<Change> {
    seqs.map(change).collect()
}

fn checkpoint(at: u64) -> Checkpoint {
    Checkpoint {
        revision: revision(at),
        state: Bytes::from_static(b"state"),
    }
}

fn settings(outbox: OutboxSettings) -> PostgresSettings {
    let mut settings = PostgresSettings::default();
    settings.outbox = outbox;
    settings
}

async fn open(schema: &Schema, outbox: OutboxSettings) -> PostgresLog {
    PostgresLog::open(&schema.url(), settings(outbox))
        .await
        .unwrap()
}

/// What a row says, without number and time.
fn said(row: &OutboxRow) -> (DocumentId, OutboxKind, u64, u64) {
    (row.id, row.kind, row.first.get(), row.last.get())
}

/// All that is there, in the order of each shard.
async fn all(log: &impl Outbox) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    for shard in 0..OUTBOX_SHARDS {
        rows.extend(log.outbox(shard, 1_000_000).await.unwrap());
    }
    rows
}

#[tokio::test]
async fn with_the_append() {
    let schema = Schema::new().await;
    let log = open(&schema, ALL).await;
    let (a, b) = (id(3), id(4));
    log.append(a, revision(0), changes(1..4)).await.unwrap();
    log.append(b, revision(0), changes(1..2)).await.unwrap();
    log.append(a, revision(3), changes(4..5)).await.unwrap();
    // None of what is refused.
    let refused = log.append(a, revision(3), changes(5..6)).await;
    assert!(matches!(refused, Err(LogError::Conflict { .. })));
    let refused = log.append(id(5), revision(9), changes(5..6)).await;
    assert!(matches!(refused, Err(LogError::Conflict { .. })));
    log.append(a, revision(4), Vec::new()).await.unwrap();

    use OutboxKind::Changes;
    let rows = all(&log).await;
    let told: Vec<_> = rows.iter().map(said).collect();
    assert_eq!(
        told,
        [(a, Changes, 1, 3), (a, Changes, 4, 4), (b, Changes, 1, 1)]
    );
    assert!(rows.iter().all(|row| row.at_ms > 1_600_000_000_000));
    assert_eq!(log.waiting().await.unwrap(), [3, 4]);
    assert_eq!(PostgresLog::shard(DocumentId::from_bytes([255; 16])), 15);
}

#[tokio::test]
async fn a_checkpoint_is_told_once() {
    let schema = Schema::new().await;
    let log = open(&schema, ALL).await;
    log.append(id(1), revision(0), changes(1..6)).await.unwrap();
    let row = all(&log).await[0];
    log.remove_told(1, &[row.seq]).await.unwrap();
    let early = log.put_checkpoint(id(1), checkpoint(6)).await;
    assert!(matches!(early, Err(LogError::Conflict { .. })));
    for at in [5, 5, 4] {
        log.put_checkpoint(id(1), checkpoint(at)).await.unwrap();
    }
    let told: Vec<_> = all(&log).await.iter().map(said).collect();
    let kind = OutboxKind::Checkpoint;
    assert_eq!(told, [(id(1), kind, 5, 5), (id(1), kind, 4, 4)]);
}

#[tokio::test]
async fn only_where_it_is_switched_on() {
    let schema = Schema::new().await;
    let changes_only = OutboxSettings {
        checkpoints: false,
        ..ALL
    };
    for (settings, rows) in [(OutboxSettings::default(), 0), (changes_only, 1)] {
        let log = open(&schema, settings).await;
        let base = log.head(id(1)).await.unwrap();
        log.append(id(1), base, changes(1..2)).await.unwrap();
        log.put_checkpoint(id(1), checkpoint(base.get() + 1))
            .await
            .unwrap();
        assert_eq!(all(&log).await.len(), rows);
    }
    let folder = tempfile::TempDir::new().unwrap();
    let log = AnyLog::from(SqliteLog::open(&folder.path().join("log.db")).unwrap());
    log.append(id(1), revision(0), changes(1..2)).await.unwrap();
    assert_eq!(all(&log).await, []);
    assert_eq!(log.waiting().await.unwrap(), [0_u8; 0]);
}

/// Also of several nodes at once, in the middle of appends.
#[tokio::test(flavor = "multi_thread")]
async fn in_turn() {
    const APPENDS: u64 = 150;
    const DOCUMENTS: u8 = 6;
    let schema = Schema::new().await;
    let nodes = [open(&schema, ALL).await, open(&schema, ALL).await].map(Arc::new);
    let mut writers = Vec::new();
    for node in &nodes {
        for n in 0..DOCUMENTS {
            // All in one shard.
            let (node, id) = (Arc::clone(node), id(n * OUTBOX_SHARDS));
            writers.push(tokio::spawn(async move {
                let mut head = revision(0);
                while head.get() < APPENDS {
                    head = match node.append(id, head, changes(1..3)).await {
                        Ok(head) | Err(LogError::Conflict { head }) => head,
                        Err(error) => panic!("{error}"),
                    };
                }
            }));
        }
    }
    let mut heads = BTreeMap::new();
    loop {
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let rows = nodes[0].outbox(0, 7).await.unwrap();
        for row in &rows {
            let head = heads.entry(row.id).or_insert(0);
            assert_eq!(row.first.get(), *head + 1);
            *head = row.last.get();
        }
        let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
        assert!(seqs.is_sorted());
        nodes[0].remove_told(0, &seqs).await.unwrap();
        if is_over && rows.is_empty() {
            break;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(heads.len(), usize::from(DOCUMENTS));
    assert!(heads.values().all(|head| *head >= APPENDS));
}

/// Whoever dies between telling and removing leaves the rows to the next, who tells them again.
#[tokio::test]
async fn what_is_not_removed_is_told_again() {
    let schema = Schema::new().await;
    let log = open(&schema, ALL).await;
    for base in 0..5 {
        let base = revision(base);
        log.append(id(2), base, vec![change(1)]).await.unwrap();
    }
    let first = log.outbox(2, 3).await.unwrap();
    drop(log);
    let log = open(&schema, ALL).await;
    assert_eq!(log.outbox(2, 3).await.unwrap(), first);
    log.remove_told(2, &[first[0].seq, first[1].seq])
        .await
        .unwrap();
    let next = log.outbox(2, 3).await.unwrap();
    assert_eq!(next[0], first[2]);
    let lasts: Vec<_> = next.iter().map(|row| row.last.get()).collect();
    assert_eq!(lasts, [3, 4, 5]);
    // Of what is gone, and of other shards, nothing.
    log.remove_told(2, &[first[0].seq]).await.unwrap();
    log.remove_told(3, &[first[2].seq]).await.unwrap();
    assert_eq!(log.outbox(2, 3).await.unwrap(), next);
}

#[tokio::test]
async fn deleted_with_its_document() {
    let schema = Schema::new().await;
    let log = open(&schema, ALL).await;
    // Of the same shard.
    let (gone, kept) = (id(1), id(17));
    for id in [gone, kept] {
        log.append(id, revision(0), changes(1..3)).await.unwrap();
        log.put_checkpoint(id, checkpoint(2)).await.unwrap();
    }
    // By one that does not tell.
    let other = open(&schema, OutboxSettings::default()).await;
    other.delete(gone).await.unwrap();
    let told: BTreeSet<_> = all(&log).await.iter().map(|row| row.id).collect();
    assert_eq!(told, BTreeSet::from([kept]));
}

/// However often an append is sent, it leaves one row.
#[tokio::test]
async fn with_an_append_that_is_sent_again() {
    let schema = Schema::new().await;
    let options: PgConnectOptions = schema.url().parse().unwrap();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let proxy = Proxy::start(server).await;
    let (ip, port) = (proxy.address.ip(), proxy.address.port());
    let url = format!("{}&host={ip}&port={port}", schema.url());
    let log = PostgresLog::open(&url, settings(ALL));
    let log = log.await.unwrap();
    log.append(id(1), revision(0), changes(1..2)).await.unwrap();
    for (base, fault) in [(1, Fault::LoseAnswer), (2, Fault::LoseRequest)] {
        proxy.next(fault);
        let head = log.append(id(1), revision(base), changes(1..2)).await;
        assert_eq!(head.unwrap().get(), base + 1);
        assert!(proxy.happened(fault));
    }
    let lasts: Vec<_> = all(&log).await.iter().map(|row| row.last.get()).collect();
    assert_eq!(lasts, [1, 2, 3]);
}

#[tokio::test]
async fn who_waits_is_told_of_what_is_left() {
    let schema = Schema::new().await;
    let log = open(&schema, ALL).await;
    log.append(id(1), revision(0), changes(1..2)).await.unwrap();
    // Also of what was left before.
    timeout(Duration::from_secs(20), log.left(1)).await.unwrap();
    tokio::join!(log.left(1), async {
        log.append(id(1), revision(1), changes(1..2)).await.unwrap();
    });
}
