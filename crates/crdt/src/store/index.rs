//! From a client's clock to its run.
//!
//! Lists of runs in the order of their clocks: the newest by itself, where most is looked for and all is
//! added, and the others in a B-tree by their first clocks. A client with few runs has just the one.

use std::collections::BTreeMap;

use super::Handle;

/// Entries of one list; few in debug builds, so that small documents make deep trees.
const LIST_MAX: usize = if cfg!(debug_assertions) { 6 } else { 128 };

/// A run's first clock, and the run.
type Entry = (u32, Handle);

/// The runs of one client by clock.
#[derive(Clone, Default)]
pub(crate) struct Index {
    /// Full lists, none empty.
    lists: BTreeMap<u32, Vec<Entry>>,
    /// The last list.
    tail: Vec<Entry>,
}

impl Index {
    /// The index of runs in the order of their clocks. O(n).
    pub(crate) fn from_sorted(entries: Vec<Entry>) -> Self {
        if entries.len() <= LIST_MAX {
            return Self {
                lists: BTreeMap::new(),
                tail: entries,
            };
        }
        let mut lists: Vec<(u32, Vec<Entry>)> = entries
            .chunks(LIST_MAX)
            .map(|list| (list[0].0, list.to_vec()))
            .collect();
        let tail = lists.pop().map_or_else(Vec::new, |(_, list)| list);
        Self {
            lists: lists.into_iter().collect(),
            tail,
        }
    }

    /// The run that holds `clock`: the last that begins at or before it. O(log n).
    pub(crate) fn find(&self, clock: u32) -> Option<Handle> {
        let list = self.list(clock);
        let at = list.partition_point(|(first, _)| *first <= clock);
        Some(list.get(at.checked_sub(1)?)?.1)
    }

    /// The run that begins with `clock`, and the one before it. O(log n).
    pub(crate) fn seam(&self, clock: u32) -> Option<(Handle, Handle)> {
        let list = self.list(clock);
        let at = list
            .binary_search_by_key(&clock, |(first, _)| *first)
            .ok()?;
        let right = list[at].1;
        let left = match at.checked_sub(1) {
            Some(before) => list[before].1,
            None => self.find(clock.checked_sub(1)?)?,
        };
        Some((left, right))
    }

    fn is_in_tail(&self, clock: u32) -> bool {
        self.tail.first().is_none_or(|(first, _)| *first <= clock)
    }

    fn list(&self, clock: u32) -> &[Entry] {
        if self.is_in_tail(clock) {
            return &self.tail;
        }
        let list = self.lists.range(..=clock).next_back();
        list.map_or(&[], |(_, list)| list)
    }

    /// O(log n).
    pub(crate) fn insert(&mut self, clock: u32, handle: Handle) {
        if self.is_in_tail(clock) {
            if self.tail.len() == LIST_MAX {
                // What comes in order fills its lists.
                let is_next = self.tail[LIST_MAX - 1].0 < clock;
                let keep = if is_next { LIST_MAX } else { LIST_MAX / 2 };
                let upper = self.tail.split_off(keep);
                let full = std::mem::replace(&mut self.tail, upper);
                self.lists.insert(full[0].0, full);
                if !self.is_in_tail(clock) {
                    self.insert(clock, handle);
                    return;
                }
            }
            insert_sorted(&mut self.tail, (clock, handle));
            return;
        }
        let Some((_, list)) = self.lists.range_mut(..=clock).next_back() else {
            self.lists.insert(clock, vec![(clock, handle)]);
            return;
        };
        if list.len() < LIST_MAX {
            insert_sorted(list, (clock, handle));
            return;
        }
        let mut upper = list.split_off(LIST_MAX / 2);
        if clock < upper[0].0 {
            insert_sorted(list, (clock, handle));
        } else {
            insert_sorted(&mut upper, (clock, handle));
        }
        self.lists.insert(upper[0].0, upper);
    }

    /// O(log n).
    pub(crate) fn remove(&mut self, clock: u32) {
        if self.is_in_tail(clock) {
            remove_sorted(&mut self.tail, clock);
            if self.tail.is_empty()
                && let Some((_, last)) = self.lists.pop_last()
            {
                self.tail = last;
            }
            return;
        }
        let Some((key, list)) = self.lists.range_mut(..=clock).next_back() else {
            return;
        };
        let key = *key;
        remove_sorted(list, clock);
        // A list stands under its first clock.
        if key == clock
            && let Some(list) = self.lists.remove(&key)
            && let Some((first, _)) = list.first()
        {
            self.lists.insert(*first, list);
        }
    }

    /// The runs from the one that holds `clock` on.
    pub(crate) fn iter_from(&self, clock: u32) -> impl Iterator<Item = Handle> + '_ {
        let list = self.list(clock);
        let before = list.partition_point(|(first, _)| *first <= clock);
        let first = list.first().map_or(0, |(first, _)| *first);
        let older = (!self.is_in_tail(clock)).then(|| self.lists.range(first..));
        let older = older.into_iter().flatten().flat_map(|(_, list)| list);
        older
            .chain(&self.tail)
            .skip(before.saturating_sub(1))
            .map(|(_, handle)| *handle)
    }

    /// About the memory that its lists take up.
    pub(crate) fn size_bytes(&self) -> usize {
        // A list is split in half when it is full: three quarters of it are used on average.
        const FULL_LIST_BYTES: usize = LIST_MAX * size_of::<Entry>() * 3 / 4;
        const OVERHEAD_BYTES: usize = 2 * size_of::<(u32, Vec<Entry>)>();
        self.tail.capacity() * size_of::<Entry>()
            + self.lists.len() * (FULL_LIST_BYTES + OVERHEAD_BYTES)
    }

    /// All runs, in the order of their clocks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Handle> + '_ {
        let lists = self.lists.values().flatten();
        lists.chain(&self.tail).map(|(_, handle)| *handle)
    }
}

fn insert_sorted(list: &mut Vec<Entry>, entry: Entry) {
    if list.len() == list.capacity() {
        // Lists end at a length: doubling past it would be waste.
        let room = LIST_MAX.saturating_sub(list.len()).max(1);
        list.reserve_exact((4 + list.len() / 2).min(room));
    }
    if list.last().is_none_or(|(last, _)| *last < entry.0) {
        list.push(entry);
    } else {
        let at = list.partition_point(|(first, _)| *first < entry.0);
        list.insert(at, entry);
    }
}

fn remove_sorted(list: &mut Vec<Entry>, clock: u32) {
    if let Ok(at) = list.binary_search_by_key(&clock, |(first, _)| *first) {
        list.remove(at);
    }
}
