//! What the audit trail tells of documents, and who may read it.

use std::{path::Path, process::Command, time::Duration};

use crate::support::{
    Account, PATIENCE, Peer, Server, administrator, data_dir, make_user, motet, yjs::Identities,
};
use motet_ot::Delta;
use serde_json::{Value, json};
use tokio::time::Instant;

fn page(server: &Server, account: &Account, path: &str) -> Value {
    let (status, answer) = server.call("GET", path, Some(&account.token), None);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The rows of a document, the earliest first, once there are so many.
fn rows(
    server: &Server,
    owner: &Account,
    document: &str,
    action: &str,
    count: usize,
) -> Vec<Value> {
    let path = format!("/api/v1/documents/{document}/audit?action={action}&limit=100");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut entries = page(server, owner, &path)["entries"]
            .as_array()
            .unwrap()
            .clone();
        if entries.len() >= count {
            assert_eq!(entries.len(), count, "{entries:#?}");
            entries.reverse();
            return entries;
        }
        assert!(Instant::now() < deadline, "{entries:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_every_dialect_are_noted_with_what_they_changed() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (mut watching, _) = server.join(&ben, &document, "watching").await;

    let (mut ot, _) = server.join(&ada, &document, "ot").await;
    for seq in 1..=3 {
        ot.submit(seq, seq - 1, json!([{ "insert": "a" }])).await;
        ot.expect("ack").await;
    }
    // What is sent once more is no other change.
    ot.submit(3, 2, json!([{ "insert": "a" }])).await;
    ot.expect("ack").await;
    drop(ot);
    rows(&server, &ada, &document, "document.closed", 1);

    let (mut events, _) = server.listen_in(&ada, &document, "events").await;
    events.submit(1, 3, json!([{ "insert": "b" }])).await;
    events.expect("ack").await;
    drop(events);
    rows(&server, &ada, &document, "document.closed", 2);

    let mut yjs = server.yjs(&ada, &document, Identities::new(7)).await;
    yjs.edit(&Delta::new().insert("c")).await;
    yjs.edit(&Delta::new().insert("c")).await;
    yjs.sync().await;
    drop(yjs);
    rows(&server, &ada, &document, "document.closed", 3);

    let mut hocuspocus = server.hocuspocus(&ada, &document, Identities::new(8)).await;
    hocuspocus.edit(&Delta::new().insert("d")).await;
    // Gone without waiting for an answer: what has arrived counts.
    hocuspocus.sync().await;
    drop(hocuspocus);
    rows(&server, &ada, &document, "document.closed", 4);
    // Who only watches has changed nothing, whatever came by.
    watching.send(&json!({ "type": "leave_document" })).await;
    watching.expect("left_document").await;

    let opened = rows(&server, &ada, &document, "document.opened", 5);
    let dialects = ["ot", "ot", "ot", "yjs", "hocuspocus"];
    let roles = ["editor", "owner", "owner", "owner", "owner"];
    for ((row, dialect), role) in opened.iter().zip(dialects).zip(roles) {
        let details = &row["details"];
        assert_eq!(
            (&details["dialect"], &details["role"]),
            (&json!(dialect), &json!(role))
        );
    }
    assert_eq!(opened[0]["actorName"], "ben");
    assert_eq!(opened[1]["address"], "127.0.0.1");
    let closed = rows(&server, &ada, &document, "document.closed", 5);
    let expected = [
        (1, json!([3, 1, 3])),
        (2, json!([1, 4, 4])),
        (3, json!([2, 5, 6])),
        (4, json!([1, 7, 7])),
        (0, json!([0, null, null])),
    ];
    for (row, (session, changes)) in closed.iter().zip(expected) {
        let details = &row["details"];
        assert_eq!(details["session"], opened[session]["details"]["session"]);
        let found = ["changes", "firstRevision", "lastRevision"].map(|field| &details[field]);
        assert_eq!(json!(found), changes, "{row}");
    }
}

#[tokio::test]
async fn reads_edits_refusals_and_failed_sign_ins_are_noted() {
    let data = data_dir();
    administrator(data.path(), "root");
    let mut server = Server::start(data.path(), &[]);
    let (ada, eve) = (server.register("ada"), server.register("eve"));
    let root = server.sign_in("root");
    let document = server.create(&ada);
    let path = format!("/api/v1/documents/{document}/edit");
    let body = json!({ "changes": { "ops": [{ "insert": "x" }] }, "clientVersion": 0 });
    assert_eq!(
        server.call("PATCH", &path, Some(&ada.token), Some(&body)).0,
        200
    );
    let edited = rows(&server, &ada, &document, "document.edited", 1);
    assert_eq!(edited[0]["details"], json!({ "revision": 1 }));
    server.document(&ada, &document);
    let read = rows(&server, &ada, &document, "document.read", 1);
    assert_eq!(read[0]["details"], json!({ "revision": 1 }));
    // An edit by request is no session.
    rows(&server, &ada, &document, "document.opened", 0);

    let mut stranger = server
        .connect(&format!("/collab/{document}?token={}", eve.token))
        .await;
    assert_eq!(stranger.expect_close().await.1, Some(4404));
    let refused = rows(&server, &ada, &document, "document.refused", 1);
    assert_eq!(
        refused[0]["details"],
        json!({ "dialect": "ot", "reason": "not_found" })
    );
    assert_eq!(refused[0]["actorId"], json!(eve.id));

    for email in ["ada@example.com", "nobody-known@example.com"] {
        let body = json!({ "email": email, "password": "a wrong password" });
        assert_eq!(
            server
                .call("POST", "/api/v1/auth/login", None, Some(&body))
                .0,
            401
        );
    }
    // Nobody can tell whose a stranger is, so only the operator is told.
    let failed = trail(&server, &root, "account.sign_in_failed", 1);
    assert_eq!(
        (&failed[0]["userId"], &failed[0]["actorId"]),
        (&json!(ada.id), &Value::Null)
    );
    assert_eq!(failed[0]["details"], json!({ "reason": "wrong_password" }));
    server.terminate();
    let rows = motet(data.path(), &["audit", "list", "--limit", "1000"]);
    assert!(!rows.contains("nobody-known"), "{rows}");
    assert_eq!(rows.matches("account.sign_in_failed").count(), 2, "{rows}");
}

/// The rows of the organization with this action, once there are so many.
fn trail(server: &Server, root: &Account, action: &str, count: usize) -> Vec<Value> {
    let path = format!("/api/v1/audit?action={action}&limit=100");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let entries = page(server, root, &path)["entries"].clone();
        let entries = entries.as_array().unwrap();
        if entries.len() >= count {
            assert_eq!(entries.len(), count, "{entries:#?}");
            return entries.clone();
        }
        assert!(Instant::now() < deadline, "{entries:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_refused_again_and_again_is_counted() {
    let data = data_dir();
    administrator(data.path(), "root");
    let mut server = Server::start(data.path(), &[]);
    let (ada, ben, eve) = (
        server.register("ada"),
        server.register("ben"),
        server.register("eve"),
    );
    let root = server.sign_in("root");
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "viewer");
    let path = format!("/api/v1/documents/{document}");
    let edit = json!({ "changes": { "ops": [{ "insert": "x" }] }, "clientVersion": 0 });
    let key = json!({ "name": "Robot", "scopes": ["read"] });
    let (_, key) = server.call("POST", "/api/v1/api-keys", Some(&ada.token), Some(&key));
    for _ in 0..20 {
        let (status, _) = server.call(
            "PATCH",
            &format!("{path}/edit"),
            Some(&ben.token),
            Some(&edit),
        );
        assert_eq!(status, 403);
        assert_eq!(server.call("GET", &path, Some(&eve.token), None).0, 404);
        assert_eq!(
            server.call("DELETE", &path, key["key"].as_str(), None).0,
            403
        );
        // What is not there is refused to nobody.
        let nowhere = path.replace(&document, &ada.id);
        assert_eq!(server.call("GET", &nowhere, Some(&ada.token), None).0, 404);
    }
    // What is in the trash may be deleted there: nothing is refused.
    let own = format!("/api/v1/documents/{}", server.create(&ada));
    assert_eq!(server.call("DELETE", &own, Some(&ada.token), None).0, 204);
    let for_good = own + "?permanent=true";
    assert_eq!(
        server.call("DELETE", &for_good, Some(&ada.token), None).0,
        204
    );
    let refused = rows(&server, &ada, &document, "document.refused", 3);
    let told: Vec<_> = refused.iter().map(|row| row["actorId"].clone()).collect();
    assert_eq!(json!(told), json!([ben.id, eve.id, ada.id]));
    let acts = [
        ("edit", "forbidden"),
        ("read", "not_found"),
        ("delete", "missing_scope"),
    ];
    for (row, (act, reason)) in refused.iter().zip(acts) {
        let details = json!({ "dialect": "http", "act": act, "reason": reason });
        assert_eq!(row["details"], details);
    }

    let login = json!({ "email": "ben@example.com", "password": "a wrong password" });
    let change = json!({ "password": "a wrong password", "newPassword": "a better password" });
    let tries = [
        (
            "POST",
            "login",
            None,
            &login,
            "account.sign_in_failed",
            &ben,
        ),
        (
            "PUT",
            "password",
            Some(ada.token.as_str()),
            &change,
            "account.password_refused",
            &ada,
        ),
    ];
    let mut repeated = Vec::new();
    for (method, path, token, body, action, whose) in tries {
        let path = format!("/api/v1/auth/{path}");
        let (mut wrong, mut locked) = (0, 0);
        while locked < 4 {
            match server.call(method, &path, token, Some(body)).0 {
                401 => wrong += 1,
                429 => locked += 1,
                status => panic!("{status}"),
            }
        }
        let failed = trail(&server, &root, action, wrong + 1);
        assert!(failed.iter().all(|row| row["userId"] == json!(whose.id)));
        let reason = json!({ "reason": "locked" });
        let told = failed.iter().filter(|row| row["details"] == reason);
        assert_eq!(told.count(), 1, "{failed:#?}");
        repeated.push(format!(r#""reason":"locked","repeated":{}"#, locked - 1));
    }

    // The end of the process tells what was counted.
    server.terminate();
    let listed = motet(data.path(), &["audit", "list", "--limit", "1000"]);
    let count = |what: &str| listed.matches(what).count();
    assert_eq!(count(r#""repeated":19"#), 3, "{listed}");
    assert!(repeated.iter().all(|what| count(what) > 0), "{listed}");
    let (intact, said) = verify(data.path(), &[]);
    assert!(intact, "{said}");
}

#[test]
fn the_trail_is_read_by_administrators_and_owners_page_by_page() {
    let data = data_dir();
    administrator(data.path(), "root");
    let elsewhere = motet(data.path(), &["organization", "create", "Elsewhere"]);
    let flags = ["--administrator", "--organization", elsewhere.trim()];
    make_user(data.path(), "other", &flags);
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let (root, other) = (server.sign_in("root"), server.sign_in("other"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let of_document = format!("/api/v1/documents/{document}/audit");
    let get =
        |path: &str, account: &Account| server.call("GET", path, Some(&account.token), None).0;
    assert_eq!(get("/api/v1/audit", &ada), 403);
    assert_eq!(get(&of_document, &ben), 403);
    assert_eq!(get(&of_document, &other), 404, "of another organization");
    assert_eq!(get(&of_document, &root), 200, "though root may not read it");
    assert_eq!(get(&format!("/api/v1/documents/{document}"), &root), 404);
    for query in [
        "limit=0",
        "limit=101",
        "cursor=x",
        "userId=x",
        "documentId=1",
    ] {
        assert_eq!(
            get(&format!("/api/v1/audit?{query}"), &root),
            400,
            "{query}"
        );
    }

    let mut paged = Vec::new();
    let mut path = "/api/v1/audit?limit=2".to_owned();
    loop {
        let answer = page(&server, &root, &path);
        paged.extend(answer["entries"].as_array().unwrap().clone());
        let Some(cursor) = answer["nextCursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/audit?limit=2&cursor={cursor}");
    }
    let all = page(&server, &root, "/api/v1/audit?limit=100");
    // What was refused before may have been noted while the pages were read.
    let all = all["entries"].as_array().unwrap().iter();
    let all: Vec<_> = all.skip_while(|row| **row != paged[0]).cloned().collect();
    assert_eq!(paged, all);
    let names: Vec<_> = paged.iter().map(|row| row["userName"].as_str()).collect();
    assert!(!names.contains(&Some("other")), "{names:?}");
    let own = page(&server, &other, "/api/v1/audit?limit=100");
    for row in own["entries"].as_array().unwrap() {
        let who = &row["userName"];
        assert!(who == "other" || who.is_null(), "{row}");
    }

    // What somebody of another organization tries is not told with the title.
    assert_eq!(get(&format!("/api/v1/documents/{document}"), &other), 404);
    let shared = format!("/api/v1/audit?userId={}&action=document.shared", ben.id);
    let shared = page(&server, &root, &shared);
    assert_eq!(shared["entries"].as_array().unwrap().len(), 1);
    let row = &shared["entries"][0];
    assert_eq!(row["details"], json!({ "role": "editor" }));
    assert_eq!(
        (&row["actorName"], &row["userName"], &row["documentTitle"]),
        (&json!("ada"), &json!("ben"), &json!("A document"))
    );
    let created = format!("{of_document}?action=document.created");
    let of_owner = page(&server, &ada, &created);
    assert_eq!(of_owner["entries"][0]["address"], "127.0.0.1", "her own");
}

fn verify(data: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["audit", "verify", "--data-dir"])
        .arg(data)
        .args(words)
        .output()
        .unwrap();
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    assert!(matches!(output.status.code(), Some(0 | 1)));
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_trail_that_was_tampered_with_is_found() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    server.create(&ada);
    let (intact, said) = verify(data.path(), &[]);
    assert!(intact, "{said}");
    let noted = said.lines().last().unwrap().to_owned();
    server.create(&ada);
    // The end of the process stores what waits.
    let document = server.create(&ada);
    server.document(&ada, &document);
    server.terminate();
    assert!(verify(data.path(), &["--expect", &noted]).0);
    let listed = motet(data.path(), &["audit", "list", "--document", &document]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("document.read") && listed.contains("document.created"));

    // Someone cuts off the end, with the note of where it is, so that the chain itself is whole.
    let database = rusqlite::Connection::open(data.path().join("catalog.db")).unwrap();
    let cut = "DELETE FROM audit WHERE seq > 2;
               UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)";
    database.execute_batch(cut).unwrap();
    assert!(verify(data.path(), &[]).0);
    let (intact, said) = verify(data.path(), &["--expect", &noted]);
    assert!(!intact && said.contains("cut off"), "{said}");
    let tamper = "UPDATE audit SET action = 'document.read' WHERE seq = 1";
    database.execute_batch(tamper).unwrap();
    let (intact, said) = verify(data.path(), &[]);
    assert!(!intact && said.contains("broken at row 1"), "{said}");
}
