//! A document that is open on several nodes at once: each tells the others of its sessions.
//!
//! What carries the [`Report`]s is the caller's affair; it may lose, repeat and reorder them. A node must
//! not be handed its own. Nobody is replaced across nodes: sessions that have joined under the same
//! `(user, client_id)` on two of them are both there until their connections end.

use motet_model::NodeId;

use crate::{Document, Report};

impl Document {
    /// The next report is of everything: a node has come, or reports may have been lost.
    ///
    /// The first call switches reporting on; from then on [`report`](Self::report) is to be called after
    /// each [`tick`](Self::tick).
    pub fn report_all(&mut self) {
        self.sessions.report_all();
    }

    /// What other nodes are to be told now, if anything: what has changed, or now and then everything as a
    /// sign of life. What is too much for one report goes in several, each due at once.
    ///
    /// # Panics
    ///
    /// When a plan is out.
    #[must_use]
    pub fn report(&mut self, now_ms: u64) -> Option<Report> {
        self.assert_idle();
        self.sessions.report(&self.window, now_ms)
    }

    /// All who are here leave, and nobody comes any more: what other nodes are to be told of that at once,
    /// unless they know of nobody.
    ///
    /// # Panics
    ///
    /// When a plan is out.
    #[must_use]
    pub fn goodbye(&mut self, now_ms: u64) -> Option<Report> {
        self.assert_idle();
        self.sessions.goodbye(&self.window, now_ms)
    }

    /// Takes in what another node tells. What makes no sense in it is left out.
    ///
    /// # Panics
    ///
    /// When a plan is out.
    pub fn hear(&mut self, now_ms: u64, node: NodeId, report: Report) {
        self.assert_idle();
        self.sessions
            .hear(node, report, &self.window, &self.content, now_ms);
    }
}
