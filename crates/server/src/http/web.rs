//! The web application: files that are part of the binary.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{ApiError, headers::PagePolicy};

#[derive(RustEmbed)]
#[folder = "$MOTET_WEB_DIST"]
struct Files;

/// The build puts a hash of its content into the name of every file here.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";
/// What the page has where each answer gets a nonce of its own.
const NONCE: &str = "__CSP_NONCE__";

/// First parts of paths that are the server's, now or in a later version: none is ever a page.
const RESERVED: [&str; 7] = [
    "api",
    "collab",
    "healthz",
    "hocuspocus",
    "metrics",
    "readyz",
    "yjs",
];

/// A file, or for the paths that the application makes up itself its page.
pub(super) async fn serve(pages: Arc<PagePolicy>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if RESERVED.contains(&path.split('/').next().unwrap_or_default()) {
        return ApiError::not_found("endpoint").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::method_not_allowed().into_response();
    }
    if path != INDEX
        && let Some(file) = Files::get(path)
    {
        return respond(path, file, request.headers());
    }
    // A page's address has no dot in its last part; anything else is a file that is not there.
    let is_file = path.rsplit('/').next().unwrap_or_default().contains('.');
    let is_page = path == INDEX || !(is_file || path.starts_with(HASHED));
    match Files::get(INDEX).filter(|_| is_page) {
        Some(index) => page(&pages, &index),
        None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    }
}

/// The application's page. It is sent anew each time: the nonce in one that a browser kept would not be
/// that of the answer's policy.
fn page(pages: &PagePolicy, index: &EmbeddedFile) -> Response {
    let (nonce, policy) = pages.page();
    let html = String::from_utf8_lossy(&index.data).replace(NONCE, &nonce);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Html(html)).into_response()
}

fn respond(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let etag = hash
        .iter()
        .take(12)
        .fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}"));
    let etag = etag + "\"";
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::CONTENT_TYPE, file.metadata.mimetype().to_owned()),
    ];
    if asked
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes())
    {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Body::from(file.data.into_owned())).into_response()
}
