//! What a browser may do with an answer: the headers that narrow it, and the policy of the pages.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::Remote;
use crate::entropy;

/// For whatever is no page: nothing of it is ever shown as one.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// On every answer.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// A year, as lists of such hosts ask for.
const HSTS: &str = "max-age=31536000";

/// What the pages may load.
#[derive(Debug)]
pub(crate) struct PagePolicy {
    /// From where a document's pictures may come, beside the server itself.
    images: Vec<ImageSource>,
}

/// From where a browser may load a document's pictures: an origin, or `https:` for anywhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ImageSource(String);

impl TryFrom<String> for ImageSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // It becomes a part of a header that has a grammar of its own.
        let is_plain = |char: char| char.is_ascii_alphanumeric() || "-.:/*[]".contains(char);
        if text == "https:" || (text.starts_with("https://") && text.chars().all(is_plain)) {
            Ok(Self(text))
        } else {
            Err(format!(
                "pictures come from https: or https://HOST, not from {text}"
            ))
        }
    }
}

impl From<ImageSource> for String {
    fn from(ImageSource(text): ImageSource) -> Self {
        text
    }
}

impl PagePolicy {
    pub(crate) fn new(images: &[ImageSource]) -> Arc<Self> {
        Arc::new(Self {
            images: images.to_vec(),
        })
    }

    /// A policy for one answer, and the nonce by which it knows the page's own style elements.
    ///
    /// The component library writes style elements, so these need the nonce. Style attributes do no
    /// harm that a script is not needed for, and Quill reads colours from those of pasted text, in a
    /// document to which this policy applies. Trusted types are not asked for: React writes the
    /// library's styles, and Quill reads pasted text, through the sinks which these guard, and a policy
    /// that lets all of it pass would guard nothing.
    pub(super) fn page(&self) -> (String, HeaderValue) {
        let nonce = entropy::token::<16>();
        let mut images = String::new();
        for ImageSource(source) in &self.images {
            images.push(' ');
            images.push_str(source);
        }
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
             style-src-attr 'unsafe-inline'; img-src 'self' data: blob:{images}; \
             font-src 'self'; connect-src 'self'; manifest-src 'self'; object-src 'none'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::try_from(policy);
        (nonce, policy.unwrap_or(HeaderValue::from_static(NO_PAGE)))
    }
}

/// Completes the headers of an answer; what it has already stays.
pub(super) async fn complete(remote: Remote, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        default(headers, name, value);
    }
    default(headers, header::CONTENT_SECURITY_POLICY, NO_PAGE);
    if is_api {
        // What can be asked for again by its tag may be kept by its reader, the rest by nobody.
        let cache = if headers.contains_key(header::ETAG) {
            "private, no-cache"
        } else {
            "no-store"
        };
        default(headers, header::CACHE_CONTROL, cache);
    }
    if remote.is_https {
        default(headers, header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    response
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert_with(|| HeaderValue::from_static(value));
}
