//! Who has got which edit, and when.
//!
//! Edits are numbered as they fall due; edit *n* is made by author *n* modulo the number of authors. Where servers
//! order edits by revisions, it is the author's acknowledgement that tells which edit a revision is; others may get it
//! before that, and are counted when it is known.
//!
//! # Invariants
//!
//! - **each once**: an edit counts for a client once, and never for its author.
//! - **nothing skipped**: what a client gets of an author, or of a document's revisions, has no gap; what comes
//!   behind a gap does not make up for it.

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::{
    dialects::Heard,
    fleet::Arrival,
    load::{Plan, histogram},
};

/// Counts what arrives.
pub(crate) struct Tally {
    plan: Plan,
    start: u64,
    interval: u64,
    /// The first edit that is measured.
    first: u64,
    delivered: u64,
    acknowledged: u64,
    latency_us: Histogram<u64>,
    acknowledged_us: Histogram<u64>,
    worst_us: u64,
    /// Whether this server orders edits by revisions, and acknowledges them.
    ordered: bool,
    documents: Vec<Ordered>,
    clients: Vec<u64>,
    /// By client and author in its document: the author's next edit.
    next: Vec<u32>,
    /// Documents of which something has arrived whose edit is not known yet.
    unsettled: Vec<usize>,
    wrong: Option<String>,
}

/// A document whose edits are known by revisions.
#[derive(Clone, Default)]
struct Ordered {
    /// The revision that the load began at.
    base: u64,
    /// The edit of each revision after it, plus 1.
    edits: Vec<u64>,
    /// Revisions whose edit is not known, and when they arrived.
    early: Vec<(u64, u64)>,
}

impl Ordered {
    fn edit(&self, revision: u64) -> Option<u64> {
        let place = usize::try_from(revision.checked_sub(self.base + 1)?).ok()?;
        self.edits.get(place)?.checked_sub(1)
    }
}

impl Tally {
    /// Counts for the clients of `plan`.
    pub(crate) fn new(plan: Plan) -> anyhow::Result<Self> {
        let pairs = plan
            .clients()
            .checked_mul(plan.writers)
            .filter(|it| *it < 1 << 30);
        Ok(Self {
            start: 0,
            interval: 1,
            first: 0,
            delivered: 0,
            acknowledged: 0,
            latency_us: histogram(),
            acknowledged_us: histogram(),
            worst_us: 0,
            ordered: false,
            documents: vec![Ordered::default(); plan.documents],
            clients: vec![0; plan.clients()],
            next: vec![0; pairs.context("too many clients and authors in one document")?],
            unsettled: Vec::new(),
            wrong: None,
            plan,
        })
    }

    /// Edits fall due every `interval` from `start`, and are measured from the edit `first`.
    pub(crate) fn schedule(&mut self, start: u64, interval: u64, first: u64) {
        self.start = start;
        self.interval = interval;
        self.first = first;
    }

    /// Counts what a client heard.
    pub(crate) fn hear(&mut self, Arrival { client, heard, at }: Arrival) {
        let document = client % self.plan.documents;
        match heard {
            Heard::Joined { revision } => {
                self.clients[client] = revision;
                self.documents[document].base = revision;
            }
            Heard::Edits {
                author,
                first,
                count,
            } => self.hear_edits(client, author, first..first + count, at),
            Heard::Change { revision } => {
                if self.comes_next(client, revision) {
                    self.delivered += 1;
                    if self.plan.is_deaf(client) {
                        return;
                    }
                    match self.documents[document].edit(revision) {
                        Some(edit) => self.measure(edit, at),
                        None => {
                            let early = &mut self.documents[document].early;
                            if early.is_empty() {
                                self.unsettled.push(document);
                            }
                            early.push((revision, at));
                        }
                    }
                }
            }
            Heard::Presence { .. } => {}
            Heard::Acknowledged { nth, revision } => {
                self.ordered = true;
                if !self.comes_next(client, revision) {
                    return;
                }
                self.acknowledged += 1;
                let edit = nth * self.plan.authors() as u64 + client as u64;
                if edit >= self.first {
                    let us = at.saturating_sub(self.due(edit)) / 1_000;
                    self.acknowledged_us.saturating_record(us);
                }
                let document = &mut self.documents[document];
                let place = usize::try_from(revision - document.base - 1).unwrap_or(usize::MAX);
                if document.edits.len() <= place {
                    document.edits.resize(place + 1, 0);
                }
                if std::mem::replace(&mut document.edits[place], edit + 1) != 0 {
                    self.wrong = Some(format!("revision {revision} was acknowledged twice"));
                }
            }
        }
    }

    fn hear_edits(&mut self, client: usize, author: usize, nths: std::ops::Range<u64>, at: u64) {
        let Plan { documents, .. } = self.plan;
        if author == client {
            return;
        }
        if author % documents != client % documents || author >= self.plan.authors() {
            self.wrong = Some(format!("client {client} got an edit of {author}"));
            return;
        }
        let pair = client * self.plan.writers + author / documents;
        let next = u64::from(self.next[pair]);
        for nth in nths.start.max(next)..nths.end {
            self.delivered += 1;
            if !self.plan.is_deaf(client) {
                self.measure(nth * self.plan.authors() as u64 + author as u64, at);
            }
        }
        if nths.start > next {
            self.skipped(client);
        }
        self.next[pair] = u32::try_from(nths.end.max(next)).unwrap_or(u32::MAX);
    }

    /// Whether a revision is new to a client.
    fn comes_next(&mut self, client: usize, revision: u64) -> bool {
        let latest = self.clients[client];
        if revision > latest + 1 {
            self.skipped(client);
        }
        self.clients[client] = latest.max(revision);
        revision > latest
    }

    fn skipped(&mut self, client: usize) {
        self.wrong = Some(format!(
            "client {client} did not get an edit that others follow"
        ));
    }

    /// Measures what arrived before it was known which edit it is.
    ///
    /// # Errors
    ///
    /// Something arrived that should not have.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        for document in std::mem::take(&mut self.unsettled) {
            let early = std::mem::take(&mut self.documents[document].early);
            let mut still = Vec::new();
            for (revision, at) in early {
                match self.documents[document].edit(revision) {
                    Some(edit) => self.measure(edit, at),
                    None => still.push((revision, at)),
                }
            }
            if !still.is_empty() {
                self.unsettled.push(document);
            }
            self.documents[document].early = still;
        }
        match self.wrong.take() {
            Some(wrong) => anyhow::bail!(wrong),
            None => Ok(()),
        }
    }

    fn due(&self, edit: u64) -> u64 {
        self.start + edit * self.interval
    }

    fn measure(&mut self, edit: u64, at: u64) {
        if edit >= self.first {
            let us = at.saturating_sub(self.due(edit)) / 1_000;
            self.latency_us.saturating_record(us);
            self.worst_us = self.worst_us.max(us);
        }
    }

    /// How many arrivals there must be once so many edits have left.
    pub(crate) fn expected(&self, edits: u64) -> u64 {
        let documents = self.plan.documents as u64;
        let each = |document: usize| {
            // Edits go round the documents.
            let of_it = (edits + documents - 1 - document as u64) / documents;
            of_it * self.plan.others(document)
        };
        (0..self.plan.documents).map(each).sum()
    }

    /// How many arrivals there were.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether everybody has all of so many edits.
    pub(crate) fn is_complete(&self, edits: u64) -> bool {
        self.delivered == self.expected(edits)
            && (!self.ordered || self.acknowledged == edits)
            && self.unsettled.is_empty()
    }

    /// The longest that an edit took.
    pub(crate) fn worst_us(&self) -> u64 {
        self.worst_us
    }

    /// Of arrivals, and of acknowledgements.
    pub(crate) fn latencies(self) -> (Histogram<u64>, Histogram<u64>) {
        (self.latency_us, self.acknowledged_us)
    }
}
