//! What the server sends.
//!
//! A message is encoded once, as a [`Body`], and a body is joined into as many frames as there are
//! receivers. On a connection that holds several documents each message names its document; a body
//! is therefore a JSON object without its opening brace, which [`frame`] puts in front.

use bytes::Bytes;
use motet_model::{ClientId, DocumentId, Revision, SessionId, UserId};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::ErrorCode;

/// A message's JSON without the opening brace.
pub type Body = Bytes;

/// What the server can say, but for `operation` and `operations`, which have functions of their own.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ServerMessage<'a> {
    /// The answer to a join.
    DocumentState {
        /// Named here where the frame does not name it.
        #[serde(skip_serializing_if = "Option::is_none")]
        document_id: Option<DocumentId>,
        /// The revision that the client starts from. The content at it goes [behind](Piece::Behind).
        revision: Revision,
        /// The session's id.
        session_id: SessionId,
        /// The name under which the client numbers its submissions.
        client_id: &'a ClientId,
        /// The latest number known of that client.
        last_seq: u64,
        /// What the session may do.
        role: &'a str,
        /// What stands for the session in `operations`.
        number: u32,
        /// The session's colour.
        color: u8,
        /// Who else is here.
        presence: Vec<Cursor<'a>>,
    },
    /// A submission is durable.
    Ack {
        /// Its number.
        seq: u64,
        /// What it was committed as.
        revision: Revision,
    },
    /// A submission was merged by its identities.
    Reconciled {
        /// Its number.
        seq: u64,
        /// What it was committed as.
        revision: Revision,
        /// What leads from the submission on its base to `revision`: a delta's JSON.
        operation: &'a RawValue,
    },
    /// Who came, moved and left.
    PresenceUpdate {
        /// Whether this is the whole.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
        /// Came.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        joined: Vec<Cursor<'a>>,
        /// Moved, or changed their data.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        updated: Vec<Cursor<'a>>,
        /// Moved, and nothing else; for clients that know sessions by their numbers.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        moved: Vec<Moved>,
        /// Left.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        left: &'a [SessionId],
    },
    /// The session's rights from here on.
    PermissionChanged {
        /// What the session may do.
        role: &'a str,
    },
    /// The token was accepted.
    Authenticated {
        /// Whose it is.
        user_id: UserId,
        /// When its time is over, RFC 3339, if ever.
        expires_at: Option<&'a str>,
    },
    /// The session is over, as asked.
    LeftDocument {},
    /// The answer to a ping.
    Pong {},
    /// A message was refused, or the connection is about to end.
    Error {
        /// Why.
        code: ErrorCode,
        /// For the person who reads it.
        message: &'a str,
        /// The submission.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
}

/// What others see of a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor<'a> {
    /// The session.
    pub session_id: SessionId,
    /// What stands for it in `operations` and in `moved`.
    pub number: u32,
    /// The account.
    pub user_id: UserId,
    /// The account's name.
    pub name: &'a str,
    /// A small number.
    pub color: u8,
    /// The end of the selection that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<usize>,
    /// The end that moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<usize>,
    /// Free-form JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a RawValue>,
}

/// Where a session points now, in the fewest bytes: a round of moves goes from everybody to everybody.
///
/// A list of the session's number, the anchor and the head; a caret is one place, and no cursor none.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// The session's.
    pub number: u32,
    /// Anchor and head.
    pub selection: Option<(usize, usize)>,
}

impl Serialize for Moved {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.selection {
            None => [self.number].serialize(serializer),
            Some((anchor, head)) if anchor == head => (self.number, head).serialize(serializer),
            Some((anchor, head)) => (self.number, anchor, head).serialize(serializer),
        }
    }
}

/// Encodes a message.
///
/// # Panics
///
/// Never: every message has a JSON form.
#[must_use]
pub fn encode(message: &ServerMessage<'_>) -> Body {
    let json = serde_json::to_vec(message).expect("messages have only text keys");
    Bytes::from(json).slice(1..)
}

/// Encodes a change for the sessions that did not make it. `delta` is its JSON as the log holds it:
/// it is neither read nor written anew. `session` is left out where it is not known.
#[must_use]
pub fn operation(
    revision: Revision,
    user: UserId,
    session: Option<SessionId>,
    delta: &[u8],
) -> Body {
    const FIXED_BYTES: usize = 192;
    let mut body = Vec::with_capacity(FIXED_BYTES + delta.len());
    let head = format!(r#""type":"operation","revision":{revision},"userId":"{user}","#);
    body.extend_from_slice(head.as_bytes());
    if let Some(session) = session {
        body.extend_from_slice(format!(r#""sessionId":"{session}","#).as_bytes());
    }
    body.extend_from_slice(br#""operation":"#);
    body.extend_from_slice(delta);
    body.push(b'}');
    Bytes::from(body)
}

/// What is longer is not copied into a frame, but stays where all frames find it.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// A part of a frame.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A message, and the document that it names.
    One(Option<DocumentId>, Body),
    /// The same, and a field that stands behind the others: its name, and the JSON of its value.
    Behind(Option<DocumentId>, Body, &'static str, Bytes),
    /// So many messages of a [`row`].
    Row(Bytes, usize),
}

/// Writes messages one after another, as frames hold them, and says where each ends: one byte that separates
/// it from the next comes behind. Made once, any part of it goes into as many frames as there are receivers.
#[must_use]
pub fn row(document: Option<DocumentId>, bodies: &[Body]) -> (Bytes, Box<[usize]>) {
    let mut json = Vec::with_capacity(size_bytes(bodies.iter()));
    let mut ends = Vec::with_capacity(bodies.len());
    for body in bodies {
        if !json.is_empty() {
            json.push(b',');
        }
        put(&mut json, document, body);
        ends.push(json.len());
    }
    (json.into(), ends.into())
}

impl Piece {
    /// How long it is, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::One(_, json) | Self::Row(json, _) => json.len(),
            Self::Behind(_, json, _, value) => json.len() + value.len(),
        }
    }
}

/// The text of a frame, in one piece or several.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// What it begins with.
    pub first: Bytes,
    /// What follows.
    pub rest: Vec<Bytes>,
}

impl From<Bytes> for Text {
    fn from(first: Bytes) -> Self {
        let rest = Vec::new();
        Self { first, rest }
    }
}

impl Text {
    /// All of it in one piece. O(1) where it is.
    #[must_use]
    pub fn whole(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = self.first.to_vec();
        for part in self.rest {
            whole.extend_from_slice(&part);
        }
        whole.into()
    }
}

/// A text in the making.
struct Writing {
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Writing {
    fn put(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.open.extend_from_slice(bytes);
        }
        self.done.push(std::mem::take(&mut self.open).into());
        self.done.push(Bytes::clone(bytes));
    }

    fn put_message(&mut self, document: Option<DocumentId>, body: &Body) {
        put_opening(&mut self.open, document);
        self.put(body);
    }

    fn end(mut self) -> Text {
        if self.done.is_empty() {
            return Bytes::from(self.open).into();
        }
        if !self.open.is_empty() {
            self.done.push(self.open.into());
        }
        let first = self.done.remove(0);
        let rest = self.done;
        Text { first, rest }
    }
}

/// Joins messages into one frame; the id names the document on a connection that holds several.
#[must_use]
pub fn frame(pieces: &[Piece]) -> Text {
    let copied = pieces.iter().map(|piece| match piece {
        Piece::One(_, json) | Piece::Row(json, _) | Piece::Behind(_, json, ..) => json,
    });
    let copied = copied.filter(|it| it.len() <= COPIED_BYTES_MAX);
    let mut writing = Writing {
        done: Vec::new(),
        open: Vec::with_capacity(size_bytes(copied) + 2),
    };
    let alone = matches!(
        pieces,
        [Piece::One(..) | Piece::Behind(..) | Piece::Row(_, 1)]
    );
    if !alone {
        writing.open.push(b'[');
    }
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            writing.open.push(b',');
        }
        match piece {
            Piece::One(document, body) => writing.put_message(*document, body),
            Piece::Behind(document, body, field, value) => {
                let open = body.len() - 1;
                writing.put_message(*document, &body.slice(..open));
                let field = format!(r#","{field}":"#);
                writing.open.extend_from_slice(field.as_bytes());
                writing.put(value);
                writing.open.push(b'}');
            }
            Piece::Row(json, _) => writing.put(json),
        }
    }
    if !alone {
        writing.open.push(b']');
    }
    writing.end()
}

fn put(json: &mut Vec<u8>, document: Option<DocumentId>, body: &Body) {
    put_opening(json, document);
    json.extend_from_slice(body);
}

fn put_opening(json: &mut Vec<u8>, document: Option<DocumentId>) {
    json.push(b'{');
    if let Some(document) = document {
        json.extend_from_slice(format!(r#""documentId":"{document}","#).as_bytes());
    }
}

/// At most so many bytes, with all that is put around them.
fn size_bytes<'a>(bodies: impl Iterator<Item = &'a Body>) -> usize {
    const AROUND_BYTES: usize = 56;
    bodies.map(|body| body.len() + AROUND_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_as_short_as_they_can_be() {
        let moved = |number, selection| Moved { number, selection };
        let update = ServerMessage::PresenceUpdate {
            reset: false,
            joined: Vec::new(),
            updated: Vec::new(),
            moved: vec![
                moved(1, Some((5, 9))),
                moved(22, Some((7, 7))),
                moved(3, None),
            ],
            left: &[],
        };
        assert_eq!(
            encode(&update),
            r#""type":"presence_update","moved":[[1,5,9],[22,7],[3]]}"#
        );
    }

    #[test]
    fn what_is_long_is_not_copied() {
        let long = Bytes::from(format!(r#"{{"ops":"{}"}}"#, "x".repeat(COPIED_BYTES_MAX)));
        let short = Bytes::from_static(br#"{"ops":[]}"#);
        let pong = || encode(&ServerMessage::Pong {});
        let document = Some(DocumentId::from_bytes([9; 16]));
        for (name, value) in [
            (None, &long),
            (None, &short),
            (document, &long),
            (document, &short),
        ] {
            let behind = Piece::Behind(name, pong(), "content", value.clone());
            let alone = frame(std::slice::from_ref(&behind));
            let among = frame(&[
                Piece::One(name, pong()),
                behind,
                Piece::One(name, value.slice(1..)),
            ]);
            let is_shared = |it: &Bytes| it.as_ptr() == value.as_ptr();
            assert_eq!(alone.rest.iter().any(is_shared), value == &long);
            assert_eq!(alone.rest.is_empty(), value != &long);
            let text = |json: &Bytes| String::from_utf8(json.to_vec()).expect("UTF-8");
            let named = name.map_or(String::new(), |id| format!(r#""documentId":"{id}","#));
            let value = text(value);
            let expected = format!(r#"{{{named}"type":"pong","content":{value}}}"#);
            assert_eq!(text(&alone.whole()), expected);
            let (pong, last) = (format!(r#"{{{named}"type":"pong"}}"#), &value[1..]);
            assert_eq!(
                text(&among.whole()),
                format!("[{pong},{expected},{{{named}{last}]")
            );
        }
    }
}
