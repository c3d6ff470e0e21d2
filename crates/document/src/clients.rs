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
    /// too many. O(log n).
    pub(crate) fn record(&mut self, key: Key, last: Last) {
        if let Some(before) = self.last.insert(key.clone(), last) {
            self.by_revision.remove(&before.revision);
        }
        self.by_revision.insert(last.revision, key);
        if self.by_revision.len() > CLIENTS_MAX
            && let Some((_, oldest)) = self.by_revision.pop_first()
        {
            self.last.remove(&oldest);
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
            clients.record(key(n), Last { seq: 1, revision });
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
}
