//! Who listens to what on this node, and what waits for them.
//!
//! The server's connection follows: whatever happened to the topics since it last looked,
//! [`Subscriptions::take_changed`] tells what is to be, so that a topic that comes and goes quickly
//! costs nothing.
//!
//! # Invariants
//!
//! **gaps**: each subscription gets a gap when its topic stands, again whenever it stands anew, and
//! in place of messages that do not fit. **bounded**: [`WAITING_MESSAGES_MAX`] and
//! [`WAITING_BYTES_MAX`].

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use motet_model::NodeId;
use tokio::sync::Notify;

use crate::{Received, Topic, WAITING_BYTES_MAX, WAITING_MESSAGES_MAX, envelope::Said};

/// The subscriptions of one node.
#[derive(Default)]
pub(crate) struct Subscriptions {
    topics: Mutex<Topics>,
    changed: Notify,
    /// Nothing has to be told to a server: every topic stands.
    stands_always: bool,
}

#[derive(Default)]
struct Topics {
    wanted: HashMap<Topic, Wanted>,
    changed: HashSet<Topic>,
}

#[derive(Default)]
struct Wanted {
    /// The server has confirmed it.
    stands: bool,
    queues: Vec<Arc<Queue>>,
}

impl Subscriptions {
    /// Of a node that needs no server.
    pub(crate) fn local() -> Self {
        Self {
            stands_always: true,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(self: &Arc<Self>, topic: Topic) -> Subscription {
        let queue = Arc::new(Queue::default());
        let mut topics = self.lock();
        let is_new = !topics.wanted.contains_key(&topic);
        let wanted = topics.wanted.entry(topic).or_default();
        wanted.queues.push(Arc::clone(&queue));
        if wanted.stands || self.stands_always {
            queue.gap();
        } else if is_new {
            topics.changed.insert(topic);
            self.changed.notify_one();
        }
        Subscription {
            topic,
            queue,
            of: Arc::clone(self),
        }
    }

    /// Hands out what `node` said on `topic`.
    pub(crate) fn deliver(&self, topic: Topic, node: NodeId, said: Said) {
        let topics = self.lock();
        let Some(wanted) = topics.wanted.get(&topic) else {
            return;
        };
        for queue in &wanted.queues {
            match &said {
                Said::Message(message) => queue.push(node, message.clone()),
                Said::Lost => queue.gap(),
            }
        }
    }

    /// Waits until there is something to take.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The topics whose subscriptions may have changed, and whether each is wanted now.
    pub(crate) fn take_changed(&self) -> Vec<(Topic, bool)> {
        let mut topics = self.lock();
        let changed = std::mem::take(&mut topics.changed);
        let is_wanted = |topic| topics.wanted.contains_key(&topic);
        changed
            .into_iter()
            .map(|topic| (topic, is_wanted(topic)))
            .collect()
    }

    /// The server has confirmed these: what is said on them from now on arrives.
    pub(crate) fn stand(&self, confirmed: impl IntoIterator<Item = Topic>) {
        let mut topics = self.lock();
        for topic in confirmed {
            if let Some(wanted) = topics.wanted.get_mut(&topic) {
                wanted.stands = true;
                wanted.queues.iter().for_each(|queue| queue.gap());
            }
        }
    }

    /// The connection is another one: nothing stands, and all that is wanted counts as changed.
    pub(crate) fn restart(&self) {
        let mut topics = self.lock();
        let Topics { wanted, changed } = &mut *topics;
        changed.clear();
        for (topic, wanted) in wanted {
            wanted.stands = false;
            changed.insert(*topic);
        }
        drop(topics);
        self.changed.notify_one();
    }

    fn unsubscribe(&self, topic: Topic, queue: &Arc<Queue>) {
        let mut topics = self.lock();
        let Some(wanted) = topics.wanted.get_mut(&topic) else {
            return;
        };
        wanted.queues.retain(|other| !Arc::ptr_eq(other, queue));
        if wanted.queues.is_empty() {
            topics.wanted.remove(&topic);
            if !self.stands_always {
                topics.changed.insert(topic);
                self.changed.notify_one();
            }
        }
    }
}

/// What waits for one subscription.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    /// A gap comes before the messages.
    gap: bool,
    messages: VecDeque<(NodeId, Bytes)>,
    size_bytes: usize,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, node: NodeId, message: Bytes) {
        let mut waiting = self.lock();
        if waiting.messages.len() < WAITING_MESSAGES_MAX
            && waiting.size_bytes + message.len() <= WAITING_BYTES_MAX
        {
            waiting.size_bytes += message.len();
            waiting.messages.push_back((node, message));
            drop(waiting);
            self.arrived.notify_one();
        } else {
            drop(waiting);
            self.gap();
        }
    }

    /// Whoever reads the log after a gap needs nothing of what came before it.
    fn gap(&self) {
        *self.lock() = Waiting {
            gap: true,
            ..Waiting::default()
        };
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Received> {
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.gap) {
            return Some(Received::Gap);
        }
        let (node, message) = waiting.messages.pop_front()?;
        waiting.size_bytes -= message.len();
        Some(Received::Message { node, message })
    }
}

/// Messages of other nodes on one topic. Dropping it unsubscribes.
///
/// At most [`WAITING_MESSAGES_MAX`] messages and [`WAITING_BYTES_MAX`] wait to be taken. A gap
/// takes the place of all that wait.
pub struct Subscription {
    topic: Topic,
    queue: Arc<Queue>,
    of: Arc<Subscriptions>,
}

impl Subscription {
    /// What comes next. Once the bus is dropped and what had arrived is taken, nothing comes any
    /// more.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Received {
        loop {
            // Kept by the queue if nobody waits yet.
            let arrived = self.queue.arrived.notified();
            if let Some(received) = self.queue.pop() {
                return received;
            }
            arrived.await;
        }
    }

    /// What comes next, if it is there.
    pub fn try_next(&mut self) -> Option<Received> {
        self.queue.pop()
    }

    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> Topic {
        self.topic
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.of.unsubscribe(self.topic, &self.queue);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.topic;
        f.debug_struct("Subscription")
            .field("topic", &topic)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([7; 16]);

    fn message(size_bytes: usize) -> Said {
        Said::Message(Bytes::from(vec![0; size_bytes]))
    }

    #[test]
    fn bounded_also_in_bytes() {
        let subscriptions = Arc::new(Subscriptions::local());
        let mut subscription = subscriptions.subscribe(Topic::Nodes);
        assert_eq!(subscription.try_next(), Some(Received::Gap));
        let half = WAITING_BYTES_MAX / 2;
        subscriptions.deliver(Topic::Nodes, NODE, message(half));
        subscriptions.deliver(Topic::Nodes, NODE, message(half));
        subscriptions.deliver(Topic::Nodes, NODE, message(1));
        subscriptions.deliver(Topic::Nodes, NODE, message(2));
        assert_eq!(subscription.try_next(), Some(Received::Gap));
        let next = subscription.try_next();
        assert!(matches!(next, Some(Received::Message { message, .. }) if message.len() == 2));
        assert_eq!(subscription.try_next(), None);
    }

    #[test]
    fn what_comes_and_goes_quickly_is_told_as_it_is() {
        let subscriptions = Arc::new(Subscriptions::default());
        drop(subscriptions.subscribe(Topic::Nodes));
        assert_eq!(subscriptions.take_changed(), [(Topic::Nodes, false)]);
        drop(subscriptions.subscribe(Topic::Nodes));
        let mut again = subscriptions.subscribe(Topic::Nodes);
        assert_eq!(subscriptions.take_changed(), [(Topic::Nodes, true)]);
        assert_eq!(again.try_next(), None, "it does not stand yet");
        subscriptions.stand([Topic::Nodes]);
        assert_eq!(again.try_next(), Some(Received::Gap));
        assert_eq!(subscriptions.take_changed(), []);
        subscriptions.restart();
        assert_eq!(subscriptions.take_changed(), [(Topic::Nodes, true)]);
    }
}
