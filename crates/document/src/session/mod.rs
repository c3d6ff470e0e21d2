//! The sessions of a document.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque, hash_map::Entry},
    sync::{Arc, Weak},
};

use motet_crdt::Client;
use motet_model::{ClientId, NodeId, Revision, SessionId, UserId};

use crate::{
    Access, AwarenessState, Member, Presence, PresenceUpdate, Selection,
    awareness::{self, States},
    content::Content,
    presence::COLORS,
    window::Window,
};

use nodes::Nodes;
use telling::Round;

mod nodes;
mod states;
mod telling;

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
    /// All but where it points now.
    Moved,
    /// That it is here, but not its latest state.
    Stale,
    /// Everything.
    Current,
}

/// What is known besides of a session on another node.
#[derive(Debug)]
struct Abroad {
    node: NodeId,
    /// The number of the latest report that named it.
    named: u64,
    /// Its count there. The session's own count is behind it while its cursor is ahead.
    count: u64,
    /// A cursor in a revision that this node has not reached.
    ahead: Option<(Selection, Revision)>,
    /// Those who speak identities have not been told of its latest count.
    renewed: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) member: Member,
    pub(crate) client_id: ClientId,
    pub(crate) dialect: Dialect,
    pub(crate) delivery: Delivery,
    /// Stands for it as long as the document is open.
    pub(crate) number: u32,
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
    /// Grows with each change of what there is to see of it, on its own node; also the clock of what
    /// stands for it among those who speak identities.
    pub(crate) count: u64,
    /// The count that other nodes were told.
    reported: u64,
    /// Whether those who speak identities were told of it, if it does not, and when last.
    announced: bool,
    announced_ms: u64,
    /// `None`: it is here.
    abroad: Option<Abroad>,
}

impl Session {
    fn new(
        member: Member,
        client_id: ClientId,
        (dialect, delivery): (Dialect, Delivery),
        color: u8,
        now_ms: u64,
    ) -> Self {
        Self {
            member,
            client_id,
            dialect,
            delivery,
            number: 0,
            color,
            selection: None,
            data: None,
            heard_ms: now_ms,
            told: Told::Nothing,
            present: true,
            hidden: false,
            states: States::new(),
            shown_by: None,
            count: 1,
            reported: 0,
            announced: false,
            announced_ms: 0,
            abroad: None,
        }
    }

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
                .filter(|(_, said)| said.state.is_some())
                .map(|(client, said)| said.of(*client))
                .collect(),
        }
    }

    fn is_here(&self) -> bool {
        self.abroad.is_none()
    }

    fn stale(&mut self) {
        if matches!(self.told, Told::Current | Told::Moved) {
            self.told = Told::Stale;
        }
    }

    fn moved(&mut self) {
        if self.told == Told::Current {
            self.told = Told::Moved;
        }
    }

    /// Whether the others know it, but as it was before.
    fn is_known_as_before(&self) -> bool {
        matches!(self.told, Told::Stale | Told::Moved)
    }

    /// Moves the cursor on to the window's head. A cursor from before the window is given up.
    fn advance(&mut self, window: &Window) {
        let Some((selection, revision)) = self.selection else {
            return;
        };
        self.selection = window.passed_after(revision).map(|passed| {
            let moved = passed.fold(selection, Selection::transform);
            (moved, window.head())
        });
        if self.selection.is_none() && self.is_here() {
            self.count += 1;
        }
    }

    fn presence(&self, session: SessionId) -> Presence {
        Presence {
            session,
            number: self.number,
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
    /// The number that the latest session got.
    number: u32,
    /// Were announced, and are gone.
    left: Vec<SessionId>,
    /// Some session is not `Told::Current`, or some have left.
    untold: bool,
    /// Of those whom the others know somebody has moved or changed.
    moved: bool,
    /// The sessions of this node by user and client id.
    clients: HashMap<(UserId, ClientId), SessionId>,
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
    /// How many sessions of this node speak identities.
    yjs: usize,
    /// How many of them are hidden.
    hidden: usize,
    /// How many sessions are on other nodes.
    abroad: usize,
    nodes: Nodes,
    updated_ms: u64,
    /// How long after that there may be the next update.
    pause_ms: u64,
    /// The last update, until it is known that it was taken in time.
    round: Option<Round>,
    latest: Weak<PresenceUpdate>,
    expired_ms: u64,
}

impl Sessions {
    /// How many sessions are on this node.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len() - self.abroad
    }

    /// Whether some session speaks identities.
    pub(crate) fn has_yjs(&self) -> bool {
        self.yjs > 0
    }

    /// A session of this node, as with all that sessions ask.
    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| session.is_here())
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let session = self.sessions.get_mut(&id);
        session.filter(|session| session.is_here())
    }

    /// The sessions of this node.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&SessionId, &mut Session)> {
        let sessions = self.sessions.iter_mut();
        sessions.filter(|(_, session)| session.is_here())
    }

    /// The session of this node, if any, that joined under this client id. One that has on another node
    /// stays: it is replaced by nobody, and leaves when its connection ends. O(1), for each change of another node asks.
    pub(crate) fn by_client(&self, user: UserId, client_id: &ClientId) -> Option<SessionId> {
        self.clients.get(&(user, client_id.clone())).copied()
    }

    /// Adds a session and returns its number and its colour.
    pub(crate) fn join(
        &mut self,
        id: SessionId,
        member: Member,
        client_id: ClientId,
        (dialect, delivery): (Dialect, Delivery),
        now_ms: u64,
    ) -> (u32, u8) {
        self.expire_nodes(now_ms);
        // Its id is its own, whatever another node says.
        self.leave(id);
        let color = self.pick_color(&member);
        match dialect {
            Dialect::Ot => {
                self.stand_ins.insert(awareness::client_of(id));
            }
            Dialect::Yjs => self.yjs += 1,
        }
        self.clients.insert((member.user, client_id.clone()), id);
        let mut session = Session::new(member, client_id, (dialect, delivery), color, now_ms);
        session.number = self.next_number();
        self.sessions.insert(id, session);
        (self.untold, self.nodes.stale) = (true, true);
        (self.number, color)
    }

    fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// Nobody is shown the session, which has just joined.
    pub(crate) fn hide(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            (session.present, session.hidden) = (false, true);
            self.hidden += 1;
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
        let is_here = session.is_here();
        if let Entry::Occupied(client) =
            self.clients.entry((session.member.user, session.client_id))
            && *client.get() == id
        {
            client.remove();
        }
        match &session.abroad {
            Some(abroad) => {
                self.abroad -= 1;
                self.nodes.dropped(abroad.node);
            }
            None if session.hidden => self.hidden -= 1,
            None => self.nodes.left(id, session.count),
        }
        self.stand_ins.remove(&awareness::client_of(id));
        match session.dialect {
            Dialect::Ot if session.announced => {
                let client = awareness::client_of(id);
                self.gone.push(awareness::gone(client, session.count));
            }
            Dialect::Ot => {}
            Dialect::Yjs => {
                self.yjs -= usize::from(is_here);
                for (client, said) in session.states {
                    if self.owners.get(&client) != Some(&id) {
                        continue;
                    }
                    self.owners.remove(&client);
                    if self.inherit(client, &said) {
                        continue;
                    }
                    // One that has said so itself goes before the others were told.
                    if self.fresh.remove(&client) || said.state.is_some() {
                        self.gone.push(awareness::gone(client, said.clock));
                        self.untold = true;
                    }
                }
            }
        }
    }

    /// A sign of life: one that had been given up is here again.
    pub(crate) fn heard(&mut self, id: SessionId, now_ms: u64) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_ms = now_ms;
            if !session.present && !session.hidden {
                session.present = true;
                session.count += 1;
                (self.untold, self.nodes.stale) = (true, true);
            }
        }
    }

    /// Moves all cursors on to the window's head.
    pub(crate) fn advance(&mut self, window: &Window) {
        for session in self.sessions.values_mut() {
            session.advance(window);
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
            session.count += 1;
            session.moved();
            self.moved |= session.is_known_as_before();
            (self.untold, self.nodes.stale) = (true, true);
        }
    }

    pub(crate) fn describe(&mut self, id: SessionId, data: Option<Arc<str>>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.data = data;
            session.count += 1;
            session.stale();
            self.moved |= session.is_known_as_before();
            (self.untold, self.nodes.stale) = (true, true);
        }
    }

    /// A session's own change takes its cursor along. Its peers infer that from the change, so there
    /// is nothing to tell but to other nodes, which do not know whose change it is.
    pub(crate) fn typed(&mut self, id: SessionId, caret: Option<usize>, revision: Revision) {
        if let (Some(session), Some(caret)) = (self.sessions.get_mut(&id), caret)
            && session.selection.is_some()
        {
            session.selection = Some((Selection::caret(caret), revision));
            session.count += 1;
            self.nodes.stale = true;
        }
    }

    pub(crate) fn set_access(&mut self, id: SessionId, access: Access) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.member.access = access;
        }
    }
}
