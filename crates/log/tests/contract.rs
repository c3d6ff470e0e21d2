//! One suite for every log. Each test of an invariant bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use motet_log::{
    AnyLog, Compact, Compacted, DocumentList, DocumentLog, Listed, LogError, MemoryLog, SqliteLog,
};
use motet_model::{Change, Checkpoint, DocumentId, Revision, UserId};
use tempfile::TempDir;

const ALL: usize = usize::MAX;

fn id(n: u8) -> DocumentId {
    DocumentId::from_bytes([n; 16])
}

fn change(seq: u64) -> Change {
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "client".parse().unwrap(),
        seq,
        merged: false,
        time_ms: 1_700_000_000_000 + seq,
        delta: Bytes::from(format!(r#"{{"ops":[{{"insert":"{seq}"}}]}}"#)),
        update: if seq.is_multiple_of(2) {
            Bytes::from_static(b"update")
        } else {
            Bytes::new()
        },
    }
}

fn changes(seqs: std::ops::Range<u64>) -> Vec<Change> {
    seqs.map(change).collect()
}

fn revision(n: u64) -> Revision {
    Revision::new(n)
}

/// Reads to the end, page by page.
async fn read_all(log: &impl DocumentLog, id: DocumentId, page: usize) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let next = log
            .read(id, revision(all.len() as u64), page)
            .await
            .unwrap();
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

/// Runs each test of the suite on each log.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test(super::MemoryLog::default()).await; })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $test() {
                let folder = super::TempDir::new().unwrap();
                super::$test(super::sqlite_log(&folder)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test] async fn $test() {
                let schema = motet_testing::Schema::new().await;
                super::$test(super::AnyLog::from(super::support::open(&schema).await)).await;
            })*
        }
    };
}

contract!(
    dense,
    fenced,
    prefix,
    paging,
    documents_are_apart,
    checkpoints,
    checkpoints_are_thinned,
    deleted_is_gone,
    heads_of_many,
    documents_are_listed,
    large_changes,
    behaves_like_a_list,
    compacted_is_the_same,
    compacted_while_others_are_at_it,
    compacted_again_and_again,
    compacted_and_deleted,
);

fn sqlite_log(folder: &TempDir) -> AnyLog {
    SqliteLog::open(&folder.path().join("log.db"))
        .unwrap()
        .into()
}

async fn dense(log: impl DocumentLog) {
    assert_eq!(log.head(id(1)).await.unwrap(), Revision::ZERO);
    assert_eq!(
        log.append(id(1), revision(0), changes(1..4)).await.unwrap(),
        revision(3)
    );
    assert_eq!(
        log.append(id(1), revision(3), changes(4..5)).await.unwrap(),
        revision(4)
    );
    assert_eq!(
        log.append(id(1), revision(4), Vec::new()).await.unwrap(),
        revision(4)
    );
    assert_eq!(log.head(id(1)).await.unwrap(), revision(4));
    assert_eq!(read_all(&log, id(1), ALL).await, changes(1..5));
}

async fn fenced(log: impl DocumentLog) {
    let log = Arc::new(log);
    for round in 0..20 {
        let tasks: Vec<_> = (0..8)
            .map(|writer| {
                let log = Arc::clone(&log);
                let change = change(round * 100 + writer);
                tokio::spawn(async move { log.append(id(1), revision(round), vec![change]).await })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(head) => {
                    assert_eq!(head, revision(round + 1));
                    won += 1;
                }
                Err(LogError::Conflict { head }) => assert_eq!(head, revision(round + 1)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1, "exactly one append after each base");
    }
    let ahead = log.append(id(1), revision(99), changes(1..2)).await;
    assert!(matches!(ahead, Err(LogError::Conflict { head }) if head == revision(20)));
    assert_eq!(read_all(&log, id(1), ALL).await.len(), 20);
}

async fn prefix(log: impl DocumentLog) {
    let mut before = Vec::new();
    for n in 0..30 {
        log.append(id(1), revision(n * 2), changes(n * 2..n * 2 + 2))
            .await
            .unwrap();
        let now = read_all(&log, id(1), ALL).await;
        assert!(now.starts_with(&before));
        before = now;
    }
}

async fn paging(log: impl DocumentLog) {
    log.append(id(1), revision(0), changes(0..40))
        .await
        .unwrap();
    for n in 40..60 {
        log.append(id(1), revision(n), changes(n..n + 1))
            .await
            .unwrap();
    }
    for page in [0, 100, 250, 1_000, ALL] {
        assert_eq!(
            read_all(&log, id(1), page).await,
            changes(0..60),
            "pages of {page} bytes"
        );
    }
    assert_eq!(
        log.read(id(1), revision(0), 0).await.unwrap().len(),
        1,
        "at least one"
    );
    assert_eq!(
        log.read(id(1), revision(17), ALL).await.unwrap(),
        changes(17..60)
    );
    assert!(log.read(id(1), revision(60), ALL).await.unwrap().is_empty());
    assert!(
        log.read(id(1), revision(1_000), ALL)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn documents_are_apart(log: impl DocumentLog) {
    let log = Arc::new(log);
    let tasks: Vec<_> = (1..=50)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for at in 0..10 {
                    log.append(id(n), revision(at), changes(at..at + 1))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for n in 1..=50 {
        assert_eq!(read_all(&log, id(n), ALL).await, changes(0..10));
    }
}

fn checkpoint(at: u64) -> Checkpoint {
    Checkpoint {
        revision: revision(at),
        state: Bytes::from(format!("state {at}")),
    }
}

async fn checkpoints(log: impl DocumentLog) {
    assert_eq!(log.checkpoint(id(1), revision(9)).await.unwrap(), None);
    log.append(id(1), revision(0), changes(0..10))
        .await
        .unwrap();
    let ahead = log.put_checkpoint(id(1), checkpoint(11)).await;
    assert!(matches!(ahead, Err(LogError::Conflict { head }) if head == revision(10)));
    for at in [4, 8] {
        log.put_checkpoint(id(1), checkpoint(at)).await.unwrap();
    }
    for (at_most, found) in [
        (3, None),
        (4, Some(4)),
        (7, Some(4)),
        (8, Some(8)),
        (99, Some(8)),
    ] {
        let stored = log.checkpoint(id(1), revision(at_most)).await.unwrap();
        assert_eq!(stored, found.map(checkpoint));
    }
}

async fn checkpoints_are_thinned(log: impl DocumentLog) {
    const LAST: u64 = 300;
    log.append(id(1), revision(0), changes(0..LAST))
        .await
        .unwrap();
    for at in 1..=LAST {
        log.put_checkpoint(id(1), checkpoint(at)).await.unwrap();
    }
    let mut kept = Vec::new();
    let mut at_most = revision(LAST);
    while let Some(found) = log.checkpoint(id(1), at_most).await.unwrap() {
        kept.push(found.revision.get());
        at_most = revision(found.revision.get() - 1);
    }
    assert_eq!(kept[0], LAST);
    assert!(kept.len() <= 11, "logarithmic: {kept:?}");
}

async fn deleted_is_gone(log: impl DocumentLog) {
    log.append(id(1), revision(0), changes(0..3)).await.unwrap();
    log.put_checkpoint(id(1), checkpoint(2)).await.unwrap();
    log.append(id(2), revision(0), changes(0..3)).await.unwrap();
    log.delete(id(1)).await.unwrap();
    log.delete(id(1)).await.unwrap();
    let deleted = |error: LogError| matches!(error, LogError::Deleted { id: of } if of == id(1));
    assert!(deleted(
        log.append(id(1), revision(3), changes(3..4))
            .await
            .unwrap_err()
    ));
    assert!(deleted(
        log.append(id(1), revision(0), changes(3..4))
            .await
            .unwrap_err()
    ));
    assert!(deleted(
        log.read(id(1), revision(0), ALL).await.unwrap_err()
    ));
    assert!(deleted(log.head(id(1)).await.unwrap_err()));
    assert!(deleted(
        log.checkpoint(id(1), revision(9)).await.unwrap_err()
    ));
    assert!(deleted(
        log.put_checkpoint(id(1), checkpoint(1)).await.unwrap_err()
    ));
    assert_eq!(read_all(&log, id(2), ALL).await.len(), 3, "others stay");
}

/// A document of a large log.
fn nth(n: u16) -> DocumentId {
    let [high, low] = n.to_be_bytes();
    let mut bytes = [7; 16];
    // Neither in the order in which they are written.
    bytes[0] = low;
    bytes[15] = high;
    DocumentId::from_bytes(bytes)
}

/// Left out: those that were never written, and those that were deleted.
async fn heads_of_many(log: impl DocumentLog) {
    assert!(log.heads(&[]).await.unwrap().is_empty());
    // More than one question has room for.
    let ids: Vec<_> = (0..10_000).map(nth).collect();
    assert!(log.heads(&ids).await.unwrap().is_empty(), "none is written");
    for (id, head) in [(ids[0], 3), (ids[600], 1), (ids[9_999], 2), (ids[42], 5)] {
        log.append(id, revision(0), changes(0..head)).await.unwrap();
    }
    // Whoever loses has not written it.
    let ahead = log.append(ids[43], revision(1), changes(0..1)).await;
    assert!(matches!(ahead, Err(LogError::Conflict { .. })));
    log.delete(ids[42]).await.unwrap();
    log.delete(ids[44]).await.unwrap();
    let mut heads = log.heads(&ids).await.unwrap();
    heads.sort_unstable();
    let mut expected = vec![
        (ids[0], revision(3)),
        (ids[600], revision(1)),
        (ids[9_999], revision(2)),
    ];
    expected.sort_unstable();
    assert_eq!(heads, expected);
    assert_eq!(log.heads(&ids[..1]).await.unwrap(), [(ids[0], revision(3))]);
}

async fn documents_are_listed(log: impl DocumentList) {
    assert!(log.documents(None, 10).await.unwrap().is_empty());
    let mut expected = Vec::new();
    for n in 0..40 {
        let (id, head) = (nth(n), u64::from(n % 3 + 1));
        log.append(id, revision(0), changes(0..head)).await.unwrap();
        let deleted = n % 5 == 0;
        if deleted {
            log.delete(id).await.unwrap();
        }
        expected.push(Listed {
            id,
            head: if deleted { revision(0) } else { revision(head) },
            deleted,
        });
    }
    // Neither asked for nor refused is there.
    assert_eq!(log.head(nth(100)).await.unwrap(), revision(0));
    let ahead = log.append(nth(101), revision(1), changes(0..1)).await;
    assert!(matches!(ahead, Err(LogError::Conflict { .. })));
    expected.sort_unstable_by_key(|it| it.id.to_bytes());
    for limit in [1, 7, 40, 1_000] {
        let mut listed: Vec<Listed> = Vec::new();
        loop {
            let after = listed.last().map(|it| it.id);
            let page = log.documents(after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

async fn large_changes(log: impl DocumentLog) {
    let large = Change {
        delta: Bytes::from(vec![b'x'; 4 << 20]),
        ..change(1)
    };
    log.append(
        id(1),
        revision(0),
        vec![large.clone(), change(2), large.clone()],
    )
    .await
    .unwrap();
    assert_eq!(
        read_all(&log, id(1), 1 << 20).await,
        [large.clone(), change(2), large]
    );
}

/// Appends on right and wrong bases, many seeds, against the obvious model.
async fn behaves_like_a_list(log: impl DocumentLog) {
    let mut model: Vec<Vec<Change>> = vec![Vec::new(); 4];
    let mut random = 1_u64;
    for seq in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (document, behind, count) =
            (random >> 62, (random >> 60) & 3, 1 + ((random >> 56) & 3));
        let list = &mut model[usize::try_from(document).unwrap()];
        let head = list.len() as u64;
        let base = if behind == 0 {
            head.saturating_sub(1)
        } else {
            head
        };
        let batch = changes(seq * 10..seq * 10 + count);
        let of = id(u8::try_from(document).unwrap());
        match log.append(of, revision(base), batch.clone()).await {
            Ok(new) => {
                assert_eq!(base, head);
                list.extend(batch);
                assert_eq!(new, revision(list.len() as u64));
            }
            Err(LogError::Conflict { head: stored }) => {
                assert_ne!(base, head);
                assert_eq!(stored, revision(head));
            }
            Err(error) => panic!("{error}"),
        }
    }
    for (document, list) in (0..).zip(&model) {
        assert_eq!(&read_all(&log, id(document), 300).await, list);
    }
}

/// One change at a time, several, and some large ones.
async fn append_mixed(log: &impl DocumentLog, of: DocumentId, count: u64) -> Vec<Change> {
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        let head = all.len() as u64;
        let batch: Vec<_> = match head % 97 {
            40 => changes(head..head + 30),
            90 => vec![Change {
                delta: Bytes::from(vec![b'x'; 20 << 10]),
                ..change(head)
            }],
            _ => vec![change(head)],
        };
        log.append(of, revision(head), batch.clone()).await.unwrap();
        all.extend(batch);
    }
    all
}

/// Steps until there is nothing left to do; says how many rows fewer there are.
async fn compact(log: &impl Compact, of: DocumentId) -> u64 {
    let mut rows = 0;
    loop {
        let step = log.compact(of).await.unwrap();
        rows += step.rows;
        if !step.more {
            return rows;
        }
    }
}

/// From any revision, with any limit.
async fn assert_reads(log: &impl DocumentLog, of: DocumentId, expected: &[Change]) {
    for after in (0..=expected.len()).step_by(61) {
        for page in [0, 1_000, 30_000, ALL] {
            let at = revision(after as u64);
            let read = log.read(of, at, page).await.unwrap();
            assert!(!read.is_empty() || after == expected.len());
            assert!(expected[after..].starts_with(&read), "{after}, {page}");
            if page == ALL {
                assert_eq!(read.len(), expected.len() - after);
            }
        }
    }
    assert_eq!(read_all(log, of, 5_000).await, expected);
}

async fn compacted_is_the_same(log: impl Compact) {
    let nothing = log.compact(id(1)).await.unwrap();
    assert_eq!(nothing, Compacted::default());
    assert!(log.loose(None, 10).await.unwrap().is_empty());
    let expected = append_mixed(&log, id(1), 2_000).await;
    append_mixed(&log, id(2), 20).await;
    for at in [500, 1_999] {
        log.put_checkpoint(id(1), checkpoint(at)).await.unwrap();
    }
    let is_memory = log.loose(None, 10).await.unwrap().is_empty();
    if !is_memory {
        assert_eq!(log.loose(None, 10).await.unwrap(), [id(1)], "few are left");
        assert!(log.loose(Some(id(1)), 10).await.unwrap().is_empty());
    }
    let mut steps = 0;
    loop {
        let step = log.compact(id(1)).await.unwrap();
        assert_reads(&log, id(1), &expected).await;
        steps += 1;
        if !step.more {
            break;
        }
        assert!(
            step.rows < 512 && steps < 100,
            "steps are small, and lead on"
        );
    }
    assert!(is_memory || steps > 3);
    assert!(log.loose(None, 10).await.unwrap().is_empty());
    assert_eq!(
        log.head(id(1)).await.unwrap(),
        revision(expected.len() as u64)
    );
    assert_eq!(
        log.checkpoint(id(1), revision(1_000)).await.unwrap(),
        Some(checkpoint(500))
    );
    // Nobody loses a race who has lost none, and appends go on where they were.
    let head = expected.len() as u64;
    let late = log.append(id(1), revision(head - 1), changes(0..1)).await;
    assert!(matches!(late, Err(LogError::Conflict { head: at }) if at == revision(head)));
    let next = log.append(id(1), revision(head), changes(0..1)).await;
    assert_eq!(next.unwrap(), revision(head + 1));
}

/// Two compact, one appends, and two read, all at once.
async fn compacted_while_others_are_at_it(log: impl Compact) {
    const COUNT: u64 = 1_200;
    let log = Arc::new(log);
    let mut expected = append_mixed(&log, id(1), COUNT / 2).await;
    let compacting = (0..2).map(|_| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            while log.head(id(1)).await.unwrap() < revision(COUNT) {
                compact(&log, id(1)).await;
                tokio::task::yield_now().await;
            }
        })
    });
    let reading = [2_000, ALL].map(|page| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut before: Vec<Change> = Vec::new();
            while (before.len() as u64) < COUNT {
                let now = read_all(&log, id(1), page).await;
                assert!(now.starts_with(&before), "**prefix**");
                before = now;
            }
            before
        })
    });
    let (compacting, reading): (Vec<_>, Vec<_>) = (compacting.collect(), reading.into());
    for n in expected.len() as u64..COUNT {
        log.append(id(1), revision(n), vec![change(n)])
            .await
            .unwrap();
        expected.push(change(n));
    }
    for task in compacting {
        task.await.unwrap();
    }
    for task in reading {
        assert_eq!(task.await.unwrap(), expected);
    }
    compact(&log, id(1)).await;
    assert_reads(&log, id(1), &expected).await;
}

/// A document that is edited now and then has few rows all the same.
async fn compacted_again_and_again(log: impl Compact) {
    let mut rows = 0_i64;
    for n in 0..1_500 {
        log.append(id(1), revision(n), vec![change(n)])
            .await
            .unwrap();
        rows += 1;
        if log.loose(None, 1).await.unwrap() == [id(1)] {
            rows -= i64::try_from(compact(&log, id(1)).await).unwrap();
            assert!(rows <= 8, "{rows} after {n}");
        }
    }
    assert_reads(&log, id(1), &changes(0..1_500)).await;
}

async fn compacted_and_deleted(log: impl Compact) {
    let deleted = |error: LogError| matches!(error, LogError::Deleted { id: of } if of == id(1));
    append_mixed(&log, id(1), 1_000).await;
    let kept = append_mixed(&log, id(2), 200).await;
    log.compact(id(1)).await.unwrap();
    log.delete(id(1)).await.unwrap();
    assert!(deleted(log.compact(id(1)).await.unwrap_err()));
    assert!(deleted(
        log.read(id(1), revision(0), ALL).await.unwrap_err()
    ));
    assert!(!log.loose(None, 10).await.unwrap().contains(&id(1)));
    compact(&log, id(2)).await;
    assert_reads(&log, id(2), &kept).await;
}
