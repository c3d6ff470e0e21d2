//! The sessions of a document.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use motet_model::{ClientId, Revision, SessionId, UserId};

use crate::{
    Access, Member, Presence, PresenceUpdate, Selection,
    presence::{self, COLORS},
    window::Window,
};

/// How far a session has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Every change up to this revision; later ones follow as they are committed.
    Live(Revision),
    /// It has to catch up first.
    Behind,
}

/// What the others have been told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing, or that it has left.
    Nothing,
    /// Only those who joined after it know it, from the answer to their join.
    Some,
    /// That it is here, but not its latest state.
    Stale,
    /// Everything.
    Current,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) member: Member,
    pub(crate) client_id: ClientId,
    pub(crate) delivery: Delivery,
    pub(crate) color: u8,
    /// The cursor, and the revision that its positions count in.
    selection: Option<(Selection, Revision)>,
    data: Option<Arc<str>>,
    heard_ms: u64,
    told: Told,
    /// False once it has been silent for too long.
    present: bool,
}

impl Session {
    fn changed(&mut self) {
        if self.told == Told::Current {
            self.told = Told::Stale;
        }
    }

    /// Moves the cursor on to the window's head. A cursor from before the window is given up.
    fn advance(&mut self, window: &Window) {
        let Some((selection, revision)) = self.selection else {
            return;
        };
        self.selection = window.after(revision).map(|changes| {
            let moved = changes.fold(selection, |at, change| at.transform(&change.delta));
            (moved, window.head())
        });
    }

    fn presence(&self, session: SessionId) -> Presence {
        Presence {
            session,
            user: self.member.user,
            name: Arc::clone(&self.member.name),
            color: self.color,
            selection: self.selection.map(|(selection, _)| selection),
            data: self.data.clone(),
        }
    }
}

/// All sessions, and what is still to be told about them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    /// Were announced, and are gone.
    left: Vec<SessionId>,
    /// Some session is not `Told::Current`, or some have left.
    untold: bool,
    updated_ms: u64,
    expired_ms: u64,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(crate) fn iter_mut(&mut self) -> btree_map::IterMut<'_, SessionId, Session> {
        self.sessions.iter_mut()
    }

    /// The session, if any, that joined under this client id.
    pub(crate) fn by_client(&self, user: UserId, client_id: &ClientId) -> Option<SessionId> {
        self.sessions
            .iter()
            .find(|(_, session)| session.member.user == user && session.client_id == *client_id)
            .map(|(id, _)| *id)
    }

    pub(crate) fn of_user(&self, user: UserId) -> Vec<SessionId> {
        let of_user =
            |(id, session): (&SessionId, &Session)| (session.member.user == user).then_some(*id);
        self.sessions.iter().filter_map(of_user).collect()
    }

    /// Adds a session and returns its colour.
    pub(crate) fn join(
        &mut self,
        id: SessionId,
        member: Member,
        client_id: ClientId,
        delivery: Delivery,
        now_ms: u64,
    ) -> u8 {
        let color = self.pick_color(member.user);
        let session = Session {
            member,
            client_id,
            delivery,
            color,
            selection: None,
            data: None,
            heard_ms: now_ms,
            told: Told::Nothing,
            present: true,
        };
        self.sessions.insert(id, session);
        self.untold = true;
        color
    }

    /// One user has one colour; different users share one only when there are more of them.
    fn pick_color(&self, user: UserId) -> u8 {
        let mut used = [0_u32; COLORS as usize];
        for session in self.sessions.values() {
            if session.member.user == user {
                return session.color;
            }
            used[usize::from(session.color)] += 1;
        }
        (0..COLORS)
            .min_by_key(|color| used[usize::from(*color)])
            .unwrap_or(0)
    }

    pub(crate) fn leave(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id)
            && session.told != Told::Nothing
        {
            self.left.push(id);
            self.untold = true;
        }
    }

    /// A sign of life: one that had been given up is here again.
    pub(crate) fn heard(&mut self, id: SessionId, now_ms: u64) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_ms = now_ms;
            if !session.present {
                session.present = true;
                self.untold = true;
            }
        }
    }

    /// Sets the cursor, counted in the document at the window's head.
    pub(crate) fn select(
        &mut self,
        id: SessionId,
        selection: Option<Selection>,
        revision: Revision,
    ) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.selection = selection.map(|selection| (selection, revision));
            session.changed();
            self.untold = true;
        }
    }

    pub(crate) fn describe(&mut self, id: SessionId, data: Option<Arc<str>>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.data = data;
            session.changed();
            self.untold = true;
        }
    }

    /// A session's own change takes its cursor along. Its peers infer that from the change, so there
    /// is nothing to tell.
    pub(crate) fn typed(&mut self, id: SessionId, caret: Option<usize>, revision: Revision) {
        if let (Some(session), Some(caret)) = (self.sessions.get_mut(&id), caret)
            && session.selection.is_some()
        {
            session.selection = Some((Selection::caret(caret), revision));
        }
    }

    pub(crate) fn set_access(&mut self, id: SessionId, access: Access) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.member.access = access;
        }
    }

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

    /// When [`tick`](Self::tick) has something to do next; `None` when nobody is here.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        if self.sessions.is_empty() {
            return None;
        }
        let expiry_ms = self.expired_ms + presence::EXPIRY_INTERVAL_MS;
        let update_ms = self.updated_ms + presence::interval_ms(self.sessions.len());
        Some(if self.untold {
            expiry_ms.min(update_ms)
        } else {
            expiry_ms
        })
    }

    /// Gives up silent sessions, and returns what the others are to be told now, if anything.
    pub(crate) fn tick(&mut self, window: &Window, now_ms: u64) -> Option<PresenceUpdate> {
        if now_ms >= self.expired_ms + presence::EXPIRY_INTERVAL_MS {
            self.expired_ms = now_ms;
            self.expire(now_ms);
        }
        if !self.untold || now_ms < self.updated_ms + presence::interval_ms(self.sessions.len()) {
            return None;
        }
        self.updated_ms = now_ms;
        self.untold = false;
        let mut update = PresenceUpdate {
            left: std::mem::take(&mut self.left),
            ..PresenceUpdate::default()
        };
        for (id, session) in &mut self.sessions {
            let list = match session.told {
                Told::Nothing | Told::Some if session.present => &mut update.joined,
                Told::Stale => &mut update.updated,
                _ => continue,
            };
            session.advance(window);
            list.push(session.presence(*id));
            session.told = Told::Current;
        }
        Some(update)
    }

    fn expire(&mut self, now_ms: u64) {
        for (id, session) in &mut self.sessions {
            if session.present && now_ms >= session.heard_ms + presence::SILENT_MS {
                session.present = false;
                session.selection = None;
                if session.told != Told::Nothing {
                    session.told = Told::Nothing;
                    self.left.push(*id);
                    self.untold = true;
                }
            }
        }
    }
}
