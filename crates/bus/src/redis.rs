//! Messages between nodes by Redis Pub/Sub.
//!
//! One connection publishes, another one listens. What is published while an answer is awaited goes
//! out together in the next write. Both connections are made anew for ever.
//!
//! Channels are `{prefix}:bus:document:{id}` and `{prefix}:bus:nodes`. Redis keeps nothing of it,
//! and its databases do not separate channels: prefixes do.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Msg, RedisError,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use bytes::Bytes;
use futures_util::StreamExt;
use motet_model::NodeId;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{error::Elapsed, timeout},
};

use crate::{
    Bus, BusError, BusSettings, BusState, Subscription, Topic, envelope, outgoing::Outgoing,
    pauses::Pauses, subscriptions::Subscriptions,
};

/// Most channels in one SUBSCRIBE or UNSUBSCRIBE.
const CHANNELS_MAX: usize = 512;

/// The bus of a node that meets the others in Redis.
pub struct RedisBus {
    shared: Arc<Shared>,
    /// They end with the bus.
    _tasks: JoinSet<()>,
}

struct Shared {
    client: Client,
    node: NodeId,
    settings: BusSettings,
    subscriptions: Arc<Subscriptions>,
    outgoing: Outgoing,
    connected: Mutex<Connected>,
    state: watch::Sender<BusState>,
}

/// Which of the connections are there.
#[derive(Default)]
struct Connected {
    publishing: bool,
    listening: bool,
}

impl RedisBus {
    /// Begins to connect, in the background, and for ever if need be. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting.
    pub fn connect(url: &str, node: NodeId, settings: BusSettings) -> Result<Self, BusError> {
        settings.check()?;
        let shared = Arc::new(Shared {
            client: client(url)?,
            node,
            settings,
            subscriptions: Arc::default(),
            outgoing: Outgoing::default(),
            connected: Mutex::default(),
            state: watch::Sender::new(BusState::Disconnected),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(publish(Arc::clone(&shared)));
        tasks.spawn(listen(Arc::clone(&shared)));
        Ok(Self {
            shared,
            _tasks: tasks,
        })
    }
}

/// A client of the Redis at `url`, not connected.
pub(crate) fn client(url: &str) -> Result<Client, BusError> {
    Client::open(url).map_err(|error| {
        // Its detail may repeat the address, which may hold a password.
        BusError::invalid("the address of Redis", format!("{:?}", error.kind()))
    })
}

/// A connection for commands that are answered within `answer_timeout`.
pub(crate) async fn connection(
    client: &Client,
    answer_timeout: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(answer_timeout))
        .set_response_timeout(Some(answer_timeout));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

impl Bus for RedisBus {
    fn node(&self) -> NodeId {
        self.shared.node
    }

    fn publish(&self, topic: Topic, message: Bytes) -> Result<(), BusError> {
        self.shared.outgoing.push(topic, message)
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.shared.subscriptions.subscribe(topic)
    }

    fn state(&self) -> watch::Receiver<BusState> {
        self.shared.state.subscribe()
    }

    fn dropped(&self) -> u64 {
        self.shared.outgoing.dropped()
    }
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBus")
            .field("node", &self.shared.node)
            .finish_non_exhaustive()
    }
}

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("no answer in time")]
    Silent(#[from] Elapsed),
    #[error("the connection was closed")]
    Closed,
}

impl Shared {
    fn channel(&self, topic: Topic) -> String {
        let prefix = &self.settings.prefix;
        match topic {
            Topic::Document(id) => format!("{prefix}:bus:document:{id}"),
            Topic::Nodes => format!("{prefix}:bus:nodes"),
        }
    }

    fn topic(&self, channel: &str) -> Option<Topic> {
        let name = channel.strip_prefix(&self.settings.prefix)?;
        match name.strip_prefix(":bus:")? {
            "nodes" => Some(Topic::Nodes),
            name => {
                let id = name.strip_prefix("document:")?;
                id.parse().ok().map(Topic::Document)
            }
        }
    }

    fn connected(&self, change: impl FnOnce(&mut Connected)) {
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut connected);
        let state = if connected.publishing && connected.listening {
            BusState::Connected
        } else {
            BusState::Disconnected
        };
        self.state
            .send_if_modified(|known| std::mem::replace(known, state) != state);
    }

    fn deliver(&self, message: &Msg) {
        let Some(topic) = self.topic(message.get_channel_name()) else {
            return;
        };
        if let Some((node, said)) = envelope::open(message.get_payload_bytes())
            && node != self.node
        {
            self.subscriptions.deliver(topic, node, said);
        }
    }
}

/// Publishes for ever.
async fn publish(shared: Arc<Shared>) {
    let mut pauses = Pauses::default();
    loop {
        let answer_timeout = shared.settings.answer_timeout;
        let error = match connection(&shared.client, answer_timeout).await {
            Ok(connection) => {
                shared.outgoing.open();
                shared.connected(|connected| connected.publishing = true);
                let error = publish_until_broken(&shared, connection, &mut pauses).await;
                shared.connected(|connected| connected.publishing = false);
                shared.outgoing.close();
                error
            }
            Err(error) => error,
        };
        tracing::warn!(%error, "nothing can be published in Redis");
        pauses.pause().await;
    }
}

async fn publish_until_broken(
    shared: &Shared,
    mut connection: MultiplexedConnection,
    pauses: &mut Pauses,
) -> RedisError {
    loop {
        let batch = timeout(shared.settings.ping_interval, shared.outgoing.take()).await;
        let mut pipe = ::redis::pipe();
        match &batch {
            Ok(batch) => {
                for (topic, said) in batch {
                    let sealed = envelope::seal(shared.node, said);
                    pipe.publish(shared.channel(*topic), sealed).ignore();
                }
            }
            Err(Elapsed { .. }) => {
                pipe.cmd("PING").ignore();
            }
        }
        match pipe.query_async::<()>(&mut connection).await {
            Ok(()) => pauses.reset(),
            Err(error) => {
                shared.outgoing.lose(batch.as_deref().unwrap_or_default());
                return error;
            }
        }
    }
}

/// Listens for ever.
async fn listen(shared: Arc<Shared>) {
    let mut pauses = Pauses::default();
    loop {
        let error = match connect_listening(&shared).await {
            Ok((sink, stream)) => {
                shared.subscriptions.restart();
                let error = tokio::select! {
                    error = follow(&shared, sink, &mut pauses) => error,
                    error = read(&shared, stream) => error,
                };
                shared.connected(|connected| connected.listening = false);
                error
            }
            Err(error) => error,
        };
        tracing::warn!(%error, "nothing can be heard from Redis");
        pauses.pause().await;
    }
}

async fn connect_listening(shared: &Shared) -> Result<(PubSubSink, PubSubStream), Broken> {
    let connecting = shared.client.get_async_pubsub();
    Ok(timeout(shared.settings.answer_timeout, connecting)
        .await??
        .split())
}

async fn read(shared: &Shared, mut stream: PubSubStream) -> Broken {
    while let Some(message) = stream.next().await {
        shared.deliver(&message);
    }
    Broken::Closed
}

async fn follow(shared: &Shared, mut sink: PubSubSink, pauses: &mut Pauses) -> Broken {
    let mut standing = HashSet::new();
    loop {
        if let Err(error) = subscribe(shared, &mut sink, &mut standing).await {
            return error;
        }
        pauses.reset();
        // Only when all that is wanted has been asked for.
        shared.connected(|connected| connected.listening = true);
        let idle = timeout(
            shared.settings.ping_interval,
            shared.subscriptions.changed(),
        );
        if idle.await.is_err()
            && let Err(error) = ping(shared, &mut sink).await
        {
            return error;
        }
    }
}

async fn ping(shared: &Shared, sink: &mut PubSubSink) -> Result<(), Broken> {
    let answered = sink.ping::<::redis::Value>();
    timeout(shared.settings.answer_timeout, answered).await??;
    Ok(())
}

/// Subscribes to what is wanted and unsubscribes from what is not.
async fn subscribe(
    shared: &Shared,
    sink: &mut PubSubSink,
    standing: &mut HashSet<Topic>,
) -> Result<(), Broken> {
    let (wanted, unwanted): (Vec<_>, Vec<_>) =
        (shared.subscriptions.take_changed().into_iter()).partition(|(_, is_wanted)| *is_wanted);
    let unwanted: Vec<_> = (unwanted.into_iter())
        .map(|(topic, _)| topic)
        .filter(|topic| standing.remove(topic))
        .collect();
    for topics in unwanted.chunks(CHANNELS_MAX) {
        let channels: Vec<_> = topics.iter().map(|topic| shared.channel(*topic)).collect();
        timeout(shared.settings.answer_timeout, sink.unsubscribe(channels)).await??;
    }
    // One that came, went and came again since may stand already.
    let (kept, new): (Vec<_>, Vec<_>) =
        (wanted.into_iter().map(|(topic, _)| topic)).partition(|topic| standing.contains(topic));
    shared.subscriptions.stand(kept);
    for topics in new.chunks(CHANNELS_MAX) {
        let channels: Vec<_> = topics.iter().map(|topic| shared.channel(*topic)).collect();
        timeout(shared.settings.answer_timeout, sink.subscribe(channels)).await??;
        standing.extend(topics);
        shared.subscriptions.stand(topics.iter().copied());
    }
    Ok(())
}
