//! Edits by request, without a connection.

use crate::support::{Account, Peer, Server, data_dir};
use serde_json::{Value, json};

fn edit(
    server: &Server,
    account: &Account,
    document: &str,
    base: u64,
    ops: &Value,
    strict: bool,
) -> (u16, Value) {
    let path = format!("/api/v1/documents/{document}/edit");
    let body = json!({ "changes": { "ops": ops }, "clientVersion": base, "strict": strict });
    server.call("PATCH", &path, Some(&account.token), Some(&body))
}

#[tokio::test]
async fn an_edit_by_request_is_moved_over_what_came_meanwhile() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut live, _) = server.join(&ada, &document, "a").await;
    live.submit(1, 0, json!([{ "insert": "hello world" }]))
        .await;
    live.expect("ack").await;
    live.submit(2, 1, json!([{ "insert": "oh " }])).await;
    live.expect("ack").await;
    live.submit(3, 2, json!([{ "retain": 8 }, { "delete": 6 }]))
        .await;
    live.expect("ack").await;

    let ops = json!([{ "retain": 5 }, { "insert": "!" }]);
    let (status, answer) = edit(&server, &ada, &document, 1, &ops, false);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["newVersion"], 4);
    let conflicts = answer["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "only what touches the same: {answer}");
    assert_eq!(conflicts[0]["revision"], 3);
    let change = live.expect("operation").await;
    assert_eq!(
        change["operation"],
        json!({ "ops": [{ "retain": 8 }, { "insert": "!" }] })
    );
    assert_eq!(
        server.document(&ada, &document),
        (4, "oh hello!".to_owned())
    );
}

#[tokio::test]
async fn an_edit_by_request_that_cannot_be_made_says_why() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    let insert = json!([{ "insert": "a" }]);
    assert_eq!(edit(&server, &ada, &document, 0, &insert, true).0, 200);
    let code = |(status, answer): (u16, Value)| {
        (
            status,
            answer["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let cases = [
        (&ada, 0, insert.clone(), true, 409, "outdated"),
        (&ada, 9, insert.clone(), false, 400, "revision_ahead"),
        (
            &ada,
            1,
            json!([{ "retain": 5 }, { "insert": "b" }]),
            false,
            400,
            "out_of_range",
        ),
        (
            &ada,
            1,
            json!([{ "oops": 5 }]),
            false,
            400,
            "invalid_request",
        ),
        (&ben, 1, insert.clone(), false, 404, "not_found"),
    ];
    for (account, base, ops, strict, status, expected) in cases {
        let found = code(edit(&server, account, &document, base, &ops, strict));
        assert_eq!(found, (status, expected.to_owned()), "{ops}");
    }
    server.grant(&ada, &document, "ben", "viewer");
    let found = code(edit(&server, &ben, &document, 1, &insert, false));
    assert_eq!(found, (403, "forbidden".to_owned()));
    assert_eq!(server.document(&ada, &document), (1, "a".to_owned()));
}

#[test]
fn an_edit_on_a_document_as_it_was_seen_is_refused_after_a_rename() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let path = format!("/api/v1/documents/{}", server.create(&ada));
    let bearer = ("authorization", format!("Bearer {}", ada.token));
    let tag = || {
        let (status, headers, _) = server.raw("GET", &path, std::slice::from_ref(&bearer), None);
        assert_eq!(status, 200);
        headers["etag"].to_str().unwrap().to_owned()
    };
    let insert = |tag: String| {
        let headers = [
            bearer.clone(),
            ("content-type", "application/json".to_owned()),
            ("if-match", tag),
        ];
        let body = json!({ "changes": { "ops": [{ "insert": "a" }] }, "clientVersion": 0 });
        let path = format!("{path}/edit");
        let (status, _, text) = server.raw("PATCH", &path, &headers, Some(&body.to_string()));
        let answer: Value = serde_json::from_str(&text).unwrap();
        (status, answer)
    };
    let seen = tag();
    let rename = json!({ "title": "Another title" });
    let (status, _) = server.call("PATCH", &path, Some(&ada.token), Some(&rename));
    assert_eq!(status, 200);
    let (status, answer) = insert(seen);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (412, &json!("precondition_failed"))
    );
    let (_, document) = server.call("GET", &path, Some(&ada.token), None);
    assert_eq!(document["revision"], 0);
    let (status, answer) = insert(tag());
    assert_eq!(
        (status, &answer["newVersion"]),
        (200, &json!(1)),
        "{answer}"
    );
}

#[test]
fn an_edit_of_nothing_makes_no_change() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    let insert = json!([{ "insert": "abc" }]);
    assert_eq!(edit(&server, &ada, &document, 0, &insert, false).0, 200);
    let delete = json!([{ "retain": 1 }, { "delete": 1 }]);
    assert_eq!(edit(&server, &ada, &document, 1, &delete, false).0, 200);
    for (base, ops, strict) in [
        (2, json!([]), true),
        (0, json!([]), false),
        (1, json!([{ "retain": 2 }]), false),
        // What was done already.
        (1, delete, false),
    ] {
        let (status, answer) = edit(&server, &ada, &document, base, &ops, strict);
        assert_eq!(
            (status, &answer["newVersion"]),
            (200, &json!(2)),
            "{answer}"
        );
    }
    assert_eq!(server.document(&ada, &document), (2, "ac".to_owned()));
    let path = format!("/api/v1/documents/{document}/audit?action=document.edited");
    let (_, trail) = server.call("GET", &path, Some(&ada.token), None);
    assert_eq!(trail["entries"].as_array().unwrap().len(), 2, "{trail}");
    for (who, base, strict, expected) in [
        (&ada, 1, true, 409),
        (&ada, 3, false, 400),
        (&ben, 2, false, 404),
    ] {
        let (status, answer) = edit(&server, who, &document, base, &json!([]), strict);
        assert_eq!(status, expected, "{answer}");
    }
    server.grant(&ada, &document, "ben", "viewer");
    let (status, answer) = edit(&server, &ben, &document, 2, &json!([]), false);
    assert_eq!(status, 403, "{answer}");
}

/// How many submissions are on their way at once.
const AT_ONCE: u64 = 100;

#[tokio::test]
async fn an_edit_by_request_on_an_old_base_is_found_in_the_log() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut live, _) = server.join(&ada, &document, "a").await;
    // More than the window holds, some at a time.
    for base in (0..5_000).step_by(100) {
        for seq in base + 1..=base + AT_ONCE {
            live.submit(seq, base, json!([{ "insert": "x" }])).await;
        }
        while live.expect("ack").await["seq"] != base + AT_ONCE {}
    }
    let ops = json!([{ "retain": 1 }, { "insert": "y" }]);
    let (status, answer) = edit(&server, &ada, &document, 1, &ops, false);
    assert_eq!(
        (status, &answer["newVersion"]),
        (200, &json!(5_001)),
        "{answer}"
    );
    let (_, text) = server.document(&ada, &document);
    assert_eq!(text, format!("{}y", "x".repeat(5_000)));
}
