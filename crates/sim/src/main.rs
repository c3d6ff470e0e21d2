//! `motet-sim`: many seeds, or one again.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use clap::Parser;
use motet_sim::{Agent, Failure, run};

/// Simulates clients, network, server and disk.
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
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism()
        .map_or(1, Into::into)
        .min(8);
    let failures = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&next, seeds.end)))
            .collect();
        let mut failures = Vec::new();
        for worker in workers {
            failures.extend(worker.join().expect("a worker panicked")?);
        }
        anyhow::Ok(failures)
    })?;
    for Failure { seed, what, trace } in &failures {
        std::fs::create_dir_all(&arguments.stories)?;
        let story = arguments.stories.join(format!("seed-{seed}.txt"));
        std::fs::write(&story, trace)?;
        print(&format!(
            "seed {seed}: {what}\n  the story: {}",
            story.display()
        ));
        print(&format!("  again: make sim SEED={seed}"));
    }
    print(&format!(
        "{} seeds, {} failed",
        seeds.end - seeds.start,
        failures.len()
    ));
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

#[expect(clippy::print_stdout, reason = "what the program has to say")]
fn print(text: &str) {
    println!("{text}");
}
