//! A whole installation from one place to another: everything is there, and nothing half.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use bytes::Bytes;
use motet_log::{DocumentList, DocumentLog, Listed, SqliteLog};
use motet_model::{Change, Checkpoint, DocumentId, Revision, UserId};
use motet_testing::Schema;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{
    Account, PATIENCE, Peer, Server, administrator, data_dir, editor::Editor, motet,
};

fn migration(from: &str, to: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_motet"));
    command
        .args(["migrate", "--from", from, "--to", to])
        .args(flags);
    command
}

fn run(from: &str, to: &str) -> Output {
    migration(from, to, &[]).output().unwrap()
}

/// Moves everything, and returns what is printed.
fn migrate(from: &str, to: &str) -> String {
    let output = run(from, to);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fails, and returns why.
fn refused(from: &str, to: &str) -> String {
    let output = run(from, to);
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Some time of an installation.
struct Past {
    ada: Account,
    ben: Account,
    root: Account,
    guest: Account,
    key: String,
    avatar: String,
    link: String,
    /// Edited by sockets and requests.
    document: String,
    /// In the trash, and gone for good.
    trashed: String,
    gone: String,
    /// Of the answers to [`questions`](Self::questions).
    answers: Vec<(u16, Value)>,
}

impl Past {
    async fn make(data: &Path) -> Self {
        administrator(data, "root");
        let mut server = Server::start(data, &[]);
        let (ada, ben, root) = (
            server.register("ada"),
            server.register("ben"),
            server.sign_in("root"),
        );
        let call = |who: &Account, method: &str, path: &str, body: Value| {
            let path = format!("/api/v1/{path}");
            let (status, answer) = server.call(
                method,
                &path,
                Some(&who.token),
                Some(&body).filter(|body| !body.is_null()),
            );
            assert!((200..300).contains(&status), "{method} {path}: {answer}");
            answer
        };
        let id = |answer: &Value, field: &str| answer[field].as_str().unwrap().to_owned();
        let document = server.create(&ada);
        let edit = json!({
            "changes": { "ops": [{ "insert": "kumquats and ä\u{1f600}\n" }] }, "clientVersion": 0,
        });
        call(&ada, "PATCH", &format!("documents/{document}/edit"), edit);
        server.grant(&ada, &document, "ben", "editor");
        let (socket, state) = server.join(&ben, &document, "ben").await;
        let content = crate::support::editor::decoded(&state["content"]);
        let mut editor = Editor::at(socket, state["revision"].as_u64().unwrap(), content);
        for n in 1..=40_usize {
            let delta = json!({ "ops": [
                { "retain": 8 + n }, { "insert": "x", "attributes": { "bold": n % 2 == 0 } },
            ] });
            editor.edit(crate::support::editor::decoded(&delta)).await;
            editor.settle().await;
        }
        drop(editor);

        let group = call(&root, "POST", "groups", json!({ "name": "Editors" }));
        let group = id(&group, "groupId");
        let member = format!("groups/{group}/members/{}", ben.id);
        call(&root, "PUT", &member, Value::Null);
        let shared = server.create(&ada);
        let grant = json!({ "groupId": group, "role": "viewer" });
        call(&ada, "POST", &format!("documents/{shared}/grants"), grant);
        let link = json!({ "role": "viewer" });
        let link = call(&ada, "POST", &format!("documents/{document}/links"), link);
        let link = id(&link, "token");
        let path = format!("/api/v1/links/{link}");
        let (status, opened) = server.call("POST", &path, None, Some(&json!({ "name": "G" })));
        assert_eq!(status, 200, "{opened}");
        let guest = Account::of(&opened["guest"]);

        let key = json!({ "name": "k", "scopes": ["read"] });
        let key = id(&call(&ada, "POST", "api-keys", key), "key");
        let url = format!("http://{}/api/v1/users/{}/avatar", server.address, ada.id);
        let sent = ureq::put(url)
            .header("authorization", format!("Bearer {}", ada.token))
            .header("content-type", "image/png")
            .send(b"\x89PNG\r\n\x1a\nand so on".as_slice());
        let profile = sent.unwrap().body_mut().read_to_string().unwrap();
        let profile: Value = serde_json::from_str(&profile).unwrap();
        let avatar = id(&profile, "avatarUrl");

        let (trashed, gone) = (server.create(&ada), server.create(&ada));
        for document in [&trashed, &gone] {
            let edit = json!({ "changes": { "ops": [{ "insert": "a" }] }, "clientVersion": 0 });
            call(&ada, "PATCH", &format!("documents/{document}/edit"), edit);
            call(
                &ada,
                "DELETE",
                &format!("documents/{document}"),
                Value::Null,
            );
        }
        let path = format!("documents/{gone}?permanent=true");
        call(&ada, "DELETE", &path, Value::Null);
        let mut past = Self {
            ada,
            ben,
            root,
            guest,
            key,
            avatar,
            link,
            document,
            trashed,
            gone,
            answers: Vec::new(),
        };
        server.terminate();
        // When a document was edited last is stored a moment later.
        let mut server = Server::start(data, &[]);
        past.answers = past.questions(&server);
        server.terminate();
        past
    }

    /// What everybody is answered, with the tokens that they had.
    fn questions(&self, server: &Server) -> Vec<(u16, Value)> {
        let document = format!("documents/{}", self.document);
        let changes = format!("{document}/changes");
        let (grants, links) = (format!("{document}/grants"), format!("{document}/links"));
        let profile = format!("users/{}", self.ada.id);
        let (ada, ben) = (&self.ada.token, &self.ben.token);
        let asked = [
            (ada, document.as_str()),
            (ada, &changes),
            (ada, &grants),
            (ada, &links),
            (ada, &profile),
            (ada, "documents"),
            (ada, "documents?filter=trash"),
            (ben, "documents?filter=shared"),
            (ben, &document),
            (&self.guest.token, &document),
            (&self.root.token, "groups"),
            (&self.root.token, "admin/users"),
            (&self.key, &document),
        ];
        let answers = asked.map(|(token, path)| {
            let path = format!("/api/v1/{path}");
            let (status, mut answer) = server.call("GET", &path, Some(token), None);
            assert_eq!(status, 200, "{path}: {answer}");
            forget_uses(&mut answer);
            (status, answer)
        });
        let mut answers = answers.to_vec();
        let (status, _, picture) = server.raw("GET", &self.avatar, &[], None);
        answers.push((status, picture.into()));
        answers
    }

    /// Whether a server shows what there was.
    fn assert_same(&self, server: &Server) {
        for (now, before) in self.questions(server).iter().zip(&self.answers) {
            assert_eq!(now, before);
        }
        self.assert_found(server);
        let path = format!("/api/v1/links/{}", self.link);
        assert_eq!(server.call("GET", &path, None, None).0, 200);
        server.sign_in("ada");
    }

    /// Whether the document is found, by its title and by what is in it.
    fn assert_found(&self, server: &Server) {
        // What is made anew is there after a moment.
        let deadline = Instant::now() + PATIENCE;
        for word in ["kumquats", "document"] {
            loop {
                let path = format!("/api/v1/documents?q={word}");
                let (_, found) = server.call("GET", &path, Some(&self.ben.token), None);
                let found = found["documents"].as_array().unwrap();
                if found
                    .iter()
                    .any(|it| it["documentId"] == self.document.as_str())
                {
                    break;
                }
                assert!(Instant::now() < deadline, "{word} is not found");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// When a key or account was used last is not what it was before somebody asked.
fn forget_uses(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.starts_with("lastUsed") && !name.starts_with("lastSeen"));
            fields.values_mut().for_each(forget_uses);
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_uses),
        _ => {}
    }
}

/// A document with all its changes and checkpoints.
type Whole = (Listed, Vec<Change>, Vec<Checkpoint>);

async fn everything(log: &impl DocumentList) -> Vec<Whole> {
    let mut all = Vec::new();
    for listed in log.documents(None, 10_000).await.unwrap() {
        let (id, mut checkpoints) = (listed.id, Vec::new());
        if listed.deleted {
            all.push((listed, Vec::new(), checkpoints));
            continue;
        }
        let changes = log.read(id, Revision::ZERO, usize::MAX).await.unwrap();
        let mut at_most = listed.head;
        while let Some(checkpoint) = log.checkpoint(id, at_most).await.unwrap() {
            at_most = Revision::new(checkpoint.revision.get() - 1);
            checkpoints.push(checkpoint);
        }
        all.push((listed, changes, checkpoints));
    }
    all
}

async fn in_directory(data: &Path) -> Vec<Whole> {
    everything(&SqliteLog::open_to_read(&data.join("log.db"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_there_and_back() {
    let (data, schema, back) = (data_dir(), Schema::new().await, data_dir());
    let past = Past::make(data.path()).await;
    let before = in_directory(data.path()).await;
    assert!(before.iter().any(|(listed, ..)| listed.deleted));
    let files = ["catalog.db", "log.db"].map(|file| std::fs::read(data.path().join(file)).unwrap());
    let audit = motet(data.path(), &["audit", "verify"]);
    let expected = audit.lines().last().unwrap().to_owned();

    let told = migrate(&text(data.path()), &schema.url());
    assert!(told.contains(&expected), "{told}\n{audit}");
    let after = ["catalog.db", "log.db"].map(|file| std::fs::read(data.path().join(file)).unwrap());
    assert!(files == after, "the source is not changed");

    let nothing = data_dir();
    let database = ["--database", &schema.url()];
    let verify = [
        ["audit", "verify", "--expect", &expected].as_slice(),
        &database,
    ]
    .concat();
    motet(nothing.path(), &verify);
    let mut server = Server::start(nothing.path(), &database);
    past.assert_same(&server);
    // It goes on from there.
    let (mut socket, state) = server.join(&past.ben, &past.document, "later").await;
    let revision = state["revision"].as_u64().unwrap();
    socket
        .submit(1, revision, json!([{ "insert": "later " }]))
        .await;
    assert_eq!(socket.expect("ack").await["revision"], revision + 1);
    drop(socket);
    server.terminate();
    assert_eq!(std::fs::read_dir(nothing.path()).unwrap().count(), 0);

    let fresh = back.path().join("data");
    migrate(&schema.url(), &text(&fresh));
    let returned = in_directory(&fresh).await;
    for ((listed, changes, _), (now, later, _)) in before.iter().zip(&returned) {
        assert_eq!((listed.id, listed.deleted), (now.id, now.deleted));
        assert!(later.starts_with(changes), "a history stays");
    }
    assert_eq!(before.len(), returned.len());
    motet(&fresh, &["audit", "verify", "--expect", &expected]);
    let mut server = Server::start(&fresh, &[]);
    let (status, document) = server.call(
        "GET",
        &format!("/api/v1/documents/{}", past.document),
        Some(&past.ada.token),
        None,
    );
    assert_eq!(status, 200, "{document}");
    assert_eq!(document["revision"], revision + 1);
    past.assert_found(&server);
    let restore = format!("/api/v1/documents/{}/restore", past.trashed);
    let (status, answer) = server.call("POST", &restore, Some(&past.ada.token), None);
    assert!(status < 300, "{answer}");
    let restored = server.document(&past.ada, &past.trashed);
    assert_eq!(restored, (1, "a".to_owned()));
    let gone = format!("/api/v1/documents/{}", past.gone);
    let (status, _) = server.call("GET", &gone, Some(&past.ada.token), None);
    assert_eq!(status, 404);
    server.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_between_two_of_a_kind() {
    let data = data_dir();
    let past = Past::make(data.path()).await;
    let directory = data_dir();
    migrate(&text(data.path()), &text(directory.path()));
    let (a, b) = (Schema::new().await, Schema::new().await);
    migrate(&text(directory.path()), &a.url());
    migrate(&a.url(), &b.url());
    let nothing = data_dir();
    let server = Server::start(nothing.path(), &["--database", &b.url()]);
    past.assert_same(&server);
    drop(server);
    let server = Server::start(directory.path(), &[]);
    past.assert_same(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_go_wrong_is_refused() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let from = text(data.path());
    let missing = refused(&from, &schema.url());
    assert!(
        missing.contains("not the data directory of a server"),
        "{missing}"
    );
    let mut server = Server::start(data.path(), &[]);
    let empty = data_dir();
    let in_use = refused(&from, &text(empty.path()));
    assert!(in_use.contains("in use"), "{in_use}");
    server.terminate();
    let unused = refused(&from, &text(empty.path()));
    assert!(
        unused.contains("neither accounts nor documents"),
        "{unused}"
    );
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    server.create(&ada);
    server.terminate();
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "nothing was made"
    );

    // Somebody is there already.
    let nothing = data_dir();
    let there = Server::start(nothing.path(), &["--database", &schema.url()]);
    let in_use = refused(&from, &schema.url());
    assert!(
        in_use.contains("is in use") && in_use.contains("--force"),
        "{in_use}"
    );
    let forced = migration(&from, &schema.url(), &["--force"]).output();
    assert!(forced.unwrap().status.success());
    there.sign_in("ada");
    drop(there);
    let used = refused(&from, &schema.url());
    assert!(used.contains("has accounts already"), "{used}");
    let to_itself = refused(&from, &from);
    assert!(to_itself.contains("has accounts already"), "{to_itself}");

    // Its log is of something else.
    let other = data_dir();
    let log = SqliteLog::open(&other.path().join("log.db")).unwrap();
    let stray = DocumentId::from_bytes([3; 16]);
    log.append(stray, Revision::ZERO, vec![change(1)])
        .await
        .unwrap();
    drop(log);
    let foreign = refused(&from, &text(other.path()));
    assert!(foreign.contains("not the beginning"), "{foreign}");
    assert_eq!(in_directory(other.path()).await.len(), 1, "it is as it was");

    // Nobody is shown a password.
    let secret = refused(&from, "postgres://ada:secret@127.0.0.1:1/none");
    assert!(!secret.contains("secret"), "{secret}");
}

fn change(seq: u64) -> Change {
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "client".parse().unwrap(),
        seq,
        merged: seq.is_multiple_of(3),
        time_ms: seq,
        delta: Bytes::from(vec![b'd'; 700]),
        update: Bytes::from(seq.to_string()),
    }
}

/// An installation with an account and a log that takes a while.
async fn large(documents: u16, changes: u64) -> TempDir {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    server.create(&ada);
    server.terminate();
    let log = SqliteLog::open(&data.path().join("log.db")).unwrap();
    for n in 0..documents {
        let [high, low] = n.to_be_bytes();
        let mut id = [9; 16];
        id[..2].copy_from_slice(&[high, low]);
        let id = DocumentId::from_bytes(id);
        let all = (1..=changes).map(change).collect();
        log.append(id, Revision::ZERO, all).await.unwrap();
        for at in [changes / 3, changes / 2, changes] {
            let checkpoint = Checkpoint {
                revision: Revision::new(at),
                state: Bytes::from(format!("state {at}")),
            };
            log.put_checkpoint(id, checkpoint).await.unwrap();
        }
        if n % 10 == 0 {
            log.delete(id).await.unwrap();
        }
    }
    data
}

async fn number(connection: &mut PgConnection, query: &'static str) -> i64 {
    let row = sqlx::query(query).fetch_one(connection).await;
    row.unwrap().try_get(0).unwrap()
}

/// Waits until the query gives at least `least`, while the migration runs.
async fn wait_for(
    child: &mut Child,
    connection: &mut PgConnection,
    query: &'static str,
    least: i64,
) {
    let deadline = Instant::now() + PATIENCE;
    while number(connection, query).await < least {
        assert!(child.try_wait().unwrap().is_none(), "it has ended already");
        assert!(Instant::now() < deadline, "it does nothing");
        thread::sleep(Duration::from_millis(2));
    }
}

/// **resumable**: killed among the documents, and within the catalog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_is_gone_on_with() {
    let data = large(400, 600).await;
    let from = text(data.path());
    let schema = Schema::new().await;
    // The tables are there before, so that they can be looked at.
    drop(Server::start(
        data_dir().path(),
        &["--database", &schema.url()],
    ));
    let mut connection = schema.connect().await;
    let start = || {
        let mut command = migration(&from, &schema.url(), &[]);
        command.stderr(Stdio::null()).stdout(Stdio::null());
        command.spawn().unwrap()
    };

    let mut child = start();
    let appends = "SELECT COUNT(*) FROM log_appends";
    wait_for(&mut child, &mut connection, appends, 50).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let first = number(&mut connection, appends).await;
    let all = in_directory(data.path()).await;
    let there = number(&mut connection, "SELECT COUNT(*) FROM log_documents").await;
    assert!(
        there < i64::try_from(all.len()).unwrap(),
        "it was in the middle"
    );
    assert_eq!(
        number(&mut connection, "SELECT COUNT(*) FROM users").await,
        0
    );

    // The catalog waits for somebody who writes there, and is killed.
    let mut writer = schema.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE")
        .execute(&mut writer)
        .await
        .unwrap();
    let mut child = start();
    let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted
                   AND relation = CAST('users' AS regclass)";
    wait_for(&mut child, &mut connection, waiting, 1).await;
    assert!(number(&mut connection, appends).await > first);
    child.kill().unwrap();
    child.wait().unwrap();
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut writer)
        .await
        .unwrap();
    drop(writer);
    assert_eq!(
        number(&mut connection, "SELECT COUNT(*) FROM users").await,
        0
    );

    let second = number(&mut connection, appends).await;
    let told = migrate(&from, &schema.url());
    assert!(told.contains("has the same as"), "{told}");
    assert_eq!(
        number(&mut connection, appends).await,
        second,
        "nothing twice"
    );
    assert_eq!(
        number(&mut connection, "SELECT COUNT(*) FROM users").await,
        1
    );
    let back = data_dir();
    migrate(&schema.url(), &text(back.path()));
    assert!(
        in_directory(back.path()).await == all,
        "all of it, with its order"
    );
}
