//! What all who take part share: where the nodes are, what is being done, and what went wrong.

use std::{sync::Mutex, time::Duration};

use tokio::{sync::watch, time::Instant};

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// They edit.
    Writing,
    /// They send what they have, and hear.
    Draining,
    /// They leave.
    Done,
}

/// One edit's way: when it was made, and when it was known to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) made: Instant,
    pub(super) stored: Instant,
}

pub(super) struct Stage {
    pub(super) token: String,
    /// How long a client bears a node that says nothing.
    pub(super) silence: Duration,
    pub(super) phase: watch::Sender<Phase>,
    addresses: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
    began: Instant,
    stored: Mutex<Vec<Stored>>,
}

impl Stage {
    pub(super) fn new(token: String, silence: Duration, addresses: Vec<String>) -> Self {
        Self {
            token,
            silence,
            phase: watch::Sender::new(Phase::Writing),
            addresses: Mutex::new(addresses),
            wrong: Mutex::default(),
            began: Instant::now(),
            stored: Mutex::default(),
        }
    }

    /// Where a node is, or was last.
    pub(super) fn address(&self, node: usize) -> String {
        self.addresses.lock().unwrap()[node].clone()
    }

    pub(super) fn nodes(&self) -> usize {
        self.addresses.lock().unwrap().len()
    }

    pub(super) fn moved(&self, node: usize, address: &str) {
        address.clone_into(&mut self.addresses.lock().unwrap()[node]);
    }

    /// Something that must not be.
    pub(super) fn complain(&self, what: String) {
        let what = format!("{:.1} s: {what}", self.began.elapsed().as_secs_f32());
        eprintln!("WRONG: {what}");
        self.wrong.lock().unwrap().push(what);
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub(super) fn stored(&self, made: Instant) {
        let stored = Instant::now();
        self.stored.lock().unwrap().push(Stored { made, stored });
    }

    pub(super) fn all_stored(&self) -> Vec<Stored> {
        self.stored.lock().unwrap().clone()
    }

    /// What a client may be told when its connection ends: that it come back.
    pub(super) fn closed(&self, who: &str, code: Option<u16>) {
        if !matches!(code, None | Some(1001 | 1006 | 1012)) {
            self.complain(format!("{who} was closed with {code:?}"));
        }
    }
}
