//! Somebody pastes a large text.

use std::time::Duration;

use anyhow::bail;

use super::{Fact, Stage, times};
use crate::{
    clock::{SECOND, ns},
    dialects::Heard,
    fleet::{Fleet, OPENING_MAX},
    load::histogram,
};

const JOIN: Duration = Duration::from_secs(60);
/// How long a paste may take to arrive.
const PASTE: Duration = Duration::from_secs(60);

pub(super) fn run(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let clients = stage.size.clients;
    let (servers, mut fleet) = stage.open(clients)?;
    fleet.join(0..clients, OPENING_MAX);
    fleet.join_all(JOIN, &mut |_| {})?;
    let mut pasted = histogram();
    for nth in 0..stage.size.edits {
        let others = clients - 1;
        pasted.saturating_record(paste_and_wait(
            &mut fleet,
            nth,
            stage.size.characters,
            others,
        )?);
    }
    drop(fleet);
    servers.stop()?;
    Ok(times(
        [
            "with all, p50",
            "with all, p95",
            "with all, p99",
            "with all, max",
        ],
        &pasted,
    )
    .collect())
}

/// Lets the first client paste, and returns the microseconds until so many others have it.
pub(super) fn paste_and_wait(
    fleet: &mut Fleet,
    nth: u64,
    characters: usize,
    others: usize,
) -> anyhow::Result<u64> {
    let start = fleet.clock.ns();
    let deadline = start + ns(PASTE);
    fleet.paste(0, nth, characters);
    let mut arrived = 0;
    let mut latest = start;
    while arrived < others {
        fleet.turn(deadline, &mut |arrival| {
            let is_edit = matches!(arrival.heard, Heard::Edits { .. } | Heard::Change { .. });
            if arrival.client != 0 && is_edit {
                arrived += 1;
                latest = arrival.at;
            }
        })?;
        if fleet.clock.ns() >= deadline {
            bail!(
                "a paste has not arrived after {} s",
                (deadline - start) / SECOND
            );
        }
    }
    Ok((latest - start) / 1_000)
}
