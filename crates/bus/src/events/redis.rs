//! Events in Redis Streams, one for each kind: `{prefix}:events:document.edit` and so on. Entries
//! have the fields `format`, `id`, `key` (if there is one), `at` and `payload`.
//!
//! All consumers of a group have one name in Redis, which knows by itself what was handed out and
//! when: none is left behind by a program that ends.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::{
    Client, ErrorKind, RedisError, Value,
    aio::MultiplexedConnection,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};
use bytes::Bytes;
use tokio::{sync::Mutex, time::Instant};

use super::{
    Consumer, Delivered, Event, EventKind, Events, EventsSettings, FORMAT, Fields, READ_AHEAD_MAX,
    Receipt, check_all, check_consumer,
};
use crate::{BusError, pauses::Pauses, redis as bus};

/// Of every consumer.
const CONSUMER: &str = "motet";

/// How long the server waits for an event before it answers that there is none.
const BLOCK_MAX: Duration = Duration::from_secs(5);

/// Events in Redis Streams.
///
/// # Durability
///
/// Stored is what the server has in memory. With `appendonly yes` and `appendfsync always` it
/// survives a crash of the server, with `everysec` but the last second. A server without
/// persistence forgets all events, and which of them a group has read; a failover to a replica that
/// lags behind forgets some.
#[derive(Clone)]
pub struct RedisEvents {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    settings: EventsSettings,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// The latest time of the server that was seen, which entries are named by.
    server_ms: AtomicU64,
}

impl Shared {
    fn key(&self, kind: EventKind) -> String {
        format!("{}:events:{}", self.settings.bus.prefix, kind.as_str())
    }

    /// A connection, kept until something fails.
    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let answer_timeout = self.settings.bus.answer_timeout;
        let connection = bus::connection(&self.client, answer_timeout).await?;
        Ok(kept.insert(connection).clone())
    }

    /// Does it on the connection, which another one follows if it fails.
    async fn query<T: ::redis::FromRedisValue>(
        &self,
        pipe: &::redis::Pipeline,
    ) -> Result<T, BusError> {
        let queried = async {
            let mut connection = self.connection().await?;
            pipe.query_async(&mut connection).await
        };
        match queried.await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                self.connection.lock().await.take();
                Err(BusError::unavailable(error))
            }
        }
    }
}

impl RedisEvents {
    /// Does not connect yet.
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting.
    pub fn connect(url: &str, settings: EventsSettings) -> Result<Self, BusError> {
        settings.check()?;
        let shared = Shared {
            client: bus::client(url)?,
            settings,
            connection: Mutex::default(),
            server_ms: AtomicU64::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl Events for RedisEvents {
    type Consumer = RedisConsumer;

    async fn send(&self, events: &[Event]) -> Result<(), BusError> {
        check_all(events)?;
        if events.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let age_max_ms = u64::try_from(shared.settings.age_max.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = shared.server_ms.load(Relaxed).saturating_sub(age_max_ms);
        let mut pipe = ::redis::pipe();
        // All or none: of one that the server refuses those behind it must not take the place.
        pipe.atomic();
        for event in events {
            let add = pipe.cmd("XADD").arg(shared.key(event.kind));
            add.arg("MAXLEN").arg("~").arg(shared.settings.events_max);
            add.arg("*").arg("format").arg(FORMAT);
            add.arg("id").arg(&event.id).arg("at").arg(event.at_ms);
            if let Some(key) = event.key {
                add.arg("key").arg(key.to_string());
            }
            add.arg("payload").arg(event.payload.as_ref());
        }
        for kind in EventKind::ALL {
            if oldest_ms > 0 && events.iter().any(|event| event.kind == kind) {
                let trim = pipe.cmd("XTRIM").arg(shared.key(kind));
                trim.arg("MINID").arg("~").arg(oldest_ms).ignore();
            }
        }
        let ids: Vec<String> = shared.query(&pipe).await?;
        let last_ms = ids.last().and_then(|id| id.split('-').next()?.parse().ok());
        shared.server_ms.fetch_max(last_ms.unwrap_or(0), Relaxed);
        Ok(())
    }

    async fn consume(&self, kinds: &[EventKind], group: &str) -> Result<RedisConsumer, BusError> {
        let mut consumer = RedisConsumer {
            kinds: check_consumer(kinds, group)?,
            shared: Arc::clone(&self.shared),
            group: group.to_owned(),
            reading: None,
            ready: VecDeque::new(),
            claims: VecDeque::new(),
            claim_at: Instant::now(),
            pauses: Pauses::default(),
        };
        let connection = consumer.connect().await.map_err(BusError::unavailable)?;
        consumer.reading = Some(connection);
        Ok(consumer)
    }
}

impl fmt::Debug for RedisEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEvents").finish_non_exhaustive()
    }
}

/// Reads events in Redis as one of a group.
pub struct RedisConsumer {
    shared: Arc<Shared>,
    kinds: Vec<EventKind>,
    group: String,
    /// A connection of its own: the server answers nothing else while it waits for events.
    reading: Option<MultiplexedConnection>,
    ready: VecDeque<Result<Delivered, BusError>>,
    /// Where to look further for what was not acknowledged.
    claims: VecDeque<(EventKind, String)>,
    /// When to look again.
    claim_at: Instant,
    pauses: Pauses,
}

impl RedisConsumer {
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let answer_timeout = self.shared.settings.bus.answer_timeout;
        let mut connection =
            bus::connection(&self.shared.client, answer_timeout + BLOCK_MAX).await?;
        // Each time: a server that forgets has forgotten the groups, too.
        for kind in &self.kinds {
            let mut create = ::redis::cmd("XGROUP");
            create.arg("CREATE").arg(self.shared.key(*kind));
            create.arg(&self.group).arg("0").arg("MKSTREAM");
            match create.query_async::<Value>(&mut connection).await {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
                _ => {}
            }
        }
        Ok(connection)
    }

    async fn read(&mut self) -> Result<(), RedisError> {
        let mut connection = match &self.reading {
            Some(connection) => connection.clone(),
            None => self.reading.insert(self.connect().await?).clone(),
        };
        if Instant::now() >= self.claim_at {
            self.claim_at = Instant::now() + self.shared.settings.ack_wait / 2;
            self.claims = (self.kinds.iter())
                .map(|kind| (*kind, "0-0".to_owned()))
                .collect();
        }
        match self.claims.pop_front() {
            Some((kind, from)) => self.claim(&mut connection, kind, &from).await,
            None => self.read_new(&mut connection).await,
        }
    }

    /// Takes what somebody had for too long.
    async fn claim(
        &mut self,
        connection: &mut MultiplexedConnection,
        kind: EventKind,
        from: &str,
    ) -> Result<(), RedisError> {
        let ack_wait_ms = self.shared.settings.ack_wait.as_millis().to_string();
        let mut claim = ::redis::cmd("XAUTOCLAIM");
        claim.arg(self.shared.key(kind)).arg(&self.group);
        claim.arg(CONSUMER).arg(ack_wait_ms).arg(from);
        claim.arg("COUNT").arg(READ_AHEAD_MAX);
        let reply: StreamAutoClaimReply = claim.query_async(connection).await?;
        if reply.next_stream_id != "0-0" {
            self.claims.push_back((kind, reply.next_stream_id));
        }
        self.take(kind, reply.claimed, true).await
    }

    async fn read_new(&mut self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let until_claim = self.claim_at.saturating_duration_since(Instant::now());
        // 0 would be for ever.
        let block_ms = until_claim.min(BLOCK_MAX).as_millis().max(1).to_string();
        let mut read = ::redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(CONSUMER);
        read.arg("COUNT").arg(READ_AHEAD_MAX);
        read.arg("BLOCK").arg(block_ms).arg("STREAMS");
        for kind in &self.kinds {
            read.arg(self.shared.key(*kind));
        }
        for _ in &self.kinds {
            read.arg(">");
        }
        let reply: Option<StreamReadReply> = read.query_async(connection).await?;
        for stream in reply.map(|reply| reply.keys).unwrap_or_default() {
            let kind =
                (self.kinds.iter().copied()).find(|kind| self.shared.key(*kind) == stream.key);
            if let Some(kind) = kind {
                self.take(kind, stream.ids, false).await?;
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        kind: EventKind,
        entries: Vec<StreamId>,
        redelivered: bool,
    ) -> Result<(), RedisError> {
        for entry in entries {
            match event(kind, &entry) {
                Some(event) => self.ready.push_back(event.map(|event| Delivered {
                    event,
                    redelivered,
                    receipt: Receipt::Redis { id: entry.id },
                })),
                None => {
                    tracing::debug!(entry = entry.id, "no event, which is left out");
                    let acked = self.ack_entry(kind, &entry.id).await;
                    acked.map_err(|_| RedisError::from((ErrorKind::Io, "not acknowledged")))?;
                }
            }
        }
        Ok(())
    }

    async fn ack_entry(&self, kind: EventKind, id: &str) -> Result<(), BusError> {
        let mut pipe = ::redis::pipe();
        let ack = pipe.cmd("XACK").arg(self.shared.key(kind));
        ack.arg(&self.group).arg(id).ignore();
        self.shared.query(&pipe).await
    }
}

impl Consumer for RedisConsumer {
    async fn next(&mut self) -> Result<Delivered, BusError> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return next;
            }
            match self.read().await {
                Ok(()) => self.pauses.reset(),
                Err(error) => {
                    tracing::warn!(%error, group = self.group, "no events can be read from Redis");
                    self.reading = None;
                    self.pauses.pause().await;
                }
            }
        }
    }

    async fn ack(&mut self, delivered: &Delivered) -> Result<(), BusError> {
        match &delivered.receipt {
            Receipt::Redis { id } => self.ack_entry(delivered.event.kind, id).await,
            Receipt::Nats { .. } => Err(BusError::invalid("the event", "it is of another stream")),
        }
    }
}

impl fmt::Debug for RedisConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConsumer")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// The event in an entry; `None` if it is none of ours.
fn event(kind: EventKind, entry: &StreamId) -> Option<Result<Event, BusError>> {
    let bytes = |name| match entry.map.get(name) {
        Some(Value::BulkString(bytes)) => Some(bytes.as_slice()),
        _ => None,
    };
    let text = |name| std::str::from_utf8(bytes(name)?).ok();
    let fields = Fields {
        format: text("format")?,
        // What a newer format has instead is not known.
        id: text("id").unwrap_or_default(),
        key: text("key"),
        at_ms: text("at").unwrap_or_default(),
    };
    let payload = Bytes::copy_from_slice(bytes("payload").unwrap_or_default());
    fields.event(kind, payload)
}
