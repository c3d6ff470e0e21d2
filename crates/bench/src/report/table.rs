//! Tables in Markdown.

use std::fmt::Write;

use super::{Limit, Measured, Scene, Spread, Trial};
use crate::{scenarios::Fact, search::Verdict};

/// A table of loads that were run: a row for those that differ in nothing but their turn.
pub(crate) fn runs(trials: &[Trial]) -> String {
    let mut table = String::from(
        "| server | nodes | documents | editors | edits/s | p50 ms | p95 ms | p99 ms | max ms | \
         delivered | server CPU | generator CPU | edits an append | races lost an append |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let alike = |a: &Trial, b: &Trial| {
        let kind = |it: &Trial| (it.nodes, it.documents, it.editors, it.readers);
        a.against == b.against && kind(a) == kind(b) && a.rate == b.rate
    };
    for group in trials.chunk_by(alike) {
        row(&mut table, group).expect("a String takes everything");
    }
    table
}

fn row(table: &mut String, group: &[Trial]) -> std::fmt::Result {
    let Trial {
        against,
        nodes,
        documents,
        editors,
        rate,
        ..
    } = &group[0];
    write!(
        table,
        "| {against} | {nodes} | {documents} | {editors} | {rate:.0} |"
    )?;
    let measured: Vec<&Measured> = group.iter().filter_map(|it| it.measured.as_ref()).collect();
    for trial in group {
        match &trial.verdict {
            Verdict::Borne | Verdict::TooSlow => {}
            verdict => write!(table, " **{}**", told(verdict))?,
        }
    }
    let spread = |figure: &dyn Fn(&Measured) -> f64| {
        Spread::of(measured.iter().map(|it| figure(it))).map_or_else(String::new, |it| {
            format!("{:.2} ({:.2} to {:.2})", it.median, it.min, it.max)
        })
    };
    let percent = |figure: &dyn Fn(&Measured) -> f64| {
        Spread::of(measured.iter().map(|it| figure(it)))
            .map_or_else(String::new, |it| format!("{:.0} %", it.median * 100.0))
    };
    let written = |figure: &dyn Fn(&super::Written) -> f64| {
        Spread::of(
            measured
                .iter()
                .filter_map(|it| it.appends.as_ref())
                .map(figure),
        )
        .map_or_else(|| "–".to_owned(), |it| format!("{:.2}", it.median))
    };
    let sum =
        |figure: &dyn Fn(&Measured) -> u64| -> u64 { measured.iter().map(|it| figure(it)).sum() };
    writeln!(
        table,
        " {} | {} | {} | {} | {} of {} | {} | {} | {} | {} |",
        spread(&|it| it.latency.p50_ms),
        spread(&|it| it.latency.p95_ms),
        spread(&|it| it.latency.p99_ms),
        spread(&|it| it.latency.max_ms),
        sum(&|it| it.delivered),
        sum(&|it| it.expected),
        percent(&|it| it.servers_cpu),
        percent(&|it| it.generator_cpu),
        written(&|it| it.edits_an_append),
        written(&|it| it.lost_an_append),
    )
}

/// A table of limits: a row for each load, a column for each server.
pub(crate) fn limits(limits: &[Limit]) -> String {
    let mut servers: Vec<&str> = Vec::new();
    let mut loads: Vec<String> = Vec::new();
    for limit in limits {
        if !servers.contains(&limit.against.as_str()) {
            servers.push(&limit.against);
        }
        let load = load(limit);
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    let mut table = format!("| edits a second | {} |\n", servers.join(" | "));
    table.push_str(&format!("|---|{}\n", "---|".repeat(servers.len())));
    for name in &loads {
        table.push_str(&format!("| {name} |"));
        for server in &servers {
            let limit = limits
                .iter()
                .find(|it| it.against == *server && load(it) == *name);
            let cell = limit.map_or_else(
                || "–".to_owned(),
                |it| {
                    let Spread { min, median, max } = it.rate;
                    let more = if it.generator_limits { "≥ " } else { "" };
                    format!("{more}{median:.0} ({min:.0} to {max:.0})")
                },
            );
            table.push_str(&format!(" {cell} |"));
        }
        table.push('\n');
    }
    table
}

/// One scenario, in a line.
pub(crate) fn scene(scene: &Scene) -> String {
    let Scene {
        scenario, against, ..
    } = scene;
    let told = match &scene.failed {
        Some(why) => format!("failed: {why}"),
        None => {
            let fact = |it: &Fact| format!("{} {:.1} {}", it.name, it.value, it.unit);
            scene.facts.iter().map(fact).collect::<Vec<_>>().join("; ")
        }
    };
    format!("{against} {scenario}: {told}")
}

/// A table of scenarios: a row for each fact, a column for each server.
pub(crate) fn scenes(scenes: &[Scene]) -> String {
    let mut servers: Vec<&str> = Vec::new();
    let mut rows: Vec<(&str, &Fact)> = Vec::new();
    for scene in scenes {
        if !servers.contains(&scene.against.as_str()) {
            servers.push(&scene.against);
        }
        for fact in &scene.facts {
            let is_known = |(scenario, it): &(&str, &Fact)| {
                *scenario == scene.scenario && it.name == fact.name
            };
            if !rows.iter().any(is_known) {
                rows.push((&scene.scenario, fact));
            }
        }
    }
    let mut table = format!("| | {} |\n", servers.join(" | "));
    table.push_str(&format!("|---|{}\n", "---|".repeat(servers.len())));
    for (scenario, row) in rows {
        table.push_str(&format!("| {scenario}: {}, {} |", row.name, row.unit));
        for server in &servers {
            let cell = spread_of(scenes, scenario, server, row.name).map_or_else(
                || "–".to_owned(),
                |Spread { min, median, max }| format!("{median:.1} ({min:.1} to {max:.1})"),
            );
            table.push_str(&format!(" {cell} |"));
        }
        table.push('\n');
    }
    table
}

/// A fact of a server in a scenario.
pub(crate) fn spread_of(
    scenes: &[Scene],
    scenario: &str,
    server: &str,
    name: &str,
) -> Option<Spread> {
    let of_it = |it: &&Scene| it.scenario == scenario && it.against == server;
    let facts = scenes.iter().filter(of_it).flat_map(|it| &it.facts);
    Spread::of(facts.filter(|it| it.name == name).map(|it| it.value))
}

/// What a load is called.
pub(crate) fn load(limit: &Limit) -> String {
    let Limit {
        documents,
        editors,
        readers,
        nodes,
        ..
    } = limit;
    let mut name = format!("{documents} × {editors}");
    if *readers > 0 {
        name.push_str(&format!(", {readers} readers"));
    }
    if *nodes > 1 {
        name.push_str(&format!(", {nodes} nodes"));
    }
    name
}

/// A verdict for people.
pub(crate) fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Borne => "borne".into(),
        Verdict::TooSlow => "too slow".into(),
        Verdict::Lost => "not all arrived".into(),
        Verdict::Diverged => "texts differ".into(),
        Verdict::GeneratorLimits => "the generator was busy".into(),
        Verdict::Failed(why) => format!("failed: {why}"),
    }
}
