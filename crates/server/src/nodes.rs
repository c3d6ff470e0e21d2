//! The other nodes: which there are, and how a request gets to the one that it concerns.
//!
//! Nodes that share a database say in it where they are, every few seconds. Whatever is in one node's
//! memory only, a connection that is an event stream or who is there, is asked of it by HTTP, with the
//! caller's own credential: a node may do for another nothing that the caller may not do.
//!
//! # Invariants
//!
//! **one step**: a request that comes from a node is not passed on to another.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{OriginalUri, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use motet_catalog::{Catalog, CatalogError, Node};
use motet_model::{Clock, NodeId};
use reqwest::{Client, redirect};
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::DatabaseUrl;

/// How often a node says that it is there.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long ago it may have said so last.
const SEEN_MS: u64 = 30_000;

/// How long a node may take that is asked what it knows: the others' answers wait for it.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a request may take that is passed on: longer than a frame may take to arrive.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(40);

/// Largest answer of a node.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request that comes from another node bears it.
const FORWARDED: HeaderName = HeaderName::from_static("motet-forwarded");

/// This node and the others.
pub(crate) struct Nodes {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    id: NodeId,
    /// Whether there can be others.
    shared: bool,
    others: RwLock<Arc<[Node]>>,
    client: Client,
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
            clock,
            id,
            shared,
            others: RwLock::new(Arc::new([])),
            client,
        })
    }

    /// This node's id.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Says that this node is at `url`, and learns of the others, for as long as there is a server.
    pub(crate) async fn run(self: Arc<Self>, url: String) {
        if !self.shared {
            return;
        }
        let this = Node { id: self.id, url };
        let mut times = interval(INTERVAL);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let announced = self.catalog.announce_node(&this).await;
            let looked = match announced {
                Ok(()) => self.look().await,
                error => error,
            };
            if let Err(error) = looked {
                tracing::debug!(%error, "nodes do not hear of each other");
            }
        }
    }

    /// Says that this node is gone.
    pub(crate) async fn leave(&self) {
        if self.shared
            && let Err(error) = self.catalog.forget_node(self.id).await
        {
            tracing::debug!(%error, "the others will miss this node");
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
    ) -> Result<Response, ForwardError> {
        let node = self.find(to).await?;
        let (parts, body) = request.into_parts();
        // A router that is nested in another has cut off what came before.
        let uri = parts.extensions.get::<OriginalUri>();
        let path = uri
            .map_or(&parts.uri, |OriginalUri(uri)| uri)
            .path_and_query()
            .map_or("/", |path_and_query| path_and_query.as_str());
        let forwarded = self
            .client
            .request(parts.method, format!("{}{path}", node.url))
            .headers(passed(&parts.headers))
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

    /// What all other nodes answer to a GET of `path` by somebody with these headers. A node that does
    /// not answer as it should is left out.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, path: &str, headers: &HeaderMap) -> Vec<T> {
        let headers = passed(headers);
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
    pub(crate) async fn delete(&self, path: &str, headers: &HeaderMap) -> bool {
        let headers = passed(headers);
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
}

/// Whether the request comes from another node.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// What another node has to know of a request: who asks, and what the body is.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            passed.insert(name, value.clone());
        }
    }
    passed.insert(FORWARDED, HeaderValue::from_static("1"));
    passed
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

/// Where other nodes reach a server that listens at `listen`: where that is everywhere, at the address
/// from which it reaches the database.
///
/// # Errors
///
/// The system does not know the way there.
pub(crate) fn reachable(listen: SocketAddr, database: &DatabaseUrl) -> io::Result<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return Ok(listen);
    }
    let any: IpAddr = match listen {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: it is only worked out from where it would be.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(database.host())?;
    Ok(SocketAddr::new(socket.local_addr()?.ip(), listen.port()))
}
