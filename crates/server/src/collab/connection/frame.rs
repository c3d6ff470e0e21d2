//! What travels on a connection, whatever carries it.
//!
//! A carrier gives a connection two halves: a stream of what the client sends, and a sink for what it
//! is to be sent, which takes frames as long as there is room and writes those that wait together. The reader and
//! the writer know no more of it.

use bytes::Bytes;
use motet_protocol::ot::Text;
use tungstenite::Utf8Bytes;

/// One frame of the client.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// Asks for a sign of life, which repeats this.
    Ping(Bytes),
    /// A sign of life.
    Pong,
    /// A farewell, and why where that is said.
    Close(Option<u16>),
}

impl Frame {
    /// The length of what it says, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Ping(_) | Self::Pong | Self::Close(_) => 0,
        }
    }
}

/// One frame of the server.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// UTF-8, as this server has written it: nobody checks that again for each receiver.
    Text(Text),
    Binary(Bytes),
    /// Asks for a sign of life.
    Ping,
    /// Gives one, with what the client asked for.
    Pong(Bytes),
    /// A farewell, and why where that is said.
    Close(Option<u16>),
}

/// Why no more frames come, where that is no farewell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A frame was over the limit. The rest of it is never read.
    TooLarge(String),
    /// The client does not keep to the carrier's rules; the code that says which.
    Refused(u16),
    /// The client is gone.
    Gone,
}
