//! What can be asked for on the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{
    load::Plan,
    report::{Report, page},
    scenarios::{Scenario, Size},
    servers::{Against, Setup, Stores},
    system::Cores,
};

/// Measures collaboration servers end to end.
#[derive(Parser)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run loads at given rates.
    Run(Run),
    /// Search the highest rate that a server bears.
    Search(Search),
    /// Be a server that only passes on: the limit of what sockets bear.
    Broadcaster {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Edits a second of each editor.
    #[arg(long, default_value_t = 10.0, conflicts_with = "rate")]
    pub(crate) each: f64,
    /// Edits a second of all editors together.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Above this 99th percentile a run is called too slow.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) p99_max_ms: f64,
}

#[derive(Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Edits a second of all editors together, to begin with.
    #[arg(long, default_value_t = 500.0)]
    pub(crate) from: f64,
    /// The 99th percentile that counts as borne.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) p99_max_ms: f64,
    /// How near to the limit is near enough.
    #[arg(long, default_value_t = 0.05)]
    pub(crate) precision: f64,
    /// A rate is too much when so many attempts at it have failed.
    #[arg(long, default_value_t = 2)]
    pub(crate) attempts: usize,
}

#[derive(Args)]
pub(crate) struct Common {
    /// Servers to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Against::Motet])]
    pub(crate) against: Vec<Against>,
    /// The `motet` binary to start.
    #[arg(long, default_value = "target/release/motet")]
    pub(crate) server: PathBuf,
    /// What to measure. Writers, observers and documents are loads of edits, and the others have a size of their own.
    #[arg(long, value_enum, default_value_t = Scenario::Writers)]
    pub(crate) scenario: Scenario,
    /// Numbers of editors in each document; in scenarios without a load, of clients.
    #[arg(long, value_delimiter = ',')]
    pub(crate) editors: Vec<usize>,
    /// Readers in each document, who write nothing.
    #[arg(long)]
    pub(crate) readers: Option<usize>,
    /// Documents at a time.
    #[arg(long)]
    pub(crate) documents: Option<usize>,
    /// Edits of a cold open, pastes, or edits a second of scenarios without a load.
    #[arg(long)]
    pub(crate) edits: Option<u64>,
    /// Characters of what is pasted, or joined.
    #[arg(long)]
    pub(crate) characters: Option<usize>,
    /// Length of a run in seconds, after one second that is not counted.
    #[arg(long, default_value_t = 8)]
    pub(crate) seconds: u64,
    /// How often each is done.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Numbers of nodes; more than one needs --database. Ours only.
    #[arg(long, value_delimiter = ',', default_values_t = [1])]
    pub(crate) nodes: Vec<usize>,
    /// Keep everything in the PostgreSQL at MOTET_TEST_POSTGRES, or its usual port, instead of files. Ours only.
    #[arg(long)]
    pub(crate) database: bool,
    /// How the nodes hear of each other: redis://HOST or nats://HOST.
    #[arg(long, requires = "database")]
    pub(crate) bus: Option<String>,
    /// Where the peers' packages are, which make bench-peers installs.
    #[arg(long, default_value = "bench/peers")]
    pub(crate) peers: PathBuf,
    /// Have peers store what they are sent: Hocuspocus in SQLite, y-websocket in LevelDB.
    #[arg(long)]
    pub(crate) persist: bool,
    /// Give the generator the machine's last core, and the servers the first.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub(crate) pin: bool,
    /// The servers' cores, if they are to have others.
    #[arg(long, value_delimiter = ',', requires = "pin")]
    pub(crate) server_cores: Vec<usize>,
    /// One more reader of the first document, whose text is compared in the end with the document's.
    #[arg(long)]
    pub(crate) witness: bool,
    /// Write all figures there, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots there.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
}

/// One server and one load.
pub(crate) struct Case {
    pub(crate) against: Against,
    pub(crate) setup: Setup,
    pub(crate) documents: usize,
    pub(crate) editors: usize,
    pub(crate) readers: usize,
}

impl Common {
    /// All servers with all loads that were asked for.
    pub(crate) fn cases(&self) -> anyhow::Result<Vec<Case>> {
        if !self.editors.is_empty() {
            return self.cases_of(&self.editors);
        }
        match self.scenario {
            Scenario::Observers => self.cases_of(&[1]),
            Scenario::Documents => self.cases_of(&[4]),
            _ => self.cases_of(&[10, 100, 300, 1_000]),
        }
    }

    /// All servers with these numbers of editors.
    pub(crate) fn cases_of(&self, editors: &[usize]) -> anyhow::Result<Vec<Case>> {
        anyhow::ensure!(
            self.database || self.nodes == [1],
            "several nodes need --database"
        );
        let cores = Cores::deal(self.pin, &self.server_cores)?;
        cores.take_generators()?;
        let stores = if self.database {
            Stores::Database {
                bus: self.bus.clone(),
            }
        } else {
            Stores::Files
        };
        let (readers, documents) = match self.scenario {
            Scenario::Observers => (1_000, 1),
            Scenario::Documents => (0, 250),
            _ => (0, 1),
        };
        let mut cases = Vec::new();
        for &editors in editors {
            for &against in &self.against {
                for &nodes in &self.nodes {
                    cases.push(Case {
                        against,
                        setup: Setup {
                            motet: self.server.clone(),
                            nodes,
                            stores: stores.clone(),
                            peers: self.peers.clone(),
                            persist: self.persist,
                            cores: cores.clone(),
                        },
                        documents: self.documents.unwrap_or(documents),
                        editors,
                        readers: self.readers.unwrap_or(readers),
                    });
                }
            }
        }
        Ok(cases)
    }

    /// How much of the scenario was asked for.
    pub(crate) fn size(&self) -> Size {
        let usual = self.scenario.size(self.seconds);
        Size {
            clients: self.editors.first().copied().unwrap_or(usual.clients),
            documents: self.documents.unwrap_or(usual.documents),
            edits: self.edits.unwrap_or(usual.edits),
            characters: self.characters.unwrap_or(usual.characters),
            ..usual
        }
    }

    /// Writes the report where it was asked for.
    pub(crate) fn write(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            std::fs::write(path, serde_json::to_string_pretty(report)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.html {
            std::fs::write(path, page::page(report))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Case {
    /// All who write.
    pub(crate) fn authors(&self) -> usize {
        self.documents * self.editors
    }

    /// The load at a rate; it is given up once an edit is on its way for so long.
    pub(crate) fn plan(&self, common: &Common, rate: f64, p99_max_ms: f64) -> Plan {
        Plan {
            documents: self.documents,
            writers: self.editors,
            readers: self.readers,
            deaf: 0,
            rate,
            warm_up: Duration::from_secs(1),
            length: Duration::from_secs(common.seconds),
            give_up: Duration::from_secs_f64((p99_max_ms / 1_000.0).max(3.0)),
            witness: common.witness,
        }
    }
}
