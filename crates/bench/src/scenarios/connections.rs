//! What connections cost on which nothing happens, and how fast they come.

use std::time::Duration;

use super::{Fact, Stage, fact, mib, times};
use crate::{clock::SECOND, fleet::OPENING_MAX};

/// How long everybody has to join.
const JOIN: Duration = Duration::from_secs(300);

/// Memory, and what it costs to keep them.
pub(super) fn idle(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let clients = stage.size.clients;
    let (servers, mut fleet) = stage.open(clients)?;
    let before = servers.usage();
    fleet.join(0..clients, OPENING_MAX);
    fleet.join_all(JOIN, &mut |_| {})?;
    let joined = servers.usage();
    let (seconds, start) = (stage.size.seconds, fleet.clock.ns());
    let end = start + seconds * SECOND;
    while fleet.clock.ns() < end {
        fleet.turn(end, &mut |_| {})?;
    }
    let after = servers.usage();
    let more = after.memory_bytes.saturating_sub(before.memory_bytes);
    drop(fleet);
    servers.stop()?;
    Ok(vec![
        fact(
            "a connection",
            "KiB",
            more as f64 / 1_024.0 / clients as f64,
        ),
        fact("server before", "MiB", mib(before.memory_bytes)),
        fact("server with all", "MiB", mib(after.memory_bytes)),
        fact(
            "server CPU meanwhile",
            "%",
            (after.cpu_seconds - joined.cpu_seconds) / seconds as f64 * 100.0,
        ),
    ])
}

/// How many join in a second.
pub(super) fn connect(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let clients = stage.size.clients;
    let (servers, mut fleet) = stage.open(clients)?;
    let (before, start) = (servers.usage(), fleet.clock.ns());
    fleet.join(0..clients, OPENING_MAX);
    fleet.join_all(JOIN, &mut |_| {})?;
    let seconds = (fleet.clock.ns() - start) as f64 / SECOND as f64;
    let cpu = servers.usage().cpu_seconds - before.cpu_seconds;
    let mut facts = vec![
        fact("joined", "1/s", clients as f64 / seconds),
        fact("server CPU", "%", cpu / seconds * 100.0),
    ];
    facts.extend(times(
        ["join, p50", "join, p95", "join, p99", "join, max"],
        &fleet.joining_us,
    ));
    drop(fleet);
    servers.stop()?;
    Ok(facts)
}
