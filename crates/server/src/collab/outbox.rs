//! What waits for one session's socket: bounded, and never the reason for a gap.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use motet_document::{Event, Presence};
use motet_model::{Revision, limits::OUTBOX_BYTES_MAX};
use motet_protocol::ErrorCode;
use tokio::sync::Notify;

use super::{
    pace::{Hold, Waiting},
    visit::Visit,
};

/// The queue between a document and one session's writer.
///
/// # Invariants
///
/// - **bounded**: besides its largest event, which may be of any size, it holds at most
///   [`OUTBOX_BYTES_MAX`]. Changes and presence that do not fit are dropped, since they can be sent
///   later; answers cannot, so a client that asks for more of them than fit is cut off.
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
    /// Of all events.
    size_bytes: usize,
    /// Of the largest one.
    largest_bytes: usize,
    /// An event did not fit, and the document has not yet begun to send again.
    behind: bool,
    /// The writer has not yet asked for that.
    ask: bool,
    /// The session is over, once the events before have been sent.
    end: Option<End>,
    /// While there is something in it.
    hold: Option<Hold>,
}

impl Queue {
    fn has_room_for(&self, size_bytes: usize) -> bool {
        let largest_bytes = self.largest_bytes.max(size_bytes);
        self.size_bytes + size_bytes - largest_bytes <= OUTBOX_BYTES_MAX
    }

    /// Drops what a catch-up will send again.
    fn fall_behind(&mut self) {
        self.events.retain(|event| !is_replaceable(event));
        self.size_bytes = self.events.iter().map(size_bytes).sum();
        self.largest_bytes = self.events.iter().map(size_bytes).max().unwrap_or(0);
        self.behind = true;
        self.ask = true;
    }
}

/// How a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its client has left.
    Left,
    /// Its document has ended it.
    Closed(ErrorCode),
    /// Its client asks without reading the answers.
    Unread,
}

/// Changes or presence did not fit: the document must count the session as behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// What a writer takes out at once.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) events: VecDeque<Event>,
    /// Some were dropped: ask the document to catch up, once these are sent.
    pub(crate) behind: bool,
    /// The session is over.
    pub(crate) end: Option<End>,
}

impl Outbox {
    pub(crate) fn new(writer: Arc<Notify>) -> Self {
        Self {
            queue: Mutex::default(),
            writer,
        }
    }

    /// Adds an event, unless the session is behind.
    pub(crate) fn push(&self, event: Event, waiting: &Arc<Waiting>) -> Result<(), Overflow> {
        let size_bytes = size_bytes(&event);
        let replaceable = is_replaceable(&event);
        let mut queue = self.lock();
        if queue.end.is_some() || (replaceable && queue.behind) {
            return Ok(());
        }
        self.writer.notify_one();
        queue.hold.get_or_insert_with(|| Hold::new(waiting));
        let overflow = !queue.has_room_for(size_bytes);
        if overflow {
            queue.fall_behind();
            if !replaceable && !queue.has_room_for(size_bytes) {
                queue.events.clear();
                queue.end = Some(End::Unread);
                return Ok(());
            }
        }
        if !(overflow && replaceable) {
            queue.size_bytes += size_bytes;
            queue.largest_bytes = queue.largest_bytes.max(size_bytes);
            queue.events.push_back(event);
        }
        if overflow { Err(Overflow) } else { Ok(()) }
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Taken {
        let mut queue = self.lock();
        (queue.size_bytes, queue.largest_bytes) = (0, 0);
        queue.hold = None;
        let behind = std::mem::take(&mut queue.ask);
        Taken {
            events: std::mem::take(&mut queue.events),
            behind,
            end: queue.end,
        }
    }

    /// Ends the session; what was pushed before is still sent, and nothing after.
    pub(crate) fn end(&self, end: End) {
        let mut queue = self.lock();
        queue.end.get_or_insert(end);
        drop(queue);
        self.writer.notify_one();
    }

    /// Whether there is nothing to send, not even the end.
    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.events.is_empty() && queue.end.is_none() && !queue.ask
    }

    /// Whether the session is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
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

/// The document's hold on an [`Outbox`]. When it is dropped the session is over, so that no client
/// waits for a document which is gone, whatever way it went.
#[derive(Debug)]
pub(crate) struct Feed {
    outbox: Arc<Outbox>,
    /// What the audit trail is told; nothing of a session that is only one edit.
    visit: Option<Box<Visit>>,
}

impl Feed {
    pub(crate) fn new(outbox: Arc<Outbox>, visit: Option<Visit>) -> Self {
        let visit = visit.map(Box::new);
        Self { outbox, visit }
    }

    /// The document has let the session in.
    pub(crate) fn open(&mut self) {
        if let Some(visit) = &mut self.visit {
            visit.open();
        }
    }

    /// The document ends the session, or does not let it in.
    pub(crate) fn close(&mut self, code: ErrorCode) {
        if let Some(visit) = &mut self.visit {
            visit.refuse(code);
        }
        self.end(End::Closed(code));
    }

    /// One of the session's changes is stored.
    pub(crate) fn changed(&mut self, revision: Revision) {
        if let Some(visit) = &mut self.visit {
            visit.changed(revision);
        }
    }
}

impl Feed {
    /// Whether the session that reads from it is gone.
    pub(crate) fn is_deserted(&self) -> bool {
        Arc::strong_count(&self.outbox) == 1
    }
}

impl std::ops::Deref for Feed {
    type Target = Outbox;

    fn deref(&self) -> &Outbox {
        &self.outbox
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Clients come back at once to what is only away for a moment, and more slowly to a fault.
        let code = if std::thread::panicking() {
            ErrorCode::Internal
        } else {
            ErrorCode::Unavailable
        };
        self.end(End::Closed(code));
    }
}

/// Whether a catch-up sends it again.
fn is_replaceable(event: &Event) -> bool {
    matches!(
        event,
        Event::Changes { .. } | Event::Presence(_) | Event::Missing { asked: None, .. }
    )
}

/// About what an event weighs on the wire.
fn size_bytes(event: &Event) -> usize {
    const MESSAGE_BYTES: usize = 192;
    let cursors = |list: &[Presence]| -> usize {
        let data = |one: &Presence| one.data.as_ref().map_or(0, |data| data.len());
        list.iter().map(|one| MESSAGE_BYTES + data(one)).sum()
    };
    match event {
        Event::Changes { changes, .. } => MESSAGE_BYTES * changes.len() + changes.size_bytes(),
        Event::Missing { update, .. } => MESSAGE_BYTES + update.len(),
        Event::Presence(update) => MESSAGE_BYTES + update.size_bytes(),
        Event::Joined(joined) => {
            let content = joined.content.as_ref();
            let len_utf16 = content.map_or(0, |content| content.text.len_utf16());
            MESSAGE_BYTES + len_utf16 + cursors(&joined.presence)
        }
        _ => MESSAGE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_document::PresenceUpdate;

    fn push(outbox: &Outbox, event: Event) -> Result<(), Overflow> {
        outbox.push(event, &Arc::default())
    }

    fn presence() -> Event {
        Event::Presence(Arc::new(PresenceUpdate::default()))
    }

    fn large() -> Event {
        let session = motet_model::SessionId::from_bytes([1; 16]);
        let left = vec![session; OUTBOX_BYTES_MAX / 48 - 8];
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
        assert_eq!(push(&outbox, large()), Ok(()), "one may be of any size");
        assert_eq!(push(&outbox, large()), Ok(()), "it fits");
        assert_eq!(push(&outbox, answer()), Ok(()), "it still fits");
        assert_eq!(push(&outbox, large()), Err(Overflow));
        // Behind: nothing is taken until the document begins to send again.
        assert_eq!(push(&outbox, presence()), Ok(()));
        let taken = outbox.take();
        assert!(taken.behind, "the writer asks to catch up");
        assert_eq!(taken.events.len(), 1, "the answer");
        assert_eq!(push(&outbox, presence()), Ok(()));
        assert!(outbox.take().events.is_empty());
        outbox.resume();
        assert_eq!(push(&outbox, presence()), Ok(()));
        let taken = outbox.take();
        assert!(!taken.behind && taken.events.len() == 1);
    }

    #[test]
    fn one_answer_may_be_of_any_size_also_behind_others() {
        let outbox = Outbox::new(Arc::new(Notify::new()));
        let asked = || Event::Missing {
            update: vec![0; 2 * OUTBOX_BYTES_MAX].into(),
            through: Revision::ZERO,
            asked: Some(bytes::Bytes::new()),
        };
        for event in [answer(), asked(), answer()] {
            assert_eq!(push(&outbox, event), Ok(()));
        }
        let taken = outbox.take();
        assert_eq!((taken.events.len(), taken.end), (3, None));
        // Two at a time are too much.
        for event in [asked(), answer()] {
            assert_eq!(push(&outbox, event), Ok(()));
        }
        assert_eq!(push(&outbox, asked()), Ok(()), "it is told by the end");
        assert_eq!(outbox.take().end, Some(End::Unread));
    }

    #[test]
    fn bounded_also_for_answers() {
        let outbox = Outbox::new(Arc::new(Notify::new()));
        assert_eq!(push(&outbox, large()), Ok(()));
        let pushed = (0..OUTBOX_BYTES_MAX / 192 + 1).map(|_| push(&outbox, answer()));
        let overflows = pushed.filter(Result::is_err).count();
        assert_eq!(overflows, 1, "changes and presence make room first");
        assert!(outbox.take().end.is_none());
        for _ in 0..OUTBOX_BYTES_MAX / 192 + 10 {
            assert_eq!(push(&outbox, answer()), Ok(()));
        }
        let taken = outbox.take();
        assert_eq!((taken.events.len(), taken.end), (0, Some(End::Unread)));
    }

    #[test]
    fn whoever_waits_for_a_room_that_is_gone_is_told() {
        let outbox = Arc::new(Outbox::new(Arc::new(Notify::new())));
        drop(Feed::new(Arc::clone(&outbox), None));
        let end = End::Closed(ErrorCode::Unavailable);
        assert_eq!(outbox.take().end, Some(end));
    }

    #[test]
    fn what_was_pushed_before_the_end_is_still_sent() {
        let outbox = Outbox::new(Arc::new(Notify::new()));
        assert_eq!(push(&outbox, answer()), Ok(()));
        outbox.end(End::Closed(ErrorCode::Replaced));
        outbox.end(End::Left);
        assert_eq!(push(&outbox, answer()), Ok(()), "it is not taken");
        let taken = outbox.take();
        assert_eq!(
            (taken.events.len(), taken.end),
            (1, Some(End::Closed(ErrorCode::Replaced)))
        );
    }
}
