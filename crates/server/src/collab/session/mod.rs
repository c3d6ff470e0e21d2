//! One session as its connection sees it: from a document's events to wire messages.
//!
//! `ot.rs` and `yjs.rs` say each event in a dialect.

mod ot;
mod yjs;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use bytes::Bytes;
use motet_catalog::Role;
use motet_document::{Command, Event, Reject};
use motet_model::{Change, ClientId, DocumentId, Revision, SessionId, UserId};
use motet_protocol::{ErrorCode, ot::Piece};
use tokio::sync::{mpsc::error::TrySendError, watch};

pub(crate) use self::{ot::error, yjs::Receipt};
use super::{
    live::{Live, LiveSession},
    outbox::{End, Outbox},
    places::Place,
    registry::RoomSender,
    room::{Request, Space},
    verdicts::Verdict,
};
use crate::auth::Principal;

/// What a session speaks, and what it has to remember for that.
#[derive(Debug)]
pub(crate) enum Speech {
    /// Positions.
    Ot(Positions),
    /// Identities. With a name, Hocuspocus; without, y-websocket.
    Yjs(yjs::Yjs),
}

/// How positions are spoken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Positions {
    /// Messages say which document they are about.
    pub(crate) named: bool,
    /// Several changes come as one message.
    pub(crate) batches: bool,
}

impl Speech {
    /// y-websocket.
    pub(crate) fn y_websocket() -> Self {
        Self::Yjs(yjs::Yjs::new(None))
    }

    /// What administrators call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ot(_) => "ot",
            Self::Yjs(yjs) if yjs.is_hocuspocus() => "hocuspocus",
            Self::Yjs(_) => "yjs",
        }
    }

    /// Hocuspocus, about the document that the client calls so.
    pub(crate) fn hocuspocus(name: &str) -> Self {
        Self::Yjs(yjs::Yjs::new(Some(name)))
    }
}

/// Something to send.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Of a text frame, which may hold several.
    Json(Piece),
    /// A binary frame.
    Binary(Bytes),
}

impl Message {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Json(piece) => piece.size_bytes(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// By what a connection finds a session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Document(DocumentId),
    /// As a client of Hocuspocus calls it.
    Name(Arc<str>),
}

/// What stays the same as long as a session lasts.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: SessionId,
    pub(crate) document: DocumentId,
    pub(crate) user: UserId,
    pub(crate) client_id: ClientId,
    /// The network address of its client.
    pub(crate) address: Arc<str>,
    pub(crate) since_ms: u64,
    pub(crate) speech: Speech,
    /// Held for as long as the session lasts.
    pub(crate) _place: Place,
    pub(crate) room: RoomSender,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) live: Arc<Live>,
    /// It is there for one edit without a connection, and waits for what becomes of it.
    pub(crate) once: bool,
    /// Held while its rights are asked about: up to which change of rights that was done.
    pub(crate) asked: tokio::sync::Mutex<u64>,
}

/// A session of a connection, shared by its reader and its writer.
#[derive(Debug)]
pub(crate) struct Session {
    identity: Identity,
    principal: Mutex<Arc<Principal>>,
    /// Its place in [`Role::ALL`].
    role: AtomicU8,
    /// The revision that the client was last sent.
    sent: AtomicU64,
    /// What stands for the session in changes, once it has joined.
    number: AtomicU32,
    stage: watch::Sender<Stage>,
}

/// How far the client has been told of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Joining,
    /// It has been sent where it starts from.
    Started,
    /// It has been told that the session is over.
    Ended,
}

impl std::ops::Deref for Session {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// Whatever way a session ends, its document learns of it: a connection that is cut off, a join that
/// fails half-way, a task that panics. A session that the document has ended is not there to leave.
impl Drop for Session {
    fn drop(&mut self) {
        self.live.remove(self.id);
        let leave = Request::Command(Command::Leave { session: self.id });
        if let Err(TrySendError::Full(leave)) = self.room.try_send(leave) {
            let room = self.room.clone();
            // A room that has ended has no sessions.
            tokio::spawn(async move { room.send(leave).await.map_err(drop) });
        }
    }
}

/// What has to follow once the rendered messages are sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing.
    Rest,
    /// Ask the document to catch up.
    CatchUp,
    /// Send the changes up to `through` from the log first.
    ReadLog { through: Revision },
    /// The session cannot go on.
    End(ErrorCode),
}

impl Session {
    pub(crate) fn new(identity: Identity, principal: Arc<Principal>, role: Role) -> Self {
        Self {
            identity,
            principal: Mutex::new(principal),
            role: AtomicU8::new(role as u8),
            sent: AtomicU64::new(0),
            number: AtomicU32::new(0),
            stage: watch::Sender::new(Stage::Joining),
        }
    }

    /// Who it is.
    pub(crate) fn principal(&self) -> Arc<Principal> {
        let principal = self.principal.lock();
        Arc::clone(&principal.unwrap_or_else(PoisonError::into_inner))
    }

    /// It has shown a newer credential, or its account is not what it was.
    pub(crate) fn renew(&self, principal: Arc<Principal>) {
        let mut before = self
            .principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *before = principal;
    }

    /// Its account is not what it was `before`; unless a newer credential has come meanwhile.
    pub(crate) fn reread(&self, before: &Principal, principal: Arc<Principal>) {
        let mut known = self
            .principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.credential == before.credential {
            *known = principal;
        }
    }

    /// What it may do.
    pub(crate) fn role(&self) -> Role {
        Role::ALL[usize::from(self.role.load(Ordering::Acquire))]
    }

    /// Notes what it may do from now on, and returns what that was before.
    pub(crate) fn set_role(&self, role: Role) -> Role {
        Role::ALL[usize::from(self.role.swap(role as u8, Ordering::AcqRel))]
    }

    /// What others may know of it.
    pub(crate) fn describe(&self) -> LiveSession {
        LiveSession {
            id: self.id,
            document: self.document,
            principal: self.principal(),
            role: self.role(),
            dialect: self.speech.name(),
            address: Arc::clone(&self.address),
            since_ms: self.since_ms,
        }
    }

    /// By what its connection finds it.
    pub(crate) fn key(&self) -> Key {
        match &self.speech {
            Speech::Yjs(yjs) => yjs.key().unwrap_or(Key::Document(self.document)),
            Speech::Ot(_) => Key::Document(self.document),
        }
    }

    /// Waits until the client has been sent where it starts from, or never will be.
    pub(crate) async fn started(&self) {
        self.reached(Stage::Started).await;
    }

    /// Waits until the session is over.
    pub(crate) async fn ended(&self) {
        self.reached(Stage::Ended).await;
    }

    fn start(&self) {
        self.stage.send_replace(Stage::Started);
    }

    /// The session is over, and the connection has forgotten it.
    pub(crate) fn end(&self) {
        self.stage.send_replace(Stage::Ended);
    }

    async fn reached(&self, stage: Stage) {
        // The sender is `self`, so it cannot be gone.
        let mut now = self.stage.subscribe();
        let _reached = now.wait_for(|now| *now >= stage).await;
    }

    /// Gives the document a command. If the room has ended, so has this session.
    pub(crate) async fn tell(&self, command: Command) {
        let _ended = self.room.send(Request::Command(command)).await;
    }

    /// The same for a command that holds much.
    pub(crate) async fn tell_large(&self, command: Command, space: Option<Space>) {
        let request = match space {
            Some(space) => Request::Large(command, space),
            None => Request::Command(command),
        };
        let _ended = self.room.send(request).await;
    }

    /// Tells the document what is to become of the session, before all that waits for it.
    pub(crate) fn pass(&self, verdict: Verdict) {
        self.room.verdicts.pass(self.id, verdict);
    }

    /// Ends the session. Its client is sent no more from here on, however long its document takes to learn
    /// of it.
    pub(crate) fn cut(&self, code: ErrorCode) {
        self.pass(Verdict::End(code));
        if !self.once {
            self.outbox.end(End::Closed(code));
        }
    }

    /// The revision that the client was last sent.
    pub(crate) fn sent(&self) -> Revision {
        Revision::new(self.sent.load(Ordering::Acquire))
    }

    fn set_sent(&self, revision: Revision) {
        self.sent.store(revision.get(), Ordering::Release);
    }

    /// Appends the messages that `event` is on the wire.
    pub(crate) fn render(&self, event: Event, messages: &mut Vec<Message>) -> Next {
        match &self.speech {
            Speech::Ot(ot) => self.render_ot(*ot, event, messages),
            Speech::Yjs(yjs) => self.render_yjs(yjs, event, messages),
        }
    }

    /// The messages for changes as the log gave them, directly after what was last sent.
    pub(crate) fn render_log(&self, changes: &[Change], messages: &mut Vec<Message>) {
        for change in changes {
            let revision = self.sent().next();
            self.set_sent(revision);
            messages.push(self.logged_ot(revision, change));
        }
    }

    /// Tells the client that the session is over. Returns the close code if its connection is, too.
    pub(crate) fn farewell(&self, end: End, messages: &mut Vec<Message>) -> Option<u16> {
        match &self.speech {
            Speech::Ot(_) => self.farewell_ot(end, messages),
            Speech::Yjs(yjs) => yjs.farewell(end, messages),
        }
    }

    /// A sign of life, where the client counts only messages as one.
    pub(crate) fn sign_of_life(&self) -> Option<Message> {
        match &self.speech {
            Speech::Ot(_) => None,
            Speech::Yjs(yjs) => Some(yjs.sign_of_life()),
        }
    }
}

/// The code of a refusal.
pub(crate) fn code(reject: &Reject) -> ErrorCode {
    match reject {
        Reject::ReadOnly => ErrorCode::ReadOnly,
        Reject::RevisionAhead { .. } => ErrorCode::RevisionAhead,
        Reject::OutOfRange { .. } => ErrorCode::OutOfRange,
        Reject::SplitSurrogate { .. } => ErrorCode::SplitSurrogate,
        Reject::TooFarBehind { .. } => ErrorCode::TooFarBehind,
        Reject::NoIdentities { .. } => ErrorCode::BaseTooOld,
        Reject::SeqReused { .. } => ErrorCode::SeqReused,
        Reject::DocumentTooLarge { .. } => ErrorCode::DocumentTooLarge,
        Reject::InvalidUpdate { .. } | Reject::ReservedClient { .. } => ErrorCode::InvalidUpdate,
        Reject::AwarenessTooLarge { .. } => ErrorCode::InvalidMessage,
        _ => ErrorCode::Internal,
    }
}

/// For people: why a session is over.
fn message_for(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "the document was deleted",
        ErrorCode::DocumentFull => "the document has as many sessions as it may have",
        ErrorCode::Forbidden => "access to the document was taken away",
        ErrorCode::Replaced => "another connection took over this client id",
        ErrorCode::RevisionAhead => "the document has not reached this revision",
        ErrorCode::Unavailable => "the document is not available for a moment: come back",
        ErrorCode::DocumentTooLarge => "the document would be larger than it may be",
        ErrorCode::InvalidUpdate => "an update cannot be read",
        ErrorCode::InvalidMessage => "a message cannot be read",
        ErrorCode::TokenExpired => "the token has expired",
        ErrorCode::Unauthenticated => "the token or key is not valid any more",
        _ => "a fault of the server",
    }
}
