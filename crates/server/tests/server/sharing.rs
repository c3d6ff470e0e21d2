//! Share links, groups and organizations, and what they do to those who are in a document.

use std::time::Duration;

use crate::support::{Account, Client, Peer, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

/// A server on which Ada owns a document.
struct Stage {
    server: Server,
    ada: Account,
    document: String,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let server = Server::start(folder.path(), &[]);
        let ada = server.register("ada");
        let document = server.create(&ada);
        Self {
            server,
            ada,
            document,
            _folder: folder,
        }
    }

    fn call(&self, who: &Account, method: &str, path: &str, body: Value) -> (u16, Value) {
        let path = format!("/api/v1/{path}");
        let body = Some(body).filter(|body| !body.is_null());
        self.server
            .call(method, &path, Some(&who.token), body.as_ref())
    }

    fn link(&self, wanted: Value) -> Value {
        let path = format!("documents/{}/links", self.document);
        let (status, link) = self.call(&self.ada, "POST", &path, wanted);
        assert_eq!(status, 201, "{link}");
        link
    }

    /// Opens a link, signed in or not.
    fn open(&self, link: &Value, who: Option<&Account>, body: Value) -> (u16, Value) {
        let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
        let token = who.map(|who| who.token.as_str());
        self.server.call("POST", &path, token, Some(&body))
    }

    async fn join(&self, who: &Account) -> Client {
        self.server.join(who, &self.document, "c").await.0
    }

    /// What becomes of a read of the document.
    fn read(&self, who: &Account) -> u16 {
        let path = format!("documents/{}", self.document);
        self.call(who, "GET", &path, Value::Null).0
    }
}

#[tokio::test]
async fn a_link_opens_the_document_until_it_is_revoked() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    let link = stage.link(json!({ "role": "editor" }));
    assert_eq!(stage.read(&bob), 404);
    let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
    let (_, invitation) = stage.server.call("GET", &path, None, None);
    let expected = json!({ "role": "editor", "passwordRequired": false, "title": "A document" });
    assert_eq!(invitation, expected);
    let (status, opened) = stage.open(&link, Some(&bob), json!({}));
    assert_eq!((status, &opened["role"]), (200, &json!("editor")));
    assert_eq!(opened["guest"], Value::Null);
    assert_eq!(stage.read(&bob), 200);
    let (_, listed) = stage.call(&bob, "GET", "documents?filter=shared", Value::Null);
    assert_eq!(listed["documents"][0]["role"], "editor");
    let grants = format!("documents/{}/grants", stage.document);
    let (_, grants) = stage.call(&stage.ada, "GET", &grants, Value::Null);
    assert_eq!(grants["grants"][1]["via"], "link");
    assert_eq!(grants["grants"][1]["email"], Value::Null);

    let mut client = stage.join(&bob).await;
    let path = format!(
        "documents/{}/links/{}",
        stage.document,
        link["linkId"].as_str().unwrap()
    );
    assert_eq!(stage.call(&bob, "DELETE", &path, Value::Null).0, 403);
    assert_eq!(stage.call(&stage.ada, "DELETE", &path, Value::Null).0, 204);
    assert_eq!(client.closed().await, Some(4403));
    assert_eq!(stage.read(&bob), 404);
    assert_eq!(stage.open(&link, Some(&bob), json!({})).0, 404);
}

#[tokio::test]
async fn a_link_may_have_a_password() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    let link = stage.link(json!({ "role": "viewer", "password": "open" }));
    let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
    let (_, invitation) = stage.server.call("GET", &path, None, None);
    let expected = json!({ "role": "viewer", "passwordRequired": true, "title": null });
    assert_eq!(invitation, expected, "not even the title");
    let (status, answer) = stage.open(&link, Some(&bob), json!({}));
    assert_eq!((status, code(&answer)), (401, "password_required"));
    for _ in 0..4 {
        let (status, answer) = stage.open(&link, Some(&bob), json!({ "password": "guess" }));
        assert_eq!((status, code(&answer)), (401, "invalid_password"));
    }
    assert_eq!(
        stage
            .open(&link, Some(&bob), json!({ "password": "open" }))
            .0,
        200
    );
    for _ in 0..5 {
        stage.open(&link, None, json!({ "password": "guess" }));
    }
    let (status, answer) = stage.open(&link, None, json!({ "password": "open" }));
    assert_eq!((status, code(&answer)), (429, "too_many_attempts"));
}

#[test]
fn nobody_is_locked_out_of_a_link_by_strangers_from_where_it_was_opened() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--trusted-proxies", "127.0.0.1"]);
    let ada = server.register("ada");
    let path = format!("/api/v1/documents/{}/links", server.create(&ada));
    let wanted = json!({ "role": "viewer", "password": "open" });
    let (status, link) = server.call("POST", &path, Some(&ada.token), Some(&wanted));
    assert_eq!(status, 201, "{link}");
    let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
    let open = |address: &str, password: &str| {
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-forwarded-for", address.to_owned()),
        ];
        let body = json!({ "password": password }).to_string();
        let (status, _, answer) = server.raw("POST", &path, &headers, Some(&body));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        (status, code(&answer).to_owned())
    };
    let locked = (429, "too_many_attempts".to_owned());
    let wrong = (401, "invalid_password".to_owned());
    assert_eq!(open("2001:db8:1::1", "open").0, 200);
    let is_locked = (0..100).any(|n| {
        let answer = open(&format!("10.0.{n}.1"), "a guess");
        assert!(answer == wrong || answer == locked, "{answer:?}");
        answer == locked
    });
    assert!(is_locked, "the link is locked for strangers");
    // Another address of the network that has opened it.
    assert_eq!(open("2001:db8:1::2", "open").0, 200);
}

#[tokio::test]
async fn whom_the_owner_takes_out_does_not_come_back_by_the_link() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    let link = stage.link(json!({ "role": "editor" }));
    assert_eq!(stage.open(&link, Some(&bob), json!({})).0, 200);
    let mut client = stage.join(&bob).await;
    let grants = format!("documents/{}/grants", stage.document);
    let removed = || {
        let (status, grants) = stage.call(&stage.ada, "GET", &grants, Value::Null);
        assert_eq!(status, 200);
        grants["removed"].clone()
    };
    assert_eq!(removed(), json!([]));
    let bobs = format!("{grants}/{}", bob.id);
    assert_eq!(stage.call(&stage.ada, "DELETE", &bobs, Value::Null).0, 204);
    assert_eq!(client.closed().await, Some(4403));
    let denied = || {
        let (status, answer) = stage.open(&link, Some(&bob), json!({}));
        assert_eq!((status, code(&answer)), (403, "link_denied"));
        assert_eq!(stage.read(&bob), 404);
    };
    denied();
    let expected = json!([{ "userId": bob.id, "name": "bob", "avatarUrl": null }]);
    assert_eq!(removed(), expected);

    // A new link lets him in, the old one still does not.
    let newer = stage.link(json!({ "role": "viewer" }));
    let (status, opened) = stage.open(&newer, Some(&bob), json!({}));
    assert_eq!((status, &opened["role"]), (200, &json!("viewer")));
    assert_eq!(stage.call(&stage.ada, "DELETE", &bobs, Value::Null).0, 204);
    denied();
    // And so does a grant.
    let grant = json!({ "userId": bob.id, "role": "viewer" });
    assert_eq!(stage.call(&stage.ada, "POST", &grants, grant).0, 201);
    assert_eq!(removed(), json!([]));
    let (status, opened) = stage.open(&link, Some(&bob), json!({}));
    assert_eq!((status, &opened["role"]), (200, &json!("editor")));
    // Who leaves may come back.
    assert_eq!(stage.call(&bob, "DELETE", &bobs, Value::Null).0, 204);
    assert_eq!(stage.read(&bob), 404);
    assert_eq!(stage.open(&link, Some(&bob), json!({})).0, 200);
}

#[test]
fn a_link_takes_so_many_guests() {
    let folder = TempDir::new().unwrap();
    let flags = ["--limits", "true", "--guests-per-link-max", "2"];
    let server = Server::start(folder.path(), &flags);
    let [ada, bob] = ["ada", "bob"].map(|name| server.register(name));
    let path = format!("/api/v1/documents/{}/links", server.create(&ada));
    let wanted = json!({ "role": "viewer" });
    let (_, link) = server.call("POST", &path, Some(&ada.token), Some(&wanted));
    let path = format!("/api/v1/links/{}", link["token"].as_str().unwrap());
    let open = |who: Option<&Account>| {
        let token = who.map(|who| who.token.as_str());
        server.call("POST", &path, token, Some(&json!({})))
    };
    let (status, first) = open(None);
    assert_eq!(status, 200, "{first}");
    assert_eq!(open(None).0, 200);
    let (status, answer) = open(None);
    assert_eq!((status, code(&answer)), (403, "link_full"));
    let guest = Account::of(&first["guest"]);
    assert_eq!(open(Some(&guest)).0, 200, "they are in");
    assert_eq!(open(Some(&bob)).0, 200, "who has an account is no guest");
}

#[tokio::test]
async fn a_link_ends_by_itself() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    let now = stage.link(json!({ "role": "viewer" }))["createdAt"].clone();
    let now = humantime::parse_rfc3339(now.as_str().unwrap()).unwrap();
    let soon = humantime::format_rfc3339_millis(now + Duration::from_millis(2_000));
    let link = stage.link(json!({ "role": "editor", "expiresAt": soon.to_string() }));
    assert_eq!(stage.open(&link, Some(&bob), json!({})).0, 200);
    let mut client = stage.join(&bob).await;
    assert_eq!(
        client.closed().await,
        Some(4403),
        "within a second of its end"
    );
    assert_eq!(stage.read(&bob), 404);
    let path = format!("documents/{}/links", stage.document);
    for wrong in ["2001-01-01T00:00:00Z", "tomorrow", ""] {
        let wanted = json!({ "role": "editor", "expiresAt": wrong });
        assert_eq!(
            stage.call(&stage.ada, "POST", &path, wanted).0,
            400,
            "{wrong}"
        );
    }
    let wanted = json!({ "role": "owner" });
    assert_eq!(stage.call(&stage.ada, "POST", &path, wanted).0, 400);
}

#[tokio::test]
async fn a_guest_may_do_what_the_link_gives_and_nothing_else() {
    let stage = Stage::new();
    let link = stage.link(json!({ "role": "editor" }));
    let (status, opened) = stage.open(&link, None, json!({ "name": "Gus" }));
    assert_eq!(status, 200, "{opened}");
    let guest = Account::of(&opened["guest"]);
    let (_, validated) = stage.call(&guest, "GET", "auth/validate", Value::Null);
    assert_eq!(
        (&validated["kind"], &validated["name"]),
        (&json!("guest"), &json!("Gus"))
    );
    let mut client = stage.join(&guest).await;
    client.submit(1, 0, json!([{ "insert": "Hello" }])).await;
    client.expect("ack").await;
    let (_, refreshed) = stage.server.call(
        "POST",
        "/api/v1/auth/refresh",
        None,
        Some(&json!({ "refreshToken": guest.refresh })),
    );
    assert_eq!(refreshed["userId"], guest.id.as_str());
    for (method, path, body) in [
        ("POST", "documents", json!({ "title": "Mine" })),
        (
            "POST",
            "api-keys",
            json!({ "name": "Mine", "scopes": ["read"] }),
        ),
        ("GET", "groups", Value::Null),
        ("GET", "organization", Value::Null),
        ("GET", "admin/users", Value::Null),
    ] {
        assert_eq!(stage.call(&guest, method, path, body).0, 403, "{path}");
    }
    let ada = format!("users/{}", stage.ada.id);
    assert_eq!(stage.call(&guest, "GET", &ada, Value::Null).0, 404);
    let ada = format!("presence/{}", stage.ada.id);
    assert_eq!(stage.call(&guest, "GET", &ada, Value::Null).0, 404);
    let other = stage.server.create(&stage.ada);
    let path = format!("documents/{other}");
    assert_eq!(stage.call(&guest, "GET", &path, Value::Null).0, 404);
    assert_eq!(
        stage.open(&link, None, json!({ "name": "\u{202e}" })).0,
        400
    );
}

#[tokio::test]
async fn a_group_gives_and_takes_rights_at_once() {
    let folder = TempDir::new().unwrap();
    crate::support::administrator(folder.path(), "root");
    let server = Server::start(folder.path(), &[]);
    let root = server.sign_in("root");
    let [ada, bob] = ["ada", "bob"].map(|name| server.register(name));
    let document = server.create(&ada);
    let call = |who: &Account, method: &str, path: &str, body: Value| {
        let body = Some(body).filter(|body| !body.is_null());
        let path = format!("/api/v1/{path}");
        server.call(method, &path, Some(&who.token), body.as_ref())
    };
    let (status, group) = call(&root, "POST", "groups", json!({ "name": "Editors" }));
    assert_eq!(status, 201, "{group}");
    let group = group["groupId"].as_str().unwrap();
    let member = format!("groups/{group}/members/{}", bob.id);
    assert_eq!(call(&bob, "PUT", &member, Value::Null).0, 403);
    assert_eq!(call(&root, "PUT", &member, Value::Null).0, 204);
    let grants = format!("documents/{document}/grants");
    let give = |role: &str| {
        call(
            &ada,
            "POST",
            &grants,
            json!({ "groupId": group, "role": role }),
        )
    };
    assert_eq!(give("editor").0, 201);
    let (mut client, state) = server.join(&bob, &document, "b").await;
    assert_eq!(state["role"], "editor");
    give("commenter");
    assert_eq!(
        client.expect("permission_changed").await["role"],
        "commenter"
    );
    client.submit(1, 0, json!([{ "insert": "x" }])).await;
    assert_eq!(client.expect("error").await["code"], "read_only");
    give("editor");
    assert_eq!(client.expect("permission_changed").await["role"], "editor");
    client.submit(1, 0, json!([{ "insert": "x" }])).await;
    client.expect("ack").await;
    assert_eq!(call(&root, "DELETE", &member, Value::Null).0, 204);
    assert_eq!(client.closed().await, Some(4403));

    call(&root, "PUT", &member, Value::Null);
    let (mut client, _) = server.join(&bob, &document, "b").await;
    assert_eq!(
        call(&root, "DELETE", &format!("groups/{group}"), Value::Null).0,
        204
    );
    assert_eq!(client.closed().await, Some(4403));
}

#[tokio::test]
async fn organizations_are_apart() {
    let folder = TempDir::new().unwrap();
    let other = crate::support::motet(folder.path(), &["organization", "create", "Other"]);
    crate::support::make_user(folder.path(), "zoe", &["--organization", &other]);
    let server = Server::start(folder.path(), &[]);
    let (ada, zoe) = (server.register("ada"), server.sign_in("zoe"));
    let document = server.create(&ada);
    let call = |who: &Account, method: &str, path: String, body: Value| {
        let body = Some(body).filter(|body| !body.is_null());
        let path = format!("/api/v1/{path}");
        let (status, answer) = server.call(method, &path, Some(&who.token), body.as_ref());
        (status, code(&answer).to_owned())
    };
    let not_found = (404, "not_found".to_owned());
    let grants = format!("documents/{document}/grants");
    for whom in [
        json!({ "email": "zoe@example.com", "role": "viewer" }),
        json!({ "userId": zoe.id, "role": "viewer" }),
    ] {
        assert_eq!(call(&ada, "POST", grants.clone(), whom), not_found);
    }
    for path in [format!("users/{}", ada.id), format!("presence/{}", ada.id)] {
        assert_eq!(call(&zoe, "GET", path, Value::Null), not_found);
    }
    let links = format!("/api/v1/documents/{document}/links");
    let wanted = json!({ "role": "viewer" });
    let (_, link) = server.call("POST", &links, Some(&ada.token), Some(&wanted));
    let open = format!("links/{}", link["token"].as_str().unwrap());
    let refused = (403, "other_organization".to_owned());
    assert_eq!(call(&zoe, "POST", open, json!({})), refused);
}

#[tokio::test]
async fn what_is_in_the_trash_is_nowhere_and_comes_back() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    stage
        .server
        .grant(&stage.ada, &stage.document, "bob", "editor");
    let mut client = stage.join(&bob).await;
    client.submit(1, 0, json!([{ "insert": "kept" }])).await;
    client.expect("ack").await;
    let path = format!("documents/{}", stage.document);
    assert_eq!(stage.call(&bob, "DELETE", &path, Value::Null).0, 403);
    assert_eq!(stage.call(&stage.ada, "DELETE", &path, Value::Null).0, 204);
    assert_eq!(client.closed().await, Some(4404));
    assert_eq!((stage.read(&bob), stage.read(&stage.ada)), (404, 404));
    let (_, trash) = stage.call(&stage.ada, "GET", "documents?filter=trash", Value::Null);
    assert!(trash["documents"][0]["deletedAt"].is_string(), "{trash}");
    let restore = format!("{path}/restore");
    assert_eq!(stage.call(&bob, "POST", &restore, Value::Null).0, 404);
    assert_eq!(stage.call(&stage.ada, "POST", &restore, Value::Null).0, 200);
    assert_eq!(stage.server.document(&bob, &stage.document).1, "kept");

    stage.call(&stage.ada, "DELETE", &path, Value::Null);
    let for_good = format!("{path}?permanent=true");
    assert_eq!(
        stage.call(&stage.ada, "DELETE", &for_good, Value::Null).0,
        204
    );
    assert_eq!(stage.call(&stage.ada, "POST", &restore, Value::Null).0, 404);
}

#[tokio::test]
async fn a_path_that_is_no_text_is_not_there() {
    let stage = Stage::new();
    for (method, path) in [
        ("GET", "links/%ff"),
        ("POST", "links/%ff"),
        ("GET", "avatars/%ff"),
        ("POST", "auth/providers/%ff/begin"),
    ] {
        let body = if method == "POST" {
            json!({})
        } else {
            Value::Null
        };
        let (status, answer) = stage.call(&stage.ada, method, path, body);
        assert_eq!((status, code(&answer)), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn an_address_is_told_to_those_who_gave_it() {
    let stage = Stage::new();
    let bob = stage.server.register("bob");
    let grants = format!("documents/{}/grants", stage.document);
    let whom = json!({ "userId": bob.id, "role": "viewer" });
    let (_, granted) = stage.call(&stage.ada, "POST", &grants, whom);
    assert_eq!(granted["email"], Value::Null);
    let whom = json!({ "email": "bob@example.com", "role": "viewer" });
    let (_, granted) = stage.call(&stage.ada, "POST", &grants, whom);
    assert_eq!(granted["email"], "bob@example.com");
}
