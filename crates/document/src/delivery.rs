//! How a session comes to have what the document has: joining, and catching up.

use std::sync::{Arc, OnceLock};

use motet_crdt::StateVector;
use motet_model::{ClientId, Revision, SessionId};

use crate::{
    Changes, CloseReason, Document, Event, Events, Joined, Member, PresenceUpdate, SharedText,
    Start,
    session::{Delivery, Dialect},
};

/// How long a text is kept for others who join. Its wire form may be as large as the document.
const KEPT_MS: u64 = 1_000;

/// A text that was sent to somebody who joined.
#[derive(Debug)]
pub(crate) struct Kept {
    revision: Revision,
    since_ms: u64,
    shared: Arc<SharedText>,
}

impl Document {
    pub(crate) fn join(
        &mut self,
        events: &mut Events,
        now_ms: u64,
        id: SessionId,
        member: Member,
        client_id: ClientId,
        start: Start,
    ) {
        let close = |events: &mut Events, id, reason| events.push((id, Event::Closed(reason)));
        if matches!(start, Start::Revision { revision, .. } | Start::Once(revision)
            if revision > self.head)
        {
            return close(events, id, CloseReason::RevisionAhead);
        }
        if let Some(earlier) = self.sessions.by_client(member.user, &client_id) {
            self.sessions.leave(earlier);
            close(events, earlier, CloseReason::Replaced);
        }
        if self.sessions.len() >= self.settings.sessions_max {
            return close(events, id, CloseReason::Full);
        }
        let planned = self.window.head();
        let (dialect, delivery) = match start {
            Start::Text => (Dialect::Ot, Delivery::Live(planned)),
            Start::Revision {
                revision,
                pending: true,
            }
            | Start::Once(revision) => (Dialect::Ot, Delivery::Held(revision)),
            Start::Revision { .. } => (Dialect::Ot, Delivery::Behind),
            Start::Identities => (Dialect::Yjs, Delivery::Live(planned)),
        };
        let last = self.clients.last(&(member.user, client_id.clone()));
        let access = member.access;
        let how = (dialect, delivery);
        let (number, color) = self
            .sessions
            .join(id, member, client_id.clone(), how, now_ms);
        if matches!(start, Start::Once(_)) {
            self.sessions.hide(id);
        }
        let mut joined = Joined {
            revision: planned,
            content: None,
            client_id,
            last_seq: last.map_or(0, |last| last.seq),
            number,
            color,
            access,
            presence: Vec::new(),
            awareness: Vec::new(),
        };
        match start {
            Start::Text => {
                joined.content = Some(self.shared_text(now_ms));
                joined.presence = self.sessions.presence(&self.window, Some(id));
            }
            // One that resumes is at an earlier revision; when it has caught up it is sent all.
            Start::Revision { revision, .. } | Start::Once(revision) => {
                joined.revision = revision;
            }
            Start::Identities => {
                joined.awareness = self.sessions.awareness(&self.window, &self.content);
            }
        }
        events.push((id, Event::Joined(Box::new(joined))));
        match start {
            Start::Revision {
                revision,
                pending: false,
            } => self.catch_up(events, id, revision),
            Start::Identities if self.milestones.is_due(planned) => {
                let made = self.content.replica().state_vector();
                self.milestones.push(planned, made);
            }
            _ => {}
        }
    }

    /// The text at the head, the same for all who join while it is that.
    fn shared_text(&mut self, now_ms: u64) -> Arc<SharedText> {
        let head = self.window.head();
        if let Some(kept) = &self.shared_text
            && kept.revision == head
        {
            return Arc::clone(&kept.shared);
        }
        let shared = Arc::new(SharedText {
            text: self.content.text().clone(),
            wire: OnceLock::new(),
        });
        self.shared_text = Some(Kept {
            revision: head,
            since_ms: now_ms,
            shared: Arc::clone(&shared),
        });
        shared
    }

    /// Forgets a text that nobody has begun with lately.
    pub(crate) fn forget_shared_text(&mut self, now_ms: u64) {
        let is_old = |it: &Kept| now_ms >= it.since_ms + KEPT_MS;
        if self.shared_text.as_ref().is_some_and(is_old) {
            self.shared_text = None;
        }
    }

    /// A session that was held until its first submission catches up.
    pub(crate) fn release(&mut self, events: &mut Events, id: SessionId) {
        if let Some(session) = self.sessions.get(id)
            && let Delivery::Held(revision) = session.delivery
        {
            self.catch_up(events, id, revision);
        }
    }

    /// **in order**: sends what is in memory after `after`, up to a bound, or says where to find it.
    pub(crate) fn catch_up(&mut self, events: &mut Events, id: SessionId, after: Revision) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.dialect == Dialect::Yjs {
            let known = self.milestones.at(after);
            return self.bring(events, id, &known, false);
        }
        let Some(missed) = self.window.after(after) else {
            let through = self.window.start();
            session.delivery = Delivery::Behind;
            return events.push((id, Event::ReadLog { after, through }));
        };
        let mut budget = self.settings.catch_up_bytes_max;
        let mut changes = Vec::with_capacity(missed.len());
        for entry in missed {
            let len = entry.change.delta.len();
            if len > budget && !changes.is_empty() {
                break;
            }
            budget = budget.saturating_sub(len);
            changes.push(Arc::clone(entry));
        }
        let sent = changes.last().map_or(after, |entry| entry.revision);
        let live = sent >= self.window.head();
        session.delivery = if live {
            Delivery::Live(sent)
        } else {
            Delivery::Behind
        };
        let changes = Changes::new(changes);
        events.push((id, Event::Changes { changes, live }));
        if live {
            self.show_everyone(events, id);
        }
    }

    /// Sends a session that speaks identities what it lacks; from here on it is up to date.
    pub(crate) fn bring(
        &mut self,
        events: &mut Events,
        id: SessionId,
        known: &StateVector,
        asked: bool,
    ) {
        let through = self.window.head();
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let was_behind = session.delivery == Delivery::Behind;
        session.delivery = Delivery::Live(through);
        let update = self.content.missing(known);
        let made = || self.content.replica().encode_state_vector().into();
        let asked = asked.then(made);
        events.push((
            id,
            Event::Missing {
                update,
                through,
                asked,
            },
        ));
        if was_behind {
            self.show_everyone(events, id);
        }
    }

    /// Updates of presence were withheld while the session was behind.
    pub(crate) fn show_everyone(&mut self, events: &mut Events, id: SessionId) {
        let dialect = self.sessions.get(id).map(|session| session.dialect);
        let mut update = PresenceUpdate {
            reset: true,
            ..PresenceUpdate::default()
        };
        match dialect {
            Some(Dialect::Ot) => update.joined = self.sessions.presence(&self.window, None),
            Some(Dialect::Yjs) => {
                update.awareness = self.sessions.awareness_anew(&self.window, &self.content);
            }
            None => return,
        }
        events.push((id, Event::Presence(Arc::new(update))));
    }
}
