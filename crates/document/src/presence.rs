//! Who is here, and where: never stored, coalesced, and encoded once for all.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use motet_model::{SessionId, UserId};
use motet_ot::{Delta, Operation};

use crate::{AwarenessState, window::Passed};

/// Where a session's cursor is: from `anchor` to `head`, where the caret blinks. UTF-16 units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The end that stays while the selection grows.
    pub anchor: usize,
    /// The end that moves.
    pub head: usize,
}

impl Selection {
    /// A caret.
    #[must_use]
    pub fn caret(position: usize) -> Self {
        Self {
            anchor: position,
            head: position,
        }
    }

    /// Moves with the text when another session's change lands: text inserted at the caret comes
    /// behind it.
    pub(crate) fn transform(self, passed: Passed<'_>) -> Self {
        let moved = |position| passed.transform_position(position);
        Self {
            anchor: moved(self.anchor),
            head: moved(self.head),
        }
    }
}

/// Where the caret is after typing `delta`: the end of its last insertion or deletion. `None` when it
/// has neither.
pub(crate) fn caret_after(delta: &Delta) -> Option<usize> {
    let mut position = 0;
    let mut caret = None;
    for operation in delta.ops() {
        match operation {
            Operation::Retain { len_utf16, .. } => position += len_utf16,
            Operation::Insert { insert, .. } => {
                position += insert.len_utf16();
                caret = Some(position);
            }
            Operation::Delete { .. } => caret = Some(position),
        }
    }
    caret
}

/// What others see of a session. Positions count in the document at the head.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Whose.
    pub session: SessionId,
    /// What stands for the session in changes, if it is here.
    pub number: Option<u32>,
    /// The account.
    pub user: UserId,
    /// The account's name.
    pub name: Arc<str>,
    /// 0 to 15.
    pub color: u8,
    /// The cursor, if the session shows one.
    pub selection: Option<Selection>,
    /// JSON text of an object, if the session gave one.
    pub data: Option<Arc<str>>,
}

/// How many colours there are for sessions.
pub(crate) const COLORS: u8 = 16;

/// The wire forms of something that many sessions are sent, one for each dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wire {
    /// In the dialect of positions.
    pub ot: OnceLock<Bytes>,
    /// In the dialect of identities.
    pub yjs: OnceLock<Bytes>,
}

/// What has changed since the last update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceUpdate {
    /// This is all there is: what is not in `joined` is gone.
    pub reset: bool,
    /// New here.
    pub joined: Vec<Presence>,
    /// Replace what was known.
    pub updated: Vec<Presence>,
    /// Gone.
    pub left: Vec<SessionId>,
    /// The same for clients that speak identities.
    pub awareness: Vec<AwarenessState>,
    /// Places for the caller to keep the update's wire forms, so that each is encoded once for all.
    pub wire: Wire,
}

impl PresenceUpdate {
    /// Whether there is anything in it for clients that speak positions.
    pub(crate) fn concerns_positions(&self) -> bool {
        self.reset || !(self.joined.is_empty() && self.updated.is_empty() && self.left.is_empty())
    }
}

/// A silent session's presence is removed after this.
pub(crate) const SILENT_MS: u64 = 30_000;

/// How often silent sessions are looked for.
pub(crate) const EXPIRY_INTERVAL_MS: u64 = 5_000;

/// The least time between two updates in a room of `sessions`.
///
/// An update of everyone goes to everyone, so its cost is quadratic; waiting longer in a larger room
/// keeps the messages per second that a client receives about constant.
pub(crate) fn interval_ms(sessions: usize) -> u64 {
    const LEAST_MS: u64 = 50;
    const MOST_MS: u64 = 2_000;
    const MS_PER_SESSION: u64 = 2;
    (sessions as u64 * MS_PER_SESSION).clamp(LEAST_MS, MOST_MS)
}

/// The same for an update of nothing but who came, where they point, and who left: nobody waits for that as for a
/// cursor that moves, and where many come at once each of them would be told of all others.
pub(crate) fn arrivals_interval_ms(sessions: usize) -> u64 {
    const MOST_MS: u64 = 2_000;
    const MS_PER_SESSION: u64 = 20;
    (sessions as u64 * MS_PER_SESSION).clamp(interval_ms(sessions), MOST_MS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_model::Change;
    use motet_ot::Attributes;

    use super::*;

    #[test]
    fn typing_takes_the_caret_along() {
        let cases = [
            (Delta::new().retain(3).insert("ab"), Some(5)),
            (Delta::new().retain(3).delete(2), Some(3)),
            (Delta::new().insert("x").retain(4).delete(1), Some(5)),
            (Delta::new(), None),
        ];
        for (delta, caret) in cases {
            assert_eq!(caret_after(&delta), caret, "{delta:?}");
        }
    }

    #[test]
    fn text_inserted_at_a_caret_comes_behind_it() {
        let insert = Delta::new().retain(3).insert("ab");
        let format =
            Delta::new().retain_with(1, Attributes::from_iter([("b".into(), true.into())]));
        // At one place, and at two.
        for delta in [insert.clone(), insert.compose(&format).unwrap()] {
            let delta = Arc::new(delta);
            let change = Change {
                author: UserId::from_bytes([1; 16]),
                client_id: "client".parse().unwrap(),
                seq: 1,
                merged: false,
                time_ms: 0,
                delta: Bytes::new(),
                update: Bytes::new(),
            };
            let passed = Passed::new(&change, &delta);
            assert_eq!(Selection::caret(3).transform(passed), Selection::caret(3));
            assert_eq!(Selection::caret(4).transform(passed), Selection::caret(6));
        }
    }

    #[test]
    fn larger_rooms_are_told_less_often() {
        assert_eq!(interval_ms(2), 50);
        assert!(interval_ms(300) > interval_ms(100));
        assert_eq!(interval_ms(100_000), 2_000);
        assert_eq!(arrivals_interval_ms(2), 50);
        assert!(arrivals_interval_ms(50) > interval_ms(50));
        assert_eq!(arrivals_interval_ms(100_000), 2_000);
    }
}
