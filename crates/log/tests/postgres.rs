//! What only a store of several nodes has to show: that they do not get into each other's way, and that
//! nothing is lost or doubled when connections break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use motet_log::{DocumentLog, LogError, PostgresLog, PostgresSettings};
use motet_model::{Change, Checkpoint, DocumentId, Revision};
use sqlx::{Connection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use self::support::{change, open};
use motet_testing::{Fault, Proxy, Schema};

const ID: DocumentId = DocumentId::from_bytes([9; 16]);

fn id(n: u8) -> DocumentId {
    DocumentId::from_bytes([n; 16])
}

fn revision(n: u64) -> Revision {
    Revision::new(n)
}

async fn read(log: &impl DocumentLog, id: DocumentId) -> Vec<Change> {
    log.read(id, Revision::ZERO, usize::MAX).await.unwrap()
}

/// Settings of somebody in a hurry.
fn short(answer_ms: u64, give_up_ms: u64) -> PostgresSettings {
    let mut settings = PostgresSettings::default();
    settings.answer_timeout = Duration::from_millis(answer_ms);
    settings.give_up_after = Duration::from_millis(give_up_ms);
    settings
}

/// What writers were told: who won after which base.
#[derive(Default)]
struct Told {
    won: BTreeMap<(DocumentId, u64), u64>,
    asked: u64,
    unknown: u64,
}

/// Appends one change after the other, to the documents in turn, until `stop`, whatever happens.
async fn write(
    log: Arc<PostgresLog>,
    seqs: Arc<AtomicU64>,
    documents: u8,
    stop: Arc<AtomicBool>,
) -> Told {
    let mut told = Told::default();
    let mut heads = BTreeMap::new();
    while !stop.load(SeqCst) {
        let seq = seqs.fetch_add(1, SeqCst) + 1;
        let id = id(u8::try_from(seq % u64::from(documents)).unwrap());
        let base: Revision = heads.get(&id).copied().unwrap_or_default();
        told.asked += 1;
        let head = match log.append(id, base, vec![change(seq)]).await {
            Ok(head) => {
                assert_eq!(head, base.next());
                assert_eq!(told.won.insert((id, base.get()), seq), None);
                head
            }
            Err(LogError::Conflict { head }) => {
                assert_ne!(head, base);
                head
            }
            Err(LogError::Unknown { .. }) => {
                told.unknown += 1;
                log.head(id).await.unwrap_or(base)
            }
            Err(LogError::Unavailable { .. }) => log.head(id).await.unwrap_or(base),
            Err(error) => panic!("{error}"),
        };
        heads.insert(id, head);
    }
    told
}

/// **dense**, **fenced**, **durable**: what was acknowledged is where it was said to be, each once.
async fn assert_all_there(log: &PostgresLog, documents: u8, told: &[Told]) {
    for n in 0..documents {
        let changes = read(log, id(n)).await;
        assert_eq!(
            log.head(id(n)).await.unwrap(),
            revision(changes.len() as u64)
        );
        let mut seqs: Vec<_> = changes.iter().map(|change| change.seq).collect();
        for won in told.iter().map(|told| &told.won) {
            for ((_, base), seq) in won.range((id(n), 0)..=(id(n), u64::MAX)) {
                assert_eq!(seqs[usize::try_from(*base).unwrap()], *seq, "after {base}");
            }
        }
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), changes.len(), "none is doubled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fenced_across_nodes() {
    const DOCUMENTS: u8 = 7;
    let schema = Schema::new().await;
    let (seqs, stop) = (Arc::default(), Arc::default());
    let mut writers = Vec::new();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        let node = Arc::new(open(&schema).await);
        for _ in 0..8 {
            let (seqs, stop) = (Arc::clone(&seqs), Arc::clone(&stop));
            writers.push(tokio::spawn(write(
                Arc::clone(&node),
                seqs,
                DOCUMENTS,
                stop,
            )));
        }
        nodes.push(node);
    }
    while seqs.load(SeqCst) < 3_000 {
        sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, SeqCst);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    assert_all_there(&nodes[0], DOCUMENTS, &told).await;
    // Nothing went wrong, so each change that is there was acknowledged.
    assert_eq!(told.iter().map(|told| told.unknown).sum::<u64>(), 0);
    let won: usize = told.iter().map(|told| told.won.len()).sum();
    let mut stored = 0;
    for n in 0..DOCUMENTS {
        stored += read(&*nodes[0], id(n)).await.len();
    }
    assert_eq!(won, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_are_terminated() {
    const DOCUMENTS: u8 = 40;
    let schema = Schema::new().await;
    let log = Arc::new(open(&schema).await);
    let (seqs, stop) = (Arc::<AtomicU64>::default(), Arc::default());
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let (seqs, stop) = (Arc::clone(&seqs), Arc::clone(&stop));
            tokio::spawn(write(Arc::clone(&log), seqs, DOCUMENTS, stop))
        })
        .collect();
    let mut killer = schema.connect().await;
    let mut killed = 0;
    while killed < 60 {
        let before = seqs.load(SeqCst);
        killed += sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
        )
        .bind(schema.name())
        .execute(&mut killer)
        .await
        .unwrap()
        .rows_affected();
        // It recovers by itself: each time it goes on.
        let deadline = Instant::now() + Duration::from_secs(30);
        while seqs.load(SeqCst) < before + 50 {
            assert!(
                Instant::now() < deadline,
                "no append after {killed} were killed"
            );
            sleep(Duration::from_millis(1)).await;
        }
    }
    stop.store(true, SeqCst);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    assert_all_there(&log, DOCUMENTS, &told).await;
    let unknown: u64 = told.iter().map(|told| told.unknown).sum();
    assert_eq!(unknown, 0, "the outcome was found out each time");
}

/// A log behind a proxy, whose one lane is connected, with one change.
async fn behind_proxy(schema: &Schema, mut settings: PostgresSettings) -> (Proxy, PostgresLog) {
    let options: PgConnectOptions = schema.url().parse().unwrap();
    let (host, port) = (options.get_host(), options.get_port());
    let proxy = Proxy::start(format!("{host}:{port}")).await;
    let address = proxy.address;
    settings.lanes = 1;
    let url = format!(
        "{}&host={}&port={}",
        schema.url(),
        address.ip(),
        address.port()
    );
    let log = PostgresLog::open(&url, settings).await.unwrap();
    let first = log.append(ID, revision(0), vec![change(1)]).await.unwrap();
    assert_eq!(first, revision(1));
    (proxy, log)
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_sent_again() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::SwallowAnswer] {
        let schema = Schema::new().await;
        let (proxy, log) = behind_proxy(&schema, short(500, 20_000)).await;
        proxy.next(fault);
        let second = log.append(ID, revision(1), vec![change(2)]).await;
        assert!(proxy.happened(fault));
        assert_eq!(second.unwrap(), revision(2), "{fault:?}");
        let third = log.append(ID, revision(2), vec![change(3)]).await;
        assert_eq!(third.unwrap(), revision(3), "{fault:?}");
        assert_eq!(read(&log, ID).await, [change(1), change(2), change(3)]);
    }
}

#[tokio::test]
async fn somebody_else_who_was_first_is_found_out() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
        let schema = Schema::new().await;
        let (proxy, log) = behind_proxy(&schema, short(500, 20_000)).await;
        let other = open(&schema).await;
        other
            .append(ID, revision(1), vec![change(7)])
            .await
            .unwrap();
        proxy.next(fault);
        let second = log.append(ID, revision(1), vec![change(2)]).await;
        assert!(proxy.happened(fault));
        assert!(
            matches!(second, Err(LogError::Conflict { head }) if head == revision(2)),
            "{second:?}"
        );
        assert_eq!(read(&log, ID).await, [change(1), change(7)]);
    }
}

#[tokio::test]
async fn unknown_only_if_it_stays_away() {
    let schema = Schema::new().await;
    let (proxy, log) = behind_proxy(&schema, short(500, 2_000)).await;
    proxy.next(Fault::LoseAnswerAndRefuse);
    let second = log.append(ID, revision(1), vec![change(2)]).await;
    assert!(
        matches!(second, Err(LogError::Unknown { .. })),
        "{second:?}"
    );
    // From now on nothing can be sent at all.
    let started = Instant::now();
    let third = log.append(ID, revision(2), vec![change(3)]).await;
    assert!(
        matches!(third, Err(LogError::Unavailable { .. })),
        "{third:?}"
    );
    let head = log.head(ID).await;
    assert!(
        matches!(head, Err(LogError::Unavailable { .. })),
        "{head:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(20), "it gives up");
    proxy.next(Fault::None);
    assert_eq!(read(&log, ID).await, [change(1), change(2)]);
    let third = log.append(ID, revision(2), vec![change(3)]).await;
    assert_eq!(third.unwrap(), revision(3));
}

#[tokio::test]
async fn reads_are_asked_again() {
    for fault in [Fault::LoseRequest, Fault::LoseAnswer, Fault::SwallowAnswer] {
        let schema = Schema::new().await;
        let (proxy, log) = behind_proxy(&schema, short(500, 20_000)).await;
        for _ in 0..3 {
            proxy.next(fault);
            assert_eq!(read(&log, ID).await, [change(1)], "{fault:?}");
            assert!(proxy.happened(fault));
            let checkpoint = Checkpoint {
                revision: revision(1),
                state: Bytes::from_static(b"state"),
            };
            proxy.next(fault);
            if fault != Fault::SwallowAnswer {
                log.put_checkpoint(ID, checkpoint.clone()).await.unwrap();
                assert!(proxy.happened(fault));
                let stored = log.checkpoint(ID, revision(1)).await.unwrap();
                assert_eq!(stored, Some(checkpoint));
            }
        }
    }
}

/// What the database does not accept concerns nobody else, though it goes with others in one statement.
#[tokio::test]
async fn what_is_not_accepted_fails_alone() {
    let schema = Schema::new().await;
    let log = Arc::new(open(&schema).await);
    schema
        .execute("ALTER TABLE log_appends ADD CHECK (octet_length(record) < 1000)")
        .await;
    // The same lane, and one more that occupies it meanwhile.
    let document = |n: u8| DocumentId::from_bytes([n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let appends: Vec<_> = (0..30_u8)
        .map(|n| {
            let log = Arc::clone(&log);
            let large = n % 10 == 5;
            let change = Change {
                delta: Bytes::from(vec![b'x'; if large { 2_000 } else { 20 }]),
                ..change(n.into())
            };
            tokio::spawn(async move {
                let appended = log.append(document(n), revision(0), vec![change]).await;
                (large, appended)
            })
        })
        .collect();
    for append in appends {
        match append.await.unwrap() {
            (true, appended) => assert!(
                matches!(appended, Err(LogError::Unavailable { .. })),
                "{appended:?}"
            ),
            (false, appended) => assert_eq!(appended.unwrap(), revision(1)),
        }
    }
}

#[tokio::test]
async fn durable_across_a_reopen() {
    let schema = Schema::new().await;
    let checkpoint = Checkpoint {
        revision: revision(2),
        state: Bytes::from_static(b"state"),
    };
    {
        let log = open(&schema).await;
        log.append(ID, revision(0), vec![change(1), change(2)])
            .await
            .unwrap();
        log.put_checkpoint(ID, checkpoint.clone()).await.unwrap();
    }
    let log = open(&schema).await;
    assert_eq!(read(&log, ID).await, [change(1), change(2)]);
    assert_eq!(
        log.checkpoint(ID, revision(5)).await.unwrap(),
        Some(checkpoint)
    );
}

/// Whatever the configuration says: that of the role and database here.
#[tokio::test]
async fn durable_also_where_the_server_would_not_be() {
    let schema = Schema::new().await;
    let url = format!("{}&options=-c%20synchronous_commit%3Doff", schema.url());
    let log = PostgresLog::open(&url, short(5_000, 5_000)).await.unwrap();
    // Each row says how its transaction was to be committed.
    schema
        .execute(
            "ALTER TABLE log_appends ADD how text DEFAULT current_setting('synchronous_commit')",
        )
        .await;
    log.append(ID, revision(0), vec![change(1)]).await.unwrap();
    let how: String = sqlx::query_scalar("SELECT how FROM log_appends")
        .fetch_one(&mut schema.connect().await)
        .await
        .unwrap();
    assert_eq!(how, "on");
}

#[tokio::test]
async fn many_open_an_empty_database_at_once() {
    let schema = Arc::new(Schema::new().await);
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let schema = Arc::clone(&schema);
            tokio::spawn(async move { open(&schema).await })
        })
        .collect();
    for (n, log) in (0..).zip(opening) {
        let log = log.await.unwrap();
        let head = log.append(ID, revision(n), vec![change(n)]).await;
        assert_eq!(head.unwrap(), revision(n + 1));
    }
}

#[tokio::test]
async fn newer_tables_are_refused() {
    let schema = Schema::new().await;
    drop(open(&schema).await);
    schema
        .execute(
            "INSERT INTO log_migrations (version, description, success, checksum, execution_time)
             VALUES (1000, 'of the future', true, '', 0)",
        )
        .await;
    let opened = PostgresLog::open(&schema.url(), PostgresSettings::default()).await;
    assert!(
        matches!(opened, Err(LogError::NewerFormat { found: 1_000, .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn damage_is_found() {
    let damages = [
        "UPDATE log_appends SET record = set_byte(record, 9, get_byte(record, 9) # 1) WHERE last = 2",
        "UPDATE log_appends SET record = (SELECT record FROM log_appends WHERE last = 1) WHERE last = 2",
        "DELETE FROM log_appends WHERE last = 2",
        "DELETE FROM log_appends WHERE last = 3",
    ];
    for damage in damages {
        let schema = Schema::new().await;
        let log = open(&schema).await;
        for n in 0..3 {
            log.append(ID, revision(n), vec![change(n + 1)])
                .await
                .unwrap();
        }
        assert_eq!(read(&log, ID).await.len(), 3);
        schema.execute(damage).await;
        let error = log.read(ID, revision(0), usize::MAX).await.unwrap_err();
        assert!(
            matches!(error, LogError::Corrupt { .. }),
            "{damage}: {error}"
        );
    }
}

/// A page is cut where it is full, not taken for a log that ends there.
#[tokio::test]
async fn pages_of_many_small_appends() {
    let schema = Schema::new().await;
    let log = open(&schema).await;
    let mut empty = change(0);
    empty.client_id = "c".parse().unwrap();
    empty.delta = Bytes::new();
    for n in 0..30 {
        log.append(ID, revision(n), vec![empty.clone()])
            .await
            .unwrap();
    }
    for page in [1, 130, 260, 1_000, 4_000] {
        let mut count = 0;
        while count < 30 {
            let changes = log.read(ID, revision(count), page).await.unwrap();
            assert!(!changes.is_empty(), "pages of {page} bytes, after {count}");
            count += changes.len() as u64;
        }
        assert_eq!(count, 30);
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_document_is_in_the_tables() {
    let schema = Schema::new().await;
    let log = open(&schema).await;
    // Not to be compressed, and too large for the table itself: beside it.
    let mut random = 1_u64;
    for n in 0..50 {
        let delta = (0..20_000).map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            random.to_be_bytes()[0]
        });
        let change = Change {
            delta: delta.collect::<Vec<_>>().into(),
            ..change(n)
        };
        log.append(ID, revision(n), vec![change]).await.unwrap();
    }
    let size = async || -> i64 {
        let select = "SELECT pg_relation_size(oid) + pg_relation_size(reltoastrelid)
                      FROM pg_class WHERE oid = 'log_appends'::regclass";
        let mut connection = schema.connect().await;
        sqlx::query_scalar(select)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    };
    assert!(size().await > 1_000_000);
    log.delete(ID).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM log_appends")
        .fetch_one(&mut schema.connect().await)
        .await
        .unwrap();
    assert_eq!(rows, 0);
    // Other tests' transactions hold it up for a while.
    let deadline = Instant::now() + Duration::from_secs(60);
    while size().await > 0 {
        assert!(Instant::now() < deadline, "{} bytes are left", size().await);
        log.scrub().await.unwrap();
    }
    log.append(id(1), revision(0), vec![change(1)])
        .await
        .unwrap();
}

/// Rows that somebody else removes meanwhile, as compaction does, are not taken for the last ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_leaves_nothing_whatever_others_remove_meanwhile() {
    let schema = Schema::new().await;
    let log = Arc::new(open(&schema).await);
    log.append(ID, revision(0), vec![change(1)]).await.unwrap();
    // More than go at a time. Nobody reads them.
    schema
        .execute(
            "INSERT INTO log_appends (document, first, last, record)
             SELECT document, n, n, record FROM log_appends, generate_series(2, 12000) AS n",
        )
        .await;
    let mut other = schema.connect().await;
    let mut removing = other.begin().await.unwrap();
    sqlx::query("DELETE FROM log_appends WHERE last BETWEEN 1 AND 3")
        .execute(&mut *removing)
        .await
        .unwrap();
    let deleting = Arc::clone(&log);
    let deleting = tokio::spawn(async move { deleting.delete(ID).await });
    let mut watching = schema.connect().await;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = $1 AND wait_event_type = 'Lock'";
    loop {
        let waiting: i64 = sqlx::query_scalar(waits)
            .bind(schema.name())
            .fetch_one(&mut watching)
            .await
            .unwrap();
        if waiting > 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    removing.commit().await.unwrap();
    deleting.await.unwrap().unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM log_appends")
        .fetch_one(&mut watching)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn to_read_only() {
    let schema = Schema::new().await;
    let settings = PostgresSettings::default;
    let missing = PostgresLog::open_to_read(&schema.url(), settings()).await;
    assert!(matches!(missing, Err(LogError::Unavailable { .. })));
    let log = open(&schema).await;
    log.append(ID, Revision::ZERO, vec![change(1)])
        .await
        .unwrap();
    let url = schema.url();
    let reader = PostgresLog::open_to_read(&url, short(500, 1_000));
    let reader = reader.await.unwrap();
    assert_eq!(read(&reader, ID).await, [change(1)]);
    let refused = [
        reader.append(ID, revision(1), vec![change(2)]).await.err(),
        reader.delete(ID).await.err(),
    ];
    for error in refused {
        assert!(
            matches!(error, Some(LogError::Unavailable { .. })),
            "{error:?}"
        );
    }
    assert_eq!(read(&log, ID).await, [change(1)]);
    for (change, newer) in [
        (
            "INSERT INTO log_migrations SELECT 99, description, installed_on, success, checksum,
          execution_time FROM log_migrations LIMIT 1",
            true,
        ),
        ("DELETE FROM log_migrations", false),
    ] {
        schema.execute(change).await;
        match PostgresLog::open_to_read(&schema.url(), settings()).await {
            Err(LogError::NewerFormat { found: 99, .. }) => assert!(newer),
            Err(LogError::OlderFormat { found: 0, .. }) => assert!(!newer),
            other => panic!("{other:?}"),
        }
    }
}
