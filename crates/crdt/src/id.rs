//! Who made what: ids, state vectors and sets of ids.

use std::{collections::BTreeMap, ops::Range};

/// A Yjs client id: a number below 2^53, as JavaScript counts.
pub type Client = u64;

/// The largest client id.
pub const CLIENT_MAX: Client = (1 << 53) - 1;

/// One past the largest clock. A clock counts the units that a client has made.
pub const CLOCK_END: u32 = i32::MAX as u32;

/// The name of one unit of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Who made it.
    pub client: Client,
    /// How many units that client had made before.
    pub clock: u32,
}

/// How many units of each client a replica has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateVector(pub(crate) BTreeMap<Client, u32>);

impl StateVector {
    /// How many units of `client` there are; 0 for one that is not known.
    #[must_use]
    pub fn get(&self, client: Client) -> u32 {
        self.0.get(&client).copied().unwrap_or(0)
    }

    /// Sets how many units of `client` there are.
    pub fn set(&mut self, client: Client, clock: u32) {
        if clock == 0 {
            self.0.remove(&client);
        } else {
            self.0.insert(client, clock);
        }
    }

    /// All clients that have made something, in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Client, u32)> {
        self.0.iter().map(|(client, clock)| (*client, *clock))
    }

    /// How many clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A set of ids, such as those that have been deleted: for each client ascending ranges of clocks that
/// neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet(BTreeMap<Client, Vec<Range<u32>>>);

impl IdSet {
    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `id` is in the set. O(log n).
    #[must_use]
    pub fn contains(&self, id: Id) -> bool {
        let from = self.from(id.client, id.clock);
        from.first().is_some_and(|range| range.start <= id.clock)
    }

    /// The ranges of a client from the one on that holds `clock` or comes after it. O(log n).
    pub(crate) fn from(&self, client: Client, clock: u32) -> &[Range<u32>] {
        let ranges = self.0.get(&client).map_or(&[][..], Vec::as_slice);
        &ranges[ranges.partition_point(|range| range.end <= clock)..]
    }

    /// The clients, ascending, with their ranges.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Client, &[Range<u32>])> {
        self.0
            .iter()
            .map(|(client, ranges)| (*client, ranges.as_slice()))
    }

    /// How many clients it has ids of.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.len()
    }

    /// Adds a range; the set is one again after [`Self::normalize`].
    pub(crate) fn push(&mut self, client: Client, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        let ranges = self.0.entry(client).or_default();
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
    }

    /// Puts in order what was pushed. O(n log n).
    pub(crate) fn normalize(&mut self) {
        self.0.values_mut().for_each(normalize);
    }
}

/// Puts ranges in order and joins those that touch.
pub(crate) fn normalize(ranges: &mut Vec<Range<u32>>) {
    if ranges.is_sorted_by(|a, b| a.end < b.start) {
        return;
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, before| {
        let touch = next.start <= before.end;
        if touch {
            before.end = before.end.max(next.end);
        }
        touch
    });
}
