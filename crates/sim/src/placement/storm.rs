//! Sessions that lose their node, or their document, and come back: event by event.
//!
//! A client waits by chance (exponential back-off with full jitter), is let in by whatever node the balancer
//! gives it, and gives up after a while if it was not. To be let in takes statements of the catalog, time of
//! the node, and, of the first in a room, a read of the log. Each of these is a queue, as fast as what it has
//! to do besides leaves it. What was asked by a client that has given up is done all the same.
//!
//! # Invariants
//!
//! - **none lost**: in the end every session is on exactly one node that lives.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{
    figures::Figures,
    fleet::{Load, Policy, TOGETHER, extremes},
    hash::{rendezvous, rendezvous_among},
    workload::{Population, Workload, whole},
};
use crate::random::Random;

/// What happens to whom, and when, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    /// Nodes that are gone from the beginning.
    pub(super) killed: Vec<u16>,
    /// Their hosts are gone as well: nobody tells the clients, who find out by themselves.
    pub(super) silent: bool,
    /// Nodes that are restarted, each when the one before has been back for so long.
    pub(super) restarted: Vec<u16>,
    pub(super) pause_s: f64,
    /// Sessions that are sent away by a node that goes on, in order.
    pub(super) sent_away: Vec<(f64, u32)>,
    /// A database of the log that is away until then.
    pub(super) away: Option<(usize, f64)>,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// How long each was away, in order.
    pub(super) away_s: Vec<f64>,
    /// The same of those who had an edit under way.
    pub(super) waits_s: Vec<f64>,
    pub(super) attempts: usize,
    pub(super) given_up: usize,
    pub(super) opened: usize,
    /// Sessions that were still away when nobody hoped any more.
    pub(super) left_out: usize,
    /// Most in one second.
    pub(super) joins_most: usize,
    pub(super) opens_most: usize,
    /// The longest wait at the catalog, at a node, at a database of the log, and for the audit trail.
    pub(super) queue_s: [f64; 4],
    /// Sessions of the fullest node and the mean of those that live, when all are back.
    pub(super) fullest: (f64, f64),
    /// When the last was back.
    pub(super) over_s: f64,
    /// Of each session, its node.
    pub(super) placed: Vec<u16>,
}

impl Outcome {
    pub(super) fn quantile(values: &[f64], quantile: f64) -> f64 {
        let at = whole(quantile * values.len().saturating_sub(1) as f64);
        values.get(at).copied().unwrap_or(0.0)
    }
}

/// A queue in turn, as fast as it is.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    free_s: f64,
    longest_s: f64,
}

impl Queue {
    /// When what comes now and takes so long is done.
    fn serve(&mut self, now_s: f64, takes_s: f64) -> f64 {
        self.longest_s = self.longest_s.max(self.free_s - now_s);
        self.free_s = self.free_s.max(now_s) + takes_s;
        self.free_s
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Lost(u32),
    Tries(u32),
    AtNode(Visit),
    AtLog(Visit),
    Opened(Visit),
    In(Visit),
    GivesUp(Visit),
    Stops(usize),
    Starts(usize),
}

/// One attempt of a session to get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    session: u32,
    node: u16,
    attempt: u32,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    lost_s: f64,
    is_away: bool,
    types: bool,
    attempt: u32,
}

/// Where things are when it begins.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) population: &'a Population,
    pub(super) placed: &'a [u16],
    pub(super) load: &'a Load,
    pub(super) policy: Policy,
    pub(super) workload: &'a Workload,
    pub(super) figures: &'a Figures,
}

struct Storm<'a> {
    scene: Scene<'a>,
    random: Random,
    now_s: f64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    clients: Vec<Client>,
    placed: Vec<u16>,
    lives: Vec<bool>,
    living: Vec<u16>,
    /// Sessions of each node, those that are about to come too.
    sessions: Vec<f64>,
    /// When the rooms of each node are open, or were.
    rooms: Vec<HashMap<u32, f64>>,
    /// Those who wait for a room that is being opened.
    waiting: HashMap<(u16, u32), Vec<Visit>>,
    nodes: Vec<Queue>,
    logs: Vec<Queue>,
    catalog: Queue,
    audit: Queue,
    /// What each queue has to do besides: of a session for nodes.
    besides: Besides,
    joins: HashMap<usize, usize>,
    opens: HashMap<usize, usize>,
    fault: Fault,
    outcome: Outcome,
}

#[derive(Clone, Debug)]
struct Besides {
    of_session: f64,
    logs: Vec<f64>,
    catalog: f64,
    audit: f64,
}

/// The least that is left of anything for those who come.
const LEFT_LEAST: f64 = 0.02;
/// Attempts of all clients, in the mean, after which the fleet is said not to bear it.
const ATTEMPTS_MOST: usize = 4;
/// Statements of the catalog for a join.
const STATEMENTS: f64 = 3.0;
/// Rows of the audit trail that wait on a node before those who come wait as well.
const PLACES: f64 = 4_096.0;

/// Lets it happen.
pub(super) fn storm(scene: Scene<'_>, fault: Fault, seed: u64) -> Outcome {
    let mut storm = Storm::begin(scene, fault, seed);
    storm.run();
    storm.end()
}

impl<'a> Storm<'a> {
    fn begin(scene: Scene<'a>, fault: Fault, seed: u64) -> Self {
        let (figures, load) = (scene.figures, scene.load);
        let mut random = Random::new(seed);
        let nodes = load.nodes.len();
        let typing = scene.workload.typing_share();
        let client = |_: &u16| Client {
            lost_s: 0.0,
            is_away: false,
            types: random.chance(typing),
            attempt: 0,
        };
        let clients: Vec<_> = scene.placed.iter().map(client).collect();
        let mut rooms = vec![HashMap::new(); nodes];
        let mut sessions = vec![0.0; nodes];
        for (node, document) in scene.placed.iter().zip(&scene.population.documents) {
            rooms[usize::from(*node)].insert(*document, 0.0);
            sessions[usize::from(*node)] += 1.0;
        }
        let used: f64 = load.nodes.iter().map(|node| node.used(figures)).sum();
        let besides = Besides {
            of_session: used / clients.len().max(1) as f64,
            logs: load
                .logs
                .iter()
                .map(|log| log.used(figures, nodes))
                .collect(),
            catalog: load.catalog.used(figures),
            audit: load.catalog.chain(figures),
        };
        let mut storm = Self {
            random,
            now_s: 0.0,
            events: BinaryHeap::new(),
            count: 0,
            clients,
            placed: scene.placed.to_vec(),
            lives: vec![true; nodes],
            living: Vec::new(),
            sessions,
            rooms,
            waiting: HashMap::new(),
            nodes: vec![Queue::default(); nodes],
            logs: vec![Queue::default(); load.logs.len()],
            catalog: Queue::default(),
            audit: Queue::default(),
            besides,
            joins: HashMap::new(),
            opens: HashMap::new(),
            fault: Fault::default(),
            outcome: Outcome::default(),
            scene,
        };
        for node in &fault.killed {
            storm.kill(*node, fault.silent);
        }
        for (at_s, session) in &fault.sent_away {
            storm.at(*at_s, Event::Lost(*session));
        }
        if let Some((log, until_s)) = fault.away {
            storm.logs[log].free_s = until_s;
        }
        if !fault.restarted.is_empty() {
            storm.at(0.0, Event::Stops(0));
        }
        storm.fault = fault;
        storm.count_living();
        storm
    }

    fn at(&mut self, at_s: f64, event: Event) {
        self.count += 1;
        let at_us = whole(at_s * 1e6) as u64;
        self.events.push(Reverse((at_us, self.count, event)));
    }

    fn count_living(&mut self) {
        let numbers = (0..).take(self.lives.len());
        self.living = numbers
            .filter(|node: &u16| self.lives[usize::from(*node)])
            .collect();
    }

    /// A node is gone, and its sessions learn of it.
    fn kill(&mut self, node: u16, silent: bool) {
        let at = usize::from(node);
        self.lives[at] = false;
        self.rooms[at].clear();
        self.count_living();
        let figures = self.scene.figures;
        for session in 0..self.placed.len() {
            if self.placed[session] != node || self.clients[session].is_away {
                continue;
            }
            let pause_s = if silent {
                let least = figures.silence_least_s;
                least + self.random.unit() * (figures.silence_most_s - least)
            } else {
                0.0
            };
            // It is away from now on, also if it does not know.
            self.clients[session].lost_s = self.now_s;
            self.clients[session].is_away = true;
            let number = u32::try_from(session).unwrap_or(u32::MAX);
            self.tries_later(number, self.now_s + pause_s);
        }
        self.sessions[at] = 0.0;
    }

    /// The next attempt of a client, after its pause.
    fn tries_later(&mut self, session: u32, from_s: f64) {
        let figures = self.scene.figures;
        let client = &mut self.clients[session as usize];
        let most_s = figures.back_off_first_s * f64::from(1_u32 << client.attempt.min(16));
        let pause_s = self.random.unit() * most_s.min(figures.back_off_most_s);
        client.attempt += 1;
        self.at(from_s + pause_s, Event::Tries(session));
    }

    fn run(&mut self) {
        let most = ATTEMPTS_MOST * self.clients.len();
        while let Some(Reverse((at_us, _, event))) = self.events.pop() {
            self.now_s = at_us as f64 / 1e6;
            self.step(event);
            if self.outcome.attempts > most {
                // Those who come are more than are let in, and it gets no better.
                break;
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Lost(session) => self.lose(session),
            Event::Tries(session) => self.try_once(session),
            Event::AtNode(visit) => self.reach_node(visit),
            Event::AtLog(visit) => self.reach_log(visit),
            Event::Opened(visit) => {
                let at_s = self.serve_at_node(visit.node, self.scene.figures.opens);
                self.at(at_s, Event::In(visit));
            }
            Event::In(visit) => self.enter(visit),
            Event::GivesUp(visit) => {
                if self.is_current(visit) {
                    self.outcome.given_up += 1;
                    self.turn_away(visit);
                }
            }
            Event::Stops(number) => {
                let node = self.fault.restarted[number];
                // A node that is told to stop notes who leaves; one that dies does not.
                let rows = self.sessions[usize::from(node)];
                let takes_s = rows * self.row_s();
                self.audit.serve(self.now_s, takes_s);
                self.kill(node, false);
                let at_s = self.now_s + self.scene.figures.restart_s;
                self.at(at_s, Event::Starts(number));
            }
            Event::Starts(number) => {
                let node = usize::from(self.fault.restarted[number]);
                self.lives[node] = true;
                self.sessions[node] = 0.0;
                self.nodes[node].free_s = self.now_s;
                self.count_living();
                if number + 1 < self.fault.restarted.len() {
                    self.at(self.now_s + self.fault.pause_s, Event::Stops(number + 1));
                }
            }
        }
    }

    fn lose(&mut self, session: u32) {
        let client = &mut self.clients[session as usize];
        if client.is_away {
            return;
        }
        (client.is_away, client.lost_s) = (true, self.now_s);
        let node = usize::from(self.placed[session as usize]);
        self.sessions[node] -= 1.0;
        let document = self.document(session);
        self.rooms[node].remove(&document);
        self.tries_later(session, self.now_s);
    }

    fn document(&self, session: u32) -> u32 {
        self.scene.population.documents[session as usize]
    }

    fn key(&self, session: u32) -> u64 {
        self.scene.population.keys[self.document(session) as usize]
    }

    fn log_of(&self, session: u32) -> usize {
        rendezvous(self.key(session), 0..self.logs.len()).unwrap_or(0)
    }

    /// The balancer's choice.
    fn choose(&mut self, session: u32) -> Option<u16> {
        let living = &self.living;
        match self.scene.policy {
            Policy::RoundRobin => living.get(self.random.index(living.len())).copied(),
            Policy::LeastConnections => {
                let fewest = |a: &&u16, b: &&u16| {
                    let of = |node: u16| self.sessions[usize::from(node)];
                    of(**a).total_cmp(&of(**b))
                };
                living.iter().min_by(fewest).copied()
            }
            Policy::Affinity => {
                let places = living.iter().map(|node| usize::from(*node));
                let key = self.key(session);
                let documents = &self.scene.population.documents;
                let document = self.document(session);
                let first = documents.partition_point(|it| *it < document);
                let here = documents[first..].partition_point(|it| *it <= document);
                let among = here.div_ceil(TOGETHER);
                let node = rendezvous_among(key, places, among, session as usize);
                node.and_then(|node| u16::try_from(node).ok())
            }
        }
    }

    fn try_once(&mut self, session: u32) {
        self.outcome.attempts += 1;
        *self.joins.entry(whole(self.now_s)).or_default() += 1;
        let Some(node) = self.choose(session) else {
            return self.tries_later(session, self.now_s);
        };
        self.placed[session as usize] = node;
        self.sessions[usize::from(node)] += 1.0;
        let figures = self.scene.figures;
        let attempt = self.clients[session as usize].attempt;
        let visit = Visit {
            session,
            node,
            attempt,
        };
        self.at(self.now_s + figures.join_timeout_s, Event::GivesUp(visit));
        let speed = (1.0 - self.besides.catalog).max(LEFT_LEAST);
        let readers = self.scene.load.catalog.readers.max(1.0);
        let speed = figures.catalog_reads * figures.database_capacity() * readers * speed;
        let at_s = self.catalog.serve(self.now_s, STATEMENTS / speed);
        // Who cannot be noted is not let in.
        let places = PLACES * self.living.len() as f64;
        let noted_s = self.audit.free_s - places * self.row_s();
        self.at(at_s.max(noted_s), Event::AtNode(visit));
    }

    fn serve_at_node(&mut self, node: u16, a_core: f64) -> f64 {
        let at = usize::from(node);
        let used = self.besides.of_session * self.sessions[at];
        let speed = (1.0 - used).max(LEFT_LEAST) * self.scene.figures.node_capacity();
        self.nodes[at].serve(self.now_s, 1.0 / (a_core * speed))
    }

    /// Whether the client still waits for what comes of this attempt.
    fn is_current(&self, visit: Visit) -> bool {
        let client = &self.clients[visit.session as usize];
        client.is_away && client.attempt == visit.attempt
    }

    /// It does not get in this time.
    fn turn_away(&mut self, visit: Visit) {
        let node = usize::from(visit.node);
        self.sessions[node] = (self.sessions[node] - 1.0).max(0.0);
        self.tries_later(visit.session, self.now_s);
    }

    /// Whether the node is gone; a client that still waits for it learns so at once.
    fn is_gone(&mut self, visit: Visit) -> bool {
        let is_gone = !self.lives[usize::from(visit.node)];
        if is_gone && self.is_current(visit) {
            self.turn_away(visit);
        }
        is_gone
    }

    fn reach_node(&mut self, visit: Visit) {
        if self.is_gone(visit) {
            return;
        }
        let node = usize::from(visit.node);
        let at_s = self.serve_at_node(visit.node, self.scene.figures.joins);
        let document = self.document(visit.session);
        match self.rooms[node].get(&document).copied() {
            // The first of those who come: the others wait for what it opens.
            None => {
                self.rooms[node].insert(document, f64::INFINITY);
                self.outcome.opened += 1;
                *self.opens.entry(whole(at_s)).or_default() += 1;
                self.at(at_s, Event::AtLog(visit));
            }
            Some(opened_s) if opened_s.is_finite() => {
                self.at(at_s.max(opened_s), Event::In(visit));
            }
            Some(_) => self
                .waiting
                .entry((visit.node, document))
                .or_default()
                .push(visit),
        }
    }

    fn reach_log(&mut self, visit: Visit) {
        let log = self.log_of(visit.session);
        let speed = (1.0 - self.besides.logs[log]).max(LEFT_LEAST);
        let figures = self.scene.figures;
        let takes_s = 1.0 / (figures.log_reads * figures.database_capacity() * speed);
        let at_s = self.logs[log].serve(self.now_s, takes_s);
        let document = self.document(visit.session);
        let waiting = self.waiting.remove(&(visit.node, document));
        if self.is_gone(visit) {
            for visit in waiting.into_iter().flatten() {
                let _told = self.is_gone(visit);
            }
            return;
        }
        self.rooms[usize::from(visit.node)].insert(document, at_s);
        self.at(at_s, Event::Opened(visit));
        for visit in waiting.into_iter().flatten() {
            self.at(at_s, Event::In(visit));
        }
    }

    fn enter(&mut self, visit: Visit) {
        if self.is_gone(visit) || !self.is_current(visit) {
            return;
        }
        let now_s = self.now_s;
        let client = &mut self.clients[visit.session as usize];
        (client.is_away, client.attempt) = (false, 0);
        let away_s = now_s - client.lost_s;
        self.outcome.away_s.push(away_s);
        if client.types {
            let stored_s = self.scene.figures.append_ms / 1e3;
            self.outcome.waits_s.push(away_s + stored_s);
        }
        self.outcome.over_s = now_s;
        let row_s = self.row_s();
        self.audit.serve(now_s, row_s);
    }

    /// What a row takes of the chains of the audit trail.
    fn row_s(&self) -> f64 {
        let left = (1.0 - self.besides.audit).max(LEFT_LEAST);
        let chains = self.scene.load.catalog.chains.max(1.0);
        1.0 / (self.scene.figures.audit_rows * chains * left)
    }

    fn end(mut self) -> Outcome {
        self.outcome.left_out = self.clients.iter().filter(|client| client.is_away).count();
        let longest = |queues: &[Queue]| queues.iter().map(|it| it.longest_s).fold(0.0, f64::max);
        self.outcome.queue_s = [
            self.catalog.longest_s,
            longest(&self.nodes),
            longest(&self.logs),
            self.audit.longest_s,
        ];
        self.outcome.joins_most = self.joins.values().copied().max().unwrap_or(0);
        self.outcome.opens_most = self.opens.values().copied().max().unwrap_or(0);
        let mut sessions = vec![0.0; self.lives.len()];
        for node in &self.placed {
            sessions[usize::from(*node)] += 1.0;
        }
        let living = self.living.iter().map(|node| sessions[usize::from(*node)]);
        self.outcome.fullest = extremes(living);
        self.outcome.away_s.sort_unstable_by(f64::total_cmp);
        self.outcome.waits_s.sort_unstable_by(f64::total_cmp);
        self.outcome.placed = self.placed;
        self.outcome
    }
}

#[cfg(test)]
mod tests;
