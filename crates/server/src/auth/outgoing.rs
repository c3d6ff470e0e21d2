//! Requests that the server itself makes, to the issuers of tokens and the sign-in providers of its settings.
//!
//! The operator names an address in the settings; what is found there names others. Those are strangers'
//! words, and must not lead into the server's own network (server-side request forgery).
//!
//! # Invariants
//!
//! **outside**: a request goes to the origin (RFC 6454) that the operator configured, or by https to a global
//! address; for a name, the addresses to which it resolves are looked at where the connection is made.
//!
//! **bounded**: no redirect is followed, a body is at most [`BODY_BYTES_MAX`], a request with its answer takes
//! at most [`TIMEOUT`].

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use axum::http::{Request, Response};
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

/// Largest body of an answer.
const BODY_BYTES_MAX: usize = 1 << 20;
/// For a request and its whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// For origins from the settings.
    configured: Client,
    /// For all others: only to global addresses.
    named: Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// The address may not be asked.
    #[error("{url} is not asked: {why}")]
    Refused {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The answer is too large.
    #[error("the answer of {0} is too large")]
    TooLarge(Url),
    /// No answer, or half of one.
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
}

impl Outgoing {
    /// Ready to ask.
    ///
    /// # Errors
    ///
    /// The system has no certificates of authorities.
    pub fn new() -> Result<Self, OutgoingError> {
        Self::with_timeout(TIMEOUT)
    }

    pub(super) fn with_timeout(timeout: Duration) -> Result<Self, OutgoingError> {
        // Whoever was first has installed the same.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            Client::builder()
                .user_agent(concat!("motet/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .timeout(timeout)
        };
        Ok(Self {
            configured: client().build()?,
            named: client().dns_resolver(GlobalOnly).https_only(true).build()?,
        })
    }

    /// Sends the request, with `configured` from the settings. The answer may have any status.
    ///
    /// # Errors
    ///
    /// `Refused`, `TooLarge`, `Failed`.
    pub async fn send(
        &self,
        request: Request<Vec<u8>>,
        configured: &Url,
    ) -> Result<Response<Vec<u8>>, OutgoingError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let url = Url::parse(&url).map_err(|_| OutgoingError::Refused {
            url,
            why: "it is no URL",
        })?;
        let sent = self
            .client(&url, configured)?
            .request(parts.method, url.clone())
            .headers(parts.headers)
            .body(body)
            .send();
        let mut answer = sent.await.map_err(reqwest::Error::without_url)?;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        let body = response.body_mut();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(OutgoingError::TooLarge(url));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(response)
    }

    /// Whether the address may be asked, as far as can be told without resolving its name.
    ///
    /// # Errors
    ///
    /// `Refused`.
    pub(super) fn check(&self, url: &Url, configured: &Url) -> Result<(), OutgoingError> {
        self.client(url, configured).map(|_| ())
    }

    fn client(&self, url: &Url, configured: &Url) -> Result<&Client, OutgoingError> {
        if url.origin() == configured.origin() {
            return Ok(&self.configured);
        }
        let refused = |why| {
            let url = url.to_string();
            Err(OutgoingError::Refused { url, why })
        };
        // The resolver is not asked about addresses.
        let global = match url.host() {
            None => return refused("it has no host"),
            Some(url::Host::Domain(_)) => true,
            Some(url::Host::Ipv4(address)) => is_global(address.into()),
            Some(url::Host::Ipv6(address)) => is_global(address.into()),
        };
        match url.scheme() {
            "https" if global => Ok(&self.named),
            "https" => refused("its address is not a public one"),
            _ => refused("only https is used outside of the origin of the settings"),
        }
    }
}

/// Whether an address of the settings may be asked: https, or http on this machine.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check_configured(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(format!(
            "{text:?} must be https (http only for localhost, 127.0.0.1 and [::1])"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not hold a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("{text:?} must not have a fragment"));
    }
    Ok(url)
}

/// Resolves names, and keeps the global addresses.
struct GlobalOnly;

impl Resolve for GlobalOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let global: Vec<_> = addresses
                .filter(|address| is_global(address.ip()))
                .collect();
            if global.is_empty() {
                let why = format!("{} has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
            }
            Ok(Box::new(global.into_iter()) as Addrs)
        })
    }
}

/// Whether the address is one of the public internet, as IANA's registries of special addresses say.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // "This network", private networks, loopback.
        (0 | 10 | 127, _, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Carriers' own addresses, link-local ones (metadata services), protocol assignments.
            | (100, 64..=127, _)
            | (169, 254, _)
            | (192, 0, 0)
            // For documents, 6to4 relays, benchmarks.
            | (192, 0, 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113)
            | (198, 18..=19, _)
            // Multicast, reserved, broadcast.
            | (224.., _, _)
    )
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_global_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // IPv4 in another form: mapped, translated (NAT64), 6to4.
        (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => v4(g, h),
        (0x64, 0xff9b) if [c, d, e, f] == [0, 0, 0, 0] => v4(g, h),
        (0x2002, _) => v4(b, c),
        // Protocol assignments, among them Teredo, and what is for documents.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // Everything that has been given out.
        _ => (0x2000..=0x3fff).contains(&a),
    }
}

#[cfg(test)]
mod tests;
