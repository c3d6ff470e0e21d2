//! `motet-bench`: how long an edit takes from the moment it was due to be sent until it has arrived
//! at every other editor, end to end through real sockets on loopback.
//!
//! Open loop: each editor has a schedule, and an edit that is sent late because the machine was busy
//! counts from when it was due (no coordinated omission). The server runs as its own process, with
//! its defaults: durable before visible, authenticated, presence on.

mod load;
mod server;

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use hdrhistogram::Histogram;

/// Measures a Motet server end to end.
#[derive(Parser)]
struct Arguments {
    /// The `motet` binary to start.
    #[arg(long, default_value = "target/release/motet")]
    server: PathBuf,
    /// Numbers of editors in one document.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 10, 100])]
    editors: Vec<usize>,
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
    delivered: usize,
    expected: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = server::Server::start(&arguments.server).await?;
    let mut report = String::from(
        "| editors | edits/s | p50 ms | p95 ms | p99 ms | max ms | delivered |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for &editors in &arguments.editors {
        let mut runs = Vec::with_capacity(arguments.runs);
        for _ in 0..arguments.runs {
            let document = server.create_document()?;
            let plan = load::Plan {
                url: server.socket_url(&document),
                editors,
                rate: arguments.rate,
                warm_up: Duration::from_secs(1),
                length: Duration::from_secs(arguments.seconds),
            };
            runs.push(load::run(plan).await?);
        }
        report.push_str(&row(editors, &runs, arguments.seconds));
    }
    server.stop().await?;
    print(&format!(
        "Latency from the scheduled send to the arrival at every other editor of one document; \
         single-character inserts at random places, {} edits/s by each editor; \
         median (min to max) of {} runs of {} s.\n\n{report}",
        arguments.rate, arguments.runs, arguments.seconds
    ));
    Ok(())
}

fn row(editors: usize, runs: &[Run], seconds: u64) -> String {
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
    format!(
        "| {editors} | {:.0} | {} | {} | {} | {} | {delivered} of {expected} |\n",
        sent as f64 / runs.len() as f64 / seconds as f64,
        spread(&quantile(0.5)),
        spread(&quantile(0.95)),
        spread(&quantile(0.99)),
        spread(&|run: &Run| ms(run.latency_us.max())),
    )
}

fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}
