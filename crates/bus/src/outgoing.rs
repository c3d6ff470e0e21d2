//! What waits to be sent to other nodes.
//!
//! # Invariants
//!
//! **bounded**: [`OUTGOING_MESSAGES_MAX`] and [`OUTGOING_BYTES_MAX`]; nothing waits while there is
//! no connection. **gaps**: the topics of what is dropped are kept, as many as [`LOST_TOPICS_MAX`],
//! and those who listen to them are told as soon as somebody can be told anything.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    BusError, MESSAGE_BYTES_MAX, OUTGOING_BYTES_MAX, OUTGOING_MESSAGES_MAX, Topic, envelope::Said,
};

/// Most messages, and about their bytes, that are sent and confirmed together.
const BATCH_MESSAGES_MAX: usize = 1_024;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// More documents than a node will have changed while it was cut off; those of the rest are not
/// told.
const LOST_TOPICS_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct Outgoing {
    waiting: Mutex<Waiting>,
    filled: Notify,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    is_open: bool,
    messages: VecDeque<(Topic, Bytes)>,
    size_bytes: usize,
    lost: HashSet<Topic>,
}

impl Waiting {
    fn lose(&mut self, topic: Topic) {
        if self.lost.len() < LOST_TOPICS_MAX {
            self.lost.insert(topic);
        }
    }
}

/// Refuses what is larger than any bus takes.
pub(crate) fn check_size(message: &Bytes) -> Result<(), BusError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(BusError::TooLarge {
            size_bytes: message.len(),
            limit_bytes: MESSAGE_BYTES_MAX,
        });
    }
    Ok(())
}

impl Outgoing {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(crate) fn push(&self, topic: Topic, message: Bytes) -> Result<(), BusError> {
        check_size(&message)?;
        let mut waiting = self.lock();
        if waiting.is_open
            && waiting.messages.len() < OUTGOING_MESSAGES_MAX
            && waiting.size_bytes + message.len() <= OUTGOING_BYTES_MAX
        {
            waiting.size_bytes += message.len();
            waiting.messages.push_back((topic, message));
        } else {
            self.dropped.fetch_add(1, Relaxed);
            waiting.lose(topic);
        }
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// There is a connection: from now on messages wait to be sent.
    pub(crate) fn open(&self) {
        self.lock().is_open = true;
        self.filled.notify_one();
    }

    /// There is none: what waits is dropped.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_open = false;
        waiting.size_bytes = 0;
        for (topic, _) in std::mem::take(&mut waiting.messages) {
            self.dropped.fetch_add(1, Relaxed);
            waiting.lose(topic);
        }
    }

    /// These were sent, and perhaps did not arrive.
    pub(crate) fn lose(&self, batch: &[(Topic, Said)]) {
        let mut waiting = self.lock();
        for (topic, said) in batch {
            if matches!(said, Said::Message(_)) {
                self.dropped.fetch_add(1, Relaxed);
            }
            waiting.lose(*topic);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits until there is something to send, and takes as much as goes out at once. Nothing is
    /// lost when the future is dropped.
    pub(crate) async fn take(&self) -> Vec<(Topic, Said)> {
        loop {
            let filled = self.filled.notified();
            let batch = self.try_take();
            if !batch.is_empty() {
                return batch;
            }
            filled.await;
        }
    }

    fn try_take(&self) -> Vec<(Topic, Said)> {
        let mut waiting = self.lock();
        if !waiting.is_open {
            return Vec::new();
        }
        // First, so that a gap does not take the place of messages that came after it.
        let mut batch: Vec<_> = (waiting.lost.iter().take(BATCH_MESSAGES_MAX))
            .map(|topic| (*topic, Said::Lost))
            .collect();
        for (topic, _) in &batch {
            waiting.lost.remove(topic);
        }
        let mut size_bytes = 0;
        while batch.len() < BATCH_MESSAGES_MAX && size_bytes < BATCH_BYTES_MAX {
            let Some((topic, message)) = waiting.messages.pop_front() else {
                break;
            };
            size_bytes += message.len();
            waiting.size_bytes -= message.len();
            batch.push((topic, Said::Message(message)));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use motet_model::DocumentId;

    use super::*;

    fn topic(n: u8) -> Topic {
        Topic::Document(DocumentId::from_bytes([n; 16]))
    }

    fn message() -> Bytes {
        Bytes::from_static(b"message")
    }

    #[tokio::test]
    async fn bounded() {
        let outgoing = Outgoing::default();
        outgoing.push(topic(1), message()).unwrap();
        assert_eq!(outgoing.dropped(), 1, "there is no connection");
        outgoing.open();
        for _ in 0..OUTGOING_MESSAGES_MAX {
            outgoing.push(topic(2), message()).unwrap();
        }
        outgoing.push(topic(3), message()).unwrap();
        assert_eq!(outgoing.dropped(), 2);
        let batch = outgoing.take().await;
        assert_eq!(batch.len(), BATCH_MESSAGES_MAX);
        let lost = |n| batch[..2].contains(&(topic(n), Said::Lost));
        assert!(lost(1) && lost(3), "and their listeners are told first");
        outgoing.close();
        let left = OUTGOING_MESSAGES_MAX - (BATCH_MESSAGES_MAX - 2);
        assert_eq!(outgoing.dropped(), 2 + left as u64);
        outgoing.open();
        assert_eq!(outgoing.take().await, [(topic(2), Said::Lost)]);
    }

    #[tokio::test]
    async fn bounded_also_in_bytes() {
        let outgoing = Outgoing::default();
        outgoing.open();
        let large = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
        for _ in 0..OUTGOING_BYTES_MAX / MESSAGE_BYTES_MAX {
            outgoing.push(topic(1), large.clone()).unwrap();
        }
        assert_eq!(outgoing.dropped(), 0);
        outgoing.push(topic(1), large).unwrap();
        assert_eq!(outgoing.dropped(), 1);
        let too_large = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        let refused = outgoing.push(topic(1), too_large);
        assert!(matches!(refused, Err(BusError::TooLarge { .. })));
    }
}
