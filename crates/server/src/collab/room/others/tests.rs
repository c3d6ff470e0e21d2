//! Rooms of one document on several nodes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use bytes::Bytes;
use motet_bus::{Bus, Received, Topic};
use motet_document::Start;
use motet_model::Revision;
use tokio::time::{Instant, sleep};

use crate::collab::{
    hints::Hint,
    room::{
        IDLE,
        trial::{ID, Node, Troubled},
    },
};

const REPORT: u8 = 3;
const HELLO: u8 = 4;

/// What the room has told other nodes, by kind.
fn told(subscription: &mut motet_bus::Subscription, kind: u8) -> Vec<Bytes> {
    let messages = std::iter::from_fn(|| subscription.try_next());
    let of_kind = |received| match received {
        Received::Message { message, .. } if message[0] == kind => Some(message.slice(1..)),
        _ => None,
    };
    messages.filter_map(of_kind).collect()
}

#[tokio::test]
async fn a_room_that_is_only_used_elsewhere_is_unloaded() {
    let node = Node::new(Troubled::default()).await;
    tokio::time::pause();
    assert_eq!(node.text().await.0, Revision::ZERO);
    let Node {
        registry,
        room,
        other,
        ..
    } = node;
    drop(room);
    let start = Instant::now();
    while registry.get(ID).is_some() {
        assert!(start.elapsed() < 2 * IDLE, "it stays");
        let said = other.publish(Topic::Document(ID), Hint::Hello.encode(ID));
        said.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() >= IDLE, "somebody may come back");
}

#[tokio::test]
async fn a_hint_that_is_not_understood_is_left() {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    let mut other = node.other.subscribe(Topic::Document(ID));
    let mut guest = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    log.race().await;
    node.hear(&log, 0, 1).await;
    guest.until(|it| it.sent == [1]).await;
    assert_eq!(node.text().await.0.get(), 1);
    let _before = told(&mut other, HELLO);
    let reads = log.reads();
    // Of a later program: a report, and something that nobody here knows.
    for message in [b"\x03\x02{}".as_slice(), b"\x63?"] {
        let said = (node.other).publish(Topic::Document(ID), Bytes::from_static(message));
        said.unwrap();
    }
    log.race().await;
    node.hear(&log, 1, 2).await;
    guest.until(|it| it.sent == [1, 2]).await;
    let hellos = told(&mut other, HELLO);
    assert!(hellos.is_empty(), "the other would answer with the same");
    assert_eq!(log.reads(), reads, "the log has nothing of it");
    // Changes of a later program are in the log all the same.
    log.race().await;
    let said = (node.other).publish(Topic::Document(ID), Bytes::from_static(b"\x01?"));
    said.unwrap();
    guest.until(|it| it.sent == [1, 2, 3]).await;
    assert!(told(&mut other, HELLO).is_empty());
}

#[tokio::test]
async fn who_comes_back_at_once_is_heard() {
    let mut node = Node::new(Troubled::default()).await;
    let mut other = node.other.subscribe(Topic::Document(ID));
    tokio::time::pause();
    let mut numbers: Vec<u64> = Vec::new();
    for n in 1..4 {
        let _guest = node.join(n, Start::Text).await;
        sleep(Duration::from_secs(1)).await;
        node.close().await;
        let before = numbers.len();
        for report in told(&mut other, REPORT) {
            let report: serde_json::Value = serde_json::from_slice(&report[1..]).unwrap();
            numbers.push(report["number"].as_u64().unwrap());
        }
        assert!(
            numbers.len() >= before + 2,
            "that they came and that they went"
        );
        node.room = node.registry.open(ID).unwrap();
    }
    assert!(numbers.is_sorted(), "earlier ones are left: {numbers:?}");
}

#[tokio::test]
async fn one_node_stores_what_all_have() {
    let log = Troubled::default();
    let (writer, follower) = (Node::new(log.clone()).await, Node::new(log.clone()).await);
    let mut guest = writer.join(1, Start::Text).await;
    for seq in 1..=150 {
        guest.submit(seq, "a").await;
        guest.until(|it| it.own.len() as u64 == seq).await;
    }
    follower.look();
    while follower.text().await.0.get() < 150 {
        tokio::task::yield_now().await;
    }
    follower.close().await;
    assert!(log.checkpoints.lock().unwrap().is_empty());
    writer.close().await;
    assert_eq!(*log.checkpoints.lock().unwrap(), [150]);
}

#[tokio::test]
async fn whoever_reads_is_shown_what_the_log_has() {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    log.race().await;
    let reads = log.reads();
    assert_eq!(node.text().await.0, Revision::ZERO, "nobody has told");
    assert_eq!(log.reads(), reads);
    assert_eq!(node.text_at(Revision::new(1)).await.0, Revision::new(1));
    // More than that is in no log.
    assert_eq!(node.text_at(Revision::new(9)).await.0, Revision::new(1));
}
