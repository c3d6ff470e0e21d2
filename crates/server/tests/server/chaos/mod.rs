//! Several nodes of one database while everything fails that can: nodes are killed, frozen and restarted,
//! connections cut, refused, stalled and slowed down, services restarted. Clients of all dialects write all
//! the time and come back to another node. In the end every edit that was acknowledged is there once, and all
//! have the same.
//!
//! The short form does each fault once; `make chaos` runs the long one, on services of its own. A seed gives
//! the plan of faults and what is written; what the machine makes of it differs from run to run.

mod check;
mod identities;
mod node;
mod pen;
mod pipe;
mod plan;
mod positions;
mod services;
mod stage;

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use motet_ot::Delta;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::Instant,
};

use self::{
    check::report,
    identities::Yjs,
    node::Node,
    pen::Pen,
    plan::Scene,
    positions::Positions,
    services::Services,
    stage::{Phase, Stage},
};
use crate::support::{data_dir, random::Random, yjs::Identities};

const NODES: usize = 3;
/// How long a round of the long form lasts.
const ROUND: Duration = Duration::from_secs(120);

/// What a client has when it has nothing to send any more.
#[derive(Clone, Default)]
struct Standing {
    settled: bool,
    /// Of one that speaks positions.
    revision: Option<u64>,
    content: Delta,
    /// The embeds of this client that must be there.
    alive: Vec<String>,
    edits: u64,
}

/// One who takes part, from outside.
struct Writer {
    name: String,
    document: String,
    standing: watch::Receiver<Standing>,
}

/// How a round is.
struct Round {
    seed: u64,
    /// The plan's length; the short plan has its own.
    length: Option<Duration>,
    documents: usize,
    silence: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_fails() {
    let seed = match env::var("MOTET_CHAOS_SEED") {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => RandomState::new().build_hasher().finish() % 1_000_000,
    };
    let Ok(minutes) = env::var("MOTET_CHAOS_MINUTES") else {
        let wrong = round(Round {
            seed,
            length: None,
            documents: 3,
            silence: Duration::from_secs(3),
        })
        .await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        return;
    };
    let minutes: f64 = minutes.parse().expect("minutes are a number");
    let (began, length) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let (mut seed, mut wrong) = (seed, Vec::new());
    while began.elapsed() < length {
        let left = length.saturating_sub(began.elapsed());
        let round = Round {
            seed,
            length: Some(left.clamp(Duration::from_secs(15), ROUND)),
            documents: 4,
            silence: Duration::from_secs(6),
        };
        wrong.extend(self::round(round).await);
        seed += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns what went wrong.
async fn round(round: Round) -> Vec<String> {
    let seed = round.seed;
    eprintln!("chaos: MOTET_CHAOS_SEED={seed}");
    let mut random = Random::new(seed);
    let folder = data_dir();
    let is_nats = random.index(2) == 0;
    let services = match round.length {
        Some(_) => Services::private(is_nats, folder.path()),
        None => Services::shared(is_nats),
    };
    let schema = Arc::new(services.schema().await);
    let mut nodes = Vec::new();
    for number in 0..NODES {
        nodes.push(Node::new(number, &services, &schema, folder.path()).await);
    }
    let first = nodes[0].server();
    let ada = first.register("ada");
    let documents: Vec<_> = (0..round.documents).map(|_| first.create(&ada)).collect();
    let addresses = nodes.iter().map(|node| node.server().address.clone());
    let stage = Stage::new(ada.token.clone(), round.silence, addresses.collect());
    let scene = Scene {
        stage: Arc::new(stage),
        postgres: nodes.iter().map(|it| Arc::clone(&it.postgres)).collect(),
        buses: nodes.iter().map(|it| Arc::clone(&it.bus)).collect(),
        nodes: nodes
            .into_iter()
            .map(|node| Arc::new(Mutex::new(node)))
            .collect(),
        schema,
        services: Arc::new(Mutex::new(services)),
    };
    let steps = match round.length {
        Some(length) => plan::long(&mut random, NODES, length),
        None => plan::short(&mut random, NODES),
    };
    for step in &steps {
        eprintln!("{step}");
    }
    let mut running = JoinSet::new();
    let writers = start(&scene.stage, &documents, &mut random, &mut running);
    let faults = scene.perform(&steps).await;
    let ended = Instant::now();
    scene.stage.phase.send_replace(Phase::Draining);
    let is_long = round.length.is_some();
    scene
        .check(&ada, &documents, &writers, ended, is_long)
        .await;
    scene.stage.phase.send_replace(Phase::Done);
    running.join_all().await;
    let races = scene.end().await;
    report(&scene.stage, &faults, &writers, races);
    let mut wrong = scene.stage.wrong();
    if !wrong.is_empty() {
        let kept = folder.keep();
        wrong.insert(0, format!("seed {seed}, see {}:", kept.display()));
    }
    wrong
}

/// Clients of all dialects in each document.
fn start(
    stage: &Arc<Stage>,
    documents: &[String],
    random: &mut Random,
    running: &mut JoinSet<()>,
) -> Vec<Writer> {
    let mut writers = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        for kind in ["socket-a", "socket-b", "stream", "yjs", "hocuspocus"] {
            // Each but the first document goes without one of them, so that they differ.
            if number > 0 && random.index(5) == 0 {
                continue;
            }
            let name = format!("{kind}-{number}");
            let (standing, stands) = watch::channel(Standing::default());
            let pen = Pen::new(&name, random.number());
            let (stage, id) = (Arc::clone(stage), document.clone());
            if kind.starts_with('s') {
                let client = Positions {
                    stage,
                    name: name.clone(),
                    document: id,
                    is_stream: kind == "stream",
                    pen,
                    standing,
                    state: positions::State::default(),
                };
                running.spawn(client.run());
            } else {
                let client = Yjs {
                    stage,
                    name: name.clone(),
                    document: id,
                    is_hocuspocus: kind == "hocuspocus",
                    pen,
                    standing,
                    identities: Identities::new(1 + writers.len() as u64),
                    edits: 0,
                    stored: 0,
                    since: None,
                };
                running.spawn(client.run());
            }
            writers.push(Writer {
                name,
                document: document.clone(),
                standing: stands,
            });
        }
    }
    writers
}
