//! What travels on a connection, whatever carries it.
//!
//! A carrier gives a connection two halves: a stream of what the client sends, and a sink for what it
//! is to be sent, which takes a frame when the one before is on its way. The reader and the writer
//! know no more of it.

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures_util::{Sink, SinkExt, Stream, StreamExt, future::ready};

/// One frame, in either direction.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
    /// Asks for a sign of life; the carrier answers by itself.
    Ping,
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
            Self::Ping | Self::Pong | Self::Close(_) => 0,
        }
    }
}

/// Why no more frames come, where that is no farewell.
#[derive(Debug)]
pub(crate) enum Broken {
    /// A frame was over the limit. The rest of it is never read.
    TooLarge(String),
    /// The client is gone, or does not keep to the carrier's rules.
    Gone,
}

/// The two halves of a WebSocket.
pub(crate) fn websocket(
    socket: WebSocket,
) -> (
    impl Stream<Item = Result<Frame, Broken>> + Send + Unpin,
    impl Sink<Frame> + Send + Unpin,
) {
    let (sink, stream) = socket.split();
    let stream = stream.map(|message| match message {
        Ok(message) => Ok(message.into()),
        Err(cause) => Err(broken(&cause)),
    });
    let sink = sink.with(|frame: Frame| ready(Ok::<_, axum::Error>(frame.into())));
    (stream, sink)
}

fn broken(cause: &axum::Error) -> Broken {
    let cause = std::error::Error::source(cause)
        .and_then(|cause| cause.downcast_ref::<tungstenite::Error>());
    match cause {
        Some(tungstenite::Error::Capacity(limit)) => Broken::TooLarge(limit.to_string()),
        _ => Broken::Gone,
    }
}

impl From<Message> for Frame {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes),
            Message::Ping(_) => Self::Ping,
            Message::Pong(_) => Self::Pong,
            Message::Close(frame) => Self::Close(frame.map(|frame| frame.code)),
        }
    }
}

impl From<Frame> for Message {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text),
            Frame::Binary(bytes) => Self::Binary(bytes),
            Frame::Ping => Self::Ping(Bytes::new()),
            Frame::Pong => Self::Pong(Bytes::new()),
            Frame::Close(code) => Self::Close(code.map(|code| CloseFrame {
                code,
                reason: "".into(),
            })),
        }
    }
}
