//! A session in the dialect of positions.

use motet_document::{Changes, Event, Joined, Presence, PresenceUpdate};
use motet_model::{Change, DocumentId, Revision};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, Body, Cursor, ServerMessage},
};
use serde_json::value::RawValue;

use super::{Message, Next, Session, Speech, code, message_for};
use crate::collab::outbox::End;

impl Session {
    /// Whether messages must say which document they are about.
    fn is_named(&self) -> bool {
        matches!(self.speech, Speech::Ot { named: true })
    }

    /// The name to put on each message, where one is needed.
    fn name(&self) -> Option<DocumentId> {
        self.is_named().then_some(self.document)
    }

    pub(super) fn render_ot(&self, event: Event, messages: &mut Vec<Message>) -> Next {
        let mut say = |body| messages.push(Message::Json(self.name(), body));
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
                self.set_sent(revision);
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
            Event::AccessChanged(_) => {
                let role = self.role().as_str();
                say(ot::encode(&ServerMessage::PermissionChanged { role }));
            }
            // The room turns it into the end of the outbox.
            _ => {}
        }
        Next::Rest
    }

    fn joined(&self, joined: &Joined) -> Body {
        self.set_sent(joined.revision);
        self.start();
        let content = joined
            .content
            .as_ref()
            .map(|content| content.to_delta().to_json());
        ot::encode(&ServerMessage::DocumentState {
            document_id: (!self.is_named()).then_some(self.document),
            revision: joined.revision,
            content: content.as_ref().and_then(|json| raw(json.as_ref())),
            session_id: self.id,
            client_id: &self.client_id,
            last_seq: joined.last_seq,
            role: self.role().as_str(),
            color: joined.color,
            presence: joined.presence.iter().map(cursor).collect(),
        })
    }

    fn changes(&self, changes: &Changes, mut say: impl FnMut(Body)) {
        for entry in changes.iter() {
            // Whatever was sent before, by whichever way, is not sent again.
            if entry.revision > self.sent() {
                self.set_sent(entry.revision);
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

    /// The message for a change as the log gave it.
    pub(super) fn logged_ot(&self, revision: Revision, change: &Change) -> Message {
        let body = self.change(revision, change, || {
            ot::operation(revision, change.author, None, &change.delta)
        });
        Message::Json(self.name(), body)
    }

    /// On a connection to just this document the connection ends too.
    pub(super) fn farewell_ot(&self, end: End, messages: &mut Vec<Message>) -> Option<u16> {
        let code = match end {
            End::Left => {
                let left = ot::encode(&ServerMessage::LeftDocument {});
                messages.push(Message::Json(self.name(), left));
                close::NORMAL
            }
            End::Closed(code) => {
                let error = error(code, message_for(code), None);
                messages.push(Message::Json(self.name(), error));
                code.close_code().unwrap_or(close::BAD_REQUEST)
            }
            End::Unread => return Some(close::POLICY),
        };
        // Who is not let in any more has no business on any document.
        (!self.is_named() || code == close::UNAUTHENTICATED).then_some(code)
    }

    /// An acknowledgement where the change is this client's, `others` where it is not.
    fn change(&self, revision: Revision, change: &Change, others: impl FnOnce() -> Body) -> Body {
        let is_own = change.client_id == self.client_id && change.author == self.user;
        // What is not counted is no submission: it only says where the client is.
        if is_own && change.seq > 0 {
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
