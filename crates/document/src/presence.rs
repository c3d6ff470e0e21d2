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
    /// What stands for the session as long as the document is open.
    pub number: u32,
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

/// The same for an update of presence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PresenceWire {
    /// In the dialect of positions, for clients that know sessions by their numbers.
    pub ot: OnceLock<Bytes>,
    /// The same for clients that do not: who has moved is told whole.
    pub ot_whole: OnceLock<Bytes>,
    /// In the dialect of identities.
    pub yjs: OnceLock<Bytes>,
    size_bytes: OnceLock<usize>,
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
    /// The same, where nothing but the cursor is another.
    pub moved: Vec<Presence>,
    /// Gone.
    pub left: Vec<SessionId>,
    /// The same for clients that speak identities.
    pub awareness: Vec<AwarenessState>,
    /// Places for the caller to keep the update's wire forms, so that each is encoded once for all.
    pub wire: PresenceWire,
}

impl PresenceUpdate {
    /// About how long its longest wire form is. O(1), after the first time.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const PRESENCE_BYTES: usize = 192;
        const ENTRY_BYTES: usize = 48;
        *self.wire.size_bytes.get_or_init(|| {
            let presences = [&self.joined, &self.updated, &self.moved];
            let data = |one: &Presence| one.data.as_ref().map_or(0, |data| data.len());
            let presences = presences.into_iter().flatten();
            let positions: usize = presences.map(|it| PRESENCE_BYTES + data(it)).sum();
            let state = |one: &AwarenessState| one.state.as_ref().map_or(0, |state| state.len());
            let states = self.awareness.iter().map(|it| ENTRY_BYTES + state(it));
            states
                .sum::<usize>()
                .max(positions + ENTRY_BYTES * self.left.len())
        })
    }

    /// Whether there is anything in it for clients that speak positions.
    pub(crate) fn concerns_positions(&self) -> bool {
        let is_empty = self.joined.is_empty() && self.updated.is_empty() && self.moved.is_empty();
        self.reset || !(is_empty && self.left.is_empty())
    }
}

/// A silent session's presence is removed after this.
pub(crate) const SILENT_MS: u64 = 30_000;

/// How often silent sessions are looked for.
pub(crate) const EXPIRY_INTERVAL_MS: u64 = 5_000;

/// The longest time between two updates of cursors that move.
pub(crate) const PAUSE_MS_MAX: u64 = 2_000;

/// The least time between two updates in a room of `sessions`.
///
/// An update of everyone goes to everyone, so its cost is quadratic; waiting longer in a larger room
/// keeps what a client receives in a second about constant.
pub(crate) fn interval_ms(sessions: usize) -> u64 {
    const LEAST_MS: u64 = 50;
    const SESSIONS_PER_MS: u64 = 5;
    (sessions as u64 / SESSIONS_PER_MS).clamp(LEAST_MS, PAUSE_MS_MAX)
}

/// The same between two reports to other nodes, which spell everything out.
pub(crate) fn report_interval_ms(sessions: usize) -> u64 {
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
        assert_eq!(interval_ms(500), 100);
        assert_eq!(interval_ms(100_000), 2_000);
        assert_eq!(report_interval_ms(500), 1_000);
        assert_eq!(arrivals_interval_ms(2), 50);
        assert!(arrivals_interval_ms(50) > interval_ms(50));
        assert_eq!(arrivals_interval_ms(100_000), 2_000);
    }
}
