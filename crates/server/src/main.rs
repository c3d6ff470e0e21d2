//! The `motet` binary.

use clap::Parser;
use motet_server::cli::Cli;

fn main() -> anyhow::Result<()> {
    Cli::parse().run()
}
