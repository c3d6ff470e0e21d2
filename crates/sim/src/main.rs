//! `motet-sim`: many seeds, or one again.

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Parser;
use motet_sim::{Agent, Failure, Routes, merge, run};

/// Simulates clients, network, server and disk, or with `--merges` just offline merges.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run just this seed
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Clients that were offline come back: many more seeds a second, and no Node
    #[arg(long)]
    merges: bool,
    /// Where the story of a failing seed is written
    #[arg(long, default_value = "target/sim")]
    stories: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let count = seeds.end - seeds.start;
    let next = AtomicU64::new(seeds.start);
    let routes = Mutex::new(Routes::default());
    let threads = std::thread::available_parallelism()
        .map_or(1, Into::into)
        .min(8);
    let failures = std::thread::scope(|scope| {
        let work = || {
            if arguments.merges {
                Ok(work_on_merges(&next, seeds.end, &routes))
            } else {
                work(&next, seeds.end)
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut failures = Vec::new();
        for worker in workers {
            failures.extend(worker.join().expect("a worker panicked")?);
        }
        anyhow::Ok(failures)
    })?;
    let (name, again) = if arguments.merges {
        ("merge", "merges MERGE")
    } else {
        ("seed", "sim SEED")
    };
    for Failure { seed, what, trace } in &failures {
        std::fs::create_dir_all(&arguments.stories)?;
        let story = arguments.stories.join(format!("{name}-{seed}.txt"));
        std::fs::write(&story, trace)?;
        print(&format!(
            "{name} {seed}: {what}\n  the story: {}",
            story.display()
        ));
        print(&format!("  again: make {again}={seed}"));
    }
    if arguments.merges {
        let routes = routes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Routes {
            returns,
            moved,
            merged,
            repeated,
            updates,
        } = routes;
        print(&format!(
            "{returns} returns; submissions: {moved} moved, {merged} merged by identities, \
             {repeated} asked again; {updates} updates"
        ));
    }
    print(&format!("{count} {name}s, {} failed", failures.len()));
    anyhow::ensure!(failures.is_empty(), "some seeds failed");
    Ok(())
}

/// Takes seeds until there are none.
fn work(next: &AtomicU64, end: u64) -> anyhow::Result<Vec<Failure>> {
    let mut agent = Agent::start()?;
    let mut failures = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(failures);
        }
        if let Err(failure) = run(seed, &mut agent) {
            failures.push(*failure);
            // A core that threw has ended.
            agent = Agent::start()?;
        }
    }
}

/// The same for merges.
fn work_on_merges(next: &AtomicU64, end: u64, routes: &Mutex<Routes>) -> Vec<Failure> {
    let (mut failures, mut taken) = (Vec::new(), Routes::default());
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            *routes.lock().unwrap_or_else(PoisonError::into_inner) += taken;
            return failures;
        }
        match merge(seed) {
            Ok(routes) => taken += routes,
            Err(failure) => failures.push(*failure),
        }
    }
}

#[expect(clippy::print_stdout, reason = "what the program has to say")]
fn print(text: &str) {
    println!("{text}");
}
