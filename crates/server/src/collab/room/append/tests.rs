//! Rooms on a log that others append to, and that fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use motet_crdt::{Options, Replica, StateVector, Version};
use motet_document::{Access, Command, Event, Settings, Start};
use motet_model::Revision;
use motet_protocol::ErrorCode;
use tokio::{sync::oneshot, time::Instant};

use crate::collab::{
    hints::Hint,
    outbox::End,
    room::{
        Request,
        trial::{Fault, Guest, Node, Troubled, submit},
    },
    verdicts::Verdict,
};

/// One edit in each dialect, with these faults, on a clock of their own.
fn survives(faults: Vec<Fault>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(edits_survive(faults));
}

async fn edits_survive(faults: Vec<Fault>) {
    let races = faults.iter().filter(|it| matches!(it, Fault::Race)).count();
    let log = Troubled::new(faults);
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut thin = node.join(1, Start::Text).await;
    let mut thick = node.join(2, Start::Identities).await;
    thin.submit(1, "a").await;
    thin.until(|it| it.own.len() == 1).await;
    thick.until(|it| !it.sent.is_empty()).await;
    thick.update("b").await;
    thick.until(|it| it.stored == 1).await;
    let changes = log.changes().await;
    assert_eq!(
        changes.len(),
        2 + races,
        "nothing is lost, and nothing doubled"
    );
    assert!(log.faults.lock().unwrap().is_empty());
    thin.until(|it| it.sent.len() == 2 + races).await;
    thick.until(|it| it.sent.len() == 2 + races).await;
    let mut replica = Replica::new(Options::default());
    for change in &changes {
        replica.apply_update(&change.update, Version::V1).unwrap();
    }
    for client in [&thin, &thick] {
        let all = StateVector::default();
        assert_eq!(client.replica.text("content"), replica.text("content"));
        let here = client.replica.encode_update(&all, Version::V1);
        assert_eq!(here, replica.encode_update(&all, Version::V1));
    }
    assert_eq!(node.text().await.0.get(), changes.len() as u64);
}

#[test]
fn the_loser_of_a_race_follows_and_plans_again() {
    survives(vec![Fault::Race]);
    survives(vec![Fault::Race, Fault::Race, Fault::Race]);
}

#[test]
fn sessions_wait_for_a_log_that_is_not_available() {
    survives(vec![Fault::Unavailable; 6]);
}

#[test]
fn an_append_of_which_it_is_not_known_is_looked_for() {
    survives(vec![Fault::Written]);
    survives(vec![Fault::Lost]);
    survives(vec![Fault::Late]);
    survives(vec![Fault::Lost, Fault::Race, Fault::Written]);
    survives(vec![Fault::Late, Fault::Unavailable, Fault::Late]);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let log = Troubled {
        last: Some(Fault::Unavailable),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    let start = Instant::now();
    log.until_tried(3).await;
    assert_eq!(guest.take(), None, "it waits");
    assert!(guest.sent.is_empty(), "**visible after durable**");
    node.room.closed().await;
    assert!(start.elapsed() >= super::PATIENCE, "but not for ever");
    assert_eq!(guest.take(), Some(End::Closed(ErrorCode::Unavailable)));
    assert!(log.changes().await.is_empty());
}

#[tokio::test]
async fn one_who_loses_every_race_gives_up() {
    let log = Troubled {
        last: Some(Fault::Race),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    node.room.closed().await;
    assert_eq!(guest.take(), Some(End::Closed(ErrorCode::Unavailable)));
    assert_eq!(log.changes().await.len(), 50);
}

#[tokio::test]
async fn a_node_looks_when_it_is_told_to_or_someone_knows_more() {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    let mut first = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    log.race().await;
    node.look();
    first.until(|it| it.sent == [1]).await;
    log.race().await;
    // It comes from another node, which is a change itself.
    let resumes = Start::Revision {
        revision: Revision::new(2),
        pending: false,
    };
    let mut second = node.join(2, resumes).await;
    second.submit(1, "b").await;
    second.until(|it| it.own == [4]).await;
    first.until(|it| it.sent == [1, 2, 3, 4]).await;
}

/// A node with a session that has been sent nothing, and a log with four changes of others.
async fn four_missed() -> (Troubled, Node, Guest) {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    let guest = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    for _ in 0..4 {
        log.race().await;
    }
    (log, node, guest)
}

#[tokio::test]
async fn what_others_say_is_followed_without_the_log() {
    let (log, node, mut guest) = four_missed().await;
    let reads = log.reads();
    node.hear(&log, 0, 1).await;
    node.hear(&log, 1, 4).await;
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    // Repeated, overlapping, and long known.
    node.hear(&log, 1, 4).await;
    node.hear(&log, 0, 2).await;
    assert_eq!(node.text().await.0.get(), 4);
    assert_eq!(log.reads(), reads, "it is not asked");
    log.race().await;
    node.hear(&log, 2, 5).await;
    guest.until(|it| it.sent == [1, 2, 3, 4, 5]).await;
}

#[tokio::test]
async fn what_is_reordered_on_the_way_is_followed_in_order() {
    let (log, node, mut guest) = four_missed().await;
    for (base, through) in [(2, 4), (1, 2), (0, 1)] {
        node.hear(&log, base, through).await;
    }
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    assert_eq!(node.text().await.0.get(), 4);
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_read_from_the_log() {
    let (log, node, mut guest) = four_missed().await;
    node.hear(&log, 3, 4).await;
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    // Of what nobody has appended nothing comes.
    node.say(&Hint::Changes(Revision::new(9), log.changes().await));
    assert_eq!(node.text().await.0.get(), 4);
    assert_eq!(guest.take(), None);
    assert_eq!(guest.sent, [1, 2, 3, 4]);
}

/// A room whose append fails or hangs, and its session that waits.
async fn waiting(fault: Fault) -> (Troubled, Node, Guest) {
    let log = Troubled {
        last: Some(fault),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    log.until_tried(1).await;
    (log, node, guest)
}

#[tokio::test]
async fn not_held_up() {
    for fault in [Fault::Hanging, Fault::Unavailable, Fault::Lost] {
        let (log, node, mut guest) = waiting(fault).await;
        let start = Instant::now();
        let verdict = Verdict::End(ErrorCode::Forbidden);
        node.room.verdicts.pass(guest.id, verdict);
        while guest.take().is_none() {
            guest.wake.notified().await;
        }
        let end = Some(End::Closed(ErrorCode::Forbidden));
        assert_eq!(guest.take(), end, "who is to go is sent away");
        assert!(start.elapsed() < Duration::from_secs(1));
        // And a room that is to end ends, also when its inbox is full.
        let (done, ended) = oneshot::channel();
        while let Ok(place) = node.room.try_reserve() {
            let session = guest.id;
            place.send(Request::Command(Command::Heard { session }));
        }
        let closing = node.room.clone();
        node.room.signals.end();
        tokio::spawn(async move {
            let close = Request::Close(ErrorCode::Unavailable, done);
            let _ended = closing.send(close).await;
        });
        let _failed = ended.await;
        node.room.closed().await;
        assert!(start.elapsed() < Duration::from_secs(8));
        assert!(log.changes().await.is_empty());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn rights_that_are_lost_while_the_log_is_away_count_for_what_waits() {
    let log = Troubled::new(vec![Fault::Unavailable; 4]);
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    log.until_tried(1).await;
    let verdict = Verdict::Access(Access::Read);
    node.room.verdicts.pass(guest.id, verdict);
    assert_eq!(node.text().await.0, Revision::ZERO);
    let events = guest.outbox.take().events;
    let is_refused = |event: &Event| matches!(event, Event::Rejected { seq: Some(1), .. });
    assert!(events.iter().any(is_refused), "{events:?}");
    assert!(log.changes().await.is_empty());
}

#[tokio::test]
async fn nodes_race_and_none_starves() {
    const EDITS: u64 = 60;
    let log = Troubled::default();
    let nodes = [
        Node::new(log.clone()).await,
        Node::new(log.clone()).await,
        Node::new(log.clone()).await,
    ];
    let mut guests = Vec::new();
    for (n, node) in (1..).zip(&nodes) {
        guests.push(node.join(n, Start::Text).await);
    }
    let edits = guests.into_iter().map(|mut guest| {
        tokio::spawn(async move {
            for seq in 1..=EDITS {
                guest.submit(seq, "a").await;
                guest.until(|it| it.own.len() as u64 == seq).await;
            }
            guest
        })
    });
    let mut guests = Vec::new();
    for edit in edits.collect::<Vec<_>>() {
        guests.push(edit.await.unwrap());
    }
    let changes = log.changes().await;
    assert_eq!(changes.len() as u64, 3 * EDITS);
    let submitted: HashSet<_> = changes.iter().map(|it| (it.author, it.seq)).collect();
    assert_eq!(submitted.len(), changes.len(), "**once**, on all nodes");
    for (node, guest) in nodes.iter().zip(&mut guests) {
        node.look();
        guest.until(|it| it.sent.len() as u64 == 3 * EDITS).await;
        assert_eq!(guest.own.len() as u64, EDITS);
        assert_eq!(node.text().await, nodes[0].text().await);
    }
}

#[tokio::test]
async fn nobody_is_refused_for_what_others_append_meanwhile() {
    let log = Troubled {
        read_bytes: 1 << 20,
        ..Troubled::default()
    };
    let settings = Settings {
        window_changes_max: 1,
        ..Settings::default()
    };
    let node = Node::with(log.clone(), settings).await;
    tokio::time::pause();
    let mut guest = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    for _ in 0..3 {
        log.race().await;
    }
    node.look();
    guest.until(|it| it.sent == [1, 2, 3]).await;
    // The log is always further than the node has looked.
    log.race().await;
    log.busy.store(4, Ordering::Relaxed);
    guest.tell(submit(guest.id, 1, Revision::ZERO, "a")).await;
    guest.until(|it| it.own.len() == 1).await;
    assert_eq!(guest.own, [log.changes().await.len() as u64]);
}
