//! How a message between nodes is written: format, what it is, the sender's id (16 bytes), the
//! message.
//!
//! # Invariants
//!
//! **harmless**: whatever the bytes are, opening them does not fail; what is not understood is
//! ignored. A newer format is, too, so that nodes of two releases run beside each other: its sender
//! is a node whose changes are in the log.

use bytes::{BufMut, Bytes};
use motet_model::NodeId;

const FORMAT: u8 = 1;
const MESSAGE: u8 = 0;
const LOST: u8 = 1;
const HEADER_BYTES: usize = 18;

/// What one node says to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Message(Bytes),
    /// Something was to be said here, and could not be.
    Lost,
}

pub(crate) fn seal(node: NodeId, said: &Said) -> Vec<u8> {
    let (kind, message) = match said {
        Said::Message(message) => (MESSAGE, message.as_ref()),
        Said::Lost => (LOST, [].as_slice()),
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + message.len());
    bytes.put_u8(FORMAT);
    bytes.put_u8(kind);
    bytes.put_slice(&node.to_bytes());
    bytes.put_slice(message);
    bytes
}

/// Who said what; `None` for what is not an envelope of ours.
pub(crate) fn open(bytes: &[u8]) -> Option<(NodeId, Said)> {
    let Some((header, message)) = bytes.split_at_checked(HEADER_BYTES) else {
        tracing::debug!(bytes = bytes.len(), "a message on the bus is no envelope");
        return None;
    };
    let node = NodeId::from_bytes(<[u8; 16]>::try_from(&header[2..]).ok()?);
    match (header[0], header[1]) {
        // Its own memory: what was read from the socket at once may be much more.
        (FORMAT, MESSAGE) => Some((node, Said::Message(Bytes::copy_from_slice(message)))),
        (FORMAT, LOST) => Some((node, Said::Lost)),
        (format, kind) => {
            tracing::debug!(format, kind, "a message on the bus has an unknown format");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([7; 16]);

    #[test]
    fn what_is_sealed_opens() {
        for said in [
            Said::Message(Bytes::from_static(b"hello")),
            Said::Message(Bytes::new()),
            Said::Lost,
        ] {
            assert_eq!(open(&seal(NODE, &said)), Some((NODE, said)));
        }
    }

    /// **harmless**
    #[test]
    fn harmless() {
        let whole = seal(NODE, &Said::Message(Bytes::from_static(b"hello")));
        for end in 0..HEADER_BYTES {
            assert_eq!(open(&whole[..end]), None);
        }
        for (at, byte) in [(0, 0), (0, 2), (0, 255), (1, 2), (1, 255)] {
            let mut other = whole.clone();
            other[at] = byte;
            assert_eq!(open(&other), None, "{byte} at {at}");
        }
    }
}
