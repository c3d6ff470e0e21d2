use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use motet_model::NodeId;
use tokio::sync::watch;

use crate::{
    Bus, BusError, BusState, Subscription, Topic, envelope::Said, outgoing::check_size,
    subscriptions::Subscriptions,
};

/// Where the nodes of one process meet.
#[derive(Clone, Default)]
pub struct LocalHub {
    nodes: Arc<Mutex<Vec<Weak<Subscriptions>>>>,
}

impl LocalHub {
    /// The bus of one more node, which leaves when it is dropped.
    #[must_use]
    pub fn join(&self, node: NodeId) -> LocalBus {
        let subscriptions = Arc::new(Subscriptions::local());
        let mut nodes = self.lock();
        nodes.retain(|node| node.strong_count() > 0);
        nodes.push(Arc::downgrade(&subscriptions));
        drop(nodes);
        LocalBus {
            node,
            subscriptions,
            hub: self.clone(),
            state: watch::Sender::new(BusState::Connected),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Subscriptions>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LocalHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHub").finish_non_exhaustive()
    }
}

/// The bus of a node whose others, if there are any, are in the same process.
///
/// Always connected. Messages are lost only where a reader is too slow.
pub struct LocalBus {
    node: NodeId,
    subscriptions: Arc<Subscriptions>,
    hub: LocalHub,
    state: watch::Sender<BusState>,
}

impl LocalBus {
    /// Of a node that is alone.
    #[must_use]
    pub fn alone(node: NodeId) -> Self {
        LocalHub::default().join(node)
    }
}

impl Bus for LocalBus {
    fn node(&self) -> NodeId {
        self.node
    }

    fn publish(&self, topic: Topic, message: Bytes) -> Result<(), BusError> {
        check_size(&message)?;
        for other in self.hub.lock().iter().filter_map(Weak::upgrade) {
            if !Arc::ptr_eq(&other, &self.subscriptions) {
                other.deliver(topic, self.node, Said::Message(message.clone()));
            }
        }
        Ok(())
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.subscriptions.subscribe(topic)
    }

    fn state(&self) -> watch::Receiver<BusState> {
        self.state.subscribe()
    }

    fn dropped(&self) -> u64 {
        0
    }
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBus")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
