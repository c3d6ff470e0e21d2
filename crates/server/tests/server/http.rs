//! The REST API over real HTTP: docs/protocol.md, endpoint by endpoint.

use std::time::Duration;

use crate::support::{Peer, Server, data_dir};
use serde_json::{Value, json};

/// Every endpoint that needs a token. A new route belongs into this table.
const GUARDED: [(&str, &str); 9] = [
    ("GET", "/api/v1/auth/validate"),
    ("GET", "/api/v1/documents"),
    ("POST", "/api/v1/documents"),
    ("GET", "/api/v1/documents/{id}"),
    ("PATCH", "/api/v1/documents/{id}"),
    ("DELETE", "/api/v1/documents/{id}"),
    ("GET", "/api/v1/documents/{id}/grants"),
    ("POST", "/api/v1/documents/{id}/grants"),
    ("DELETE", "/api/v1/documents/{id}/grants/{user}"),
];

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("none")
}

#[test]
fn every_guarded_endpoint_wants_a_valid_token() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--access-token-seconds", "1"]);
    let ada = server.register("ada");
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJtb3RldCJ9.".to_owned();
    let tampered = format!("{}x", ada.token);
    for (method, path) in GUARDED {
        let path = path.replace("{id}", &ada.id).replace("{user}", &ada.id);
        for token in [
            None,
            Some(""),
            Some("nonsense"),
            Some(none.as_str()),
            Some(tampered.as_str()),
        ] {
            let (status, answer) = server.call(method, &path, token, Some(&json!({})));
            assert_eq!(
                (status, code(&answer)),
                (401, "unauthenticated"),
                "{method} {path}"
            );
        }
    }
    // Until the token has expired.
    let expired = loop {
        let (status, answer) = server.call("GET", "/api/v1/auth/validate", Some(&ada.token), None);
        if status != 200 {
            break (status, code(&answer).to_owned());
        }
    };
    assert_eq!(expired, (401, "token_expired".to_owned()));
}

#[test]
fn accounts() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let post = |path: &str, body: Value| {
        server.call("POST", &format!("/api/v1/auth/{path}"), None, Some(&body))
    };
    let (status, ada) = post(
        "register",
        json!({ "email": "Ada@Example.com", "password": "a good password", "name": " Ada " }),
    );
    assert_eq!(status, 201);
    for field in ["userId", "token", "refreshToken", "expiresAt"] {
        assert!(ada[field].is_string(), "{field}");
    }
    let refused = [
        (
            json!({ "email": "ada@example.COM", "password": "another password" }),
            409,
            "email_taken",
        ),
        (
            json!({ "email": "nonsense", "password": "a good password" }),
            400,
            "invalid_request",
        ),
        (
            json!({ "email": "a b@c.d", "password": "a good password" }),
            400,
            "invalid_request",
        ),
        (
            json!({ "email": "b@c.d", "password": "short" }),
            400,
            "invalid_request",
        ),
        (
            json!({ "email": "b@c.d", "password": "x".repeat(129) }),
            400,
            "invalid_request",
        ),
        (json!({ "email": "b@c.d" }), 400, "invalid_request"),
        (
            json!({ "email": "b@c.d", "password": "a good password", "name": "a\u{7}" }),
            400,
            "invalid_request",
        ),
        (json!([]), 400, "invalid_request"),
    ];
    for (body, status, expected) in refused {
        let (found, answer) = post("register", body.clone());
        assert_eq!((found, code(&answer)), (status, expected), "{body}");
        assert!(answer["error"]["requestId"].is_string());
    }
    let (status, answer) = post(
        "login",
        json!({ "email": "ADA@example.com", "password": "a good password" }),
    );
    assert_eq!(status, 200, "{answer}");
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", "a good password"),
    ] {
        let (status, answer) = post("login", json!({ "email": email, "password": password }));
        assert_eq!((status, code(&answer)), (401, "invalid_credentials"));
    }
    let token = answer["token"].as_str().unwrap();
    let (status, me) = server.call("GET", "/api/v1/auth/validate", Some(token), None);
    assert_eq!(
        (status, &me["email"], &me["name"]),
        (200, &json!("Ada@Example.com"), &json!("Ada"))
    );

    // A refresh token works once; presented again after the next one was used, it ends its family.
    let first = json!({ "refreshToken": answer["refreshToken"] });
    let (_, lost) = post("refresh", first.clone());
    let (status, second) = post("refresh", first.clone());
    assert_eq!(status, 200, "the answer may have been lost");
    let (status, third) = post("refresh", json!({ "refreshToken": second["refreshToken"] }));
    assert_eq!(status, 200);
    assert_eq!(
        post("refresh", json!({ "refreshToken": lost["refreshToken"] })).0,
        401,
        "void"
    );
    assert_eq!(post("refresh", first).0, 401, "used");
    let third = json!({ "refreshToken": third["refreshToken"] });
    assert_eq!(post("refresh", third).0, 401, "its family has ended");
    let (_, third) = post("refresh", json!({ "refreshToken": ada["refreshToken"] }));
    let third = json!({ "refreshToken": third["refreshToken"] });
    assert_eq!(post("logout", third.clone()).0, 204);
    assert_eq!(post("refresh", third).0, 401, "signed out");
}

/// Hashing passwords takes time on purpose: more attempts than can be worked off soon are refused.
#[tokio::test]
async fn a_flood_of_attempts_to_sign_in_is_refused_in_part() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    // At many accounts: one would be locked.
    let body = |n| format!(r#"{{"email":"nobody{n}@example.com","password":"a good password"}}"#);
    let request = |body: &str| {
        format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        )
    };
    let mut sockets = Vec::new();
    for n in 100..300 {
        let mut socket = TcpStream::connect(&server.address).await.unwrap();
        let request = request(&body(n));
        socket.write_all(request.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    let (mut checked, mut refused) = (0, 0);
    for mut socket in sockets {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        if answer.starts_with("HTTP/1.1 503") {
            assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
            assert!(answer.contains(r#""code":"unavailable""#), "{answer}");
            refused += 1;
        } else if answer.starts_with("HTTP/1.1 429") {
            // From one address so many attempts are suspicious, too.
            assert!(answer.contains(r#""code":"too_many_attempts""#), "{answer}");
            refused += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
            checked += 1;
        }
    }
    assert!(
        checked > 0 && refused > 0,
        "{checked} checked, {refused} refused"
    );
    server.register("ada");
}

#[test]
fn documents_and_who_may_do_what() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben, eve) = (
        server.register("ada"),
        server.register("ben"),
        server.register("eve"),
    );
    let document = server.create(&ada);
    let path = format!("/api/v1/documents/{document}");
    let grants = format!("{path}/grants");
    let call = |method: &str, path: &str, who: &crate::support::Account, body: Value| {
        let body = (!body.is_null()).then_some(body);
        server.call(method, path, Some(&who.token), body.as_ref())
    };

    let (status, shown) = call("GET", &path, &ada, Value::Null);
    assert_eq!(status, 200);
    assert_eq!(shown["role"], "owner");
    assert_eq!(shown["content"], json!({ "ops": [] }));
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", json!({ "title": "x" })),
        ("DELETE", Value::Null),
    ] {
        let (status, answer) = call(method, &path, &eve, body);
        assert_eq!(
            (status, code(&answer)),
            (404, "not_found"),
            "a stranger's {method}"
        );
    }
    assert_eq!(call("GET", &grants, &eve, Value::Null).0, 404);

    let (status, granted) = call(
        "POST",
        &grants,
        &ada,
        json!({ "email": "BEN@example.com", "role": "viewer" }),
    );
    assert_eq!((status, &granted["name"]), (201, &json!("ben")));
    assert_eq!(call("GET", &path, &ben, Value::Null).1["role"], "viewer");
    for (method, to, body) in [
        ("PATCH", &path, json!({ "title": "x" })),
        ("DELETE", &path, Value::Null),
        ("GET", &grants, Value::Null),
        (
            "POST",
            &grants,
            json!({ "email": "eve@example.com", "role": "viewer" }),
        ),
    ] {
        let (status, answer) = call(method, to, &ben, body);
        assert_eq!(
            (status, code(&answer)),
            (403, "forbidden"),
            "a viewer's {method} {to}"
        );
    }
    assert_eq!(
        call(
            "POST",
            &grants,
            &ada,
            json!({ "email": "ben@example.com", "role": "editor" })
        )
        .0,
        201
    );
    let (status, renamed) = call("PATCH", &path, &ben, json!({ "title": " New " }));
    assert_eq!(
        (status, &renamed["title"], &renamed["role"]),
        (200, &json!("New"), &json!("editor"))
    );
    assert_eq!(call("DELETE", &path, &ben, Value::Null).0, 403);
    for (body, expected) in [
        (
            json!({ "email": "nobody@example.com", "role": "viewer" }),
            404,
        ),
        (json!({ "email": "ben@example.com", "role": "owner" }), 400),
        (json!({ "email": "ada@example.com", "role": "viewer" }), 400),
    ] {
        assert_eq!(
            call("POST", &grants, &ada, body.clone()).0,
            expected,
            "{body}"
        );
    }
    let (_, list) = call("GET", &grants, &ada, Value::Null);
    let roles: Vec<_> = list["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["role"])
        .collect();
    assert_eq!(roles, ["owner", "editor"]);

    assert_eq!(
        call("DELETE", &format!("{grants}/{}", ben.id), &ben, Value::Null).0,
        204,
        "gives it back"
    );
    assert_eq!(call("GET", &path, &ben, Value::Null).0, 404);
    assert_eq!(
        call("DELETE", &format!("{grants}/{}", ben.id), &ada, Value::Null).0,
        404
    );
    assert_eq!(call("DELETE", &path, &ada, Value::Null).0, 204);
    assert_eq!(call("GET", &path, &ada, Value::Null).0, 404);
}

/// axum drops a request with its connection: what it began goes on all the same.
#[tokio::test]
async fn a_client_that_does_not_wait_leaves_no_session_with_rights_that_are_gone() {
    use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, ben) = (server.register("ada"), server.register("ben"));
    let mut sessions = Vec::new();
    for _ in 0..24 {
        let document = server.create(&ada);
        server.grant(&ada, &document, "ben", "editor");
        let (session, _) = server.join(&ben, &document, "b").await;
        sessions.push((document, session));
    }
    for (at, (document, _)) in sessions.iter().enumerate() {
        let (address, token) = (&server.address, &ben.token);
        let path = format!("/api/v1/documents/{document}/grants/{}", ben.id);
        let request = format!(
            "DELETE {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        // Each connection lives a little longer than the one before, to be cut off elsewhere.
        for _ in 0..at {
            server.raw("GET", "/healthz", &[], None);
        }
    }
    // The catalog writes one thing at a time: most of what was begun is done before this.
    server.create(&ada);
    let mut over = 0;
    for (document, mut session) in sessions {
        let path = format!("/api/v1/documents/{document}");
        if server.call("GET", &path, Some(&ben.token), None).0 == 404 {
            let end = timeout(Duration::from_secs(5), session.expect_close()).await;
            let end = end.expect("a session goes on without rights");
            assert_eq!(end, (Some("forbidden".to_owned()), Some(4403)));
            over += 1;
        }
    }
    assert!(over > 0, "no request was begun");
}

#[test]
fn lists_come_in_pages() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let made: Vec<String> = (0..7).map(|_| server.create(&ada)).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/documents?limit=3{cursor}");
        let (status, page) = server.call("GET", &path, Some(&ada.token), None);
        assert_eq!(status, 200, "{page}");
        let documents = page["documents"].as_array().unwrap();
        assert!(documents.len() <= 3);
        seen.extend(
            documents
                .iter()
                .map(|it| it["documentId"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7, "each once");
    seen.sort();
    let mut made = made;
    made.sort();
    assert_eq!(seen, made);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x"] {
        let path = format!("/api/v1/documents?{query}");
        let (status, answer) = server.call("GET", &path, Some(&ada.token), None);
        assert_eq!((status, code(&answer)), (400, "invalid_request"), "{query}");
    }
}

#[test]
fn errors_have_one_form() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let json_type = [("content-type", "application/json".to_owned())];
    let text_type = [("content-type", "text/plain".to_owned())];
    let large = format!(r#"{{"email":"{}"}}"#, "x".repeat(70_000));
    let cases = [
        ("GET", "/api/v1/nonsense", None, None, 404, "not_found"),
        ("GET", "/api/v1", None, None, 404, "not_found"),
        ("GET", "/api/v2/documents", None, None, 404, "not_found"),
        ("POST", "/api/documents", None, None, 404, "not_found"),
        ("GET", "/api", None, None, 404, "not_found"),
        ("GET", "/metrics", None, None, 404, "not_found"),
        ("GET", "/healthz/", None, None, 404, "not_found"),
        ("GET", "/collab/a/b", None, None, 404, "not_found"),
        ("GET", "/yjs/a/b", None, None, 404, "not_found"),
        ("POST", "/d/a", None, None, 405, "method_not_allowed"),
        ("POST", "/healthz", None, None, 405, "method_not_allowed"),
        (
            "PUT",
            "/api/v1/documents",
            None,
            None,
            405,
            "method_not_allowed",
        ),
        (
            "POST",
            "/api/v1/auth/login",
            Some(&json_type),
            Some("{"),
            400,
            "invalid_json",
        ),
        (
            "POST",
            "/api/v1/auth/login",
            Some(&text_type),
            Some("{}"),
            415,
            "invalid_request",
        ),
        (
            "POST",
            "/api/v1/auth/login",
            Some(&json_type),
            Some(large.as_str()),
            413,
            "too_large",
        ),
    ];
    for (method, path, headers, body, status, expected) in cases {
        let headers = headers.map_or(&[][..], |it| &it[..]);
        let (found, headers, text) = server.raw(method, path, headers, body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (found, code(&answer)),
            (status, expected),
            "{method} {path}"
        );
        assert_eq!(
            headers["x-request-id"],
            answer["error"]["requestId"].as_str().unwrap()
        );
    }
}

#[test]
fn a_body_is_an_object_with_the_right_fields() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let shape = "the body must be a JSON object";
    let fields = "a field is missing, given twice or of the wrong kind";
    let cases = [
        (r#"["x"]"#, "invalid_request", shape),
        (r#" "x""#, "invalid_request", shape),
        ("[\"x\"", "invalid_json", "the body is not JSON"),
        (
            r#"{"title":"x"} {}"#,
            "invalid_json",
            "the body is not JSON",
        ),
        ("", "invalid_json", "the body is not JSON"),
        ("{}", "invalid_request", fields),
        (r#"{"title":1}"#, "invalid_request", fields),
        (r#"{"title":"x","title":"y"}"#, "invalid_request", fields),
    ];
    for (body, expected, message) in cases {
        let headers = [("authorization", format!("Bearer {}", ada.token))];
        let (status, _, text) = server.raw("POST", "/api/v1/documents", &headers, Some(body));
        let answer: Value = serde_json::from_str(&text).unwrap();
        let found = (status, code(&answer), &answer["error"]["message"]);
        assert_eq!(found, (400, expected, &json!(message)), "{body}");
    }
}

#[test]
fn text_of_people_cannot_mislead_others() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let bidi = ['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'];
    let post = |path: &str, body: Value| {
        let (status, answer) = server.call("POST", path, Some(&ada.token), Some(&body));
        let fine = status == 201 || (status, code(&answer)) == (400, "invalid_request");
        assert!(fine, "{body}: {status} {answer}");
        status
    };
    let account = |email: &str, name: &str| {
        let body = json!({ "email": email, "name": name, "password": "a good password" });
        post("/api/v1/auth/register", body)
    };
    let document = |title: &str| post("/api/v1/documents", json!({ "title": title }));

    let unseen = [
        '\0', '\u{7f}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{2060}', '\u{feff}',
    ];
    for char in bidi.into_iter().chain(unseen).chain([' ', '\u{2003}', '@']) {
        assert_eq!(account(&format!("a{char}b@c.d"), "Ada"), 400, "{char:?}");
        assert_eq!(account(&format!("ab@c{char}c.d"), "Ada"), 400, "{char:?}");
    }
    for email in ["", "@", "a@", "@b.c", "a@b@c"] {
        assert_eq!(account(email, "Ada"), 400, "{email}");
    }
    assert_eq!(account("j\u{f6}rg+x@b\u{fc}cher.example", "J\u{f6}rg"), 201);
    for char in bidi.into_iter().chain(['\0', '\n', '\u{85}']) {
        let text = format!("a{char}b");
        assert_eq!(account("b@c.d", &text), 400, "{char:?}");
        assert_eq!(document(&text), 400, "{char:?}");
    }
    // A family of four, and Persian with its non-joiner: both need characters without a width.
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    for (email, text) in [
        ("b@c.d", family),
        ("e@f.g", "\u{645}\u{6cc}\u{200c}\u{62e}"),
    ] {
        assert_eq!((account(email, text), document(text)), (201, 201));
    }
}

#[test]
fn the_web_application_is_part_of_the_binary() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (status, headers, page) = server.raw("GET", "/", &[], None);
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    assert!(page.contains("<title>Motet"));
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    let icon = server.raw("GET", "/favicon.svg", &[], None).1;
    let again = [("if-none-match", icon["etag"].to_str().unwrap().to_owned())];
    assert_eq!(server.raw("GET", "/favicon.svg", &again, None).0, 304);
    let other = server.raw("GET", "/d/some-document", &[], None).2;
    assert!(
        other.contains("<title>Motet"),
        "the application's own paths"
    );
    assert_eq!(server.raw("GET", "/assets/missing.js", &[], None).0, 404);
    assert_eq!(server.raw("GET", "/missing.png", &[], None).0, 404);
    assert_eq!(server.raw("GET", "/healthz", &[], None).0, 200);
    assert_eq!(server.raw("GET", "/readyz", &[], None).0, 200);
}

#[test]
fn the_command_line_makes_accounts_and_tokens() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let motet = |arguments: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_motet"))
            .args(arguments)
            .args(["--data-dir", data.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        )
    };
    let create = [
        "user",
        "create",
        "--email",
        "ada@example.com",
        "--name",
        "Ada",
    ];
    let (made, id) = motet(&create, "a good password\n");
    assert!(made);
    assert!(
        !motet(&create, "a good password\n").0,
        "the address is taken"
    );
    assert!(!motet(&["user", "create", "--email", "b@c.d"], "short\n").0);
    assert!(motet(&["user", "list"], "").1.contains("ada@example.com"));
    let (made, token) = motet(&["token", "--user", "ada@example.com"], "");
    assert!(made);
    let (status, me) = server.call("GET", "/api/v1/auth/validate", Some(&token), None);
    assert_eq!((status, &me["userId"]), (200, &json!(id)));
    assert!(!motet(&["token", "--user", "nobody@example.com"], "").0);
    assert!(motet(&["config", "check"], "").1.contains("\"listen\""));
}
