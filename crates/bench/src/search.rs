//! The highest rate that a server bears.
//!
//! A server bears a rate if everything arrives, and 99 of 100 edits in time. It is looked for in steps that double
//! until one is too much, and then between the last two by halves. Each attempt has a server of its own: what an
//! earlier one left behind in another's queues is not measured.

use serde::Serialize;

use crate::load::Figures;

/// A server that does not bear this bears nothing.
const LEAST: f64 = 1.0;

/// Where a search begins, and what is enough for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The first rate.
    pub(crate) from: f64,
    /// The 99th percentile has to be below this.
    pub(crate) p99_max_ms: f64,
    /// Rates that differ by this factor are not told apart.
    pub(crate) precision: f64,
    /// A rate is too much when so many attempts at it have failed.
    pub(crate) attempts: usize,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// All arrived, and in time.
    Borne,
    /// Not in time.
    TooSlow,
    /// Not all arrived.
    Lost,
    /// The witness's text is not the document's.
    Diverged,
    /// The generator was busy: nothing is known.
    GeneratorLimits,
    /// A connection ended, or an edit was refused.
    Failed(String),
}

/// Judges a load.
pub(crate) fn judge(figures: &anyhow::Result<Figures>, p99_max_ms: f64) -> Verdict {
    let figures = match figures {
        Ok(figures) => figures,
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    let p99_ms = figures.latency_us.value_at_quantile(0.99) as f64 / 1_000.0;
    let in_time = p99_ms < p99_max_ms && !figures.given_up;
    if in_time && figures.lost() == 0 {
        return match figures.same_text {
            Some(false) => Verdict::Diverged,
            _ => Verdict::Borne,
        };
    }
    if figures.generator_limits() {
        Verdict::GeneratorLimits
    } else if figures.given_up || !in_time {
        Verdict::TooSlow
    } else {
        Verdict::Lost
    }
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// The highest rate that was borne; 0 if none.
    pub(crate) rate: f64,
    /// Whether it was the generator that did not bear more.
    pub(crate) generator_limits: bool,
}

/// Searches, with what tries a rate.
///
/// # Errors
///
/// What `attempt` says: something that has nothing to do with the rate.
pub(crate) fn search(
    bounds: Bounds,
    mut attempt: impl FnMut(f64) -> anyhow::Result<Verdict>,
) -> anyhow::Result<Found> {
    let mut borne = 0.0;
    let mut too_much = f64::INFINITY;
    let mut generator_limits = false;
    let mut rate = bounds.from;
    while too_much > LEAST.max(borne * bounds.precision) {
        let mut bears = false;
        for _ in 0..bounds.attempts {
            let verdict = attempt(rate)?;
            bears = verdict == Verdict::Borne;
            generator_limits = verdict == Verdict::GeneratorLimits || (generator_limits && bears);
            if bears {
                break;
            }
        }
        if bears {
            borne = rate;
        } else {
            too_much = rate;
        }
        rate = if too_much.is_infinite() {
            borne * 2.0
        } else if borne == 0.0 {
            (too_much / 4.0).max(LEAST)
        } else {
            (borne * too_much).sqrt()
        };
    }
    Ok(Found {
        rate: borne,
        generator_limits,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const BOUNDS: Bounds = Bounds {
        from: 1_000.0,
        p99_max_ms: 100.0,
        precision: 1.05,
        attempts: 1,
    };

    #[test]
    fn the_limit_is_found_wherever_it_is() {
        for limit in [3.0, 90.0, 999.0, 1_001.0, 5_000.0, 123_456.0] {
            let mut attempts = 0;
            let found = search(BOUNDS, |rate| {
                attempts += 1;
                Ok(if rate <= limit {
                    Verdict::Borne
                } else {
                    Verdict::TooSlow
                })
            });
            let found = found.unwrap();
            assert!(
                found.rate <= limit && limit <= found.rate * 1.05,
                "{found:?} of {limit}"
            );
            assert!(!found.generator_limits);
            assert!(attempts < 20, "{attempts}");
        }
    }

    #[test]
    fn what_nothing_bears_is_zero() {
        let found = search(BOUNDS, |_| Ok(Verdict::Lost)).unwrap();
        assert_eq!(found.rate, 0.0);
    }

    #[test]
    fn a_busy_generator_is_told() {
        let busy = |rate| {
            if rate < 7_000.0 {
                Verdict::Borne
            } else {
                Verdict::GeneratorLimits
            }
        };
        assert!(
            search(BOUNDS, |rate| Ok(busy(rate)))
                .unwrap()
                .generator_limits
        );
    }

    #[test]
    fn a_rate_has_as_many_attempts_as_it_is_given() {
        let mut attempts = 0;
        let bounds = Bounds {
            attempts: 2,
            ..BOUNDS
        };
        let found = search(bounds, |rate| {
            attempts += 1;
            // Every other attempt is disturbed.
            let disturbed = attempts % 2 == 1;
            Ok(if rate <= 5_000.0 && !disturbed {
                Verdict::Borne
            } else {
                Verdict::TooSlow
            })
        });
        assert!(found.unwrap().rate > 4_750.0);
    }
}
