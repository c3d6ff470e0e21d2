//! The messages of y-protocols, as bytes: how two replicas come to have the same, and who is there.
//!
//! Follows y-protocols 1.0: `sync.js`, `awareness.js`. What carries them, and for which document, is the
//! affair of the protocol around them.

use crate::{
    CLIENT_MAX, Client, DecodeError,
    encoding::{Reader, Span, Write},
};

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// A message between two replicas. Its bytes are not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMessage<'a> {
    /// "This is what I have": a state vector. Answered with [`SyncMessage::Step2`].
    Step1(&'a [u8]),
    /// "This is what you lack": an update.
    Step2(&'a [u8]),
    /// "This is new": an update.
    Update(&'a [u8]),
}

impl<'a> SyncMessage<'a> {
    /// Reads a message, and how many bytes it has.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.var_u64()?;
        if kind > UPDATE {
            return Err(reader.malformed("no such sync message"));
        }
        let payload = reader.var_bytes()?.of(bytes);
        let message = match kind {
            STEP_1 => Self::Step1(payload),
            STEP_2 => Self::Step2(payload),
            _ => Self::Update(payload),
        };
        Ok((message, reader.at()))
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, payload) = match self {
            Self::Step1(payload) => (STEP_1, payload),
            Self::Step2(payload) => (STEP_2, payload),
            Self::Update(payload) => (UPDATE, payload),
        };
        out.var_u64(kind);
        out.var_bytes(payload);
    }
}

/// What one client says of itself. A higher clock is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwarenessEntry<'a> {
    /// Whose.
    pub client: Client,
    /// The client's count of what it has said.
    pub clock: u64,
    /// JSON; `null` when it has left. It is text, and is not looked into.
    pub state: &'a str,
}

/// Reads an awareness update. O(n), and no more memory than a small multiple of the bytes.
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn decode_awareness(bytes: &[u8]) -> Result<Vec<AwarenessEntry<'_>>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    for _ in 0..reader.var_u64()? {
        let client = reader.var_u64()?;
        if client > CLIENT_MAX {
            return Err(DecodeError::OutOfRange { at: reader.at() });
        }
        let clock = reader.var_u64()?;
        let state: Span = reader.var_text()?;
        entries.push(AwarenessEntry {
            client,
            clock,
            state: state.text(bytes),
        });
    }
    Ok(entries)
}

/// Writes an awareness update.
#[must_use]
pub fn encode_awareness(entries: &[AwarenessEntry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.var_u64(entries.len() as u64);
    for entry in entries {
        bytes.var_u64(entry.client);
        bytes.var_u64(entry.clock);
        bytes.var_bytes(entry.state.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn messages_round_trip() {
        for message in [
            SyncMessage::Step1(&[0]),
            SyncMessage::Step2(&[1, 2, 3]),
            SyncMessage::Update(&[]),
        ] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(SyncMessage::decode(&bytes).unwrap(), (message, bytes.len()));
            for cut in 0..bytes.len() {
                assert!(SyncMessage::decode(&bytes[..cut]).is_err());
            }
        }
        assert!(SyncMessage::decode(&[3, 0]).is_err());
    }

    #[test]
    fn awareness_round_trips() {
        let entries = [
            AwarenessEntry {
                client: CLIENT_MAX,
                clock: 7,
                state: r#"{"user":{"name":"é"}}"#,
            },
            AwarenessEntry {
                client: 0,
                clock: 0,
                state: "null",
            },
        ];
        let bytes = encode_awareness(&entries);
        assert_eq!(decode_awareness(&bytes).unwrap(), entries);
        for cut in 0..bytes.len() {
            assert!(decode_awareness(&bytes[..cut]).is_err());
        }
        assert!(decode_awareness(&[0xff, 0xff, 0xff, 0x7f]).is_err());
        assert!(decode_awareness(&[1, 1, 1, 1, 0xff]).is_err());
    }
}
