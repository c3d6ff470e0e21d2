//! What goes wrong, and when: made from a seed.

use std::{fmt, sync::Arc, time::Duration};

use motet_testing::{Proxy, Schema, Weather};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    node::Node,
    services::{Services, Which},
    stage::Stage,
};
use crate::support::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Freeze,
    /// SIGTERM.
    Roll,
    /// PostgreSQL ends all connections.
    Backends,
    /// Connections are cut once.
    Cut(Which),
    Refuse(Which),
    Stall(Which),
    Slow(Which),
    /// The service itself ends, in an orderly way or not.
    Restart(Which, bool),
}

/// In the long form more than once, by chance.
const FAULTS: [Fault; 12] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Roll,
    Fault::Backends,
    Fault::Cut(Which::Postgres),
    Fault::Refuse(Which::Postgres),
    Fault::Stall(Which::Postgres),
    Fault::Slow(Which::Postgres),
    Fault::Cut(Which::Bus),
    Fault::Refuse(Which::Bus),
    Fault::Stall(Which::Bus),
    Fault::Slow(Which::Bus),
];

/// Only for services of one's own.
const RESTARTS: [Fault; 4] = [
    Fault::Restart(Which::Postgres, true),
    Fault::Restart(Which::Postgres, false),
    Fault::Restart(Which::Bus, true),
    Fault::Restart(Which::Bus, false),
];

#[derive(Clone, Copy)]
pub(super) struct Step {
    at: Duration,
    lasts: Duration,
    /// All of them, if none is named.
    node: Option<usize>,
    fault: Fault,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f32(), self.lasts.as_secs_f32());
        write!(f, "{at:6.1} s: {:?}", self.fault)?;
        match self.node {
            Some(node) => write!(f, " at node {node}")?,
            None => write!(f, " at all nodes")?,
        }
        write!(f, " for {lasts:.1} s")
    }
}

/// Each fault once, short, one after the other.
pub(super) fn short(random: &mut Random, nodes: usize) -> Vec<Step> {
    let mut faults = FAULTS;
    for at in (1..faults.len()).rev() {
        faults.swap(at, random.index(at + 1));
    }
    let mut at = Duration::from_millis(500);
    let mut steps = Vec::new();
    for fault in faults {
        let lasts = Duration::from_millis(300 + random.index(700) as u64);
        let node = Some(random.index(nodes));
        steps.push(Step {
            at,
            lasts,
            node,
            fault,
        });
        at += lasts + Duration::from_millis(random.index(300) as u64);
    }
    steps
}

/// Any of them at any time, also at once, until then.
pub(super) fn long(random: &mut Random, nodes: usize, until: Duration) -> Vec<Step> {
    let all: Vec<_> = FAULTS.into_iter().chain(RESTARTS).collect();
    let mut at = Duration::from_secs(2);
    let mut steps = Vec::new();
    while at < until {
        let fault = all[random.index(all.len())];
        let most_ms = match fault {
            Fault::Freeze | Fault::Stall(_) => 15_000,
            _ => 8_000,
        };
        // Short ones more often than long ones.
        let bound = 1 + random.index(most_ms);
        let lasts = Duration::from_millis(100 + random.index(bound) as u64);
        let is_one = !matches!(fault, Fault::Backends | Fault::Restart(..));
        let alone = matches!(fault, Fault::Kill | Fault::Freeze | Fault::Roll);
        let everywhere = !alone && random.index(4) == 0;
        let node = (is_one && !everywhere).then(|| random.index(nodes));
        steps.push(Step {
            at,
            lasts,
            node,
            fault,
        });
        if random.index(4) > 0 {
            at += lasts;
        }
        at += Duration::from_millis(random.index(3_000) as u64);
    }
    steps
}

/// A fault that has been.
pub(super) struct Past {
    pub(super) kind: String,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

/// Those on whom it is done.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) stage: Arc<Stage>,
    pub(super) nodes: Vec<Arc<Mutex<Node>>>,
    pub(super) postgres: Vec<Arc<Proxy>>,
    pub(super) buses: Vec<Arc<Proxy>>,
    /// It goes before its server does.
    pub(super) schema: Arc<Schema>,
    pub(super) services: Arc<Mutex<Services>>,
}

impl Scene {
    /// Does all of it, and returns when it is over.
    pub(super) async fn perform(&self, steps: &[Step]) -> Vec<Past> {
        let start = Instant::now();
        let mut running = JoinSet::new();
        for step in steps.iter().copied() {
            let scene = self.clone();
            running.spawn(async move {
                sleep_until(start + step.at).await;
                let began = Instant::now();
                scene.inflict(step).await;
                // What is done at once is felt for a while.
                sleep_until(start + step.at + step.lasts).await;
                Past {
                    kind: format!("{:?}", step.fault),
                    began,
                    ended: Instant::now(),
                }
            });
        }
        running.join_all().await
    }

    async fn inflict(&self, step: Step) {
        let until = Instant::now() + step.lasts;
        match (step.fault, step.node) {
            (Fault::Kill, Some(node)) => {
                let mut node = self.nodes[node].lock().await;
                node.kill();
                sleep_until(until).await;
                node.start(&self.stage).await;
            }
            (Fault::Freeze, Some(node)) => {
                let mut node = self.nodes[node].lock().await;
                node.check(&self.stage);
                node.server().signal("-STOP");
                sleep_until(until).await;
                node.server().signal("-CONT");
            }
            (Fault::Roll, Some(node)) => {
                let mut node = self.nodes[node].lock().await;
                node.roll(&self.stage).await;
                node.start(&self.stage).await;
            }
            (Fault::Backends, _) => {
                self.schema.terminate_connections().await;
            }
            (Fault::Cut(which), node) => {
                for proxy in self.ways(which, node) {
                    proxy.cut();
                }
            }
            (Fault::Refuse(which), node) => {
                self.bring(which, node, Weather::Refusing, until).await;
            }
            (Fault::Stall(which), node) => {
                self.bring(which, node, Weather::Stalled, until).await;
            }
            (Fault::Slow(which), node) => {
                let delay = Duration::from_millis(30);
                self.bring(which, node, Weather::Slow(delay), until).await;
            }
            (Fault::Restart(which, orderly), _) => {
                let mut services = Arc::clone(&self.services).lock_owned().await;
                let stopping = tokio::task::spawn_blocking(move || {
                    services.stop(which, orderly);
                    services
                });
                let mut services = stopping.await.unwrap();
                sleep_until(until).await;
                let starting = tokio::task::spawn_blocking(move || services.start(which));
                starting.await.unwrap();
            }
            (fault, None) => unreachable!("{fault:?} is done to one node"),
        }
    }

    fn ways(&self, which: Which, node: Option<usize>) -> &[Arc<Proxy>] {
        let all = match which {
            Which::Postgres => &self.postgres,
            Which::Bus => &self.buses,
        };
        match node {
            Some(node) => &all[node..=node],
            None => all,
        }
    }

    async fn bring(&self, which: Which, node: Option<usize>, weather: Weather, until: Instant) {
        let ways = self.ways(which, node);
        for proxy in ways {
            proxy.set(weather);
        }
        sleep_until(until).await;
        for proxy in ways {
            proxy.set(Weather::Clear);
        }
    }
}
