//! A document with a long history is opened by a server that has just started.

use std::time::Duration;

use anyhow::bail;

use super::{Fact, Stage, fact, mib};
use crate::{
    clock::{SECOND, ns},
    dialects::Heard,
    fleet::Fleet,
    servers::{Servers, Setup},
};

const JOIN: Duration = Duration::from_secs(120);
/// So many edits are on their way at a time.
const WINDOW: u64 = 256;
/// How long nothing may arrive.
const STALL: Duration = Duration::from_secs(30);

pub(super) fn run(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    // What is not stored cannot be opened.
    let setup = &Setup {
        persist: true,
        ..stage.setup.clone()
    };
    let servers = Servers::start(stage.against, setup)?;
    let documents = servers.create_documents(1)?;
    let fleet = |servers: &Servers| {
        let dialect = stage.against.dialect(documents.clone(), 2);
        Fleet::new(dialect, servers.addresses(), 2, |_| 0)
    };
    let mut typing = fleet(&servers)?;
    typing.join(0..2, 2);
    typing.join_all(JOIN, &mut |_| {})?;
    let start = typing.clock.ns();
    type_through(&mut typing, stage.size.edits)?;
    let typed_seconds = (typing.clock.ns() - start) as f64 / SECOND as f64;
    drop(typing);

    let servers = servers.restart(stage.against, setup)?;
    let before = servers.usage();
    let mut opening = fleet(&servers)?;
    let cold_us = open(&mut opening, 0, stage.size.edits)?;
    let warm_us = open(&mut opening, 1, stage.size.edits)?;
    let after = servers.usage();
    drop(opening);
    servers.stop()?;
    Ok(vec![
        fact("opened", "ms", cold_us as f64 / 1_000.0),
        fact("and once more", "ms", warm_us as f64 / 1_000.0),
        fact(
            "memory for it",
            "MiB",
            mib(after.memory_bytes.saturating_sub(before.memory_bytes)),
        ),
        fact(
            "typed before",
            "1/s",
            stage.size.edits as f64 / typed_seconds,
        ),
    ])
}

/// Has a client join, and returns the microseconds until it has the text: some servers say that there is nothing, and send
/// what they have stored when they have read it.
fn open(fleet: &mut Fleet, client: usize, characters: u64) -> anyhow::Result<u64> {
    let (start, before) = (fleet.clock.ns(), fleet.received_bytes);
    let deadline = start + ns(JOIN);
    fleet.join([client], 1);
    fleet.join_all(JOIN, &mut |_| {})?;
    while fleet.received_bytes - before < characters {
        fleet.turn(deadline, &mut |_| {})?;
        if fleet.clock.ns() >= deadline {
            bail!("edits are missing after the restart");
        }
    }
    Ok((fleet.clock.ns() - start) / 1_000)
}

/// The first client types, as fast as the second gets it.
fn type_through(fleet: &mut Fleet, edits: u64) -> anyhow::Result<()> {
    let (mut sent, mut arrived) = (0, 0);
    let mut deadline = 0;
    while arrived < edits {
        let before = arrived;
        while sent < edits && sent < arrived + WINDOW {
            fleet.edit(0, sent);
            sent += 1;
        }
        let now = fleet.clock.ns();
        if deadline == 0 {
            deadline = now + ns(STALL);
        }
        fleet.turn(deadline, &mut |arrival| {
            if arrival.client == 1 {
                arrived += match arrival.heard {
                    Heard::Edits { count, .. } => count,
                    Heard::Change { .. } => 1,
                    _ => 0,
                };
            }
        })?;
        if arrived > before {
            deadline = 0;
        } else if fleet.clock.ns() >= deadline {
            bail!("only {arrived} of {edits} edits have arrived");
        }
    }
    Ok(())
}
