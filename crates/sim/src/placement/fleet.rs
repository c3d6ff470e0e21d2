//! A fleet at a moment: which session is on which node, and what that asks of nodes, logs, catalog and bus.
//!
//! # Invariants
//!
//! - **conserved**: what nodes do sums up to what people do, however they are placed.
//! - **one shard**: every document's log is in exactly one database.

use super::{
    figures::Figures,
    hash::{rendezvous, rendezvous_among},
    workload::{Population, Workload, whole},
};
use crate::random::Random;

/// Who decides on which node a connection ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Any node, in turn: after some coming and going as good as chance.
    RoundRobin,
    /// The node with the fewest.
    LeastConnections,
    /// The node that the document's id chooses; of documents with many sessions, one of several.
    Affinity,
}

/// Of a database that answers reads of the catalog, with reads alone, at the peak.
const READERS_USED: f64 = 0.25;

/// Sessions of one document that affinity leaves on one node.
pub(super) const TOGETHER: usize = 500;

impl Policy {
    pub(super) const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastConnections, Self::Affinity];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round robin",
            Self::LeastConnections => "least connections",
            Self::Affinity => "affinity",
        }
    }
}

/// What the software does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Software {
    /// Databases that the log is spread over, beside the catalog's. 0: it is in the catalog's.
    pub(super) shards: usize,
    /// What `docs/scaling.md` lists as to be built: rooms that know of no others say nothing and are compared
    /// less often, the index of search has a database of its own, the catalog standbys that answer reads, and
    /// the audit trail several chains.
    pub(super) mended: bool,
}

impl Software {
    pub(super) const TODAY: Self = Self {
        shards: 0,
        mended: false,
    };
}

/// How large a fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) software: Software,
}

/// Which node each session is on.
pub(super) fn place(
    population: &Population,
    nodes: usize,
    policy: Policy,
    random: &mut Random,
) -> Vec<u16> {
    let mut placed = vec![0; population.documents.len()];
    let number = |node: usize| u16::try_from(node).unwrap_or(u16::MAX);
    match policy {
        Policy::RoundRobin => {
            for node in &mut placed {
                *node = number(random.index(nodes));
            }
        }
        Policy::LeastConnections => {
            let mut turns: Vec<u32> = (0..).take(placed.len()).collect();
            random.shuffle(&mut turns);
            for (turn, session) in turns.into_iter().enumerate() {
                placed[session as usize] = number(turn % nodes);
            }
        }
        Policy::Affinity => {
            for room in population.rooms() {
                let key = population.keys[population.documents[room.start] as usize];
                let among = room.len().div_ceil(TOGETHER);
                let home = rendezvous(key, 0..nodes).unwrap_or(0);
                for (turn, session) in room.enumerate() {
                    let node = if among == 1 {
                        home
                    } else {
                        rendezvous_among(key, 0..nodes, among, turn).unwrap_or(home)
                    };
                    placed[session] = number(node);
                }
            }
        }
    }
    placed
}

/// What one node does in a second, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NodeLoad {
    pub(super) sessions: f64,
    pub(super) rooms: f64,
    pub(super) submissions: f64,
    pub(super) deliveries: f64,
    pub(super) presence: f64,
    pub(super) follows: f64,
    pub(super) hints_out: f64,
    pub(super) hints_in: f64,
    pub(super) joins: f64,
    pub(super) opens: f64,
    pub(super) requests: f64,
}

impl NodeLoad {
    /// Of its cores.
    pub(super) fn used(&self, figures: &Figures) -> f64 {
        let core_seconds = self.submissions / figures.submissions
            + (self.deliveries + self.presence) / figures.deliveries
            + self.follows / figures.follows
            + (self.hints_in + self.hints_out) / figures.hints
            + self.joins / figures.joins
            + self.opens / figures.opens
            + self.requests / figures.requests;
        core_seconds / figures.node_capacity()
    }

    pub(super) fn memory_gb(&self, figures: &Figures) -> f64 {
        (self.sessions * figures.connection_kb + self.rooms * figures.room_kb) / 1e6
    }
}

/// What a database of the log does in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LogLoad {
    pub(super) documents: f64,
    pub(super) appends: f64,
    pub(super) races_lost: f64,
    pub(super) heads: f64,
    pub(super) opens: f64,
}

impl LogLoad {
    /// Appends that a statement carries: of one lane, as many as come while the one before is under way.
    pub(super) fn grouped(&self, figures: &Figures, nodes: usize) -> f64 {
        let a_lane = self.appends / (nodes as f64 * figures.lanes);
        (a_lane * figures.append_ms / 1e3).max(1.0)
    }

    /// Of its cores, by what: appends, telling outside, heads, and reads of opens and of who has lost a race.
    pub(super) fn parts(&self, figures: &Figures, nodes: usize) -> [f64; 4] {
        let of_row = 1.0 / figures.appends;
        let of_statement = 1.0 / figures.append_statements - of_row;
        let grouped = self.grouped(figures, nodes);
        [
            (self.appends + self.races_lost) * (of_row + of_statement / grouped),
            self.appends / figures.tells,
            self.heads / figures.head_rows,
            (self.opens + 3.0 * self.races_lost) / figures.log_reads,
        ]
        .map(|core_seconds| core_seconds / figures.database_capacity())
    }

    pub(super) fn used(&self, figures: &Figures, nodes: usize) -> f64 {
        self.parts(figures, nodes).iter().sum()
    }

    /// What telling the edits outside takes of the outbox's parts, which go on one row after the other.
    pub(super) fn telling(&self, figures: &Figures) -> f64 {
        self.appends * figures.round_trip_ms / 1e3 / figures.outbox_shards
    }
}

/// What the catalog's database does in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CatalogLoad {
    pub(super) reads: f64,
    pub(super) touches: f64,
    pub(super) indexings: f64,
    pub(super) audit_rows: f64,
    pub(super) audit_scans: f64,
    /// Chains of the audit trail that stand side by side.
    pub(super) chains: f64,
    /// Databases that answer reads.
    pub(super) readers: f64,
    /// The index of search is not in the catalog's database.
    pub(super) search_apart: bool,
}

impl CatalogLoad {
    /// Of a database's cores: reads, times of the last change, index of search, the trail looked through.
    pub(super) fn parts(&self, figures: &Figures) -> [f64; 4] {
        [
            self.reads / figures.catalog_reads / self.readers.max(1.0),
            self.touches / figures.catalog_touches,
            self.indexings / figures.catalog_indexings,
            self.audit_scans / figures.audit_scans,
        ]
        .map(|core_seconds| core_seconds / figures.database_capacity())
    }

    /// Of the catalog's database.
    pub(super) fn used(&self, figures: &Figures) -> f64 {
        let [reads, touches, indexings, scans] = self.parts(figures);
        let indexings = if self.search_apart { 0.0 } else { indexings };
        reads + touches + indexings + scans
    }

    /// Of each chain of the audit trail.
    pub(super) fn chain(&self, figures: &Figures) -> f64 {
        self.audit_rows / figures.audit_rows / self.chains.max(1.0)
    }
}

/// All that a fleet does in a second at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Load {
    pub(super) nodes: Vec<NodeLoad>,
    pub(super) logs: Vec<LogLoad>,
    pub(super) catalog: CatalogLoad,
    /// Messages that the bus takes, and hands out.
    pub(super) bus: (f64, f64),
    pub(super) connections: f64,
}

impl Load {
    /// What a placement asks for, when each session does what people do in the mean.
    pub(super) fn of(
        population: &Population,
        placed: &[u16],
        size: Size,
        workload: &Workload,
        figures: &Figures,
    ) -> Self {
        let mut load = Self {
            nodes: vec![NodeLoad::default(); size.nodes],
            logs: vec![LogLoad::default(); size.software.shards.max(1)],
            ..Self::default()
        };
        // What is asked of the whole fleet in proportion to who is there.
        let share = placed.len() as f64 / workload.sessions();
        let joins = workload.joins() * share;
        let requests = workload.requests() * share;
        let mut here = Vec::new();
        for room in population.rooms() {
            here.clear();
            here.extend_from_slice(&placed[room.clone()]);
            here.sort_unstable();
            let key = population.keys[population.documents[room.start] as usize];
            let log = rendezvous(key, 0..load.logs.len()).unwrap_or(0);
            load.logs[log].documents += 1.0;
            load.add(&here, log, workload, figures, size.software.mended);
        }
        let rooms: f64 = load.nodes.iter().map(|node| node.rooms).sum();
        let opens = joins * rooms / placed.len().max(1) as f64;
        for node in &mut load.nodes {
            let of_sessions = node.sessions / placed.len().max(1) as f64;
            node.joins = joins * of_sessions;
            node.opens = opens * node.rooms / rooms.max(1.0);
            node.requests = requests / size.nodes as f64;
        }
        let documents = population.keys.len().max(1) as f64;
        for log in &mut load.logs {
            log.opens = opens * log.documents / documents;
        }
        load.bus.0 += opens;
        load.catalog.reads = 3.0 * (joins + requests);
        load.catalog.audit_rows = 2.0 * joins + workload.audited_requests * requests;
        let looks = size.nodes as f64 / figures.watch_s;
        load.catalog.reads += looks;
        (load.catalog.chains, load.catalog.search_apart) = (1.0, size.software.mended);
        if size.software.mended {
            load.catalog.chains = figures.chains;
            let [reads, ..] = load.catalog.parts(figures);
            load.catalog.readers = (reads / READERS_USED).ceil();
        } else {
            load.catalog.audit_scans = load.catalog.audit_rows * size.nodes as f64;
        }
        load.connections = size.nodes as f64 * figures.node_connections;
        load
    }

    /// One document, with the nodes of its sessions in order.
    fn add(
        &mut self,
        here: &[u16],
        log: usize,
        workload: &Workload,
        figures: &Figures,
        mended: bool,
    ) {
        let all = here.len() as f64;
        let rate = workload.session_rate();
        let (bursts, burst_s) = (workload.burst_rate(), workload.burst_s);
        let nodes = here.chunk_by(|a, b| a == b).count() as f64;
        // An update of who is there, at most so often.
        let pause_s = (2.0 * all).clamp(50.0, 2_000.0) / 1e3;
        let updates = |of: f64| (1.0 - (-of * workload.cursor_rate * pause_s).exp()) / pause_s;
        let log = &mut self.logs[log];
        for node in here.chunk_by(|a, b| a == b) {
            let sessions = node.len() as f64;
            let written = sessions * rate;
            let of_others = (all - sessions) * rate;
            let alone = nodes <= 1.0;
            let load = &mut self.nodes[usize::from(node[0])];
            load.sessions += sessions;
            load.rooms += 1.0;
            load.submissions += written;
            load.deliveries += sessions * (all - 1.0) * rate;
            load.presence += sessions * updates(all);
            load.follows += of_others;
            // What a room that knows of no other could leave unsaid.
            let reports = if mended && alone {
                0.0
            } else {
                1.0 / figures.life_s + updates(sessions)
            };
            let hints = if mended && alone { 0.0 } else { written };
            load.hints_out += hints + reports;
            let heard = hints + reports;
            self.bus.0 += heard;
            self.bus.1 += heard * (nodes - 1.0);
            load.hints_in += of_others + (nodes - 1.0) * reports;
            let race_s = (figures.append_ms + figures.hint_ms) / 1e3;
            log.races_lost += written * (1.0 - (-of_others * race_s).exp());
            // Of a document that nobody has edited for long, twenty times less often.
            let heads = if mended && alone { 0.05 } else { 1.0 };
            log.heads += heads / figures.heads_s;
            let begun = sessions * bursts * (-sessions * bursts * burst_s).exp();
            let busy = 1.0 - (-sessions * bursts * burst_s).exp();
            self.catalog.touches += begun + busy / figures.touch_s;
            self.catalog.indexings += 2.0 * begun + busy / figures.index_s;
        }
        log.appends += all * rate;
    }

    /// The fullest node of all, and the mean, in parts of their cores.
    pub(super) fn nodes_used(&self, figures: &Figures) -> (f64, f64) {
        extremes(self.nodes.iter().map(|node| node.used(figures)))
    }

    /// The fullest database of the log, and the mean.
    pub(super) fn logs_used(&self, figures: &Figures) -> (f64, f64) {
        let nodes = self.nodes.len();
        extremes(self.logs.iter().map(|log| log.used(figures, nodes)))
    }

    pub(super) fn sum(&self, what: impl Fn(&NodeLoad) -> f64) -> f64 {
        self.nodes.iter().map(what).sum()
    }

    pub(super) fn sum_of_logs(&self, what: impl Fn(&LogLoad) -> f64) -> f64 {
        self.logs.iter().map(what).sum()
    }
}

/// The largest and the mean.
pub(super) fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut most, mut sum, mut count) = (0.0_f64, 0.0, 0.0);
    for value in values {
        most = most.max(value);
        sum += value;
        count += 1.0;
    }
    (most, sum / f64::max(count, 1.0))
}

/// The number of sessions of a workload's peak, or of a part of it.
pub(super) fn sessions(workload: &Workload, part: f64) -> usize {
    whole(workload.sessions() * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures = Figures::USUAL;

    fn workload() -> Workload {
        Workload::of(100_000.0)
    }

    fn load(policy: Policy, shards: usize) -> (Population, Load) {
        let workload = workload();
        let mut random = Random::new(3);
        let count = sessions(&workload, 1.0);
        let population = Population::draw(&workload, count, &mut random);
        let placed = place(&population, 10, policy, &mut random);
        let software = Software {
            shards,
            mended: false,
        };
        let size = Size {
            nodes: 10,
            software,
        };
        let load = Load::of(&population, &placed, size, &workload, &FIGURES);
        (population, load)
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-6 * a.abs().max(1.0), "{a} and {b}");
    }

    #[test]
    fn conserved() {
        for policy in Policy::ALL {
            let (population, load) = load(policy, 5);
            let count = population.documents.len() as f64;
            let rate = workload().session_rate();
            close(load.sum(|it| it.sessions), count);
            close(load.sum(|it| it.submissions), count * rate);
            close(load.sum_of_logs(|it| it.appends), count * rate);
            close(
                load.sum_of_logs(|it| it.heads),
                load.sum(|it| it.rooms) / 3.0,
            );
            let others: f64 = population
                .rooms()
                .map(|room| (room.len() * (room.len() - 1)) as f64)
                .sum();
            close(load.sum(|it| it.deliveries), others * rate);
            close(load.bus.1, load.sum(|it| it.hints_in));
        }
    }

    #[test]
    fn one_shard() {
        let (population, load) = load(Policy::RoundRobin, 5);
        close(
            load.sum_of_logs(|it| it.documents),
            population.keys.len() as f64,
        );
        let (fullest, mean) = extremes(load.logs.iter().map(|it| it.documents));
        assert!(fullest < 1.1 * mean, "{fullest} and {mean}");
    }

    #[test]
    fn together_is_less_work_than_apart() {
        let [apart, even, together] = Policy::ALL.map(|policy| load(policy, 1).1);
        let rooms = |load: &Load| load.sum(|it| it.rooms);
        assert!(rooms(&together) < rooms(&apart) && rooms(&together) < rooms(&even));
        close(together.sum(|it| it.follows), 0.0);
        close(together.sum_of_logs(|it| it.races_lost), 0.0);
        assert!(apart.sum(|it| it.follows) > 0.0);
        let (fullest, mean) = extremes(even.nodes.iter().map(|it| it.sessions));
        assert!(fullest - mean < 1.0, "{fullest} and {mean}");
    }

    #[test]
    fn deterministic() {
        for policy in Policy::ALL {
            assert_eq!(load(policy, 3), load(policy, 3));
        }
    }
}
