//! Several nodes on one PostgreSQL database.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
    process::Command,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use motet_model::NodeId;
use motet_testing::{Fault, Proxy, Schema, Weather};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Client, Heard, PATIENCE, Peer, Server, data_dir, make_user, motet};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_an_event_stream_may_arrive_anywhere() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let (mut a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    let ada = a.register("ada");
    let document = a.create(&ada);
    let (mut stream, _) = a.listen_in(&ada, &document, "stream").await;
    stream.address.clone_from(&b.address);
    stream.submit(1, 0, json!([{ "insert": "Hello" }])).await;
    assert_eq!(stream.expect("ack").await["revision"], 1);
    // Frames that come before their turn take no more space there than they are long.
    for frame in [4, 3, 5, 2] {
        assert_eq!(stream.post(frame, r#"{"type":"ping"}"#), (204, None));
    }
    // The answer of the node that holds the connection comes back as it is.
    let connection = stream.connection.clone().unwrap();
    let refused = stream.post_to(&format!("connection={connection}x&frame=6"), "{}");
    assert_eq!(refused, (410, Some("connection_gone".to_owned())));
    let stranger = NodeId::from_bytes([7; 16]);
    let refused = stream.post_to(&format!("connection={stranger}.x&frame=6"), "{}");
    assert_eq!(refused, (410, Some("connection_gone".to_owned())));

    a.terminate();
    let (_, code) = stream.post(6, "{}");
    assert!(matches!(
        code.as_deref(),
        Some("connection_gone" | "unavailable")
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_there_is_known_everywhere() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let (a, b) = (node(data.path(), &schema), node(data.path(), &schema));
    let flags = ["--administrator", "--database", &schema.url()];
    make_user(data.path(), "root", &flags);
    let root = a.sign_in("root");
    let ada = a.register("ada");
    let document = a.create(&ada);
    let (mut session, _) = b.join(&ada, &document, "there").await;

    let path = format!("/api/v1/presence/{}", ada.id);
    let sessions = "/api/v1/admin/sessions";
    for server in [&a, &b] {
        // They hear of each other every few seconds.
        let deadline = Instant::now() + PATIENCE;
        let live = loop {
            let (status, live) = server.call("GET", sessions, Some(&root.token), None);
            assert_eq!(status, 200);
            if live["sessions"][0].is_object() {
                break live;
            }
            assert!(Instant::now() < deadline, "the session is not found");
            sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(live["sessions"].as_array().unwrap().len(), 1);
        assert_eq!(live["sessions"][0]["documentId"], document.as_str());
        let (status, presence) = server.call("GET", &path, Some(&ada.token), None);
        assert_eq!((status, &presence["online"]), (200, &json!(true)));
        assert_eq!(presence["documents"].as_array().unwrap().len(), 1);
    }

    let (_, live) = a.call("GET", sessions, Some(&root.token), None);
    let id = live["sessions"][0]["sessionId"].as_str().unwrap();
    let end = format!("{sessions}/{id}");
    let (status, _) = a.call("DELETE", &end, Some(&ada.token), None);
    assert_eq!(status, 403, "it is asked as whoever asks");
    let (status, _) = a.call("DELETE", &end, Some(&root.token), None);
    assert_eq!(status, 204);
    assert_eq!(session.closed().await, Some(4403));
    let (status, _) = a.call("DELETE", &end, Some(&root.token), None);
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vouched() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let url = schema.url();
    let behind = [
        "--database",
        &url,
        "--trusted-proxies",
        "127.0.0.1",
        "--proxy-headers",
        "forwarded",
    ];
    let (a, b) = (
        Server::start(data.path(), &behind),
        node(data.path(), &schema),
    );
    make_user(
        data.path(),
        "root",
        &["--administrator", "--database", &url],
    );
    let root = a.sign_in("root");
    let document = a.create(&root);
    let bearer = ("authorization", format!("Bearer {}", root.token));
    let audit = "/api/v1/audit?action=session.ended&limit=1";
    let sessions = "/api/v1/admin/sessions";
    // By way of the other node, with what its proxy says; then straight, with what anybody can make up.
    let proxied = ("forwarded", "for=198.51.100.7".to_owned());
    let forged = ["198.51.100.7", root.token.as_str(), "1", "a.b.c"];
    let forged = forged.map(|forged| ("motet-forwarded", forged.to_owned()));
    let straight = forged.map(|forged| (&b, forged, "127.0.0.1"));
    for (server, header, expected) in [(&a, proxied, "198.51.100.7")].into_iter().chain(straight) {
        let (mut session, _) = b.join(&root, &document, "there").await;
        let (_, live) = b.call("GET", sessions, Some(&root.token), None);
        let id = live["sessions"][0]["sessionId"].as_str().unwrap();
        let path = format!("{sessions}/{id}");
        let deadline = Instant::now() + PATIENCE;
        // They hear of each other every few seconds.
        while server
            .raw("DELETE", &path, &[bearer.clone(), header.clone()], None)
            .0
            != 204
        {
            assert!(Instant::now() < deadline, "the session is not found");
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(session.closed().await, Some(4403));
        let (_, trail) = b.call("GET", audit, Some(&root.token), None);
        assert_eq!(trail["entries"][0]["address"], expected, "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_does_its_part() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let url = schema.url();
    let start = |roles| Server::start(data.path(), &["--database", &url, "--roles", roles]);
    let (gateway, api, worker) = (start("gateway"), start("api"), start("worker"));
    let ada = api.register("ada");
    let document = api.create(&ada);
    let (mut session, _) = gateway.join(&ada, &document, "ada").await;
    session.submit(1, 0, json!([{ "insert": "Hello" }])).await;
    session.expect("ack").await;
    let (mut stream, _) = gateway.listen_in(&ada, &document, "stream").await;
    stream.submit(1, 1, json!([{ "insert": "," }])).await;
    stream.expect("ack").await;

    // Who is with a gateway is known to those who are asked for it.
    let path = format!("/api/v1/presence/{}", ada.id);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, presence) = api.call("GET", &path, Some(&ada.token), None);
        if presence["online"] == true {
            break;
        }
        assert!(Instant::now() < deadline, "nobody is there: {presence}");
        sleep(Duration::from_millis(100)).await;
    }

    let status = |server: &Server, path: &str| {
        let headers = [("authorization", format!("Bearer {}", ada.token))];
        server.raw("GET", path, &headers, None).0
    };
    let shown = format!("/api/v1/documents/{document}");
    let socket = format!("/collab/{document}");
    assert_eq!(status(&api, &shown), 200);
    assert_eq!(status(&api, "/"), 200);
    // It is there, and wants to be a WebSocket.
    assert_eq!(status(&gateway, &socket), 400);
    for (server, path) in [
        (&gateway, shown.as_str()),
        (&gateway, "/"),
        (&gateway, "/.well-known/jwks.json"),
        (&api, &format!("{shown}/events")),
        (&worker, &shown),
        (&worker, &socket),
        (&worker, "/"),
    ] {
        assert_eq!(status(server, path), 404, "{path}");
    }
    for server in [&gateway, &api, &worker] {
        assert_eq!(status(server, "/healthz"), 200);
        assert_eq!(status(server, "/readyz"), 200);
    }
}

/// What the tests' buses are, with names of their own on them.
fn buses() -> [Vec<String>; 2] {
    let prefix = format!("test-{:016x}", RandomState::new().build_hasher().finish());
    let at = |scheme: &str, variable: &str, usual: &str| {
        let address = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let url = format!("{scheme}://{address}");
        // Nothing is told to others: streams would be left behind.
        ["--bus", &url, "--bus-prefix", &prefix, "--events", ""].map(ToOwned::to_owned)
    };
    [
        at("redis", "MOTET_TEST_REDIS", "127.0.0.1:6379").into(),
        at("nats", "MOTET_TEST_NATS", "127.0.0.1:4222").into(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_what_it_lacks() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let database = Proxy::start(schema.host().to_owned()).await;
    let [mut flags, _] = buses();
    let bus = Proxy::start(flags[1].trim_start_matches("redis://").to_owned()).await;
    flags[1] = format!("redis://{}", bus.address);
    let url = schema.url_through(&database.address.to_string());
    let mut all = vec!["--database", &url];
    all.extend(flags.iter().map(String::as_str));
    let server = Server::start(data.path(), &all);
    let ada = server.register("ada");
    let until = async |status: u16, expected: Value| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, said) = server.call("GET", "/readyz", None, None);
            if (code, &said) == (status, &expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{code} {said}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let ready = json!({ "status": "ready", "database": "there", "bus": "there" });
    until(200, ready.clone()).await;
    bus.set(Weather::Refusing);
    let degraded = json!({ "status": "degraded", "database": "there", "bus": "away" });
    until(200, degraded).await;
    database.set(Weather::Stalled);
    let unavailable = json!({ "status": "unavailable", "database": "away", "bus": "away" });
    until(503, unavailable).await;
    assert_eq!(server.raw("GET", "/healthz", &[], None).0, 200);
    let bearer = ("authorization", format!("Bearer {}", ada.token));
    let asked = server.raw("GET", "/api/v1/documents", &[bearer], None);
    assert_eq!(asked.0, 503, "{}", asked.2);
    assert!(asked.1.contains_key("retry-after"));
    bus.set(Weather::Clear);
    database.set(Weather::Clear);
    until(200, ready).await;
    server.create(&ada);
}

/// Two nodes of one database.
fn pair(data: &Path, schema: &Schema, flags: &[String]) -> [Server; 2] {
    let url = schema.url();
    let mut all = vec!["--database", &url];
    all.extend(flags.iter().map(String::as_str));
    [Server::start(data, &all), Server::start(data, &all)]
}

/// Two people who write at once, each on a node of their own, see the same in the end.
async fn write_together(nodes: &[Server; 2]) {
    const EDITS: u64 = 20;
    let ada = nodes[0].register("ada");
    let document = nodes[0].create(&ada);
    let (mut a, _) = nodes[0].join(&ada, &document, "a").await;
    let (mut b, _) = nodes[1].join(&ada, &document, "b").await;
    let write = async |client: &mut Client, letter: &str| {
        let (mut revision, mut seq) = (0, 0);
        while revision < 2 * EDITS {
            if seq < EDITS {
                seq += 1;
                client
                    .submit(seq, revision, json!([{ "insert": letter }]))
                    .await;
            }
            // Its own edit first, then the rest of what the other writes.
            loop {
                let Heard::Message(message) = client.next().await else {
                    panic!("closed");
                };
                match message["type"].as_str() {
                    Some("ack") => {
                        revision = message["revision"].as_u64().unwrap();
                        break;
                    }
                    Some("operation") => {
                        revision = message["revision"].as_u64().unwrap();
                        if seq == EDITS && revision == 2 * EDITS {
                            break;
                        }
                    }
                    Some("error") => panic!("{message}"),
                    _ => {}
                }
            }
        }
    };
    tokio::join!(write(&mut a, "a"), write(&mut b, "b"));
    let [(revision, text), other] = nodes.each_ref().map(|node| node.document(&ada, &document));
    assert_eq!((revision, &text), (other.0, &other.1));
    assert_eq!(revision, 2 * EDITS);
    assert_eq!(text.matches('a').count(), 20);
    assert_eq!(text.matches('b').count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_write_together_on_two_nodes() {
    for flags in buses().into_iter().chain([Vec::new()]) {
        let (data, schema) = (data_dir(), Schema::new().await);
        write_together(&pair(data.path(), &schema, &flags)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_edited_reads_it_on_every_node() {
    let (data, schema) = (data_dir(), Schema::new().await);
    // Nodes that tell each other nothing, so that only the log can.
    let nodes = pair(data.path(), &schema, &[]);
    let ada = nodes[0].register("ada");
    let document = nodes[0].create(&ada);
    let path = format!("/api/v1/documents/{document}/edit");
    for n in 0..20 {
        let [writes, reads] = [&nodes[n % 2], &nodes[(n + 1) % 2]];
        let edit = json!({ "changes": { "ops": [{ "insert": "a" }] }, "clientVersion": n });
        let (status, edited) = writes.call("PATCH", &path, Some(&ada.token), Some(&edit));
        assert_eq!(status, 200, "{edited}");
        let (revision, text) = reads.document(&ada, &document);
        assert_eq!((revision, text), (n as u64 + 1, "a".repeat(n + 1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_each_other_on_two_nodes() {
    for flags in buses() {
        let (data, schema) = (data_dir(), Schema::new().await);
        let mut nodes = pair(data.path(), &schema, &flags);
        let ada = nodes[0].register("ada");
        let ben = nodes[0].register("ben");
        let document = nodes[0].create(&ada);
        nodes[0].grant(&ada, &document, "ben", "editor");
        let (mut here, _) = nodes[0].join(&ada, &document, "here").await;
        let (mut there, _) = nodes[1].join(&ben, &document, "there").await;
        let text = json!([{ "insert": "Hello" }]);
        here.submit(1, 0, text).await;
        there.expect("operation").await;
        let cursor = json!({ "type": "cursor_update", "position": 3 });
        there.send(&cursor).await;
        let shown = |message: &Value| {
            let lists = [&message["joined"], &message["updated"]];
            let all = lists.into_iter().filter_map(Value::as_array).flatten();
            all.into_iter()
                .any(|it| it["userId"] == ben.id.as_str() && it["head"] == 3)
        };
        loop {
            let message = here.expect("presence_update").await;
            if shown(&message) {
                break;
            }
        }
        // A node that goes says so.
        nodes[1].terminate();
        loop {
            let message = here.expect("presence_update").await;
            if message["left"]
                .as_array()
                .is_some_and(|left| !left.is_empty())
            {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_those_who_saw_the_same_changes_it() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let nodes = [node(data.path(), &schema), node(data.path(), &schema)];
    let ada = nodes[0].register("ada");
    let document = nodes[0].create(&ada);
    let path = format!("/api/v1/documents/{document}");
    let bearer = ("authorization", format!("Bearer {}", ada.token));
    for round in 0..5 {
        let (_, headers, _) = nodes[0].raw("GET", &path, std::slice::from_ref(&bearer), None);
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let headers = [bearer.clone(), ("if-match", tag)];
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..6)
                .map(|n| {
                    let (node, headers, path) = (&nodes[n % 2], &headers, &path);
                    let body = json!({ "title": format!("Title {round} {n}") }).to_string();
                    scope.spawn(move || node.raw("PATCH", path, headers, Some(&body)).0)
                })
                .collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let mut sorted = statuses;
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 412, 412, 412, 412, 412]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_is_whole_or_comes_back() {
    let (data, schema) = (data_dir(), Schema::new().await);
    let proxy = Proxy::start(schema.host().to_owned()).await;
    let url = schema.url_through(&proxy.address.to_string());
    let server = Server::start(data.path(), &["--database", &url]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let mut revision = 0;
    for n in 0..20 {
        // Whatever asks next, often who this is: asked once more, the database answers.
        proxy.next(Fault::LoseAnswer);
        let query = format!("clientId=stream-{n}");
        let mut stream = server.listen(&document, &query, &ada.token).await;
        loop {
            match stream.next().await {
                Heard::Message(message) if message["type"] == "document_state" => {
                    proxy.next(Fault::None);
                    let insert = json!([{ "insert": "x" }]);
                    stream.submit(1, revision, insert).await;
                    revision = stream.expect("ack").await["revision"].as_u64().unwrap();
                    break;
                }
                Heard::Message(_) => {}
                Heard::Closed(code) => {
                    assert_eq!(code, Some(1012));
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_gave_up_on_a_node_stays_where_it_is() {
    let [flags, _] = buses();
    let (data, schema) = (data_dir(), Schema::new().await);
    let proxy = Proxy::start(schema.host().to_owned()).await;
    let start = |url: &str| {
        let mut all = vec!["--database", url];
        all.extend(flags.iter().map(String::as_str));
        Server::start(data.path(), &all)
    };
    let slow = start(&schema.url_through(&proxy.address.to_string()));
    let node = start(&schema.url());
    let ada = node.register("ada");
    let document = node.create(&ada);
    let (mut first, _) = node.join(&ada, &document, "first").await;
    first.submit(1, 0, json!([{ "insert": "Hello" }])).await;
    first.expect("ack").await;
    // Somebody keeps the document open.
    let (_other, _) = slow.join(&ada, &document, "other").await;

    // The client gives up at every stage of its join, one time or another: each of its answers from the database takes a while.
    proxy.set(Weather::Slow(Duration::from_millis(50)));
    let mut sessions = Vec::new();
    for n in 0..16 {
        let token = &ada.token;
        let path =
            format!("/collab/{document}?token={token}&clientId=there-{n}&revision=1&pending=false");
        let given_up = slow.connect(&path).await;
        sleep(Duration::from_millis(50 * n)).await;
        drop(given_up);
        let mut there = node.connect(&path).await;
        there.expect("document_state").await;
        sessions.push(there);
    }
    proxy.set(Weather::Clear);
    for there in &mut sessions {
        let (revision, _) = node.document(&ada, &document);
        let insert = json!([{ "insert": "x" }]);
        there.submit(1, revision, insert).await;
        there.expect("ack").await;
    }
}
