//! Some readers stop reading for a while: what do the others notice, and do those catch up?

use std::time::Duration;

use super::{Fact, Stage, fact, mib, times};
use crate::load::{self, Plan};

pub(super) fn run(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let third = stage.size.clients / 3;
    let plan = Plan {
        documents: 1,
        writers: third,
        readers: stage.size.clients - third,
        deaf: third,
        rate: stage.size.edits as f64,
        warm_up: Duration::from_secs(1),
        length: Duration::from_secs(stage.size.seconds),
        give_up: Duration::from_secs(10),
        witness: false,
    };
    let (servers, mut fleet) = stage.open(plan.clients())?;
    let figures = load::run(plan, &mut fleet, &servers)?;
    drop(fleet);
    servers.stop()?;
    anyhow::ensure!(
        figures.lost() == 0,
        "{} arrivals are missing",
        figures.lost()
    );
    let names = ["others, p50", "others, p95", "others, p99", "others, max"];
    let mut facts: Vec<Fact> = times(names, &figures.latency_us).collect();
    facts.push(fact("caught up after", "ms", figures.caught_up_ms));
    facts.push(fact("server", "MiB", mib(figures.servers_memory_bytes)));
    Ok(facts)
}
