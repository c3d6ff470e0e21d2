//! A log that takes less room says the same.

use std::{path::Path, process::Command, time::Duration};

use crate::support::{Account, PATIENCE, Server, data_dir, motet};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const EDITS: u64 = 60;

/// The rows of appends in the file of the log.
fn rows(data: &Path) -> u64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(data.join("log.db"), flags).unwrap();
    let count = connection.query_row("SELECT count(*) FROM appends", [], |row| row.get(0));
    u64::from(count.unwrap_or(0_u32))
}

fn history(server: &Server, ada: &Account, document: &str) -> Value {
    let path = format!("/api/v1/documents/{document}/changes?limit=100");
    let (status, page) = server.call("GET", &path, Some(&ada.token), None);
    assert_eq!(status, 200, "{page}");
    page
}

/// A document with changes that came one at a time.
fn edited(server: &Server, ada: &Account) -> String {
    let document = server.create(ada);
    for n in 0..EDITS {
        let changes = json!({"ops": [{"insert": n.to_string()}]});
        let body = json!({"changes": changes, "clientVersion": n});
        let path = format!("/api/v1/documents/{document}/edit");
        let edited = server.call("PATCH", &path, Some(&ada.token), Some(&body));
        assert_eq!(edited.0, 200, "{}", edited.1);
    }
    document
}

#[tokio::test]
async fn behind_the_scenes() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = edited(&server, &ada);
    let before = (
        history(&server, &ada, &document),
        server.document(&ada, &document),
    );
    assert_eq!(rows(data.path()), EDITS);
    server.terminate();
    let server = Server::start(data.path(), &[]);
    let compacted = async {
        while rows(data.path()) > 1 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    // It is done when a server starts.
    timeout(PATIENCE, compacted).await.unwrap();
    let after = (
        history(&server, &ada, &document),
        server.document(&ada, &document),
    );
    assert_eq!(after, before);
}

#[test]
fn on_the_command_line() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = edited(&server, &ada);
    let before = history(&server, &ada, &document);
    let refused = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["compact", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && why.contains("is in use"),
        "{why}"
    );
    server.terminate();
    let said = motet(data.path(), &["compact", "--vacuum"]);
    assert_eq!(
        said,
        format!("1 documents, {} rows and 0.0 MiB less", EDITS - 1)
    );
    assert_eq!(rows(data.path()), 1);
    let said = motet(data.path(), &["compact"]);
    assert_eq!(said, "0 documents, 0 rows and 0.0 MiB less");
    let server = Server::start(data.path(), &[]);
    assert_eq!(history(&server, &ada, &document), before);
}

/// It stays as it is and is named; the others are compacted.
#[test]
fn a_damaged_document_on_the_command_line() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let documents = [edited(&server, &ada), edited(&server, &ada)];
    server.terminate();
    // Ids sort by the time they were made.
    let connection = Connection::open(data.path().join("log.db")).unwrap();
    let damage = "UPDATE appends SET record = (SELECT record FROM appends WHERE last = 1 LIMIT 1)
                  WHERE last = 2
                    AND document = (SELECT number FROM documents ORDER BY id LIMIT 1)";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    drop(connection);
    let compacted = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["compact", "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8(compacted.stdout).unwrap();
    let why = String::from_utf8(compacted.stderr).unwrap();
    assert!(!compacted.status.success());
    assert_eq!(rows(data.path()), EDITS + 1, "{said} {why}");
    assert!(said.starts_with("1 documents"), "{said}");
    let named = documents.map(|it| why.contains(&it));
    assert_eq!(named, [true, false], "{why}");
}
