//! The OT dialect over an event stream and requests, as where WebSockets are blocked.

use crate::support::{EventClient, PATIENCE, Peer, Server, data_dir, editor::Editor};
use motet_ot::Delta;
use serde_json::{Value, json};
use tokio::time::timeout;

fn insert(seq: u64, text: &str) -> String {
    let operation = json!({ "ops": [{ "insert": text }] });
    json!({ "type": "edit_operation", "seq": seq, "revision": 0, "operation": operation })
        .to_string()
}

#[tokio::test]
async fn a_socket_and_an_event_stream_edit_one_document() {
    const ROUNDS: u64 = 40;
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (a, _) = server.join(&ada, &document, "a").await;
    let (b, state) = server.listen_in(&ben, &document, "b").await;
    assert_eq!(state["role"], "editor");
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(b.headers[name], value);
    }

    let (mut a, mut b) = (Editor::new(a), Editor::new(b));
    for round in 1..=ROUNDS {
        // Both at once, in the middle of what the other has.
        let len = a.content.len_utf16();
        let mut cut = Delta::new().retain(len / 2).insert("a\n");
        if len > 10 {
            cut = cut.delete(3);
        }
        a.edit(cut).await;
        b.edit(Delta::new().retain(len / 2).insert("bb")).await;
        a.reach(2 * round).await;
        b.reach(2 * round).await;
    }
    assert_eq!(a.content, b.content);
    let (_, state) = server.listen_in(&ada, &document, "c").await;
    let content: Value = serde_json::from_str(&a.content.to_json()).unwrap();
    assert_eq!(
        (&state["revision"], &state["content"]),
        (&json!(2 * ROUNDS), &content)
    );

    server.terminate();
    let restart = (Some("unavailable".to_owned()), Some(1012));
    assert_eq!(a.peer.expect_close().await, restart);
    assert_eq!(b.peer.expect_close().await, restart);
}

#[tokio::test]
async fn in_turn() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut a, _) = server.listen_in(&ada, &document, "a").await;
    for frame in [3, 2, 3, 5, 1, 1, 4, 2, 5] {
        let taken = a.post(frame, &insert(frame, &frame.to_string()));
        assert_eq!(taken, (204, None));
    }
    for seq in 1..=5 {
        assert_eq!(a.expect("ack").await["seq"], seq);
    }
    assert_eq!(server.document(&ada, &document).0, 5);
    // Several at a time, and what no dialect knows.
    assert_eq!(a.post(6, r#"[{"type":"ping"},{"type":"fly"}]"#).0, 204);
    a.expect("pong").await;
    assert_eq!(a.expect("error").await["code"], "unknown_type");
    assert_eq!(a.post(7, "{").0, 204);
    assert_eq!(a.expect("error").await["code"], "invalid_json");
    assert_eq!(a.post(8, r#"{"type":"leave_document"}"#).0, 204);
    a.expect("left_document").await;
    assert_eq!(a.expect_close().await, (None, Some(1000)));
    gone(&a).await;
}

/// The server has taken leave of the connection.
async fn gone(client: &EventClient) {
    let refused = async {
        loop {
            match client.post(client.frame + 100, r#"{"type":"ping"}"#) {
                (204, None) => tokio::task::yield_now().await,
                refused => break refused,
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(refused, (410, Some("connection_gone".to_owned())));
}

#[tokio::test]
async fn its_own() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let key = |scope: &str| {
        let body = json!({ "name": "Robot", "scopes": [scope] });
        let (_, made) = server.call("POST", "/api/v1/api-keys", Some(&ada.token), Some(&body));
        made["key"].as_str().unwrap().to_owned()
    };
    let (reading, other_sign_in) = (key("read"), server.sign_in("ada").token);
    let (mut a, _) = server.listen_in(&ada, &document, "a").await;
    let edit = insert(1, "x");
    let gone = (410, Some("connection_gone".to_owned()));
    for (token, what) in [(&reading, "a key"), (&other_sign_in, "another sign-in")] {
        a.token.clone_from(token);
        assert_eq!(a.post(1, &edit), gone, "{what} of the same user");
    }
    a.token = key("account");
    let refused = (403, Some("missing_scope".to_owned()));
    assert_eq!(a.post(1, &edit), refused);
    // The next token of the sign-in is as good as the one before.
    let body = json!({ "refreshToken": ada.refresh });
    let (_, next) = server.call("POST", "/api/v1/auth/refresh", None, Some(&body));
    let next = next["token"].as_str().unwrap();
    a.token = next.to_owned();
    a.send_text(edit).await;
    a.expect("ack").await;

    // Whoever shows another credential has what that gives, and no more.
    a.send(&json!({ "type": "auth", "token": reading })).await;
    a.expect("authenticated").await;
    assert_eq!(a.post(3, &insert(2, "y")), gone);
    a.token = reading;
    let edit = json!({ "type": "insert", "pos": 0, "text": "y" });
    a.send(&edit).await;
    assert_eq!(a.expect("error").await["code"], "read_only");
    assert_eq!(server.document(&ada, &document), (1, "x".to_owned()));
}

#[tokio::test]
async fn once_also_when_the_stream_breaks() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--sessions-per-document-max", "2"]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut b, _) = server.join(&ada, &document, "b").await;
    for round in 0..10_u64 {
        // The session of the stream that broke is not in the way: the document takes only two.
        let query = format!("clientId=a&revision={}", 2 * round);
        let mut a = server.listen(&document, &query, &ada.token).await;
        let state = a.expect("document_state").await;
        assert_eq!(
            (state.get("content"), &state["revision"]),
            (None, &json!(2 * round))
        );
        a.submit(round + 1, 2 * round, json!([{ "insert": "a" }]))
            .await;
        b.expect("operation").await;
        // The acknowledgement is lost with the stream.
        drop(a);
        b.submit(round + 1, 2 * round + 1, json!([{ "insert": "b" }]))
            .await;
        b.expect("ack").await;
        let mut a = server.listen(&document, &query, &ada.token).await;
        a.expect("document_state").await;
        a.submit(round + 1, 2 * round, json!([{ "insert": "a" }]))
            .await;
        assert_eq!(a.expect("ack").await["revision"], 2 * round + 1);
        assert_eq!(a.expect("operation").await["revision"], 2 * round + 2);
    }
    assert_eq!(server.document(&ada, &document), (20, "ba".repeat(10)));
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_gone_at_once() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (a, _) = server.listen_in(&ada, &document, "a").await;
    let (mut b, _) = server.join(&ada, &document, "b").await;
    let connection = a.connection.clone();
    drop(a);
    while b.expect("presence_update").await.get("left").is_none() {}
    let (mut other, _) = server.listen_in(&ada, &document, "c").await;
    other.connection = connection;
    gone(&other).await;
}

#[tokio::test]
async fn streams_need_a_valid_token() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, stranger) = (server.register("ada"), server.register("stranger"));
    let document = server.create(&ada);
    let other = "01a1fcb8-9136-7494-bb8b-dec10d7ae45e";
    let cases = [
        (&*document, "", "nonsense", "unauthenticated", 4401),
        (&*document, "", "", "unauthenticated", 4401),
        (&*document, "", &*stranger.token, "not_found", 4404),
        ("nonsense", "", &*ada.token, "not_found", 4404),
        (other, "", &*ada.token, "not_found", 4404),
        (
            &*document,
            "clientId=a%20b",
            &*ada.token,
            "invalid_message",
            4400,
        ),
        (
            &*document,
            "revision=7",
            &*ada.token,
            "revision_ahead",
            4400,
        ),
    ];
    for (document, query, token, error, close) in cases {
        let mut client = server.listen(document, query, token).await;
        let ended = client.expect_close().await;
        assert_eq!(ended, (Some(error.to_owned()), Some(close)), "{query}");
    }
    // Where headers cannot be set.
    let query = format!("token={}", ada.token);
    let mut client = server.listen(&document, &query, "nonsense").await;
    client.expect("document_state").await;
    let path = format!("/api/v1/documents/{document}/events?token=a&token=b");
    assert_eq!(server.call("GET", &path, None, None).0, 400);
}

#[tokio::test]
async fn tokens_are_renewed_and_expire() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--access-token-seconds", "6"]);
    let (ben, ada) = (server.register("ben"), server.register("ada"));
    let document = server.create(&ada);
    let (mut other, _) = server.listen_in(&ada, &document, "other").await;
    other
        .send(&json!({ "type": "auth", "token": ben.token }))
        .await;
    let refused = (Some("unauthenticated".to_owned()), Some(4401));
    assert_eq!(other.expect_close().await, refused);

    let (mut stays, _) = server.listen_in(&ada, &document, "stays").await;
    let (mut ends, _) = server.listen_in(&ada, &document, "ends").await;
    // A token that lasts some seconds longer.
    let mut fresh = json!({ "refreshToken": ada.refresh });
    let mut expiries = std::collections::BTreeSet::new();
    while expiries.len() < 3 {
        let body = json!({ "refreshToken": fresh["refreshToken"] });
        fresh = server
            .call("POST", "/api/v1/auth/refresh", None, Some(&body))
            .1;
        expiries.insert(fresh["expiresAt"].as_str().unwrap()[..19].to_owned());
    }
    let fresh = fresh["token"].as_str().unwrap().to_owned();
    let stale = std::mem::replace(&mut stays.token, fresh.clone());
    stays.send(&json!({ "type": "auth", "token": fresh })).await;
    stays.expect("authenticated").await;
    let expired = (Some("token_expired".to_owned()), Some(4401));
    assert_eq!(ends.expect_close().await, expired);
    stays.send(&json!({ "type": "ping" })).await;
    stays.expect("pong").await;
    stays.token = stale;
    let (status, code) = stays.post(2, "{}");
    assert_eq!((status, code.as_deref()), (401, Some("token_expired")));
    assert_eq!(stays.expect_close().await, expired);
}

#[tokio::test]
async fn rights_change_in_live_streams() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (mut client, _) = server.listen_in(&ben, &document, "b").await;
    server.grant(&ada, &document, "ben", "viewer");
    assert_eq!(client.expect("permission_changed").await["role"], "viewer");
    client.submit(1, 0, json!([{ "insert": "a" }])).await;
    assert_eq!(client.expect("error").await["code"], "read_only");
    let path = format!("/api/v1/documents/{document}/grants/{}", ben.id);
    assert_eq!(server.call("DELETE", &path, Some(&ada.token), None).0, 204);
    let forbidden = (Some("forbidden".to_owned()), Some(4403));
    assert_eq!(client.expect_close().await, forbidden);
    gone(&client).await;
}

#[tokio::test]
async fn bad_requests() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--message-bytes-max", "2048"]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let other = server.create(&ada);
    let (mut a, _) = server.listen_in(&ada, &document, "a").await;
    let id = a.connection.clone().unwrap();
    let ping = r#"{"type":"ping"}"#;
    let queries = [
        (String::new(), 400, "invalid_request"),
        (format!("connection={id}"), 400, "invalid_request"),
        (format!("connection={id}&frame=0"), 400, "invalid_request"),
        (format!("connection={id}&frame=x"), 400, "invalid_request"),
        (
            "connection=other&frame=1".to_owned(),
            410,
            "connection_gone",
        ),
    ];
    for (query, status, code) in queries {
        assert_eq!(
            a.post_to(&query, ping),
            (status, Some(code.to_owned())),
            "{query}"
        );
    }
    let path =
        |document: &str| format!("/api/v1/documents/{document}/messages?connection={id}&frame=1");
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let plain = ("content-type", "text/plain".to_owned());
    let cases = [
        (path(&other), vec![bearer(&ada.token)], 410),
        (path(&document), vec![bearer(&ben.token)], 410),
        (path(&document), vec![bearer("nonsense")], 401),
        (path(&document), vec![], 401),
        (path(&document), vec![bearer(&ada.token), plain], 415),
        (path("nonsense"), vec![bearer(&ada.token)], 404),
    ];
    for (path, headers, status) in cases {
        let refused = server.raw("POST", &path, &headers, Some(ping));
        assert_eq!(refused.0, status, "{path}: {}", refused.2);
    }
    assert_eq!(
        server
            .call("GET", &path(&document), Some(&ada.token), None)
            .0,
        405
    );

    // What waits for another is bounded, and what is refused has not used its number.
    let half = json!([{ "type": "ping" }, { "type": "ping", "text": "x".repeat(1_500) }]);
    let half = half.to_string();
    assert_eq!(a.post(2, &half), (204, None));
    assert_eq!(a.post(3, &half), (429, Some("too_many_frames".to_owned())));
    assert_eq!(a.post(1, ping), (204, None));
    for _ in 0..3 {
        a.expect("pong").await;
    }
    assert_eq!(a.post(3, &half), (204, None));
    for _ in 0..2 {
        a.expect("pong").await;
    }

    // Too large a frame ends its own connection only.
    let (mut b, _) = server.listen_in(&ben, &document, "b").await;
    let large = insert(1, &"x".repeat(2_048));
    assert_eq!(a.post(4, &large), (413, Some("too_large".to_owned())));
    let too_large = (Some("too_large".to_owned()), Some(1009));
    assert_eq!(a.expect_close().await, too_large);
    b.submit(1, 0, json!([{ "insert": "fine" }])).await;
    assert_eq!(b.expect("ack").await["revision"], 1);
}

/// A client that does not read is not waited for, costs a bounded amount, and converges in the end.
#[tokio::test]
async fn a_slow_reader_catches_up() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut writer, _) = server.join(&ada, &document, "w").await;
    let (mut slow, _) = server.listen_in(&ada, &document, "s").await;
    // 40 MB in all, far more than sockets and queue hold.
    const EDITS: u64 = 200;
    let text = "0123456789".repeat(20_000);
    for n in 0..EDITS {
        writer.submit(n + 1, n, json!([{ "insert": text }])).await;
        assert_eq!(writer.expect("ack").await["revision"], n + 1);
    }
    for revision in 1..=EDITS {
        let operation = slow.expect("operation").await;
        assert_eq!(operation["revision"], revision, "in order, without a gap");
    }
}

#[tokio::test]
async fn a_server_that_drains_opens_no_streams() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    // It does not take leave, so the server waits for it.
    let (_holds_on, _) = server.join(&ada, &document, "a").await;
    server.drain();
    while server.raw("GET", "/readyz", &[], None).0 != 503 {}
    let path = format!("/api/v1/documents/{document}/events");
    let (status, answer) = server.call("GET", &path, Some(&ada.token), None);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("unavailable"))
    );
    server.terminate();
}
