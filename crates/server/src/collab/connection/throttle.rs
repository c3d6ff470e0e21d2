//! How fast a client is heard: so many submissions and bytes in a second, on average.
//!
//! What is faster is not refused. The connection is read later, so it waits where it is: in the
//! client's socket, or for an event stream in requests that are told to come again.
//!
//! # Invariants
//!
//! - **free for the rest**: a client within its rates costs an addition for each frame, and no timer.
//! - **heard in the end**: whatever a client has said, its next frame is read after [`PAUSE_MAX`] at the
//!   latest. So a client that is heard slowly is never taken for silent.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

/// For how long at its full rate a client may have saved up.
const BURST: Duration = Duration::from_secs(5);
/// How long a frame waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How fast each connection may be; 0 for as fast as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Submissions, of all documents of the connection.
    pub submissions_per_second_max: u32,
    /// Bytes of frames, before they are looked at.
    pub bytes_per_second_max: u32,
}

/// What one connection has used of its rates.
#[derive(Debug)]
pub(super) struct Throttle {
    submissions: Option<Budget>,
    bytes: Option<Budget>,
}

#[derive(Debug)]
struct Budget {
    per_second: NonZeroU32,
    burst: Duration,
    /// When all that was used is made up for.
    whole_at: Instant,
}

impl Throttle {
    /// Of a connection whose largest frame, which is never too much at once, has so many bytes.
    pub(super) fn new(rates: Rates, frame_bytes_max: usize, now: Instant) -> Self {
        Self {
            submissions: Budget::new(rates.submissions_per_second_max, 0, now),
            bytes: Budget::new(rates.bytes_per_second_max, frame_bytes_max, now),
        }
    }

    /// Counts a frame; returns until when the next must wait, if it must.
    pub(super) fn count(
        &mut self,
        bytes: usize,
        submissions: usize,
        now: Instant,
    ) -> Option<Instant> {
        let count = |budget: &mut Option<Budget>, amount| budget.as_mut()?.take(amount, now);
        let pauses = [
            count(&mut self.bytes, bytes),
            count(&mut self.submissions, submissions),
        ];
        pauses.into_iter().flatten().max()
    }
}

impl Budget {
    fn new(per_second: u32, at_once: usize, now: Instant) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self {
            per_second,
            burst: time(at_once, per_second).max(BURST),
            whole_at: now,
        })
    }

    fn take(&mut self, amount: usize, now: Instant) -> Option<Instant> {
        let whole_at = self.whole_at.max(now) + time(amount, self.per_second);
        self.whole_at = whole_at.min(now + self.burst + PAUSE_MAX);
        let until = self.whole_at.checked_sub(self.burst)?;
        (until > now).then_some(until)
    }
}

/// How long so much takes.
fn time(amount: usize, per_second: NonZeroU32) -> Duration {
    let nanos = amount as u128 * 1_000_000_000 / u128::from(per_second.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        submissions_per_second_max: 100,
        bytes_per_second_max: 1_000,
    };

    #[tokio::test]
    async fn free_for_the_rest() {
        let mut now = Instant::now();
        let mut throttle = Throttle::new(RATES, 4_000, now);
        for _ in 0..100_000 {
            assert_eq!(throttle.count(10, 1, now), None);
            now += Duration::from_millis(10);
        }
        // Also all at once what was saved up.
        assert_eq!(throttle.count(5_000, 500, now), None);
    }

    #[tokio::test]
    async fn a_flood_is_heard_at_its_rate() {
        let start = Instant::now();
        for (bytes, submissions, per_second) in [(500, 0, 2), (0, 50, 2), (500, 10, 2)] {
            let mut now = start;
            let mut throttle = Throttle::new(RATES, 4_000, now);
            let mut heard = 0;
            while now < start + Duration::from_secs(600) {
                heard += 1;
                now = throttle.count(bytes, submissions, now).unwrap_or(now);
            }
            let saved_up = 10 * per_second;
            let fair = 600 * per_second..=600 * per_second + saved_up;
            assert!(fair.contains(&heard), "{heard} frames");
        }
    }

    #[tokio::test]
    async fn heard_in_the_end() {
        let now = Instant::now();
        let mut throttle = Throttle::new(RATES, 4_000, now);
        for _ in 0..10 {
            let until = throttle.count(usize::MAX >> 32, 1_000_000, now);
            assert!(until.unwrap() <= now + PAUSE_MAX);
        }
        let mut throttle = Throttle::new(Rates::default(), 4_000, now);
        assert_eq!(throttle.count(usize::MAX, 1_000_000, now), None);
        let slow = Rates {
            bytes_per_second_max: 1,
            ..RATES
        };
        let mut throttle = Throttle::new(slow, 4_000, now);
        assert_eq!(throttle.count(4_000, 0, now), None, "the largest frame");
    }
}
