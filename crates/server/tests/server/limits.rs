//! How much one may do: requests, sessions, documents, and how fast a connection is heard, with the real
//! server.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use crate::support::{
    Account, Client, Heard, PASSWORD, PATIENCE, Peer, Server, data_dir,
    editor::Editor,
    yjs::{HeardYjs, Identities},
};
use motet_ot::Delta;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

/// How many hashes of passwords wait for others.
const WAITING: u64 = 64;

const LIMITED: [&str; 2] = ["--limits", "true"];

/// Starts a server with limits, and these of them in place of the defaults.
fn start(data: &std::path::Path, flags: &[&str]) -> Server {
    Server::start(data, &[&LIMITED, flags].concat())
}

struct Answer {
    status: u16,
    code: Option<String>,
    /// `RateLimit-Limit`, `-Remaining`, `-Reset` and `Retry-After`.
    numbers: [Option<u64>; 4],
}

fn ask(server: &Server, path: &str, headers: &[(&str, String)], body: Option<&str>) -> Answer {
    let method = if body.is_some() { "POST" } else { "GET" };
    let path = format!("/api/v1/{path}");
    let (status, headers, text) = server.raw(method, &path, headers, body);
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let names = [
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
    ];
    Answer {
        status,
        code: body["error"]["code"].as_str().map(ToOwned::to_owned),
        numbers: names.map(|name| headers.get(name)?.to_str().ok()?.parse().ok()),
    }
}

fn bearer(account: &Account) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", account.token))
}

/// Asks until it is too much; returns how often it was not.
fn use_up(limit: u64, mut ask: impl FnMut() -> Answer) -> u64 {
    // A slow machine gets some of the budget back meanwhile.
    for count in 0..2 * limit {
        let Answer {
            status,
            code,
            numbers: [of, remaining, reset, retry_after],
        } = ask();
        assert_eq!(of, Some(limit));
        assert!(
            reset.unwrap() <= 60 && remaining.unwrap() < limit,
            "{remaining:?} {reset:?}"
        );
        if status == 429 {
            assert_eq!(code.as_deref(), Some("rate_limited"));
            assert_eq!(remaining, Some(0));
            assert!(
                (1..=60 / limit + 1).contains(&retry_after.unwrap()),
                "{retry_after:?}"
            );
            return count;
        }
    }
    panic!("nothing was refused");
}

#[test]
fn requests_of_a_user_have_a_budget() {
    let data = data_dir();
    let server = start(data.path(), &["--user-requests-per-minute-max", "10"]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let list = |account: &Account| ask(&server, "documents", &[bearer(account)], None);
    assert_eq!(list(&ada).numbers[..2], [Some(10), Some(9)]);
    assert!(use_up(10, || list(&ada)) >= 9);
    assert_eq!(list(&ben).status, 200, "that is another's budget");
    // Who is not known has the address's only, also with the token of somebody.
    let forged = ("authorization", format!("Bearer {}x", ada.token));
    let unknown = ask(&server, "documents", &[forged], None);
    assert_eq!((unknown.status, unknown.numbers[0]), (401, Some(3_000)));
    // What is no request of the API costs nothing.
    assert_eq!(server.raw("GET", "/healthz", &[], None).0, 200);
    assert!(
        !server
            .raw("GET", "/", &[], None)
            .1
            .contains_key("ratelimit-limit")
    );
}

#[test]
fn an_address_has_a_budget_and_a_proxy_speaks_for_many() {
    let data = data_dir();
    let flags = [
        "--address-requests-per-minute-max",
        "12",
        "--address-sign-ins-per-minute-max",
        "6",
        "--trusted-proxies",
        "127.0.0.0/8",
    ];
    let server = start(data.path(), &flags);
    let from = |address: &str| ("x-forwarded-for", format!("6.6.6.6, {address}"));
    // At one account after the other: each is locked after a few.
    let mut tried = 0;
    let mut sign_in = |address: &str| {
        tried += 1;
        let email = format!("nobody{tried}@example.com");
        let login = json!({ "email": email, "password": "a bad password" }).to_string();
        ask(&server, "auth/login", &[from(address)], Some(&login))
    };
    assert!(use_up(6, || sign_in("192.0.2.1")) >= 6);
    assert_eq!(sign_in("192.0.2.2").status, 401, "that is another address");
    // The rest of what this address may ask.
    let list = |address: &str| ask(&server, "documents", &[from(address)], None);
    assert_eq!(list("192.0.2.1").status, 401);
    assert!(use_up(12, || list("192.0.2.1")) >= 4);
    assert_eq!(list("192.0.2.3").status, 401);
    // In IPv6 anyone has a whole network.
    let mut host = 0;
    let next = |host: &mut u32| {
        *host += 1;
        list(&format!("2001:db8:0:1::{host:x}"))
    };
    assert!(use_up(12, || next(&mut host)) >= 12);
    assert_eq!(list("2001:db8:0:2::1").status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_live_connection_are_no_requests() {
    let data = data_dir();
    let flags = [
        "--user-requests-per-minute-max",
        "5",
        "--address-requests-per-minute-max",
        "20",
    ];
    let server = start(data.path(), &flags);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (stream, _) = server.listen_in(&ada, &document, "stream").await;
    let mut editor = Editor::new(stream);
    for _ in 0..40 {
        editor.edit(Delta::new().insert("x")).await;
        editor.settle().await;
    }
    // Those that no connection takes are, and those of nobody.
    let path = format!("documents/{document}/messages?connection=x&frame=1");
    let to_nobody = || ask(&server, &path, &[bearer(&ada)], Some("{}"));
    assert!(use_up(5, to_nobody) <= 6);
    assert!(use_up(20, || ask(&server, &path, &[], Some("{}"))) <= 20);
}

#[test]
fn nobody_keeps_others_from_signing_in() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    server.register("ben");
    let path = format!("/api/v1/documents/{}/links", server.create(&ada));
    let wanted = json!({ "role": "viewer", "password": "a password" });
    let over = AtomicBool::new(false);
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 * WAITING {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (status, _) = server.call("POST", &path, Some(&ada.token), Some(&wanted));
                    refused.fetch_add(u64::from(status == 503), Ordering::Relaxed);
                }
            });
        }
        let flooded = Instant::now() + PATIENCE;
        while refused.load(Ordering::Relaxed) < WAITING && Instant::now() < flooded {
            std::thread::yield_now();
        }
        let email = json!({ "email": "ben@example.com", "password": PASSWORD });
        let sign_in = |_| {
            server
                .call("POST", "/api/v1/auth/login", None, Some(&email))
                .0
        };
        let answers: Vec<_> = (0..8).map(sign_in).collect();
        // Also where that fails, or nobody would come to an end.
        over.store(true, Ordering::Relaxed);
        assert_eq!(answers, [200; 8]);
    });
    let refused = refused.into_inner();
    assert!(refused >= WAITING, "{refused}: it was no flood");
}

#[test]
fn a_user_owns_so_many_documents() {
    let data = data_dir();
    let server = start(data.path(), &["--documents-per-user-max", "2"]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let first = server.create(&ada);
    server.create(&ada);
    let create = || {
        ask(
            &server,
            "documents",
            &[bearer(&ada)],
            Some(r#"{"title":"x"}"#),
        )
    };
    let refused = create();
    assert_eq!(
        (refused.status, refused.code.as_deref()),
        (403, Some("too_many_documents"))
    );
    server.create(&ben);
    // Those in the trash are the owner's as well.
    let path = format!("/api/v1/documents/{first}");
    assert_eq!(server.call("DELETE", &path, Some(&ada.token), None).0, 204);
    assert_eq!(create().status, 403);
    let path = path + "?permanent=true";
    assert_eq!(server.call("DELETE", &path, Some(&ada.token), None).0, 204);
    assert_eq!(create().status, 201);
}

#[tokio::test]
async fn a_user_has_so_many_sessions() {
    let data = data_dir();
    let server = start(data.path(), &["--sessions-per-user-max", "2"]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "viewer");
    let (first, _) = server.join(&ada, &document, "a").await;
    let _second = server.yjs(&ada, &document, Identities::new(1)).await;
    let path = format!("/collab/{document}?token={}", ada.token);
    let mut third = server.connect(&path).await;
    assert_eq!(
        third.expect_close().await,
        (Some("too_many_sessions".to_owned()), Some(1013))
    );
    let _other = server.join(&ben, &document, "b").await;
    // A place is free again when its session is over, however that ended.
    first.reset();
    let joined = async {
        loop {
            let mut again = server.connect(&path).await;
            loop {
                match again.next().await {
                    Heard::Message(message) if message["type"] == "document_state" => return again,
                    Heard::Message(_) => {}
                    Heard::Closed(code) => {
                        assert_eq!(code, Some(1013));
                        break;
                    }
                }
            }
        }
    };
    timeout(PATIENCE, joined).await.unwrap();
}

/// How long one who keeps to the rates may wait for the answer to an edit while others flood.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// Edits at a person's speed, until the text has all of `expected`; returns when that was.
async fn write_meanwhile(editor: &mut Editor<Client>, expected: &[(char, usize)]) -> Vec<Instant> {
    let mut arrived = vec![None; expected.len()];
    let deadline = Instant::now() + 3 * PATIENCE;
    let mut typed = 0;
    while arrived.contains(&None) {
        assert!(Instant::now() < deadline, "not all of {expected:?} arrived");
        let before = Instant::now();
        editor.edit(Delta::new().insert("-")).await;
        editor.settle().await;
        let round_trip = before.elapsed();
        assert!(round_trip < ROUND_TRIP_MAX, "an edit took {round_trip:?}");
        typed += 1;
        let text = editor.content.to_json();
        for ((letter, count), arrived) in expected.iter().zip(&mut arrived) {
            let there = text.matches(*letter).count();
            assert!(there <= *count, "{there} {letter}");
            if there == *count && arrived.is_none() {
                *arrived = Some(Instant::now());
            }
        }
        // As a person types, not to wait for anything.
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(editor.content.to_json().matches('-').count(), typed);
    arrived.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_submissions_is_heard_at_its_rate_and_whole() {
    // 100 may come at once, so the rest takes four seconds.
    const RATE: &str = "20";
    const FLOOD: usize = 180;
    const SLOWED: Duration = Duration::from_millis(3_900);
    let data = data_dir();
    let server = start(data.path(), &["--submissions-per-second-max", RATE]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (writer, _) = server.join(&ada, &document, "writer").await;
    let mut writer = Editor::new(writer);
    let (mut socket, _) = server.join(&ada, &document, "socket").await;
    let mut y_websocket = server.yjs(&ada, &document, Identities::new(1)).await;

    let start = Instant::now();
    let flooding = tokio::spawn(async move {
        for _ in 0..FLOOD {
            let message = json!({ "type": "insert", "pos": 0, "text": "A" });
            socket.send(&message).await;
        }
        // What comes behind is heard as well.
        socket.send(&json!({ "type": "ping" })).await;
        socket.expect("pong").await;
    });
    let flooding_too = tokio::spawn(async move {
        let edits = (0..FLOOD).map(|_| Delta::new().insert("B"));
        y_websocket.edit_all(edits).await;
        y_websocket.sync().await;
        while !matches!(y_websocket.next().await, HeardYjs::Closed(_)) {}
    });
    let arrived = write_meanwhile(&mut writer, &[('A', FLOOD), ('B', FLOOD)]).await;
    for at in arrived {
        let took = at - start;
        assert!(took >= SLOWED, "a flood was heard in {took:?}");
    }
    flooding.await.unwrap();
    flooding_too.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bytes_is_heard_at_its_rate_and_whole() {
    // 50,000 may come at once, so the rest takes four seconds.
    const FLAGS: [&str; 6] = [
        "--bytes-per-second-max",
        "10000",
        "--message-bytes-max",
        "4096",
        "--update-bytes-max",
        "4096",
    ];
    const FRAMES: usize = 90;
    const FRAME: usize = 1_000;
    const SLOWED: Duration = Duration::from_millis(3_900);
    let data = data_dir();
    let server = start(data.path(), &FLAGS);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (writer, _) = server.join(&ada, &document, "writer").await;
    let mut writer = Editor::new(writer);
    let (mut socket, _) = server.join(&ada, &document, "socket").await;
    let (stream, _) = server.listen_in(&ada, &document, "stream").await;
    let insert = |letter: &str| {
        json!({ "type": "insert", "pos": 0, "text": letter.repeat(FRAME) }).to_string()
    };
    let (a, b) = (insert("A"), insert("B"));

    let start = Instant::now();
    let flooding = tokio::spawn(async move {
        for _ in 0..FRAMES {
            socket.send_text(a.clone()).await;
        }
        socket.send(&json!({ "type": "ping" })).await;
        socket.expect("pong").await;
    });
    // An event stream's client is told to send again what there is no room for.
    let flooding_too = tokio::task::spawn_blocking(move || {
        let mut told = 0;
        let mut frame = 1;
        while frame <= FRAMES as u64 {
            match stream.post(frame, &b) {
                (204, None) => frame += 1,
                (429, Some(code)) if code == "too_many_frames" => {
                    told += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                other => panic!("{other:?}"),
            }
        }
        (stream, told)
    });
    let arrived = write_meanwhile(&mut writer, &[('A', FRAMES * FRAME), ('B', FRAMES * FRAME)]);
    for at in arrived.await {
        let took = at - start;
        assert!(took >= SLOWED, "a flood was heard in {took:?}");
    }
    flooding.await.unwrap();
    assert!(flooding_too.await.unwrap().1 > 0);
}

#[test]
fn the_command_line_lists_all_limits() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["config", "limits", "--documents-per-user-max", "7"])
        .output()
        .unwrap();
    let limits: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({ "name": "documents_per_user_max", "value": 7, "unit": "documents" });
    assert!(limits.contains(&expected));
    let docs = include_str!("../../../../docs/operations.md");
    for limit in limits {
        let name = limit["name"].as_str().unwrap();
        assert!(
            docs.contains(&format!("`{name}`")),
            "docs/operations.md lacks {name}"
        );
    }
}
