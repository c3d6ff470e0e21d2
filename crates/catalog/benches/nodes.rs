//! What nodes ask of a catalog in PostgreSQL while people write, a second: who somebody is and what they may
//! do, when a document was changed, what it says, and rows of the audit trail.
//!
//! Several catalogs stand for as many nodes, each with connections of its own. What is printed is the median of
//! the rounds, with the lowest and the highest. Server and nodes share the machine.

#![allow(clippy::print_stdout, reason = "this is its output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use motet_catalog::{Actor, AuditAction, Catalog, Entry, Kind, NewDocument, NewUser};
use motet_model::{DocumentId, OrganizationId, Revision, UserId};
use motet_testing::Schema;
use tokio::time::Instant;

const NODES: usize = 4;
/// What is under way on a node at a time.
const AT_ONCE: usize = 8;
const DOCUMENTS: usize = 2_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// As many rows as the server notes together at most.
const ROWS: usize = 256;
const NOW_MS: u64 = 1_700_000_000_000;
const OWNER: UserId = UserId::from_bytes([1; 16]);

fn actor() -> Actor {
    Actor {
        user: Some(OWNER),
        organization: OrganizationId::DEFAULT,
        address: "192.0.2.1".to_owned(),
        nonce: [0; 16],
        at_ms: NOW_MS,
    }
}

fn document(number: u64) -> DocumentId {
    let mut id = [7; 16];
    id[8..].copy_from_slice(
        &(number % DOCUMENTS as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes(),
    );
    DocumentId::from_bytes(id)
}

/// About 8 kB of words, of which some are another document's only.
fn text(number: u64) -> String {
    let mut text = String::new();
    let mut dice = number.wrapping_add(1);
    while text.len() < 8 << 10 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Few words are frequent, many are rare.
        let word = (dice >> 33) % (1 << (4 + (dice >> 60)));
        text.push_str(&format!("word{word:x} "));
    }
    text
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Account,
    Rights,
    Touch,
    Index,
    Note(usize),
}

impl Work {
    /// Does it once.
    async fn once(self, catalog: &Catalog, number: u64) {
        let id = document(number);
        match self {
            Self::Account => {
                catalog.user_signed_in(OWNER, "family").await.unwrap();
            }
            Self::Rights => {
                catalog.rights(OWNER, id, NOW_MS).await.unwrap();
            }
            Self::Touch => catalog.touch_document(id, NOW_MS + number).await.unwrap(),
            Self::Index => {
                let revision = Revision::new(number + 1);
                catalog
                    .index_content(id, revision, &text(number))
                    .await
                    .unwrap();
            }
            Self::Note(rows) => {
                let entry = Entry::new(AuditAction::DocumentOpened).document(id);
                catalog.note(&vec![(actor(), entry); rows]).await.unwrap();
            }
        }
    }
}

/// How often a second all nodes together get it done.
async fn round(nodes: &[Catalog], work: Work, count: &Arc<AtomicU64>) -> f64 {
    let (started, before) = (Instant::now(), count.load(Relaxed));
    let mut tasks = Vec::new();
    for catalog in nodes {
        // A node notes what waits in one transaction after the other.
        let at_once = if matches!(work, Work::Note(_)) {
            1
        } else {
            AT_ONCE
        };
        for _ in 0..at_once {
            let (catalog, count) = (catalog.clone(), Arc::clone(count));
            tasks.push(tokio::spawn(async move {
                while started.elapsed() < ROUND {
                    work.once(&catalog, count.fetch_add(1, Relaxed)).await;
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    (count.load(Relaxed) - before) as f64 / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let schema = Schema::new().await;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Catalog::open_postgres(&schema.url()).await.unwrap());
    }
    let owner = NewUser {
        id: OWNER,
        organization: OrganizationId::DEFAULT,
        kind: Kind::Member,
        email: Some("owner@example.com".to_owned()),
        name: "Somebody".to_owned(),
        password_hash: None,
        administrator: false,
    };
    let actor = actor();
    let made = nodes[0].create_user(&actor, &owner, AuditAction::AccountCreated);
    made.await.unwrap();
    for number in 0..DOCUMENTS as u64 {
        let (id, title) = (document(number), format!("Document {number}"));
        let new = NewDocument {
            id,
            title,
            owner: OWNER,
        };
        nodes[0].create_document(&actor, &new).await.unwrap();
    }
    let works = [
        ("who somebody is", Work::Account, 1),
        ("what they may do", Work::Rights, 1),
        ("times of the last change", Work::Touch, 1),
        ("texts of 8 kB indexed", Work::Index, 1),
        (
            "rows of the audit trail, 256 at a time",
            Work::Note(ROWS),
            ROWS,
        ),
        ("rows of the audit trail, one at a time", Work::Note(1), 1),
    ];
    let count = Arc::new(AtomicU64::new(0));
    for (name, work, each) in works {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(&nodes, work, &count).await * each as f64);
        }
        rounds.sort_by(f64::total_cmp);
        let [least, median, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| rounds[at]);
        println!("{name:>40}: {median:>7.0} a second ({least:.0} to {most:.0})");
    }
}
