//! Motet's document engine beside yrs, loro and diamond-types, in one run: the median of several rounds.

mod engines;
mod traces;

use std::{alloc::System, path::PathBuf, time::Instant};

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use self::engines::{Diamond, Engine, Loro, Motet, Yrs};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Compares document engines.
#[derive(Parser)]
struct Arguments {
    /// The folder with the editing traces.
    #[arg(long, env = "MOTET_TRACES")]
    traces: PathBuf,
    /// How often each figure is taken.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these engines.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Only these figures, by the start of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Runs of the random documents.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 500_000])]
    sizes: Vec<usize>,
}

/// Figures, by name and engine.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Vec<(String, Vec<f64>)>)>,
}

impl Table {
    fn add(&mut self, row: &str, engine: &str, figure: f64) {
        if !self.rows.iter().any(|(name, _)| name == row) {
            self.rows.push((row.to_owned(), Vec::new()));
        }
        let Some((_, cells)) = self.rows.iter_mut().find(|(name, _)| name == row) else {
            return;
        };
        match cells.iter_mut().find(|(name, _)| name == engine) {
            Some((_, figures)) => figures.push(figure),
            None => cells.push((engine.to_owned(), vec![figure])),
        }
    }

    fn print(&self, engines: &[&str]) {
        println!("| what | {} |", engines.join(" | "));
        println!("|---|{}", "---|".repeat(engines.len()));
        for (row, cells) in &self.rows {
            let cells: Vec<String> = engines
                .iter()
                .map(|engine| {
                    let figures = cells.iter().find(|(name, _)| name == engine);
                    figures.map_or("–".to_owned(), |(_, figures)| shown(median(figures)))
                })
                .collect();
            println!("| {row} | {} |", cells.join(" | "));
        }
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn shown(figure: f64) -> String {
    match figure {
        f if f < 10.0 => format!("{f:.2}"),
        f if f < 100.0 => format!("{f:.1}"),
        f => format!("{f:.0}"),
    }
}

/// Numbers that are the same for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

const PROBES: usize = 2_000;

struct Bench<'a> {
    arguments: &'a Arguments,
    table: Table,
}

impl Bench<'_> {
    fn wants(&self, row: &str) -> bool {
        let only = &self.arguments.only;
        only.is_empty() || only.iter().any(|start| row.starts_with(start))
    }

    fn engine<E: Engine>(&mut self) -> anyhow::Result<()> {
        let names = &self.arguments.engines;
        if !names.is_empty() && !names.iter().any(|name| name == E::NAME) {
            return Ok(());
        }
        eprintln!("{}", E::NAME);
        for name in traces::NAMES {
            self.trace::<E>(name)?;
        }
        for size in self.arguments.sizes.clone() {
            if E::NAME == "yrs" && size > 10_000 {
                // Making such a document takes it many minutes, and then hours.
                continue;
            }
            self.random::<E>(size);
        }
        self.merge::<E>();
        Ok(())
    }

    fn trace<E: Engine>(&mut self, name: &str) -> anyhow::Result<()> {
        let row = format!("{name}, local edits, ns each");
        let open = format!("{name}, open from own form, ms");
        if !self.wants(&row) && !self.wants(&open) {
            return Ok(());
        }
        let trace = traces::load(&self.arguments.traces, name)?;
        let mut engine = E::new(1);
        let edits: Vec<E::Edit> = trace
            .patches
            .iter()
            .map(|(position, deleted, inserted)| E::edit(*position, *deleted, inserted))
            .collect();
        let start = Instant::now();
        for edit in &edits {
            engine.perform(edit);
        }
        let each = start.elapsed().as_secs_f64() * 1e9 / trace.patches.len() as f64;
        anyhow::ensure!(engine.text() == trace.end, "{} went wrong", E::NAME);
        self.table.add(&row, E::NAME, each);
        let saved = engine.save();
        let start = Instant::now();
        let opened = E::open(&saved, 2);
        let time = start.elapsed().as_secs_f64() * 1e3;
        anyhow::ensure!(opened.text() == trace.end, "{} opened wrong", E::NAME);
        self.table.add(&open, E::NAME, time);
        self.table.add(&format!("{name}, own form, kB"), E::NAME, saved.len() as f64 / 1e3);
        Ok(())
    }

    fn random<E: Engine>(&mut self, size: usize) {
        let row = format!("random, {size} runs:");
        if !self.wants(&row) {
            return;
        }
        let mut random = Random(7);
        let region = Region::new(ALLOCATOR);
        let mut engine = E::new(1);
        for len in 0..size {
            engine.insert(random.below(len + 1), "x");
        }
        let stats = region.change();
        let heap = stats.bytes_allocated as f64 - stats.bytes_deallocated as f64;
        self.table.add(&format!("{row} heap, bytes each"), E::NAME, heap / size as f64);

        let start = Instant::now();
        for n in 0..PROBES {
            engine.insert(random.below(size + n), "y");
        }
        let each = start.elapsed().as_secs_f64() * 1e6 / PROBES as f64;
        self.table.add(&format!("{row} insert at random, µs"), E::NAME, each);

        let saved = engine.save();
        let start = Instant::now();
        let mut other = E::open(&saved, 2);
        let time = start.elapsed().as_secs_f64() * 1e3;
        self.table.add(&format!("{row} open from own form, ms"), E::NAME, time);
        if let Some(update) = engine.update() {
            let start = Instant::now();
            let applied = E::from_update(&update, 3);
            let time = start.elapsed().as_secs_f64() * 1e3;
            assert_eq!(applied.text(), engine.text());
            self.table.add(&format!("{row} decode and apply update v1, ms"), E::NAME, time);
        }
        for with_delta in [true, false] {
            let len = size + PROBES;
            let updates: Vec<Vec<u8>> = (0..PROBES)
                .map(|n| engine.insert_update(random.below(len + n), "z"))
                .collect();
            let start = Instant::now();
            let mut told = 0;
            for update in &updates {
                told += other.apply(update, with_delta);
            }
            let each = start.elapsed().as_secs_f64() * 1e6 / PROBES as f64;
            let can = !with_delta || told >= PROBES;
            if can {
                let what = if with_delta { "with" } else { "without" };
                let row = format!("{row} one remote insert {what} delta, µs");
                self.table.add(&row, E::NAME, each);
            }
            assert_eq!(other.text().len(), engine.text().len());
        }
    }

    fn merge<E: Engine>(&mut self) {
        let row = "merge two branches of 20,000 edits on 50,000 characters, with delta, ms";
        if !self.wants(row) {
            return;
        }
        let mut random = Random(11);
        let mut one = E::new(1);
        let words = "lorem ipsum dolor sit amet ".repeat(2_000);
        one.insert(0, &words[..50_000]);
        let mut two = E::open(&one.save(), 2);
        for engine in [&mut one, &mut two] {
            let mut len = 50_000;
            for _ in 0..20_000 {
                let at = random.below(len);
                if random.below(3) == 0 && at + 1 < len {
                    engine.delete(at, 1);
                    len -= 1;
                } else {
                    engine.insert(at, "x");
                    len += 1;
                }
            }
        }
        let update = two.update_for(&one);
        let start = Instant::now();
        one.apply(&update, true);
        let time = start.elapsed().as_secs_f64() * 1e3;
        self.table.add(row, E::NAME, time);
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut bench = Bench {
        arguments: &arguments,
        table: Table::default(),
    };
    for round in 0..arguments.rounds {
        eprintln!("round {}", round + 1);
        bench.engine::<Motet>()?;
        bench.engine::<Diamond>()?;
        bench.engine::<Loro>()?;
        bench.engine::<Yrs>()?;
    }
    bench.table.print(&[Motet::NAME, Yrs::NAME, Loro::NAME, Diamond::NAME]);
    Ok(())
}
