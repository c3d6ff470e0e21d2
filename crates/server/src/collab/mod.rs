//! Live documents: rooms, sessions and connections, over WebSocket or what stands in for one.
//!
//! ```text
//! client ── connection (reader) ── commands ──▶ room ── append ──▶ log
//! client ◀─ connection (writer) ◀─ outbox ◀──── room ◀─ head ─────  log
//! ```
//!
//! `registry.rs` knows which documents are open; `room.rs` is the task of one; `outbox.rs` bounds
//! what waits for a session; `live.rs` lets sessions have the rights that they have now, past what waits
//! for their rooms (`verdicts.rs`); `session/` turns events into messages; `connection/` is a client's connection; `edit.rs` is one
//! edit without any.
//!
//! # Not here
//!
//! What a command does (`motet_document`), what a message looks like (`motet_protocol`).

mod connection;
mod edit;
mod heads;
mod hints;
mod indexing;
mod live;
mod load;
mod outbox;
mod pace;
mod places;
mod registry;
mod room;
mod session;
mod signals;
mod verdicts;
mod visit;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use bytes::Bytes;
use futures_util::Stream;
use motet_bus::{AnyBus, Bus};
use motet_catalog::{Actor, Catalog, CatalogError, Role};
use motet_document::{Command, Member, Settings, Start};
use motet_log::{AnyLog, DocumentLog, LogError};
use motet_model::{Change, ClientId, Clock, DocumentId, Revision, SessionId, limits};
use motet_protocol::ErrorCode;
use serde::Deserialize;
use tokio::{
    sync::{Notify, Semaphore, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use utoipa::IntoParams;

pub(crate) use self::connection::{Refusal, Uplink, node_of};
pub(crate) use self::room::{RoomError, read};
pub(crate) use self::session::code;
pub use self::{
    connection::Rates,
    edit::{EditError, Edited, Overlapping},
    live::{Affected, LiveSession},
};
use self::{
    connection::{Dialect, EventStream, Opening, Upgrade, Uplinks},
    live::{Live, access},
    outbox::{Feed, Outbox},
    places::Places,
    registry::Registry,
    room::{Request, Shared, Space},
    session::{Session, Speech},
    visit::{Stage, Visit},
};
use crate::{
    audit::Auditor,
    auth::{Action, AuthenticationError, Authority, AuthorizationError, Principal},
    entropy,
    http::Remote,
    jobs::{Job, Jobs},
};

/// How long connections get to take leave.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a room may take to show its document.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is looked for what other nodes did not tell search.
const INDEX_INTERVAL: Duration = Duration::from_secs(3_600);

/// How many submissions are reconciled at a time.
const RECONCILING_MAX: usize = 2;

/// Settings of the live part.
#[derive(Clone, Debug)]
pub struct CollabSettings {
    /// Largest message that a client may send.
    pub message_bytes_max: usize,
    /// Largest message that a client which speaks identities may send: it sends all that it did offline in
    /// one.
    pub update_bytes_max: usize,
    /// How fast each connection may be.
    pub rates: Rates,
    /// Most sessions of one user; 0 for no limit.
    pub sessions_per_user_max: usize,
    /// Bounds of each document.
    pub document: Settings,
}

impl Default for CollabSettings {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            update_bytes_max: limits::UPDATE_BYTES_MAX,
            rates: Rates::default(),
            sessions_per_user_max: 0,
            document: Settings::default(),
        }
    }
}

/// A document at its head.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The head.
    pub revision: Revision,
    /// The content as JSON: `{"ops":[…]}`.
    pub content: Bytes,
}

/// A part of a document's log.
#[derive(Clone, Debug)]
pub struct History {
    /// Consecutive changes.
    pub changes: Vec<Change>,
    /// Whether there are later ones.
    pub more: bool,
}

/// Why a document could not be read or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollabError {
    /// The server drains, or the document's log failed: retry later.
    #[error("the document is not available now")]
    Unavailable,
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The live documents of this node, and the connections to them.
pub struct Collab {
    registry: Arc<Registry<Arc<AnyLog>>>,
    authority: Authority,
    auditor: Auditor,
    settings: CollabSettings,
    live: Arc<Live>,
    places: Arc<Places>,
    /// For large messages that wait for rooms, in bytes.
    space: Arc<Semaphore>,
    draining: watch::Sender<bool>,
    connections: TaskTracker,
    uplinks: Arc<Uplinks>,
}

impl Collab {
    /// No document is open yet.
    #[must_use]
    pub fn new(
        bus: AnyBus,
        log: Arc<AnyLog>,
        catalog: Catalog,
        authority: Authority,
        auditor: Auditor,
        clock: Arc<dyn Clock>,
        settings: CollabSettings,
    ) -> Arc<Self> {
        let load = Arc::default();
        let shared = Shared {
            log,
            catalog,
            clock,
            bus: Arc::new(bus),
            settings: settings.document.clone(),
            tally: Arc::default(),
            load: Arc::clone(&load),
            reconciling: Arc::new(Semaphore::new(RECONCILING_MAX)),
            indexing: Arc::new(Semaphore::new(1)),
        };
        let node = shared.bus.node();
        let largest = settings.message_bytes_max.max(settings.update_bytes_max);
        let space_bytes = limits::WAITING_BYTES_MAX.max(largest);
        let collab = Arc::new(Self {
            registry: Registry::new(shared),
            authority,
            auditor,
            places: Places::new(settings.sessions_per_user_max),
            settings,
            live: Arc::default(),
            space: Arc::new(Semaphore::new(space_bytes)),
            draining: watch::Sender::new(false),
            connections: TaskTracker::new(),
            uplinks: Arc::new(Uplinks::new(node)),
        });
        tokio::spawn(Arc::clone(&collab).watch_ends());
        tokio::spawn(load::watch(Arc::downgrade(&load)));
        tokio::spawn(heads::watch(Arc::downgrade(&collab.registry)));
        collab
    }

    /// The WebSocket endpoints.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/collab", get(connect))
            .route("/collab/{document}", get(connect_document))
            .route("/yjs/{document}", get(connect_yjs))
            .route("/hocuspocus", get(connect_hocuspocus))
            .with_state(Arc::clone(self))
    }

    /// Opens a connection that is an event stream; `None` while draining.
    pub(crate) async fn event_stream(
        self: &Arc<Self>,
        document: &str,
        parameters: &Parameters,
        headers: &HeaderMap,
        remote: &Remote,
    ) -> Option<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
        if self.registry.is_draining() {
            return None;
        }
        let mut opening = Opening::new(document, parameters, headers, remote);
        let principal = match opening.token.as_deref() {
            Some(token) => match self.authority.authenticate(token).await {
                Ok(principal) => Some(principal),
                Err(error) => {
                    // It may be answered the next time, but this connection has no way in for frames.
                    if refused(&error) == ErrorCode::Unavailable && opening.refused.is_none() {
                        let message = "it cannot be found out who this is".to_owned();
                        opening.refused = Some((ErrorCode::Unavailable, message));
                    }
                    None
                }
            },
            None => None,
        };
        if opening.token.is_none() && opening.refused.is_none() {
            let message = "a token is needed to open an event stream".to_owned();
            opening.refused = Some((ErrorCode::Unauthenticated, message));
        }
        let EventStream {
            halves,
            events,
            uplink,
        } = connection::event_stream(
            &self.uplinks,
            principal.as_ref(),
            opening.document,
            self.settings.message_bytes_max,
        );
        opening.uplink = uplink;
        let running = connection::run(halves, Arc::clone(self), Dialect::Ot, opening);
        self.connections.spawn(running);
        Some(Sse::new(events))
    }

    /// Where the requests of an event stream's client arrive: of one on that document that was shown such a
    /// credential.
    pub(crate) fn uplink(
        &self,
        connection: &str,
        document: DocumentId,
        principal: &Principal,
    ) -> Option<Arc<Uplink>> {
        self.uplinks.get(connection, document, principal)
    }

    /// The document at its head, which is at least this revision of its log, whichever node has appended that;
    /// opens it if it is not open.
    ///
    /// # Errors
    ///
    /// `Unavailable`: retry later.
    pub async fn snapshot(&self, id: DocumentId, least: Revision) -> Result<Snapshot, CollabError> {
        let room = self.registry.open(id).ok_or(CollabError::Unavailable)?;
        let asking = async {
            let (reply, answer) = oneshot::channel();
            room.send(Request::Snapshot(least, reply)).await.ok()?;
            answer.await.ok()
        };
        // A room whose log is away waits for it longer than anybody who only wants to read.
        let answered = timeout(SNAPSHOT_TIMEOUT, asking).await;
        let snapshot = answered.ok().flatten().ok_or(CollabError::Unavailable)?;
        let content = Bytes::from(snapshot.content.to_delta().to_json());
        Ok(Snapshot {
            revision: snapshot.revision,
            content,
        })
    }

    /// Tells search what it missed when the server stopped; and from time to time what other nodes did not
    /// tell, when they died.
    pub(crate) async fn index_missed(self: Arc<Self>, jobs: Jobs) {
        loop {
            self.index_missed_once(&jobs).await;
            if !self.registry.shared().settings.shared {
                return;
            }
            sleep(INDEX_INTERVAL).await;
        }
    }

    async fn index_missed_once(&self, jobs: &Jobs) {
        let claim = match jobs.claim(Job::Indexing).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "search was not told what it missed");
                return;
            }
        };
        let count = indexing::sweep(self.registry.shared()).await;
        if count > 0 {
            tracing::info!(
                count,
                "texts of documents were indexed that search did not know"
            );
        }
        drop(claim);
    }

    /// The number of changes of a document, whether it is open or not.
    ///
    /// # Errors
    ///
    /// `Log`: retry later.
    pub async fn head(&self, id: DocumentId) -> Result<Revision, CollabError> {
        Ok(self.registry.shared().log.head(id).await?)
    }

    /// At most so many changes after a revision, fewer if they are large.
    ///
    /// # Errors
    ///
    /// `Log`: retry later.
    pub async fn changes(
        &self,
        id: DocumentId,
        after: Revision,
        count_max: usize,
    ) -> Result<History, CollabError> {
        let log = &self.registry.shared().log;
        let mut changes = log.read(id, after, limits::CATCH_UP_BYTES_MAX).await?;
        changes.truncate(count_max);
        let last = after.plus(changes.len() as u64);
        let more = !changes.is_empty() && last < log.head(id).await?;
        Ok(History { changes, more })
    }

    /// Ends the sessions of a document that the catalog does not show any more.
    pub async fn evict(&self, id: DocumentId) {
        if let Some(room) = self.registry.get(id) {
            close(&room, ErrorCode::NotFound).await;
        }
        // Whoever was let in meanwhile.
        self.rights_changed(Affected::Document(id)).await;
    }

    /// Deletes a document for good. What fails half-way is nobody's any more; do it once more to end it.
    ///
    /// # Errors
    ///
    /// `Catalog`: there is none, or retry later. `Log`: retry later.
    pub async fn delete(&self, actor: &Actor, id: DocumentId) -> Result<(), CollabError> {
        let shared = self.registry.shared();
        shared.catalog.doom_document(id).await?;
        shared.log.delete(id).await?;
        // Only now: who comes back in between finds nothing to open.
        self.evict(id).await;
        Ok(shared.catalog.delete_document(actor, id).await?)
    }

    /// The log of every document.
    pub(crate) fn log(&self) -> &Arc<AnyLog> {
        &self.registry.shared().log
    }

    /// How many plans this node has appended, and how many had to be made again since another node was first.
    pub(crate) fn appends(&self) -> (u64, u64) {
        let tally = &self.registry.shared().tally;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&tally.appends), count(&tally.races_lost))
    }

    /// Commits what has arrived, tells every client to come back, and closes every document.
    pub async fn shutdown(&self) {
        let rooms = self.registry.drain();
        for room in &rooms {
            room.signals.end();
        }
        for room in rooms {
            close(&room, ErrorCode::Unavailable).await;
        }
        self.draining.send_replace(true);
        self.connections.close();
        // Clients that do not take leave in time are dropped with the process; nothing is lost.
        let _late = timeout(DRAIN_TIMEOUT, self.connections.wait()).await;
    }

    /// Waits until a message of this size may wait for its room. Small ones may: rooms bound their number.
    async fn space(&self, size_bytes: usize) -> Option<Space> {
        let share = u32::try_from(size_bytes).ok();
        let share = share.filter(|_| size_bytes > limits::WAITING_SMALL_BYTES_MAX)?;
        // Nobody closes it.
        let permit = Arc::clone(&self.space)
            .acquire_many_owned(share)
            .await
            .ok()?;
        Some(Arc::new(permit))
    }

    /// When this time comes.
    fn instant(&self, time_ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(time_ms.saturating_sub(self.now_ms()))
    }

    fn now_ms(&self) -> u64 {
        self.registry.shared().clock.now_ms()
    }

    /// Counts changes of rights.
    fn epoch(&self) -> u64 {
        self.live.epoch()
    }

    /// Who a bearer token's holder is.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Arc<Principal>, ErrorCode> {
        let principal = self.authority.authenticate(token).await;
        Ok(Arc::new(principal.map_err(|error| refused(&error))?))
    }

    /// The same of somebody who was let in before.
    async fn readmit(&self, before: &Principal) -> Result<Principal, ErrorCode> {
        let principal = self.authority.readmit(before).await;
        principal.map_err(|error| refused(&error))
    }

    /// Makes a session of the document, and asks its room to let it in.
    async fn join(&self, joining: Joining<'_>) -> Result<Arc<Session>, ErrorCode> {
        let Joining {
            principal,
            address,
            document,
            client_id,
            start,
            speech,
            writer,
            noted,
            gone,
            as_of,
        } = joining;
        let id = SessionId::new(self.now_ms(), entropy::bytes());
        let mut visit = None;
        if noted {
            // Before anything is done: who cannot be noted is not let in.
            let place = self.auditor.place().await;
            visit = Some(Visit {
                auditor: self.auditor.clone(),
                clock: Arc::clone(&self.registry.shared().clock),
                principal: Arc::clone(principal),
                address: Arc::clone(address),
                document,
                session: id,
                role: Role::Viewer,
                dialect: speech.name(),
                stage: Stage::Knocking(place.map_err(|_| ErrorCode::Unavailable)?),
                changes: 0,
                span: None,
            });
        }
        let epoch = as_of.unwrap_or_else(|| self.live.epoch());
        let principal = match as_of {
            // Whatever has changed since then is asked for in the end.
            Some(_) => principal,
            // Who it was when the connection began may be nobody any more.
            None => &Arc::new(self.readmit(principal).await?),
        };
        let user = principal.user;
        let mut refuse = |code| {
            if let Some(visit) = &mut visit {
                visit.refuse(code);
            }
            code
        };
        let rights = self.authority.authorize(principal, Action::Read, document);
        let rights = rights.await.map_err(|error| match error {
            AuthorizationError::Unavailable(error) => {
                tracing::error!(%document, %error, "the rights of a user could not be read");
                ErrorCode::Unavailable
            }
            AuthorizationError::NotFound => refuse(ErrorCode::NotFound),
            _ => refuse(ErrorCode::Forbidden),
        })?;
        let place = self.places.take(user);
        let place = place.ok_or_else(|| refuse(ErrorCode::TooManySessions))?;
        if let Some(visit) = &mut visit {
            visit.role = rights.role;
        }
        let room = self.registry.open(document).ok_or(ErrorCode::Unavailable)?;
        let client_id = client_id.unwrap_or_else(|| id.into());
        let identity = session::Identity {
            id,
            document,
            user,
            client_id: client_id.clone(),
            address: Arc::clone(address),
            since_ms: self.now_ms(),
            speech,
            _place: place,
            room: room.clone(),
            outbox: Arc::new(Outbox::new(writer)),
            live: Arc::clone(&self.live),
            once: matches!(start, Start::Once(_)),
            asked: tokio::sync::Mutex::new(epoch),
        };
        let session = Session::new(identity, Arc::clone(principal), rights.role);
        let session = Arc::new(session);
        self.live.add(&session);
        let member = Member {
            user,
            name: principal.name.as_str().into(),
            color: principal.color,
            access: access(rights.role),
        };
        let command = Command::Join {
            session: id,
            member,
            client_id,
            start,
        };
        if gone.is_some_and(|gone| gone.load(Ordering::Acquire)) {
            // It may have come to another node meanwhile, where this would end its session.
            return Err(ErrorCode::Unavailable);
        }
        let feed = Feed::new(Arc::clone(&session.outbox), visit);
        let request = Request::Join(command, id, feed);
        room.send(request)
            .await
            .map_err(|_| ErrorCode::Unavailable)?;
        self.joined(&session, rights).await;
        Ok(session)
    }
}

/// What somebody is told who is not let in.
fn refused(error: &AuthenticationError) -> ErrorCode {
    match error {
        AuthenticationError::Expired => ErrorCode::TokenExpired,
        AuthenticationError::Disabled => ErrorCode::Forbidden,
        AuthenticationError::Unavailable(error) => {
            tracing::error!(%error, "an account could not be read");
            ErrorCode::Unavailable
        }
        AuthenticationError::Unreachable => ErrorCode::Unavailable,
        _ => ErrorCode::Unauthenticated,
    }
}

/// What a session needs to begin.
struct Joining<'a> {
    principal: &'a Arc<Principal>,
    /// The network address of the client.
    address: &'a Arc<str>,
    document: DocumentId,
    client_id: Option<ClientId>,
    start: Start,
    speech: Speech,
    writer: Arc<Notify>,
    /// Whether the audit trail is told that it comes and goes.
    noted: bool,
    /// Whether the client has gone since it asked, where that is known.
    gone: Option<&'a AtomicBool>,
    /// The epoch of [`Live`] before it was found out who it is, if that was done for this.
    as_of: Option<u64>,
}

async fn close(room: &registry::RoomSender, code: ErrorCode) {
    let (done, ended) = oneshot::channel();
    room.signals.end();
    if room.send(Request::Close(code, done)).await.is_ok() {
        // A room that fails meanwhile has ended as well.
        let _failed = ended.await;
    }
}

/// How a client opens its connection, in the query.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Parameters {
    /// In place of the header, which an `EventSource` cannot send.
    token: Option<String>,
    client_id: Option<String>,
    /// What the client has.
    #[param(value_type = Option<u64>)]
    revision: Option<String>,
    /// Whether the client has edits from before.
    pending: Option<String>,
    /// Whether it takes `operations`, which are many changes in one message.
    batches: Option<String>,
}

async fn connect(
    State(collab): State<Arc<Collab>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    remote: Remote,
    upgrade: Upgrade,
) -> Response {
    let token = parameters.token.or_else(|| bearer(&headers));
    accept(
        collab,
        upgrade,
        Dialect::Ot,
        Opening {
            token,
            address: remote.address.to_string().into(),
            ..Opening::default()
        },
    )
}

async fn connect_document(
    State(collab): State<Arc<Collab>>,
    Path(document): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    remote: Remote,
    upgrade: Upgrade,
) -> Response {
    let opening = Opening::new(&document, &parameters, &headers, &remote);
    accept(collab, upgrade, Dialect::Ot, opening)
}

async fn connect_yjs(
    State(collab): State<Arc<Collab>>,
    Path(document): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    remote: Remote,
    upgrade: Upgrade,
) -> Response {
    let opening = Opening::new(&document, &parameters, &headers, &remote);
    accept(collab, upgrade, Dialect::YWebsocket, opening)
}

/// Each document on the connection brings its own token.
async fn connect_hocuspocus(
    State(collab): State<Arc<Collab>>,
    remote: Remote,
    upgrade: Upgrade,
) -> Response {
    let opening = Opening {
        address: remote.address.to_string().into(),
        ..Opening::default()
    };
    accept(collab, upgrade, Dialect::Hocuspocus, opening)
}

impl Opening {
    /// Of a connection to the document of a path.
    fn new(document: &str, parameters: &Parameters, headers: &HeaderMap, remote: &Remote) -> Self {
        let token = parameters.token.clone().or_else(|| bearer(headers));
        let address = remote.address.to_string().into();
        match opening(document, parameters) {
            Ok(opening) => Self {
                token,
                address,
                ..opening
            },
            Err(refused) => Self {
                refused: Some(refused),
                ..Self::default()
            },
        }
    }
}

fn opening(document: &str, parameters: &Parameters) -> Result<Opening, (ErrorCode, String)> {
    let document = document
        .parse()
        .map_err(|error: motet_model::IdError| (ErrorCode::NotFound, error.to_string()))?;
    let client_id = parameters
        .client_id
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error: motet_model::IdError| (ErrorCode::InvalidMessage, error.to_string()))?;
    let revision = parameters
        .revision
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| {
            (
                ErrorCode::InvalidMessage,
                "revision is not a whole number".to_owned(),
            )
        })?;
    let says = |parameter: &Option<String>| matches!(parameter.as_deref(), Some("1" | "true"));
    let start = revision.map_or(Start::Text, |revision| Start::Revision {
        revision: Revision::new(revision),
        pending: says(&parameters.pending),
    });
    Ok(Opening {
        document: Some(document),
        client_id,
        start,
        batches: says(&parameters.batches),
        ..Opening::default()
    })
}

/// Errors of a connection are told over the WebSocket: a browser cannot see an HTTP answer to it.
/// While the server drains there is to be no connection at all, and load balancers do see the answer.
fn accept(collab: Arc<Collab>, upgrade: Upgrade, dialect: Dialect, opening: Opening) -> Response {
    if collab.registry.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let connections = collab.connections.clone();
    let message_bytes_max = match dialect {
        Dialect::Ot => collab.settings.message_bytes_max,
        Dialect::YWebsocket | Dialect::Hocuspocus => collab.settings.update_bytes_max,
    };
    upgrade.answer(move |socket| {
        let halves = socket.split(message_bytes_max);
        connections.spawn(connection::run(halves, collab, dialect, opening));
    })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}
