use super::{
    super::fleet::{Size, Software, place},
    *,
};

const NODES: usize = 12;

struct Stage {
    population: Population,
    placed: Vec<u16>,
    load: Load,
    policy: Policy,
    workload: Workload,
}

impl Stage {
    fn new(policy: Policy) -> Self {
        let workload = Workload::of(50_000.0);
        let mut random = Random::new(11);
        let count = super::super::fleet::sessions(&workload, 1.0);
        let population = Population::draw(&workload, count, &mut random);
        let placed = place(&population, NODES, policy, &mut random);
        let software = Software {
            shards: 3,
            mended: false,
        };
        let size = Size {
            nodes: NODES,
            software,
        };
        let load = Load::of(&population, &placed, size, &workload, &Figures::USUAL);
        Self {
            population,
            placed,
            load,
            policy,
            workload,
        }
    }

    fn storm(&self, fault: Fault) -> Outcome {
        let scene = Scene {
            population: &self.population,
            placed: &self.placed,
            load: &self.load,
            policy: self.policy,
            workload: &self.workload,
            figures: &Figures::USUAL,
        };
        storm(scene, fault, 2)
    }

    fn on(&self, node: u16) -> usize {
        self.placed.iter().filter(|it| **it == node).count()
    }
}

#[test]
fn none_lost() {
    for policy in Policy::ALL {
        let stage = Stage::new(policy);
        let fault = Fault {
            killed: vec![0, 5],
            ..Fault::default()
        };
        let outcome = stage.storm(fault);
        assert_eq!(outcome.away_s.len(), stage.on(0) + stage.on(5));
        assert_eq!(outcome.left_out, 0);
        assert_eq!(outcome.placed.len(), stage.placed.len());
        for (after, before) in outcome.placed.iter().zip(&stage.placed) {
            let stays = *before != 0 && *before != 5;
            assert_eq!(after == before, stays, "who lost no node has kept it");
            assert!(
                *after != 0 && *after != 5,
                "nobody is on a node that is gone"
            );
        }
        assert!(outcome.over_s < 5.0, "{}", outcome.over_s);
    }
}

#[test]
fn silence_takes_as_long_as_clients_take_to_notice() {
    let stage = Stage::new(Policy::RoundRobin);
    let fault = Fault {
        killed: vec![1],
        silent: true,
        ..Fault::default()
    };
    let outcome = stage.storm(fault);
    let first = Outcome::quantile(&outcome.away_s, 0.0);
    let last = Outcome::quantile(&outcome.away_s, 1.0);
    assert!(first >= Figures::USUAL.silence_least_s, "{first}");
    assert!(last < Figures::USUAL.silence_most_s + 5.0, "{last}");
}

#[test]
fn none_lost_when_all_are_restarted() {
    for policy in Policy::ALL {
        let stage = Stage::new(policy);
        let restarted: Vec<u16> = (0..).take(NODES).collect();
        let outcome = stage.storm(Fault {
            restarted,
            pause_s: 10.0,
            ..Fault::default()
        });
        assert!(
            outcome.away_s.len() >= stage.placed.len(),
            "each moved at least once"
        );
        assert_eq!(outcome.placed.len(), stage.placed.len());
        let (fullest, mean) = outcome.fullest;
        assert!((mean * NODES as f64 - stage.placed.len() as f64).abs() < 0.5);
        assert!(fullest >= mean);
    }
}

#[test]
fn a_document_opens_once_where_many_come() {
    let stage = Stage::new(Policy::Affinity);
    let fault = Fault {
        killed: vec![3],
        ..Fault::default()
    };
    let outcome = stage.storm(fault);
    let mut documents: Vec<_> = stage
        .placed
        .iter()
        .zip(&stage.population.documents)
        .filter(|(node, _)| **node == 3)
        .map(|(_, document)| *document)
        .collect();
    documents.dedup();
    assert_eq!(outcome.opened, documents.len());
}

#[test]
fn who_finds_the_log_away_comes_back_when_it_is_there() {
    let stage = Stage::new(Policy::RoundRobin);
    let on_log = |session: &usize| {
        let key = stage.population.keys[stage.population.documents[*session] as usize];
        rendezvous(key, 0..3) == Some(1)
    };
    let sessions: Vec<_> = (0..stage.placed.len()).filter(on_log).take(50).collect();
    let sent_away = |session: &usize| (1.0, u32::try_from(*session).unwrap());
    let outcome = stage.storm(Fault {
        sent_away: sessions.iter().map(sent_away).collect(),
        away: Some((1, 30.0)),
        ..Fault::default()
    });
    assert_eq!(outcome.away_s.len(), sessions.len());
    assert!(outcome.away_s[0] >= 29.0, "{}", outcome.away_s[0]);
    assert!(outcome.given_up > 0);
}

#[test]
fn deterministic() {
    let stage = Stage::new(Policy::LeastConnections);
    let fault = Fault {
        killed: vec![2, 7],
        silent: true,
        ..Fault::default()
    };
    assert_eq!(stage.storm(fault.clone()), stage.storm(fault));
}
