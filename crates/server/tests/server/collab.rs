//! The OT dialect over real sockets: editing together, resuming, and bad input.

use crate::support::{Heard, PATIENCE, Peer, Server, data_dir};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::test]
async fn two_clients_edit_one_document() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (mut a, state) = server.join(&ada, &document, "a").await;
    assert_eq!(state["role"], "owner");
    assert_eq!(state["content"], json!({ "ops": [] }));
    let (mut b, _) = server.join(&ben, &document, "b").await;

    a.submit(1, 0, json!([{ "insert": "left" }])).await;
    assert_eq!(a.expect("ack").await["revision"], 1);
    b.submit(1, 0, json!([{ "insert": "right" }])).await;
    let change = b.expect("operation").await;
    assert_eq!(
        (&change["userId"], &change["revision"]),
        (&json!(ada.id), &json!(1))
    );
    assert_eq!(b.expect("ack").await["revision"], 2);
    let change = a.expect("operation").await;
    assert_eq!(
        change["operation"],
        json!({ "ops": [{ "retain": 4 }, { "insert": "right" }] })
    );
    assert_eq!(
        server.document(&ben, &document),
        (2, "leftright".to_owned())
    );

    // An orderly end loses nothing and tells clients to come back.
    server.terminate();
    assert_eq!(
        a.expect_close().await,
        (Some("unavailable".to_owned()), Some(1012))
    );
    let server = Server::start(data.path(), &[]);
    assert_eq!(
        server.document(&ada, &document),
        (2, "leftright".to_owned())
    );
}

#[tokio::test]
async fn short_forms_for_a_person_with_a_terminal() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let mut client = server
        .connect(&format!("/collab/{document}?token={}", ada.token))
        .await;
    // Without waiting for anything.
    client
        .send(&json!({ "type": "insert", "pos": 0, "text": "Hello" }))
        .await;
    client.expect("ack").await;
    client
        .send(&json!({ "type": "insert", "pos": 5, "text": " you" }))
        .await;
    client.expect("ack").await;
    client
        .send(&json!({ "type": "delete", "pos": 0, "len": 1 }))
        .await;
    client.expect("ack").await;
    client
        .send(&json!({ "type": "format", "pos": 0, "len": 4, "attributes": { "bold": true } }))
        .await;
    assert_eq!(client.expect("ack").await["revision"], 4);
    assert_eq!(server.document(&ada, &document), (4, "ello you".to_owned()));
}

#[tokio::test]
async fn a_resumed_submission_is_applied_once() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.join(&ada, &document, "a").await;
    let (mut b, _) = server.join(&ada, &document, "b").await;
    a.submit(1, 0, json!([{ "insert": "once" }])).await;
    a.expect("ack").await;
    b.expect("operation").await;
    b.submit(1, 1, json!([{ "insert": "b" }])).await;
    b.expect("ack").await;
    // The acknowledgement was lost: the client comes back from revision 0 and sends it again.
    drop(a);
    let path = format!(
        "/collab/{document}?token={}&clientId=a&revision=0",
        ada.token
    );
    let mut a = server.connect(&path).await;
    let state = a.expect("document_state").await;
    assert_eq!(
        (state.get("content"), &state["revision"]),
        (None, &json!(0))
    );
    a.submit(1, 0, json!([{ "insert": "once" }])).await;
    assert_eq!(a.expect("ack").await["revision"], 1);
    assert_eq!(a.expect("operation").await["revision"], 2);
    assert_eq!(server.document(&ada, &document), (2, "bonce".to_owned()));
}

#[tokio::test]
async fn several_documents_on_one_connection() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let documents = [server.create(&ada), server.create(&ada)];
    let mut client = server.connect("/collab").await;
    client
        .send(&json!({ "type": "auth", "token": ada.token }))
        .await;
    assert_eq!(
        client.expect("authenticated").await["userId"],
        json!(ada.id)
    );
    for document in &documents {
        client
            .send(&json!({ "type": "join_document", "documentId": document }))
            .await;
        assert_eq!(
            client.expect("document_state").await["documentId"],
            json!(document)
        );
    }
    for (document, text) in documents.iter().zip(["one", "two"]) {
        client
            .send(&json!({ "type": "insert", "documentId": document, "pos": 0, "text": text }))
            .await;
        assert_eq!(client.expect("ack").await["documentId"], json!(document));
    }
    client
        .send(&json!({ "type": "leave_document", "documentId": documents[0] }))
        .await;
    client.expect("left_document").await;
    client
        .send(&json!({ "type": "insert", "documentId": documents[0], "pos": 0, "text": "x" }))
        .await;
    assert_eq!(client.expect("error").await["code"], "not_joined");
    client
        .send(&json!({ "type": "join_document", "documentId": documents[1] }))
        .await;
    assert_eq!(client.expect("error").await["code"], "already_joined");
    assert_eq!(server.document(&ada, &documents[0]), (1, "one".to_owned()));
    assert_eq!(server.document(&ada, &documents[1]), (1, "two".to_owned()));
}

/// Each is answered by its typed error, changes nothing, and leaves the session and others alone.
#[tokio::test]
async fn bad_input() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "viewer");
    let (mut a, _) = server.join(&ada, &document, "a").await;
    let (mut viewer, _) = server.join(&ben, &document, "v").await;
    a.submit(1, 0, json!([{ "insert": "x\u{1f600}y" }])).await;
    a.expect("ack").await;
    viewer.expect("operation").await;

    let edit = |operation: &str| {
        format!(r#"{{"type":"edit_operation","seq":2,"revision":1,"operation":{operation}}}"#)
    };
    let deep = format!(
        r#"{{"ops":[{{"insert":{}1{}}}]}}"#,
        r#"{"a":"#.repeat(300),
        "}".repeat(300)
    );
    let cases = [
        ("{", "invalid_json"),
        ("nonsense", "invalid_json"),
        ("7", "invalid_json"),
        (r#""text""#, "invalid_json"),
        (r"[1]", "invalid_message"),
        (r"[[]]", "invalid_message"),
        ("{}", "invalid_message"),
        (r#"{"type":7}"#, "invalid_message"),
        (r#"{"type":"fly"}"#, "unknown_type"),
        (
            r#"{"type":"edit_operation","seq":2,"revision":1}"#,
            "invalid_message",
        ),
        (
            r#"{"type":"edit_operation","seq":-1,"revision":1,"operation":{"ops":[]}}"#,
            "invalid_message",
        ),
        (
            r#"{"type":"edit_operation","seq":0,"revision":1,"operation":{"ops":[]}}"#,
            "seq_reused",
        ),
        (
            r#"{"type":"edit_operation","seq":2,"revision":2,"operation":{"ops":[]}}"#,
            "revision_ahead",
        ),
        (&edit("[]"), "invalid_operation"),
        (&edit("{}"), "invalid_operation"),
        (&edit(r#"{"ops":[{"move":1}]}"#), "invalid_operation"),
        (&edit(r#"{"ops":[{"retain":-1}]}"#), "invalid_operation"),
        (&edit(r#"{"ops":[{"retain":0}]}"#), "invalid_operation"),
        (&edit(r#"{"ops":[{"retain":1.5}]}"#), "invalid_operation"),
        (&edit(r#"{"ops":[{"insert":""}]}"#), "invalid_operation"),
        (&edit(&deep), "invalid_operation"),
        (
            &edit(r#"{"ops":[{"retain":5},{"insert":"a"}]}"#),
            "out_of_range",
        ),
        (
            &edit(r#"{"ops":[{"insert":"a"},{"retain":5}]}"#),
            "out_of_range",
        ),
        (&edit(r#"{"ops":[{"delete":5}]}"#), "out_of_range"),
        (
            &edit(r#"{"ops":[{"retain":9007199254740991},{"delete":1}]}"#),
            "out_of_range",
        ),
        (
            &edit(r#"{"ops":[{"retain":2},{"insert":"a"}]}"#),
            "split_surrogate",
        ),
        (
            &edit(r#"{"ops":[{"retain":1},{"delete":1}]}"#),
            "split_surrogate",
        ),
        (&edit(r#"{"ops":[{"insert":"\ud83d"}]}"#), "split_surrogate"),
        (r#"{"type":"insert","pos":-1,"text":"a"}"#, "out_of_range"),
        (r#"{"type":"insert","pos":9,"text":"a"}"#, "out_of_range"),
        (
            r#"{"type":"insert","pos":0,"text":"\ud83d"}"#,
            "split_surrogate",
        ),
        (r#"{"type":"insert","pos":0,"text":{}}"#, "invalid_message"),
        (
            r#"{"type":"insert","pos":0,"text":""}"#,
            "invalid_operation",
        ),
        (r#"{"type":"delete","pos":0,"len":-4}"#, "out_of_range"),
        (r#"{"type":"delete","pos":0,"len":9}"#, "out_of_range"),
        (r#"{"type":"cursor_update","position":-1}"#, "out_of_range"),
        (r#"{"type":"cursor_update","position":99}"#, "out_of_range"),
        (r#"{"type":"cursor_update"}"#, "invalid_message"),
        (r#"{"type":"presence_update","data":7}"#, "invalid_message"),
        (
            r#"{"type":"join_document","documentId":"nonsense"}"#,
            "not_found",
        ),
    ];
    for (text, code) in cases {
        a.send_text(text.to_owned()).await;
        let error = a.expect("error").await;
        assert_eq!(error["code"], code, "{text:.80}: {error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
    }
    a.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(a.expect("error").await["code"], "invalid_message");

    viewer.submit(1, 1, json!([{ "insert": "a" }])).await;
    let error = viewer.expect("error").await;
    assert_eq!(
        (&error["code"], &error["seq"]),
        (&json!("read_only"), &json!(1))
    );

    // The other messages of a frame are taken, the session goes on, and the others heard nothing.
    a.send_text(format!(
        r#"[{{"type":"fly"}},{}]"#,
        edit(r#"{"ops":[{"insert":"z"}]}"#)
    ))
    .await;
    assert_eq!(a.expect("error").await["code"], "unknown_type");
    assert_eq!(a.expect("ack").await["revision"], 2);
    assert_eq!(viewer.expect("operation").await["revision"], 2);
    assert_eq!(
        server.document(&ada, &document),
        (2, "zx\u{1f600}y".to_owned())
    );
}

#[tokio::test]
async fn a_frame_of_100_mb_ends_only_its_own_connection() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut other, _) = server.join(&ada, &document, "other").await;
    let (large, _) = server.join(&ada, &document, "large").await;
    let (mut sink, stream) = futures_util::StreamExt::split(large.socket);
    // Sending fails when the server has had enough; what it answered meanwhile is read beside it.
    let sending = tokio::spawn(async move {
        let _refused = sink.send(Message::text("x".repeat(100 << 20))).await;
    });
    let mut codes = Vec::new();
    let mut stream = stream;
    while let Some(Ok(message)) = futures_util::StreamExt::next(&mut stream).await {
        match message {
            Message::Text(text) if text.contains("error") => {
                let error: Value = serde_json::from_str(&text).unwrap();
                codes.push(error["code"].as_str().unwrap_or_default().to_owned());
            }
            Message::Close(Some(frame)) => {
                codes.push(u16::from(frame.code).to_string());
                break;
            }
            _ => {}
        }
    }
    assert_eq!(codes, ["too_large", "1009"]);
    sending.abort();
    other.submit(1, 0, json!([{ "insert": "fine" }])).await;
    assert_eq!(other.expect("ack").await["revision"], 1);
}

#[tokio::test]
async fn connections_need_a_valid_token() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--access-token-seconds", "3"]);
    let ada = server.register("ada");
    let stranger = server.register("stranger");
    let document = server.create(&ada);
    let none = format!("{}.e30.", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0");
    let cases = [
        (
            format!("/collab/{document}?token=nonsense"),
            "unauthenticated",
            4401,
        ),
        (
            format!("/collab/{document}?token={none}"),
            "unauthenticated",
            4401,
        ),
        (
            format!("/collab/nonsense?token={}", ada.token),
            "not_found",
            4404,
        ),
        (
            format!("/collab/{document}?token={}", stranger.token),
            "not_found",
            4404,
        ),
        (
            format!("/collab/{document}?clientId=a%20b&token={}", ada.token),
            "invalid_message",
            4400,
        ),
        (
            format!("/collab/{document}?revision=7&token={}", ada.token),
            "revision_ahead",
            4400,
        ),
    ];
    for (path, error, close) in cases {
        let mut client = server.connect(&path).await;
        assert_eq!(
            client.expect_close().await,
            (Some(error.to_owned()), Some(close)),
            "{path}"
        );
    }
    let mut client = server.connect(&format!("/collab/{document}")).await;
    client.send(&json!({ "type": "ping" })).await;
    assert_eq!(
        client.expect_close().await,
        (Some("unauthenticated".to_owned()), Some(4401)),
        "the first message must be auth"
    );
    // A live connection ends when its token does.
    let ada = server.call(
        "POST",
        "/api/v1/auth/refresh",
        None,
        Some(&json!({ "refreshToken": ada.refresh })),
    );
    let path = format!(
        "/collab/{document}?token={}",
        ada.1["token"].as_str().unwrap()
    );
    let mut client = server.connect(&path).await;
    assert_eq!(
        client.expect_close().await,
        (Some("token_expired".to_owned()), Some(4401))
    );
}

#[tokio::test]
async fn rights_change_in_live_sessions() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (mut client, _) = server.join(&ben, &document, "b").await;
    server.grant(&ada, &document, "ben", "viewer");
    assert_eq!(client.expect("permission_changed").await["role"], "viewer");
    client.submit(1, 0, json!([{ "insert": "a" }])).await;
    assert_eq!(client.expect("error").await["code"], "read_only");
    let path = format!("/api/v1/documents/{document}/grants/{}", ben.id);
    assert_eq!(server.call("DELETE", &path, Some(&ada.token), None).0, 204);
    assert_eq!(
        client.expect_close().await,
        (Some("forbidden".to_owned()), Some(4403))
    );

    let (mut owner, _) = server.join(&ada, &document, "a").await;
    let path = format!("/api/v1/documents/{document}");
    assert_eq!(server.call("DELETE", &path, Some(&ada.token), None).0, 204);
    assert_eq!(
        owner.expect_close().await,
        (Some("not_found".to_owned()), Some(4404))
    );
}

#[tokio::test]
async fn a_full_document_and_a_client_that_comes_twice() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--sessions-per-document-max", "2"]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut first, _) = server.join(&ada, &document, "a").await;
    let (mut second, _) = server.join(&ada, &document, "a").await;
    assert_eq!(
        first.expect_close().await,
        (Some("replaced".to_owned()), Some(4409))
    );
    let (_third, _) = server.join(&ada, &document, "b").await;
    let path = format!("/collab/{document}?token={}", ada.token);
    let mut fourth = server.connect(&path).await;
    assert_eq!(
        fourth.expect_close().await,
        (Some("document_full".to_owned()), Some(1013))
    );
    second.send(&json!({ "type": "ping" })).await;
    second.expect("pong").await;
}

#[tokio::test]
async fn presence_is_seen_by_others() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.join(&ada, &document, "a").await;
    let (mut b, state) = server.join(&ada, &document, "b").await;
    assert_eq!(state["presence"].as_array().unwrap().len(), 1);
    a.submit(1, 0, json!([{ "insert": "hello" }])).await;
    a.expect("ack").await;
    a.send(&json!({ "type": "cursor_update", "position": 3 }))
        .await;
    a.send(&json!({ "type": "presence_update", "data": { "mood": "good" } }))
        .await;
    let mut seen = json!({});
    while seen["data"]["mood"] != "good" || seen["head"] != 3 {
        let update = b.expect("presence_update").await;
        for list in ["joined", "updated"] {
            for one in update[list].as_array().into_iter().flatten() {
                if one["sessionId"] != state["sessionId"] {
                    seen = one.clone();
                }
            }
        }
    }
    assert_eq!(seen["name"], "ada");
    drop(a);
    loop {
        if b.expect("presence_update").await["left"] == json!([seen["sessionId"]]) {
            break;
        }
    }
}

/// A client that does not read is not waited for, costs a bounded amount, and converges in the end.
#[tokio::test]
async fn a_slow_reader_catches_up() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut writer, _) = server.join(&ada, &document, "w").await;
    let (mut slow, _) = server.join(&ada, &document, "s").await;
    // 40 MB in all, far more than sockets and queue hold.
    const EDITS: u64 = 200;
    let text = "0123456789".repeat(20_000);
    for n in 0..EDITS {
        writer.submit(n + 1, n, json!([{ "insert": text }])).await;
        assert_eq!(writer.expect("ack").await["revision"], n + 1);
    }
    let mut revision = 0;
    while revision < EDITS {
        if let Heard::Message(message) = slow.next().await {
            if message["type"] == "operation" {
                revision += 1;
                assert_eq!(message["revision"], revision, "in order, without a gap");
            }
        } else {
            panic!("the slow reader was cut off at {revision}");
        }
    }
}

#[tokio::test]
async fn an_edit_that_is_too_far_behind_is_refused_at_once() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.join(&ada, &document, "a").await;
    let typed = vec![json!({ "type": "insert", "pos": 0, "text": "x" }); 200];
    a.send(&Value::Array(typed)).await;
    for _ in 0..200 {
        a.expect("ack").await;
    }
    let operations = [json!({ "retain": 1 }), json!({ "delete": 1 })];
    let large: Vec<_> = operations.into_iter().cycle().take(100_000).collect();
    a.submit(201, 0, json!(large)).await;
    let error = a.expect("error").await;
    assert_eq!(
        (&error["code"], &error["seq"]),
        (&json!("too_far_behind"), &json!(201))
    );
    // The client takes it back, and goes on.
    a.submit(202, 0, json!([{ "insert": "y" }])).await;
    assert_eq!(a.expect("ack").await["revision"], 201);
    assert_eq!(server.document(&ada, &document).0, 201);
}

#[tokio::test]
async fn an_edit_from_before_the_window_may_come_together_with_its_join() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.join(&ada, &document, "a").await;
    // More than an open document keeps in memory.
    let text = "0123456789".repeat(200_000);
    for n in 0..4 {
        a.submit(n + 1, n, json!([{ "insert": text }])).await;
        a.expect("ack").await;
    }
    // While the document is opened, both gather in its inbox.
    server.terminate();
    let server = Server::start(data.path(), &[]);
    let path = format!(
        "/collab/{document}?token={}&clientId=b&revision=0",
        ada.token
    );
    let mut b = server.connect(&path).await;
    b.submit(1, 0, json!([{ "insert": "early" }])).await;
    assert_eq!(b.expect("ack").await["revision"], 5);
}

/// Sessions of connections that end in the middle of a message do not fill the document.
#[tokio::test]
async fn a_connection_that_breaks_while_it_waits_leaves_no_session() {
    const MOST: usize = 3;
    let data = data_dir();
    let most = MOST.to_string();
    let server = Server::start(data.path(), &["--sessions-per-document-max", &most]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let path = format!("/collab/{document}?token={}", ada.token);
    for _ in 0..50 {
        let mut client = server.connect(&path).await;
        // Its base is what the connection was last sent: the server waits for the state to be sent.
        client
            .send(&json!({ "type": "insert", "pos": 0, "text": "x" }))
            .await;
        client.reset();
    }
    // The server may not have seen the last resets yet; who is turned away tries again.
    let all_join = async {
        let mut clients = Vec::new();
        while clients.len() < MOST {
            let mut client = server.connect(&path).await;
            loop {
                match client.next().await {
                    Heard::Message(message) if message["type"] == "document_state" => {
                        clients.push(client);
                        break;
                    }
                    Heard::Message(_) => {}
                    Heard::Closed(_) => break,
                }
            }
        }
    };
    timeout(PATIENCE, all_join)
        .await
        .expect("the document is full of ghosts");
}

#[tokio::test]
async fn a_token_expires_also_while_the_client_keeps_sending() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--access-token-seconds", "3"]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (client, _) = server.join(&ada, &document, "a").await;
    let (mut sink, mut stream) = futures_util::StreamExt::split(client.socket);
    let sending = tokio::spawn(async move {
        // Until the server has had enough.
        while sink.send(Message::Pong(Vec::new().into())).await.is_ok() {}
    });
    let ended = async {
        loop {
            match futures_util::StreamExt::next(&mut stream).await {
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let code = timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(code, Some(4401));
    sending.abort();
}

#[tokio::test]
async fn edits_before_a_leave_are_answered_before_it() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let insert = json!({ "ops": [{ "insert": "x" }] });
    let (mut a, _) = server.join(&ada, &document, "a").await;
    a.send(&json!([
        { "type": "edit_operation", "seq": 1, "revision": 0, "operation": insert },
        { "type": "edit_operation", "seq": 2, "revision": 9, "operation": insert },
        { "type": "leave_document" },
    ]))
    .await;
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("left_document")) {
        match a.next().await {
            Heard::Message(message) => heard.push(message["type"].clone()),
            Heard::Closed(code) => panic!("closed with {code:?} after {heard:?}"),
        }
    }
    assert!(heard.contains(&json!("ack")) && heard.contains(&json!("error")));
    assert_eq!(a.expect_close().await, (None, Some(1000)));

    // Where there are several documents, one that was left can be joined anew, at once.
    let mut b = server
        .connect(&format!("/collab?token={}", ada.token))
        .await;
    let named = |kind: &str| json!({ "type": kind, "documentId": document });
    let (join, leave) = (named("join_document"), named("leave_document"));
    b.send(&json!([join, leave, join])).await;
    b.expect("document_state").await;
    b.expect("left_document").await;
    assert_eq!(b.expect("document_state").await["revision"], 1);
}

#[tokio::test]
async fn a_client_that_asks_without_reading_is_cut_off() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "viewer");
    let (mut viewer, _) = server.join(&ben, &document, "v").await;
    let operation = json!({ "ops": [] });
    let edit = json!({ "type": "edit_operation", "seq": 1, "revision": 0, "operation": operation });
    let refused = Message::text(json!(vec![edit; 1_000]).to_string());
    // Far more answers than sockets and queue hold.
    for _ in 0..200 {
        viewer.socket.send(refused.clone()).await.unwrap();
    }
    assert_eq!(viewer.expect_close().await.1, Some(1008));
}

#[tokio::test]
async fn strangers_are_not_listened_to_for_long() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let many = format!("[{}0]", "0,".repeat(1_500));
    let large = format!("[{}0]", "0,".repeat(2_000_000));
    let ended = [
        (many, "too_large", 1009),
        (large, "too_large", 1009),
        ("[0,0]".to_owned(), "unauthenticated", 4401),
    ];
    for (frame, code, close) in ended {
        let mut client = server.connect("/collab").await;
        client.send_text(frame).await;
        assert_eq!(client.expect("error").await["code"], code);
        // Nothing after it is answered.
        assert_eq!(client.expect_close().await, (None, Some(close)));
    }
}

#[tokio::test]
async fn a_refused_edit_does_not_use_its_number() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.join(&ada, &document, "a").await;
    let most = (1_u64 << 53) - 1;
    a.submit(most, 0, json!([{ "retain": 9 }])).await;
    assert_eq!(a.expect("error").await["code"], "out_of_range");
    a.submit(u64::MAX, 0, json!([{ "insert": "x" }])).await;
    let error = a.expect("error").await;
    assert_eq!(
        (&error["code"], &error["seq"]),
        (&json!("invalid_message"), &json!(u64::MAX))
    );
    a.send(&json!({ "type": "insert", "pos": 0, "text": "x" }))
        .await;
    assert_eq!(a.expect("ack").await["seq"], 1);
    // Numbered and counted in one go, too.
    a.submit(2, 1, json!([{ "insert": "y" }])).await;
    a.send(&json!({ "type": "insert", "pos": 0, "text": "z" }))
        .await;
    assert_eq!(a.expect("ack").await["seq"], 2);
    assert_eq!(a.expect("ack").await["seq"], 3);
    assert_eq!(server.document(&ada, &document).0, 3);
}

#[tokio::test]
async fn a_server_that_drains_takes_no_new_connections() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    // It does not take leave, so the server waits for it.
    let (_holds_on, _) = server.join(&ada, &document, "a").await;
    server.drain();
    // The server is gone after a while, and this with it.
    while server.raw("GET", "/readyz", &[], None).0 != 503 {}
    let address = format!("ws://{}/collab/{document}", server.address);
    let refused = tokio_tungstenite::connect_async(address).await;
    match refused {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    server.terminate();
}
