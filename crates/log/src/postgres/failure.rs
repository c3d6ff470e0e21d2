//! Why PostgreSQL did not do what it was asked, and whether to ask once more.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::LogError;

/// The first pause before asking again is up to twice this, each further one up to twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    /// Whether what was asked may have been done all the same, or may still be done.
    pub(super) sent: bool,
    /// Whether it may well work when asked once more.
    pub(super) passing: bool,
    pub(super) detail: String,
}

impl Failure {
    /// No answer has come.
    pub(super) fn timeout() -> Self {
        Self {
            sent: true,
            passing: true,
            detail: "no answer in time".to_owned(),
        }
    }

    /// The same, of something that cannot have written.
    pub(super) fn unsent(self) -> Self {
        Self {
            sent: false,
            ..self
        }
    }

    /// For who asked to read, or to write nothing that matters.
    pub(super) fn unavailable(self) -> LogError {
        self.unsent().into()
    }
}

impl From<Failure> for LogError {
    fn from(Failure { sent, detail, .. }: Failure) -> Self {
        if sent {
            Self::Unknown { detail }
        } else {
            Self::Unavailable { detail }
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        let (sent, passing) = match &error {
            Error::Database(of) => match of.try_downcast_ref::<PgDatabaseError>() {
                // The backend ends, perhaps between the commit and its answer.
                Some(of) if matches!(of.severity(), PgSeverity::Fatal | PgSeverity::Panic) => {
                    (true, true)
                }
                // Rolled back: by a deadlock or the like, by a lock of somebody else, or because the
                // server has become a standby.
                Some(of) => {
                    let code = of.code();
                    (
                        false,
                        code.starts_with("40") || ["55P03", "25006"].contains(&code),
                    )
                }
                None => (false, false),
            },
            Error::Configuration(_)
            | Error::Encode(_)
            | Error::ColumnDecode { .. }
            | Error::ColumnNotFound(_)
            | Error::PoolClosed => (false, false),
            Error::PoolTimedOut => (false, true),
            // The connection is broken.
            _ => (true, true),
        };
        Self {
            sent,
            passing,
            detail: error.to_string(),
        }
    }
}

/// Pauses between attempts, which grow, and differ so that not everyone comes back at once.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(PAUSE_MIN)
    }

    pub(super) fn next(&mut self) -> Duration {
        let upper = self.0;
        self.0 = (upper * 2).min(PAUSE_MAX);
        // The keys of a hasher are random enough to spread attempts.
        let random = RandomState::new().build_hasher().finish();
        upper + upper.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut pauses = Pauses::new();
        let taken: Vec<_> = (0..20).map(|_| pauses.next()).collect();
        assert!(taken[0] < taken[2] && taken[2] < taken[4]);
        assert!(taken.iter().all(|it| *it <= PAUSE_MAX * 2));
        assert!(taken[10..].windows(2).any(|two| two[0] != two[1]));
    }
}
