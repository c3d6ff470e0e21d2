//! WebSockets (RFC 6455) for a server with many connections on which seldom anything happens.
//!
//! A connection that is quiet has no buffer. What arrives is read into one of the thread's and only then into
//! memory of its own, which frames are cut from and which goes with the last of them. What is sent is written
//! from where it lies: many frames in one system call, and a broadcast from the same bytes for all.
//!
//! # Invariants
//!
//! - **quiet is free**: a socket keeps no memory beside a frame that has not arrived whole and what its client does
//!   not take.
//! - **bounded**: a message has at most as many bytes as is allowed, in however many frames, and room is made for
//!   what has arrived, not for what is said to come.
//! - **strict**: whatever RFC 6455 says that a server must not take ends the connection, with the code that it names.
//!
//! # Not here
//!
//! Extensions, subprotocols and TLS: none is offered. How frames' headers are read and written (`tungstenite`). Answers
//! to pings and farewells, which the reader asks the writer for.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{Cursor, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use motet_protocol::{close, ot::Text};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tungstenite::{
    Utf8Bytes,
    handshake::derive_accept_key,
    protocol::frame::{
        FrameHeader,
        coding::{CloseCode, Control, Data, OpCode},
    },
};

use super::frame::{Broken, Frame, Outgoing};

/// So much is read at a time.
const READ_BYTES: usize = 64 << 10;
/// So much waits for a client before its writer has to wait for it.
const WAITING_BYTES_MAX: usize = 256 << 10;
/// So many pieces are written in one system call.
const PIECES_MAX: usize = 64;
/// Longest header of a frame that is not masked.
const HEADER_BYTES_MAX: u8 = 10;
/// Longest payload of a ping, a pong or a farewell.
const CONTROL_BYTES_MAX: usize = 125;

thread_local! {
    /// What the thread has just read, before it is the connection's.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A request that is to become a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    accept: String,
    socket: OnUpgrade,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let bad = |message| (StatusCode::BAD_REQUEST, message);
        if parts.method != Method::GET {
            let message = "Request method must be `GET`";
            return Err((StatusCode::METHOD_NOT_ALLOWED, message));
        }
        if !lists(&parts.headers, header::CONNECTION, "upgrade") {
            return Err(bad("Connection header did not include 'upgrade'"));
        }
        if !lists(&parts.headers, header::UPGRADE, "websocket") {
            return Err(bad("`Upgrade` header did not include 'websocket'"));
        }
        if !lists(&parts.headers, header::SEC_WEBSOCKET_VERSION, "13") {
            return Err(bad("`Sec-WebSocket-Version` header did not include '13'"));
        }
        let Some(key) = parts.headers.get(header::SEC_WEBSOCKET_KEY) else {
            return Err(bad("`Sec-WebSocket-Key` header missing"));
        };
        let accept = derive_accept_key(key.as_bytes());
        let socket = parts.extensions.remove::<OnUpgrade>();
        let message = "WebSocket request couldn't be upgraded since no upgrade state was present";
        let socket = socket.ok_or((StatusCode::UPGRADE_REQUIRED, message))?;
        Ok(Self { accept, socket })
    }
}

/// Whether one of the words of a header is this one.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(','));
    words.any(|it| it.trim().eq_ignore_ascii_case(word))
}

impl Upgrade {
    /// The answer that makes it one. `serve` is called once the client can have seen that.
    pub(crate) fn answer(self, serve: impl FnOnce(Socket) + Send + 'static) -> Response {
        tokio::spawn(async move {
            // A client that is gone needs no socket.
            let Ok(upgraded) = self.socket.await else {
                return;
            };
            match downcast::<TokioIo<TcpStream>>(upgraded) {
                Ok(parts) => serve(Socket {
                    tcp: parts.io.into_inner(),
                    ahead: parts.read_buf,
                }),
                Err(_) => tracing::error!("a WebSocket came by something else than TCP"),
            }
        });
        let headers = [
            (header::CONNECTION, "upgrade".to_owned()),
            (header::UPGRADE, "websocket".to_owned()),
            (header::SEC_WEBSOCKET_ACCEPT, self.accept),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

/// A WebSocket that is open.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    /// What came behind the request.
    ahead: Bytes,
}

impl Socket {
    /// Its two halves. Messages have at most so many bytes.
    pub(crate) fn split(self, message_bytes_max: usize) -> (Reader, Writer) {
        let (read, write) = self.tcp.into_split();
        let reader = Reader {
            tcp: read,
            frames: Frames {
                unread: BytesMut::from(&self.ahead[..]),
                message: None,
                message_bytes_max,
            },
            is_over: false,
        };
        let writer = Writer {
            tcp: write,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        };
        (reader, writer)
    }
}

/// What the client says.
pub(crate) struct Reader {
    tcp: OwnedReadHalf,
    frames: Frames,
    /// There was a farewell, or an error.
    is_over: bool,
}

impl Stream for Reader {
    type Item = Result<Frame, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.is_over {
            match this.frames.next() {
                Ok(Some(frame)) => {
                    this.is_over = matches!(frame, Frame::Close(_));
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) => {}
                Err(broken) => {
                    this.is_over = true;
                    return Poll::Ready(Some(Err(broken)));
                }
            }
            // Not `try_read`: this knows that a socket which gave less than there was room for is empty, and does not
            // ask it once more.
            let read = READ.with_borrow_mut(|read| {
                let mut buffer = ReadBuf::new(read);
                let polled = Pin::new(&mut this.tcp).poll_read(cx, &mut buffer);
                this.frames.unread.extend_from_slice(buffer.filled());
                polled.map_ok(|()| buffer.filled().is_empty())
            });
            this.is_over = ready!(read).unwrap_or(true);
        }
        Poll::Ready(None)
    }
}

/// From bytes to messages.
struct Frames {
    /// What was read, and is not a whole frame yet.
    unread: BytesMut,
    /// The front of a message that goes on in other frames.
    message: Option<Fragments>,
    message_bytes_max: usize,
}

struct Fragments {
    is_text: bool,
    payload: BytesMut,
}

impl Frames {
    /// The next message, or what stands between them.
    fn next(&mut self) -> Result<Option<Frame>, Broken> {
        while let Some((header, payload)) = self.cut()? {
            let is_text = match header.opcode {
                OpCode::Control(kind) => return control(kind, payload).map(Some),
                OpCode::Data(Data::Text) => Some(true),
                OpCode::Data(Data::Binary) => Some(false),
                OpCode::Data(_) => None,
            };
            let message = match (self.message.take(), is_text) {
                (Some(mut message), None) => {
                    message.payload.extend_from_slice(&payload);
                    message
                }
                (None, Some(is_text)) => Fragments { is_text, payload },
                // One message ends before the next begins.
                _ => return Err(Broken::Refused(close::PROTOCOL)),
            };
            if header.is_final {
                return whole(message).map(Some);
            }
            self.message = Some(message);
        }
        Ok(None)
    }

    /// Cuts off the frame at the front, once all of it is there.
    fn cut(&mut self) -> Result<Option<(FrameHeader, BytesMut)>, Broken> {
        if self.unread.is_empty() {
            // **quiet is free**
            self.unread = BytesMut::new();
            return Ok(None);
        }
        let mut cursor = Cursor::new(&self.unread[..]);
        let parsed = FrameHeader::parse(&mut cursor);
        let parsed = parsed.map_err(|_| Broken::Refused(close::PROTOCOL))?;
        let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let breaks_rules = header.rsv1 || header.rsv2 || header.rsv3 || header.mask.is_none();
        // Written in as few bytes as it takes, and a number of 63 bits.
        let is_length = start == header.len(length) && length >> 63 == 0;
        if breaks_rules || !is_length || (is_control && !header.is_final) {
            return Err(Broken::Refused(close::PROTOCOL));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if is_control && length > CONTROL_BYTES_MAX {
            return Err(Broken::Refused(close::PROTOCOL));
        }
        let before = self.message.as_ref().map_or(0, |it| it.payload.len());
        if length > self.message_bytes_max.saturating_sub(before) && !is_control {
            let limit = self.message_bytes_max;
            let message = format!("a message has at most {limit} bytes");
            return Err(Broken::TooLarge(message));
        }
        if self.unread.len() - start < length {
            return Ok(None);
        }
        self.unread.advance(start);
        let mut payload = self.unread.split_to(length);
        unmask(&mut payload, header.mask.unwrap_or_default());
        Ok(Some((header, payload)))
    }
}

fn control(kind: Control, payload: BytesMut) -> Result<Frame, Broken> {
    match kind {
        Control::Ping => Ok(Frame::Ping(payload.freeze())),
        Control::Pong => Ok(Frame::Pong),
        Control::Close => match payload.split_first_chunk() {
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !CloseCode::from(code).is_allowed() {
                    return Err(Broken::Refused(close::PROTOCOL));
                }
                let reason = std::str::from_utf8(reason);
                reason.map_err(|_| Broken::Refused(close::NO_TEXT))?;
                Ok(Frame::Close(Some(code)))
            }
            None if payload.is_empty() => Ok(Frame::Close(None)),
            None => Err(Broken::Refused(close::PROTOCOL)),
        },
        Control::Reserved(_) => Err(Broken::Refused(close::PROTOCOL)),
    }
}

fn whole(message: Fragments) -> Result<Frame, Broken> {
    let payload = message.payload.freeze();
    if !message.is_text {
        return Ok(Frame::Binary(payload));
    }
    let text = Utf8Bytes::try_from(payload);
    text.map(Frame::Text)
        .map_err(|_| Broken::Refused(close::NO_TEXT))
}

/// Takes a mask off.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// What the client is sent.
pub(crate) struct Writer {
    tcp: OwnedWriteHalf,
    waiting: VecDeque<Part>,
    waiting_bytes: usize,
}

/// A frame on its way, or what is left of it. What is in several pieces is as many parts, of which the first has
/// the header.
struct Part {
    header: [u8; HEADER_BYTES_MAX as usize],
    /// Where what is left of the header begins and ends.
    at: u8,
    end: u8,
    payload: Bytes,
}

impl Part {
    /// The first part of a frame, and what follows it.
    fn new(frame: Outgoing) -> (Self, Vec<Bytes>) {
        let (opcode, payload) = match frame {
            Outgoing::Text(json) => (OpCode::Data(Data::Text), json),
            Outgoing::Binary(bytes) => (OpCode::Data(Data::Binary), bytes.into()),
            Outgoing::Ping => (OpCode::Control(Control::Ping), Text::default()),
            Outgoing::Pong(payload) => (OpCode::Control(Control::Pong), payload.into()),
            Outgoing::Close(code) => {
                let code = code.map(|code| Bytes::copy_from_slice(&code.to_be_bytes()));
                let code = code.unwrap_or_default();
                (OpCode::Control(Control::Close), code.into())
            }
        };
        let Text { first, rest } = payload;
        let length = first.len() + rest.iter().map(Bytes::len).sum::<usize>();
        let described = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        let mut header = [0; HEADER_BYTES_MAX as usize];
        let mut room = &mut header[..];
        let written = described.format(length as u64, &mut room);
        written.expect("there is room for any header without a mask");
        let left = u8::try_from(room.len()).unwrap_or_default();
        let part = Self {
            header,
            at: 0,
            end: HEADER_BYTES_MAX - left,
            payload: first,
        };
        (part, rest)
    }

    fn further(payload: Bytes) -> Self {
        Self {
            header: [0; HEADER_BYTES_MAX as usize],
            at: 0,
            end: 0,
            payload,
        }
    }

    fn header(&self) -> &[u8] {
        &self.header[usize::from(self.at)..usize::from(self.end)]
    }

    fn len(&self) -> usize {
        self.header().len() + self.payload.len()
    }

    /// So much of it was written.
    fn advance(&mut self, count: usize) {
        let of_header = count.min(self.header().len());
        self.at += u8::try_from(of_header).unwrap_or_default();
        self.payload.advance(count - of_header);
    }
}

impl Writer {
    /// Writes what waits, until the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.waiting.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
            let parts = self.waiting.iter();
            let slices = parts.flat_map(|part| [part.header(), &part.payload[..]]);
            let slices = slices.filter(|it| !it.is_empty());
            let mut count = 0;
            for (piece, slice) in pieces.iter_mut().zip(slices) {
                *piece = IoSlice::new(slice);
                count += 1;
            }
            let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, &pieces[..count]);
            match ready!(written) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Gone)),
                Ok(length) => self.written(length),
            }
        }
        // **quiet is free**
        self.waiting = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut length: usize) {
        self.waiting_bytes -= length;
        while let Some(part) = self.waiting.front_mut() {
            if length < part.len() {
                return part.advance(length);
            }
            length -= part.len();
            self.waiting.pop_front();
        }
    }
}

impl Sink<Outgoing> for Writer {
    type Error = Broken;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.waiting_bytes < WAITING_BYTES_MAX {
            return Poll::Ready(Ok(()));
        }
        self.poll_write(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), Broken> {
        let (first, rest) = Part::new(frame);
        for part in std::iter::once(first).chain(rest.into_iter().map(Part::further)) {
            self.waiting_bytes += part.len();
            self.waiting.push_back(part);
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_write(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
