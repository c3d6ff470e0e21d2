//! Events in one JetStream stream, `{prefix}-events`, with a subject for each kind:
//! `{prefix}.events.document.edit` and so on. A message's payload is the event's; its headers are
//! `Nats-Msg-Id`, `Motet-Format`, `Motet-Key` (if there is one) and `Motet-At`.
//!
//! A group is one durable pull consumer for each kind: servers before 2.10 filter by one subject
//! only.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{
        Context, Message,
        consumer::{AckPolicy, DeliverPolicy, pull},
        context::ContextBuilder,
        message::{Acker, PublishMessage},
        stream::{Config as StreamConfig, Stream},
    },
};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream, SelectAll},
};
use tokio::{sync::watch, time::timeout};

use super::{
    Consumer, Delivered, Event, EventKind, Events, EventsSettings, FORMAT, Fields, READ_AHEAD_MAX,
    Receipt, check_all, check_consumer, turns,
};
use crate::{
    BusError,
    nats::{Link, broken, client},
    pauses::Pauses,
};

/// How long the stream knows repeats.
const REPEATS_KNOWN: Duration = Duration::from_secs(10 * 60);

/// Most events that are on their way at a time, none of them in one order with another.
const UNDER_WAY_MAX: usize = 64;

/// How long the server waits for an event before it answers that there is none.
const PULL_MAX: Duration = Duration::from_secs(30);

const HEADER_ID: &str = "Nats-Msg-Id";
const HEADER_FORMAT: &str = "Motet-Format";
const HEADER_KEY: &str = "Motet-Key";
const HEADER_AT: &str = "Motet-At";

/// Events in JetStream.
///
/// # Durability
///
/// Stored is what JetStream has in its file, of most servers that hold the stream if there are
/// several. A server writes to its disk some time later (`sync_interval`, two minutes unless it is
/// told otherwise), so a crash of the machine of a stream with one replica may lose the latest.
/// JetStream in memory forgets all.
///
/// Repeats are dropped by the stream if the first was stored within ten minutes; later ones
/// come with the same id.
#[derive(Clone)]
pub struct NatsEvents {
    shared: Arc<Shared>,
}

struct Shared {
    context: Context,
    link: watch::Receiver<Link>,
    settings: EventsSettings,
    /// The stream is there, and as it should be.
    is_ready: AtomicBool,
}

impl Shared {
    fn subject(&self, kind: EventKind) -> String {
        format!("{}.events.{}", self.settings.bus.prefix, kind.as_str())
    }

    fn stream_config(&self) -> StreamConfig {
        let settings = &self.settings;
        StreamConfig {
            name: format!("{}-events", settings.bus.prefix),
            subjects: vec![format!("{}.events.>", settings.bus.prefix)],
            max_age: settings.age_max,
            max_bytes: i64::try_from(settings.bytes_max).unwrap_or(i64::MAX),
            max_messages_per_subject: i64::from(settings.events_max),
            duplicate_window: REPEATS_KNOWN.min(settings.age_max),
            num_replicas: usize::from(settings.replicas),
            ..StreamConfig::default()
        }
    }

    /// The stream, which is made if it is not there.
    async fn stream(&self) -> Result<Stream, BusError> {
        let stream = self.context.get_or_create_stream(self.stream_config());
        stream.await.map_err(BusError::unavailable)
    }

    /// Makes the stream, or gives the one that is there these limits. What else an operator has
    /// changed stays.
    async fn prepare(&self) -> Result<(), BusError> {
        let config = self.stream_config();
        let stream = self.stream().await?;
        let found = &stream.cached_info().config;
        let wanted = StreamConfig {
            subjects: config.subjects,
            max_age: config.max_age,
            max_bytes: config.max_bytes,
            max_messages_per_subject: config.max_messages_per_subject,
            duplicate_window: config.duplicate_window,
            ..found.clone()
        };
        if wanted != *found {
            let updated = self.context.update_stream(&wanted).await;
            updated.map_err(BusError::unavailable)?;
        }
        self.is_ready.store(true, Relaxed);
        Ok(())
    }

    /// Gives up at once where there is no connection: async-nats would send later what it is given,
    /// and wait for answers that went to another one.
    async fn connected<T>(
        &self,
        act: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        if !self.link.borrow().is_up() {
            return Err(BusError::unavailable("NATS is not connected"));
        }
        tokio::select! {
            done = act => done,
            () = broken(self.link.clone()) => {
                Err(BusError::unavailable("the connection to NATS broke"))
            }
        }
    }

    async fn send(&self, events: &[Event]) -> Result<(), BusError> {
        if !self.is_ready.load(Relaxed) {
            self.prepare().await?;
        }
        // Of two that are on their way, a connection that breaks, or a server that is no leader any more, may
        // lose the first and store the second.
        let turns = stream::iter(turns(events).into_iter().map(Ok));
        let sent = turns.try_for_each_concurrent(UNDER_WAY_MAX, |turn| async move {
            for event in turn {
                self.publish(event).await?;
            }
            Ok(())
        });
        sent.await
    }

    /// Publishes an event, and waits until it is stored.
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        let published = async {
            let subject = self.subject(event.kind);
            let ack = self.context.send_publish(subject, message(event)).await?;
            ack.await
        };
        match timeout(self.settings.bus.answer_timeout, published).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(BusError::unavailable(error)),
            Err(elapsed) => Err(BusError::unavailable(elapsed)),
        }
    }
}

fn message(event: &Event) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(HEADER_ID, event.id.as_str());
    headers.insert(HEADER_FORMAT, FORMAT.to_string());
    headers.insert(HEADER_AT, event.at_ms.to_string());
    if let Some(key) = event.key {
        headers.insert(HEADER_KEY, key.to_string());
    }
    PublishMessage::build()
        .payload(event.payload.clone())
        .headers(headers)
}

impl NatsEvents {
    /// Begins to connect, in the background, and for ever if need be.
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting.
    pub async fn connect(urls: &str, settings: EventsSettings) -> Result<Self, BusError> {
        settings.check()?;
        let (client, link) = client(urls, &settings.bus).await?;
        let context = ContextBuilder::new()
            .timeout(settings.bus.answer_timeout)
            .backpressure_on_inflight(true)
            .build(client);
        let shared = Shared {
            context,
            link,
            settings,
            is_ready: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl Events for NatsEvents {
    type Consumer = NatsConsumer;

    async fn send(&self, events: &[Event]) -> Result<(), BusError> {
        check_all(events)?;
        let sent = self.shared.connected(self.shared.send(events)).await;
        if sent.is_err() {
            // Perhaps the stream is gone.
            self.shared.is_ready.store(false, Relaxed);
        }
        sent
    }

    async fn consume(&self, kinds: &[EventKind], group: &str) -> Result<NatsConsumer, BusError> {
        let mut consumer = NatsConsumer {
            kinds: check_consumer(kinds, group)?,
            shared: Arc::clone(&self.shared),
            group: group.to_owned(),
            messages: SelectAll::new(),
            pauses: Pauses::default(),
        };
        self.shared.connected(consumer.open()).await?;
        Ok(consumer)
    }
}

impl fmt::Debug for NatsEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsEvents").finish_non_exhaustive()
    }
}

/// Reads events in JetStream as one of a group.
pub struct NatsConsumer {
    shared: Arc<Shared>,
    kinds: Vec<EventKind>,
    group: String,
    messages: SelectAll<BoxStream<'static, (EventKind, Result<Message, pull::MessagesError>)>>,
    pauses: Pauses,
}

impl NatsConsumer {
    async fn open(&mut self) -> Result<(), BusError> {
        let stream = self.shared.stream().await?;
        for kind in self.kinds.clone() {
            let name = format!("{}-{}", self.group, kind.as_str().replace('.', "-"));
            let config = pull::Config {
                durable_name: Some(name.clone()),
                filter_subject: self.shared.subject(kind),
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::Explicit,
                ack_wait: self.shared.settings.ack_wait,
                ..pull::Config::default()
            };
            let consumer = stream.get_or_create_consumer(&name, config).await;
            let messages = (consumer.map_err(BusError::unavailable)?.stream())
                .max_messages_per_batch(READ_AHEAD_MAX)
                .expires(PULL_MAX)
                .heartbeat(self.shared.settings.bus.ping_interval.min(PULL_MAX / 3))
                .messages()
                .await
                .map_err(BusError::unavailable)?;
            self.messages
                .push(messages.map(move |message| (kind, message)).boxed());
        }
        Ok(())
    }

    fn acker(&self, reply: async_nats::Subject) -> Acker {
        Acker::new(self.shared.context.clone(), Some(reply))
    }
}

impl Consumer for NatsConsumer {
    async fn next(&mut self) -> Result<Delivered, BusError> {
        loop {
            if self.messages.is_empty()
                && let Err(error) = self.open().await
            {
                tracing::warn!(%error, group = self.group, "no events can be read from NATS");
                self.messages.clear();
                self.pauses.pause().await;
                continue;
            }
            let (kind, message) = match self.messages.next().await {
                Some((kind, Ok(message))) => (kind, message),
                failed => {
                    let error = failed.and_then(|(_, message)| message.err());
                    tracing::warn!(
                        ?error,
                        group = self.group,
                        "events from NATS are interrupted"
                    );
                    self.messages.clear();
                    self.pauses.pause().await;
                    continue;
                }
            };
            self.pauses.reset();
            let redelivered = message.info().is_ok_and(|info| info.delivered > 1);
            let Some(reply) = message.reply.clone() else {
                continue;
            };
            match event(kind, &message) {
                Some(event) => {
                    return event.map(|event| Delivered {
                        event,
                        redelivered,
                        receipt: Receipt::Nats { reply },
                    });
                }
                None => {
                    tracing::debug!(subject = %message.subject, "no event, which is left out");
                    if let Err(error) = self.acker(reply).ack().await {
                        tracing::debug!(%error, "it comes again");
                    }
                }
            }
        }
    }

    async fn ack(&mut self, delivered: &Delivered) -> Result<(), BusError> {
        let Receipt::Nats { reply } = &delivered.receipt else {
            return Err(BusError::invalid("the event", "it is of another stream"));
        };
        let acker = self.acker(reply.clone());
        let acked = async { acker.double_ack().await.map_err(BusError::unavailable) };
        self.shared.connected(acked).await
    }
}

impl fmt::Debug for NatsConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConsumer")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// The event in a message; `None` if it is none of ours.
fn event(kind: EventKind, message: &Message) -> Option<Result<Event, BusError>> {
    let headers = message.headers.as_ref()?;
    let text = |name: &str| headers.get(name).map(|value| value.as_str());
    let fields = Fields {
        format: text(HEADER_FORMAT)?,
        // What a newer format has instead is not known.
        id: text(HEADER_ID).unwrap_or_default(),
        key: text(HEADER_KEY),
        at_ms: text(HEADER_AT).unwrap_or_default(),
    };
    fields.event(kind, message.payload.clone())
}
