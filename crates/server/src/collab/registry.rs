//! Which documents are open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use motet_log::DocumentLog;
use motet_model::{DocumentId, limits};
use tokio::sync::mpsc;

use super::{
    room::{self, Request, Shared},
    signals::Signals,
    verdicts::Verdicts,
};

/// The way to a room: its inbox, and what is told beside it.
#[derive(Clone, Debug)]
pub(crate) struct RoomSender {
    inbox: mpsc::Sender<Request>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) signals: Arc<Signals>,
}

impl std::ops::Deref for RoomSender {
    type Target = mpsc::Sender<Request>;

    fn deref(&self) -> &Self::Target {
        &self.inbox
    }
}

/// The open documents of this node. Each has one task, and the way to it stands here.
pub(crate) struct Registry<L> {
    rooms: Mutex<Rooms>,
    shared: Shared<L>,
}

#[derive(Default)]
struct Rooms {
    open: HashMap<DocumentId, RoomSender>,
    /// No room opens any more.
    draining: bool,
}

impl<L: DocumentLog + Clone> Registry<L> {
    pub(crate) fn new(shared: Shared<L>) -> Arc<Self> {
        Arc::new(Self {
            rooms: Mutex::default(),
            shared,
        })
    }

    pub(crate) fn shared(&self) -> &Shared<L> {
        &self.shared
    }

    /// The way to the document's room; opens the document if it is not open. `None` while draining.
    pub(crate) fn open(self: &Arc<Self>, id: DocumentId) -> Option<RoomSender> {
        let mut rooms = self.lock();
        if rooms.draining {
            return None;
        }
        // The inbox of a room that has ended is closed, also when the room took no leave.
        if let Some(sender) = rooms.open.get(&id).filter(|room| !room.is_closed()) {
            return Some(sender.clone());
        }
        let (sender, inbox) = mpsc::channel(limits::BATCH_COMMANDS_MAX);
        let sender = RoomSender {
            inbox: sender,
            verdicts: Arc::default(),
            signals: Arc::default(),
        };
        let beside = (Arc::clone(&sender.verdicts), Arc::clone(&sender.signals));
        rooms.open.insert(id, sender.clone());
        let registry = Arc::clone(self);
        let running = room::run(id, self.shared.clone(), registry, inbox, beside);
        tokio::spawn(running);
        Some(sender)
    }

    /// The way to the document's room, if it is open.
    pub(crate) fn get(&self, id: DocumentId) -> Option<RoomSender> {
        let rooms = self.lock();
        let room = rooms.open.get(&id).filter(|room| !room.is_closed());
        room.cloned()
    }

    /// The documents that are open.
    pub(crate) fn open_documents(&self) -> Vec<DocumentId> {
        self.lock().open.keys().copied().collect()
    }

    /// A room that ends closes its inbox and takes itself out. Another room may have taken its place.
    pub(crate) fn remove_closed(&self, id: DocumentId) {
        let mut rooms = self.lock();
        if rooms.open.get(&id).is_some_and(|room| room.is_closed()) {
            rooms.open.remove(&id);
        }
    }

    /// Takes a room out if nobody has its inbox and nothing is in it. Inboxes are handed out under
    /// the same lock, so nobody can come in between.
    pub(crate) fn remove_idle(&self, id: DocumentId, inbox: &mpsc::Receiver<Request>) -> bool {
        let mut rooms = self.lock();
        let idle = inbox.is_empty() && inbox.sender_strong_count() == 1;
        if idle {
            rooms.open.remove(&id);
        }
        idle
    }

    /// From here on no room opens; returns those that are open.
    pub(crate) fn drain(&self) -> Vec<RoomSender> {
        let mut rooms = self.lock();
        rooms.draining = true;
        rooms.open.values().cloned().collect()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
