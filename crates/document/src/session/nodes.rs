//! The sessions of other nodes, and what those nodes are told.
//!
//! # Invariants
//!
//! - **latest**: of what was said of a session, the highest count stands; a session that has left stays
//!   away. So reports may come in any order, and more than once.
//! - **whole**: what a node has not named in a report of everything is not there, unless a later report
//!   has named it.
//! - **expires**: the sessions of a node go 30 s after its last report.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use motet_crdt::Client;
use motet_model::{ClientId, NodeId, Revision, SessionId, limits};

use super::{Abroad, Delivery, Dialect, Session, Sessions};
use crate::{
    Access, Member, Report, Selection,
    awareness::{self, Said},
    content::Content,
    presence::{self, COLORS, SILENT_MS},
    report::{Entry, LEFT_MAX, SESSIONS_BYTES_MAX, State},
    window::Window,
};

/// How often a node tells everything, as a sign of life.
const LIFE_MS: u64 = 10_000;

/// How long those who have left, and nodes that were given up, are remembered.
const REMEMBER_MS: u64 = 60_000;

/// Most sessions that have left that are remembered.
const DEPARTED_MAX: usize = 4_096;

/// Most other nodes whose sessions are shown.
const NODES_MAX: usize = 64;

/// What is known of other nodes, and what they were told.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Others are told at all.
    is_on: bool,
    /// Something has changed since the last report.
    pub(super) stale: bool,
    /// The next report begins to tell everything.
    all: bool,
    /// Everything is being told, and the list of all sessions is still to come.
    ending: bool,
    /// The last report did not hold all that was to be told.
    more: bool,
    /// Others may know sessions of this node.
    told: bool,
    /// The number of the last report.
    number: u64,
    reported_ms: u64,
    whole_ms: u64,
    /// Sessions of this node that have left since the last report, with their counts.
    left: Vec<(SessionId, u64)>,
    others: BTreeMap<NodeId, Other>,
    /// Who has left lately, on whichever node, and when.
    departed: VecDeque<(u64, SessionId)>,
    departed_ids: HashSet<SessionId>,
    /// The least revision in which a cursor waits.
    ahead: Option<Revision>,
    now_ms: u64,
}

#[derive(Debug, Default)]
struct Other {
    /// The highest number of its reports.
    latest: u64,
    /// The number of its latest report of everything, and whom that named.
    whole: u64,
    here: HashSet<SessionId>,
    heard_ms: u64,
    yjs: bool,
    /// It is silent, and its sessions are gone.
    expired: bool,
    sessions: usize,
}

impl Nodes {
    /// Whether some other node has sessions that speak identities.
    pub(super) fn have_yjs(&self) -> bool {
        self.others.values().any(|it| it.yjs && !it.expired)
    }

    /// Whether a cursor has waited for this revision.
    pub(super) fn has_reached(&self, head: Revision) -> bool {
        self.ahead.is_some_and(|ahead| ahead <= head)
    }

    /// A session of this node has left.
    pub(super) fn left(&mut self, id: SessionId, count: u64) {
        if !self.is_on {
            return;
        }
        self.stale = true;
        self.depart(id);
        if self.left.len() < LEFT_MAX {
            self.left.push((id, count));
        } else {
            self.all = true;
        }
    }

    /// A session of another node is not known any longer.
    pub(super) fn dropped(&mut self, node: NodeId) {
        if let Some(other) = self.others.get_mut(&node) {
            other.sessions -= 1;
        }
    }

    fn depart(&mut self, id: SessionId) {
        if !self.departed_ids.insert(id) {
            return;
        }
        self.departed.push_back((self.now_ms, id));
        if self.departed.len() > DEPARTED_MAX
            && let Some((_, first)) = self.departed.pop_front()
        {
            self.departed_ids.remove(&first);
        }
    }

    /// What of a report is news, going by its number.
    fn sift(&mut self, now_ms: u64, node: NodeId, report: &mut Report) -> bool {
        let is_new = !self.others.contains_key(&node);
        let number = report.number;
        if number == 0 || number > limits::INTEGER_MAX || (is_new && self.others.len() >= NODES_MAX)
        {
            return false;
        }
        // A node that has come knows nobody.
        self.all |= is_new;
        let other = self.others.entry(node).or_default();
        if number == other.latest {
            return false;
        }
        if number > other.latest {
            (other.latest, other.heard_ms) = (number, now_ms);
            (other.yjs, other.expired) = (report.yjs, false);
        }
        if number < other.whole {
            report.here = None;
            report
                .sessions
                .retain(|entry| other.here.contains(&entry.session));
        } else if let Some(here) = &report.here {
            other.whole = number;
            other.here = here.iter().copied().collect();
        }
        true
    }
}

impl Sessions {
    pub(crate) fn report_all(&mut self) {
        (self.nodes.is_on, self.nodes.all) = (true, true);
    }

    /// When [`report`](Self::report) has something to tell next.
    pub(crate) fn report_due_ms(&self) -> Option<u64> {
        let nodes = &self.nodes;
        let shown = self.len() - self.hidden;
        if !nodes.is_on || (shown == 0 && !nodes.told) {
            return None;
        }
        if nodes.more {
            return Some(nodes.reported_ms);
        }
        let life_ms = (shown > 0).then_some(nodes.whole_ms + LIFE_MS);
        // The sessions of all nodes count.
        let change_ms = nodes.reported_ms + presence::report_interval_ms(self.sessions.len());
        let change_ms = (nodes.stale || nodes.all).then_some(change_ms);
        [life_ms, change_ms].into_iter().flatten().min()
    }

    /// What other nodes are to be told now, if anything.
    pub(crate) fn report(&mut self, window: &Window, now_ms: u64) -> Option<Report> {
        if self.report_due_ms()? > now_ms {
            return None;
        }
        self.tell_nodes(window, now_ms)
    }

    /// The last report: all have left.
    pub(crate) fn goodbye(&mut self, window: &Window, now_ms: u64) -> Option<Report> {
        let here: Vec<SessionId> = self.iter_mut().map(|(id, _)| *id).collect();
        for id in here {
            self.leave(id);
        }
        self.report_due_ms()?;
        self.tell_nodes(window, now_ms)
    }

    fn tell_nodes(&mut self, window: &Window, now_ms: u64) -> Option<Report> {
        let is_empty = self.len() == self.hidden;
        let nodes = &mut self.nodes;
        let is_begun = nodes.all || is_empty || now_ms >= nodes.whole_ms + LIFE_MS;
        if is_begun {
            (nodes.all, nodes.ending, nodes.whole_ms) = (false, true, now_ms);
        }
        (nodes.stale, nodes.more) = (false, false);
        nodes.reported_ms = now_ms;
        let mut sessions = Vec::new();
        let mut here = Vec::new();
        let mut size_bytes = 0;
        for (id, session) in &mut self.sessions {
            if !session.is_here() || session.hidden {
                continue;
            }
            here.push(*id);
            if is_begun {
                session.reported = 0;
            }
            session.advance(window);
            if session.reported == session.count {
                continue;
            }
            if nodes.more {
                continue;
            }
            let entry = session.entry(*id);
            size_bytes += entry.size_bytes();
            if size_bytes > SESSIONS_BYTES_MAX && !sessions.is_empty() {
                nodes.more = true;
                continue;
            }
            session.reported = session.count;
            sessions.push(entry);
        }
        let is_whole = nodes.ending && !nodes.more;
        let left = std::mem::take(&mut nodes.left);
        if sessions.is_empty() && left.is_empty() && !is_whole {
            return None;
        }
        if is_whole {
            nodes.ending = false;
        }
        nodes.told = !here.is_empty();
        nodes.number = now_ms.max(nodes.number + 1);
        Some(Report {
            number: nodes.number,
            here: is_whole.then_some(here),
            sessions,
            left,
            yjs: self.yjs > 0,
        })
    }

    /// Takes in what another node tells.
    pub(crate) fn hear(
        &mut self,
        node: NodeId,
        mut report: Report,
        window: &Window,
        content: &Content,
        now_ms: u64,
    ) {
        self.expire_nodes(now_ms);
        report.limit();
        if !self.nodes.sift(now_ms, node, &mut report) {
            return;
        }
        let of_node = |session: &Session| session.abroad.as_ref().is_some_and(|it| it.node == node);
        for (id, count) in report.left {
            self.nodes.depart(id);
            if let Some(session) = self.sessions.get_mut(&id).filter(|it| of_node(it)) {
                session.count = session.count.max(count);
                self.leave(id);
            }
        }
        let mut told = Vec::new();
        for entry in report.sessions {
            let (id, states) = (entry.session, entry.states.clone());
            if self.hear_of(node, report.number, entry, window, content) {
                self.hear_states(id, &states);
                told.push((id, states));
            }
        }
        // Only now: a client may have gone from one session to another.
        for (id, states) in told {
            self.drop_states(id, &states);
        }
        if let Some(here) = report.here {
            let here: HashSet<SessionId> = here.into_iter().collect();
            let is_gone = |id: &SessionId, session: &Session| {
                let abroad = session.abroad.as_ref().filter(|it| it.node == node);
                abroad.is_some_and(|it| it.named < report.number) && !here.contains(id)
            };
            let gone = self.sessions.iter().filter(|(id, it)| is_gone(id, it));
            let gone: Vec<SessionId> = gone.map(|(id, _)| *id).collect();
            for id in gone {
                self.leave(id);
            }
        }
        if self.len() == 0 {
            // Whoever joins is told who is there then.
            let _nobody_asks = self.take_left(now_ms);
        }
    }

    /// **latest**: takes what is told of one session. Returns whether it was news.
    fn hear_of(
        &mut self,
        node: NodeId,
        number: u64,
        entry: Entry,
        window: &Window,
        content: &Content,
    ) -> bool {
        let id = entry.session;
        if !self.sessions.contains_key(&id) && !self.arrive(node, &entry) {
            return false;
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let Some(abroad) = session.abroad.as_mut().filter(|it| it.node == node) else {
            return false;
        };
        abroad.named = abroad.named.max(number);
        let is_newer = entry.count > abroad.count;
        // What was before the window may be told again as it is later.
        let lacks = session.selection.is_none() && abroad.ahead.is_none();
        let is_found = entry.count == abroad.count && lacks && entry.selection.is_some();
        if !is_newer && !is_found {
            return false;
        }
        (abroad.count, abroad.renewed, abroad.ahead) = (entry.count, true, None);
        let head = window.head();
        session.advance(window);
        let before = (session.selection, session.present);
        let selection = entry
            .selection
            .map(|(anchor, head, revision)| (Selection { anchor, head }, revision));
        let is_ahead = selection.is_some_and(|(_, revision)| revision > head);
        if let Some((_, revision)) = selection.filter(|_| is_ahead) {
            // Until then it is shown as it was.
            if let Some(abroad) = &mut session.abroad {
                abroad.ahead = selection;
            }
            let least = self.nodes.ahead.map_or(revision, |at| at.min(revision));
            self.nodes.ahead = Some(least);
        } else {
            session.selection = selection.and_then(|at| at_head(at, window, content));
            session.count = entry.count;
        }
        let member = &mut session.member;
        let color = entry.color % COLORS;
        let is_same = member.user == entry.user
            && *member.name == *entry.name
            && session.color == color
            && session.data.as_deref() == entry.data.as_deref();
        if !is_same {
            (member.user, member.name) = (entry.user, entry.name.into());
            (session.color, session.data) = (color, entry.data.map(Arc::from));
        }
        session.present |= entry.present;
        if !is_same {
            session.stale();
        } else if before != (session.selection, session.present) {
            session.moved();
        }
        self.moved |= session.is_known_as_before();
        self.untold = true;
        if !entry.present {
            self.give_up(id);
        }
        true
    }

    /// Makes place for a session of another node, of which nothing is known yet.
    fn arrive(&mut self, node: NodeId, entry: &Entry) -> bool {
        let id = entry.session;
        let Some(other) = self.nodes.others.get_mut(&node) else {
            return false;
        };
        if other.sessions >= limits::SESSIONS_PER_DOCUMENT_MAX
            || self.nodes.departed_ids.contains(&id)
        {
            return false;
        }
        other.sessions += 1;
        self.abroad += 1;
        let dialect = if entry.yjs {
            Dialect::Yjs
        } else {
            let stand_in = awareness::client_of(id);
            // Somebody may have repeated what another node has told of it.
            if let Some(owner) = self.owners.remove(&stand_in) {
                self.disown(owner, stand_in);
                self.fresh.remove(&stand_in);
            }
            self.stand_ins.insert(stand_in);
            Dialect::Ot
        };
        let member = Member {
            user: entry.user,
            name: entry.name.as_str().into(),
            color: None,
            access: Access::Read,
        };
        // Nothing is ever sent to it from here.
        let how = (dialect, Delivery::Behind);
        let color = entry.color % COLORS;
        let mut session = Session::new(member, ClientId::from(id), how, color, 0);
        session.number = self.next_number();
        session.count = entry.count - 1;
        session.abroad = Some(Abroad {
            node,
            named: 0,
            count: 0,
            ahead: None,
            renewed: true,
        });
        self.sessions.insert(id, session);
        true
    }

    /// Takes the states of a session on another node. Where two users say that a client is theirs, one of
    /// them repeats what the other has said: the earlier one is right.
    fn hear_states(&mut self, id: SessionId, states: &[State]) {
        let Some(user) = self.sessions.get(&id).map(|session| session.member.user) else {
            return;
        };
        for state in states {
            let client = state.client;
            if self.stand_ins.contains(&client) {
                continue;
            }
            let owner = self.owners.get(&client).copied();
            let known = owner.and_then(|owner| {
                let owner = self.sessions.get(&owner)?;
                Some((owner.states.get(&client)?, owner.member.user))
            });
            let mut since_ms = state.since_ms;
            let mut is_owner = true;
            let takes = match (known, owner) {
                (Some((said, _)), Some(owner)) if owner == id => {
                    let leaves = said.state.is_some() && state.state.is_none();
                    state.clock > said.clock || (state.clock == said.clock && leaves)
                }
                (Some((said, of)), _) if of == user => {
                    since_ms = since_ms.min(said.since_ms);
                    // At the same clock it is the heir of the other.
                    is_owner = state.clock > said.clock;
                    state.clock >= said.clock && state.state.is_some()
                }
                (Some((said, _)), Some(owner)) => {
                    (since_ms, id) < (said.since_ms, owner) && state.state.is_some()
                }
                _ => state.state.is_some() && !self.has_left(client, state.clock),
            };
            if !takes {
                continue;
            }
            if let Some(owner) = owner.filter(|owner| is_owner && *owner != id) {
                self.disown(owner, client);
            }
            if let Some(session) = self.sessions.get_mut(&id) {
                let said = Said {
                    clock: state.clock,
                    state: state.state.as_deref().map(Arc::from),
                    since_ms,
                };
                session.states.insert(client, said);
                if is_owner {
                    self.owners.insert(client, id);
                    self.fresh.insert(client);
                }
            }
        }
    }

    /// Drops the states of which a session on another node says nothing any longer.
    fn drop_states(&mut self, id: SessionId, states: &[State]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is_named = |client: &Client| states.iter().any(|it| it.client == *client);
        let unnamed: Vec<Client> = session.states.keys().copied().collect();
        for client in unnamed.into_iter().filter(|client| !is_named(client)) {
            if let Some(said) = session.states.remove(&client)
                && self.owners.get(&client) == Some(&id)
            {
                self.owners.remove(&client);
                self.fresh.remove(&client);
                self.gone.push(awareness::gone(client, said.clock));
            }
        }
    }

    /// Shows the cursors that have waited for the head.
    pub(super) fn reach(&mut self, window: &Window, content: &Content) {
        if !self.nodes.has_reached(window.head()) {
            return;
        }
        self.nodes.ahead = None;
        for session in self.sessions.values_mut() {
            let Some(abroad) = &mut session.abroad else {
                continue;
            };
            let Some((selection, revision)) = abroad.ahead else {
                continue;
            };
            if revision > window.head() {
                let least = self.nodes.ahead.map_or(revision, |at| at.min(revision));
                self.nodes.ahead = Some(least);
                continue;
            }
            (abroad.ahead, abroad.renewed) = (None, true);
            session.count = abroad.count;
            session.selection = at_head((selection, revision), window, content);
            session.stale();
            (self.untold, self.moved) = (true, true);
        }
    }

    /// **expires**: gives up the sessions of silent nodes, and forgets who has left.
    pub(super) fn expire_nodes(&mut self, now_ms: u64) {
        let nodes = &mut self.nodes;
        nodes.now_ms = now_ms;
        let is_old = |(at_ms, _): &(u64, SessionId)| now_ms >= *at_ms + REMEMBER_MS;
        while nodes.departed.front().is_some_and(is_old) {
            if let Some((_, id)) = nodes.departed.pop_front() {
                nodes.departed_ids.remove(&id);
            }
        }
        let mut silent = Vec::new();
        for (node, other) in &mut nodes.others {
            if !other.expired && now_ms >= other.heard_ms + SILENT_MS {
                // Nothing that it has said so far counts, should it come late.
                (other.expired, other.whole) = (true, other.latest);
                other.here.clear();
                silent.push(*node);
            }
        }
        if !silent.is_empty() {
            let is_gone = |session: &Session| {
                let abroad = session.abroad.as_ref();
                abroad.is_some_and(|it| silent.contains(&it.node))
            };
            let gone = self.sessions.iter().filter(|(_, it)| is_gone(it));
            let gone: Vec<SessionId> = gone.map(|(id, _)| *id).collect();
            for id in gone {
                self.leave(id);
            }
        }
        self.nodes
            .others
            .retain(|_, other| now_ms < other.heard_ms + REMEMBER_MS);
    }
}

impl Session {
    fn entry(&self, id: SessionId) -> Entry {
        let selection = self
            .selection
            .map(|(at, revision)| (at.anchor, at.head, revision));
        let states = self.states.iter().map(|(client, said)| State {
            client: *client,
            clock: said.clock,
            since_ms: said.since_ms,
            state: said.state.as_deref().map(str::to_owned),
        });
        Entry {
            session: id,
            count: self.count,
            user: self.member.user,
            name: self.member.name.to_string(),
            color: self.color,
            yjs: self.dialect == Dialect::Yjs,
            present: self.present,
            selection,
            data: self.data.as_deref().map(str::to_owned),
            states: states.collect(),
        }
    }
}

/// A cursor at the window's head. `None`: it is from before the window, or outside of the text.
fn at_head(
    (selection, revision): (Selection, Revision),
    window: &Window,
    content: &Content,
) -> Option<(Selection, Revision)> {
    let passed = window.passed_after(revision)?;
    let moved = passed.fold(selection, Selection::transform);
    let is_inside = moved.anchor.max(moved.head) <= content.text().len_utf16();
    is_inside.then_some((moved, window.head()))
}
