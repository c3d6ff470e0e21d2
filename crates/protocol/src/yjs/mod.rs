//! The dialects of identities: y-websocket, and Hocuspocus around the same messages.
//!
//! Follows y-websocket 3.1 and y-protocols 1.0. A frame holds one message. What both dialects say about a
//! document has the same bytes here, and [`hocuspocus`] puts the document's name in front.

pub mod hocuspocus;

use bytes::Bytes;
use motet_crdt::{DecodeError, SyncMessage, lib0};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

/// Something that a client says about a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// What it has, or what others lack.
    Sync(SyncMessage<'a>),
    /// Who is there: an awareness update.
    Awareness(&'a [u8]),
    /// It asks who is there.
    QueryAwareness,
    /// Something that a later protocol may say, and this one leaves alone.
    Unknown(u64),
}

/// Reads a message of y-websocket. What follows it in the frame is left alone, as its clients do.
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn decode(mut bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let kind = lib0::take_number(&mut bytes)?;
    body(kind, bytes)
}

fn body(kind: u64, mut bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    Ok(match kind {
        SYNC => Message::Sync(SyncMessage::decode(bytes)?.0),
        AWARENESS => Message::Awareness(lib0::take_bytes(&mut bytes)?),
        QUERY_AWARENESS => Message::QueryAwareness,
        other => Message::Unknown(other),
    })
}

/// A message between two replicas.
#[must_use]
pub fn sync(message: SyncMessage<'_>) -> Bytes {
    let (SyncMessage::Step1(payload) | SyncMessage::Step2(payload) | SyncMessage::Update(payload)) =
        message;
    let mut out = Vec::with_capacity(payload.len() + 8);
    lib0::put_number(&mut out, SYNC);
    message.encode(&mut out);
    out.into()
}

/// An awareness update as a message.
#[must_use]
pub fn awareness(update: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(update.len() + 4);
    lib0::put_number(&mut out, AWARENESS);
    lib0::put_bytes(&mut out, update);
    out.into()
}

/// An awareness update of nobody: a sign of life, for clients that count only messages as one.
#[must_use]
pub fn sign_of_life() -> Bytes {
    awareness(&[0])
}

/// Something was refused. Clients of y-websocket show the reason in their console.
#[must_use]
pub fn denied(reason: &str) -> Bytes {
    let mut out = Vec::with_capacity(reason.len() + 4);
    lib0::put_number(&mut out, AUTH);
    lib0::put_number(&mut out, 0);
    lib0::put_bytes(&mut out, reason.as_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn messages_are_those_of_y_websocket() {
        let step_1 = SyncMessage::Step1(&[0]);
        assert_eq!(sync(step_1), [0, 0, 1, 0][..]);
        assert_eq!(decode(&sync(step_1)).unwrap(), Message::Sync(step_1));
        assert_eq!(sign_of_life(), [1, 1, 0][..]);
        assert_eq!(decode(&[1, 1, 0, 9]).unwrap(), Message::Awareness(&[0]));
        assert_eq!(decode(&[3]).unwrap(), Message::QueryAwareness);
        assert_eq!(decode(&[77]).unwrap(), Message::Unknown(77));
        assert_eq!(denied("no"), [2, 0, 2, b'n', b'o'][..]);
        for malformed in [&[][..], &[0], &[0, 9, 0], &[0, 2, 5, 1], &[1, 200]] {
            assert!(decode(malformed).is_err(), "{malformed:?}");
        }
    }
}
