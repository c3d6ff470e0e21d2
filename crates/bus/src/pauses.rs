use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Pauses between attempts, which grow, and differ so that not every node comes back at once.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    attempts: usize,
}

impl Pauses {
    /// Forgets the attempts: one succeeded.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    pub(crate) async fn pause(&mut self) {
        self.attempts += 1;
        tokio::time::sleep(before(self.attempts)).await;
    }
}

/// The pause before an attempt; the first is number 1.
pub(crate) fn before(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let upper = PAUSE_MIN
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(PAUSE_MAX);
    // The keys of a hasher are random enough to spread attempts.
    let random = RandomState::new().build_hasher().finish();
    upper.mul_f64(0.5 + (random >> 11) as f64 / (1_u64 << 54) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        for (attempt, upper_ms) in [
            (1, 50),
            (2, 100),
            (4, 400),
            (20, 5_000),
            (usize::MAX, 5_000),
        ] {
            let upper = Duration::from_millis(upper_ms);
            let pauses: Vec<_> = (0..100).map(|_| before(attempt)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| *pause >= upper / 2 && *pause <= upper)
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
