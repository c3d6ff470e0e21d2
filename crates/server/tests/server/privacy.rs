//! What people may ask for of what is kept about them: a copy, and its end.

use std::{path::Path, time::Duration};

use crate::support::{
    Account, PASSWORD, PATIENCE, Peer, Server, administrator, data_dir, motet, text_of,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use motet_catalog::{Actor, Catalog};
use motet_log::{DocumentLog, SqliteLog};
use motet_model::OrganizationId;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// What stands in the files only because of the person.
const NEEDLES: [&str; 5] = [
    "Adelheid",
    "Sonderbar",
    "Geheimnis",
    "Schluesselbund",
    "Bildnis9",
];

fn call(server: &Server, who: &Account, method: &str, path: &str, body: Value) -> (u16, Value) {
    let path = format!("/api/v1/{path}");
    let body = Some(body).filter(|body| !body.is_null());
    server.call(method, &path, Some(&who.token), body.as_ref())
}

/// Where in the data directory a needle is found, byte for byte.
fn found(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let lower = bytes.to_ascii_lowercase();
            for needle in NEEDLES {
                let small = needle.to_ascii_lowercase();
                if lower
                    .windows(small.len())
                    .any(|part| part == small.as_bytes())
                {
                    found.push(format!("{needle} in {}", path.display()));
                }
            }
        }
    }
    found
}

/// Gives somebody a picture that can be told from others where it is kept, in base 64.
fn put_avatar(server: &Server, account: &Account) -> String {
    let mut image = b"\x89PNG\r\n\x1a\n.".to_vec();
    image.extend(BASE64_STANDARD.decode("Bildnis9").unwrap());
    let url = format!(
        "http://{}/api/v1/users/{}/avatar",
        server.address, account.id
    );
    let sent = ureq::put(url)
        .header("authorization", format!("Bearer {}", account.token))
        .header("content-type", "image/png")
        .send(&image[..]);
    let body = sent.unwrap().body_mut().read_to_string().unwrap();
    let profile: Value = serde_json::from_str(&body).unwrap();
    profile["avatarUrl"].as_str().unwrap().to_owned()
}

/// A server with an administrator, Adelheid with all that she may leave behind, and Ben.
struct Stage {
    server: Server,
    root: Account,
    ada: Account,
    ben: Account,
    /// Hers, and Ben's in which she wrote.
    hers: Vec<String>,
    bens: String,
    /// Where her picture is.
    avatar: String,
    data: TempDir,
}

impl Stage {
    fn new() -> Self {
        let data = data_dir();
        administrator(data.path(), "root");
        let server = Server::start(data.path(), &[]);
        let (ada, ben) = (server.register("Adelheid"), server.register("ben"));
        let root = server.sign_in("root");
        let bens = server.create(&ben);
        let body = json!({ "userId": ada.id, "role": "editor" });
        let grants = format!("documents/{bens}/grants");
        assert_eq!(call(&server, &ben, "POST", &grants, body).0, 201);
        let mut hers = Vec::new();
        for _ in 0..3 {
            let body = json!({ "title": "Sonderbar" });
            let (status, made) = call(&server, &ada, "POST", "documents", body);
            assert_eq!(status, 201);
            hers.push(made["documentId"].as_str().unwrap().to_owned());
        }
        let (path, body) = (
            format!("documents/{}/links", hers[0]),
            json!({ "role": "viewer" }),
        );
        assert_eq!(call(&server, &ada, "POST", &path, body).0, 201);
        let body = json!({ "name": "Schluesselbund", "scopes": ["read"] });
        assert_eq!(call(&server, &ada, "POST", "api-keys", body).0, 201);
        let group = call(&server, &root, "POST", "groups", json!({ "name": "All" })).1;
        let path = format!(
            "groups/{}/members/{}",
            group["groupId"].as_str().unwrap(),
            ada.id
        );
        assert_eq!(call(&server, &root, "PUT", &path, Value::Null).0, 204);
        let avatar = put_avatar(&server, &ada);
        let stage = Self {
            server,
            root,
            ada,
            ben,
            hers,
            bens,
            avatar,
            data,
        };
        stage.write();
        stage
    }

    fn edit(&self, who: &Account, document: &str, revision: u64, text: &str) {
        let path = format!("documents/{document}/edit");
        let changes = json!({ "ops": [{ "insert": text }] });
        let body = json!({ "changes": changes, "clientVersion": revision });
        let (status, answer) = call(&self.server, who, "PATCH", &path, body);
        assert_eq!(status, 200, "{answer}");
    }

    /// Many small changes side by side, so that the databases move rows about, and large ones.
    fn write(&self) {
        for revision in 0..60 {
            for document in &self.hers {
                let text = "Geheimnis ".repeat(1 + usize::try_from(revision % 7).unwrap());
                self.edit(&self.ada, document, revision, &text);
            }
            self.edit(&self.ben, &self.bens, revision, &"of Ben ".repeat(9));
        }
        self.edit(&self.ada, &self.bens, 60, "of hers in his ");
        self.edit(&self.ada, &self.hers[0], 60, &"Geheimnis ".repeat(9_000));
    }

    fn erase(&self, who: &Account, body: Value) -> (u16, Value) {
        let path = format!("users/{}/erase", self.ada.id);
        call(&self.server, who, "POST", &path, body)
    }

    /// What must hold once she is erased.
    fn assert_erased(&self) {
        assert_eq!(found(self.data.path()), [""; 0]);
        assert_eq!(self.server.raw("GET", &self.avatar, &[], None).0, 404);
        let (status, _) = call(&self.server, &self.ada, "GET", "auth/validate", Value::Null);
        assert_eq!(status, 401);
        let body = json!({ "email": "adelheid@example.com", "password": PASSWORD });
        let (status, _) = self
            .server
            .call("POST", "/api/v1/auth/login", None, Some(&body));
        assert_eq!(status, 401);
        // What she wrote in a document of somebody else is theirs.
        let (_, text) = self.server.document(&self.ben, &self.bens);
        assert!(text.contains("of hers in his"));
        let path = format!("audit?userId={}&limit=100", self.ada.id);
        let (_, trail) = call(&self.server, &self.root, "GET", &path, Value::Null);
        let rows = trail["entries"].as_array().unwrap();
        assert_eq!(rows[0]["action"], "account.erased");
        for row in rows
            .iter()
            .filter(|row| row["actorId"] == json!(self.ada.id))
        {
            assert_eq!(
                (&row["actorName"], &row["address"]),
                (&json!("Erased user"), &Value::Null)
            );
        }
        let verified = motet(self.data.path(), &["audit", "verify"]);
        assert!(verified.contains("intact"), "{verified}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_person_is_left_in_any_file() {
    let stage = Stage::new();
    let present = found(stage.data.path());
    assert!(
        present.iter().any(|it| it.contains("Geheimnis in")),
        "{present:?}"
    );
    assert!(
        present.iter().any(|it| it.contains("Adelheid in")),
        "{present:?}"
    );
    assert_eq!(
        stage.server.raw("GET", &stage.avatar, &[], None).0,
        200,
        "her picture"
    );
    let (mut live, _) = stage.server.join(&stage.ada, &stage.bens, "live").await;

    assert_eq!(stage.erase(&stage.ben, json!({})).0, 404);
    assert_eq!(stage.erase(&stage.ada, json!({})).0, 400);
    let (status, refused) = stage.erase(&stage.ada, json!({ "password": "another password" }));
    assert_ne!(status, 204, "{refused}");
    assert_eq!(
        call(
            &stage.server,
            &stage.ada,
            "GET",
            "auth/validate",
            Value::Null
        )
        .0,
        200
    );

    let (status, answer) = stage.erase(&stage.ada, json!({ "password": PASSWORD }));
    assert_eq!(status, 204, "{answer}");
    assert_eq!(live.expect_close().await.1, Some(4403));
    stage.assert_erased();
    for document in &stage.hers {
        let path = format!("documents/{document}");
        assert_eq!(
            call(&stage.server, &stage.ben, "GET", &path, Value::Null).0,
            404
        );
    }
    // She is gone, so she cannot go again.
    assert_eq!(stage.erase(&stage.root, json!({})).0, 404);
}

#[test]
fn documents_go_to_somebody_else() {
    let stage = Stage::new();
    let (status, _) = stage.erase(&stage.root, json!({ "transferTo": "nobody@example.com" }));
    assert_eq!(status, 404);
    let (status, _) = stage.erase(&stage.root, json!({ "transferTo": "root@example.com" }));
    assert_eq!(status, 400);
    let path = format!("users/{}/erase", stage.root.id);
    let body = json!({ "password": PASSWORD });
    let (status, answer) = call(&stage.server, &stage.root, "POST", &path, body);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("last_administrator"))
    );

    let (status, answer) = stage.erase(&stage.root, json!({ "transferTo": "ben@example.com" }));
    assert_eq!(status, 204, "{answer}");
    for document in &stage.hers {
        let path = format!("documents/{document}");
        let (_, shown) = call(&stage.server, &stage.ben, "GET", &path, Value::Null);
        assert_eq!(
            (&shown["role"], &shown["ownerName"]),
            (&json!("owner"), &json!("ben"))
        );
        assert!(text_of(&shown["content"]).contains("Geheimnis"));
        let (_, links) = call(
            &stage.server,
            &stage.ben,
            "GET",
            &format!("{path}/links"),
            Value::Null,
        );
        assert_eq!(links["links"], json!([]));
        let path = format!("{path}/audit?action=document.transferred");
        let (_, trail) = call(&stage.server, &stage.ben, "GET", &path, Value::Null);
        assert_eq!(trail["entries"][0]["userName"], "ben");
        assert_eq!(trail["entries"][0]["details"]["from"], json!(stage.ada.id));
    }
    let left = found(stage.data.path());
    assert!(
        !left
            .iter()
            .any(|it| it.contains("Adelheid") || it.contains("Schluessel")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_overwritten_seldom_and_for_all_who_wait() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let file = data.path().join("catalog.db");
    let waiting = async || {
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        let waiting = catalog.erasures().await.unwrap();
        catalog.close().await;
        assert!(waiting.iter().all(|it| it.erased));
        waiting.len()
    };
    let erase = |server: &Server, name: &str| {
        let account = server.register(name);
        let path = format!("users/{}/erase", account.id);
        let body = json!({ "password": PASSWORD });
        assert_eq!(call(server, &account, "POST", &path, body).0, 204);
    };
    erase(&server, "first");
    assert_eq!(waiting().await, 0, "at once");
    erase(&server, "second");
    erase(&server, "third");
    assert_eq!(waiting().await, 2);
    server.register("Adelheid");
    let arguments = ["user", "erase", "--user", "adelheid@example.com", "--yes"];
    motet(data.path(), &arguments);
    assert_eq!(waiting().await, 0, "the operator does not wait");
    assert_eq!(found(data.path()), [""; 0]);

    erase(&server, "Sonderbar");
    assert_eq!(waiting().await, 1);
    server.kill();
    server = Server::start(data.path(), &[]);
    let deadline = Instant::now() + PATIENCE;
    while waiting().await > 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found(data.path()), [""; 0]);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_interrupted_is_completed_at_the_next_start() {
    let mut stage = Stage::new();
    stage.server.kill();
    let catalog = Catalog::open_sqlite(&stage.data.path().join("catalog.db"))
        .await
        .unwrap();
    let actor = Actor {
        user: None,
        organization: OrganizationId::DEFAULT,
        address: String::new(),
        nonce: [0; 16],
        at_ms: 1,
    };
    let user = stage.ada.id.parse().unwrap();
    catalog
        .begin_erasure(&actor, user, None, false)
        .await
        .unwrap();
    // It had come to one document's log.
    let log = SqliteLog::open(&stage.data.path().join("log.db")).unwrap();
    log.delete(stage.hers[1].parse().unwrap()).await.unwrap();
    drop(log);
    catalog.close().await;
    stage.server = Server::start(stage.data.path(), &[]);
    let deadline = Instant::now() + PATIENCE;
    while !found(stage.data.path()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", found(stage.data.path()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.assert_erased();
}

#[test]
fn a_copy_holds_what_is_theirs_and_nothing_of_others() {
    let stage = Stage::new();
    let path = format!("users/{}/export", stage.ada.id);
    assert_eq!(
        call(&stage.server, &stage.ben, "GET", &path, Value::Null).0,
        404
    );
    let (status, copy) = call(&stage.server, &stage.ada, "GET", &path, Value::Null);
    assert_eq!(status, 200);
    let (status, theirs) = call(&stage.server, &stage.root, "GET", &path, Value::Null);
    assert_eq!(status, 200);
    assert_eq!(theirs["documents"].as_array().unwrap().len(), 3);
    for document in theirs["documents"].as_array().unwrap() {
        assert!(document.get("text").is_none() && document.get("content").is_none());
    }
    assert_eq!(copy["profile"]["email"], "Adelheid@example.com");
    assert_eq!(copy["organization"]["name"], "Main");
    assert_eq!(copy["groups"][0]["name"], "All");
    assert_eq!(copy["apiKeys"][0]["name"], "Schluesselbund");
    assert_eq!(copy["grants"][0]["documentId"], json!(stage.bens));
    assert_eq!(copy["signIns"].as_array().unwrap().len(), 1);
    let documents = copy["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 3);
    for document in documents {
        assert_eq!(
            text_of(&document["content"]),
            document["text"].as_str().unwrap()
        );
        assert!(document["text"].as_str().unwrap().contains("Geheimnis"));
    }
    let first = documents
        .iter()
        .find(|it| it["documentId"] == json!(stage.hers[0]))
        .unwrap();
    assert_eq!(first["links"].as_array().unwrap().len(), 1);
    let changes = copy["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0]["documentId"], &changes[0]["revision"]),
        (&json!(stage.bens), &json!(61))
    );
    let audit = copy["audit"].as_array().unwrap();
    assert!(
        audit
            .iter()
            .any(|row| row["action"] == "account.signed_in" && row["address"] == "127.0.0.1")
    );
    let text = copy.to_string();
    assert!(!text.contains("of Ben") && !text.contains("hash") && !text.contains("argon2"));

    // The command line beside the running server, for the copy and the end.
    let out = stage.data.path().join("copy.json");
    let (email, out_text) = ("adelheid@example.com", out.to_str().unwrap());
    motet(
        stage.data.path(),
        &["user", "export", "--user", email, "--out", out_text],
    );
    let written: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(written["documents"], copy["documents"]);
    std::fs::remove_file(&out).unwrap();
    motet(
        stage.data.path(),
        &["user", "erase", "--user", email, "--yes"],
    );
    stage.assert_erased();
}

/// Asks for a copy, and takes no more of it than its status.
async fn begin_export(server: &Server, account: &Account) -> TcpStream {
    let mut socket = TcpStream::connect(&server.address).await.unwrap();
    let (id, token) = (&account.id, &account.token);
    let request = format!(
        "GET /api/v1/users/{id}/export HTTP/1.1\r\nHost: motet\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_made_one_for_each_account_and_two_in_all() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let [ada, ben, cleo] = ["ada", "ben", "cleo"].map(|name| server.register(name));
    for account in [&ada, &ben] {
        // More than sockets hold that nobody reads.
        for _ in 0..4 {
            let content = json!({ "ops": [{ "insert": "much ".repeat(700_000) }] });
            let body = json!({ "title": "Large", "content": content });
            let (status, _) = call(&server, account, "POST", "documents", body);
            assert_eq!(status, 201);
        }
    }
    let ask = |account: &Account| {
        let path = format!("/api/v1/users/{}/export", account.id);
        let bearer = [("authorization", format!("Bearer {}", account.token))];
        let (status, headers, body) = server.raw("GET", &path, &bearer, None);
        let later = headers.get("retry-after").map(|it| it.to_str().unwrap());
        let answer: Value = serde_json::from_str(&body).unwrap();
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        (status, code.to_owned(), later.map(ToOwned::to_owned))
    };
    let refused = |status, code: &str| (status, code.to_owned(), Some("10".to_owned()));
    let first = begin_export(&server, &ada).await;
    assert_eq!(ask(&ada), refused(429, "export_in_progress"));
    let second = begin_export(&server, &ben).await;
    assert_eq!(ask(&cleo), refused(503, "unavailable"));
    assert_eq!(ask(&ada), refused(429, "export_in_progress"));
    drop((first, second));
    let deadline = Instant::now() + PATIENCE;
    while ask(&cleo).0 != 200 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_go_when_there_is_nothing_left_for_them() {
    let data = data_dir();
    let mut server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let links = format!("documents/{document}/links");
    let (_, link) = call(&server, &ada, "POST", &links, json!({ "role": "editor" }));
    let open = |name: &str| {
        let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
        let (status, opened) = server.call("POST", &path, None, Some(&json!({ "name": name })));
        assert_eq!(status, 200, "{opened}");
        Account::of(&opened["guest"])
    };
    let (gone, stays) = (open("Adelheid"), open("ben"));
    let path = format!("documents/{document}/edit");
    let edit = json!({ "changes": { "ops": [{ "insert": "a" }] }, "clientVersion": 0 });
    assert_eq!(call(&server, &gone, "PATCH", &path, edit).0, 200);
    let grant = format!("documents/{document}/grants/{}", gone.id);
    assert_eq!(call(&server, &ada, "DELETE", &grant, Value::Null).0, 204);
    let alive = |server: &Server, who| call(server, who, "GET", "auth/validate", Value::Null).0;

    let file = data.path().join("catalog.db");
    let idle_since = |id: &str| -> i64 {
        let database = rusqlite::Connection::open(&file).unwrap();
        let query = "SELECT idle_since_ms FROM users WHERE id = ?1";
        database.query_row(query, [id], |row| row.get(0)).unwrap()
    };
    server.terminate();
    let mut server = Server::start(data.path(), &[]);
    let deadline = Instant::now() + PATIENCE;
    while idle_since(&gone.id) == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(idle_since(&stays.id), 0);
    assert_eq!(alive(&server, &gone), 200, "for a week");
    server.terminate();
    let database = rusqlite::Connection::open(&file).unwrap();
    let earlier = "UPDATE users SET idle_since_ms = idle_since_ms - 604800000 WHERE id = ?1";
    database.execute(earlier, [&gone.id]).unwrap();
    drop(database);

    let server = Server::start(data.path(), &[]);
    let deadline = Instant::now() + PATIENCE;
    while alive(&server, &gone) != 401 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(alive(&server, &stays), 200);
    // What they wrote is the owner's, and is nobody's of whom there is a name.
    let path = format!("documents/{document}/changes");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, history) = call(&server, &ada, "GET", &path, Value::Null);
        let change = &history["changes"][0];
        assert_eq!(change["userId"], json!(gone.id));
        if change["userName"] == "Erased user" {
            break;
        }
        assert!(Instant::now() < deadline, "{history}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let catalog = Catalog::open_sqlite(&file).await.unwrap();
    let erasures = catalog.erasures().await.unwrap();
    assert!(
        erasures.iter().all(|it| it.patient && it.erased),
        "files wait"
    );
    assert_eq!(erasures.len(), 1);
}
