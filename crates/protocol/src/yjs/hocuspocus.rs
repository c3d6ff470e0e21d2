//! Hocuspocus: many documents on one socket, each with its own token.
//!
//! Follows the provider packages 2.15, 3.4 and 4.8. Every frame begins with the document's name, as the
//! client wrote it: a client looks its documents up by that very text.

use bytes::Bytes;
use motet_crdt::{DecodeError, SyncMessage, lib0};

use super::Message;

const SYNC: u64 = 0;
const AUTH: u64 = 2;
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const BROADCAST_STATELESS: u64 = 6;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const TOKEN: u64 = 0;
const PERMISSION_DENIED: u64 = 1;
const AUTHENTICATED: u64 = 2;

/// Longest name of a document: more than an id and a session id.
const NAME_BYTES_MAX: usize = 256;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// About a document.
    About(&'a str, Said<'a>),
    /// Asks for a [`pong`].
    Ping,
    /// Answers a ping.
    Pong,
}

/// What a client says about a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Who it is, and the version of its provider if that says so.
    Auth(&'a str, Option<&'a str>),
    /// What y-websocket would say as well.
    Message(Message<'a>),
    /// Something for the application. Its text is not looked into.
    Stateless,
    /// It is done with the document.
    Close,
}

/// Reads a frame. An error tells the name, if that could be read.
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn decode(frame: &[u8]) -> Result<Frame<'_>, (Option<&str>, DecodeError)> {
    match frame {
        [PING] => return Ok(Frame::Ping),
        [PONG] => return Ok(Frame::Pong),
        _ => {}
    }
    let mut bytes = frame;
    let name = lib0::take_text(&mut bytes).map_err(|error| (None, error))?;
    if name.len() > NAME_BYTES_MAX {
        return Err((None, DecodeError::TooLarge));
    }
    let said = said(bytes).map_err(|error| (Some(name), error))?;
    Ok(Frame::About(name, said))
}

fn said(mut bytes: &[u8]) -> Result<Said<'_>, DecodeError> {
    let kind = lib0::take_number(&mut bytes)?;
    Ok(match kind {
        AUTH => {
            if lib0::take_number(&mut bytes)? != TOKEN {
                return Ok(Said::Message(Message::Unknown(kind)));
            }
            let token = lib0::take_text(&mut bytes)?;
            let version = match bytes {
                [] => None,
                _ => Some(lib0::take_text(&mut bytes)?),
            };
            Said::Auth(token, version)
        }
        SYNC_REPLY => Said::Message(super::body(SYNC, bytes)?),
        STATELESS | BROADCAST_STATELESS => Said::Stateless,
        CLOSE => Said::Close,
        kind => Said::Message(super::body(kind, bytes)?),
    })
}

/// The front of every frame about a document.
#[must_use]
pub fn prefix(name: &str) -> Bytes {
    let mut out = Vec::with_capacity(name.len() + 2);
    lib0::put_bytes(&mut out, name.as_bytes());
    out.into()
}

/// The token was accepted.
#[must_use]
pub fn authenticated(may_write: bool) -> Bytes {
    auth(
        AUTHENTICATED,
        if may_write { "read-write" } else { "readonly" },
    )
}

/// The document is not for this client, now or any more. It does not come back by itself.
#[must_use]
pub fn permission_denied(reason: &str) -> Bytes {
    auth(PERMISSION_DENIED, reason)
}

/// Asks for a fresh token; clients of version 2 leave it alone.
#[must_use]
pub fn ask_token() -> Bytes {
    Bytes::from_static(&[2, 0])
}

fn auth(kind: u64, text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 4);
    lib0::put_number(&mut out, AUTH);
    lib0::put_number(&mut out, kind);
    lib0::put_bytes(&mut out, text.as_bytes());
    out.into()
}

/// An update of the client is stored, or was refused.
#[must_use]
pub fn sync_status(stored: bool) -> Bytes {
    let mut out = Vec::with_capacity(2);
    lib0::put_number(&mut out, SYNC_STATUS);
    lib0::put_number(&mut out, stored.into());
    out.into()
}

/// Something for the application.
#[must_use]
pub fn stateless(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len() + 4);
    lib0::put_number(&mut out, STATELESS);
    lib0::put_bytes(&mut out, text.as_bytes());
    out.into()
}

/// Answers a ping; it is about no document.
#[must_use]
pub fn pong() -> Bytes {
    Bytes::from_static(&[PONG])
}

/// A frame about a document.
#[must_use]
pub fn frame(prefix: &[u8], message: &[u8]) -> Bytes {
    [prefix, message].concat().into()
}

/// A message between two replicas, as one who speaks for a client writes it.
#[must_use]
pub fn sync(prefix: &[u8], message: SyncMessage<'_>) -> Bytes {
    frame(prefix, &super::sync(message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn frames_are_those_of_the_providers() {
        let about = |said| Frame::About("doc", said);
        // Version 3 and version 4.
        let three = b"\x03doc\x02\x00\x02to";
        assert_eq!(decode(three).unwrap(), about(Said::Auth("to", None)));
        let four = b"\x03doc\x02\x00\x02to\x054.8.0";
        assert_eq!(
            decode(four).unwrap(),
            about(Said::Auth("to", Some("4.8.0")))
        );
        let step_1 = SyncMessage::Step1(&[0]);
        let sent = sync(&prefix("doc"), step_1);
        let step_1 = Said::Message(Message::Sync(step_1));
        assert_eq!(decode(&sent).unwrap(), about(step_1));
        assert_eq!(decode(b"\x03doc\x04\x00\x01\x00").unwrap(), about(step_1));
        assert_eq!(decode(b"\x03doc\x07").unwrap(), about(Said::Close));
        assert_eq!(decode(b"\x03doc\x05\x01x").unwrap(), about(Said::Stateless));
        assert_eq!(decode(&[9]).unwrap(), Frame::Ping);
        assert_eq!(decode(&pong()).unwrap(), Frame::Pong);
        assert_eq!(sync_status(true), [8, 1][..]);
        assert_eq!(authenticated(false), &b"\x02\x02\x08readonly"[..]);
        assert_eq!(permission_denied("no"), &b"\x02\x01\x02no"[..]);
    }

    #[test]
    fn malformed_frames_name_their_document_if_they_can() {
        assert_eq!(decode(b"\x09doc").unwrap_err().0, None);
        assert_eq!(decode(b"\x03doc").unwrap_err().0, Some("doc"));
        assert_eq!(decode(b"\x03doc\x00\x09\x00").unwrap_err().0, Some("doc"));
        assert_eq!(decode(&prefix(&"x".repeat(300))).unwrap_err().0, None);
    }
}
