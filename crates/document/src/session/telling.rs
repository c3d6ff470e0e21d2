//! What the sessions are told of one another, and when.

use std::sync::{Arc, Weak};

use motet_model::{Revision, SessionId};

use super::{Dialect, Sessions, Told};
use crate::{
    AwarenessState, Presence, PresenceUpdate, awareness, content::Content, presence, window::Window,
};

/// Most of those who have left lately that are remembered.
const DEPARTED_MAX: usize = 1_024;

/// The share of the time that an update may take to leave: one half.
const PAUSE_PER_ROUND: u64 = 2;

/// Of those who are told, one may be late, and one more of so many.
const LATE: usize = 10;

/// An update on its way to those who are here.
#[derive(Debug)]
pub(super) struct Round {
    update: Weak<PresenceUpdate>,
    /// With no more who have it still before them it counts as taken.
    few: usize,
}

impl Round {
    fn is_taken(&self) -> bool {
        self.update.strong_count() <= self.few
    }
}

impl Sessions {
    /// Everyone who is here but `except`.
    pub(crate) fn presence(&mut self, window: &Window, except: Option<SessionId>) -> Vec<Presence> {
        self.sessions
            .iter_mut()
            .filter(|(id, session)| session.present && Some(**id) != except)
            .map(|(id, session)| {
                session.advance(window);
                if session.told == Told::Nothing {
                    session.told = Told::Some;
                }
                session.presence(*id)
            })
            .collect()
    }

    /// When there may be the next update, or when to look what has become of the last one.
    fn update_due_ms(&self) -> u64 {
        let wait_ms = if self.round.is_some() {
            self.pause_ms / PAUSE_PER_ROUND
        } else if self.moved {
            self.pause_ms
        } else {
            let arrivals_ms = presence::arrivals_interval_ms(self.sessions.len());
            arrivals_ms.max(self.pause_ms)
        };
        self.updated_ms + wait_ms
    }

    /// The update that [`tick`](Self::tick) gave goes to so many.
    ///
    /// The next one comes after a pause, of which this one may take a part to be taken by nine in ten; if it takes
    /// longer, so does the pause. So updates are frequent where they are small and the machine is fast, and where they
    /// are not, edits still have their time. Who has not taken the one before is not waited for.
    pub(crate) fn tells(&mut self, update: &Arc<PresenceUpdate>, receivers: usize) {
        let deaf = self.latest.strong_count();
        let few = deaf + 1 + receivers.saturating_sub(deaf) / LATE;
        self.latest = Arc::downgrade(update);
        let update = Weak::clone(&self.latest);
        self.round = Some(Round { update, few });
        // All sessions of all nodes count.
        self.pause_ms = presence::interval_ms(self.sessions.len());
    }

    /// Ends the round when it is over, or makes the pause longer.
    fn look(&mut self, now_ms: u64) {
        while let Some(round) = &self.round
            && now_ms >= self.updated_ms + self.pause_ms / PAUSE_PER_ROUND
        {
            if round.is_taken() || self.pause_ms >= presence::PAUSE_MS_MAX {
                self.round = None;
            } else {
                self.pause_ms = (self.pause_ms * 2).min(presence::PAUSE_MS_MAX);
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do next; `None` when nobody is here.
    pub(crate) fn due_ms(&self, head: Revision) -> Option<u64> {
        if self.len() == 0 {
            return None;
        }
        let expiry_ms = self.expired_ms + presence::EXPIRY_INTERVAL_MS;
        Some(if self.nodes.has_reached(head) {
            expiry_ms.min(self.updated_ms + presence::interval_ms(self.sessions.len()))
        } else if self.untold {
            expiry_ms.min(self.update_due_ms())
        } else {
            expiry_ms
        })
    }

    /// Gives up silent sessions, and returns what the others are to be told now, if anything.
    pub(crate) fn tick(
        &mut self,
        window: &Window,
        content: &Content,
        now_ms: u64,
    ) -> Option<PresenceUpdate> {
        if now_ms >= self.expired_ms + presence::EXPIRY_INTERVAL_MS {
            self.expired_ms = now_ms;
            self.expire(now_ms);
            self.expire_nodes(now_ms);
        }
        self.reach(window, content);
        self.look(now_ms);
        if !self.untold || now_ms < self.update_due_ms() {
            return None;
        }
        self.updated_ms = now_ms;
        (self.untold, self.moved) = (false, false);
        let mut update = PresenceUpdate::default();
        (update.left, update.awareness) = self.take_left(now_ms);
        for client in std::mem::take(&mut self.fresh) {
            let owner = self.owners.get(&client);
            let session = owner.and_then(|owner| self.sessions.get(owner));
            if let Some(said) = session.and_then(|session| session.states.get(&client)) {
                update.awareness.push(said.of(client));
            }
        }
        let (has_yjs, is_watched) = (self.yjs > 0, self.is_watched());
        for (id, session) in &mut self.sessions {
            let list = match session.told {
                Told::Nothing | Told::Some if session.present => Some(&mut update.joined),
                Told::Stale => Some(&mut update.updated),
                Told::Moved => Some(&mut update.moved),
                _ => None,
            };
            let is_due = match &mut session.abroad {
                Some(abroad) => std::mem::take(&mut abroad.renewed),
                None => now_ms >= session.announced_ms + awareness::RENEW_MS,
            };
            let announce = is_watched
                && session.dialect == Dialect::Ot
                && session.present
                && (list.is_some() || is_due);
            if list.is_none() && !announce {
                continue;
            }
            session.advance(window);
            if announce && session.is_here() {
                // What was announced before is not newer than this.
                session.count += u64::from(list.is_none());
                session.announced_ms = now_ms;
                self.nodes.stale = true;
            }
            if let Some(list) = list {
                list.push(session.presence(*id));
                session.told = Told::Current;
            }
            if announce && has_yjs {
                session.announced = true;
                update.awareness.extend(session.awareness(*id, content));
            }
        }
        Some(update)
    }

    /// Who has left since this was asked last: remembered from here on, and to be told.
    pub(super) fn take_left(&mut self, now_ms: u64) -> (Vec<SessionId>, Vec<AwarenessState>) {
        let gone = std::mem::take(&mut self.gone);
        let departed = gone.iter().cloned().map(|state| (now_ms, state));
        self.departed.extend(departed);
        let is_old = |(at_ms, _): &(u64, _)| now_ms >= *at_ms + presence::SILENT_MS;
        while self.departed.front().is_some_and(is_old) || self.departed.len() > DEPARTED_MAX {
            self.departed.pop_front();
        }
        (std::mem::take(&mut self.left), gone)
    }

    fn expire(&mut self, now_ms: u64) {
        let is_watched = self.is_watched();
        let mut silent = Vec::new();
        for (id, session) in &mut self.sessions {
            if !session.is_here() {
                continue;
            }
            if is_watched
                && session.dialect == Dialect::Ot
                && now_ms >= session.announced_ms + awareness::RENEW_MS
            {
                self.untold = true;
            }
            if session.present && now_ms >= session.heard_ms + presence::SILENT_MS {
                session.count += 1;
                silent.push(*id);
            }
        }
        for id in silent {
            self.give_up(id);
            self.nodes.stale = true;
        }
    }

    /// Shows a session no longer, until it is heard of again.
    pub(super) fn give_up(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.present = false;
        session.selection = None;
        if session.told != Told::Nothing {
            session.told = Told::Nothing;
            if session.dialect == Dialect::Ot && session.announced {
                let client = awareness::client_of(id);
                self.gone.push(awareness::gone(client, session.count));
            }
            self.left.push(id);
            self.untold = true;
        }
    }

    /// Whether some session, here or on another node, speaks identities.
    fn is_watched(&self) -> bool {
        self.yjs > 0 || self.nodes.have_yjs()
    }
}
