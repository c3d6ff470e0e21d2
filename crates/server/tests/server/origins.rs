//! Pages of other origins, proxies, and what browsers are told about answers, with the real server.

use crate::support::{Peer, Server, data_dir};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, client::IntoClientRequest},
};

const PAGE: &str = "https://app.example.com";
const OTHER: &str = "https://evil.example.com";

/// Opens a socket as a page of this origin does; returns the status, and the code of an error.
async fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, Option<String>) {
    let url = format!("ws://{}{path}", server.address);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, response)) => (response.status().as_u16(), None),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let code = body["error"]["code"].as_str().map(ToOwned::to_owned);
            (response.status().as_u16(), code)
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn sockets_open_for_own_and_allowed_pages_only() {
    const OPEN: (u16, Option<String>) = (101, None);
    let refused = || (403, Some("origin_not_allowed".to_owned()));
    let data = data_dir();
    let server = Server::start(data.path(), &["--allowed-origins", PAGE]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let own = format!("http://{}", server.address);
    let other_port = own.rsplit_once(':').unwrap().0.to_owned() + ":1";
    let paths = [
        "/collab".to_owned(),
        format!("/collab/{document}?token={}", ada.token),
        format!("/yjs/{document}?token={}", ada.token),
        "/hocuspocus".to_owned(),
    ];
    for path in &paths {
        assert_eq!(open(&server, path, &[]).await, OPEN, "{path}");
        for origin in [&own, PAGE] {
            assert_eq!(
                open(&server, path, &[("origin", origin)]).await,
                OPEN,
                "{path}"
            );
        }
        for origin in [OTHER, "null", &other_port, "http://app.example.com", ""] {
            let opened = open(&server, path, &[("origin", origin)]).await;
            assert_eq!(opened, refused(), "{path} from {origin}");
        }
    }
    // What is no trusted proxy cannot say by what name the server is called.
    let lies = [("origin", OTHER), ("x-forwarded-host", "evil.example.com")];
    assert_eq!(open(&server, "/collab", &lies).await, refused());

    let data = data_dir();
    let server = Server::start(data.path(), &["--allowed-origins", "*"]);
    assert_eq!(open(&server, "/collab", &[("origin", OTHER)]).await, OPEN);
}

#[tokio::test]
async fn behind_a_trusted_proxy_a_page_is_known_by_the_name_that_browsers_use() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--trusted-proxies", "127.0.0.1"]);
    let page = [("origin", PAGE), ("x-forwarded-host", "app.example.com")];
    assert_eq!(open(&server, "/collab", &page).await.0, 101);
    let other = [("origin", OTHER), ("x-forwarded-host", "app.example.com")];
    assert_eq!(open(&server, "/collab", &other).await.0, 403);

    let https = [("x-forwarded-proto", "https".to_owned())];
    let (_, headers, _) = server.raw("GET", "/", &https, None);
    assert!(
        headers["strict-transport-security"]
            .to_str()
            .unwrap()
            .starts_with("max-age=")
    );
    let (_, headers, _) = server.raw("GET", "/", &[], None);
    assert!(!headers.contains_key("strict-transport-security"));
}

#[test]
fn answers_are_shown_to_allowed_pages() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--allowed-origins", PAGE]);
    let ada = server.register("ada");
    let preflight = |origin: &str| {
        let headers = [
            ("origin", origin.to_owned()),
            ("access-control-request-method", "PATCH".to_owned()),
            (
                "access-control-request-headers",
                "authorization,if-match".to_owned(),
            ),
        ];
        server.raw("OPTIONS", "/api/v1/documents", &headers, None)
    };
    let (status, headers, _) = preflight(PAGE);
    assert_eq!(status, 200);
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    let allowed = headers["access-control-allow-headers"]
        .to_str()
        .unwrap()
        .to_lowercase();
    for name in [
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
    ] {
        assert!(allowed.contains(name), "{allowed}");
    }
    let methods = headers["access-control-allow-methods"].to_str().unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let (_, headers, _) = preflight(OTHER);
    assert!(!headers.contains_key("access-control-allow-origin"));

    // Also of errors, and of those that no route knows.
    for (path, expected) in [("documents", 200), ("documents/1", 404), ("nothing", 404)] {
        let headers = [
            ("origin", PAGE.to_owned()),
            ("authorization", format!("Bearer {}", ada.token)),
        ];
        let (status, headers, _) = server.raw("GET", &format!("/api/v1/{path}"), &headers, None);
        assert_eq!(status, expected);
        assert_eq!(headers["access-control-allow-origin"], PAGE);
        let shown = headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .to_lowercase();
        for name in [
            "etag",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
        ] {
            assert!(shown.contains(name), "{shown}");
        }
        assert!(shown.contains("retry-after") && shown.contains("x-request-id"));
    }
}

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let bearer = [("authorization", format!("Bearer {}", ada.token))];
    for path in [
        "/",
        "/d/x",
        "/favicon.svg",
        "/api/v1/documents",
        "/api/v1/x",
        "/healthz",
    ] {
        let (_, headers, body) = server.raw("GET", path, &bearer, None);
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(text("x-content-type-options"), "nosniff");
        assert_eq!(text("referrer-policy"), "no-referrer");
        assert_eq!(text("cross-origin-opener-policy"), "same-origin");
        assert_eq!(text("cross-origin-resource-policy"), "same-origin");
        assert!(text("permissions-policy").contains("camera=()"));
        let policy = text("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let rest = policy.replace("style-src-attr 'unsafe-inline'", "");
        assert!(!rest.contains("unsafe"), "{policy}");
        assert_eq!(
            path.starts_with("/api/"),
            headers
                .get("cache-control")
                .is_some_and(|it| it == "no-store")
        );
        if body.contains("<html") {
            let nonce = policy
                .split("'nonce-")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap();
            assert!(nonce.len() >= 20 && body.contains(&format!("nonce=\"{nonce}\"")));
            let (_, again, _) = server.raw("GET", path, &bearer, None);
            assert_ne!(
                again["content-security-policy"],
                headers["content-security-policy"]
            );
        }
    }
}

#[test]
fn pictures_come_from_where_the_operator_says() {
    let data = data_dir();
    let policy = |flags: &[&str]| {
        let server = Server::start(data.path(), flags);
        let (_, headers, _) = server.raw("GET", "/", &[], None);
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(policy(&[]).contains("img-src 'self' data: blob:;"));
    assert!(policy(&["--image-sources", "https:"]).contains("img-src 'self' data: blob: https:;"));
}

#[tokio::test]
async fn an_event_stream_is_shown_to_allowed_pages() {
    let data = data_dir();
    let server = Server::start(data.path(), &["--allowed-origins", PAGE]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (mut stream, _) = server.listen_in(&ada, &document, "stream").await;
    assert!(!stream.headers.contains_key("access-control-allow-origin"));
    stream.submit(1, 0, json!([{ "insert": "x" }])).await;
    stream.expect("ack").await;
    let path = format!("/api/v1/documents/{document}/messages?connection=x&frame=1");
    let headers = [
        ("origin", PAGE.to_owned()),
        ("authorization", format!("Bearer {}", ada.token)),
    ];
    let (status, headers, _) = server.raw("POST", &path, &headers, Some("{}"));
    assert_eq!(
        (status, &headers["access-control-allow-origin"]),
        (410, &PAGE.parse().unwrap())
    );
}
