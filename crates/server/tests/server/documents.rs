//! Documents over HTTP: their content from the beginning, conditions, history, search, the trash, and
//! requests that come twice. With the real server.

use std::{thread, time::Duration};

use crate::support::{Account, PATIENCE, Server};
use motet_catalog::{Actor, Catalog};
use motet_model::{DocumentId, OrganizationId};
use serde_json::{Value, json};
use tempfile::TempDir;

fn start() -> (TempDir, Server) {
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path(), &[]);
    (data, server)
}

fn create(server: &Server, of: &Account, body: &Value) -> Value {
    let created = server.call("POST", "/api/v1/documents", Some(&of.token), Some(body));
    assert_eq!(created.0, 201, "{}", created.1);
    created.1
}

fn path_of(document: &Value) -> String {
    format!(
        "/api/v1/documents/{}",
        document["documentId"].as_str().unwrap()
    )
}

/// A request with a header; status, `ETag` and body.
fn with(
    server: &Server,
    of: &Account,
    (method, path): (&str, &str),
    header: (&str, &str),
    body: Option<&Value>,
) -> (u16, String, Value) {
    let bearer = ("authorization", format!("Bearer {}", of.token));
    let headers = [bearer, (header.0, header.1.to_owned())];
    let body = body.map(ToString::to_string);
    let (status, headers, text) = server.raw(method, path, &headers, body.as_deref());
    let tag = headers
        .get("etag")
        .map(|tag| tag.to_str().unwrap().to_owned());
    let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
    (status, tag.unwrap_or_default(), answer)
}

fn tag(server: &Server, of: &Account, path: &str) -> String {
    let (status, tag, _) = with(server, of, ("GET", path), ("accept", "*/*"), None);
    assert_eq!(status, 200);
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    tag
}

#[test]
fn a_document_may_have_content_from_the_beginning() {
    let (_data, server) = start();
    let ada = server.register("ada");
    let ops = json!([{"insert": "Hello "}, {"insert": "you", "attributes": {"bold": true}}]);
    let document = create(
        &server,
        &ada,
        &json!({"title": "a", "content": {"ops": ops}}),
    );
    let path = path_of(&document);
    let (_, shown) = server.call("GET", &path, Some(&ada.token), None);
    assert_eq!(
        (&shown["content"]["ops"], &shown["revision"]),
        (&ops, &json!(1))
    );
    let (_, bare) = server.call(
        "GET",
        &format!("{path}?content=false"),
        Some(&ada.token),
        None,
    );
    assert_eq!((bare.get("content"), &bare["revision"]), (None, &json!(1)));

    let list = |filter: &str| {
        let path = format!("/api/v1/documents?filter={filter}");
        let (status, list) = server.call("GET", &path, Some(&ada.token), None);
        assert_eq!(status, 200, "{list}");
        list["documents"].as_array().unwrap().len()
    };
    for content in [
        json!({"ops": [{"retain": 1}]}),
        json!({"ops": [{"delete": 1}]}),
        json!({}),
        json!([]),
    ] {
        let body = json!({"title": "a", "content": content});
        let (status, _) = server.call("POST", "/api/v1/documents", Some(&ada.token), Some(&body));
        assert_eq!(status, 400, "{body}");
    }
    create(
        &server,
        &ada,
        &json!({"title": "a", "content": {"ops": []}}),
    );
    create(&server, &ada, &json!({"title": "a", "content": null}));
    assert_eq!(list("owned"), 3, "what was refused left nothing");
    assert_eq!((list("shared"), list("trash")), (0, 0));
}

#[test]
fn a_document_is_changed_only_as_it_was_seen() {
    let (_data, server) = start();
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = create(&server, &ada, &json!({"title": "one"}));
    let path = path_of(&document);
    let edit = format!("{path}/edit");
    let grant = json!({"email": "ben@example.com", "role": "editor"});
    server.call(
        "POST",
        &format!("{path}/grants"),
        Some(&ada.token),
        Some(&grant),
    );

    let first = tag(&server, &ada, &path);
    assert_eq!(tag(&server, &ada, &format!("{path}?content=false")), first);
    assert_ne!(tag(&server, &ben, &path), first, "another role");
    let known = |tag: &str| with(&server, &ada, ("GET", &path), ("if-none-match", tag), None).0;
    assert_eq!(known(&first), 304);
    assert_eq!(
        known(&format!("\"x\", W/{first}")),
        304,
        "a weak comparison"
    );
    assert_eq!(known("*"), 304);
    assert_eq!(known("\"x\""), 200);

    let rename = |of: &Account, tag: &str, title: &str| {
        let body = json!({"title": title});
        with(
            &server,
            of,
            ("PATCH", &path),
            ("if-match", tag),
            Some(&body),
        )
    };
    let (status, _, error) = rename(&ada, "\"x\"", "two");
    assert_eq!(
        (status, &error["error"]["code"]),
        (412, &json!("precondition_failed"))
    );
    assert_eq!(
        rename(&ada, &format!("W/{first}"), "two").0,
        412,
        "a strong comparison"
    );
    assert_eq!(rename(&ada, &first, "two").0, 200);
    assert_eq!(rename(&ada, &first, "three").0, 412);
    let second = tag(&server, &ada, &path);
    assert_ne!(second, first, "another title");

    let change = |text: &str, version: u64| json!({"changes": {"ops": [{"insert": text}]}, "clientVersion": version});
    let at = ("if-match", first.as_str());
    assert_eq!(
        with(&server, &ada, ("PATCH", &edit), at, Some(&change("a", 0))).0,
        412
    );
    let at = ("if-match", second.as_str());
    assert_eq!(
        with(&server, &ada, ("PATCH", &edit), at, Some(&change("a", 0))).0,
        200
    );
    let third = tag(&server, &ada, &path);
    assert_ne!(third, second, "another content");
    let at = ("if-match", third.as_str());
    assert_eq!(
        with(&server, &ada, ("PATCH", &edit), at, Some(&change("b", 0))).0,
        412
    );
    assert_eq!(
        with(&server, &ada, ("PATCH", &edit), at, Some(&change("b", 1))).0,
        200
    );

    let before = tag(&server, &ada, &path);
    let open = json!({"organizationRole": "viewer"});
    let (status, opened) = server.call("PATCH", &path, Some(&ada.token), Some(&open));
    assert_eq!(
        (status, &opened["organizationRole"]),
        (200, &json!("viewer"))
    );
    assert_ne!(tag(&server, &ada, &path), before, "open to others");
    assert_eq!(
        server.call("PATCH", &path, Some(&ben.token), Some(&open)).0,
        403
    );
    let eve = server.register("eve");
    assert_eq!(server.call("GET", &path, Some(&eve.token), None).0, 200);
    let shut = json!({"organizationRole": null});
    let (_, shut) = server.call("PATCH", &path, Some(&ada.token), Some(&shut));
    assert_eq!(shut["organizationRole"], Value::Null);
    assert_eq!(server.call("GET", &path, Some(&eve.token), None).0, 404);
    let owner = json!({"organizationRole": "owner"});
    assert_eq!(
        server
            .call("PATCH", &path, Some(&ada.token), Some(&owner))
            .0,
        400
    );

    // Of many who have seen the same, one is the first.
    let seen = tag(&server, &ada, &path);
    let outcomes: Vec<u16> = thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let (rename, ada, seen) = (&rename, &ada, &seen);
                    move || rename(ada, seen, &format!("try {n}")).0
                })
            })
            .collect();
        tries.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(
        outcomes.iter().filter(|it| **it == 200).count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(
        outcomes.iter().filter(|it| **it == 412).count(),
        7,
        "{outcomes:?}"
    );

    let delete = |tag: &str| with(&server, &ada, ("DELETE", &path), ("if-match", tag), None).0;
    assert_eq!(delete(&seen), 412);
    assert_eq!(delete(&tag(&server, &ada, &path)), 204);
}

#[test]
fn the_history_of_a_document_can_be_read() {
    let (_data, server) = start();
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let content = json!({"ops": [{"insert": "0"}]});
    let document = create(&server, &ada, &json!({"title": "a", "content": content}));
    let path = path_of(&document);
    for n in 1..=4 {
        let body = json!({"changes": {"ops": [{"insert": n.to_string()}]}, "clientVersion": n});
        let edited = server.call(
            "PATCH",
            &format!("{path}/edit"),
            Some(&ada.token),
            Some(&body),
        );
        assert_eq!(edited.0, 200, "{}", edited.1);
    }
    let page = |query: &str| {
        let path = format!("{path}/changes?{query}");
        let (status, page) = server.call("GET", &path, Some(&ada.token), None);
        assert_eq!(status, 200, "{page}");
        let changes = page["changes"].as_array().unwrap().clone();
        let revisions = changes
            .iter()
            .map(|change| change["revision"].as_u64().unwrap());
        (
            revisions.collect::<Vec<_>>(),
            page["nextCursor"].clone(),
            changes,
        )
    };
    let (revisions, next, changes) = page("limit=2");
    assert_eq!((revisions, &next), (vec![1, 2], &json!("2")));
    assert_eq!(changes[1]["operation"], json!({"ops": [{"insert": "1"}]}));
    assert_eq!(
        (&changes[1]["userName"], &changes[1]["userId"]),
        (&json!("ada"), &json!(ada.id))
    );
    assert_eq!(page("after=2&limit=2").0, [3, 4]);
    let (revisions, next, _) = page("after=4");
    assert_eq!((revisions, next), (vec![5], Value::Null));
    assert_eq!(page("after=99").0, [0; 0]);
    assert_eq!(page("after=18446744073709551615").0, [0; 0]);
    let path = format!("{path}/changes");
    assert_eq!(server.call("GET", &path, Some(&ben.token), None).0, 404);
    for query in [
        "after=x",
        "after=-1",
        "limit=0",
        "limit=101",
        "limit=1&limit=2",
    ] {
        let path = format!("{path}?{query}");
        assert_eq!(
            server.call("GET", &path, Some(&ada.token), None).0,
            400,
            "{query}"
        );
    }
}

/// Asks until the titles found are these.
fn finds(server: &Server, of: &Account, query: &str, titles: &[&str]) -> Value {
    let pause = Duration::from_millis(50);
    let mut patience = PATIENCE;
    loop {
        let path = format!("/api/v1/documents?{query}");
        let (status, found) = server.call("GET", &path, Some(&of.token), None);
        assert_eq!(status, 200, "{found}");
        let documents = found["documents"].as_array().unwrap();
        let found_titles: Vec<_> = documents
            .iter()
            .map(|it| it["title"].as_str().unwrap())
            .collect();
        if found_titles == titles {
            return found;
        }
        assert!(!patience.is_zero(), "{query}: {found}");
        patience = patience.saturating_sub(pause);
        thread::sleep(pause);
    }
}

#[test]
fn what_is_written_is_found_also_after_a_crash() {
    let (data, mut server) = start();
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = create(&server, &ada, &json!({"title": "Shopping"}));
    let edit = format!("{}/edit", path_of(&document));
    let change = |text: &str, version: u64| json!({"changes": {"ops": [{"insert": text}]}, "clientVersion": version});
    server.call(
        "PATCH",
        &edit,
        Some(&ada.token),
        Some(&change("kumquats and more", 0)),
    );
    let found = finds(&server, &ada, "q=kumqu", &["Shopping"]);
    let snippet =
        json!([{"text": "kumquats", "match": true}, {"text": " and more", "match": false}]);
    assert_eq!(found["documents"][0]["snippet"], snippet);
    finds(&server, &ben, "q=kumqu", &[]);
    finds(&server, &ada, "q=kumqu&filter=shared", &[]);

    // The next thirty seconds it is not told.
    server.call(
        "PATCH",
        &edit,
        Some(&ada.token),
        Some(&change("rambutans, ", 1)),
    );
    server.kill();
    server = Server::start(data.path(), &[]);
    finds(&server, &ada, "q=rambutans+kumquats", &["Shopping"]);

    let grant = json!({"email": "ben@example.com", "role": "viewer"});
    let grants = format!("{}/grants", path_of(&document));
    server.call("POST", &grants, Some(&ada.token), Some(&grant));
    finds(&server, &ben, "q=rambutans", &["Shopping"]);
    server.call("DELETE", &path_of(&document), Some(&ada.token), None);
    finds(&server, &ben, "q=rambutans", &[]);
    finds(&server, &ada, "q=rambutans&filter=trash", &["Shopping"]);
    for query in [
        "q=%00",
        "q=%22",
        "q=a%22+OR+%22b",
        "q=title:x",
        "q=NEAR(a+b)",
        "q=*",
        "q=%F0%9F%A6%80",
    ] {
        let path = format!("/api/v1/documents?{query}");
        assert_eq!(
            server.call("GET", &path, Some(&ada.token), None).0,
            200,
            "{query}"
        );
    }
    for query in [
        "q=a&cursor=x",
        "q=a&cursor=7ff8000000000000_x",
        "q=a&limit=0",
    ] {
        let path = format!("/api/v1/documents?{query}");
        assert_eq!(
            server.call("GET", &path, Some(&ada.token), None).0,
            400,
            "{query}"
        );
    }
}

#[test]
fn search_comes_in_pages() {
    let (_data, server) = start();
    let ada = server.register("ada");
    for n in 0..5 {
        create(&server, &ada, &json!({"title": format!("plum {n}")}));
    }
    let (mut titles, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/documents?q=plum&limit=2{cursor}");
        let (_, page) = server.call("GET", &path, Some(&ada.token), None);
        let documents = page["documents"].as_array().unwrap();
        titles.extend(
            documents
                .iter()
                .map(|it| it["title"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        // The place is that of the last one, and nothing else.
        assert_eq!(next.split('_').count(), 3, "{next}");
        cursor = format!("&cursor={next}");
    }
    titles.sort();
    assert_eq!(titles, ["plum 0", "plum 1", "plum 2", "plum 3", "plum 4"]);
}

#[test]
fn the_trash_is_emptied() {
    let (data, mut server) = start();
    let ada = server.register("ada");
    let titles = ["old", "new", "doomed"];
    let documents = titles.map(|title| create(&server, &ada, &json!({"title": title})));
    let [old, new, doomed] = documents.map(|it| it["documentId"].as_str().unwrap().to_owned());
    server.terminate();

    // As if it had been put there a month and a day ago, and as if the server had stopped in between.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let catalog = Catalog::open_sqlite(&data.path().join("catalog.db"))
            .await
            .unwrap();
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let now_ms = u64::try_from(now_ms).unwrap();
        let day_ms = 24 * 3_600 * 1_000;
        for (id, age_ms) in [(&old, 31 * day_ms), (&new, 29 * day_ms)] {
            let actor = Actor {
                user: None,
                organization: OrganizationId::DEFAULT,
                address: String::new(),
                nonce: [0; 16],
                at_ms: now_ms - age_ms,
            };
            let id: DocumentId = id.parse().unwrap();
            catalog.trash_document(&actor, id, true).await.unwrap();
        }
        catalog
            .doom_document(doomed.parse().unwrap())
            .await
            .unwrap();
        catalog.close().await;
    });

    let mut server = Server::start(data.path(), &[]);
    finds(&server, &ada, "filter=trash", &["new"]);
    finds(&server, &ada, "filter=all", &[]);
    let days = |server: &Server, filter: &str| {
        let path = format!("/api/v1/documents?filter={filter}");
        let (_, listed) = server.call("GET", &path, Some(&ada.token), None);
        listed.get("trashDays").cloned()
    };
    let told = ["trash", "all"].map(|filter| days(&server, filter));
    assert_eq!(told, [Some(json!(30)), None]);
    let restore = |server: &Server, id: &str| {
        let path = format!("/api/v1/documents/{id}/restore");
        server.call("POST", &path, Some(&ada.token), None).0
    };
    assert_eq!(
        (restore(&server, &old), restore(&server, &doomed)),
        (404, 404)
    );
    server.terminate();
    let log = motet_log::SqliteLog::open(&data.path().join("log.db")).unwrap();
    runtime.block_on(async {
        use motet_log::{DocumentLog, LogError};
        for id in [&old, &doomed] {
            let head = log.head(id.parse().unwrap()).await;
            assert!(matches!(head, Err(LogError::Deleted { .. })), "{id}");
        }
    });
    drop(log);

    let server = Server::start(data.path(), &["--trash-days", "0"]);
    assert_eq!(days(&server, "trash"), Some(Value::Null), "for ever");
    assert_eq!(restore(&server, &new), 200);
    finds(&server, &ada, "filter=all", &["new"]);
}

#[test]
fn a_request_that_comes_twice_is_done_once() {
    let (data, server) = start();
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let make = |of: &Account, key: &str, title: &str| {
        let body = json!({"title": title});
        with(
            &server,
            of,
            ("POST", "/api/v1/documents"),
            ("idempotency-key", key),
            Some(&body),
        )
    };
    let (status, _, first) = make(&ada, "k1", "one");
    assert_eq!(status, 201, "{first}");
    let (status, _, again) = make(&ada, "k1", "one");
    assert_eq!((status, &again), (201, &first));
    let (status, _, error) = make(&ada, "k1", "two");
    assert_eq!(
        (status, &error["error"]["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    let (status, _, others) = make(&ben, "k1", "one");
    assert_eq!(status, 201, "{others}");
    assert_ne!(others["documentId"], first["documentId"]);
    for key in ["", "a b", &"k".repeat(256)] {
        assert_eq!(make(&ada, key, "one").0, 400, "{key:?}");
    }
    assert_eq!(make(&ada, &"k".repeat(255), "").0, 400, "no title");
    assert_eq!(
        make(&ada, &"k".repeat(255), "long").0,
        201,
        "what was refused left its key free"
    );

    let outcomes: Vec<_> = thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| make(&ada, "k2", "many")))
            .collect();
        tries.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (status, _, answer) in &outcomes {
        let busy = answer["error"]["code"] == "idempotency_key_in_use";
        assert!(
            *status == 201 || (*status == 409 && busy),
            "{status} {answer}"
        );
    }
    assert!(outcomes.iter().any(|(status, ..)| *status == 201));
    finds(&server, &ada, "q=many", &["many"]);

    let key = json!({"name": "n", "scopes": ["read"]});
    let at = ("POST", "/api/v1/api-keys");
    let (status, _, made) = with(&server, &ada, at, ("idempotency-key", "k3"), Some(&key));
    assert_eq!(status, 201, "{made}");
    let (status, _, error) = with(&server, &ada, at, ("idempotency-key", "k3"), Some(&key));
    assert_eq!(
        (status, &error["error"]["code"]),
        (409, &json!("idempotency_key_used"))
    );
    let secret = made["key"].as_str().unwrap().as_bytes();
    for file in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(data.path().join(file)).unwrap_or_default();
        assert!(
            !bytes.windows(secret.len()).any(|it| it == secret),
            "{file}"
        );
    }
}

#[test]
fn a_key_of_a_request_is_good_for_the_same_scopes() {
    let (_data, server) = start();
    let ada = server.register("ada");
    let key = |scopes: Value| {
        let body = json!({"name": "n", "scopes": scopes});
        let (status, made) = server.call("POST", "/api/v1/api-keys", Some(&ada.token), Some(&body));
        assert_eq!(status, 201, "{made}");
        made["key"].as_str().unwrap().to_owned()
    };
    let make = |bearer: &str| {
        let headers = [
            ("authorization", format!("Bearer {bearer}")),
            ("idempotency-key", "k".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = json!({"title": "one"}).to_string();
        let (status, _, text) = server.raw("POST", "/api/v1/documents", &headers, Some(&body));
        let answer: Value = serde_json::from_str(&text).unwrap();
        (status, answer)
    };
    let (status, made) = make(&ada.token);
    assert_eq!(status, 201, "{made}");
    for scopes in [json!(["read"]), json!(["read", "write"])] {
        let (status, answer) = make(&key(scopes));
        assert_eq!(
            (status, &answer["error"]["code"]),
            (422, &json!("idempotency_key_reused"))
        );
    }
    assert_eq!(make(&ada.token), (201, made));
    finds(&server, &ada, "q=one", &["one"]);
}

#[test]
fn a_request_that_was_cut_off_leaves_its_key_after_a_minute() {
    let (data, server) = start();
    let ada = server.register("ada");
    let make = || {
        let body = json!({"title": "one"});
        let at = ("POST", "/api/v1/documents");
        let key = ("idempotency-key", "k");
        let (status, _, answer) = with(&server, &ada, at, key, Some(&body));
        (status, answer)
    };
    let (status, first) = make();
    assert_eq!(status, 201, "{first}");
    // As if there had been no answer, for so long.
    let cut_off = |age_ms: i64| {
        let database = rusqlite::Connection::open(data.path().join("catalog.db")).unwrap();
        let statement = "UPDATE idempotent_answers SET status = 0, answer = '',
                                created_at_ms = created_at_ms - ?1";
        assert_eq!(database.execute(statement, [age_ms]).unwrap(), 1);
    };
    cut_off(30_000);
    let (status, answer) = make();
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("idempotency_key_in_use"))
    );
    cut_off(31_000);
    let (status, second) = make();
    assert_eq!(status, 201, "{second}");
    assert_ne!(first["documentId"], second["documentId"]);
    assert_eq!(make(), (201, second), "it is kept as ever");
}
