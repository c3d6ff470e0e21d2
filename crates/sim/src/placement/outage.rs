//! A database of the log that is away for a while: whose edits wait, whose rooms close, and how long it takes
//! until all is stored.

use std::collections::BTreeMap;

use super::{
    hash::rendezvous,
    storm::{Fault, Outcome, Scene, storm},
};
use crate::random::Random;

/// How it went.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outage {
    /// Sessions on documents of this log.
    pub(super) sessions: usize,
    /// Rooms that had an edit to append.
    pub(super) rooms: usize,
    /// Of these, rooms that closed since it lasted too long.
    pub(super) closed: usize,
    /// Sessions whose edits waited in their rooms until the end.
    pub(super) waited: usize,
    /// Until what waited in rooms is stored, once the log is back.
    pub(super) drained_s: f64,
    /// The longest wait for an acknowledgement.
    pub(super) longest_s: f64,
    /// Those whose rooms closed.
    pub(super) storm: Outcome,
}

/// Lets the database be away from now on, for so long. Each client has one submission under way, and gathers
/// the rest in the next one.
pub(super) fn outage(scene: Scene<'_>, log: usize, away_s: f64, seed: u64) -> Outage {
    let (figures, workload) = (scene.figures, scene.workload);
    let mut random = Random::new(seed);
    let mut outage = Outage::default();
    let (typing, bursts) = (workload.typing_share(), workload.burst_rate());
    let mut rooms: BTreeMap<(u32, u16), Vec<(u32, f64)>> = BTreeMap::new();
    for (session, (document, node)) in
        (0..).zip(scene.population.documents.iter().zip(scene.placed))
    {
        let key = scene.population.keys[*document as usize];
        if rendezvous(key, 0..scene.load.logs.len()) != Some(log) {
            continue;
        }
        outage.sessions += 1;
        let edit_s = if random.chance(typing) {
            random.unit() / workload.typing_rate
        } else {
            -(1.0 - random.unit()).ln() / bursts
        };
        rooms
            .entry((*document, *node))
            .or_default()
            .push((session, edit_s));
    }
    let mut sent_away = Vec::new();
    for sessions in rooms.values() {
        let first_s = sessions
            .iter()
            .map(|(_, edit_s)| *edit_s)
            .fold(f64::INFINITY, f64::min);
        if first_s >= away_s {
            continue;
        }
        outage.rooms += 1;
        let closes_s = first_s + figures.patience_s;
        if closes_s < away_s {
            outage.closed += 1;
            sent_away.extend(sessions.iter().map(|(session, _)| (closes_s, *session)));
        } else {
            outage.waited += sessions
                .iter()
                .filter(|(_, edit_s)| *edit_s < away_s)
                .count();
            outage.longest_s = outage.longest_s.max(away_s - first_s);
        }
    }
    sent_away.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // Each room appends what waited, and then what its clients gathered meanwhile.
    let appends = 2.0 * (outage.rooms - outage.closed) as f64;
    let nodes = scene.load.nodes.len();
    let left = (1.0 - scene.load.logs[log].used(figures, nodes)).max(0.02);
    outage.drained_s = appends / (figures.append_statements * figures.database_capacity() * left);
    let fault = Fault {
        sent_away,
        away: Some((log, away_s)),
        ..Fault::default()
    };
    outage.storm = storm(scene, fault, seed);
    let storm_s = outage.storm.away_s.last();
    let closed_s = storm_s.map_or(0.0, |away_s| figures.patience_s + away_s);
    outage.longest_s = (outage.longest_s + outage.drained_s).max(closed_s);
    outage
}
