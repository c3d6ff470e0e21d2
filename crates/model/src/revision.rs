use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of changes committed to a document so far.
///
/// Revision *n* is the state after *n* changes; revision 0 is the empty document. The change *n*
/// leads from revision *n* − 1 to revision *n*.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(u64);

impl Revision {
    /// The empty document, before any change.
    pub const ZERO: Self = Self(0);

    /// The revision after `changes` changes.
    #[must_use]
    pub const fn new(changes: u64) -> Self {
        Self(changes)
    }

    /// The number of changes committed.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision that one more change leads to.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The revision that `changes` more changes lead to.
    #[must_use]
    pub const fn plus(self, changes: u64) -> Self {
        Self(self.0.saturating_add(changes))
    }

    /// How many changes lead from `earlier` to this revision; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
