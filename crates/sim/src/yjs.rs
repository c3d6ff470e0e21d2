//! The messages of clients that speak identities, as JSON with bytes in hex:
//! `packages/client/sim/yjs.mjs` says what there is.

use std::fmt::Write;

use motet_document::{AwarenessState, Command, Event};
use motet_model::{Revision, SessionId};
use serde_json::{Value, json};

/// What a message asks of the document.
pub(crate) fn decode(session: SessionId, message: &Value) -> Result<Command, String> {
    let bytes = |field: &str| unhex(&message[field]).ok_or(format!("no {field}: {message}"));
    match message["type"].as_str() {
        Some("sync") => Ok(Command::Sync {
            session,
            state_vector: motet_crdt::decode_state_vector(&bytes("vector")?)
                .map_err(|error| error.to_string())?,
        }),
        Some("update") => Ok(Command::Update {
            session,
            update: bytes("update")?.into(),
        }),
        Some("awareness") => Ok(Command::Awareness {
            session,
            states: message["states"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| AwarenessState {
                    client: it["client"].as_u64().unwrap_or_default(),
                    clock: it["clock"].as_u64().unwrap_or_default(),
                    state: (!it["state"].is_null()).then(|| it["state"].to_string().into()),
                })
                .collect(),
        }),
        _ => Err(format!("a client of Yjs does not send {message}")),
    }
}

/// How far an event brings a session.
pub(crate) fn sent(event: &Event) -> Option<Revision> {
    match event {
        Event::Joined(joined) => Some(joined.revision),
        Event::Missing { through, .. } => Some(*through),
        Event::Changes { changes, .. } => changes.last().map(|entry| entry.revision),
        _ => None,
    }
}

/// The messages that tell a client of an event.
pub(crate) fn encode(event: &Event) -> Vec<Value> {
    let update = |update: &[u8]| json!({ "type": "update", "update": hex(update) });
    match event {
        Event::Joined(joined) => vec![json!({
            "type": "welcome", "states": states(&joined.awareness),
        })],
        Event::Missing {
            update: missing,
            asked,
            ..
        } => {
            let mut message = update(missing);
            if let Some(made) = asked {
                // What the client has besides is its answer.
                message["vector"] = hex(made).into();
            }
            vec![message]
        }
        Event::Changes { changes, .. } => changes
            .iter()
            .map(|entry| update(&entry.change.update))
            .collect(),
        Event::UpdateStored => vec![json!({ "type": "stored" })],
        Event::Presence(presence) => {
            vec![json!({ "type": "awareness", "states": states(&presence.awareness) })]
        }
        Event::Rejected { reject, .. } => {
            vec![json!({ "type": "error", "code": "refused", "message": reject.to_string() })]
        }
        Event::Closed(reason) => vec![json!({ "closed": format!("{reason:?}") })],
        other => {
            vec![json!({ "type": "error", "code": "unexpected", "message": format!("{other:?}") })]
        }
    }
}

fn states(states: &[AwarenessState]) -> Vec<Value> {
    let json = |state: &str| serde_json::from_str(state).unwrap_or(Value::Null);
    let one = |it: &AwarenessState| {
        let state = it.state.as_deref().map_or(Value::Null, json);
        json!({ "client": it.client, "clock": it.clock, "state": state })
    };
    states.iter().map(one).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

pub(crate) fn unhex(text: &Value) -> Option<Vec<u8>> {
    let text = text.as_str()?;
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}
