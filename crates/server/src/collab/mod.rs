//! Live documents: rooms, sessions and connections, over WebSocket or what stands in for one.
//!
//! ```text
//! client ── connection (reader) ── commands ──▶ room ── append ──▶ log
//! client ◀─ connection (writer) ◀─ outbox ◀──── room ◀─ head ─────  log
//! ```
//!
//! `registry.rs` knows which documents are open; `room.rs` is the task of one; `outbox.rs` bounds
//! what waits for a session; `session.rs` turns events into messages; `connection/` is a socket.
//!
//! # Not here
//!
//! What a command does (`motet_document`), what a message looks like (`motet_protocol`).

mod connection;
mod edit;
mod outbox;
mod registry;
mod room;
mod session;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use bytes::Bytes;
use futures_util::Stream;
use motet_catalog::{Catalog, Role};
use motet_document::{Access, Command, Member, Settings, Start};
use motet_log::{DocumentLog, LogError, SqliteLog};
use motet_model::{ClientId, Clock, DocumentId, Revision, SessionId, UserId, limits};
use motet_protocol::ErrorCode;
use serde::Deserialize;
use tokio::{
    sync::{Notify, Semaphore, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

pub(crate) use self::connection::{Refusal, Uplink};
pub use self::edit::{EditError, Edited, Overlapping};
pub(crate) use self::session::code;
use self::{
    connection::{Dialect, Opening, Uplinks},
    outbox::{Feed, Outbox},
    registry::Registry,
    room::{Request, Shared},
    session::{Session, Speech},
};
use crate::{
    auth::{Claims, Tokens},
    entropy,
};

/// How long connections get to take leave.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Bounds of each document.
    pub document: Settings,
}

impl Default for CollabSettings {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            update_bytes_max: limits::UPDATE_BYTES_MAX,
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
}

/// The live documents of this node, and the connections to them.
pub struct Collab {
    registry: Arc<Registry<Arc<SqliteLog>>>,
    tokens: Arc<Tokens>,
    settings: CollabSettings,
    /// Counts changes of rights, so that a join can tell whether one came in between.
    access_epoch: AtomicU64,
    draining: watch::Sender<bool>,
    connections: TaskTracker,
    uplinks: Arc<Uplinks>,
}

impl Collab {
    /// No document is open yet.
    #[must_use]
    pub fn new(
        log: Arc<SqliteLog>,
        catalog: Catalog,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        settings: CollabSettings,
    ) -> Arc<Self> {
        let shared = Shared {
            log,
            catalog,
            clock,
            settings: settings.document.clone(),
            reconciling: Arc::new(Semaphore::new(RECONCILING_MAX)),
        };
        Arc::new(Self {
            registry: Registry::new(shared),
            tokens,
            settings,
            access_epoch: AtomicU64::new(0),
            draining: watch::Sender::new(false),
            connections: TaskTracker::new(),
            uplinks: Arc::default(),
        })
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
    pub(crate) fn event_stream(
        self: &Arc<Self>,
        document: &str,
        parameters: &Parameters,
        headers: &HeaderMap,
    ) -> Option<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
        if self.registry.is_draining() {
            return None;
        }
        let mut opening = Opening::new(document, parameters, headers);
        let claims = opening
            .token
            .as_deref()
            .and_then(|token| self.tokens.verify(token, self.now_ms()).ok());
        if opening.token.is_none() && opening.refused.is_none() {
            let message = "a token is needed to open an event stream".to_owned();
            opening.refused = Some((ErrorCode::Unauthenticated, message));
        }
        let (halves, events) = connection::event_stream(
            &self.uplinks,
            claims.map(|claims| claims.user_id),
            opening.document,
            self.settings.message_bytes_max,
        );
        let running = connection::run(halves, Arc::clone(self), Dialect::Ot, opening);
        self.connections.spawn(running);
        Some(Sse::new(events))
    }

    /// Where the requests of an event stream's client arrive: of this user's, on that document.
    pub(crate) fn uplink(
        &self,
        connection: &str,
        document: DocumentId,
        user: UserId,
    ) -> Option<Arc<Uplink>> {
        self.uplinks.get(connection, document, user)
    }

    /// The document at its head; opens it if it is not open.
    ///
    /// # Errors
    ///
    /// `Unavailable`: retry later.
    pub async fn snapshot(&self, id: DocumentId) -> Result<Snapshot, CollabError> {
        let room = self.registry.open(id).ok_or(CollabError::Unavailable)?;
        let (reply, answer) = oneshot::channel();
        let asked = room.send(Request::Snapshot(reply)).await;
        asked.map_err(|_| CollabError::Unavailable)?;
        let snapshot = answer.await.map_err(|_| CollabError::Unavailable)?;
        let content = Bytes::from(snapshot.content.to_delta().to_json());
        Ok(Snapshot {
            revision: snapshot.revision,
            content,
        })
    }

    /// A user's rights on a document are other ones now, and the catalog says so already; `None`:
    /// they are gone. Live sessions are told.
    pub async fn permission_changed(&self, id: DocumentId, user: UserId, role: Option<Role>) {
        self.access_epoch.fetch_add(1, Ordering::SeqCst);
        if let Some(room) = self.registry.get(id) {
            let command = Command::SetAccess {
                user,
                access: role.map(access),
            };
            // A room that has ended has no sessions.
            let _ended = room.send(Request::Command(command)).await;
        }
    }

    /// Ends the sessions of a document that the catalog has deleted, and deletes its log.
    ///
    /// # Errors
    ///
    /// `Log`: it was not deleted; try again.
    pub async fn delete(&self, id: DocumentId) -> Result<(), CollabError> {
        self.access_epoch.fetch_add(1, Ordering::SeqCst);
        self.registry.shared().log.delete(id).await?;
        // Only now: who comes back in between finds nothing to open.
        if let Some(room) = self.registry.get(id) {
            close(&room, ErrorCode::NotFound).await;
        }
        Ok(())
    }

    /// Commits what has arrived, tells every client to come back, and closes every document.
    pub async fn shutdown(&self) {
        for room in self.registry.drain() {
            close(&room, ErrorCode::Unavailable).await;
        }
        self.draining.send_replace(true);
        self.connections.close();
        // Clients that do not take leave in time are dropped with the process; nothing is lost.
        let _late = timeout(DRAIN_TIMEOUT, self.connections.wait()).await;
    }

    /// When this time comes.
    fn instant(&self, time_ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(time_ms.saturating_sub(self.now_ms()))
    }

    fn now_ms(&self) -> u64 {
        self.registry.shared().clock.now_ms()
    }

    /// Makes a session of the document, and asks its room to let it in.
    async fn join(
        &self,
        claims: &Claims,
        document: DocumentId,
        client_id: Option<ClientId>,
        start: Start,
        speech: Speech,
        writer: Arc<Notify>,
    ) -> Result<Arc<Session>, ErrorCode> {
        let epoch = self.access_epoch.load(Ordering::SeqCst);
        let user = claims.user_id;
        let role = self
            .role(user, document)
            .await?
            .ok_or(ErrorCode::NotFound)?;
        let room = self.registry.open(document).ok_or(ErrorCode::Unavailable)?;
        let id = SessionId::new(self.now_ms(), entropy::bytes());
        let client_id = client_id.unwrap_or_else(|| id.into());
        let session = Arc::new(Session::new(session::Identity {
            id,
            document,
            user,
            client_id: client_id.clone(),
            role: role.as_str(),
            may_write: role.may_edit(),
            speech,
            room: room.clone(),
            outbox: Arc::new(Outbox::new(writer)),
        }));
        let member = Member {
            user,
            name: claims.name.as_str().into(),
            access: access(role),
        };
        let command = Command::Join {
            session: id,
            member,
            client_id,
            start,
        };
        let request = Request::Join(command, id, Feed::new(Arc::clone(&session.outbox)));
        room.send(request)
            .await
            .map_err(|_| ErrorCode::Unavailable)?;
        // A change of rights between the question and the join has missed this session.
        if self.access_epoch.load(Ordering::SeqCst) != epoch {
            let role = self.role(user, document).await?;
            session
                .tell(Command::SetAccess {
                    user,
                    access: role.map(access),
                })
                .await;
        }
        Ok(session)
    }

    async fn role(&self, user: UserId, document: DocumentId) -> Result<Option<Role>, ErrorCode> {
        self.registry
            .shared()
            .catalog
            .role_of(user, document)
            .await
            .map_err(|error| {
                tracing::error!(%document, %error, "the rights of a user could not be read");
                ErrorCode::Unavailable
            })
    }
}

async fn close(room: &registry::RoomSender, code: ErrorCode) {
    let (done, ended) = oneshot::channel();
    if room.send(Request::Close(code, done)).await.is_ok() {
        // A room that fails meanwhile has ended as well.
        let _failed = ended.await;
    }
}

fn access(role: Role) -> Access {
    if role.may_edit() {
        Access::Write
    } else {
        Access::Read
    }
}

/// How a client opens its connection, in the query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameters {
    token: Option<String>,
    client_id: Option<String>,
    revision: Option<String>,
    pending: Option<String>,
}

async fn connect(
    State(collab): State<Arc<Collab>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = parameters.token.or_else(|| bearer(&headers));
    accept(
        collab,
        upgrade,
        Dialect::Ot,
        Opening {
            token,
            ..Opening::default()
        },
    )
}

async fn connect_document(
    State(collab): State<Arc<Collab>>,
    Path(document): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let opening = Opening::new(&document, &parameters, &headers);
    accept(collab, upgrade, Dialect::Ot, opening)
}

async fn connect_yjs(
    State(collab): State<Arc<Collab>>,
    Path(document): Path<String>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let opening = Opening::new(&document, &parameters, &headers);
    accept(collab, upgrade, Dialect::YWebsocket, opening)
}

/// Each document on the connection brings its own token.
async fn connect_hocuspocus(
    State(collab): State<Arc<Collab>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    accept(collab, upgrade, Dialect::Hocuspocus, Opening::default())
}

impl Opening {
    /// Of a connection to the document of a path.
    fn new(document: &str, parameters: &Parameters, headers: &HeaderMap) -> Self {
        let token = parameters.token.clone().or_else(|| bearer(headers));
        match opening(document, parameters) {
            Ok(opening) => Self { token, ..opening },
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
    let pending = parameters.pending.as_deref();
    let start = revision.map_or(Start::Text, |revision| Start::Revision {
        revision: Revision::new(revision),
        pending: matches!(pending, Some("1" | "true")),
    });
    Ok(Opening {
        document: Some(document),
        client_id,
        start,
        ..Opening::default()
    })
}

/// Errors of a connection are told over the WebSocket: a browser cannot see an HTTP answer to it.
/// While the server drains there is to be no connection at all, and load balancers do see the answer.
fn accept(
    collab: Arc<Collab>,
    upgrade: WebSocketUpgrade,
    dialect: Dialect,
    opening: Opening,
) -> Response {
    if collab.registry.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let connections = collab.connections.clone();
    let message_bytes_max = match dialect {
        Dialect::Ot => collab.settings.message_bytes_max,
        Dialect::YWebsocket | Dialect::Hocuspocus => collab.settings.update_bytes_max,
    };
    upgrade
        .max_message_size(message_bytes_max)
        .max_frame_size(message_bytes_max)
        .on_upgrade(move |socket| {
            connections.track_future(connection::run(
                connection::websocket(socket),
                collab,
                dialect,
                opening,
            ))
        })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}
