//! What servers are measured at, beside edits on a schedule.
//!
//! Each scenario tells some facts: a name, a unit and a figure.

mod cold_open;
mod connections;
mod join_storm;
mod paste;
mod presence;
mod slow_readers;

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    fleet::Fleet,
    servers::{Against, Servers, Setup},
};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// All who are in a document write: 10, 100, 300 and 1,000 of them.
    Writers,
    /// One writes, and 1,000 read.
    Observers,
    /// Four write in each of 250 documents.
    Documents,
    /// 500 move their cursors ten times a second.
    Presence,
    /// 150 join a document of 4 MB at once.
    JoinStorm,
    /// 10,000 connections to 1,000 documents on which nothing happens.
    Idle,
    /// 5,000 join one after the other, 64 at a time.
    Connect,
    /// The server is started again, and a document of 100,000 edits opened.
    ColdOpen,
    /// Somebody pastes 1 MB where ten are.
    Paste,
    /// Ten write, and of twenty who read ten stop reading for a while.
    SlowReaders,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Clients, or connections.
    pub(crate) clients: usize,
    pub(crate) documents: usize,
    /// Edits, or edits a second.
    pub(crate) edits: u64,
    /// Characters.
    pub(crate) characters: usize,
    /// How long, where that matters.
    pub(crate) seconds: u64,
}

/// A figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

impl Scenario {
    /// How it is called on a command line, and in reports.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |it| it.get_name().to_owned())
    }

    /// Whether it is edits on a schedule and nothing else.
    pub(crate) fn is_load(self) -> bool {
        matches!(self, Self::Writers | Self::Observers | Self::Documents)
    }

    /// How much of it unless told otherwise.
    pub(crate) fn size(self, seconds: u64) -> Size {
        let (clients, documents, edits, characters) = match self {
            Self::Writers | Self::Observers | Self::Documents => (0, 1, 0, 0),
            Self::Presence => (500, 1, 10, 0),
            Self::JoinStorm => (150, 1, 0, 4 << 20),
            Self::Idle => (10_000, 1_000, 0, 0),
            Self::Connect => (5_000, 100, 0, 0),
            Self::ColdOpen => (2, 1, 100_000, 0),
            Self::Paste => (11, 1, 5, 1 << 20),
            Self::SlowReaders => (30, 1, 200, 0),
        };
        Size {
            clients,
            documents,
            edits,
            characters,
            seconds,
        }
    }

    /// Measures one server.
    ///
    /// # Errors
    ///
    /// The server does not start, refuses something, or cannot do this.
    pub(crate) fn run(self, stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
        match self {
            Self::Writers | Self::Observers | Self::Documents => {
                anyhow::bail!("{} is a load", self.name())
            }
            Self::Presence => presence::run(stage),
            Self::JoinStorm => join_storm::run(stage),
            Self::Idle => connections::idle(stage),
            Self::Connect => connections::connect(stage),
            Self::ColdOpen => cold_open::run(stage),
            Self::Paste => paste::run(stage),
            Self::SlowReaders => slow_readers::run(stage),
        }
    }
}

/// What a scenario plays on.
pub(crate) struct Stage<'a> {
    pub(crate) against: Against,
    pub(crate) setup: &'a Setup,
    pub(crate) size: Size,
}

impl Stage<'_> {
    /// Starts servers, and makes clients of new documents.
    fn open(&self, clients: usize) -> anyhow::Result<(Servers, Fleet)> {
        let servers = Servers::start(self.against, self.setup)?;
        let fleet = self.fleet(&servers, clients)?;
        Ok((servers, fleet))
    }

    fn fleet(&self, servers: &Servers, clients: usize) -> anyhow::Result<Fleet> {
        let documents = servers.create_documents(self.size.documents)?;
        let dialect = self.against.dialect(documents, clients);
        let nodes = self.setup.nodes;
        Fleet::new(dialect, servers.addresses(), clients, |it| it % nodes)
    }
}

fn fact(name: &'static str, unit: &'static str, value: f64) -> Fact {
    Fact { name, unit, value }
}

/// Four facts of how long something took.
fn times(
    names: [&'static str; 4],
    histogram: &hdrhistogram::Histogram<u64>,
) -> impl Iterator<Item = Fact> {
    let ms = |us: u64| us as f64 / 1_000.0;
    let values = [
        histogram.value_at_quantile(0.5),
        histogram.value_at_quantile(0.95),
        histogram.value_at_quantile(0.99),
        histogram.max(),
    ];
    names
        .into_iter()
        .zip(values)
        .map(move |(name, us)| fact(name, "ms", ms(us)))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
