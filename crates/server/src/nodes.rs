//! The other nodes: which there are, and how a request gets to the one that it concerns.
//!
//! Nodes that share a database say in it where they are, every few seconds. Whatever is in one node's
//! memory only, a connection that is an event stream or who is there, is asked of it by HTTP, with the
//! caller's own credential: a node may do for another nothing that the caller may not do. The caller's address
//! comes with it, and counts there as here.
//!
//! # Invariants
//!
//! **one step**: a request that comes from a node is not passed on to another, nor is one that says so and does
//! not.
//!
//! **vouched**: of an address that comes with a request, nothing is believed that no node has signed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{OriginalUri, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use motet_catalog::{Catalog, CatalogError, Node};
use motet_model::{Clock, NodeId};
use reqwest::{Client, redirect};
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{auth::Tokens, config::DatabaseUrl, http::Remote};

/// How often a node says that it is there.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long ago it may have said so last.
const SEEN_MS: u64 = 30_000;

/// How long it may take to say that a node is gone.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a node may take that is asked what it knows: the others' answers wait for it.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a request may take that is passed on: longer than a frame may take to arrive.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(40);

/// Largest answer of a node.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request that comes from another node bears it: a voucher for the client's address.
const FORWARDED: HeaderName = HeaderName::from_static("motet-forwarded");

/// This node and the others.
pub(crate) struct Nodes {
    catalog: Catalog,
    tokens: Arc<Tokens>,
    clock: Arc<dyn Clock>,
    id: NodeId,
    /// Whether there can be others.
    shared: bool,
    others: RwLock<Arc<[Node]>>,
    client: Client,
    over: CancellationToken,
    announcing: TaskTracker,
}

/// Why a request did not get to its node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// There is no such node, or not any more.
    #[error("there is no node {0}")]
    Gone(NodeId),
    /// It does not answer.
    #[error(transparent)]
    Failed(#[from] reqwest::Error),
    /// Nodes cannot be looked up.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Nodes {
    /// A node that is alone, unless its database is `shared`.
    ///
    /// # Errors
    ///
    /// The system has no certificates of authorities.
    pub(crate) fn new(
        id: NodeId,
        catalog: Catalog,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        shared: bool,
    ) -> Result<Self, reqwest::Error> {
        // Whoever was first has installed the same.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("motet/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(ASK_TIMEOUT)
            .build()?;
        Ok(Self {
            catalog,
            tokens,
            clock,
            id,
            shared,
            others: RwLock::new(Arc::new([])),
            client,
            over: CancellationToken::new(),
            announcing: TaskTracker::new(),
        })
    }

    /// This node's id.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Says that this node is at `url`, and learns of the others, until it [leaves](Self::leave).
    pub(crate) fn announce(self: &Arc<Self>, url: String) {
        if self.shared {
            self.announcing.spawn(Arc::clone(self).run(url));
        }
    }

    async fn run(self: Arc<Self>, url: String) {
        let this = Node { id: self.id, url };
        let mut times = interval(INTERVAL);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.over.run_until_cancelled(times.tick()).await.is_some() {
            let announced = self.catalog.announce_node(&this).await;
            let looked = match announced {
                Ok(()) => self.look().await,
                error => error,
            };
            if let Err(error) = looked {
                tracing::debug!(%error, "nodes do not hear of each other");
            }
        }
        if let Err(error) = self.catalog.forget_node(self.id).await {
            tracing::debug!(%error, "the others will miss this node");
        }
    }

    /// Says that this node is gone, and does not say otherwise any more.
    pub(crate) async fn leave(&self) {
        self.over.cancel();
        self.announcing.close();
        if timeout(LEAVE_TIMEOUT, self.announcing.wait())
            .await
            .is_err()
        {
            tracing::debug!("the others will miss this node");
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let mut nodes = self.catalog.nodes(SEEN_MS).await?;
        nodes.retain(|node| node.id != self.id);
        *self.others.write().unwrap_or_else(PoisonError::into_inner) = nodes.into();
        Ok(())
    }

    fn others(&self) -> Arc<[Node]> {
        Arc::clone(&self.others.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn find(&self, id: NodeId) -> Result<Node, ForwardError> {
        let known = |nodes: &[Node]| nodes.iter().find(|node| node.id == id).cloned();
        if let Some(node) = known(&self.others()) {
            return Ok(node);
        }
        // One that has just started.
        self.look().await?;
        known(&self.others()).ok_or(ForwardError::Gone(id))
    }

    /// Passes a request on to the node that it concerns, and its answer back.
    ///
    /// # Errors
    ///
    /// As [`ForwardError`] says.
    pub(crate) async fn forward(
        &self,
        to: NodeId,
        request: Request,
        remote: &Remote,
    ) -> Result<Response, ForwardError> {
        let node = self.find(to).await?;
        let (parts, body) = request.into_parts();
        // A router that is nested in another has cut off what came before.
        let uri = parts.extensions.get::<OriginalUri>();
        let path = uri
            .map_or(&parts.uri, |OriginalUri(uri)| uri)
            .path_and_query()
            .map_or("/", |path_and_query| path_and_query.as_str());
        let mut headers = self.passed(&parts.headers, remote);
        // As much space is made for it there as it says, or for the largest.
        if let Some(size_bytes) = body.size_hint().exact() {
            headers.insert(header::CONTENT_LENGTH, size_bytes.into());
        }
        let forwarded = self
            .client
            .request(parts.method, format!("{}{path}", node.url))
            .headers(headers)
            .timeout(FORWARD_TIMEOUT)
            .body(reqwest::Body::wrap_stream(body.into_data_stream()));
        let answer = forwarded.send().await?;
        let status = answer.status();
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let mut response = (status, Body::from(read(answer).await?)).into_response();
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// What all other nodes answer to a GET of `path` by somebody there with these headers. A node that
    /// does not answer as it should is left out.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &HeaderMap,
        remote: &Remote,
    ) -> Vec<T> {
        let headers = self.passed(headers, remote);
        let others = self.others();
        let mut asked = Vec::with_capacity(others.len());
        for node in others.iter() {
            asked.push(self.ask_one(node, path, &headers));
        }
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask_one<T: DeserializeOwned>(
        &self,
        node: &Node,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<T> {
        let asking = async {
            let asked = self
                .client
                .get(format!("{}{path}", node.url))
                .headers(headers.clone())
                .timeout(ASK_TIMEOUT);
            let answer = asked.send().await?.error_for_status()?;
            read(answer).await
        };
        match asking.await {
            Ok(body) => serde_json::from_slice(&body).ok(),
            Err(error) => {
                tracing::debug!(node = %node.id, %error, "a node does not say what it knows");
                None
            }
        }
    }

    /// Asks all other nodes to delete what is at `path`; whether one of them had it.
    pub(crate) async fn delete(&self, path: &str, headers: &HeaderMap, remote: &Remote) -> bool {
        let headers = self.passed(headers, remote);
        for node in self.others().iter() {
            let asked = self
                .client
                .delete(format!("{}{path}", node.url))
                .headers(headers.clone())
                .timeout(ASK_TIMEOUT);
            if asked
                .send()
                .await
                .is_ok_and(|answer| answer.status() == StatusCode::NO_CONTENT)
            {
                return true;
            }
        }
        false
    }

    /// The address of the client for which another node asks, if one does.
    pub(crate) fn client_of(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let voucher = headers.get(FORWARDED).filter(|_| self.shared)?;
        let now_ms = self.clock.now_ms();
        self.tokens.vouched(voucher.to_str().ok()?, now_ms)
    }

    /// What another node has to know of a request: who asks, from where, and what the body is.
    fn passed(&self, headers: &HeaderMap, remote: &Remote) -> HeaderMap {
        let mut passed = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
            if let Some(value) = headers.get(&name) {
                passed.insert(name, value.clone());
            }
        }
        let now_ms = self.clock.now_ms();
        let voucher = self.tokens.vouch(self.id, remote.address, now_ms);
        let voucher = HeaderValue::try_from(voucher).expect("a token is visible ASCII");
        passed.insert(FORWARDED, voucher);
        passed
    }
}

/// Whether the request comes from another node.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            tracing::warn!("the answer of a node is cut off");
            break;
        }
    }
    Ok(body.into())
}

/// Why it is not known where other nodes reach this one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// There would be nodes elsewhere, and they cannot get there.
    #[error(
        "it listens at {0}, where only this machine gets, and the database is on another: say --listen \
         with an address of the network, or --advertise with where other nodes reach this one"
    )]
    Hidden(SocketAddr),
    /// The system does not know the way to the database.
    #[error("it is not known where others reach this node: say --advertise")]
    NoWay(#[from] io::Error),
}

/// Where other nodes reach a server that listens at `listen`: where that is everywhere, at the address
/// from which it reaches the database.
///
/// # Errors
///
/// As [`Unreachable`] says.
pub(crate) fn reachable(
    listen: SocketAddr,
    database: &DatabaseUrl,
) -> Result<SocketAddr, Unreachable> {
    let here = listen.ip().to_canonical();
    if !here.is_unspecified() && !here.is_loopback() {
        return Ok(listen);
    }
    let (from, to) = way(&database.host(), here)?;
    reachable_from(listen, from, to)
}

/// The same of a server that listens everywhere or for its machine only, and reaches the database at `to`
/// from `from`.
fn reachable_from(listen: SocketAddr, from: IpAddr, to: IpAddr) -> Result<SocketAddr, Unreachable> {
    if listen.ip().to_canonical().is_unspecified() {
        Ok(SocketAddr::new(from, listen.port()))
    } else if to.is_loopback() || to == from {
        // All on one machine.
        Ok(listen)
    } else {
        Err(Unreachable::Hidden(listen))
    }
}

/// From which address a host is reached, and at which; the first as its name has them. Who listens everywhere
/// in IPv4 has no other address.
fn way(host: &(String, u16), here: IpAddr) -> io::Result<(IpAddr, IpAddr)> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for to in (host.0.as_str(), host.1).to_socket_addrs()? {
        if here == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && to.is_ipv6() {
            continue;
        }
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Nothing is sent: it is only worked out from where it would be.
        let socket = UdpSocket::bind((any, 0));
        match socket.and_then(|socket| socket.connect(to).and_then(|()| socket.local_addr())) {
            Ok(from) => return Ok((from.ip(), to.ip())),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use motet_testing::Schema;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_node_that_others_cannot_reach_is_not_advertised() {
        let advertised = |listen: &str, from: &str, to: &str| {
            let listen = listen.parse().unwrap();
            let reachable = reachable_from(listen, from.parse().unwrap(), to.parse().unwrap());
            reachable.ok().map(|address| address.to_string())
        };
        for (listen, from, to, expected) in [
            ("0.0.0.0:80", "10.0.0.5", "10.0.0.9", Some("10.0.0.5:80")),
            ("[::]:80", "fd00::5", "fd00::9", Some("[fd00::5]:80")),
            ("0.0.0.0:80", "127.0.0.1", "127.0.0.1", Some("127.0.0.1:80")),
            // All on one machine, whichever of its addresses the database is at.
            (
                "127.0.0.1:80",
                "127.0.0.1",
                "127.0.0.1",
                Some("127.0.0.1:80"),
            ),
            ("[::1]:80", "127.0.0.1", "127.0.0.1", Some("[::1]:80")),
            ("127.0.0.1:80", "10.0.0.5", "10.0.0.5", Some("127.0.0.1:80")),
            ("127.0.0.1:80", "10.0.0.5", "10.0.0.9", None),
            ("[::1]:80", "fd00::5", "fd00::9", None),
            ("[::ffff:127.0.0.1]:80", "10.0.0.5", "10.0.0.9", None),
        ] {
            let advertised = advertised(listen, from, to);
            assert_eq!(advertised.as_deref(), expected, "{listen} {to}");
        }
        let database = "postgres://a@127.0.0.1/motet".parse().unwrap();
        let listen = "127.0.0.1:80".parse().unwrap();
        assert_eq!(reachable(listen, &database).unwrap(), listen);
        let listen = "192.0.2.1:80".parse().unwrap();
        assert_eq!(reachable(listen, &database).unwrap(), listen);
    }

    #[tokio::test]
    async fn a_node_that_leaves_does_not_come_back() {
        let schema = Schema::new().await;
        let catalog = Catalog::open_postgres(&schema.url()).await.unwrap();
        let tokens = Tokens::open(&catalog, "nowhere".as_ref()).await.unwrap();
        let id = NodeId::from_bytes([1; 16]);
        let (tokens, clock) = (Arc::new(tokens), Arc::new(SystemClock));
        let nodes = Nodes::new(id, catalog.clone(), tokens, clock, true).unwrap();
        let nodes = Arc::new(nodes);
        nodes.announce("http://10.0.0.5:8080".to_owned());
        let known = async {
            while catalog.nodes(SEEN_MS).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), known).await.unwrap();
        nodes.leave().await;
        assert!(nodes.announcing.is_empty(), "nobody says so any more");
        assert_eq!(catalog.nodes(SEEN_MS).await.unwrap(), []);
    }
}
