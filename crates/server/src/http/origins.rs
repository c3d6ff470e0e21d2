//! Which pages may use the server from a browser: its own, and those of the origins that the operator
//! allows.
//!
//! A browser says in `Origin` which page asks. It lets any page open a WebSocket to anywhere, so the
//! server looks at that itself; the answers to requests it shows to a page from elsewhere only where
//! the server says so (CORS). Clients that are no browsers say nothing, or what they like: this keeps
//! out pages, and nobody else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{ApiError, Remote};

/// How long a browser may keep what a preflight said; none keeps it for longer.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 3_600);

/// An origin as browsers write it (`https://docs.example.com`, with a port that is not the scheme's
/// own), or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Origin(String);

/// What an operator wrote is no origin.
#[derive(Clone, Debug, thiserror::Error)]
#[error("an origin is * or like https://docs.example.com:8443, with nothing behind it: {0}")]
pub(crate) struct NoOrigin(String);

impl TryFrom<String> for Origin {
    type Error = NoOrigin;

    fn try_from(text: String) -> Result<Self, NoOrigin> {
        if text == "*" {
            return Ok(Self(text));
        }
        let (scheme, host, port) = parts(&text).ok_or_else(|| NoOrigin(text.clone()))?;
        Ok(Self(match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }))
    }
}

impl From<Origin> for String {
    fn from(Origin(text): Origin) -> Self {
        text
    }
}

/// Scheme and host in small letters, and a port that is not the scheme's own.
fn parts(origin: &str) -> Option<(String, String, Option<u16>)> {
    let uri: Uri = origin.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    // Nothing else belongs there; a path that is not said reads as `/`.
    if uri.path() != "/" || origin.ends_with('/') || authority.as_str().contains('@') {
        return None;
    }
    let port = authority
        .port_u16()
        .filter(|port| Some(*port) != own(scheme));
    Some((
        scheme.to_ascii_lowercase(),
        authority.host().to_ascii_lowercase(),
        port,
    ))
}

fn own(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The origins that are allowed beside the server's own.
#[derive(Debug)]
pub(crate) struct Origins(BTreeSet<Origin>);

impl Origins {
    pub(crate) fn new(allowed: &[Origin]) -> Arc<Self> {
        Arc::new(Self(allowed.iter().cloned().collect()))
    }

    fn allows(&self, origin: &str) -> bool {
        let is_listed =
            |origin: String| Origin::try_from(origin).is_ok_and(|it| self.0.contains(&it));
        self.0.contains(&Origin("*".to_owned())) || is_listed(origin.to_owned())
    }

    /// Shows the answers of the API to the pages that are allowed. Tokens are no cookies, so a browser
    /// never adds anything to a request by itself that would have to be allowed too.
    pub(super) fn cors(self: &Arc<Self>) -> CorsLayer {
        let origins = Arc::clone(self);
        let allowed = AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| origins.allows(origin))
        });
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                header::IF_MATCH,
                header::IF_NONE_MATCH,
            ])
            .expose_headers([
                header::ETAG,
                HeaderName::from_static("idempotency-replayed"),
                HeaderName::from_static("ratelimit-limit"),
                HeaderName::from_static("ratelimit-remaining"),
                HeaderName::from_static("ratelimit-reset"),
                header::RETRY_AFTER,
                HeaderName::from_static("x-request-id"),
            ])
            .max_age(PREFLIGHT_AGE)
    }
}

/// Lets no page from elsewhere open a socket.
pub(super) async fn check(
    State(origins): State<Arc<Origins>>,
    remote: Remote,
    request: Request,
    next: Next,
) -> Response {
    let refused = request.headers().get(header::ORIGIN).is_some_and(|origin| {
        let is_fine = |origin| is_own(origin, &remote) || origins.allows(origin);
        !origin.to_str().is_ok_and(is_fine)
    });
    if refused {
        return ApiError::origin_not_allowed().into_response();
    }
    next.run(request).await
}

/// Whether a page is this server's own: same host, same port.
fn is_own(origin: &str, remote: &Remote) -> bool {
    let (Some((scheme, host, port)), Some(called)) = (parts(origin), &remote.host) else {
        return false;
    };
    // What the client calls the server has no scheme, and is meant with the page's.
    parts(&format!("{scheme}://{called}")).is_some_and(|own| own == (scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(origin: &str, host: &str) -> bool {
        let remote = Remote {
            address: [127, 0, 0, 1].into(),
            host: Some(host.to_owned()),
            is_https: false,
        };
        is_own(origin, &remote)
    }

    #[test]
    fn a_page_is_the_servers_own_by_host_and_port() {
        assert!(own("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(own("https://docs.example.com", "docs.example.com"));
        assert!(own("https://docs.example.com", "Docs.Example.com:443"));
        assert!(own("http://[::1]:8080", "[::1]:8080"));
        for origin in [
            "https://docs.example.com:8443",
            "https://docs.example.com.evil.example",
            "https://evil.example",
            "https://docs.example.com@evil.example",
            "null",
            "",
            "docs.example.com",
            "file://",
        ] {
            assert!(!own(origin, "docs.example.com"), "{origin}");
        }
    }

    #[test]
    fn allowed_origins_are_compared_as_browsers_write_them() {
        let allowed = |text: &str| Origin::try_from(text.to_owned());
        let list =
            ["https://a.example:443", "http://B.example:8080"].map(|it| allowed(it).unwrap());
        let origins = Origins::new(&list);
        assert!(origins.allows("https://a.example"));
        assert!(origins.allows("http://b.example:8080"));
        assert!(!origins.allows("http://a.example"));
        assert!(!origins.allows("http://b.example"));
        assert!(!origins.allows("null"));
        assert!(Origins::new(&[allowed("*").unwrap()]).allows("null"));
        for text in [
            "a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://u@a.b",
            "",
        ] {
            assert!(allowed(text).is_err(), "{text}");
        }
    }
}
