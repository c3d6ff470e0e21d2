//! Changes as one message, for clients that take them so.

use crate::support::{Client, Heard, Peer, Server, data_dir};
use serde_json::{Value, json};

#[tokio::test]
async fn changes_come_together_for_who_takes_them() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, state) = server.join(&ada, &document, "a").await;
    let author = state["number"].clone();
    for (seq, text) in [(1, "x"), (2, "y")] {
        a.submit(seq, seq - 1, json!([{ "insert": text }])).await;
        a.expect("ack").await;
    }
    a.submit(3, 2, json!([{ "retain": 1 }, { "delete": 1 }]))
        .await;
    a.expect("ack").await;
    let path = format!(
        "/collab/{document}?token={}&revision=0&batches=true&clientId=",
        ada.token
    );
    let changes = |author: &Value| json!([[author, 1, "x"], [author, 2, "y"], [author, 3, 1, -1]]);

    // Whoever has missed them is told whose they are.
    let mut b = server.connect(&format!("{path}b")).await;
    let number = b.expect("document_state").await["number"].clone();
    assert_ne!(number, author);
    let missed = b.expect("operations").await;
    assert_eq!(
        (&missed["revision"], &missed["changes"]),
        (&json!(1), &changes(&author))
    );
    let presence = b.expect("presence_update").await;
    let joined = presence["joined"].as_array().unwrap();
    assert!(joined.iter().any(|it| it["number"] == author), "{presence}");

    // Who has made them on an earlier connection takes them for its own.
    drop(a);
    let mut a = server.connect(&format!("{path}a")).await;
    let number = a.expect("document_state").await["number"].clone();
    assert_ne!(number, author);
    assert_eq!(a.expect("operations").await["changes"], changes(&number));

    // And as they are made: one edit after another, however many are committed at a time.
    let edits = (4..24).map(|seq| {
        let operation = json!({ "ops": [{ "insert": "z" }] });
        json!({ "type": "edit_operation", "seq": seq, "revision": 3, "operation": operation })
    });
    a.send(&Value::Array(edits.collect())).await;
    let (mut acknowledged, mut told) = (Vec::new(), Vec::new());
    while acknowledged.len() < 20 || told.len() < 20 {
        let (peer, heard) = if acknowledged.len() < 20 {
            (&mut a, &mut acknowledged)
        } else {
            (&mut b, &mut told)
        };
        let Heard::Message(message) = peer.next().await else {
            panic!("the connection has ended");
        };
        match message["type"].as_str() {
            Some("ack") => heard.push(message["seq"].as_u64().unwrap()),
            Some("operation") => heard.push(message["revision"].as_u64().unwrap()),
            Some("operations") => {
                for change in message["changes"].as_array().unwrap() {
                    assert_eq!(change[0], number);
                    heard.push(change[1].as_u64().unwrap());
                }
            }
            _ => {}
        }
    }
    let numbers: Vec<_> = (4..24).collect();
    assert_eq!((&acknowledged, &told), (&numbers, &numbers));
}

/// What a session that has joined is told next of who moves.
async fn moves(peer: &mut Client, is_told: impl Fn(&Value) -> bool) -> Value {
    loop {
        let update = peer.expect("presence_update").await;
        if is_told(&update) {
            return update;
        }
    }
}

#[tokio::test]
async fn who_moves_is_told_by_a_number_to_who_takes_changes_together() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, state) = server.join(&ada, &document, "a").await;
    let (session, number) = (state["sessionId"].clone(), state["number"].clone());
    a.submit(1, 0, json!([{ "insert": "hello" }])).await;
    a.expect("ack").await;
    let path = format!("/collab/{document}?token={}&batches=", ada.token);
    let mut whole = server.connect(&format!("{path}false")).await;
    let mut short = server.connect(&format!("{path}true")).await;
    for peer in [&mut whole, &mut short] {
        let state = peer.expect("document_state").await;
        let own = state["sessionId"].clone();
        moves(peer, |update| {
            update["joined"].to_string().contains(own.as_str().unwrap())
        })
        .await;
    }

    let select = |anchor: u64, head: u64| json!({ "type": "selection_update", "anchor": anchor, "head": head });
    for (message, row) in [
        (select(1, 3), json!([number, 1, 3])),
        (select(5, 5), json!([number, 5])),
        (json!({ "type": "selection_update" }), json!([number])),
    ] {
        a.send(&message).await;
        let told = moves(&mut short, |update| update["moved"].is_array()).await;
        assert_eq!(told, json!({ "type": "presence_update", "moved": [row] }));
        let told = moves(&mut whole, |update| update["updated"].is_array()).await;
        let presence = &told["updated"][0];
        assert_eq!(presence["sessionId"], session);
        assert_eq!(
            (&presence["anchor"], &presence["head"]),
            (&message["anchor"], &message["head"])
        );
        assert!(told.get("moved").is_none(), "{told}");
    }

    // What more is another is told whole.
    a.send(&json!({ "type": "presence_update", "data": { "typing": true } }))
        .await;
    let told = moves(&mut short, |update| update["updated"].is_array()).await;
    assert_eq!(told["updated"][0]["data"], json!({ "typing": true }));
}
