//! What each client submitted last, so that a submission sent twice is applied once.
//!
//! Two nets under the invariant **once**. A client that follows the protocol repeats a submission on
//! a base from before it was committed, so transforming it to the head passes the very change and
//! recognizes it: that is exact, however long ago it was. This table is the second: it catches a
//! repetition on a later base, for the clients that submitted most recently.

use std::collections::{BTreeMap, HashMap};

use motet_model::{ClientId, Revision, UserId};

/// How many clients are remembered.
const CLIENTS_MAX: usize = 4_096;

/// The latest submission of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) seq: u64,
    pub(crate) revision: Revision,
}

/// Author and client: two users never share a number.
pub(crate) type Key = (UserId, ClientId);

/// What a record replaced.
#[derive(Debug)]
pub(crate) struct Replaced {
    key: Key,
    before: Option<Last>,
    /// The client for which there was no room any more.
    forgotten: Option<(Key, Last)>,
}

/// The latest submission of each of the most recent clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    last: HashMap<Key, Last>,
    /// The same by revision: the first is the one to forget.
    by_revision: BTreeMap<Revision, Key>,
}

impl Clients {
    pub(crate) fn last(&self, key: &Key) -> Option<Last> {
        self.last.get(key).copied()
    }

    /// Remembers a submission, and forgets the client that has been quiet for longest if there are
    /// too many. Returns what that replaced. O(log n).
    pub(crate) fn record(&mut self, key: Key, last: Last) -> Replaced {
        let before = self.last.insert(key.clone(), last);
        if let Some(before) = before {
            self.by_revision.remove(&before.revision);
        }
        self.by_revision.insert(last.revision, key.clone());
        let mut forgotten = None;
        if self.by_revision.len() > CLIENTS_MAX
            && let Some((_, oldest)) = self.by_revision.pop_first()
        {
            forgotten = self.last.remove_entry(&oldest);
        }
        Replaced {
            key,
            before,
            forgotten,
        }
    }

    /// Undoes the latest record. O(log n).
    pub(crate) fn undo(&mut self, replaced: Replaced) {
        let Replaced {
            key,
            before,
            forgotten,
        } = replaced;
        if let Some(recorded) = self.last.remove(&key) {
            self.by_revision.remove(&recorded.revision);
        }
        let known = before.map(|before| (key, before));
        for (key, last) in known.into_iter().chain(forgotten) {
            self.by_revision.insert(last.revision, key.clone());
            self.last.insert(key, last);
        }
    }

    /// All, the quietest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, Last)> {
        self.by_revision
            .values()
            .filter_map(|key| Some((key, self.last(key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_client_is_forgotten_first() {
        let mut clients = Clients::default();
        let user = UserId::from_bytes([1; 16]);
        let key = |n: usize| (user, format!("c{n}").parse::<ClientId>().unwrap());
        let mut revision = Revision::ZERO;
        let mut record = |clients: &mut Clients, n: usize| {
            revision = revision.next();
            let _kept = clients.record(key(n), Last { seq: 1, revision });
        };
        for n in 0..CLIENTS_MAX {
            record(&mut clients, n);
        }
        record(&mut clients, 0);
        record(&mut clients, CLIENTS_MAX);
        assert!(clients.last(&key(0)).is_some(), "heard from again");
        assert!(clients.last(&key(1)).is_none(), "the quietest");
        assert_eq!(clients.iter().count(), CLIENTS_MAX);
    }

    #[test]
    fn what_was_recorded_is_undone() {
        let mut clients = Clients::default();
        let user = UserId::from_bytes([1; 16]);
        let key = |n: usize| (user, format!("c{n}").parse::<ClientId>().unwrap());
        let last = |seq, revision| Last {
            seq,
            revision: Revision::new(revision),
        };
        for n in 0..CLIENTS_MAX {
            let _kept = clients.record(key(n), last(1, n as u64 + 1));
        }
        let all = |clients: &Clients| -> Vec<_> {
            let all = clients.iter();
            all.map(|(key, last)| (key.clone(), last)).collect()
        };
        let before = all(&clients);
        let next = CLIENTS_MAX as u64 + 1;
        let known = clients.record(key(5), last(2, next));
        let fresh = clients.record(key(CLIENTS_MAX), last(1, next + 1));
        let again = clients.record(key(CLIENTS_MAX), last(2, next + 2));
        assert_ne!(all(&clients), before);
        for replaced in [again, fresh, known] {
            clients.undo(replaced);
        }
        assert_eq!(all(&clients), before);
        assert_eq!(clients.last.len(), CLIENTS_MAX);
    }
}
