//! What putting small appends together saves in SQLite, and what it costs those who write; and how many documents
//! there may be, with how much history.
//!
//! Rounds with and without take turns, so that they meet the same machine; what is printed is the median of the
//! rounds, with the lowest and the highest.

#![allow(clippy::print_stdout, reason = "this is its output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "random bits are cut off")]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use motet_log::{Compact, DocumentLog, SqliteLog};
use motet_model::{Change, DocumentId, Revision, UserId};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// As a server rests.
const REST: u32 = 9;

/// As a keystroke at a random place comes from a room.
fn change(n: u64) -> Change {
    let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let place = |mix: u64| (random.wrapping_mul(mix) >> 8) % 80_000;
    let mut update = vec![1, 1, 128, 128, 128, 128, 16];
    for clock in [n % 80_000, place(3), place(7)] {
        update.extend([0x80 | (clock % 128) as u8, 0x80 | (clock / 128 % 128) as u8]);
        update.extend([(clock / 16_384) as u8, 128, 128, 128, 128, 16]);
    }
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        seq: n + 1,
        merged: false,
        time_ms: 1_700_000_000_000 + n * 100 + random % 100,
        delta: Bytes::from(format!(
            r#"{{"ops":[{{"retain":{}}},{{"insert":"{}"}}]}}"#,
            place(5),
            char::from(b'a' + (random % 26) as u8)
        )),
        update: update.into(),
    }
}

fn id(n: u64) -> DocumentId {
    let mut id = [9; 16];
    // Spread as random ids are.
    id[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    DocumentId::from_bytes(id)
}

/// Appends single changes to each of these documents, one at a time to each, and says how many a second; with
/// what each took.
async fn appends(
    log: &Arc<SqliteLog>,
    documents: impl Iterator<Item = u64>,
    time: Duration,
) -> (f64, Vec<Duration>) {
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for n in documents {
        let log = Arc::clone(log);
        writers.spawn(async move {
            let mut took = Vec::new();
            let mut head = log.head(id(n)).await.unwrap();
            while started.elapsed() < time {
                let began = Instant::now();
                let change = change(head.get());
                head = log.append(id(n), head, vec![change]).await.unwrap();
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took = writers.join_all().await.concat();
    took.sort_unstable();
    (took.len() as f64 / started.elapsed().as_secs_f64(), took)
}

/// Compacts whatever there is, with rests, and says how long steps took.
async fn compact(log: &SqliteLog, rest: u32) -> Vec<Duration> {
    let (mut after, mut took) = (None, Vec::new());
    loop {
        let page = log.loose(after, 500).await.unwrap();
        let Some(last) = page.last() else {
            took.sort_unstable();
            return took;
        };
        after = Some(*last);
        for id in page {
            let mut more = true;
            while more {
                let began = Instant::now();
                more = log.compact(id).await.unwrap().more;
                took.push(began.elapsed());
                sleep(began.elapsed() * rest).await;
            }
        }
    }
}

fn at(sorted: &[Duration], part: f64) -> f64 {
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted
        .get(index)
        .map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
}

fn median(mut rounds: Vec<f64>) -> String {
    rounds.sort_by(f64::total_cmp);
    let (low, high) = (rounds[0], rounds[rounds.len() - 1]);
    format!("{:.1} ({low:.1} to {high:.1})", rounds[rounds.len() / 2])
}

async fn room(path: &Path) {
    const DOCUMENTS: u64 = 100;
    let log = Arc::new(SqliteLog::open(path).unwrap());
    let (mut rates, mut tails) = ([vec![], vec![]], [vec![], vec![]]);
    let mut steps = Vec::new();
    for _ in 0..ROUNDS {
        for with in [0, 1] {
            let writing = appends(&log, 0..DOCUMENTS, ROUND);
            let (rate, took) = if with == 1 {
                let compacting = async {
                    loop {
                        let took = compact(&log, REST).await;
                        if took.is_empty() {
                            sleep(Duration::from_millis(50)).await;
                        }
                        steps.extend(took);
                    }
                };
                tokio::select! {
                    done = writing => done,
                    () = compacting => unreachable!("it goes on"),
                }
            } else {
                writing.await
            };
            rates[with].push(rate);
            tails[with].push(at(&took, 0.99));
        }
    }
    steps.sort_unstable();
    let [without, with] = rates.map(median);
    println!("appends/s of {DOCUMENTS} writers: {without}, beside compaction {with}");
    let [without, with] = tails.map(median);
    println!("p99 of an append, ms: {without}, beside compaction {with}");
    let (p50, p99) = (at(&steps, 0.5), at(&steps, 0.99));
    println!(
        "{} steps, ms: p50 {p50:.1}, p99 {p99:.1}, max {:.1}",
        steps.len(),
        at(&steps, 1.0)
    );

    let mut changes = 0;
    for n in 0..DOCUMENTS {
        changes += log.head(id(n)).await.unwrap().get();
    }
    let began = Instant::now();
    let steps = compact(&log, 0).await.len();
    println!(
        "{steps} steps without rests: {:.2} s",
        began.elapsed().as_secs_f64()
    );
    log.scrub().await.unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    println!(
        "the file, bytes a change: {:.1} of {changes}",
        bytes as f64 / changes as f64
    );
}

async fn tenfold(folder: &Path) {
    const HISTORY: u64 = 100;
    const WRITERS: usize = 1_000;
    let mut logs = Vec::new();
    for documents in [10_000, 100_000] {
        let path = folder.join(format!("{documents}.db"));
        let log = Arc::new(SqliteLog::open(&path).unwrap());
        let mut filling = JoinSet::new();
        for n in 0..documents {
            if filling.len() >= WRITERS {
                filling.join_next().await;
            }
            let log = Arc::clone(&log);
            filling.spawn(async move {
                let changes = (0..HISTORY).map(change).collect();
                log.append(id(n), Revision::ZERO, changes).await.unwrap();
            });
        }
        filling.join_all().await;
        logs.push((documents, log, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (documents, log, rates) in &mut logs {
            let step = usize::try_from(*documents).unwrap() / WRITERS;
            let (rate, _) = appends(log, (0..*documents).step_by(step), ROUND).await;
            rates.push(rate);
        }
    }
    for (documents, _, rates) in logs {
        let rates = median(rates);
        println!("appends/s of {WRITERS} writers, {documents} documents of {HISTORY}: {rates}");
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    room(&folder.path().join("log.db")).await;
    tenfold(folder.path()).await;
}
