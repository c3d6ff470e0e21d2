//! One connection: a reader that turns messages into commands, and a writer that sends what its
//! sessions' documents say. They share little, so a client that does not read can still be heard, and
//! one that does not write is still served. What carries their frames (`frame.rs`) is a WebSocket (`websocket.rs`), or
//! an event stream and requests (`sse.rs`).

mod frame;
mod hocuspocus;
mod ot;
mod reader;
mod sse;
mod throttle;
mod websocket;
mod writer;
mod yjs;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use motet_document::Start;
use motet_model::{ClientId, DocumentId, limits};
use motet_protocol::{ErrorCode, close};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::throttle::Rates;
use self::{
    frame::{Broken, Frame, Outgoing},
    hocuspocus::Hocuspocus,
    ot::Ot,
    writer::Writer,
    yjs::YWebsocket,
};
pub(crate) use self::{
    sse::{EventStream, Refusal, Uplink, Uplinks, event_stream, node_of},
    websocket::Upgrade,
};
use super::{
    Collab,
    session::{Key, Message, Session},
};

/// Most bytes of answers that wait for a client which does not read them.
const ANSWERS_BYTES_MAX: usize = limits::OUTBOX_BYTES_MAX;

/// How a client opened its connection.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// Where its requests arrive, if it is an event stream.
    pub(crate) uplink: Option<Arc<Uplink>>,
    /// The document of the path, on a connection that holds just one.
    pub(crate) document: Option<DocumentId>,
    /// The token of the query or the header.
    pub(crate) token: Option<String>,
    /// The network address of the client.
    pub(crate) address: Arc<str>,
    /// The client id of the query.
    pub(crate) client_id: Option<ClientId>,
    /// Where the query says that the session starts from.
    pub(crate) start: Start,
    /// The client takes several changes as one message.
    pub(crate) batches: bool,
    /// Path or query make no sense: say so and close.
    pub(crate) refused: Option<(ErrorCode, String)>,
}

/// What reader and writer share.
struct Shared {
    sessions: Mutex<HashMap<Key, Arc<Session>>>,
    answers: Mutex<Answers>,
    /// Submissions that the reader has not counted yet.
    submitted: AtomicUsize,
    /// The client has gone, though what it said before may still be heard.
    gone: AtomicBool,
    /// Wakes the writer.
    writer: Arc<Notify>,
    /// The writer has ended, whichever way: nothing that the reader waits for will come.
    ended: CancellationToken,
}

#[derive(Default)]
struct Answers {
    messages: Vec<Message>,
    size_bytes: usize,
    /// What the client's latest ping said, until that is answered.
    pong: Option<Bytes>,
    close: Option<u16>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, HashMap<Key, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a submission.
    fn submitted(&self) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers a message. A client that asks without reading the answers is cut off.
    fn answer(&self, message: Message) {
        self.prepend(message);
        self.writer.notify_one();
    }

    /// Answers a message together with what follows at once, and leaves it to that to wake the writer.
    fn prepend(&self, message: Message) {
        let mut answers = self.answers();
        answers.size_bytes += message.len();
        if answers.size_bytes > ANSWERS_BYTES_MAX {
            answers.close.get_or_insert(close::POLICY);
        } else {
            answers.messages.push(message);
        }
    }

    /// Answers a ping, or the latest of some.
    fn pong(&self, payload: Bytes) {
        self.answers().pong = Some(payload);
        self.writer.notify_one();
    }

    /// Ends the connection once the answers so far are sent.
    fn close(&self, code: u16) {
        self.answers().close.get_or_insert(code);
        self.writer.notify_one();
    }

    /// Whether the connection is to end once the answers so far are sent.
    fn is_closing(&self) -> bool {
        self.answers().close.is_some()
    }

    fn session(&self, key: &Key) -> Option<Arc<Session>> {
        self.sessions().get(key).cloned()
    }

    /// From here on the writer speaks for the session.
    fn register(&self, session: Arc<Session>) {
        let outbox = Arc::clone(&session.outbox);
        self.sessions().insert(session.key(), session);
        // The answer may have come before the writer could know the session; else it wakes the writer itself.
        if !outbox.is_empty() {
            self.writer.notify_one();
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Positions: JSON.
    Ot,
    /// Identities, about one document.
    YWebsocket,
    /// Identities, about several documents.
    Hocuspocus,
}

/// Serves a connection until either side ends it. Its sessions leave when they are dropped with
/// what reader and writer share, so none outlives it.
pub(crate) async fn run(
    (frames, sink): (
        impl Stream<Item = Result<Frame, Broken>> + Unpin,
        impl Sink<Outgoing> + Send + Unpin + 'static,
    ),
    collab: Arc<Collab>,
    dialect: Dialect,
    opening: Opening,
) {
    let shared = Arc::new(Shared {
        sessions: Mutex::default(),
        answers: Mutex::default(),
        submitted: AtomicUsize::new(0),
        gone: AtomicBool::new(false),
        writer: Arc::new(Notify::new()),
        ended: CancellationToken::new(),
    });
    let writer = Writer {
        sink,
        shared: Arc::clone(&shared),
        collab: Arc::clone(&collab),
        has_spoken: false,
    };
    let ended = shared.ended.clone().drop_guard();
    let writer = tokio::spawn(async move {
        let _ended = ended;
        writer.run().await;
    });
    match dialect {
        Dialect::Ot => reader::run(&mut Ot::new(collab, shared, opening), frames).await,
        Dialect::YWebsocket => {
            reader::run(&mut YWebsocket::new(collab, shared, opening), frames).await;
        }
        Dialect::Hocuspocus => {
            reader::run(&mut Hocuspocus::new(collab, shared, opening), frames).await;
        }
    }
    // A writer that panicked has been reported by the runtime.
    let _ended = writer.await;
}
