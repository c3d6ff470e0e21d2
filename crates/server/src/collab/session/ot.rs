//! A session in the dialect of positions.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use motet_document::{BatchWire, Changes, Committed, Event, Joined, Presence, PresenceUpdate, Row};
use motet_model::{Change, ClientId, DocumentId, Revision, UserId};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, Author, Authored, Body, Cursor, Moved, Piece, ServerMessage},
};
use serde_json::value::RawValue;

use super::{Message, Next, Positions, Session, Speech, code, message_for};
use crate::collab::outbox::End;

impl Session {
    /// Whether messages must say which document they are about.
    fn is_named(&self) -> bool {
        matches!(self.speech, Speech::Ot(Positions { named: true, .. }))
    }

    /// The name to put on each message, where one is needed.
    fn name(&self) -> Option<DocumentId> {
        self.is_named().then_some(self.document)
    }

    pub(super) fn render_ot(
        &self,
        ot: Positions,
        event: Event,
        messages: &mut Vec<Message>,
    ) -> Next {
        let mut say = |body| messages.push(self.message(body));
        match event {
            Event::Joined(joined) => messages.push(self.joined(&joined)),
            Event::Changes { changes, live } => {
                if ot.batches && changes.len() > 1 {
                    self.changes_together(&changes, messages);
                } else {
                    self.changes(&changes, messages);
                }
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
                let wire = if ot.batches {
                    &update.wire.ot
                } else {
                    &update.wire.ot_whole
                };
                let encode = || presence_update(&update, ot.batches);
                say(wire.get_or_init(encode).clone());
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

    fn joined(&self, joined: &Joined) -> Message {
        self.set_sent(joined.revision);
        self.number.store(joined.number, Ordering::Release);
        self.start();
        let state = ot::encode(&ServerMessage::DocumentState {
            document_id: (!self.is_named()).then_some(self.document),
            revision: joined.revision,
            session_id: self.id,
            client_id: &self.client_id,
            last_seq: joined.last_seq,
            role: self.role().as_str(),
            number: joined.number,
            color: joined.color,
            presence: joined.presence.iter().map(cursor).collect(),
        });
        let Some(content) = &joined.content else {
            return self.message(state);
        };
        let encode = || content.text.to_delta().to_json().into();
        let content = content.wire.get_or_init(encode).clone();
        Message::Json(Piece::Behind(self.name(), state, "content", content))
    }

    fn message(&self, body: Body) -> Message {
        Message::Json(Piece::One(self.name(), body))
    }

    fn changes(&self, changes: &Changes, messages: &mut Vec<Message>) {
        let sent = self.sent();
        let is_next = |first: &Arc<Committed>| first.revision > sent;
        // For a client that does not take them together.
        if let Some(wire) = changes.wire().filter(|_| changes.len() > 1)
            && changes.first().is_some_and(is_next)
        {
            let pieces = batch(changes, wire, self.name(), (self.user, &self.client_id));
            messages.extend(pieces.into_iter().map(Message::Json));
            if let Some(last) = changes.last() {
                self.set_sent(last.revision);
            }
            return;
        }
        for entry in changes.iter() {
            // Whatever was sent before, by whichever way, is not sent again.
            if entry.revision > self.sent() {
                self.set_sent(entry.revision);
                messages
                    .push(self.message(self.change(entry.revision, &entry.change, || body(entry))));
            }
        }
    }

    /// One message for all, and where it can be the same for everybody.
    fn changes_together(&self, changes: &Changes, messages: &mut Vec<Message>) {
        let sent = self.sent();
        let new = changes.partition_point(|entry| entry.revision <= sent);
        let Some(last) = changes.last().filter(|_| new < changes.len()) else {
            return;
        };
        self.set_sent(last.revision);
        // What a client has sent on an earlier connection is not its session's for the others.
        let own = |place: &usize| changes[*place].session == Some(self.id);
        let made_here = || {
            let made = changes.made_by(self.user, &self.client_id).iter();
            made.copied()
                .all(|place| own(&place) || !is_counted(&changes[place].change))
        };
        let body = match changes.wire() {
            Some(wire) if new == 0 && made_here() => {
                let for_all = || together(changes, |entry| entry.number);
                wire.ot.get_or_init(for_all).clone()
            }
            _ => {
                let number = self.number.load(Ordering::Acquire);
                together(&changes[new..], |entry| {
                    let is_own = self.is_own(&entry.change);
                    if is_own { Some(number) } else { entry.number }
                })
            }
        };
        messages.push(self.message(body));
    }

    /// The message for a change as the log gave it.
    pub(super) fn logged_ot(&self, revision: Revision, change: &Change) -> Message {
        let body = self.change(revision, change, || {
            ot::operation(revision, change.author, None, &change.delta)
        });
        self.message(body)
    }

    /// On a connection to just this document the connection ends too.
    pub(super) fn farewell_ot(&self, end: End, messages: &mut Vec<Message>) -> Option<u16> {
        let code = match end {
            End::Left => {
                let left = ot::encode(&ServerMessage::LeftDocument {});
                messages.push(self.message(left));
                close::NORMAL
            }
            End::Closed(code) => {
                let error = error(code, message_for(code), None);
                messages.push(self.message(error));
                code.close_code().unwrap_or(close::BAD_REQUEST)
            }
            End::Unread => return Some(close::POLICY),
        };
        // Who is not let in any more has no business on any document.
        (!self.is_named() || code == close::UNAUTHENTICATED).then_some(code)
    }

    /// An acknowledgement where the change is this client's, `others` where it is not.
    fn change(&self, revision: Revision, change: &Change, others: impl FnOnce() -> Body) -> Body {
        if self.is_own(change) {
            ack(change.seq, revision)
        } else {
            others()
        }
    }

    /// Whether this client has submitted it.
    fn is_own(&self, change: &Change) -> bool {
        let is_own = change.client_id == self.client_id && change.author == self.user;
        is_own && is_counted(change)
    }
}

/// All that were committed at once, as one client is sent them: what others made is made into messages once for
/// all, and goes between the acknowledgements in pieces of that. O(1 + its own changes), after the first time.
fn batch(
    changes: &Changes,
    wire: &BatchWire,
    name: Option<DocumentId>,
    (user, client_id): (UserId, &ClientId),
) -> Vec<Piece> {
    let row = match name {
        Some(_) => &wire.ot_row_named,
        None => &wire.ot_row,
    };
    let encode = || {
        let bodies: Vec<_> = changes.iter().map(body).collect();
        let (bytes, ends) = ot::row(name, &bodies);
        Row { bytes, ends }
    };
    let others = |range: Range<usize>| {
        let row = row.get_or_init(encode);
        let start = match range.start {
            0 => 0,
            place => row.ends[place - 1] + 1,
        };
        let json = row.bytes.slice(start..row.ends[range.end - 1]);
        Piece::Row(json, range.len())
    };
    let mut pieces = Vec::with_capacity(1);
    let mut done = 0;
    for &place in changes.made_by(user, client_id) {
        let entry = &changes[place];
        if is_counted(&entry.change) {
            if done < place {
                pieces.push(others(done..place));
            }
            pieces.push(Piece::One(name, ack(entry.change.seq, entry.revision)));
            done = place + 1;
        }
    }
    if done < changes.len() {
        pieces.push(others(done..changes.len()));
    }
    pieces
}

/// Changes that follow one another as one message, under the numbers of their sessions.
fn together(changes: &[Arc<Committed>], number: impl Fn(&Committed) -> Option<u32>) -> Body {
    let first = changes.first().map_or(Revision::ZERO, |it| it.revision);
    let authored = changes.iter().map(|entry| Authored {
        author: number(entry).map_or(Author::User(entry.change.author), Author::Session),
        seq: entry.change.seq,
        delta: &entry.delta,
    });
    ot::operations(first, authored)
}

/// What is not counted is no submission: it only says where the client is.
fn is_counted(change: &Change) -> bool {
    change.seq > 0
}

/// The message for a change of somebody else, encoded once for all.
fn body(entry: &Arc<Committed>) -> Body {
    let encode = || {
        let change = &entry.change;
        ot::operation(entry.revision, change.author, entry.session, &change.delta)
    };
    entry.wire.ot.get_or_init(encode).clone()
}

/// An error message.
pub(crate) fn error(code: ErrorCode, message: &str, seq: Option<u64>) -> Body {
    ot::encode(&ServerMessage::Error { code, message, seq })
}

fn ack(seq: u64, revision: Revision) -> Body {
    ot::encode(&ServerMessage::Ack { seq, revision })
}

/// Who has moved is told by their numbers, or whole.
fn presence_update(update: &PresenceUpdate, numbers: bool) -> Body {
    let (moved, whole) = if numbers {
        (&update.moved[..], &[][..])
    } else {
        (&[][..], &update.moved[..])
    };
    ot::encode(&ServerMessage::PresenceUpdate {
        reset: update.reset,
        joined: update.joined.iter().map(cursor).collect(),
        updated: update.updated.iter().chain(whole).map(cursor).collect(),
        moved: moved.iter().map(moved_to).collect(),
        left: &update.left,
    })
}

fn moved_to(presence: &Presence) -> Moved {
    Moved {
        number: presence.number,
        selection: presence.selection.map(|at| (at.anchor, at.head)),
    }
}

fn cursor(presence: &Presence) -> Cursor<'_> {
    Cursor {
        session_id: presence.session,
        number: presence.number,
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

#[cfg(test)]
mod tests {
    use motet_document::{Access, Command, Document, Member, Settings, Start, Submission};
    use motet_model::SessionId;
    use motet_ot::decode;
    use serde_json::Value;

    use super::*;

    fn client(n: u8) -> ClientId {
        format!("client-{n}").parse().unwrap()
    }

    /// One batch in which these have made the changes, in this order.
    fn committed(authors: &[u8]) -> Changes {
        let id = DocumentId::from_bytes([9; 16]);
        let mut document = Document::open(id, None, Settings::default()).unwrap();
        let joins = (0..4).map(|n| Command::Join {
            session: SessionId::from_bytes([n; 16]),
            member: Member {
                user: UserId::from_bytes([n; 16]),
                name: "User".into(),
                color: None,
                access: Access::Write,
            },
            client_id: client(n),
            start: Start::Text,
        });
        let (_, plan) = document.plan(1_000, joins);
        let _joined = document.commit(plan, Revision::ZERO);
        let submissions = authors.iter().enumerate().map(|(index, &n)| {
            let delta = decode(br#"{"ops":[{"insert":"x"}]}"#).unwrap();
            Command::Submit {
                session: SessionId::from_bytes([n; 16]),
                submission: Submission::new(Revision::ZERO, index as u64 + 1, delta),
            }
        });
        let (_, plan) = document.plan(2_000, submissions);
        let head = Revision::new(authors.len() as u64);
        let events = document.commit(plan, head).into_iter();
        let mut changes = events.filter_map(|(_, event)| match event {
            Event::Changes { changes, .. } => Some(changes),
            _ => None,
        });
        changes.next().unwrap()
    }

    /// What a client is sent of it, one message after another.
    fn one_by_one(changes: &Changes, name: Option<DocumentId>, n: u8) -> Vec<Piece> {
        let of = |entry: &Arc<Committed>| match entry.change.client_id == client(n) {
            true => Piece::One(name, ack(entry.change.seq, entry.revision)),
            false => Piece::One(name, body(entry)),
        };
        changes.iter().map(of).collect()
    }

    #[test]
    fn a_batch_is_what_its_changes_are_one_by_one() {
        let document = Some(DocumentId::from_bytes([9; 16]));
        for authors in [
            &[0, 1][..],
            &[1, 0],
            &[0, 1, 1, 0, 2],
            &[1, 1, 1],
            &[2, 0, 0, 2],
        ] {
            let changes = committed(authors);
            let wire = changes.wire().unwrap();
            for (n, name) in (0..4).flat_map(|n| [(n, None), (n, document)]) {
                let user = UserId::from_bytes([n; 16]);
                let pieces = batch(&changes, wire, name, (user, &client(n)));
                let sent: Value = serde_json::from_slice(&ot::frame(&pieces).whole()).unwrap();
                let expected = ot::frame(&one_by_one(&changes, name, n)).whole();
                let expected: Value = serde_json::from_slice(&expected).unwrap();
                assert_eq!(sent, expected, "{authors:?}, to {n}");
                assert_eq!(sent.as_array().unwrap().len(), authors.len());
            }
        }
    }
}
