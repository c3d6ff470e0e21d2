//! What passes between the nodes of one installation, and from it to the outside.
//!
//! [`Bus`] carries messages between nodes. They are hints: the log is the truth. [`LocalBus`] stays
//! in the process, [`RedisBus`] uses Redis Pub/Sub, [`NatsBus`] core NATS; [`AnyBus`] is any of
//! them.
//!
//! [`Events`] tells the outside what happened, durably and at least once, and [`Consumer`] reads
//! that: [`RedisEvents`] in Redis Streams, [`NatsEvents`] in JetStream; [`AnyEvents`] is either.
//!
//! # Not here
//!
//! What a message says, and what events come from (`server`).

mod any;
mod envelope;
mod error;
mod events;
mod local;
mod nats;
mod outgoing;
mod pauses;
mod redis;
mod settings;
mod subscriptions;

use bytes::Bytes;
use motet_model::{DocumentId, NodeId};
use tokio::sync::watch;

pub use any::{AnyBus, AnyConsumer, AnyEvents};
pub use error::BusError;
pub use events::{
    Consumer, Delivered, EVENT_BYTES_MAX, EVENT_ID_BYTES_MAX, Event, EventKind, Events,
    EventsSettings, GROUP_BYTES_MAX,
    nats::{NatsConsumer, NatsEvents},
    redis::{RedisConsumer, RedisEvents},
};
pub use local::{LocalBus, LocalHub};
pub use nats::NatsBus;
pub use redis::RedisBus;
pub use settings::{BusSettings, PREFIX_BYTES_MAX};
pub use subscriptions::Subscription;

/// Largest message between nodes. NATS takes 1 MiB unless it is told otherwise.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;

/// Most messages, and their bytes, that wait for one [`Subscription::next`].
pub const WAITING_MESSAGES_MAX: usize = 1_024;
/// See [`WAITING_MESSAGES_MAX`].
pub const WAITING_BYTES_MAX: usize = 8 << 20;

/// Most messages, and their bytes, that wait to be sent.
pub const OUTGOING_MESSAGES_MAX: usize = 8_192;
/// See [`OUTGOING_MESSAGES_MAX`].
pub const OUTGOING_BYTES_MAX: usize = 16 << 20;

const _: () = assert!(
    MESSAGE_BYTES_MAX <= WAITING_BYTES_MAX && MESSAGE_BYTES_MAX <= OUTGOING_BYTES_MAX,
    "any one message fits"
);

/// What a message concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One document.
    Document(DocumentId),
    /// All nodes.
    Nodes,
}

/// What a subscription hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Another node said this.
    Message {
        /// Who.
        node: NodeId,
        /// What.
        message: Bytes,
    },
    /// From here on messages come again; before, some may have been missed. Look at the log.
    Gap,
}

/// Whether the other nodes can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// Messages go out and come in, as far as is known.
    Connected,
    /// What is published is dropped.
    Disconnected,
}

/// Carries messages between the nodes of one installation.
///
/// # Invariants
///
/// - **others**: a node never hears itself.
/// - **ordered**: what one node published on a topic arrives in that order, as long as nothing
///   fails. It may also arrive twice, or not at all.
/// - **gaps**: a subscription begins with a [`Received::Gap`] once it stands: whoever then reads
///   the log misses nothing from before. Where a node knows that messages did not arrive (a
///   connection broke, a queue was full, at the sender or at the receiver), a gap follows.
/// - **bounded**: nobody waits for a slow reader or for a server that is away, and what waits for
///   them does not grow.
/// - **harmless**: foreign bytes on the bus do nothing.
pub trait Bus: Send + Sync + 'static {
    /// The node that this is.
    fn node(&self) -> NodeId;

    /// Says `message` to all other nodes that subscribed to `topic`. Never waits. What does not fit
    /// into the queue, or is published while the bus is disconnected, is dropped and
    /// [counted](Bus::dropped); once it can, the bus gives the others a gap instead.
    ///
    /// # Errors
    ///
    /// `TooLarge`: more than [`MESSAGE_BYTES_MAX`]; nothing was sent. Say where it is to be found.
    fn publish(&self, topic: Topic, message: Bytes) -> Result<(), BusError>;

    /// Messages of other nodes from now on. Dropping it unsubscribes.
    fn subscribe(&self, topic: Topic) -> Subscription;

    /// Whether it is connected now, to watch.
    fn state(&self) -> watch::Receiver<BusState>;

    /// How many messages were published and dropped here since the start.
    fn dropped(&self) -> u64;
}
