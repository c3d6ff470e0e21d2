//! What carries a connection where WebSockets are blocked: an event stream (SSE) to the client, and
//! a request for each of its frames.
//!
//! ```text
//! client ── requests, numbered ──▶ uplink ── in turn ──▶ reader
//! client ◀─ event stream ◀──────── one frame at a time ─ writer
//! ```
//!
//! # Invariants
//!
//! - **in turn**: the reader hears the frames 1, 2, 3, …, each once, in whatever order requests come
//!   in and however often one is repeated.
//! - **bounded**: the frames of a connection that are being read or wait have room for two of the
//!   largest, and those before whose turn another must come for one.
//! - **its own**: frames come from the user and the source of credentials that the connection was last shown:
//!   neither another user nor another key or sign-in of the same user says anything on it.
//! - **one end**: a stream that breaks ends the connection as a socket that breaks does, and from
//!   then on there is no uplink.
//!
//! # Not here
//!
//! Requests and their answers (`http/live.rs`).

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::response::sse::Event;
use futures_util::{Sink, Stream, StreamExt, stream};
use motet_model::{DocumentId, NodeId, UserId};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, sync::PollSender};
use tungstenite::Utf8Bytes;

use super::frame::{Broken, Frame, Outgoing};
use crate::{
    auth::{Principal, Source},
    entropy,
};

/// What a frame counts for beside its text, so that small ones are bounded too.
const FRAME_BYTES: usize = 1 << 10;

/// Why a frame was not taken. It has not used its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The connection is over: make a new one.
    Gone,
    /// Too much waits already: send it again in a moment.
    Busy,
    /// The frame is over the limit, and the connection ends for it.
    TooLarge,
}

/// Where the requests of one connection arrive.
#[derive(Debug)]
pub(crate) struct Uplink {
    owner: Mutex<Owner>,
    document: DocumentId,
    frame_bytes_max: usize,
    /// For frames that are being read or wait, in bytes.
    space: Arc<Semaphore>,
    turn: Mutex<Turn>,
}

/// Whose frames an uplink takes.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    user: UserId,
    source: Source,
}

impl Owner {
    fn of(principal: &Principal) -> Self {
        Self {
            user: principal.user,
            source: principal.credential.source(),
        }
    }
}

#[derive(Debug)]
struct Turn {
    /// The number of the frame that the reader has to hear next.
    next: u64,
    /// Frames that came before their turn.
    early: BTreeMap<u64, Waiting>,
    early_bytes: usize,
    reader: mpsc::UnboundedSender<Result<Waiting, Broken>>,
}

/// A frame, and its share of the space.
#[derive(Debug)]
struct Waiting {
    text: Utf8Bytes,
    _space: OwnedSemaphorePermit,
}

/// Space for one frame.
#[derive(Debug)]
pub(crate) struct Space {
    /// How long the frame may be.
    pub(crate) size_bytes: usize,
    permit: OwnedSemaphorePermit,
}

impl Uplink {
    fn new(
        owner: Owner,
        document: DocumentId,
        frame_bytes_max: usize,
        reader: mpsc::UnboundedSender<Result<Waiting, Broken>>,
    ) -> Self {
        Self {
            owner: Mutex::new(owner),
            document,
            frame_bytes_max,
            space: Arc::new(Semaphore::new(2 * (frame_bytes_max + FRAME_BYTES))),
            turn: Mutex::new(Turn {
                next: 1,
                early: BTreeMap::new(),
                early_bytes: 0,
                reader,
            }),
        }
    }

    /// The connection was shown this: from now on its frames come from there.
    pub(super) fn shown(&self, principal: &Principal) {
        *self.owner() = Owner::of(principal);
    }

    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes space before a frame is read: for `size_bytes` if its length is known.
    ///
    /// # Errors
    ///
    /// `TooLarge`, `Busy`.
    pub(crate) fn reserve(&self, size_bytes: Option<usize>) -> Result<Space, Refusal> {
        let size_bytes = size_bytes.unwrap_or(self.frame_bytes_max);
        if size_bytes > self.frame_bytes_max {
            return Err(self.too_large());
        }
        let share = u32::try_from(size_bytes + FRAME_BYTES).map_err(|_| Refusal::Busy)?;
        let permit = Arc::clone(&self.space).try_acquire_many_owned(share);
        permit
            .map(|permit| Space { size_bytes, permit })
            .map_err(|_| Refusal::Busy)
    }

    /// Ends the connection as a socket with too large a frame ends.
    pub(crate) fn too_large(&self) -> Refusal {
        let limit = format!("a frame has at most {} bytes", self.frame_bytes_max);
        // A connection that has ended needs no other end.
        let _ended = self.turn().reader.send(Err(Broken::TooLarge(limit)));
        Refusal::TooLarge
    }

    /// Takes a frame; one that was taken before is not taken again.
    ///
    /// # Errors
    ///
    /// `Gone`, `Busy`.
    pub(crate) fn take(
        &self,
        number: NonZeroU64,
        text: Utf8Bytes,
        space: Space,
    ) -> Result<(), Refusal> {
        let number = number.get();
        let mut turn = self.turn();
        if turn.reader.is_closed() {
            return Err(Refusal::Gone);
        }
        if number < turn.next || turn.early.contains_key(&number) {
            return Ok(());
        }
        let size_bytes = text.len() + FRAME_BYTES;
        if number > turn.next && turn.early_bytes + size_bytes > self.frame_bytes_max + FRAME_BYTES
        {
            return Err(Refusal::Busy);
        }
        let waiting = Waiting {
            text,
            _space: space.permit,
        };
        turn.early_bytes += size_bytes;
        turn.early.insert(number, waiting);
        turn.advance()
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Hands the reader all frames whose turn it is.
    fn advance(&mut self) -> Result<(), Refusal> {
        while let Some(waiting) = self.early.remove(&self.next) {
            self.next += 1;
            self.early_bytes -= waiting.text.len() + FRAME_BYTES;
            let sent = self.reader.send(Ok(waiting));
            sent.map_err(|_| Refusal::Gone)?;
        }
        Ok(())
    }
}

/// The uplinks of this node, by the ids of their connections: the node's own, and a secret.
#[derive(Debug)]
pub(crate) struct Uplinks {
    node: NodeId,
    listed: Mutex<HashMap<String, Arc<Uplink>>>,
}

/// The node that holds a connection, by the connection's id.
pub(crate) fn node_of(connection: &str) -> Option<NodeId> {
    let (node, _) = connection.split_once('.')?;
    node.parse().ok()
}

impl Uplinks {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            listed: Mutex::default(),
        }
    }

    /// The uplink of a connection to that document which was shown such a credential.
    pub(crate) fn get(
        &self,
        id: &str,
        document: DocumentId,
        principal: &Principal,
    ) -> Option<Arc<Uplink>> {
        let uplinks = self.lock();
        let uplink = uplinks.get(id).filter(|uplink| {
            uplink.document == document && *uplink.owner() == Owner::of(principal)
        });
        uplink.cloned()
    }

    fn list(self: &Arc<Self>, uplink: &Arc<Uplink>) -> Listed {
        let id = format!("{}.{}", self.node, entropy::token::<24>());
        self.lock().insert(id.clone(), Arc::clone(uplink));
        let uplinks = Arc::clone(self);
        Listed { uplinks, id }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Uplink>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An uplink that requests find for as long as this is not dropped.
pub(crate) struct Listed {
    uplinks: Arc<Uplinks>,
    id: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.uplinks.lock().remove(&self.id);
    }
}

/// A connection that is an event stream.
pub(crate) struct EventStream<Reader, Writer, Events> {
    /// What the server reads from and writes to.
    pub(crate) halves: (Reader, Writer),
    /// What it is for the client.
    pub(crate) events: Events,
    /// Where the client's requests arrive.
    pub(crate) uplink: Option<Arc<Uplink>>,
}

/// Opens one. A client of whom it is not known who it is (`principal` is `None`) has no uplink: it is only
/// told why.
pub(crate) fn event_stream(
    uplinks: &Arc<Uplinks>,
    principal: Option<&Principal>,
    document: Option<DocumentId>,
    frame_bytes_max: usize,
) -> EventStream<
    impl Stream<Item = Result<Frame, Broken>> + Send + Unpin + use<>,
    impl Sink<Outgoing> + Send + Unpin + 'static + use<>,
    impl Stream<Item = Result<Event, Infallible>> + Send + use<>,
> {
    let (reader, heard) = mpsc::unbounded_channel();
    let uplink = principal.zip(document).map(|(principal, document)| {
        let owner = Owner::of(principal);
        Arc::new(Uplink::new(owner, document, frame_bytes_max, reader))
    });
    let listed = uplink.as_ref().map(|uplink| uplinks.list(uplink));
    let opening = listed.as_ref().map(|listed| {
        let text = json!({ "connectionId": listed.id }).to_string();
        Ok(Event::default().event("connection").data(text))
    });

    // The server drops the stream when the client is gone, and when it has been sent to its end.
    let ended = CancellationToken::new();
    let dropped = ended.clone().drop_guard();
    let (sink, mut frames) = mpsc::channel(1);
    let events = stream::poll_fn(move |cx| {
        let _dropped = &dropped;
        frames.poll_recv(cx)
    });
    let events = events.filter_map(async |frame| event(frame).map(Ok));
    let events = stream::iter(opening).chain(events);

    let mut heard = heard;
    let frames = stream::poll_fn(move |cx| {
        let _listed = &listed;
        heard.poll_recv(cx)
    });
    let frames = frames
        .map(|waiting: Result<Waiting, Broken>| waiting.map(|waiting| Frame::Text(waiting.text)))
        .take_until(ended.cancelled_owned())
        .fuse();
    EventStream {
        halves: (Box::pin(frames), PollSender::new(sink)),
        events,
        uplink,
    }
}

/// What a frame is in the stream. Comments keep proxies from closing it.
fn event(frame: Outgoing) -> Option<Event> {
    match frame {
        Outgoing::Text(json) => Some(Event::default().data(String::from_utf8_lossy(&json.whole()))),
        Outgoing::Ping => Some(Event::DEFAULT_KEEP_ALIVE),
        Outgoing::Close(code) => {
            let text = json!({ "code": code }).to_string();
            Some(Event::default().event("close").data(text))
        }
        // A dialect that needs them is not spoken here.
        Outgoing::Binary(_) | Outgoing::Pong(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_BYTES_MAX: usize = 2 << 10;

    fn uplink() -> (Uplink, mpsc::UnboundedReceiver<Result<Waiting, Broken>>) {
        let (reader, heard) = mpsc::unbounded_channel();
        let owner = Owner {
            user: "01a1fcb8-9136-7494-bb8b-dec10d7ae45e".parse().unwrap(),
            source: Source::Elsewhere,
        };
        let document = "01a1fcb8-9136-7494-bb8b-dec10d7ae45f".parse().unwrap();
        let uplink = Uplink::new(owner, document, FRAME_BYTES_MAX, reader);
        (uplink, heard)
    }

    fn take(uplink: &Uplink, number: u64, text: &str) -> Result<(), Refusal> {
        let space = uplink.reserve(Some(text.len()))?;
        uplink.take(NonZeroU64::new(number).unwrap(), text.into(), space)
    }

    #[test]
    fn in_turn() {
        const FRAMES: u64 = 500;
        let (uplink, mut heard) = uplink();
        let mut next = 1;
        // Each request comes three times, in an order that mixes neighbours.
        for step in 0..3 * FRAMES {
            let number = ((step / 3) ^ (step % 2)) + 1;
            let taken = take(&uplink, number, &number.to_string());
            assert!(matches!(taken, Ok(()) | Err(Refusal::Busy)), "{taken:?}");
            while let Ok(frame) = heard.try_recv() {
                assert_eq!(frame.unwrap().text.as_str(), next.to_string());
                next += 1;
            }
        }
        assert_eq!(next, FRAMES + 1);
    }

    #[test]
    fn bounded() {
        let (uplink, mut heard) = uplink();
        let large = "x".repeat(FRAME_BYTES_MAX);
        // Before their turn, one of the largest may wait.
        assert_eq!(take(&uplink, 2, &large), Ok(()));
        assert_eq!(take(&uplink, 3, &large), Err(Refusal::Busy));
        assert_eq!(take(&uplink, 3, "x"), Err(Refusal::Busy));
        assert_eq!(take(&uplink, 1, &large), Ok(()), "that one can always come");
        assert_eq!(
            take(&uplink, 3, "x"),
            Err(Refusal::Busy),
            "nobody has heard them"
        );
        drop((heard.try_recv(), heard.try_recv()));
        assert_eq!(take(&uplink, 3, &large), Ok(()));
        // Those that are being read count, whatever length they say.
        let reading = uplink.reserve(None).unwrap();
        assert_eq!(reading.size_bytes, FRAME_BYTES_MAX);
        assert_eq!(take(&uplink, 4, "x"), Err(Refusal::Busy));
        drop(reading);
        assert_eq!(take(&uplink, 4, "x"), Ok(()));
        let too_large = "x".repeat(FRAME_BYTES_MAX + 1);
        assert_eq!(take(&uplink, 5, &too_large), Err(Refusal::TooLarge));
        drop(heard);
        assert_eq!(take(&uplink, 5, "x"), Err(Refusal::Gone));
    }
}
