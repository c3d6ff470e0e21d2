//! Where a request comes from: the peer, or whom proxies that are trusted name, or another node does.
//!
//! Of what a request says of itself only that counts which a trusted proxy wrote: the list of addresses
//! is read from its end, and the first that is no trusted proxy's is the client's.
//!
//! Which of the two ways proxies speak is a setting. A proxy that speaks one of them passes the other on
//! as the client sent it, so it cannot be both at once.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::App;

/// Bits of an IPv6 address that name a network; the rest any one client may choose as it likes.
const NETWORK_BITS: u32 = 64;

/// How proxies say for whom they speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProxyHeaders {
    /// `X-Forwarded-For`, `-Host` and `-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// A network of proxies: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Network(IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network
            .map(Self)
            .map_err(|_| format!("neither a network like 10.0.0.0/8 nor an address: {text}"))
    }
}

impl From<Network> for String {
    fn from(Network(net): Network) -> Self {
        net.to_string()
    }
}

/// Whom to believe about where a request comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<Network>,
    pub(crate) headers: ProxyHeaders,
}

/// The other end of a request, as far as can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// By what host and port the client calls this server.
    pub(super) host: Option<String>,
    /// Whether the client speaks TLS, with a trusted proxy.
    pub(super) is_https: bool,
}

impl Remote {
    /// By what the client's browser calls this server: scheme, host and port.
    pub(super) fn origin(&self) -> Option<String> {
        let scheme = if self.is_https { "https" } else { "http" };
        let host = self.host.as_deref()?;
        Some(format!("{scheme}://{host}"))
    }

    /// What counts as one client in limits.
    pub(super) fn network(&self) -> IpAddr {
        network_of(self.address)
    }
}

/// The network of an address, of which one client may have all.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl<S: Sync> FromRequestParts<S> for Remote {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let remote = parts.extensions.get().cloned();
        // Every request passes by `find`; without it all would count as one client.
        Ok(remote.unwrap_or(Self {
            address: Ipv4Addr::UNSPECIFIED.into(),
            host: None,
            is_https: false,
        }))
    }
}

/// Finds out where a request comes from, for all that follow.
pub(super) async fn find(
    State((proxies, app)): State<(Arc<Proxies>, Arc<App>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut remote = proxies.remote(peer.ip(), request.headers());
    if let Some(client) = app.nodes.client_of(request.headers()) {
        remote.address = client;
    }
    request.extensions_mut().insert(remote);
    next.run(request).await
}

impl Proxies {
    fn remote(&self, peer: IpAddr, headers: &HeaderMap) -> Remote {
        let mut remote = Remote {
            address: peer.to_canonical(),
            host: text(headers, header::HOST.as_str()).map(ToOwned::to_owned),
            is_https: false,
        };
        if !self.trusts(remote.address) {
            return remote;
        }
        let (addresses, host, proto) = match self.headers {
            ProxyHeaders::XForwarded => x_forwarded(headers),
            ProxyHeaders::Forwarded => forwarded(headers),
        };
        for said in addresses.iter().rev() {
            // Before what cannot be read nothing can be believed.
            let Some(address) = said.as_deref().and_then(parse) else {
                break;
            };
            remote.address = address;
            if !self.trusts(address) {
                break;
            }
        }
        remote.host = host.or(remote.host);
        remote.is_https = proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
        remote
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|Network(net)| net.contains(&address))
    }
}

/// The addresses in order, the host and the scheme that the client used.
type Said = (Vec<Option<String>>, Option<String>, Option<String>);

fn x_forwarded(headers: &HeaderMap) -> Said {
    let addresses = list(headers, "x-forwarded-for").map(Some).collect();
    let first = |name| list(headers, name).next();
    (
        addresses,
        first("x-forwarded-host"),
        first("x-forwarded-proto"),
    )
}

fn forwarded(headers: &HeaderMap) -> Said {
    let elements: Vec<_> = list(headers, "forwarded").collect();
    let parameter = |element: &String, wanted: &str| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = value.trim().trim_matches('"');
            (name.trim().eq_ignore_ascii_case(wanted)).then(|| value.to_owned())
        })
    };
    let first = |name| elements.iter().find_map(|element| parameter(element, name));
    (
        elements.iter().map(|it| parameter(it, "for")).collect(),
        first("host"),
        first("proto"),
    )
}

/// The elements of a header that may come several times, in order.
fn list<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = String> + 'a {
    // One that is no text is an element, too: what stands before it must not move up.
    let lines = headers.get_all(name).iter();
    lines
        .flat_map(|line| line.to_str().unwrap_or("?").split(','))
        .map(|element| element.trim().to_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An address with or without a port; with one, IPv6 has brackets.
fn parse(said: &str) -> Option<IpAddr> {
    let address = said
        .parse::<IpAddr>()
        .or_else(|_| said.parse::<SocketAddr>().map(|it| it.ip()))
        .ok()
        .or_else(|| {
            let inner = said.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().ok()
        });
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn remote(headers: ProxyHeaders, peer: &str, lines: &[(&str, &str)]) -> Remote {
        let trusted =
            ["10.0.0.0/8", "fd00::1"].map(|net| Network::try_from(net.to_owned()).unwrap());
        let proxies = Proxies {
            trusted: trusted.to_vec(),
            headers,
        };
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        proxies.remote(peer.parse().unwrap(), &map)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let cases = [
            ("192.0.2.1", vec![], "192.0.2.1"),
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            // What the client made up stands before what the proxy knows.
            (
                "10.0.0.1",
                vec!["1.1.1.1, 198.51.100.7, 10.2.3.4"],
                "198.51.100.7",
            ),
            ("10.0.0.1", vec!["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", vec!["1.1.1.1, nonsense, 10.2.3.4"], "10.2.3.4"),
            ("fd00::1", vec!["[2001:db8::5]:4711"], "2001:db8::5"),
        ];
        for (peer, lines, expected) in cases {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            let remote = remote(ProxyHeaders::XForwarded, peer, &lines);
            assert_eq!(remote.address.to_string(), expected, "{peer} {lines:?}");
        }
        let other_way = [("forwarded", "for=1.1.1.1")];
        let remote = remote(ProxyHeaders::XForwarded, "10.0.0.1", &other_way);
        assert_eq!(remote.address.to_string(), "10.0.0.1");
    }

    #[test]
    fn forwarded_says_the_same() {
        let line =
            r#"for=1.1.1.1, For="[2001:db8::5]:80";proto=https;host=a.example, for=10.1.1.1"#;
        let lines = [
            ("forwarded", line),
            ("x-forwarded-for", "9.9.9.9"),
            ("host", "inner"),
        ];
        let outside = remote(ProxyHeaders::Forwarded, "10.0.0.1", &lines);
        let expected = Remote {
            address: "2001:db8::5".parse().unwrap(),
            host: Some("a.example".to_owned()),
            is_https: true,
        };
        assert_eq!(outside, expected);
        let unknown = [("forwarded", "for=1.1.1.1, for=unknown")];
        let remote = remote(ProxyHeaders::Forwarded, "10.0.0.1", &unknown);
        assert_eq!(remote.address.to_string(), "10.0.0.1");
    }

    #[test]
    fn ipv6_counts_by_network() {
        let network = |peer| remote(ProxyHeaders::XForwarded, peer, &[]).network();
        assert_eq!(network("2001:db8::1:2"), network("2001:db8::ffff:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
