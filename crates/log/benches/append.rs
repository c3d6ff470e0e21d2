//! Appends a second, of single small changes, to SQLite and to PostgreSQL.
//!
//! One document with one append in flight is the latency of a commit; a thousand documents with one each
//! in flight show what goes together. The stores take turns, round by round, so that they meet the same
//! machine; what is printed is the median of the rounds, with the lowest and the highest.

#![allow(clippy::print_stdout, reason = "this is its output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use motet_log::{AnyLog, DocumentLog, SqliteLog};
use motet_model::{Change, DocumentId, Revision, UserId};
use tokio::time::Instant;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// As a keystroke comes from a room.
fn change(seq: u64) -> Change {
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        seq,
        merged: false,
        time_ms: 1_700_000_000_000 + seq,
        delta: Bytes::from_static(br#"{"ops":[{"retain":1000},{"insert":"a"}]}"#),
        update: Bytes::from_static(&[7; 30]),
    }
}

/// How many appends a second, to as many documents at a time. Their ids begin with `round`.
async fn appends(log: &Arc<AnyLog>, round: u8, documents: u64) -> f64 {
    let started = Instant::now();
    let writers: Vec<_> = (0..documents)
        .map(|n| {
            let mut id = [round; 16];
            // Spread as random ids are.
            id[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let (id, log) = (DocumentId::from_bytes(id), Arc::clone(log));
            tokio::spawn(async move {
                let mut head = Revision::ZERO;
                while started.elapsed() < ROUND {
                    let change = change(head.get());
                    head = log.append(id, head, vec![change]).await.unwrap();
                }
                head.get()
            })
        })
        .collect();
    let mut appended = 0;
    for writer in writers {
        appended += writer.await.unwrap();
    }
    appended as f64 / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let schema = motet_testing::Schema::new().await;
    let sqlite = SqliteLog::open(&folder.path().join("log.db")).unwrap();
    let stores: [(&str, Arc<AnyLog>); 2] = [
        ("sqlite", Arc::new(sqlite.into())),
        ("postgres", Arc::new(support::open(&schema).await.into())),
    ];
    let mut medians = Vec::new();
    for documents in [1, 100, 1_000, 10_000] {
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            for ((_, log), rounds) in stores.iter().zip(&mut rounds) {
                let unique = u8::try_from(medians.len() * ROUNDS + round).unwrap();
                rounds.push(appends(log, unique, documents).await);
            }
        }
        let [of_sqlite, of_postgres] = rounds.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds
        });
        for ((name, _), rounds) in stores.iter().zip([&of_sqlite, &of_postgres]) {
            println!(
                "{documents:>6} in flight, {name:>8}: {:>8.0} appends/s ({:.0} to {:.0})",
                rounds[ROUNDS / 2],
                rounds[0],
                rounds[ROUNDS - 1]
            );
        }
        medians.push((documents, of_postgres[ROUNDS / 2] / of_sqlite[ROUNDS / 2]));
    }
    for (documents, ratio) in medians {
        println!("{documents:>6} in flight, postgres to sqlite: {ratio:.2}");
    }
}
