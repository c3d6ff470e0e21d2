//! The results, as tables in Markdown.

use std::fmt::Write;

use super::{
    figures::{Figure, Figures},
    fleet::{Load, NodeLoad, Policy, Software, extremes, place, sessions},
    hash::{jump, rendezvous},
    outage::outage,
    plan::{Plan, of_one, of_the_bus, of_the_database, plan},
    races::{Contest, contest},
    storm::{Fault, Outcome, Scene, storm},
    workload::{Population, Workload, whole},
};
use crate::random::Random;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fleets for several numbers of people.
    Fleets,
    /// What of today's software ends where.
    Ends,
    /// What placement costs and saves.
    Policies,
    /// The hours of a day.
    Day,
    /// Nodes and zones that fail, and a rolling restart.
    Storms,
    /// A database of the log that fails over.
    Outages,
    /// Documents that many write at a time.
    Races,
    /// A document that a hundred thousand watch.
    Hot,
    /// What moves when machines are added.
    Moves,
}

impl Part {
    /// All, in order.
    pub const ALL: [Self; 9] = [
        Self::Fleets,
        Self::Ends,
        Self::Policies,
        Self::Day,
        Self::Storms,
        Self::Outages,
        Self::Races,
        Self::Hot,
        Self::Moves,
    ];
}

const MENDED: Software = Software {
    shards: 1,
    mended: true,
};

/// The tables of what is taken for granted.
#[must_use]
pub fn tables(figures: &Figures, workload: &Workload) -> String {
    let rows = |figures: Vec<Figure>| {
        let mut table = String::from("| name | value | | what |\n|---|---|---|---|\n");
        for it in figures {
            let (name, basis, source) = (it.name, it.basis, it.source);
            let value = number(it.value);
            let _infallible = writeln!(table, "| `{name}` | {value} | {basis} | {source} |");
        }
        table
    };
    format!("{}\n{}", rows(workload.list()), rows(figures.list()))
}

/// One part of the results, for so many people.
#[must_use]
pub fn report(part: Part, daily_users: f64, figures: &Figures, seed: u64) -> String {
    let workload = Workload::of(daily_users);
    match part {
        Part::Fleets => fleets(daily_users, figures, seed),
        Part::Ends => ends(daily_users, figures, seed),
        Part::Policies => policies(workload, figures, seed),
        Part::Day => day(workload, figures, seed),
        Part::Storms => storms(workload, figures, seed),
        Part::Outages => outages(workload, figures, seed),
        Part::Races => races(figures, seed),
        Part::Hot => hot(figures, seed),
        Part::Moves => moves(seed),
    }
}

/// A table of which each column is somebody's.
fn table(head: &str, rows: &[(&str, Vec<String>)]) -> String {
    let columns = rows.first().map_or(0, |(_, cells)| cells.len());
    let mut table = format!("{head}\n|---|{}\n", "---|".repeat(columns));
    for (name, cells) in rows {
        let _infallible = writeln!(table, "| {name} | {} |", cells.join(" | "));
    }
    table
}

/// Three digits, and thousands apart.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 100.0 {
        let digits = if value.abs() < 1.0 {
            3
        } else if value.abs() < 10.0 {
            2
        } else {
            1
        };
        let text = format!("{value:.digits$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let scale = 10_f64.powf((value.abs().log10().floor() - 2.0).max(0.0));
    let mut text = whole((value / scale).round() * scale).to_string();
    let mut at = text.len();
    while at > 3 {
        at -= 3;
        text.insert(at, ',');
    }
    text
}

fn percent(value: f64) -> String {
    format!("{} %", number(value * 100.0))
}

fn columns(plans: &[Plan], cell: impl Fn(&Plan) -> String) -> Vec<String> {
    plans.iter().map(cell).collect()
}

fn fleets(daily_users: f64, figures: &Figures, seed: u64) -> String {
    let sizes = [daily_users / 100.0, daily_users / 10.0, daily_users];
    let plans: Vec<_> = sizes
        .iter()
        .map(|users| {
            let workload = Workload::of(*users);
            plan(workload, MENDED, Policy::Affinity, figures, seed)
        })
        .collect();
    let of_nodes = |what: fn(&NodeLoad) -> f64| {
        let cell = move |plan: &Plan| number(plan.load.sum(what));
        columns(&plans, cell)
    };
    let catalog = |plan: &Plan| plan.load.catalog.used(figures);
    let a_day = |plan: &Plan| plan.workload.daily_users * plan.workload.submissions_a_day;
    let rows = vec![
        ("sessions at the peak", of_nodes(|it| it.sessions)),
        (
            "open documents",
            columns(&plans, |it| number(it.population.keys.len() as f64)),
        ),
        ("writes/s", of_nodes(|it| it.submissions)),
        ("reads/s: changes to sessions", of_nodes(|it| it.deliveries)),
        ("reads/s: joins", of_nodes(|it| it.joins)),
        ("reads/s: requests", of_nodes(|it| it.requests)),
        ("presence to sessions/s", of_nodes(|it| it.presence)),
        ("nodes", columns(&plans, |it| it.size.nodes.to_string())),
        (
            "fullest node, mean",
            columns(&plans, |it| of_two(it.load.nodes_used(figures))),
        ),
        (
            "memory of the fullest node, GB",
            columns(&plans, |it| {
                let memory = it.load.nodes.iter().map(|node| node.memory_gb(figures));
                number(extremes(memory).0)
            }),
        ),
        (
            "databases of the log",
            columns(&plans, |it| it.size.software.shards.to_string()),
        ),
        (
            "fullest database of the log, mean",
            columns(&plans, |it| of_two(it.load.logs_used(figures))),
        ),
        (
            "database of the catalog",
            columns(&plans, |it| percent(catalog(it))),
        ),
        (
            "databases that answer the catalog's reads",
            columns(&plans, |it| number(it.load.catalog.readers.max(1.0))),
        ),
        (
            "databases of search, half used",
            columns(&plans, |it| {
                number((2.0 * it.load.catalog.parts(figures)[2]).ceil())
            }),
        ),
        (
            "each chain of the audit trail",
            columns(&plans, |it| percent(it.load.catalog.chain(figures))),
        ),
        (
            "bus, messages/s taken and handed out",
            columns(&plans, |it| {
                format!("{} and {}", number(it.load.bus.0), number(it.load.bus.1))
            }),
        ),
        (
            "bus, of one server",
            columns(&plans, |it| percent(of_the_bus(&it.load, figures))),
        ),
        (
            "vCPU of nodes, databases of the log",
            columns(&plans, |it| {
                let nodes = it.size.nodes as f64 * figures.node_cores;
                let logs = it.size.software.shards as f64 * figures.database_cores;
                format!("{} + {}", number(nodes), number(logs))
            }),
        ),
        (
            "memory of nodes, GB",
            columns(&plans, |it| {
                number(it.size.nodes as f64 * figures.node_memory_gb)
            }),
        ),
        (
            "log, GB a day",
            columns(&plans, |it| number(a_day(it) * figures.bytes_stored / 1e9)),
        ),
        (
            "write-ahead log, GB a day",
            columns(&plans, |it| number(a_day(it) * figures.bytes_logged / 1e9)),
        ),
        (
            "checkpoints of all documents, TB",
            columns(&plans, |it| {
                let documents = it.workload.daily_users * it.workload.documents_each;
                number(documents * it.workload.document_kb / 1e9)
            }),
        ),
        (
            "changes to sessions, Gbit/s",
            columns(&plans, |it| {
                number(it.load.sum(|node| node.deliveries) * figures.bytes_sent * 8.0 / 1e9)
            }),
        ),
    ];
    let names = sizes.map(|users| format!("{} |", number(users)));
    table(&format!("| daily users | {}", names.join(" ")), &rows)
}

fn of_two((most, mean): (f64, f64)) -> String {
    format!("{}, {}", percent(most), percent(mean))
}

fn ends(daily_users: f64, figures: &Figures, seed: u64) -> String {
    let sizes: Vec<f64> = (0..=8)
        .map(|at| daily_users / 10_f64.powf(2.0 - f64::from(at) / 4.0))
        .collect();
    let all: Vec<Vec<(&str, f64)>> = sizes
        .iter()
        .map(|users| {
            let today = plan(
                Workload::of(*users),
                Software::TODAY,
                Policy::LeastConnections,
                figures,
                seed,
            );
            let mut used = of_one(&today.load, figures);
            used.insert(
                0,
                (
                    "the one database, all of it",
                    of_the_database(&today.load, figures),
                ),
            );
            used
        })
        .collect();
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let mut rows = Vec::new();
    for (at, (name, used)) in last.iter().enumerate() {
        let of = |size: usize| all[size][at].1;
        let full = (1..sizes.len()).find(|size| of(*size) >= 1.0);
        let users = match full {
            None if *used < 1.0 => sizes[sizes.len() - 1] / used,
            // Between two sizes, as a power.
            Some(size) if of(size - 1) < 1.0 && of(size - 1) > 0.0 => {
                let slope = (of(size) / of(size - 1)).ln() / (sizes[size] / sizes[size - 1]).ln();
                sizes[size - 1] * (1.0 / of(size - 1)).powf(1.0 / slope)
            }
            _ => sizes[0] / first[at].1,
        };
        rows.push((users, *name, first[at].1, *used));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let small = number(sizes[0]);
    let large = number(daily_users);
    let mut text = format!(
        "| of what there is one | at {small} daily users | at {large} | full at about |\n|---|---|---|---|\n"
    );
    for (users, name, first, last) in rows {
        let (first, last, users) = (percent(first), percent(last), number(users));
        let _infallible = writeln!(text, "| {name} | {first} | {last} | {users} daily users |");
    }
    text
}

fn policies(workload: Workload, figures: &Figures, seed: u64) -> String {
    let plans: Vec<_> = Policy::ALL
        .iter()
        .map(|policy| plan(workload, MENDED_NOT, *policy, figures, seed))
        .collect();
    let writes = |it: &Plan| it.load.sum(|node| node.submissions);
    let rows = vec![
        (
            "nodes needed",
            columns(&plans, |it| it.size.nodes.to_string()),
        ),
        (
            "fullest node, mean",
            columns(&plans, |it| of_two(it.load.nodes_used(figures))),
        ),
        (
            "rooms, of all nodes",
            columns(&plans, |it| number(it.load.sum(|node| node.rooms))),
        ),
        (
            "rooms for each open document",
            columns(&plans, |it| {
                number(it.load.sum(|node| node.rooms) / it.population.keys.len() as f64)
            }),
        ),
        (
            "times a change is applied",
            columns(&plans, |it| {
                number(1.0 + it.load.sum(|node| node.follows) / writes(it))
            }),
        ),
        (
            "memory, GB",
            columns(&plans, |it| {
                number(it.load.sum(|node| node.memory_gb(figures)))
            }),
        ),
        (
            "bus takes, messages/s",
            columns(&plans, |it| number(it.load.bus.0)),
        ),
        (
            "bus hands out, messages/s",
            columns(&plans, |it| number(it.load.bus.1)),
        ),
        (
            "bus, of one server",
            columns(&plans, |it| percent(of_the_bus(&it.load, figures))),
        ),
        (
            "heads compared, rows/s",
            columns(&plans, |it| number(it.load.sum_of_logs(|log| log.heads))),
        ),
        (
            "races lost for each append",
            columns(&plans, |it| {
                let lost = it.load.sum_of_logs(|log| log.races_lost);
                number(lost / it.load.sum_of_logs(|log| log.appends))
            }),
        ),
        (
            "documents opened/s",
            columns(&plans, |it| number(it.load.sum(|node| node.opens))),
        ),
        (
            "times of the last change, updates/s",
            columns(&plans, |it| number(it.load.catalog.touches)),
        ),
        (
            "texts indexed/s",
            columns(&plans, |it| number(it.load.catalog.indexings)),
        ),
    ];
    let names = Policy::ALL.map(|policy| format!("{} |", policy.name()));
    table(&format!("| placement | {}", names.join(" ")), &rows)
}

/// The log spread, and nothing else: what placement alone does.
const MENDED_NOT: Software = Software {
    shards: 1,
    mended: false,
};

fn day(workload: Workload, figures: &Figures, seed: u64) -> String {
    let peak = plan(workload, MENDED, Policy::Affinity, figures, seed);
    let mut rows = Vec::new();
    let hours = [2.0, 5.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0];
    for hour in hours {
        let part = workload.at_hour(hour);
        let mut random = Random::new(seed);
        let count = sessions(&workload, part);
        let population = Population::draw(&workload, count, &mut random);
        let placed = place(&population, peak.size.nodes, peak.policy, &mut random);
        let load = Load::of(&population, &placed, peak.size, &workload, figures);
        rows.push(vec![
            number(count as f64),
            number(load.sum(|node| node.submissions)),
            number(load.sum(|node| node.deliveries)),
            of_two(load.nodes_used(figures)),
            of_two(load.logs_used(figures)),
        ]);
    }
    let names = hours.map(|hour| format!("{hour:.0}:00"));
    let rows: Vec<_> = names.iter().map(String::as_str).zip(rows).collect();
    table(
        "| hour | sessions | writes/s | changes to sessions/s | fullest node, mean | fullest database of the log, mean |",
        &rows,
    )
}

fn storms(workload: Workload, figures: &Figures, seed: u64) -> String {
    let mut rows = Vec::new();
    for policy in Policy::ALL {
        let it = plan(workload, MENDED, policy, figures, seed);
        let nodes = it.size.nodes;
        let first = |count: usize| (0..).take(count).collect::<Vec<u16>>();
        let faults = [
            ("a node is killed", first(1), false, false),
            ("a zone is cut off", first(nodes / 3), true, false),
            (
                "a zone's nodes are killed at once",
                first(nodes / 3),
                false,
                false,
            ),
            ("all are restarted, one by one", first(nodes), false, true),
        ];
        for (name, concerned, silent, restarted) in faults {
            if policy == Policy::RoundRobin && !restarted {
                // As with the fewest connections.
                continue;
            }
            let fault = if restarted {
                Fault {
                    restarted: concerned,
                    pause_s: 5.0,
                    ..Fault::default()
                }
            } else {
                Fault {
                    killed: concerned,
                    silent,
                    ..Fault::default()
                }
            };
            let scene = scene(&it, figures);
            let outcome = storm(scene, fault, seed);
            let cells = cells(&outcome, policy);
            rows.push((name, cells));
        }
    }
    table(
        "| what happens | placement | come back | half, 99 %, all after s | longest wait for an ack, s | attempts each | joins/s, opens/s at most | longest queue s: catalog, node, log, audit | fullest node over mean, after |",
        &rows,
    )
}

fn scene<'a>(plan: &'a Plan, figures: &'a Figures) -> Scene<'a> {
    Scene {
        population: &plan.population,
        placed: &plan.placed,
        load: &plan.load,
        policy: plan.policy,
        workload: &plan.workload,
        figures,
    }
}

fn cells(outcome: &Outcome, policy: Policy) -> Vec<String> {
    let back = outcome.away_s.len();
    let away = [0.5, 0.99, 1.0].map(|part| number(Outcome::quantile(&outcome.away_s, part)));
    let (fullest, mean) = outcome.fullest;
    let attempts = outcome.attempts as f64 / back.max(1) as f64;
    let left_out = match outcome.left_out {
        0 => String::new(),
        some => format!(" ({} never)", number(some as f64)),
    };
    vec![
        policy.name().to_owned(),
        format!("{}{left_out}", number(back as f64)),
        away.join(", "),
        number(Outcome::quantile(&outcome.waits_s, 1.0)),
        number(attempts),
        format!(
            "{}, {}",
            number(outcome.joins_most as f64),
            number(outcome.opens_most as f64)
        ),
        outcome.queue_s.map(number).join(", "),
        number(fullest / mean),
    ]
}

fn outages(workload: Workload, figures: &Figures, seed: u64) -> String {
    let it = plan(workload, MENDED, Policy::Affinity, figures, seed);
    let mut rows = Vec::new();
    for away_s in [10.0, 30.0, 60.0] {
        let outage = outage(scene(&it, figures), 0, away_s, seed);
        rows.push(vec![
            number(outage.sessions as f64),
            number(outage.rooms as f64),
            number(outage.waited as f64),
            number(outage.drained_s),
            number(outage.closed as f64),
            number(outage.storm.away_s.len() as f64),
            number(outage.storm.over_s.max(away_s + outage.drained_s) - away_s),
            number(outage.longest_s),
        ]);
    }
    let names = ["10 s", "30 s", "60 s"];
    let shards = it.size.software.shards;
    let head = format!(
        "| one of {shards} databases is away for | sessions on it | rooms with edits | sessions that wait | stored after s | rooms that close | sessions that come back | all is well after s | longest wait for an ack, s |"
    );
    table(&head, &names.into_iter().zip(rows).collect::<Vec<_>>())
}

/// Where everything is on one machine and nothing is far: so that one node appends 1.1 edits at a time, as measured.
pub(super) const ON_LOOPBACK: Figures = Figures {
    append_ms: 1.2,
    hint_ms: 0.3,
    round_trip_ms: 0.3,
    ..Figures::USUAL
};

/// Races that 100 editors in one document lost for each append, at 5 edits/s each, on 1, 2 and 3 nodes.
const MEASURED: [(usize, f64); 3] = [(1, 0.0), (2, 0.38), (3, 0.67)];

fn races(figures: &Figures, seed: u64) -> String {
    let mut rows = Vec::new();
    for (nodes, measured) in MEASURED {
        let asked = Contest {
            nodes,
            writers: 100,
            rate: 5.0,
            seconds: 30.0,
        };
        let outcome = contest(asked, &ON_LOOPBACK, seed);
        let appends = outcome.appends.max(1) as f64;
        rows.push(vec![
            number(outcome.lost as f64 / appends),
            number(measured),
            number(outcome.edits as f64 / appends),
        ]);
    }
    let names = MEASURED.map(|(nodes, _)| nodes.to_string());
    let rows: Vec<_> = names.iter().map(String::as_str).zip(rows).collect();
    let mut text = table(
        "| 100 writers, 5 edits/s each, on one machine with so many nodes | races lost an append | measured | edits an append |",
        &rows,
    );
    text.push('\n');
    for (writers, rate) in [(10, 4.0), (100, 4.0), (1_000, 1.0)] {
        let mut rows = Vec::new();
        let spread = [1, 2, 4, 8, 16, 64, 200];
        for nodes in spread {
            let seconds = 30.0;
            let asked = Contest {
                nodes: nodes.min(writers),
                writers,
                rate,
                seconds,
            };
            let outcome = contest(asked, figures, seed);
            let appends = outcome.appends.max(1) as f64;
            rows.push(vec![
                number(outcome.edits as f64 / seconds),
                number(outcome.edits as f64 / appends),
                number(outcome.lost as f64 / appends),
                number(outcome.closed as f64 * 60.0 / seconds),
                [0.5, 0.99, 1.0]
                    .map(|part| number(outcome.wait_ms(part)))
                    .join(", "),
            ]);
        }
        let names = spread.map(|nodes| nodes.min(writers).to_string());
        let mut rows: Vec<_> = names.iter().map(String::as_str).zip(rows).collect();
        rows.dedup_by(|a, b| a.0 == b.0);
        let head = format!(
            "| {writers} writers, {rate} edits/s each, on so many nodes | edits/s stored | edits an append | races lost an append | rooms closed a minute | wait for an ack, ms: median, 99 %, most |"
        );
        text.push_str(&table(&head, &rows));
        text.push('\n');
    }
    text
}

/// What each of those who watch says and is told of the others, about.
const PRESENCE_BYTES: f64 = 180.0;

fn hot(figures: &Figures, seed: u64) -> String {
    let workload = Workload::USUAL;
    let (observers, writers) = (100_000.0, 1_000);
    let watching = observers + writers as f64;
    let mut rows = Vec::new();
    let spread = [10, 51, 80, 200];
    for nodes in spread {
        let all = nodes as f64;
        let seconds = 30.0;
        let asked = |nodes| Contest {
            nodes,
            writers,
            rate: 1.0,
            seconds,
        };
        let apart = contest(asked(nodes), figures, seed);
        let together = contest(asked(1), figures, seed);
        let here = (watching / all).min(figures.sessions_per_document);
        let stored = together.edits as f64 / seconds;
        let deliveries = stored * here / figures.deliveries / figures.node_capacity();
        let shown = here * (figures.presence_nodes + 1.0).min(all);
        // Of a room of this size an update of presence comes every two seconds, to everybody.
        let moved = shown * (1.0 - (-2.0 * workload.cursor_rate).exp());
        let presence = moved * PRESENCE_BYTES / 2.0 * here;
        rows.push(vec![
            number((here * all).min(watching)),
            format!(
                "{} ({})",
                number(apart.edits as f64 / seconds),
                number(apart.closed as f64 * 60.0 / seconds)
            ),
            number(stored),
            percent(deliveries),
            number(stored * here * figures.bytes_sent * 8.0 / 1e9),
            number(shown * PRESENCE_BYTES / 1e6),
            number(presence * 8.0 / 1e9),
        ]);
    }
    let names = spread.map(|nodes| nodes.to_string());
    let rows: Vec<_> = names.iter().map(String::as_str).zip(rows).collect();
    table(
        "| on so many nodes | are let in | edits/s stored, writers anywhere (rooms closed a minute) | edits/s stored, writers on one node | changes to sessions: of a node's cores | Gbit/s of a node | presence in each answer to a join, MB | presence, Gbit/s of a node |",
        &rows,
    )
}

fn moves(seed: u64) -> String {
    let mut random = Random::new(seed);
    let keys: Vec<u64> = (0..1_000_000).map(|_| random.next()).collect();
    let moved = |place: &dyn Fn(u64, usize) -> usize, before: usize, after: usize| {
        let moved = keys
            .iter()
            .filter(|key| place(**key, before) != place(**key, after));
        percent(moved.count() as f64 / keys.len() as f64)
    };
    let remainder = |key: u64, places: usize| usize::try_from(key % places as u64).unwrap_or(0);
    let of_rendezvous = |key: u64, places: usize| rendezvous(key, 0..places).unwrap_or(0);
    let mut rows = Vec::new();
    for (name, before, after) in [
        ("a database, 8 to 9", 8, 9),
        ("a database, 16 to 17", 16, 17),
        ("a node, 60 to 61", 60, 61),
        ("a node goes, 60 to 59", 60, 59),
    ] {
        rows.push((
            name,
            vec![
                moved(&of_rendezvous, before, after),
                moved(&jump, before, after),
                moved(&remainder, before, after),
                percent(1.0 / before.max(after) as f64),
            ],
        ));
    }
    table(
        "| documents that move | rendezvous | jump | remainder | 1/n |",
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deterministic() {
        let figures = Figures::USUAL;
        for part in [Part::Fleets, Part::Policies, Part::Storms, Part::Outages] {
            let report = |seed| report(part, 50_000.0, &figures, seed);
            assert_eq!(report(1), report(1));
            assert_ne!(report(1), report(2), "{part:?}");
        }
    }

    #[test]
    fn races_are_about_as_many_as_were_measured() {
        for (nodes, measured) in MEASURED {
            let asked = Contest {
                nodes,
                writers: 100,
                rate: 5.0,
                seconds: 20.0,
            };
            let outcome = contest(asked, &ON_LOOPBACK, 3);
            let lost = outcome.lost as f64 / outcome.appends as f64;
            assert!(
                (lost - measured).abs() <= 0.5 * measured,
                "{lost} on {nodes}"
            );
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.5, "1.5"),
            (42.04, "42"),
            (1_234.0, "1,230"),
            (1_562_500.0, "1,560,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
