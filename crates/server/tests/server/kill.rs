//! What was acknowledged or broadcast before a SIGKILL is there after it, exactly once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::support::{Account, Peer, Server, data_dir};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const KILLS: u64 = 50;

/// Submissions, each of which inserts its own name at the end.
fn word(n: u64) -> String {
    format!("<{n}>")
}

/// One life of the server: a writer that does not wait, an observer, and a kill at a random moment.
async fn life(server: &mut Server, ada: &Account, document: &str, life: u64, next: u64) -> Life {
    let (mut observer, state) = server
        .join(ada, document, &format!("observer-{life}"))
        .await;
    let path = format!(
        "/collab/{document}?token={}&clientId=writer-{life}",
        ada.token
    );
    let mut writer = server.connect(&path).await;
    writer.expect("document_state").await;
    let base = state["revision"].as_u64().unwrap();
    let (mut sink, mut acks) = writer.socket.split();
    let writing = tokio::spawn(async move {
        let mut n = next;
        loop {
            // All on one base: the server transforms each over those before it.
            let ops = json!({ "ops": [{ "insert": word(n) }] });
            let edit = json!({
                "type": "edit_operation", "seq": n - next + 1, "revision": base, "operation": ops,
            });
            if sink.send(Message::text(edit.to_string())).await.is_err() {
                return n;
            }
            n += 1;
        }
    });
    // A different moment in each life, within the first hundred milliseconds or so.
    let moment = Duration::from_micros(3_000 + (life * 7_919 % 97) * 1_000);
    let mut seen = Life {
        next: 0,
        acknowledged: BTreeMap::new(),
        broadcast: BTreeSet::new(),
    };
    let deadline = tokio::time::Instant::now() + moment;
    let mut killed = false;
    let (mut acks_open, mut observer_open) = (true, true);
    while acks_open || observer_open {
        tokio::select! {
            () = tokio::time::sleep_until(deadline), if !killed => {
                server.kill();
                killed = true;
            }
            frame = acks.next(), if acks_open => match frame {
                Some(Ok(Message::Text(text))) => {
                    for message in messages(&text) {
                        if message["type"] == "ack" {
                            let seq = message["seq"].as_u64().unwrap();
                            let revision = message["revision"].as_u64().unwrap();
                            seen.acknowledged.insert(next + seq - 1, revision);
                        }
                    }
                }
                Some(Ok(_)) => {}
                _ => acks_open = false,
            },
            frame = observer.socket.next(), if observer_open => match frame {
                Some(Ok(Message::Text(text))) => {
                    for message in messages(&text) {
                        if message["type"] == "operation" {
                            seen.broadcast.insert(message["revision"].as_u64().unwrap());
                        }
                    }
                }
                Some(Ok(_)) => {}
                _ => observer_open = false,
            },
        }
    }
    seen.next = writing.await.unwrap();
    seen
}

struct Life {
    /// The first word that was not sent.
    next: u64,
    /// Words and their revisions.
    acknowledged: BTreeMap<u64, u64>,
    /// Revisions that the observer was sent.
    broadcast: BTreeSet<u64>,
}

fn messages(text: &str) -> Vec<Value> {
    match serde_json::from_str(text).unwrap() {
        Value::Array(messages) => messages,
        message => vec![message],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_and_broadcast_changes_survive_kills() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let mut next = 1;
    let mut acknowledged = 0;
    for n in 1..=KILLS {
        let seen = life(&mut server, &ada, &document, n, next).await;
        server = Server::start(data.path(), &[]);
        let (revision, text) = server.document(&ada, &document);

        let words: Vec<&str> = text.split_inclusive('>').collect();
        let distinct: BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            words.len(),
            "life {n}: a change was applied twice"
        );
        assert_eq!(
            words.len() as u64,
            revision,
            "life {n}: revisions are dense"
        );
        for (word_number, at) in &seen.acknowledged {
            assert!(
                distinct.contains(word(*word_number).as_str()),
                "life {n}: {word_number} is lost"
            );
            assert!(*at <= revision, "life {n}: revision {at} is lost");
        }
        if let Some(last) = seen.broadcast.last() {
            assert!(*last <= revision, "life {n}: broadcast {last} is lost");
        }
        acknowledged += seen.acknowledged.len();
        next = seen.next;
    }
    assert!(
        acknowledged > 100,
        "hardly anything was acknowledged: {acknowledged}"
    );
}

#[test]
fn a_server_that_has_just_started_ends_in_order() {
    let data = data_dir();
    for _ in 0..10 {
        Server::start(data.path(), &[]).terminate();
    }
}
