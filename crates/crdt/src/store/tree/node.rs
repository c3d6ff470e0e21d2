//! The nodes of a tree.

use super::super::{Handle, NONE, Runs};

/// Runs of a leaf; few in debug builds, so that small documents make deep trees.
pub(super) const LEAF_MAX: usize = if cfg!(debug_assertions) { 4 } else { 32 };
/// Children of an inner node.
pub(super) const INNER_MAX: usize = if cfg!(debug_assertions) { 4 } else { 16 };

#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) parent: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) len: u8,
    /// A bit for each run that has changed in the transaction under way.
    pub(super) changed: u32,
    pub(super) mask: u32,
    pub(super) runs: [Handle; LEAF_MAX],
    pub(super) visible: [u32; LEAF_MAX],
}

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) parent: u32,
    pub(super) len: u8,
    /// 1 above leaves.
    pub(super) level: u8,
    /// A bit for each child with something that has changed.
    pub(super) dirty: u16,
    pub(super) children: [u32; INNER_MAX],
    pub(super) visible: [u32; INNER_MAX],
    pub(super) masks: [u32; INNER_MAX],
    pub(super) totals: [u64; INNER_MAX],
}

/// What a node holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Sums {
    pub(super) visible: u32,
    pub(super) total: u64,
    pub(super) mask: u32,
}

impl Leaf {
    pub(super) fn new(parent: u32) -> Self {
        Self {
            parent,
            prev: NONE,
            next: NONE,
            len: 0,
            changed: 0,
            mask: 0,
            runs: [NONE; LEAF_MAX],
            visible: [0; LEAF_MAX],
        }
    }

    /// Puts a run at `slot`; there is room.
    pub(super) fn insert(&mut self, slot: usize, run: Handle, visible: u32, changed: bool) {
        let len = usize::from(self.len);
        self.runs.copy_within(slot..len, slot + 1);
        self.visible.copy_within(slot..len, slot + 1);
        self.runs[slot] = run;
        self.visible[slot] = visible;
        let below = self.changed & ((1 << slot) - 1);
        let above = (self.changed & !((1 << slot) - 1)) << 1;
        self.changed = below | above | u32::from(changed) << slot;
        self.len += 1;
    }

    /// Takes the run at `slot` out.
    pub(super) fn remove(&mut self, slot: usize) {
        let len = usize::from(self.len);
        self.runs.copy_within(slot + 1..len, slot);
        self.visible.copy_within(slot + 1..len, slot);
        let below = self.changed & ((1 << slot) - 1);
        let above = self.changed >> 1 & !((1 << slot) - 1);
        self.changed = below | above;
        self.len -= 1;
    }

    pub(super) fn runs(&self) -> &[Handle] {
        &self.runs[..usize::from(self.len)]
    }

    pub(super) fn live_slot(&self, from: usize, runs: &Runs) -> Option<usize> {
        (from..usize::from(self.len)).find(|slot| {
            self.visible[*slot] > 0 || self.mask != 0 && runs[self.runs[*slot]].is_live_format()
        })
    }

    /// The live formats left of `end`, from the right. Returns what is still looked for.
    pub(super) fn formats_back(
        &self,
        end: usize,
        runs: &Runs,
        mut wanted: u32,
        found: &mut impl FnMut(Handle) -> u32,
    ) -> u32 {
        if self.mask & wanted != 0 {
            for run in self.runs[..end].iter().rev() {
                if runs[*run].is_live_format() && runs[*run].format_bit() & wanted != 0 {
                    wanted = found(*run);
                }
            }
        }
        wanted
    }

    pub(super) fn mask_of(&self, runs: &Runs) -> u32 {
        let runs = self.runs().iter().map(|run| &runs[*run]);
        runs.filter(|run| run.is_live_format())
            .fold(0, |mask, run| mask | run.format_bit())
    }

    pub(super) fn sums(&self, runs: &Runs) -> Sums {
        Sums {
            visible: self.visible[..usize::from(self.len)].iter().sum(),
            total: self
                .runs()
                .iter()
                .map(|run| u64::from(runs[*run].len))
                .sum(),
            mask: self.mask,
        }
    }
}

impl Inner {
    pub(super) fn new(parent: u32, level: u8) -> Self {
        Self {
            parent,
            len: 0,
            level,
            dirty: 0,
            children: [NONE; INNER_MAX],
            visible: [0; INNER_MAX],
            masks: [0; INNER_MAX],
            totals: [0; INNER_MAX],
        }
    }

    pub(super) fn slot_of(&self, child: u32) -> usize {
        let slot = self.children.iter().position(|it| *it == child);
        slot.unwrap_or(0)
    }

    pub(super) fn sums_of(&self, slot: usize) -> Sums {
        Sums {
            visible: self.visible[slot],
            total: self.totals[slot],
            mask: self.masks[slot],
        }
    }

    pub(super) fn sums(&self) -> Sums {
        (0..usize::from(self.len)).fold(Sums::default(), |all, slot| Sums {
            visible: all.visible + self.visible[slot],
            total: all.total + self.totals[slot],
            mask: all.mask | self.masks[slot],
        })
    }

    pub(super) fn insert(&mut self, slot: usize, child: u32, sums: Sums, dirty: bool) {
        let len = usize::from(self.len);
        self.children.copy_within(slot..len, slot + 1);
        self.visible.copy_within(slot..len, slot + 1);
        self.masks.copy_within(slot..len, slot + 1);
        self.totals.copy_within(slot..len, slot + 1);
        self.children[slot] = child;
        self.visible[slot] = sums.visible;
        self.masks[slot] = sums.mask;
        self.totals[slot] = sums.total;
        let below = self.dirty & ((1 << slot) - 1);
        let above = (self.dirty & !((1 << slot) - 1)) << 1;
        self.dirty = below | above | u16::from(dirty) << slot;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, slot: usize) {
        let len = usize::from(self.len);
        self.children.copy_within(slot + 1..len, slot);
        self.visible.copy_within(slot + 1..len, slot);
        self.masks.copy_within(slot + 1..len, slot);
        self.totals.copy_within(slot + 1..len, slot);
        let below = self.dirty & ((1 << slot) - 1);
        let above = self.dirty >> 1 & !((1 << slot) - 1);
        self.dirty = below | above;
        self.len -= 1;
        // A stale child must not be found again.
        self.children[len - 1] = NONE;
    }
}

pub(super) fn to_u8(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}
