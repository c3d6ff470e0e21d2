//! One load: edits on a schedule, and each of them followed to everybody who is to get it.
//!
//! Open loop: when an edit is due does not depend on what became of those before it, and its latency counts from
//! then, however late it leaves.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::{
    clock::{MILLISECOND, SECOND, ns},
    fleet::{Fleet, OPENING_MAX},
    servers::Servers,
    system::{Usage, usage},
    tally::Tally,
};

/// How long after the last edit was due everything must have arrived.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it may take until everybody has joined.
const JOIN: Duration = Duration::from_secs(120);
/// So many edits leave in one go, before it is seen what has arrived.
const BURST_MAX: u64 = 1_024;
/// Above this share of its core the generator may be what limits.
const CPU_MAX: f64 = 0.9;
/// And so it may if more than one in a hundred edits leaves later than this.
const LATE_MAX_US: u64 = 20_000;

/// What a load is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) documents: usize,
    /// In each document.
    pub(crate) writers: usize,
    /// In each document.
    pub(crate) readers: usize,
    /// The last of all readers do not read while edits are made. How late those are is not measured.
    pub(crate) deaf: usize,
    /// Edits a second of all.
    pub(crate) rate: f64,
    /// Not counted.
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    /// What takes longer ends the load: it will not get better.
    pub(crate) give_up: Duration,
    /// One more reader of the first document, whose text is compared in the end with the document's.
    pub(crate) witness: bool,
}

impl Plan {
    /// All writers; they are the first clients.
    pub(crate) fn authors(&self) -> usize {
        self.documents * self.writers
    }

    /// The client that is the witness.
    pub(crate) fn witness(&self) -> usize {
        self.documents * (self.writers + self.readers)
    }

    /// Whether this client does not read for a while.
    pub(crate) fn is_deaf(&self, client: usize) -> bool {
        (self.witness() - self.deaf..self.witness()).contains(&client)
    }

    /// All clients, with the witness, and whoever joins after the load to see what there is.
    pub(crate) fn clients(&self) -> usize {
        // The last one's document is the first, too.
        self.witness() + self.documents + 1
    }

    /// Those who are there during the load.
    pub(crate) fn present(&self) -> usize {
        self.witness() + usize::from(self.witness)
    }

    /// How many others see an edit of this document.
    pub(crate) fn others(&self, document: usize) -> u64 {
        let witness = usize::from(self.witness && document == 0);
        (self.writers + self.readers + witness - 1) as u64
    }
}

/// What came of a load.
pub(crate) struct Figures {
    /// Edits, without those of the warm-up.
    pub(crate) edits: u64,
    /// Edits, with them.
    pub(crate) all_edits: u64,
    /// Arrivals that there had to be.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    /// From when an edit was due to when it arrived.
    pub(crate) latency_us: Histogram<u64>,
    /// From when an edit was due to its acknowledgement, where there is one.
    pub(crate) acknowledged_us: Histogram<u64>,
    /// From when an edit was due to when it left.
    pub(crate) late_us: Histogram<u64>,
    /// Whether it was ended because something took too long.
    pub(crate) given_up: bool,
    /// Whether the witness's text is the document's, if there was one.
    pub(crate) same_text: Option<bool>,
    /// Shares of a core, while edits were counted.
    pub(crate) generator_cpu: f64,
    pub(crate) servers_cpu: f64,
    /// Of the servers, when the last edit had left.
    pub(crate) servers_memory_bytes: u64,
    /// Bytes that arrived in a second.
    pub(crate) received_bytes_per_second: f64,
    /// From the last edit to when everybody had everything.
    pub(crate) caught_up_ms: f64,
}

impl Figures {
    /// Whether the generator may have been what limits: then nothing is known of the servers.
    pub(crate) fn generator_limits(&self) -> bool {
        self.generator_cpu > CPU_MAX || self.late_us.value_at_quantile(0.99) > LATE_MAX_US
    }

    pub(crate) fn lost(&self) -> u64 {
        self.expected - self.delivered
    }
}

/// Runs a load on clients that have not joined yet.
///
/// # Errors
///
/// A connection ended, or something was refused.
pub(crate) fn run(plan: Plan, fleet: &mut Fleet, servers: &Servers) -> anyhow::Result<Figures> {
    let mut tally = Tally::new(plan)?;
    fleet.join(0..plan.present(), OPENING_MAX);
    if plan.witness {
        fleet.record(plan.witness());
    }
    fleet.join_all(JOIN, &mut |arrival| tally.hear(arrival))?;

    let deaf = (0..plan.present()).filter(|it| plan.is_deaf(*it));
    for client in deaf.clone() {
        fleet.set_deaf(client, true)?;
    }

    let measured = Duration::from_secs_f64(1.0 / plan.rate);
    let interval = ns(measured).max(1);
    let edits = |length: Duration| ns(length).div_ceil(interval);
    let (total, uncounted) = (edits(plan.warm_up + plan.length), edits(plan.warm_up));
    let start = fleet.clock.ns() + 100 * MILLISECOND;
    tally.schedule(start, interval, uncounted);
    let due = |edit: u64| start + edit * interval;
    let deadline = due(total) + ns(DRAIN);
    let give_up_us = ns(plan.give_up) / 1_000;
    let authors = plan.authors() as u64;

    let mut late_us = histogram();
    let mut meter = None;
    let mut metered = None;
    let mut edit = 0;
    let mut given_up = false;
    loop {
        let now = fleet.clock.ns();
        let burst = edit + BURST_MAX;
        while edit < total.min(burst) && due(edit) <= now {
            let author = usize::try_from(edit % authors).context("there are so many authors")?;
            fleet.edit(author, edit / authors);
            if edit >= uncounted {
                late_us.saturating_record((now - due(edit)) / 1_000);
            }
            edit += 1;
        }
        if meter.is_none() && edit >= uncounted {
            meter = Some(Meter::start(fleet, servers));
        }
        if edit == total && metered.is_none() {
            metered = meter.as_ref().map(|it| it.stop(fleet, servers));
            for client in deaf.clone() {
                fleet.set_deaf(client, false)?;
            }
        }
        let complete = edit == total && tally.is_complete(edit);
        given_up = given_up || tally.worst_us() > give_up_us;
        if complete || given_up || now > deadline {
            break;
        }
        let until = if edit < total { due(edit) } else { deadline };
        fleet.turn(until, &mut |arrival| tally.hear(arrival))?;
        tally.settle()?;
    }
    let caught_up = fleet.clock.ns().saturating_sub(due(total));
    let metered = match (metered, meter) {
        (Some(metered), _) => metered,
        (None, Some(meter)) => meter.stop(fleet, servers),
        (None, None) => Metered::default(),
    };
    let complete = tally.is_complete(edit);
    let same_text = if plan.witness && complete {
        Some(compare(plan, fleet)?)
    } else {
        None
    };
    let (expected, delivered) = (tally.expected(edit), tally.delivered());
    let (latency_us, acknowledged_us) = tally.latencies();
    Ok(Figures {
        edits: edit.saturating_sub(uncounted),
        all_edits: edit,
        expected,
        delivered,
        latency_us,
        acknowledged_us,
        late_us,
        given_up,
        same_text,
        generator_cpu: metered.generator,
        servers_cpu: metered.servers,
        servers_memory_bytes: metered.memory_bytes,
        received_bytes_per_second: metered.received_bytes,
        caught_up_ms: caught_up as f64 / MILLISECOND as f64,
    })
}

/// Compares what the witness has with what somebody has who joins now.
fn compare(plan: Plan, fleet: &mut Fleet) -> anyhow::Result<bool> {
    let witnessed = fleet.recorded();
    let fresh = plan.witness() + plan.documents;
    fleet.record(fresh);
    fleet.join([fresh], 1);
    fleet.join_all(JOIN, &mut |_| {})?;
    let there = fleet.recorded();
    let text = |messages| fleet.dialect.text(messages);
    Ok(text(&witnessed)? == text(&there)?)
}

/// An empty histogram of microseconds. It has room for an hour from the start: what is recorded past the room that
/// a growing one has is cut off to it.
pub(crate) fn histogram() -> Histogram<u64> {
    const HOUR_US: u64 = 3_600_000_000;
    Histogram::new_with_bounds(1, HOUR_US, 3).expect("these bounds are allowed")
}

/// What has been used when measuring began.
struct Meter {
    at: u64,
    generator: Usage,
    servers: Usage,
    received_bytes: u64,
}

/// What was used in a second.
#[derive(Clone, Copy, Default)]
struct Metered {
    generator: f64,
    servers: f64,
    memory_bytes: u64,
    received_bytes: f64,
}

impl Meter {
    fn start(fleet: &Fleet, servers: &Servers) -> Self {
        Self {
            at: fleet.clock.ns(),
            generator: usage(std::process::id()),
            servers: servers.usage(),
            received_bytes: fleet.received_bytes,
        }
    }

    fn stop(&self, fleet: &Fleet, servers: &Servers) -> Metered {
        let now = Self::start(fleet, servers);
        let seconds = (now.at - self.at) as f64 / SECOND as f64;
        let cpu = |since: Usage, until: Usage| (until.cpu_seconds - since.cpu_seconds) / seconds;
        Metered {
            generator: cpu(self.generator, now.generator),
            servers: cpu(self.servers, now.servers),
            memory_bytes: now.servers.memory_bytes,
            received_bytes: (now.received_bytes - self.received_bytes) as f64 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_not_cut_off() {
        let mut histogram = histogram();
        for us in [3, 900, 70_000, 9_000_000] {
            histogram.saturating_record(us);
        }
        assert_eq!(histogram.value_at_quantile(0.5), 900);
        assert!(histogram.max() >= 9_000_000);
    }
}
