//! Sequences as balanced trees of runs.
//!
//! Every list of the document, and every key of a map, is a B-tree whose leaves hold runs. Each node
//! knows how many positions are visible below it, how many units there are in all, and which formats
//! may be there; it knows its parent, so that a run found by its id finds its position. All trees share
//! their arenas.
//!
//! # Invariants
//!
//! - **summed**: what a node says of a child is what the child holds.
//! - **even**: all leaves of a tree are equally deep, and no node but a lone leaf is empty.
//! - **linked**: leaves know their neighbours, and a run its leaf.
//! - **masked**: a child with a live format has that format's bit.

mod change;
mod invariants;
mod node;
mod walk;

pub(crate) use walk::Walker;

use self::node::{Inner, Leaf};
use super::{Handle, NONE, Runs};

/// A parent with this bit is a sequence, and the node its root.
const ROOT: u32 = 1 << 31;

/// A place in the list of sequences.
pub(crate) type SeqId = u32;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) leaf: u32,
    pub(crate) slot: usize,
}

/// One list, or one key of a map.
#[derive(Clone, Debug)]
pub(crate) struct Seq {
    root: u32,
    /// 0: the root is a leaf.
    height: u8,
    dirty: bool,
    pub(crate) visible: u32,
    pub(crate) total: u64,
    mask: u32,
    first: u32,
    last: u32,
    /// The type that this belongs to.
    pub(crate) parent: u32,
    /// The key in it, or [`NONE`].
    pub(crate) key: u32,
}

/// All sequences of a replica.
#[derive(Clone, Default)]
pub(crate) struct Trees {
    leaves: Vec<Leaf>,
    inners: Vec<Inner>,
    seqs: Vec<Seq>,
    free_leaves: Vec<u32>,
    free_inners: Vec<u32>,
    free_seqs: Vec<u32>,
    /// Sequences that have changed in the transaction under way.
    dirty: Vec<SeqId>,
}

fn add<T>(all: &mut Vec<T>, free: &mut Vec<u32>, one: T) -> u32 {
    if let Some(at) = free.pop() {
        all[at as usize] = one;
        return at;
    }
    if all.len() == all.capacity() {
        all.reserve_exact(4 + all.len() / 8);
    }
    all.push(one);
    u32::try_from(all.len() - 1).unwrap_or(NONE)
}

impl Trees {
    /// A new, empty sequence.
    pub(crate) fn create(&mut self, parent: u32, key: u32) -> SeqId {
        let seq = Seq {
            root: NONE,
            height: 0,
            dirty: false,
            visible: 0,
            total: 0,
            mask: 0,
            first: NONE,
            last: NONE,
            parent,
            key,
        };
        add(&mut self.seqs, &mut self.free_seqs, seq)
    }

    /// The memory that they take up.
    pub(crate) fn size_bytes(&self) -> usize {
        let free = self.free_leaves.capacity() + self.free_inners.capacity();
        let numbers = free + self.free_seqs.capacity() + self.dirty.capacity();
        self.leaves.capacity() * size_of::<Leaf>()
            + self.inners.capacity() * size_of::<Inner>()
            + self.seqs.capacity() * size_of::<Seq>()
            + numbers * size_of::<u32>()
    }

    pub(crate) fn seq(&self, seq: SeqId) -> &Seq {
        &self.seqs[seq as usize]
    }

    /// Frees a sequence and its nodes. The runs that stood in it stand nowhere. O(n).
    pub(crate) fn destroy(&mut self, seq: SeqId, runs: &mut Runs) {
        let mut leaf = self.seq(seq).first;
        while leaf != NONE {
            let node = &self.leaves[leaf as usize];
            for run in &node.runs[..usize::from(node.len)] {
                runs[*run].leaf = NONE;
            }
            self.free_leaves.push(leaf);
            leaf = node.next;
        }
        if self.seq(seq).height > 0 {
            let mut stack = vec![self.seq(seq).root];
            while let Some(inner) = stack.pop() {
                let node = &self.inners[inner as usize];
                if node.level > 1 {
                    stack.extend_from_slice(&node.children[..usize::from(node.len)]);
                }
                self.free_inners.push(inner);
            }
        }
        self.dirty.retain(|dirty| *dirty != seq);
        let (parent, key) = (NONE, NONE);
        self.free_seqs.push(seq);
        let seq = &mut self.seqs[seq as usize];
        (seq.parent, seq.key) = (parent, key);
        (seq.root, seq.first, seq.last, seq.height) = (NONE, NONE, NONE, 0);
        (seq.visible, seq.total, seq.mask, seq.dirty) = (0, 0, 0, false);
    }

    /// The sequence that a leaf belongs to. O(log n).
    pub(crate) fn seq_of(&self, leaf: u32) -> SeqId {
        let mut parent = self.leaves[leaf as usize].parent;
        while parent & ROOT == 0 {
            parent = self.inners[parent as usize].parent;
        }
        parent & !ROOT
    }

    /// Where a run stands in its leaf.
    pub(crate) fn place(&self, leaf: u32, run: Handle) -> Place {
        let slot = self.leaves[leaf as usize]
            .runs
            .iter()
            .position(|it| *it == run);
        Place {
            leaf,
            slot: slot.unwrap_or(0),
        }
    }

    pub(crate) fn run(&self, place: Place) -> Handle {
        self.leaves[place.leaf as usize].runs[place.slot]
    }

    pub(crate) fn first(&self, seq: SeqId) -> Option<Place> {
        self.at_or_after(self.seq(seq).first, 0)
    }

    pub(crate) fn last(&self, seq: SeqId) -> Option<Place> {
        let leaf = self.seq(seq).last;
        let len = self.leaves.get(leaf as usize)?.len;
        let slot = usize::from(len).checked_sub(1)?;
        Some(Place { leaf, slot })
    }

    fn at_or_after(&self, mut leaf: u32, mut slot: usize) -> Option<Place> {
        while leaf != NONE {
            let node = &self.leaves[leaf as usize];
            if slot < usize::from(node.len) {
                return Some(Place { leaf, slot });
            }
            (leaf, slot) = (node.next, 0);
        }
        None
    }

    /// The run to the right, deleted or not.
    pub(crate) fn next(&self, place: Place) -> Option<Place> {
        self.at_or_after(place.leaf, place.slot + 1)
    }

    /// The run to the left, deleted or not.
    pub(crate) fn prev(&self, place: Place) -> Option<Place> {
        if let Some(slot) = place.slot.checked_sub(1) {
            return Some(Place { slot, ..place });
        }
        let leaf = self.leaves[place.leaf as usize].prev;
        let len = self.leaves.get(leaf as usize)?.len;
        Some(Place {
            leaf,
            slot: usize::from(len).checked_sub(1)?,
        })
    }

    /// Which formats may be live left of `place`, and where: the nearest first. `wanted` says which bits are
    /// still looked for, and is asked before each step. O(log n) for each format found.
    pub(crate) fn live_formats_before(
        &self,
        place: Place,
        runs: &Runs,
        mut found: impl FnMut(Handle) -> u32,
    ) {
        let leaf = &self.leaves[place.leaf as usize];
        let mut wanted = leaf.formats_back(place.slot, runs, u32::MAX, &mut found);
        let (mut child, mut parent) = (place.leaf, leaf.parent);
        while parent & ROOT == 0 {
            let node = &self.inners[parent as usize];
            for slot in (0..node.slot_of(child)).rev() {
                if node.masks[slot] & wanted != 0 {
                    wanted = self.formats_below(node, slot, runs, wanted, &mut found);
                }
                if wanted == 0 {
                    return;
                }
            }
            (child, parent) = (parent, node.parent);
        }
    }

    /// The formats in a child, from the right. The depth of a tree bounds the recursion.
    fn formats_below(
        &self,
        node: &Inner,
        slot: usize,
        runs: &Runs,
        mut wanted: u32,
        found: &mut impl FnMut(Handle) -> u32,
    ) -> u32 {
        let child = node.children[slot] as usize;
        if node.level == 1 {
            let leaf = &self.leaves[child];
            return leaf.formats_back(usize::from(leaf.len), runs, wanted, found);
        }
        let inner = &self.inners[child];
        for slot in (0..usize::from(inner.len)).rev() {
            if inner.masks[slot] & wanted != 0 {
                wanted = self.formats_below(inner, slot, runs, wanted, found);
            }
        }
        wanted
    }

    /// The formats that are live anywhere in a sequence.
    pub(crate) fn formats(&self, seq: SeqId) -> u32 {
        self.seq(seq).mask
    }

    /// The first run at or to the right of `place` that is visible or a live format. O(log n).
    pub(crate) fn live_from(&self, place: Place, runs: &Runs) -> Option<Place> {
        let leaf = &self.leaves[place.leaf as usize];
        if let Some(slot) = leaf.live_slot(place.slot, runs) {
            return Some(Place { slot, ..place });
        }
        let (mut child, mut parent) = (place.leaf, leaf.parent);
        loop {
            if parent & ROOT != 0 {
                return None;
            }
            let node = &self.inners[parent as usize];
            let from = node.slot_of(child) + 1;
            let live = (from..usize::from(node.len))
                .find(|slot| node.visible[*slot] > 0 || node.masks[*slot] != 0);
            if let Some(slot) = live {
                let mut at = node.children[slot];
                for _ in 1..node.level {
                    let node = &self.inners[at as usize];
                    let live = (0..usize::from(node.len))
                        .find(|slot| node.visible[*slot] > 0 || node.masks[*slot] != 0);
                    at = node.children[live.unwrap_or(0)];
                }
                let slot = self.leaves[at as usize].live_slot(0, runs);
                return slot.map(|slot| Place { leaf: at, slot });
            }
            (child, parent) = (parent, node.parent);
        }
    }

    /// The run that holds visible position `index`, and the offset in it. O(log n).
    pub(crate) fn find(&self, seq: SeqId, mut index: u32) -> Option<(Place, u32)> {
        let seq = self.seq(seq);
        if index >= seq.visible {
            return None;
        }
        let mut at = seq.root;
        for _ in 0..seq.height {
            let node = &self.inners[at as usize];
            let mut slot = 0;
            while index >= node.visible[slot] {
                index -= node.visible[slot];
                slot += 1;
            }
            at = node.children[slot];
        }
        let leaf = &self.leaves[at as usize];
        let mut slot = 0;
        while index >= leaf.visible[slot] {
            index -= leaf.visible[slot];
            slot += 1;
        }
        Some((Place { leaf: at, slot }, index))
    }

    /// How many positions are visible to the left of a run. O(log n).
    pub(crate) fn index_of(&self, place: Place) -> u32 {
        let leaf = &self.leaves[place.leaf as usize];
        let mut index: u32 = leaf.visible[..place.slot].iter().sum();
        let (mut child, mut parent) = (place.leaf, leaf.parent);
        while parent & ROOT == 0 {
            let node = &self.inners[parent as usize];
            index += node.visible[..node.slot_of(child)].iter().sum::<u32>();
            (child, parent) = (parent, node.parent);
        }
        index
    }
}
