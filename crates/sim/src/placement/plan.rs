//! How many machines a workload needs, and what of the software ends where.

use super::{
    figures::Figures,
    fleet::{Load, Policy, Size, Software, place, sessions},
    workload::{Population, Workload, whole},
};
use crate::random::Random;

/// Of a node's cores and memory, and of a database's cores, at the peak: a third of the nodes may be gone, and
/// a database has to catch up when it was away.
const NODE_USED_MOST: f64 = 0.6;
const DATABASE_USED_MOST: f64 = 0.5;
/// Fewer could not lose a zone.
const NODES_LEAST: usize = 3;

/// A fleet that bears a workload's peak, or as much of it as the software allows.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) policy: Policy,
    pub(super) size: Size,
    pub(super) population: Population,
    pub(super) placed: Vec<u16>,
    pub(super) load: Load,
}

/// Works out how many nodes are needed, and with a log that is spread how many databases.
pub(super) fn plan(
    workload: Workload,
    software: Software,
    policy: Policy,
    figures: &Figures,
    seed: u64,
) -> Plan {
    let mut random = Random::new(seed);
    let count = sessions(&workload, 1.0);
    let population = Population::draw(&workload, count, &mut random);
    let by_sessions = whole((workload.sessions() / figures.sessions_most).ceil());
    let mut size = Size {
        nodes: NODES_LEAST.max(by_sessions),
        software,
    };
    loop {
        let placed = place(&population, size.nodes, policy, &mut random);
        let load = Load::of(&population, &placed, size, &workload, figures);
        let memory =
            |node: &super::fleet::NodeLoad| node.memory_gb(figures) / figures.node_memory_gb;
        let used = load.nodes.iter().map(memory).fold(0.0, f64::max);
        let used = used.max(load.nodes_used(figures).0);
        let more = used / NODE_USED_MOST;
        let log = load.logs_used(figures).0 / DATABASE_USED_MOST;
        let telling = load.logs.iter().map(|log| log.telling(figures));
        let log = telling.fold(log, f64::max);
        let spread = software.shards > 0 && log > 1.0;
        if more <= 1.0 && !spread {
            return Plan {
                workload,
                policy,
                size,
                population,
                placed,
                load,
            };
        }
        let grown = |count: usize, by: f64| whole((count as f64 * by.clamp(1.0, 4.0)).ceil());
        if more > 1.0 {
            size.nodes = grown(size.nodes, more).max(size.nodes + 1);
        }
        if spread {
            let shards = size.software.shards;
            size.software.shards = grown(shards, log).max(shards + 1);
        }
    }
}

/// What is asked of the things of which there is one today, in parts of what one can do.
pub(super) fn of_one(load: &Load, figures: &Figures) -> Vec<(&'static str, f64)> {
    let nodes = load.nodes.len();
    let of_logs = |part: usize| {
        let parts = load.logs.iter().map(|log| log.parts(figures, nodes)[part]);
        parts.sum::<f64>()
    };
    let [reads, touches, indexings, scans] = load.catalog.parts(figures);
    let telling = load.logs.iter().map(|log| log.telling(figures));
    vec![
        ("index of search, written", indexings),
        ("audit trail, read by every node for rights", scans),
        ("times of the last change", touches),
        ("accounts, rights, requests", reads),
        ("appends", of_logs(0)),
        ("edits told outside, their rows", of_logs(1)),
        ("heads compared", of_logs(2)),
        ("checkpoints and changes read", of_logs(3)),
        ("edits told outside, 16 parts in turn", telling.sum()),
        ("audit trail, one chain", load.catalog.chain(figures)),
        (
            "connections to the database",
            load.connections / figures.connections_max,
        ),
        ("the one bus", of_the_bus(load, figures)),
    ]
}

/// Of the cores of one server of the bus.
pub(super) fn of_the_bus(load: &Load, figures: &Figures) -> f64 {
    let (taken, handed_out) = load.bus;
    (taken / figures.bus_in + handed_out / figures.bus_out) / figures.bus_capacity()
}

/// The database that today has the log and the catalog: what it would have to be, in parts of one.
pub(super) fn of_the_database(load: &Load, figures: &Figures) -> f64 {
    let nodes = load.nodes.len();
    load.sum_of_logs(|log| log.used(figures, nodes)) + load.catalog.used(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_bears_its_workload() {
        let figures = Figures::USUAL;
        let software = Software {
            shards: 1,
            mended: true,
        };
        for policy in Policy::ALL {
            let plan = plan(Workload::of(300_000.0), software, policy, &figures, 4);
            assert!(plan.load.nodes_used(&figures).0 <= NODE_USED_MOST);
            assert!(plan.load.logs_used(&figures).0 <= DATABASE_USED_MOST);
            assert_eq!(plan.load.nodes.len(), plan.size.nodes);
            assert_eq!(plan.load.logs.len(), plan.size.software.shards);
            let used = plan.load.nodes_used(&figures).1;
            assert!(used > 0.2 || plan.size.nodes == NODES_LEAST, "{used}");
        }
    }
}
