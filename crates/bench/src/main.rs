//! `motet-bench`: how long an edit takes from the moment it was due to be sent until it has arrived
//! at every other editor, end to end through real sockets on loopback.
//!
//! Open loop: each editor has a schedule, and an edit that is sent late because the machine was busy
//! counts from when it was due (no coordinated omission). The server runs as its own process, with
//! its defaults: durable before visible, authenticated, presence on. With a database there may be several
//! nodes, to which the editors of each document are dealt out.

mod load;
mod server;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use self::server::{Appends, Servers, Stores};

/// Measures a Motet server end to end.
#[derive(Parser)]
struct Arguments {
    /// The `motet` binary to start.
    #[arg(long, default_value = "target/release/motet")]
    server: PathBuf,
    /// Numbers of editors in one document.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 10, 100])]
    editors: Vec<usize>,
    /// Numbers of nodes; more than one needs --database.
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    nodes: Vec<usize>,
    /// Keep everything in the PostgreSQL at MOTET_TEST_POSTGRES, or its usual port, instead of files.
    #[arg(long)]
    database: bool,
    /// How the nodes hear of each other: redis://HOST or nats://HOST.
    #[arg(long, requires = "database")]
    bus: Option<String>,
    /// Documents that are edited at a time, each by so many editors.
    #[arg(long, default_value_t = 1)]
    documents: usize,
    /// Edits a second of each editor.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Length of a run in seconds, after one second that is not counted.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Runs for each number of editors.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// One run's figures.
struct Run {
    latency_us: Histogram<u64>,
    sent: usize,
    /// Also those of the warm-up.
    all_sent: usize,
    delivered: usize,
    expected: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stores = if arguments.database {
        Stores::Database {
            bus: arguments.bus.as_deref(),
        }
    } else {
        Stores::Files
    };
    anyhow::ensure!(
        arguments.database || arguments.nodes == [1],
        "several nodes need --database"
    );
    let mut report = String::from(
        "| nodes | editors | edits/s | p50 ms | p95 ms | p99 ms | max ms | delivered | edits an append | races lost an append |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for &editors in &arguments.editors {
        for &nodes in &arguments.nodes {
            let servers = Servers::start(&arguments.server, nodes, stores).await?;
            let mut runs = Vec::with_capacity(arguments.runs);
            for _ in 0..arguments.runs {
                runs.push(measure(&servers, &arguments, editors).await?);
            }
            let appends = servers.stop().await?;
            let row = row(nodes, editors, &runs, appends, arguments.seconds);
            report.push_str(&row);
        }
    }
    print(&format!(
        "Latency from the scheduled send to the arrival at every other editor of the document; \
         single-character inserts at random places, {} documents at a time, {} edits/s by each editor; \
         median (min to max) of {} runs of {} s.\n\n{report}",
        arguments.documents, arguments.rate, arguments.runs, arguments.seconds
    ));
    Ok(())
}

/// One run: all documents at once.
async fn measure(servers: &Servers, arguments: &Arguments, editors: usize) -> anyhow::Result<Run> {
    let mut loads = JoinSet::new();
    for number in 0..arguments.documents {
        let document = servers.create_document()?;
        let mut urls = servers.socket_urls(&document);
        let nodes = urls.len();
        // Else the first node would have more editors than the last.
        urls.rotate_left(number % nodes);
        loads.spawn(load::run(load::Plan {
            urls,
            editors,
            rate: arguments.rate,
            warm_up: Duration::from_secs(1),
            length: Duration::from_secs(arguments.seconds),
        }));
    }
    let mut all: Option<Run> = None;
    while let Some(run) = loads.join_next().await {
        let run = run??;
        match &mut all {
            None => all = Some(run),
            Some(all) => {
                all.latency_us.add(&run.latency_us)?;
                all.sent += run.sent;
                all.all_sent += run.all_sent;
                all.delivered += run.delivered;
                all.expected += run.expected;
            }
        }
    }
    all.context("there is no document")
}

fn row(nodes: usize, editors: usize, runs: &[Run], appends: Appends, seconds: u64) -> String {
    let spread = |figure: &dyn Fn(&Run) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (figures[0], figures[figures.len() - 1]);
        format!("{:.2} ({min:.2} to {max:.2})", figures[figures.len() / 2])
    };
    let quantile = |q: f64| move |run: &Run| ms(run.latency_us.value_at_quantile(q));
    let sent: usize = runs.iter().map(|run| run.sent).sum();
    let delivered: usize = runs.iter().map(|run| run.delivered).sum();
    let expected: usize = runs.iter().map(|run| run.expected).sum();
    let all_sent: usize = runs.iter().map(|run| run.all_sent).sum();
    let each = |count: f64| count / appends.appends.max(1) as f64;
    format!(
        "| {nodes} | {editors} | {:.0} | {} | {} | {} | {} | {delivered} of {expected} | {:.1} | {:.2} |\n",
        sent as f64 / runs.len() as f64 / seconds as f64,
        spread(&quantile(0.5)),
        spread(&quantile(0.95)),
        spread(&quantile(0.99)),
        spread(&|run: &Run| ms(run.latency_us.max())),
        each(all_sent as f64),
        each(appends.lost as f64),
    )
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}
