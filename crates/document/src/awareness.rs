//! Presence as Yjs's clients see it: states by client, each with a clock, and cursors as identities.
//!
//! Follows y-protocols 1.0, `awareness.js`, and the fields that its editor bindings read. A state is the
//! client's own JSON and passes on as it is; only its cursor is looked at, to show it to those who speak
//! positions. Those in turn are shown as states that are made here.

use std::{collections::BTreeMap, sync::Arc};

use motet_crdt::{Client, RelativePosition};
use motet_model::{SessionId, limits};
use serde_json::{Value as Json, json};

use crate::{Reject, Selection, content::Content, session::Session};

/// A client that is not heard of for 30 s is removed by all others, so those who speak positions are
/// repeated at this interval.
pub(crate) const RENEW_MS: u64 = 12_000;

/// What one client says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwarenessState {
    /// The client, by its Yjs id.
    pub client: Client,
    /// A higher one is newer.
    pub clock: u64,
    /// JSON text; `None` when it has left.
    pub state: Option<Arc<str>>,
}

/// What a session has said of one of its clients.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) clock: u64,
    /// `None`: that it has left.
    pub(crate) state: Option<Arc<str>>,
    /// When its user first said something of that client, by the clock of the node that heard it.
    pub(crate) since_ms: u64,
}

impl Said {
    pub(crate) fn of(&self, client: Client) -> AwarenessState {
        AwarenessState {
            client,
            clock: self.clock,
            state: self.state.clone(),
        }
    }
}

/// The states that a session answers for.
pub(crate) type States = BTreeMap<Client, Said>;

/// That a client has left: at the clock of its last state, so that the next is newer should it come back.
pub(crate) fn gone(client: Client, clock: u64) -> AwarenessState {
    AwarenessState {
        client,
        clock,
        state: None,
    }
}

/// Whether a message's states are of a size that is passed on.
pub(crate) fn check(states: &[AwarenessState]) -> Result<(), Reject> {
    let too_large = |max, unit| Reject::AwarenessTooLarge { max, unit };
    let len = |it: &AwarenessState| it.state.as_ref().map_or(0, |state| state.len());
    if states
        .iter()
        .any(|it| len(it) > limits::AWARENESS_STATE_BYTES_MAX)
    {
        return Err(too_large(limits::AWARENESS_STATE_BYTES_MAX, "bytes"));
    }
    Ok(())
}

/// Where a state shows a cursor in the text, if it does.
pub(crate) fn selection_of(state: &str, content: &Content) -> Option<Selection> {
    let state: Json = serde_json::from_str(state).ok()?;
    // Most bindings say `cursor`; Monaco's says `selection`.
    ["cursor", "selection"].iter().find_map(|field| {
        let cursor = state.get(field)?;
        let position = |end: &str| {
            let place = RelativePosition::from_json(cursor.get(end)?)?;
            content.position(&place)
        };
        Some(Selection {
            anchor: position("anchor")?,
            head: position("head")?,
        })
    })
}

/// A session that speaks positions, as a state.
pub(crate) fn state_of(
    id: SessionId,
    session: &Session,
    selection: Option<Selection>,
    content: &Content,
) -> AwarenessState {
    let color = COLORS[usize::from(session.color) % COLORS.len()];
    let mut state = json!({
        "user": {
            "id": session.member.user,
            "name": &*session.member.name,
            "color": color,
            "colorLight": format!("{color}33"),
        },
    });
    let place = |position| Some(content.relative(position)?.to_json());
    let cursor = selection
        .and_then(|at| Some(json!({ "anchor": place(at.anchor)?, "head": place(at.head)? })));
    state["selection"] = cursor.clone().unwrap_or_default();
    state["cursor"] = cursor.unwrap_or_default();
    if let Some(data) = session.data() {
        state["data"] = serde_json::from_str(data).unwrap_or_default();
    }
    AwarenessState {
        client: client_of(id),
        clock: session.count,
        state: Some(state.to_string().into()),
    }
}

/// The Yjs client that stands for a session which speaks positions.
pub(crate) fn client_of(session: SessionId) -> Client {
    let [.., a, b, c, d, e, f] = session.to_bytes();
    (1 << 51) | u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The colours of the web application, by number.
const COLORS: [&str; 16] = [
    "#5c66ec", "#d93639", "#0e8560", "#ba43b4", "#9d6b0c", "#04809b", "#9055de", "#548100",
    "#b7556f", "#2e78be", "#b1601b", "#05837e", "#b15684", "#79790d", "#716bc1", "#b85a39",
];
