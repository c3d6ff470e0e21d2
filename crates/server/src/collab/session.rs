//! One session as its connection sees it: from a document's events to wire messages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use motet_document::{Access, Changes, Command, Event, Joined, Presence, PresenceUpdate, Reject};
use motet_model::{Change, ClientId, DocumentId, Revision, SessionId, UserId};
use motet_protocol::{
    ErrorCode,
    ot::{self, Body, Cursor, ServerMessage},
};
use serde_json::value::RawValue;
use tokio::sync::{mpsc::error::TrySendError, watch};

use super::{outbox::Outbox, registry::RoomSender, room::Request};

/// What stays the same as long as a session lasts.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) id: SessionId,
    pub(crate) document: DocumentId,
    pub(crate) user: UserId,
    pub(crate) client_id: ClientId,
    /// What the catalog said when the session joined.
    pub(crate) role: &'static str,
    /// Whether messages must say which document they are about.
    pub(crate) named: bool,
    pub(crate) room: RoomSender,
    pub(crate) outbox: Arc<Outbox>,
}

/// A session of a connection, shared by its reader and its writer.
#[derive(Debug)]
pub(crate) struct Session {
    identity: Identity,
    /// The revision that the client was last sent.
    sent: AtomicU64,
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
}

impl Session {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            sent: AtomicU64::new(0),
            stage: watch::Sender::new(Stage::Joining),
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

    /// The name to put on each message, where one is needed.
    pub(crate) fn name(&self) -> Option<DocumentId> {
        self.named.then_some(self.document)
    }

    /// The revision that the client was last sent.
    pub(crate) fn sent(&self) -> Revision {
        Revision::new(self.sent.load(Ordering::Acquire))
    }

    /// Appends the messages that `event` is on the wire.
    pub(crate) fn render(
        &self,
        event: Event,
        messages: &mut Vec<(Option<DocumentId>, Body)>,
    ) -> Next {
        let mut say = |body| messages.push((self.name(), body));
        match event {
            Event::Joined(joined) => say(self.joined(&joined)),
            Event::Changes { changes, live } => {
                self.changes(&changes, say);
                if !live {
                    return Next::CatchUp;
                }
            }
            Event::ReadLog { through, .. } => return Next::ReadLog { through },
            Event::Reconciled {
                seq,
                revision,
                operation,
            } => {
                self.sent.store(revision.get(), Ordering::Release);
                let json = operation.to_json();
                if let Some(operation) = raw(json.as_bytes()) {
                    say(ot::encode(&ServerMessage::Reconciled {
                        seq,
                        revision,
                        operation,
                    }));
                }
            }
            Event::Acknowledged { seq, revision } => say(ack(seq, revision)),
            Event::Rejected { seq, reject } => say(error(code(&reject), &reject.to_string(), seq)),
            Event::Presence(update) => {
                say(update
                    .wire
                    .ot
                    .get_or_init(|| presence_update(&update))
                    .clone());
            }
            Event::AccessChanged(access) => {
                say(ot::encode(&ServerMessage::PermissionChanged {
                    role: role(access),
                }));
            }
            // The room turns it into the end of the outbox.
            _ => {}
        }
        Next::Rest
    }

    fn joined(&self, joined: &Joined) -> Body {
        self.sent.store(joined.revision.get(), Ordering::Release);
        self.stage.send_replace(Stage::Started);
        let content = joined
            .content
            .as_ref()
            .map(|content| content.to_delta().to_json());
        ot::encode(&ServerMessage::DocumentState {
            document_id: (!self.named).then_some(self.document),
            revision: joined.revision,
            content: content.as_ref().and_then(|json| raw(json.as_ref())),
            session_id: self.id,
            client_id: &self.client_id,
            last_seq: joined.last_seq,
            role: self.role,
            color: joined.color,
            presence: joined.presence.iter().map(cursor).collect(),
        })
    }

    fn changes(&self, changes: &Changes, mut say: impl FnMut(Body)) {
        for entry in changes.iter() {
            // Whatever was sent before, by whichever way, is not sent again.
            if entry.revision > self.sent() {
                self.sent.store(entry.revision.get(), Ordering::Release);
                say(self.change(entry.revision, &entry.change, || {
                    let encode = || {
                        let change = &entry.change;
                        ot::operation(entry.revision, change.author, entry.session, &change.delta)
                    };
                    entry.wire.ot.get_or_init(encode).clone()
                }));
            }
        }
    }

    /// The messages for changes as the log gave them, directly after what was last sent.
    pub(crate) fn render_log(
        &self,
        changes: &[Change],
        messages: &mut Vec<(Option<DocumentId>, Body)>,
    ) {
        for change in changes {
            let revision = self.sent().next();
            self.sent.store(revision.get(), Ordering::Release);
            let body = self.change(revision, change, || {
                ot::operation(revision, change.author, None, &change.delta)
            });
            messages.push((self.name(), body));
        }
    }

    /// An acknowledgement where the change is this client's, `others` where it is not.
    fn change(&self, revision: Revision, change: &Change, others: impl FnOnce() -> Body) -> Body {
        if change.client_id == self.client_id && change.author == self.user {
            ack(change.seq, revision)
        } else {
            others()
        }
    }
}

/// An error message.
pub(crate) fn error(code: ErrorCode, message: &str, seq: Option<u64>) -> Body {
    ot::encode(&ServerMessage::Error { code, message, seq })
}

fn ack(seq: u64, revision: Revision) -> Body {
    ot::encode(&ServerMessage::Ack { seq, revision })
}

fn presence_update(update: &PresenceUpdate) -> Body {
    ot::encode(&ServerMessage::PresenceUpdate {
        reset: update.reset,
        joined: update.joined.iter().map(cursor).collect(),
        updated: update.updated.iter().map(cursor).collect(),
        left: &update.left,
    })
}

fn cursor(presence: &Presence) -> Cursor<'_> {
    Cursor {
        session_id: presence.session,
        user_id: presence.user,
        name: &presence.name,
        color: presence.color,
        anchor: presence.selection.map(|at| at.anchor),
        head: presence.selection.map(|at| at.head),
        data: presence
            .data
            .as_deref()
            .and_then(|json| raw(json.as_bytes())),
    }
}

/// JSON to embed as it is; `None` cannot happen for JSON that this program has made or checked.
fn raw(json: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(json).ok()
}

fn role(access: Access) -> &'static str {
    match access {
        Access::Read => "viewer",
        Access::Write => "editor",
    }
}

fn code(reject: &Reject) -> ErrorCode {
    match reject {
        Reject::ReadOnly => ErrorCode::ReadOnly,
        Reject::RevisionAhead { .. } => ErrorCode::RevisionAhead,
        Reject::OutOfRange { .. } => ErrorCode::OutOfRange,
        Reject::SplitSurrogate { .. } => ErrorCode::SplitSurrogate,
        Reject::TooFarBehind { .. } => ErrorCode::TooFarBehind,
        Reject::NoIdentities { .. } => ErrorCode::BaseTooOld,
        Reject::SeqReused { .. } => ErrorCode::SeqReused,
        Reject::DocumentTooLarge { .. } => ErrorCode::DocumentTooLarge,
        _ => ErrorCode::Internal,
    }
}
