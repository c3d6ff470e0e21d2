//! Accounts: passwords, profiles, keys, administrators.

use crate::support::{Account, PASSWORD, Peer, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

fn login(server: &Server, email: &str, password: &str) -> (u16, Value) {
    let body = json!({ "email": email, "password": password });
    server.call("POST", "/api/v1/auth/login", None, Some(&body))
}

#[test]
fn a_new_password_ends_all_sign_ins_but_one() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ada = server.register("ada");
    let change = |password: &str, new: &str, token: &str| {
        let body = json!({ "password": password, "newPassword": new });
        server.call("PUT", "/api/v1/auth/password", Some(token), Some(&body))
    };
    let (status, answer) = change("wrong", "a better password", &ada.token);
    assert_eq!((status, code(&answer)), (401, "invalid_password"));
    let (status, answer) = change(PASSWORD, "short", &ada.token);
    assert_eq!((status, code(&answer)), (400, "invalid_request"));
    let (status, answer) = change(PASSWORD, "a better password", &ada.token);
    assert_eq!(status, 200, "{answer}");
    let token = answer["token"].as_str().unwrap();
    let validate = |token: &str| {
        server
            .call("GET", "/api/v1/auth/validate", Some(token), None)
            .0
    };
    assert_eq!((validate(&ada.token), validate(token)), (401, 200));
    let body = json!({ "refreshToken": ada.refresh });
    let (status, _) = server.call("POST", "/api/v1/auth/refresh", None, Some(&body));
    assert_eq!(status, 401);
    assert_eq!(login(&server, "ada@example.com", PASSWORD).0, 401);
    assert_eq!(
        login(&server, "ada@example.com", "a better password").0,
        200
    );
}

#[test]
fn whoever_tries_passwords_has_to_wait_whether_the_account_exists_or_not() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    server.register("ada");
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            let (status, answer) = login(&server, email, "wrong password");
            assert_eq!((status, code(&answer)), (401, "invalid_credentials"));
        }
        // However the address is spelt.
        let body = json!({ "email": email.to_uppercase(), "password": PASSWORD }).to_string();
        let json = [("content-type", "application/json".to_owned())];
        let (status, headers, answer) =
            server.raw("POST", "/api/v1/auth/login", &json, Some(&body));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, code(&answer)), (429, "too_many_attempts"));
        let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
    }
}

/// Through a proxy that says from which address.
fn login_from(server: &Server, address: &str, email: &str, password: &str) -> (u16, String) {
    let body = json!({ "email": email, "password": password }).to_string();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-forwarded-for", address.to_owned()),
    ];
    let (status, _, answer) = server.raw("POST", "/api/v1/auth/login", &headers, Some(&body));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    (status, code(&answer).to_owned())
}

#[test]
fn nobody_is_locked_out_by_strangers_from_where_they_were_let_in() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--trusted-proxies", "127.0.0.1"]);
    server.register("ada");
    let ada = "ada@example.com";
    let locked = (429, "too_many_attempts".to_owned());
    let wrong = (401, "invalid_credentials".to_owned());
    assert_eq!(login_from(&server, "2001:db8:1::1", ada, PASSWORD).0, 200);
    let is_locked = (0..100).any(|n| {
        let answer = login_from(&server, &format!("10.0.{n}.1"), ada, "a guess");
        assert!(answer == wrong || answer == locked, "{answer:?}");
        answer == locked
    });
    assert!(is_locked, "the account is locked for strangers");
    // Another address of the same network.
    assert_eq!(login_from(&server, "2001:db8:1::2", ada, PASSWORD).0, 200);
    for n in 3..8 {
        let neighbour = format!("2001:db8:1::{n}");
        assert_eq!(login_from(&server, &neighbour, ada, "a guess"), wrong);
    }
    let from_there = login_from(&server, "2001:db8:1::9", ada, PASSWORD);
    assert_eq!(from_there, locked, "one network is one client");
}

#[test]
fn profiles() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let [ada, bob] = ["ada", "bob"].map(|name| server.register(name));
    let path = format!("/api/v1/users/{}", ada.id);
    let change =
        |who: &Account, body: Value| server.call("PATCH", &path, Some(&who.token), Some(&body));
    let (status, answer) = change(&ada, json!({ "name": "Ada L.", "color": 7 }));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["email"], "ada@example.com");
    let (_, seen) = server.call("GET", &path, Some(&bob.token), None);
    let expected = json!({ "userId": ada.id, "name": "Ada L.", "color": 7, "avatarUrl": null });
    assert_eq!(seen, expected, "an address is nobody else's affair");
    let (_, answer) = change(&ada, json!({ "color": null }));
    assert_eq!(
        (&answer["name"], &answer["color"]),
        (&json!("Ada L."), &Value::Null)
    );
    assert_eq!(change(&ada, json!({ "color": 16 })).0, 400);
    assert_eq!(change(&ada, json!({ "name": "\u{202e}" })).0, 400);
    assert_eq!(change(&bob, json!({ "name": "Bob" })).0, 404);
}

#[test]
fn a_picture_is_a_picture() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ada = server.register("ada");
    let path = format!("/api/v1/users/{}/avatar", ada.id);
    let put = |image: &[u8], said: &str| {
        let url = format!("http://{}{path}", server.address);
        let sent = ureq::put(url)
            .config()
            .http_status_as_error(false)
            .build()
            .header("authorization", format!("Bearer {}", ada.token))
            .header("content-type", said)
            .send(image);
        let mut response = sent.unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        (response.status().as_u16(), answer)
    };
    let png = b"\x89PNG\r\n\x1a\nand so on";
    for no_image in [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>".as_slice(),
        b"<script>alert(1)</script>",
        b"GIF89a",
        b"",
    ] {
        assert_eq!(put(no_image, "image/png").0, 415);
    }
    assert_eq!(put(&vec![0x89; 300 << 10], "image/png").0, 413);
    let (status, profile) = put(png, "text/html");
    assert_eq!(status, 200, "{profile}");
    let url = profile["avatarUrl"].as_str().unwrap();
    let (status, headers, body) = server.raw("GET", url, &[], None);
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(body.contains("and so on"));

    let (status, _) = server.call("DELETE", &path, Some(&ada.token), None);
    assert_eq!(status, 204);
    assert_eq!(server.raw("GET", url, &[], None).0, 404);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_until_it_is_revoked() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let create = |token: &str, scopes: Value| {
        let body = json!({ "name": "Robot", "scopes": scopes });
        server.call("POST", "/api/v1/api-keys", Some(token), Some(&body))
    };
    let (status, answer) = create(&ada.token, json!(["read"]));
    assert_eq!(status, 201, "{answer}");
    let key = answer["key"].as_str().unwrap().to_owned();
    let id = answer["apiKeyId"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/documents/{document}");
    let call = |method: &str, path: &str, body: Option<Value>| {
        let (status, answer) = server.call(method, path, Some(&key), body.as_ref());
        (status, code(&answer).to_owned())
    };
    assert_eq!(call("GET", &path, None).0, 200);
    let missing = (403, "missing_scope".to_owned());
    assert_eq!(
        call("PATCH", &path, Some(json!({ "title": "New" }))),
        missing
    );
    assert_eq!(call("DELETE", &path, None), missing);
    assert_eq!(call("GET", "/api/v1/api-keys", None), missing);
    let (status, answer) = create(&ada.token, json!(["write", "account"]));
    assert_eq!(status, 201, "{answer}");
    let strong = answer["key"].as_str().unwrap().to_owned();
    let (status, answer) = create(&strong, json!(["manage"]));
    assert_eq!(
        (status, code(&answer)),
        (403, "missing_scope"),
        "no key makes a stronger one"
    );
    for wrong in [json!([]), json!(["everything"])] {
        assert_eq!(create(&ada.token, wrong).0, 400);
    }

    let path = format!("/collab/{document}?token={key}");
    let mut client = server.connect(&path).await;
    assert_eq!(client.expect("document_state").await["role"], "viewer");
    let (_, listed) = server.call("GET", "/api/v1/api-keys", Some(&ada.token), None);
    assert!(listed["apiKeys"][0]["lastUsedAt"].is_string());
    assert!(!listed.to_string().contains(&key), "shown once");
    let revoke = format!("/api/v1/api-keys/{id}");
    let (status, _) = server.call("DELETE", &revoke, Some(&ada.token), None);
    assert_eq!(status, 204);
    assert_eq!(client.closed().await, Some(4401));
    assert_eq!(call("GET", "/api/v1/documents", None).0, 401);
    for forged in ["motet_", "motet_x_y", &format!("motet_{id}_guess")] {
        let (status, _) = server.call("GET", "/api/v1/documents", Some(forged), None);
        assert_eq!(status, 401, "{forged}");
    }
}

#[tokio::test]
async fn administrators_manage_their_organization_and_read_nothing() {
    let folder = TempDir::new().unwrap();
    crate::support::administrator(folder.path(), "root");
    let server = Server::start(folder.path(), &[]);
    let root = server.sign_in("root");
    let ada = server.register("ada");
    let document = server.create(&ada);
    let call = |method: &str, path: &str, body: Option<Value>| {
        let path = format!("/api/v1/{path}");
        server.call(method, &path, Some(&root.token), body.as_ref())
    };
    assert_eq!(call("GET", &format!("documents/{document}"), None).0, 404);
    let (_, listed) = call("GET", "admin/users?limit=1", None);
    assert_eq!(listed["users"][0]["email"], "ada@example.com");
    let cursor = listed["nextCursor"].as_str().unwrap();
    let (_, rest) = call("GET", &format!("admin/users?cursor={cursor}"), None);
    assert_eq!(rest["users"][0]["email"], "root@example.com");
    assert_eq!(rest["nextCursor"], Value::Null);

    let path = format!("/collab/{document}?token={}", ada.token);
    let mut client = server.connect(&path).await;
    client.expect("document_state").await;
    let (_, live) = call("GET", "admin/sessions", None);
    let session = &live["sessions"][0];
    assert_eq!(session["documentTitle"], "A document");
    assert_eq!(
        (&session["dialect"], &session["role"]),
        (&json!("ot"), &json!("owner"))
    );
    assert_eq!(session["address"], "127.0.0.1");
    let id = session["sessionId"].as_str().unwrap();
    assert_eq!(call("DELETE", &format!("admin/sessions/{id}"), None).0, 204);
    assert_eq!(client.closed().await, Some(4403));
    assert_eq!(call("DELETE", &format!("admin/sessions/{id}"), None).0, 404);

    let mut client = server.connect(&path).await;
    client.expect("document_state").await;
    let user = format!("admin/users/{}", ada.id);
    let (_, changed) = call("PATCH", &user, Some(json!({ "disabled": true })));
    assert_eq!(changed["disabled"], true);
    assert_eq!(client.closed().await, Some(4403));
    let (status, answer) = login(&server, "ada@example.com", PASSWORD);
    assert_eq!((status, code(&answer)), (403, "account_disabled"));
    let (status, answer) = login(&server, "ada@example.com", "not her password");
    assert_eq!((status, code(&answer)), (401, "invalid_credentials"));
    let (status, answer) = server.call("GET", "/api/v1/documents", Some(&ada.token), None);
    assert_eq!((status, code(&answer)), (403, "account_disabled"));
    call("PATCH", &user, Some(json!({ "disabled": false })));
    assert_eq!(login(&server, "ada@example.com", PASSWORD).0, 200);
    let (status, _) = server.call("GET", "/api/v1/documents", Some(&ada.token), None);
    assert_eq!(status, 401, "what was issued before stays void");

    let own = format!("admin/users/{}", root.id);
    for change in [
        json!({ "disabled": true }),
        json!({ "administrator": false }),
    ] {
        let (status, answer) = call("PATCH", &own, Some(change));
        assert_eq!((status, code(&answer)), (409, "last_administrator"));
    }
    let wanted = json!({ "email": "eve@example.com", "password": PASSWORD, "administrator": true });
    assert_eq!(call("POST", "admin/users", Some(wanted)).0, 201);
    assert_eq!(login(&server, "eve@example.com", PASSWORD).0, 200);
    let (_, limits) = call("GET", "admin/limits", None);
    assert!(limits["limits"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn where_somebody_is_is_told_to_those_who_share_the_document() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| server.register(name));
    let document = server.create(&ada);
    server.grant(&ada, &document, "bob", "viewer");
    let (_client, _) = server.join(&ada, &document, "a").await;
    let seen_by = |who: &Account| {
        let path = format!("/api/v1/presence/{}", ada.id);
        server.call("GET", &path, Some(&who.token), None).1
    };
    let seen = seen_by(&bob);
    assert_eq!(seen["online"], true);
    assert_eq!(seen["documents"][0]["documentId"], document);
    assert_eq!(seen_by(&eve)["online"], false);
    assert_eq!(seen_by(&eve)["documents"], json!([]));
}

#[tokio::test]
async fn whoever_was_let_in_is_asked_about_again_at_each_document() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let ada = server.register("ada");
    let (first, second) = (server.create(&ada), server.create(&ada));
    let body = json!({ "name": "Robot", "scopes": ["read", "write"] });
    let (_, key) = server.call("POST", "/api/v1/api-keys", Some(&ada.token), Some(&body));
    let mut client = server.connect("/collab").await;
    client
        .send(&json!({ "type": "auth", "token": key["key"] }))
        .await;
    client.expect("authenticated").await;
    let join = |document: &str| json!({ "type": "join_document", "documentId": document });
    client.send(&join(&first)).await;
    client.expect("document_state").await;
    let path = format!("/api/v1/api-keys/{}", key["apiKeyId"].as_str().unwrap());
    let (status, _) = server.call("DELETE", &path, Some(&ada.token), None);
    assert_eq!(status, 204);
    client.send(&join(&second)).await;
    assert_eq!(client.closed().await, Some(4401));
}

#[tokio::test]
async fn what_the_operator_does_counts_at_once() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "ben", "editor");
    let (mut adas, _) = server.join(&ada, &document, "a").await;
    let (mut bens, _) = server.join(&ben, &document, "b").await;
    crate::support::motet(folder.path(), &["user", "disable", "ben@example.com"]);
    assert_eq!(bens.closed().await, Some(4403));

    let keys = crate::support::motet(folder.path(), &["keys", "list"]);
    let old = keys.split_whitespace().next().unwrap();
    crate::support::motet(folder.path(), &["keys", "rotate", "--after", "0s"]);
    crate::support::motet(folder.path(), &["keys", "remove", old]);
    assert_eq!(adas.closed().await, Some(4401), "its token is void");
}
