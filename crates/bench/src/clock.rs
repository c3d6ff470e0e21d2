//! The one clock of a measurement: nanoseconds since it was started.

use std::time::{Duration, Instant};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub(crate) const MILLISECOND: u64 = 1_000_000;

/// Tells the time since it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a measurement needs the time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub(crate) fn ns(&self) -> u64 {
        ns(self.0.elapsed())
    }
}

/// A duration in nanoseconds.
#[must_use]
pub(crate) const fn ns(duration: Duration) -> u64 {
    duration.as_secs() * SECOND + duration.subsec_nanos() as u64
}
