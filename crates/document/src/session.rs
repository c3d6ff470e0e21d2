//! The sessions of a document.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque, btree_map},
    sync::Arc,
};

use motet_crdt::Client;
use motet_model::{ClientId, Revision, SessionId, UserId, limits};

use crate::{
    Access, AwarenessState, Member, Presence, PresenceUpdate, Selection,
    awareness::{self, States},
    content::Content,
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
    /// It has this revision, and catches up when its first submission has come.
    Held(Revision),
    /// Its first submission is being reconciled.
    Reconciling,
}

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Positions: deltas and revisions.
    Ot,
    /// Identities: updates and state vectors.
    Yjs,
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
    pub(crate) dialect: Dialect,
    pub(crate) delivery: Delivery,
    pub(crate) color: u8,
    /// The cursor, and the revision that its positions count in.
    selection: Option<(Selection, Revision)>,
    data: Option<Arc<str>>,
    heard_ms: u64,
    told: Told,
    /// False once it has been silent for too long.
    present: bool,
    /// It is here for one edit, and the others are never shown it.
    pub(crate) hidden: bool,
    /// What it says of itself, if it speaks identities.
    states: States,
    /// Which of its clients shows the cursor.
    shown_by: Option<Client>,
    /// How often those who speak identities were told of it, if it does not, and when last.
    pub(crate) announced: u64,
    announced_ms: u64,
}

impl Session {
    pub(crate) fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// All that those who speak identities see of it.
    fn awareness(&self, id: SessionId, content: &Content) -> Vec<AwarenessState> {
        if !self.present {
            return Vec::new();
        }
        match self.dialect {
            Dialect::Ot => {
                let selection = self.selection.map(|(selection, _)| selection);
                vec![awareness::state_of(id, self, selection, content)]
            }
            Dialect::Yjs => self
                .states
                .iter()
                .filter(|(_, (_, state))| state.is_some())
                .map(|(client, (clock, state))| AwarenessState {
                    client: *client,
                    clock: *clock,
                    state: state.clone(),
                })
                .collect(),
        }
    }

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

/// Most of those who have left lately that are remembered.
const DEPARTED_MAX: usize = 1_024;

/// All sessions, and what is still to be told about them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    /// Were announced, and are gone.
    left: Vec<SessionId>,
    /// Some session is not `Told::Current`, or some have left.
    untold: bool,
    /// Which session answers for a Yjs client.
    owners: HashMap<Client, SessionId>,
    /// The Yjs clients that stand for sessions of positions.
    stand_ins: HashSet<Client>,
    /// Yjs clients whose states are newer than what the others were told.
    fresh: BTreeSet<Client>,
    /// Those that are gone, with the clocks to say so.
    gone: Vec<AwarenessState>,
    /// What was said of those lately, with the time, for sessions that were sent nothing then. Clients
    /// forget by themselves whoever was silent for longer.
    departed: VecDeque<(u64, AwarenessState)>,
    /// How many sessions speak identities.
    yjs: usize,
    updated_ms: u64,
    expired_ms: u64,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether some session speaks identities.
    pub(crate) fn has_yjs(&self) -> bool {
        self.yjs > 0
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

    /// Adds a session and returns its colour.
    pub(crate) fn join(
        &mut self,
        id: SessionId,
        member: Member,
        client_id: ClientId,
        (dialect, delivery): (Dialect, Delivery),
        now_ms: u64,
    ) -> u8 {
        let color = self.pick_color(&member);
        match dialect {
            Dialect::Ot => {
                self.stand_ins.insert(awareness::client_of(id));
            }
            Dialect::Yjs => self.yjs += 1,
        }
        let session = Session {
            member,
            client_id,
            dialect,
            delivery,
            color,
            selection: None,
            data: None,
            heard_ms: now_ms,
            told: Told::Nothing,
            present: true,
            hidden: false,
            states: States::new(),
            shown_by: None,
            announced: 0,
            announced_ms: 0,
        };
        self.sessions.insert(id, session);
        self.untold = true;
        color
    }

    /// Nobody is shown the session, which has just joined.
    pub(crate) fn hide(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            (session.present, session.hidden) = (false, true);
        }
    }

    /// One user has one colour, their own choice if nobody has it; different users share one only when
    /// there are more of them.
    fn pick_color(&self, member: &Member) -> u8 {
        let mut used = [0_u32; COLORS as usize];
        for session in self.sessions.values() {
            if session.member.user == member.user {
                return session.color;
            }
            used[usize::from(session.color)] += 1;
        }
        let is_free = |color: &u8| used.get(usize::from(*color)) == Some(&0);
        member.color.filter(is_free).unwrap_or_else(|| {
            (0..COLORS)
                .min_by_key(|color| used[usize::from(*color)])
                .unwrap_or(0)
        })
    }

    pub(crate) fn leave(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        if session.told != Told::Nothing {
            self.left.push(id);
            self.untold = true;
        }
        // At the same clock: should the client come back, its next state is newer.
        let gone = |client, clock: u64| AwarenessState {
            client,
            clock,
            state: None,
        };
        self.stand_ins.remove(&awareness::client_of(id));
        match session.dialect {
            Dialect::Ot if session.announced > 0 => {
                let client = awareness::client_of(id);
                self.gone.push(gone(client, session.announced));
            }
            Dialect::Ot => {}
            Dialect::Yjs => {
                self.yjs -= 1;
                for (client, (clock, state)) in session.states {
                    self.owners.remove(&client);
                    // One that has said so itself goes before the others were told.
                    if self.fresh.remove(&client) || state.is_some() {
                        self.gone.push(gone(client, clock));
                        self.untold = true;
                    }
                }
            }
        }
    }

    /// Takes what a session says of itself. What it repeats of others is left out: they say it
    /// themselves. Returns whether there was something new.
    pub(crate) fn aware(&mut self, id: SessionId, states: Vec<AwarenessState>) -> Vec<Client> {
        let Some(user) = self.sessions.get(&id).map(|session| session.member.user) else {
            return Vec::new();
        };
        let mut news = Vec::new();
        for AwarenessState {
            client,
            clock,
            state,
        } in states
        {
            // What stands for a session of positions is told here only.
            if self.stand_ins.contains(&client) {
                continue;
            }
            let owner = self.owners.get(&client).copied();
            let (known, is_here, of_user) = owner
                .and_then(|owner| self.sessions.get(&owner))
                .and_then(|owner| {
                    let (clock, state) = owner.states.get(&client)?;
                    Some((Some(*clock), state.is_some(), owner.member.user == user))
                })
                .unwrap_or((None, false, true));
            let is_newer = known.is_none_or(|known| {
                clock > known || (clock == known && is_here && state.is_none())
            });
            // Only its own session says that a client has left: some providers say so of all others.
            let is_own = owner == Some(id);
            // Nor does an echo bring somebody back who has left.
            let has_left = owner.is_none() && {
                let departed = self.departed.iter().map(|(_, it)| it);
                departed
                    .chain(&self.gone)
                    .any(|it| it.client == client && it.clock >= clock)
            };
            if has_left {
                continue;
            }
            if !is_newer || !of_user || (!is_own && state.is_none()) {
                continue;
            }
            // A client that comes back on another connection takes its state along.
            if let Some(owner) = owner.filter(|owner| *owner != id)
                && let Some(owner) = self.sessions.get_mut(&owner)
            {
                owner.states.remove(&client);
            }
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            if session.states.len() >= limits::AWARENESS_CLIENTS_MAX
                && !session.states.contains_key(&client)
            {
                let left = session
                    .states
                    .iter()
                    .find(|(_, (_, state))| state.is_none());
                let Some(left) = left.map(|(client, _)| *client) else {
                    continue;
                };
                session.states.remove(&left);
                self.owners.remove(&left);
            }
            session.states.insert(client, (clock, state));
            self.owners.insert(client, id);
            self.fresh.insert(client);
            self.untold = true;
            news.push(client);
        }
        news
    }

    /// The cursor that a session's new states show.
    pub(crate) fn show_states(
        &mut self,
        id: SessionId,
        fresh: &[Client],
        content: &Content,
        revision: Revision,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let shows = fresh.iter().find_map(|client| {
            let (_, state) = session.states.get(client)?;
            Some((
                *client,
                awareness::selection_of(state.as_deref()?, content)?,
            ))
        });
        let selection = match shows {
            Some((client, selection)) => {
                session.shown_by = Some(client);
                Some(selection)
            }
            // Another client of the session may show one still.
            None if session.shown_by.is_some_and(|by| fresh.contains(&by)) => None,
            None => return,
        };
        self.select(id, selection, revision);
    }

    /// All that those who speak identities see of everyone.
    pub(crate) fn awareness(&mut self, window: &Window, content: &Content) -> Vec<AwarenessState> {
        for session in self.sessions.values_mut() {
            session.advance(window);
            session.announced = session.announced.max(1);
        }
        self.sessions
            .iter()
            .flat_map(|(id, session)| session.awareness(*id, content))
            .collect()
    }

    /// A sign of life: one that had been given up is here again.
    pub(crate) fn heard(&mut self, id: SessionId, now_ms: u64) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_ms = now_ms;
            if !session.present && !session.hidden {
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

    /// The same, and who has left lately: for a session that may have missed it.
    pub(crate) fn awareness_anew(
        &mut self,
        window: &Window,
        content: &Content,
    ) -> Vec<AwarenessState> {
        let mut states = self.awareness(window, content);
        let departed = self.departed.iter().map(|(_, state)| state.clone());
        states.extend(departed.filter(|it| !self.owners.contains_key(&it.client)));
        states
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
    pub(crate) fn tick(
        &mut self,
        window: &Window,
        content: &Content,
        now_ms: u64,
    ) -> Option<PresenceUpdate> {
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
            awareness: std::mem::take(&mut self.gone),
            ..PresenceUpdate::default()
        };
        let is_old = |(at_ms, _): &(u64, _)| now_ms >= *at_ms + presence::SILENT_MS;
        while self.departed.front().is_some_and(is_old) || self.departed.len() > DEPARTED_MAX {
            self.departed.pop_front();
        }
        let departed = update.awareness.iter().cloned();
        self.departed.extend(departed.map(|state| (now_ms, state)));
        for client in std::mem::take(&mut self.fresh) {
            let owner = self.owners.get(&client);
            let session = owner.and_then(|owner| self.sessions.get(owner));
            if let Some((clock, state)) = session.and_then(|session| session.states.get(&client)) {
                update.awareness.push(AwarenessState {
                    client,
                    clock: *clock,
                    state: state.clone(),
                });
            }
        }
        let is_watched = self.yjs > 0;
        for (id, session) in &mut self.sessions {
            let list = match session.told {
                Told::Nothing | Told::Some if session.present => Some(&mut update.joined),
                Told::Stale => Some(&mut update.updated),
                _ => None,
            };
            let is_due = now_ms >= session.announced_ms + awareness::RENEW_MS;
            let announce = is_watched
                && session.dialect == Dialect::Ot
                && session.present
                && (list.is_some() || is_due);
            if list.is_none() && !announce {
                continue;
            }
            session.advance(window);
            if let Some(list) = list {
                list.push(session.presence(*id));
                session.told = Told::Current;
            }
            if announce {
                session.announced += 1;
                session.announced_ms = now_ms;
                update.awareness.extend(session.awareness(*id, content));
            }
        }
        Some(update)
    }

    fn expire(&mut self, now_ms: u64) {
        let is_watched = self.yjs > 0;
        for (id, session) in &mut self.sessions {
            if is_watched
                && session.dialect == Dialect::Ot
                && now_ms >= session.announced_ms + awareness::RENEW_MS
            {
                self.untold = true;
            }
            if session.present && now_ms >= session.heard_ms + presence::SILENT_MS {
                session.present = false;
                session.selection = None;
                if session.told != Told::Nothing {
                    session.told = Told::Nothing;
                    if session.dialect == Dialect::Ot && session.announced > 0 {
                        self.gone.push(AwarenessState {
                            client: awareness::client_of(*id),
                            clock: session.announced,
                            state: None,
                        });
                    }
                    self.left.push(*id);
                    self.untold = true;
                }
            }
        }
    }
}
