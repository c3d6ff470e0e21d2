//! What sessions say of themselves, and what stands for those who speak positions.

use motet_crdt::Client;
use motet_model::{Revision, SessionId, limits};

use super::Sessions;
use crate::{AwarenessState, awareness, content::Content, window::Window};

impl Sessions {
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
