//! Clients that edit while they are offline: what each keeps, and what it does with the server's
//! answers.
//!
//! The one that speaks positions follows `packages/client/src/core.ts`, which the other simulator
//! runs.

use bytes::Bytes;
use motet_crdt::{Client, Replica, StateVector, Version};
use motet_document::{Submission, content::ROOT};
use motet_model::Revision;
use motet_ot::{Decoded, Delta, Side};

/// What was sent cannot be taken.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Something before it was not sent: the client joins anew.
    Gap,
    /// It is wrong.
    Fault(String),
}

impl From<String> for Trouble {
    fn from(what: String) -> Self {
        Self::Fault(what)
    }
}

/// A client that speaks positions: its document is content ∘ inflight ∘ buffer.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    pub(crate) revision: Revision,
    content: Delta,
    seq: u64,
    inflight: Option<(u64, Delta)>,
    buffer: Option<Delta>,
}

impl Positions {
    /// One that was sent the document.
    pub(crate) fn new(revision: Revision, content: Delta) -> Self {
        Self {
            revision,
            content,
            seq: 0,
            inflight: None,
            buffer: None,
        }
    }

    pub(crate) fn document(&self) -> Result<Delta, String> {
        let pending = self.inflight.iter().map(|(_, delta)| delta);
        pending
            .chain(&self.buffer)
            .try_fold(self.content.clone(), |text, delta| compose(&text, delta))
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.inflight.is_some() || self.buffer.is_some()
    }

    pub(crate) fn edit(&mut self, delta: Delta) -> Result<(), String> {
        self.buffer = Some(match self.buffer.take() {
            Some(buffer) => compose(&buffer, &delta)?,
            None => delta,
        });
        Ok(())
    }

    /// What it sends when it has joined, and when it has been answered.
    pub(crate) fn submit(&mut self) -> Option<Submission> {
        if self.inflight.is_none() {
            let buffer = self.buffer.take()?;
            self.seq += 1;
            self.inflight = Some((self.seq, buffer));
        }
        let (seq, delta) = self.inflight.clone()?;
        Some(Submission::new(self.revision, seq, decoded(delta)))
    }

    /// A submission was committed as `revision`. Returns whether it was the one in flight.
    pub(crate) fn acknowledge(&mut self, seq: u64, revision: Revision) -> Result<bool, Trouble> {
        let Some((_, delta)) = self.inflight.take_if(|(inflight, _)| *inflight == seq) else {
            return Ok(false);
        };
        if revision != self.revision.next() {
            self.inflight = Some((seq, delta));
            return Err(Trouble::Gap);
        }
        self.content = compose(&self.content, &delta)?;
        self.revision = revision;
        Ok(true)
    }

    /// Another's change.
    pub(crate) fn remote(&mut self, revision: Revision, delta: &Delta) -> Result<(), Trouble> {
        if revision <= self.revision {
            return Ok(());
        }
        if revision != self.revision.next() {
            return Err(Trouble::Gap);
        }
        self.content = compose(&self.content, delta)?;
        self.revision = revision;
        let mut change = delta.clone();
        if let Some((_, inflight)) = &mut self.inflight {
            change = cross(&change, inflight);
        }
        if let Some(buffer) = &mut self.buffer {
            cross(&change, buffer);
        }
        Ok(())
    }

    /// The submission was merged by identities; `operation` leads from it to `revision`. Returns
    /// whether it was the one in flight.
    pub(crate) fn reconciled(
        &mut self,
        seq: u64,
        revision: Revision,
        operation: &Delta,
    ) -> Result<bool, String> {
        let Some((_, delta)) = self.inflight.take_if(|(inflight, _)| *inflight == seq) else {
            return Ok(false);
        };
        self.content = compose(&compose(&self.content, &delta)?, operation)?;
        self.revision = revision;
        if let Some(buffer) = &mut self.buffer {
            cross(operation, buffer);
        }
        Ok(true)
    }
}

/// A client that speaks identities.
#[derive(Clone)]
pub(crate) struct Identities {
    pub(crate) replica: Replica,
    /// The name that its edits have until it is opened anew.
    client: Client,
    /// Its edits that it does not know to be stored.
    pub(crate) waiting: Vec<Bytes>,
}

impl Identities {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            replica: Replica::default(),
            client,
            waiting: Vec::new(),
        }
    }

    /// It is closed, and opened again with what it had.
    pub(crate) fn reopen(&mut self, client: Client) {
        self.client = client;
    }

    pub(crate) fn edit(&mut self, delta: &Delta) -> Result<(), String> {
        let update = self.replica.apply_delta(ROOT, delta, self.client);
        let update = update.map_err(|error| error.to_string())?;
        self.waiting.push(update.into());
        Ok(())
    }

    pub(crate) fn receive(&mut self, update: &[u8]) -> Result<(), String> {
        let applied = self.replica.apply_update(update, Version::V1);
        applied.map_err(|error| error.to_string())
    }

    /// All that a replica with this state vector lacks.
    pub(crate) fn missing(&self, known: &StateVector) -> Bytes {
        self.replica.encode_update(known, Version::V1).into()
    }
}

/// A delta as it comes out of a message.
pub(crate) fn decoded(delta: Delta) -> Decoded {
    Decoded {
        extent_utf16: delta.base_len_utf16(),
        delta,
    }
}

/// Moves `local` past a committed change, and returns the change past it. The committed one's
/// insertion comes first.
fn cross(change: &Delta, local: &mut Delta) -> Delta {
    let moved = local.transform(change, Side::Right);
    *local = change.transform(local, Side::Left);
    moved
}

fn compose(first: &Delta, then: &Delta) -> Result<Delta, String> {
    first.compose(then).map_err(|error| error.to_string())
}
