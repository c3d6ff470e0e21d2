//! Rooms of one document on several nodes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use motet_bus::{Bus, Topic};
use motet_model::Revision;
use tokio::time::{Instant, sleep};

use crate::collab::{
    hints::Hint,
    room::{
        IDLE,
        trial::{ID, Node, Troubled},
    },
};

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
