//! What is told of measurements: as tables, as JSON, as a page.

pub(crate) mod page;
pub(crate) mod table;

use serde::Serialize;

use crate::{
    load::Figures,
    scenarios::{Fact, Scenario, Stage},
    search::Verdict,
    servers::Appends,
};

/// A load that was run, or tried.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trial {
    pub(crate) against: String,
    pub(crate) documents: usize,
    /// In each document.
    pub(crate) editors: usize,
    /// In each document.
    pub(crate) readers: usize,
    pub(crate) nodes: usize,
    /// Edits a second, of all.
    pub(crate) rate: f64,
    pub(crate) verdict: Verdict,
    /// What was measured, unless it failed.
    pub(crate) measured: Option<Measured>,
}

/// What was measured of a load.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measured {
    pub(crate) edits: u64,
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) latency: Quantiles,
    /// Where the server acknowledges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledged: Option<Quantiles>,
    pub(crate) late: Quantiles,
    pub(crate) given_up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) same_text: Option<bool>,
    /// Shares of a core.
    pub(crate) generator_cpu: f64,
    pub(crate) servers_cpu: f64,
    pub(crate) servers_memory_bytes: u64,
    pub(crate) received_bytes_per_second: f64,
    pub(crate) generator_limits: bool,
    /// Of ours: what the nodes wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appends: Option<Written>,
}

/// How a node's writes went.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    pub(crate) edits_an_append: f64,
    pub(crate) lost_an_append: f64,
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quantiles {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Quantiles {
    /// Of a histogram of microseconds.
    pub(crate) fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: histogram.max() as f64 / 1_000.0,
        }
    }
}

impl Measured {
    /// What came of a load, and what the servers said in the end.
    pub(crate) fn of(figures: &Figures, appends: Appends) -> Self {
        let acknowledged = &figures.acknowledged_us;
        let each = |count: u64| count as f64 / appends.appends as f64;
        Self {
            edits: figures.edits,
            expected: figures.expected,
            delivered: figures.delivered,
            latency: Quantiles::of(&figures.latency_us),
            acknowledged: (!acknowledged.is_empty()).then(|| Quantiles::of(acknowledged)),
            late: Quantiles::of(&figures.late_us),
            given_up: figures.given_up,
            same_text: figures.same_text,
            generator_cpu: figures.generator_cpu,
            servers_cpu: figures.servers_cpu,
            servers_memory_bytes: figures.servers_memory_bytes,
            received_bytes_per_second: figures.received_bytes_per_second,
            generator_limits: figures.generator_limits(),
            appends: (appends.appends > 0).then(|| Written {
                edits_an_append: each(figures.all_edits),
                lost_an_append: each(appends.lost),
            }),
        }
    }
}

/// The least, the middle and the most of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one figure.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Some(Self {
            min: *figures.first()?,
            median: figures[figures.len() / 2],
            max: *figures.last()?,
        })
    }
}

/// The result of several searches of the same.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limit {
    pub(crate) against: String,
    pub(crate) documents: usize,
    pub(crate) editors: usize,
    pub(crate) readers: usize,
    pub(crate) nodes: usize,
    /// Edits a second.
    pub(crate) rate: Spread,
    pub(crate) generator_limits: bool,
    /// Every load on the way.
    pub(crate) trials: Vec<Trial>,
}

/// A scenario that was run once.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scene {
    pub(crate) scenario: String,
    pub(crate) against: String,
    /// How much of it.
    pub(crate) clients: usize,
    pub(crate) documents: usize,
    pub(crate) facts: Vec<Fact>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl Scene {
    /// What came of it.
    pub(crate) fn of(
        scenario: Scenario,
        stage: &Stage<'_>,
        came: anyhow::Result<Vec<Fact>>,
    ) -> Self {
        let (facts, failed) = match came {
            Ok(facts) => (facts, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Self {
            scenario: scenario.name(),
            against: stage.against.name(),
            clients: stage.size.clients,
            documents: stage.size.documents,
            facts,
            failed,
        }
    }
}

/// All that one command measured.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) runs: Vec<Trial>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) scenes: Vec<Scene>,
}
