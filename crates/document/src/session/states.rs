//! What sessions say of themselves, and what stands for those who speak positions.

use motet_crdt::Client;
use motet_model::{Revision, SessionId, limits};

use super::{Dialect, Sessions};
use crate::{
    AwarenessState,
    awareness::{self, Said},
    content::Content,
    window::Window,
};

impl Sessions {
    /// Takes what a session says of itself. What it repeats of others is left out: they say it
    /// themselves. Returns whether there was something new.
    pub(crate) fn aware(&mut self, id: SessionId, states: Vec<AwarenessState>) -> Vec<Client> {
        let session = self.sessions.get(&id);
        let Some((user, now_ms)) = session.map(|it| (it.member.user, it.heard_ms)) else {
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
            let mut since_ms = now_ms;
            let (known, is_here, of_user) = owner
                .and_then(|owner| self.sessions.get(&owner))
                .and_then(|owner| {
                    let said = owner.states.get(&client)?;
                    since_ms = said.since_ms;
                    let is_here = said.state.is_some();
                    Some((Some(said.clock), is_here, owner.member.user == user))
                })
                .unwrap_or((None, false, true));
            let is_newer = known.is_none_or(|known| {
                clock > known || (clock == known && is_here && state.is_none())
            });
            // Only its own session says that a client has left: some providers say so of all others.
            let is_own = owner == Some(id);
            // Nor does an echo bring somebody back who has left.
            if owner.is_none() && self.has_left(client, clock) {
                continue;
            }
            if !is_newer || !of_user || (!is_own && state.is_none()) {
                continue;
            }
            // A client that comes back on another connection takes its state along.
            if let Some(owner) = owner.filter(|owner| *owner != id) {
                self.disown(owner, client);
            }
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            if session.states.len() >= limits::AWARENESS_CLIENTS_MAX
                && !session.states.contains_key(&client)
            {
                let left = session.states.iter().find(|(_, said)| said.state.is_none());
                let Some(left) = left.map(|(client, _)| *client) else {
                    continue;
                };
                session.states.remove(&left);
                self.owners.remove(&left);
            }
            let said = Said {
                clock,
                state,
                since_ms,
            };
            session.states.insert(client, said);
            session.count += 1;
            self.owners.insert(client, id);
            self.fresh.insert(client);
            self.moved |= known.is_some();
            (self.untold, self.nodes.stale) = (true, true);
            news.push(client);
        }
        news
    }

    /// Whether a client is known to have left after it said what has this clock.
    pub(super) fn has_left(&self, client: Client, clock: u64) -> bool {
        let departed = self.departed.iter().map(|(_, it)| it);
        departed
            .chain(&self.gone)
            .any(|it| it.client == client && it.clock >= clock)
    }

    /// A client whose session has left may have come back on another node, with the same clock.
    pub(super) fn inherit(&mut self, client: Client, last: &Said) -> bool {
        if self.abroad == 0 {
            return false;
        }
        let has = |said: &Said| said.state.is_some() && said.clock >= last.clock;
        let mut sessions = self.sessions.iter();
        let heir = sessions.find(|(_, it)| it.states.get(&client).is_some_and(has));
        let Some(heir) = heir.map(|(id, _)| *id) else {
            return false;
        };
        self.owners.insert(client, heir);
        true
    }

    /// A session no longer answers for a client: another one does.
    pub(super) fn disown(&mut self, owner: SessionId, client: Client) {
        let Some(session) = self.sessions.get_mut(&owner) else {
            return;
        };
        session.states.remove(&client);
        if !session.is_here() {
            return;
        }
        session.count += 1;
        if session.shown_by == Some(client) {
            (session.shown_by, session.selection) = (None, None);
            session.stale();
        }
        (self.untold, self.nodes.stale) = (true, true);
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
            let state = session.states.get(client)?.state.as_deref()?;
            Some((*client, awareness::selection_of(state, content)?))
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
            session.announced |= session.present && session.dialect == Dialect::Ot;
        }
        self.sessions
            .iter()
            .flat_map(|(id, session)| {
                let states = session.awareness(*id, content).into_iter();
                let owners = &self.owners;
                states.filter(move |it| owners.get(&it.client).is_none_or(|of| of == id))
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
}
