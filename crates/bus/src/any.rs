use bytes::Bytes;
use motet_model::NodeId;
use tokio::sync::watch;

use crate::{
    Bus, BusError, BusSettings, BusState, Consumer, Delivered, Event, EventKind, Events,
    EventsSettings, LocalBus, NatsBus, NatsConsumer, NatsEvents, RedisBus, RedisConsumer,
    RedisEvents, Subscription, Topic,
};

/// What an address is one of.
enum Kind {
    Redis,
    Nats,
}

fn kind(url: &str) -> Result<Kind, BusError> {
    match url.split_once("://") {
        Some(("redis" | "rediss", _)) => Ok(Kind::Redis),
        Some(("nats" | "tls", _)) => Ok(Kind::Nats),
        _ => {
            let detail = "it begins with redis://, rediss://, nats:// or tls://";
            Err(BusError::invalid("the address of the bus", detail))
        }
    }
}

/// One of the buses, chosen at the start of the program.
#[derive(Debug)]
pub enum AnyBus {
    /// Of one process.
    Local(LocalBus),
    /// By Redis Pub/Sub.
    Redis(RedisBus),
    /// By core NATS.
    Nats(NatsBus),
}

/// Does the same with whichever it is.
macro_rules! each {
    ($any:expr, $bus:ident => $act:expr) => {
        match $any {
            AnyBus::Local($bus) => $act,
            AnyBus::Redis($bus) => $act,
            AnyBus::Nats($bus) => $act,
        }
    };
}

impl AnyBus {
    /// The bus at an address that begins with `redis://` or `rediss://` (Redis, in TLS), `nats://`
    /// or `tls://` (NATS, in TLS). It connects in the background: its [state](Bus::state) tells.
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting. `Unavailable`: the client could not be set up.
    pub async fn connect(url: &str, node: NodeId, settings: BusSettings) -> Result<Self, BusError> {
        Ok(match kind(url)? {
            Kind::Redis => Self::Redis(RedisBus::connect(url, node, settings)?),
            Kind::Nats => Self::Nats(NatsBus::connect(url, node, settings).await?),
        })
    }
}

impl From<LocalBus> for AnyBus {
    fn from(bus: LocalBus) -> Self {
        Self::Local(bus)
    }
}

impl Bus for AnyBus {
    fn node(&self) -> NodeId {
        each!(self, bus => bus.node())
    }

    fn publish(&self, topic: Topic, message: Bytes) -> Result<(), BusError> {
        each!(self, bus => bus.publish(topic, message))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        each!(self, bus => bus.subscribe(topic))
    }

    fn state(&self) -> watch::Receiver<BusState> {
        each!(self, bus => bus.state())
    }

    fn dropped(&self) -> u64 {
        each!(self, bus => bus.dropped())
    }
}

/// Either of the streams of events.
#[derive(Debug)]
pub enum AnyEvents {
    /// In Redis Streams.
    Redis(RedisEvents),
    /// In JetStream.
    Nats(NatsEvents),
}

impl AnyEvents {
    /// The streams at an address as of [`AnyBus::connect`].
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting. `Unavailable`: the client could not be set up.
    pub async fn connect(url: &str, settings: EventsSettings) -> Result<Self, BusError> {
        Ok(match kind(url)? {
            Kind::Redis => Self::Redis(RedisEvents::connect(url, settings)?),
            Kind::Nats => Self::Nats(NatsEvents::connect(url, settings).await?),
        })
    }
}

impl Events for AnyEvents {
    type Consumer = AnyConsumer;

    async fn send(&self, events: &[Event]) -> Result<(), BusError> {
        match self {
            Self::Redis(all) => all.send(events).await,
            Self::Nats(all) => all.send(events).await,
        }
    }

    async fn consume(&self, kinds: &[EventKind], group: &str) -> Result<AnyConsumer, BusError> {
        Ok(match self {
            Self::Redis(all) => AnyConsumer::Redis(all.consume(kinds, group).await?),
            Self::Nats(all) => AnyConsumer::Nats(all.consume(kinds, group).await?),
        })
    }
}

/// A consumer of either.
#[derive(Debug)]
pub enum AnyConsumer {
    /// Of Redis Streams.
    Redis(RedisConsumer),
    /// Of JetStream.
    Nats(NatsConsumer),
}

impl Consumer for AnyConsumer {
    async fn next(&mut self) -> Result<Delivered, BusError> {
        match self {
            Self::Redis(consumer) => consumer.next().await,
            Self::Nats(consumer) => consumer.next().await,
        }
    }

    async fn ack(&mut self, delivered: &Delivered) -> Result<(), BusError> {
        match self {
            Self::Redis(consumer) => consumer.ack(delivered).await,
            Self::Nats(consumer) => consumer.ack(delivered).await,
        }
    }
}
