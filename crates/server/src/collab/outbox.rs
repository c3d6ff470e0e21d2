//! What waits for one session's socket: bounded, and never the reason for a gap.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use motet_document::{Event, Presence};
use motet_model::limits::OUTBOX_BYTES_MAX;
use motet_protocol::ErrorCode;
use tokio::sync::Notify;

/// The queue between a document and one session's writer.
///
/// # Invariants
///
/// - **bounded**: it holds at most [`OUTBOX_BYTES_MAX`], or one event that is larger by itself.
/// - **no gap**: once an event did not fit, changes and presence are refused until the document
///   answers the writer's request to catch up.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Wakes the connection's writer, which serves all its sessions.
    writer: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    size_bytes: usize,
    /// An event did not fit, and the document has not yet begun to send again.
    behind: bool,
    /// The writer has not yet asked for that.
    ask: bool,
    /// The session is over, once the events before have been sent.
    closed: Option<ErrorCode>,
}

/// An event did not fit: the document must count the session as behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// What a writer takes out at once.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) events: VecDeque<Event>,
    /// Some were dropped: ask the document to catch up, once these are sent.
    pub(crate) behind: bool,
    /// The session is over.
    pub(crate) closed: Option<ErrorCode>,
}

impl Outbox {
    pub(crate) fn new(writer: Arc<Notify>) -> Self {
        Self {
            queue: Mutex::default(),
            writer,
        }
    }

    /// Adds an event, unless the session is behind.
    pub(crate) fn push(&self, event: Event) -> Result<(), Overflow> {
        let size_bytes = size_bytes(&event);
        let replaceable = matches!(event, Event::Changes { .. } | Event::Presence(_));
        let mut queue = self.lock();
        if replaceable && queue.behind {
            return Ok(());
        }
        if replaceable
            && !queue.events.is_empty()
            && queue.size_bytes + size_bytes > OUTBOX_BYTES_MAX
        {
            queue
                .events
                .retain(|event| !matches!(event, Event::Changes { .. } | Event::Presence(_)));
            queue.size_bytes = queue.events.iter().map(self::size_bytes).sum();
            queue.behind = true;
            queue.ask = true;
            drop(queue);
            self.writer.notify_one();
            return Err(Overflow);
        }
        queue.size_bytes += size_bytes;
        queue.events.push_back(event);
        drop(queue);
        self.writer.notify_one();
        Ok(())
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Taken {
        let mut queue = self.lock();
        queue.size_bytes = 0;
        let behind = std::mem::take(&mut queue.ask);
        Taken {
            events: std::mem::take(&mut queue.events),
            behind,
            closed: queue.closed,
        }
    }

    /// Ends the session; what was pushed before is still sent.
    pub(crate) fn close(&self, code: ErrorCode) {
        let mut queue = self.lock();
        queue.closed.get_or_insert(code);
        queue.behind = true;
        drop(queue);
        self.writer.notify_one();
    }

    /// The document is about to answer a request to catch up: from here on everything counts again.
    pub(crate) fn resume(&self) {
        self.lock().behind = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // A queue is whole after every statement above, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About what an event weighs on the wire.
fn size_bytes(event: &Event) -> usize {
    const MESSAGE_BYTES: usize = 192;
    let cursors = |list: &[Presence]| -> usize {
        let data = |one: &Presence| one.data.as_ref().map_or(0, |data| data.len());
        list.iter().map(|one| MESSAGE_BYTES + data(one)).sum()
    };
    match event {
        Event::Changes { changes, .. } => changes
            .iter()
            .map(|entry| MESSAGE_BYTES + entry.change.delta.len())
            .sum(),
        Event::Presence(update) => {
            cursors(&update.joined) + cursors(&update.updated) + MESSAGE_BYTES * update.left.len()
        }
        Event::Joined(joined) => MESSAGE_BYTES + cursors(&joined.presence),
        _ => MESSAGE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use motet_document::PresenceUpdate;
    use motet_model::Revision;

    use super::*;

    fn presence() -> Event {
        Event::Presence(Arc::new(PresenceUpdate::default()))
    }

    fn large() -> Event {
        let session = motet_model::SessionId::from_bytes([1; 16]);
        let left = vec![session; OUTBOX_BYTES_MAX / 192 - 2];
        Event::Presence(Arc::new(PresenceUpdate {
            left,
            ..PresenceUpdate::default()
        }))
    }

    fn answer() -> Event {
        Event::Acknowledged {
            seq: 1,
            revision: Revision::ZERO,
        }
    }

    #[test]
    fn bounded_and_no_gap() {
        let outbox = Outbox::new(Arc::new(Notify::new()));
        assert_eq!(outbox.push(large()), Ok(()), "one that is larger by itself");
        assert_eq!(
            outbox.push(answer()),
            Ok(()),
            "answers are bounded by what is asked"
        );
        assert_eq!(outbox.push(presence()), Ok(()), "it still fits");
        assert_eq!(outbox.push(large()), Err(Overflow));
        // Behind: nothing is taken until the document begins to send again.
        assert_eq!(outbox.push(presence()), Ok(()));
        let taken = outbox.take();
        assert!(taken.behind, "the writer asks to catch up");
        assert_eq!(taken.events.len(), 1, "the answer");
        assert_eq!(outbox.push(presence()), Ok(()));
        assert!(outbox.take().events.is_empty());
        outbox.resume();
        assert_eq!(outbox.push(presence()), Ok(()));
        let taken = outbox.take();
        assert!(!taken.behind && taken.events.len() == 1);
    }

    #[test]
    fn what_was_pushed_before_the_end_is_still_sent() {
        let outbox = Outbox::new(Arc::new(Notify::new()));
        assert_eq!(outbox.push(answer()), Ok(()));
        outbox.close(ErrorCode::Replaced);
        outbox.close(ErrorCode::Internal);
        let taken = outbox.take();
        assert_eq!(
            (taken.events.len(), taken.closed),
            (1, Some(ErrorCode::Replaced))
        );
    }
}
