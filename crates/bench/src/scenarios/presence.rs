//! Everybody moves, and everybody sees it.
//!
//! Servers may leave out moves that are older than the latest. What is measured is how old a move is when it is shown
//! to somebody, and how many of them are.

use std::time::Duration;

use super::{Fact, Stage, fact, paste::paste_and_wait, times};
use crate::{
    clock::{MILLISECOND, SECOND, ns},
    dialects::Heard,
    fleet::OPENING_MAX,
    load::histogram,
};

const JOIN: Duration = Duration::from_secs(120);
const DRAIN: Duration = Duration::from_secs(10);

pub(super) fn run(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let clients = stage.size.clients;
    let (servers, mut fleet) = stage.open(clients)?;
    anyhow::ensure!(
        fleet.dialect.has_presence(),
        "there is no presence to measure"
    );
    fleet.join(0..clients, OPENING_MAX);
    fleet.join_all(JOIN, &mut |_| {})?;

    let everybody = clients as u64;
    let interval = SECOND / (stage.size.edits * everybody);
    let rounds = stage.size.edits * stage.size.seconds;
    let total = rounds * everybody;
    // A character for each place.
    let places = usize::try_from(rounds)?;
    paste_and_wait(&mut fleet, 0, places, clients - 1)?;
    let start = fleet.clock.ns() + 100 * MILLISECOND;
    let due = |moved: u64| start + moved * interval;
    let deadline = due(total) + ns(DRAIN);
    let before = servers.usage();
    let mut age_us = histogram();
    // By receiver and sender: the next move that is new. Moves are counted from 1.
    let mut next = vec![0_u32; clients * clients];
    let (mut shown, mut up_to_date, mut moved) = (0_u64, 0_usize, 0);
    while up_to_date < clients * (clients - 1) && fleet.clock.ns() < deadline {
        let now = fleet.clock.ns();
        while moved < total && due(moved) <= now {
            let client = usize::try_from(moved % everybody)?;
            fleet.point(client, moved / everybody + 1);
            moved += 1;
        }
        let until = if moved < total { due(moved) } else { deadline };
        fleet.turn(until, &mut |arrival| {
            let Heard::Presence { author, nth } = arrival.heard else {
                return;
            };
            if author >= clients || author == arrival.client || nth == 0 || nth > rounds {
                return;
            }
            let latest = &mut next[arrival.client * clients + author];
            if let Ok(nth) = u32::try_from(nth)
                && nth > *latest
            {
                *latest = nth;
                shown += 1;
                up_to_date += usize::from(u64::from(nth) == rounds);
                let due = due((u64::from(nth) - 1) * everybody + author as u64);
                age_us.saturating_record(arrival.at.saturating_sub(due) / 1_000);
            }
        })?;
    }
    let cpu = servers.usage().cpu_seconds - before.cpu_seconds;
    let seconds = (fleet.clock.ns() - start) as f64 / SECOND as f64;
    drop(fleet);
    servers.stop()?;
    let pairs = clients * (clients - 1);
    anyhow::ensure!(
        up_to_date == pairs,
        "only {up_to_date} of {pairs} last moves have arrived"
    );
    let all = pairs as u64 * rounds;
    let mut facts: Vec<Fact> =
        times(["age, p50", "age, p95", "age, p99", "age, max"], &age_us).collect();
    facts.push(fact("moves shown", "%", shown as f64 / all as f64 * 100.0));
    facts.push(fact("server CPU", "%", cpu / seconds * 100.0));
    Ok(facts)
}
