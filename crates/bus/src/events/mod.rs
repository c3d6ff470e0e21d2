//! What happened, for programs outside of the installation: each event once in a stream, or seldom
//! twice.

pub(crate) mod nats;
pub(crate) mod redis;

use std::{collections::HashMap, time::Duration};

use async_nats::Subject;
use bytes::Bytes;
use motet_model::DocumentId;

use crate::{BusError, BusSettings, settings::check_name};

/// Largest payload of an event.
pub const EVENT_BYTES_MAX: usize = 512 << 10;

/// Longest id of an event.
pub const EVENT_ID_BYTES_MAX: usize = 128;

/// Longest name of a group.
pub const GROUP_BYTES_MAX: usize = 64;

/// How an event is written in a stream: the names of its fields, and what they hold.
const FORMAT: u32 = 1;

/// Most events that are read ahead of whoever takes them.
const READ_AHEAD_MAX: usize = 64;

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// `document.edit`: a document has changed.
    DocumentEdit,
    /// `document.version`: a point in a document's history was named.
    DocumentVersion,
    /// `notification.event`: somebody is to be told something.
    NotificationEvent,
    /// `audit.log`: a row of the audit trail.
    AuditLog,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::DocumentEdit,
        Self::DocumentVersion,
        Self::NotificationEvent,
        Self::AuditLog,
    ];

    /// The name outside, which is permanent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DocumentEdit => "document.edit",
            Self::DocumentVersion => "document.version",
            Self::NotificationEvent => "notification.event",
            Self::AuditLog => "audit.log",
        }
    }

    /// Whether all events of the kind have one order, and not only those of each document.
    const fn has_one_order(self) -> bool {
        matches!(self, Self::NotificationEvent | Self::AuditLog)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same again is a repeat: 1 to [`EVENT_ID_BYTES_MAX`] visible ASCII characters.
    pub id: String,
    /// What it tells of.
    pub kind: EventKind,
    /// The document that it concerns.
    pub key: Option<DocumentId>,
    /// When it happened, in ms since the Unix epoch.
    pub at_ms: u64,
    /// What happened, as JSON of at most [`EVENT_BYTES_MAX`].
    pub payload: Bytes,
}

impl Event {
    fn check(&self) -> Result<(), BusError> {
        if self.payload.len() > EVENT_BYTES_MAX {
            return Err(BusError::TooLarge {
                size_bytes: self.payload.len(),
                limit_bytes: EVENT_BYTES_MAX,
            });
        }
        let allowed = |byte: u8| byte.is_ascii_graphic();
        if !(1..=EVENT_ID_BYTES_MAX).contains(&self.id.len()) || !self.id.bytes().all(allowed) {
            let detail = format!("it has 1 to {EVENT_ID_BYTES_MAX} visible characters");
            return Err(BusError::invalid("the id of an event", detail));
        }
        Ok(())
    }
}

/// How streams of events behave. They are bounded: what is older or more is gone, also for groups
/// that have not read it. Who sends says so; who only reads leaves a stream as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventsSettings {
    /// The connection, and the prefix of the streams' names.
    pub bus: BusSettings,
    /// How long an event is kept. Redis removes whole blocks of a stream, when others are added.
    pub age_max: Duration,
    /// How many of each kind are kept; in Redis about so many.
    pub events_max: u32,
    /// How many bytes are kept in all. NATS only.
    pub bytes_max: u64,
    /// Servers of a NATS cluster that hold the stream, when it is made.
    pub replicas: u8,
    /// When what a consumer took and did not acknowledge is handed out again.
    pub ack_wait: Duration,
}

impl Default for EventsSettings {
    fn default() -> Self {
        Self {
            bus: BusSettings::default(),
            age_max: Duration::from_secs(7 * 24 * 60 * 60),
            events_max: 1_000_000,
            bytes_max: 4 << 30,
            replicas: 1,
            ack_wait: Duration::from_secs(30),
        }
    }
}

impl EventsSettings {
    fn check(&self) -> Result<(), BusError> {
        self.bus.check()?;
        let invalid = |what| Err(BusError::invalid(what, "it is too little"));
        if self.age_max < Duration::from_secs(1) {
            return invalid("the age of events");
        }
        if self.events_max == 0 || self.bytes_max < EVENT_BYTES_MAX as u64 {
            return invalid("the size of the streams of events");
        }
        if self.ack_wait < Duration::from_millis(100) {
            return invalid("the time for acknowledgements");
        }
        Ok(())
    }
}

/// Streams of events that outlive the nodes.
///
/// # Invariants
///
/// - **stored**: `Ok` means that the stream has them, as this implementation's `# Durability`
///   section defines.
/// - **in turn**: of one document and kind, and of one kind of the trail, no event is stored for the
///   first time before one that was sent earlier, as long as whoever is told `Unavailable` sends
///   all again before anything later, and whatever became of connections.
/// - **at least once**: an event that a group did not acknowledge is handed out again, also after a
///   restart of whoever took it, as long as the stream holds it.
/// - **apart**: groups do not take events from each other; consumers of one group do.
pub trait Events: Send + Sync + 'static {
    /// What reads them.
    type Consumer: Consumer;

    /// Adds events to their streams, in turn.
    ///
    /// # Errors
    ///
    /// `TooLarge`, `Invalid`: nothing was sent. `Unavailable`: any of them may have been stored;
    /// send all again, and readers know repeats by their ids.
    fn send(&self, events: &[Event]) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Reads `kinds` as one of the group with this name: 1 to [`GROUP_BYTES_MAX`] ASCII letters,
    /// digits, `-` and `_`. A new group begins with the oldest events that there are; another one
    /// goes on where it stopped.
    ///
    /// # Errors
    ///
    /// `Invalid`: no kinds, or the name. `Unavailable`: try again.
    fn consume(
        &self,
        kinds: &[EventKind],
        group: &str,
    ) -> impl Future<Output = Result<Self::Consumer, BusError>> + Send;
}

/// One of those that read as a group.
pub trait Consumer: Send + 'static {
    /// The next event that nobody of the group has, or that somebody had for too long. Waits for
    /// it, and for the server if need be, for ever. They come as they were stored, but for those that
    /// come again.
    ///
    /// Some are read ahead, and come again elsewhere if they are not acknowledged in time. If the
    /// future is dropped, what it was about to take comes again, too.
    ///
    /// # Errors
    ///
    /// `NewerFormat`: an event that this program cannot read, which is not acknowledged.
    fn next(&mut self) -> impl Future<Output = Result<Delivered, BusError>> + Send;

    /// Says that the group is done with it.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may come again.
    fn ack(&mut self, delivered: &Delivered) -> impl Future<Output = Result<(), BusError>> + Send;
}

/// An event, handed out to one consumer.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The event.
    pub event: Event,
    /// Somebody of the group had it before.
    pub redelivered: bool,
    receipt: Receipt,
}

/// What acknowledges it.
#[derive(Clone, Debug)]
enum Receipt {
    Redis { id: String },
    Nats { reply: Subject },
}

/// The events of each order, in it.
fn turns(events: &[Event]) -> Vec<Vec<&Event>> {
    let mut turns: Vec<Vec<&Event>> = Vec::new();
    let mut places = HashMap::new();
    for event in events {
        let key = event.key.filter(|_| !event.kind.has_one_order());
        let place = *places.entry((event.kind, key)).or_insert(turns.len());
        match turns.get_mut(place) {
            Some(turn) => turn.push(event),
            None => turns.push(vec![event]),
        }
    }
    turns
}

fn check_all(events: &[Event]) -> Result<(), BusError> {
    events.iter().try_for_each(Event::check)
}

/// The kinds to read, each once.
fn check_consumer(kinds: &[EventKind], group: &str) -> Result<Vec<EventKind>, BusError> {
    check_name("the name of the group", group, GROUP_BYTES_MAX)?;
    if kinds.is_empty() {
        return Err(BusError::invalid("the choice of events", "it is empty"));
    }
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

/// An event's fields as a stream has them.
struct Fields<'a> {
    format: &'a str,
    id: &'a str,
    key: Option<&'a str>,
    at_ms: &'a str,
}

impl Fields<'_> {
    /// The event; `None` if it is none of ours.
    fn event(self, kind: EventKind, payload: Bytes) -> Option<Result<Event, BusError>> {
        match self.format.parse() {
            Ok(FORMAT) => {}
            Ok(found @ 1..) => {
                return Some(Err(BusError::NewerFormat {
                    found,
                    supported: FORMAT,
                }));
            }
            _ => return None,
        }
        let event = Event {
            id: self.id.to_owned(),
            kind,
            key: match self.key {
                Some(key) => Some(key.parse().ok()?),
                None => None,
            },
            at_ms: self.at_ms.parse().ok()?,
            payload,
        };
        event.check().ok()?;
        Some(Ok(event))
    }
}
