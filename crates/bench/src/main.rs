//! `motet-bench`: what servers bear, and how long an edit takes from the moment it was due to be sent until it
//! has arrived at every other client, end to end through real sockets on loopback.
//!
//! Open loop: each editor has a schedule, and an edit that is sent late because the machine was busy counts from when it was
//! due (no coordinated omission). Servers are processes of their own with their defaults, ours durable before
//! visible, and have other cores than the generator.

mod broadcaster;
mod clock;
mod dialects;
mod fleet;
mod frame;
mod load;
mod options;
mod report;
mod scenarios;
mod search;
mod servers;
mod system;
mod tally;

use anyhow::Context;
use clap::Parser;

use self::{
    fleet::Fleet,
    load::Plan,
    options::{Arguments, Command, Common, Run, Search},
    report::{Limit, Measured, Report, Scene, Spread, Trial, table},
    scenarios::Stage,
    search::{Bounds, Found, Verdict},
    servers::{Against, Servers, Setup},
};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    system::open_many_files();
    match arguments.command {
        Command::Run(run) => measure(&run),
        Command::Search(search) => find_limits(&search),
        Command::Broadcaster { listen } => broadcaster::serve(listen, |address| {
            print(&format!("listening on {address}"));
        }),
    }
}

fn measure(run: &Run) -> anyhow::Result<()> {
    if !run.common.scenario.is_load() {
        return play(&run.common);
    }
    let common = &run.common;
    let mut report = Report::default();
    let mut all_well = true;
    for case in common.cases()? {
        for _ in 0..common.runs {
            let rate = run.rate.unwrap_or(run.each * case.authors() as f64);
            let plan = case.plan(common, rate, run.p99_max_ms);
            let trial = attempt(case.against, plan, &case.setup, run.p99_max_ms)?;
            all_well &= !matches!(
                trial.verdict,
                Verdict::Failed(_) | Verdict::Diverged | Verdict::Lost
            );
            tell(&trial);
            report.runs.push(trial);
        }
    }
    print(&format!(
        "Latency from the scheduled send to the arrival at every other client of the document; \
         single characters; median (min to max) of {} runs of {} s.\n\n{}",
        common.runs,
        common.seconds,
        table::runs(&report.runs),
    ));
    common.write(&report)?;
    anyhow::ensure!(all_well, "something was lost, refused or differs");
    Ok(())
}

/// Runs a scenario that is no load.
fn play(common: &Common) -> anyhow::Result<()> {
    let mut report = Report::default();
    let size = common.size();
    let mut all_well = true;
    for case in common.cases_of(&[0])? {
        let stage = Stage {
            against: case.against,
            setup: &case.setup,
            size,
        };
        for _ in 0..common.runs {
            let scene = Scene::of(common.scenario, &stage, common.scenario.run(&stage));
            all_well &= scene.failed.is_none();
            progress(&table::scene(&scene));
            report.scenes.push(scene);
        }
    }
    print(&table::scenes(&report.scenes));
    common.write(&report)?;
    anyhow::ensure!(all_well, "not every server could do it");
    Ok(())
}

fn find_limits(arguments: &Search) -> anyhow::Result<()> {
    let common = &arguments.common;
    anyhow::ensure!(
        common.scenario.is_load(),
        "only loads have a highest rate: writers, observers, documents"
    );
    let mut report = Report::default();
    for case in common.cases()? {
        let mut bounds = Bounds {
            from: arguments.from,
            p99_max_ms: arguments.p99_max_ms,
            precision: 1.0 + arguments.precision,
            attempts: arguments.attempts,
        };
        let mut trials = Vec::new();
        let mut found = Vec::new();
        for _ in 0..common.runs {
            let it = search::search(bounds, |rate| {
                let plan = case.plan(common, rate, bounds.p99_max_ms);
                let trial = attempt(case.against, plan, &case.setup, bounds.p99_max_ms)?;
                tell(&trial);
                let verdict = trial.verdict.clone();
                trials.push(trial);
                Ok(verdict)
            })?;
            // The next one is likely near.
            if it.rate > 0.0 {
                bounds.from = it.rate / 1.2;
            }
            found.push(it);
        }
        let limit = Limit {
            against: case.against.name(),
            documents: case.documents,
            editors: case.editors,
            readers: case.readers,
            nodes: case.setup.nodes,
            rate: Spread::of(found.iter().map(|it: &Found| it.rate)).context("no runs")?,
            generator_limits: found.iter().any(|it| it.generator_limits),
            trials,
        };
        print(&table::limits(std::slice::from_ref(&limit)));
        report.limits.push(limit);
    }
    print(&format!(
        "The highest rate with a 99th percentile below {} ms and nothing lost; median (min to max) of {} searches, \
         {} s each attempt.\n\n{}",
        arguments.p99_max_ms,
        common.runs,
        common.seconds,
        table::limits(&report.limits),
    ));
    common.write(&report)
}

/// Starts servers, runs the load, and stops them.
fn attempt(against: Against, plan: Plan, setup: &Setup, p99_max_ms: f64) -> anyhow::Result<Trial> {
    let servers = Servers::start(against, setup)?;
    let documents = servers.create_documents(plan.documents)?;
    let dialect = against.dialect(documents, plan.clients());
    let nodes = setup.nodes;
    // Else the first node would have more clients than the last.
    let deal = |client: usize| (client / plan.documents + client % plan.documents) % nodes;
    let mut fleet = Fleet::new(dialect, servers.addresses(), plan.clients(), deal)?;
    let figures = load::run(plan, &mut fleet, &servers);
    drop(fleet);
    let appends = servers.stop()?;
    Ok(Trial {
        against: against.name(),
        documents: plan.documents,
        editors: plan.writers,
        readers: plan.readers,
        nodes,
        rate: plan.rate,
        verdict: search::judge(&figures, p99_max_ms),
        measured: figures.ok().map(|it| Measured::of(&it, appends)),
    })
}

/// Says on the way what came of a load.
fn tell(trial: &Trial) {
    let mut line = format!(
        "{} {} × {} at {:.0}/s: {}",
        trial.against,
        trial.documents,
        trial.editors,
        trial.rate,
        table::told(&trial.verdict),
    );
    if let Some(it) = &trial.measured {
        let more = format!(
            "; p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {} of {}; server {:.0} % and {:.0} MiB, generator {:.0} %, late {:.2} ms",
            it.latency.p50_ms,
            it.latency.p99_ms,
            it.latency.max_ms,
            it.delivered,
            it.expected,
            it.servers_cpu * 100.0,
            it.servers_memory_bytes as f64 / f64::from(1 << 20),
            it.generator_cpu * 100.0,
            it.late.p99_ms,
        );
        line.push_str(&more);
    }
    progress(&line);
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}

fn progress(text: &str) {
    eprintln!("{text}");
}
