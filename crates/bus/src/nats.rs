//! Messages between nodes by core NATS.
//!
//! One connection, which async-nats makes anew for ever, and on which it subscribes again. NATS
//! does not confirm what it is told, but does it in turn: a message to oneself comes back when all
//! before it is done. So a subscription is known to stand, and what was published to have reached
//! the server. In a cluster of NATS servers the others learn of a subscription a moment later.
//!
//! Subjects are `{prefix}.bus.document.{id}`, `{prefix}.bus.nodes` and `{prefix}.bus.echo.…`.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use motet_model::NodeId;
use percent_encoding::percent_decode_str;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use crate::{
    Bus, BusError, BusSettings, BusState, Subscription, Topic,
    envelope::{self, Said},
    outgoing::Outgoing,
    pauses::{self, Pauses},
    subscriptions::Subscriptions,
};

/// Commands and messages that wait inside of async-nats, which counts no bytes.
const COMMANDS_MAX: usize = 512;

/// The bus of a node that meets the others in NATS.
pub struct NatsBus {
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
    link: watch::Receiver<Link>,
    state: watch::Sender<BusState>,
}

/// What the client tells of its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    is_up: bool,
    /// How often messages may have been missed.
    gaps: u64,
}

impl Link {
    pub(crate) fn is_up(self) -> bool {
        self.is_up
    }
}

/// Waits until the connection is not what it was at the time of the call. It may be up again by
/// then.
pub(crate) async fn broken(mut link: watch::Receiver<Link>) {
    let before = *link.borrow_and_update();
    // Its sender is gone only with the client.
    let _ = link.wait_for(|now| !now.is_up || *now != before).await;
}

impl NatsBus {
    /// Begins to connect, in the background, and for ever if need be. `urls` are those of one
    /// server, or of several of a cluster with commas between them.
    ///
    /// # Errors
    ///
    /// `Invalid`: the address or a setting.
    pub async fn connect(
        urls: &str,
        node: NodeId,
        settings: BusSettings,
    ) -> Result<Self, BusError> {
        settings.check()?;
        let (client, link) = client(urls, &settings).await?;
        let shared = Arc::new(Shared {
            client,
            node,
            settings,
            subscriptions: Arc::default(),
            outgoing: Outgoing::default(),
            link,
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

/// A client of the NATS servers at `urls`, which connects by itself, and how it is connected.
pub(crate) async fn client(
    urls: &str,
    settings: &BusSettings,
) -> Result<(Client, watch::Receiver<Link>), BusError> {
    const WHAT: &str = "the address of NATS";
    let mut servers = Vec::new();
    for url in urls.split(',') {
        let server: ServerAddr = (url.trim().parse())
            .map_err(|error: std::io::Error| BusError::invalid(WHAT, error.kind().to_string()))?;
        if server.host().is_empty() {
            return Err(BusError::invalid(WHAT, "it names no host"));
        }
        servers.push(server);
    }
    let (links, link) = watch::channel(Link::default());
    let mut options = ConnectOptions::new()
        .name("motet")
        .retry_on_initial_connect()
        .connection_timeout(settings.answer_timeout)
        .ping_interval(settings.ping_interval)
        .client_capacity(COMMANDS_MAX)
        .reconnect_delay_callback(pauses::before)
        .event_callback(move |event| {
            note(&links, &event);
            std::future::ready(())
        });
    // The library reads no credentials from addresses.
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    for server in &servers {
        options = match (server.username(), server.password()) {
            (Some(user), Some(password)) => options.user_and_password(plain(user), plain(password)),
            (Some(token), None) => options.token(plain(token)),
            (None, _) => options,
        };
    }
    let client = options.connect(servers).await;
    Ok((client.map_err(BusError::unavailable)?, link))
}

fn note(links: &watch::Sender<Link>, event: &Event) {
    tracing::debug!(%event, "NATS");
    match event {
        Event::Connected => links.send_modify(|link| {
            link.is_up = true;
            link.gaps += 1;
        }),
        Event::Disconnected | Event::Closed => {
            tracing::warn!(%event, "the connection to NATS");
            links.send_modify(|link| link.is_up = false);
        }
        Event::SlowConsumer(_) => links.send_modify(|link| link.gaps += 1),
        Event::ServerError(error) => tracing::warn!(%error, "NATS refuses something"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS is not reached"),
        _ => {}
    }
}

impl Bus for NatsBus {
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

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus")
            .field("node", &self.shared.node)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn subject(&self, topic: Topic) -> String {
        let prefix = &self.settings.prefix;
        match topic {
            Topic::Document(id) => format!("{prefix}.bus.document.{id}"),
            Topic::Nodes => format!("{prefix}.bus.nodes"),
        }
    }

    /// How often the client has connected.
    fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Relaxed)
    }
}

/// Messages to oneself.
struct Echo {
    subject: String,
    returning: Subscriber,
    sent: u64,
}

impl Echo {
    async fn new(shared: &Shared, of: &str) -> Option<Self> {
        let (prefix, node) = (&shared.settings.prefix, shared.node);
        let subject = format!("{prefix}.bus.echo.{of}.{node}");
        let returning = shared.client.subscribe(subject.clone()).await.ok()?;
        Some(Self {
            subject,
            returning,
            sent: 0,
        })
    }

    /// Whether the server has done all that it was told before.
    async fn returns(&mut self, shared: &Shared) -> bool {
        self.sent += 1;
        let sent = self.sent.to_be_bytes();
        let returned = async {
            let message = Bytes::copy_from_slice(&sent);
            if (shared.client.publish(self.subject.clone(), message).await).is_err() {
                return false;
            }
            while let Some(message) = self.returning.next().await {
                if message.payload.as_ref() == sent {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            returned = timeout(shared.settings.answer_timeout, returned) => returned == Ok(true),
            () = broken(shared.link.clone()) => false,
        }
    }
}

/// Publishes for ever.
async fn publish(shared: Arc<Shared>) {
    let mut link = shared.link.clone();
    let Some(mut echo) = Echo::new(&shared, "publish").await else {
        return;
    };
    while link.wait_for(|link| link.is_up).await.is_ok() {
        shared.outgoing.open();
        loop {
            let batch = tokio::select! {
                batch = shared.outgoing.take() => batch,
                _ = link.wait_for(|link| !link.is_up) => break,
            };
            if !publish_batch(&shared, &mut echo, &batch).await {
                shared.outgoing.lose(&batch);
            }
        }
        shared.outgoing.close();
    }
}

async fn publish_batch(shared: &Shared, echo: &mut Echo, batch: &[(Topic, Said)]) -> bool {
    let connects = shared.connects();
    let published = async {
        for (topic, said) in batch {
            let sealed = envelope::seal(shared.node, said).into();
            if let Err(error) = shared.client.publish(shared.subject(*topic), sealed).await {
                tracing::warn!(%error, "NATS takes no message");
                return false;
            }
        }
        true
    };
    let published = tokio::select! {
        published = published => published,
        // The client takes what fits, and waits.
        () = broken(shared.link.clone()) => false,
    };
    published && echo.returns(shared).await && shared.connects() == connects
}

/// Listens for ever.
async fn listen(shared: Arc<Shared>) {
    let Some(mut echo) = Echo::new(&shared, "listen").await else {
        return;
    };
    let mut link = shared.link.clone();
    let mut listening = Listening::default();
    let mut unconfirmed = HashSet::new();
    let mut gaps = 0;
    let mut pauses = Pauses::default();
    loop {
        let now = *link.borrow_and_update();
        if !now.is_up {
            shared.state.send_if_modified(|state| {
                std::mem::replace(state, BusState::Disconnected) != BusState::Disconnected
            });
        }
        if now.gaps != gaps {
            gaps = now.gaps;
            shared.subscriptions.restart();
        }
        for (topic, is_wanted) in shared.subscriptions.take_changed() {
            if !is_wanted {
                listening.end(topic);
                unconfirmed.remove(&topic);
            } else if listening.begin(&shared, topic).await {
                unconfirmed.insert(topic);
            }
        }
        let mut is_settled =
            unconfirmed.is_empty() && *shared.state.borrow() == BusState::Connected;
        if now.is_up && !is_settled && echo.returns(&shared).await {
            is_settled = true;
            pauses.reset();
            shared.subscriptions.stand(unconfirmed.drain());
            shared.state.send_if_modified(|state| {
                std::mem::replace(state, BusState::Connected) != BusState::Connected
            });
        }
        let try_again = now.is_up && !is_settled;
        tokio::select! {
            () = shared.subscriptions.changed() => {}
            changed = link.changed() => if changed.is_err() {
                return;
            },
            () = pauses.pause(), if try_again => {}
        }
    }
}

/// One task for each topic that is listened to.
#[derive(Default)]
struct Listening {
    tasks: JoinSet<()>,
    by_topic: HashMap<Topic, AbortHandle>,
}

impl Listening {
    async fn begin(&mut self, shared: &Arc<Shared>, topic: Topic) -> bool {
        if self.by_topic.contains_key(&topic) {
            return true;
        }
        let Ok(mut subscriber) = shared.client.subscribe(shared.subject(topic)).await else {
            return false;
        };
        let shared = Arc::clone(shared);
        let task = self.tasks.spawn(async move {
            while let Some(message) = subscriber.next().await {
                if let Some((node, said)) = envelope::open(&message.payload)
                    && node != shared.node
                {
                    shared.subscriptions.deliver(topic, node, said);
                }
            }
        });
        self.by_topic.insert(topic, task);
        true
    }

    fn end(&mut self, topic: Topic) {
        if let Some(task) = self.by_topic.remove(&topic) {
            task.abort();
        }
        while self.tasks.try_join_next().is_some() {}
    }
}
