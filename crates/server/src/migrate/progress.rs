//! What people are told meanwhile, once a second.

use std::{
    pin::pin,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(1);

/// How far a migration is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: AtomicU8,
    documents: AtomicU64,
    of_documents: AtomicU64,
    bytes: AtomicU64,
    /// Of the catalog.
    pub(super) rows: AtomicU64,
}

/// What is done with documents.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Looking,
    Copying,
    Comparing,
}

const ROWS: u8 = 3;
const AUDIT: u8 = 4;

impl Progress {
    /// Begins with the first document.
    pub(super) fn begin(&self, phase: Phase, of_documents: u64) {
        self.documents.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        self.of_documents.store(of_documents, Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    pub(super) fn begin_rows(&self) {
        self.phase.store(ROWS, Relaxed);
    }

    pub(super) fn begin_audit(&self) {
        self.phase.store(AUDIT, Relaxed);
    }

    /// A document is done.
    pub(super) fn document(&self) {
        self.documents.fetch_add(1, Relaxed);
    }

    /// So many bytes of changes are done.
    pub(super) fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn bytes_done(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Tells how the work goes while it is done.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval.tick().await;
        let mut told = String::new();
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = interval.tick() => {
                    let line = self.line();
                    if line != told {
                        eprintln!("{line}");
                        told = line;
                    }
                }
            }
        }
    }

    fn line(&self) -> String {
        let what = match self.phase.load(Relaxed) {
            ROWS => return format!("catalog: {} rows", self.rows.load(Relaxed)),
            AUDIT => return "checking the audit trail".to_owned(),
            phase if phase == Phase::Looking as u8 => "looking at what is there",
            phase if phase == Phase::Copying as u8 => "copying",
            _ => "comparing",
        };
        format!(
            "{what}: {} of {} documents, {}",
            self.documents.load(Relaxed),
            self.of_documents.load(Relaxed),
            mebibytes(self.bytes.load(Relaxed))
        )
    }
}

/// A number of bytes as people read it.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        let progress = Progress::default();
        progress.begin(Phase::Copying, 7);
        progress.document();
        progress.bytes(3 << 19);
        assert_eq!(progress.line(), "copying: 1 of 7 documents, 1.5 MiB");
        progress.begin(Phase::Comparing, 7);
        assert_eq!(progress.line(), "comparing: 0 of 7 documents, 0.0 MiB");
        progress.begin_rows();
        assert_eq!(progress.line(), "catalog: 0 rows");
    }
}
