//! Several nodes on one PostgreSQL database.

use std::{path::Path, process::Command};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use motet_testing::Schema;
use tokio::time::{Instant, timeout};

use crate::support::{Heard, PATIENCE, Peer, Server, data_dir, make_user, motet};

/// A node that keeps nothing in its data directory.
fn node(data: &Path, schema: &Schema) -> Server {
    Server::start(data, &["--database", &schema.url()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_signs_all_take() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let (a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    let ada = a.register("ada");
    let document = a.create(&ada);
    assert_eq!(b.document(&ada, &document), (0, String::new()));

    // One that signs at once, made beside both.
    let database = ["--database", &schema.url()];
    let words = [["keys", "rotate", "--after", "0s"].as_slice(), &database].concat();
    let key = motet(data.path(), &words);
    for (server, other) in [(&a, &b), (&b, &a)] {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ada = server.sign_in("ada");
            // The other takes it at once, whether it has heard of the key or not.
            assert_eq!(other.document(&ada, &document).0, 0);
            if signer(&ada.token) == key {
                break;
            }
            assert!(Instant::now() < deadline, "the new key never signed");
        }
    }
    let kept = std::fs::read_dir(data.path()).unwrap().count();
    assert_eq!(kept, 0, "everything is in the database");
}

/// The key that has signed a token.
fn signer(token: &str) -> String {
    let (header, _) = token.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_one_node_takes_end_sessions_on_another() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let (a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    let (ada, ben) = (a.register("ada"), b.register("ben"));
    let document = a.create(&ada);
    a.grant(&ada, &document, "ben", "editor");
    let (mut session, state) = b.join(&ben, &document, "ben").await;
    assert_eq!(state["role"], "editor");

    a.grant(&ada, &document, "ben", "viewer");
    let changed = session.expect("permission_changed").await;
    assert_eq!(changed["role"], "viewer");

    let path = format!("/api/v1/documents/{document}/grants/{}", ben.id);
    let (status, _) = a.call("DELETE", &path, Some(&ada.token), None);
    assert_eq!(status, 204);
    assert_eq!(session.closed().await, Some(4403));
    let (status, _) = b.call(
        "GET",
        &format!("/api/v1/documents/{document}"),
        Some(&ben.token),
        None,
    );
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_one_node_deletes_ends_on_all() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let (a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    let ada = a.register("ada");
    let document = a.create(&ada);
    let (mut session, _) = b.join(&ada, &document, "there").await;
    let path = format!("/api/v1/documents/{document}");
    let (status, _) = a.call("DELETE", &path, Some(&ada.token), None);
    assert_eq!(status, 204);
    assert_eq!(session.closed().await, Some(4404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_the_operator_erases_is_gone_from_all() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let url = schema.url();
    let database = ["--database", url.as_str()];
    let (a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    make_user(data.path(), "cleo", &database);
    let cleo = a.sign_in("cleo");
    let document = a.create(&cleo);
    let (mut here, _) = a.join(&cleo, &document, "here").await;
    let (mut there, _) = b.join(&cleo, &document, "there").await;
    let erase = ["user", "erase", "--user", "cleo@example.com", "--yes"];
    motet(data.path(), &[erase.as_slice(), &database].concat());
    for session in [&mut here, &mut there] {
        let ended = async { while let Heard::Message(_) = session.next().await {} };
        timeout(PATIENCE, ended).await.unwrap();
    }
    for server in [&a, &b] {
        let path = format!("/api/v1/documents/{document}");
        let (status, _) = server.call("GET", &path, Some(&cleo.token), None);
        assert_eq!(status, 401);
    }
}

#[test]
fn nobody_is_shown_the_password_of_the_database() {
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["config", "check", "--database"])
        .arg("postgres://ada:secret@db.example/motet")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("postgres://ada:***@db.example/motet"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}
