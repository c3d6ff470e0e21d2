//! What passes between a room and those of the same document on other nodes.

use motet_log::DocumentLog;

use super::{Room, RoomError};
use crate::collab::hints::{Heard, Hint};

impl<L: DocumentLog + Clone> Room<'_, L> {
    /// The room has just opened.
    pub(super) fn begin(&mut self) {
        self.signals.reached(self.document.head());
        if self.link.is_shared() {
            // The others tell one of whom they hear for the first time who is there.
            self.document.report_all();
        }
    }

    /// Takes in what others have said.
    pub(super) async fn hear(&mut self, heard: Heard) -> Result<(), RoomError> {
        let Heard {
            gap,
            garbled,
            hello,
            head,
            writers,
            mut changes,
            reports,
        } = heard;
        if gap {
            self.link.say(&Hint::Hello);
        }
        if gap || hello {
            self.document.report_all();
        }
        for node in writers {
            self.turn.heard(node);
        }
        // Hints overtake one another.
        changes.sort_by_key(|(base, _)| *base);
        let mut is_behind = gap || garbled;
        for (base, changes) in changes {
            is_behind |= self.overhear(base, changes)?;
        }
        if is_behind || head > self.document.head() {
            self.look().await?;
        }
        let now_ms = self.shared.clock.now_ms();
        for (node, report) in reports {
            self.document.hear(now_ms, node, report);
        }
        Ok(())
    }

    /// Tells others who is here, as far as that is due.
    pub(super) fn report(&mut self, now_ms: u64) {
        while let Some(report) = self.document.report(now_ms) {
            self.link.say(&Hint::Report(report));
        }
    }

    /// Nobody is here any more: the others need not wait until that is plain.
    pub(super) fn say_goodbye(&mut self) {
        let now_ms = self.shared.clock.now_ms();
        if let Some(report) = self.document.goodbye(now_ms) {
            self.link.say(&Hint::Report(report));
        }
    }
}

#[cfg(test)]
mod tests;
