//! When all is quiet: is all well?

use std::collections::HashSet;

use motet_crdt::{Replica, Shape, Version};
use motet_model::Change;
use serde_json::{Value, json};

use crate::{disk::Disk, server::Server, world::Client, yjs};

/// What is so at the server, which the clients are compared with.
pub(crate) struct Truth<'a> {
    log: &'a [Change],
    content: Value,
    replica: &'a Replica,
}

impl<'a> Truth<'a> {
    /// **dense**, **exactly once**: checks the log itself on the way.
    pub(crate) fn new(server: &'a Server, disk: &'a Disk) -> Result<Self, String> {
        let (mut seen, mut embeds) = (HashSet::new(), HashSet::new());
        for change in &disk.log {
            for embed in inserted_embeds(&change.delta)? {
                let fresh = embeds.insert(embed.clone());
                ensure(fresh, || format!("{embed} was inserted twice"))?;
            }
            // What is not counted was merged by its identity.
            let fresh = change.seq == 0 || seen.insert((&change.client_id, change.seq));
            ensure(fresh, || {
                format!("{} {} was applied twice", change.client_id, change.seq)
            })?;
        }
        Ok(Self {
            log: &disk.log,
            content: server.content(),
            replica: server.document().content().replica(),
        })
    }

    /// **convergence**, **presence expires**: a client beside all `names` that are here.
    pub(crate) fn client(
        &self,
        client: &Client,
        state: &Value,
        names: &[String],
    ) -> Result<(), String> {
        let (name, content) = (&client.name, &self.content);
        let wrong = |what: &str| format!("{name} {what}: {state}, and the server has {content}");
        // An edit may stand on one that its client lost in a crash before it was sent: then all wait.
        let lost = client.is_yjs && self.replica.has_pending();
        ensure(state["waiting"] == 0 || lost, || wrong("still waits"))?;
        ensure(state["content"] == *content, || wrong("has other content"))?;
        let mut others: Vec<&String> = names.iter().filter(|it| *it != name).collect();
        others.sort();
        let present = state["presence"].as_array().map_or(0, Vec::len);
        let sees_others = present == others.len();
        ensure(sees_others, || wrong("sees others than are here"))?;
        if !client.is_yjs {
            let head = self.log.len() as u64;
            ensure(state["revision"] == head, || wrong("has not seen all"))?;
            ensure(state["editor"] == *content, || wrong("shows other content"))?;
            return self.acknowledged(client);
        }
        let sees_others = state["presence"] == json!(others);
        ensure(sees_others, || wrong("sees others than are here"))?;
        for (root, shape) in [("map", Shape::Map), ("xml", Shape::Xml)] {
            let expected = self.replica.to_json(root, shape);
            let same = state[root] == expected;
            ensure(same, || wrong(&format!("has not the {root} {expected}")))?;
        }
        self.stored(client)
    }

    /// **acknowledged implies durable**.
    fn acknowledged(&self, client: &Client) -> Result<(), String> {
        for revision in &client.acknowledged {
            let place = usize::try_from(*revision).unwrap_or(0).checked_sub(1);
            let change = place.and_then(|place| self.log.get(place));
            let own = change.is_some_and(|it| it.client_id.as_str() == client.name);
            ensure(own, || {
                format!("{} was acknowledged {revision}, not there", client.name)
            })?;
        }
        Ok(())
    }

    /// The same for updates: once more they bring nothing, not even something that would wait. The replica is
    /// what the log makes.
    fn stored(&self, client: &Client) -> Result<(), String> {
        for update in &client.stored {
            let bytes = yjs::unhex(update).ok_or("no update")?;
            let mut replica = self.replica.clone();
            let received = replica.receive_update(&bytes, Version::V1, "content");
            let received = received.map_err(|error| error.to_string())?;
            ensure(received.update.is_empty(), || {
                format!("{} was told that {update} is stored", client.name)
            })?;
        }
        Ok(())
    }
}

/// The embeds that a delta inserts, as JSON.
fn inserted_embeds(delta: &[u8]) -> Result<Vec<String>, String> {
    let delta: Value = serde_json::from_slice(delta).map_err(|error| error.to_string())?;
    let inserts = delta["ops"].as_array().into_iter().flatten();
    let embeds = inserts.filter_map(|op| op.get("insert").filter(|it| it.is_object()));
    Ok(embeds.map(Value::to_string).collect())
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}
