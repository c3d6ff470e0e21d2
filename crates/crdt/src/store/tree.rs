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

use super::{Handle, NONE, Runs};

/// Runs of a leaf; few in debug builds, so that small documents make deep trees.
const LEAF_MAX: usize = if cfg!(debug_assertions) { 4 } else { 16 };
/// Children of an inner node.
const INNER_MAX: usize = if cfg!(debug_assertions) { 4 } else { 16 };

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

#[derive(Clone)]
struct Leaf {
    parent: u32,
    prev: u32,
    next: u32,
    len: u8,
    /// Something here has changed in the transaction under way.
    dirty: bool,
    mask: u32,
    runs: [Handle; LEAF_MAX],
    visible: [u32; LEAF_MAX],
}

#[derive(Clone)]
struct Inner {
    parent: u32,
    len: u8,
    /// 1 above leaves.
    level: u8,
    /// A bit for each child with something that has changed.
    dirty: u16,
    children: [u32; INNER_MAX],
    visible: [u32; INNER_MAX],
    masks: [u32; INNER_MAX],
    totals: [u64; INNER_MAX],
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

/// Who looks at what has changed in a sequence.
pub(crate) trait Walker {
    /// Something of which nothing has changed: passes over it, or says no and is shown its runs.
    fn pass(&mut self, visible: u32, formats: u32) -> bool;
    /// A run.
    fn run(&mut self, place: Place, run: Handle);
}

/// What a node holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Sums {
    visible: u32,
    total: u64,
    mask: u32,
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

    /// Puts a run where `slot` of `leaf` is, or into an empty sequence. O(log n).
    pub(crate) fn insert(
        &mut self,
        seq: SeqId,
        before: Option<Place>,
        run: Handle,
        mask: u32,
        runs: &mut Runs,
    ) {
        let (visible, total) = (runs[run].visible(), u64::from(runs[run].len));
        let mut place = match before {
            Some(place) => place,
            None => Place {
                leaf: self.lone_leaf(seq),
                slot: 0,
            },
        };
        if usize::from(self.leaves[place.leaf as usize].len) == LEAF_MAX {
            place = self.split(place, runs);
        }
        let leaf = &mut self.leaves[place.leaf as usize];
        let len = usize::from(leaf.len);
        leaf.runs.copy_within(place.slot..len, place.slot + 1);
        leaf.visible.copy_within(place.slot..len, place.slot + 1);
        leaf.runs[place.slot] = run;
        leaf.visible[place.slot] = visible;
        leaf.len += 1;
        runs[run].leaf = place.leaf;
        self.adjust(place.leaf, visible.cast_signed(), total.cast_signed(), mask);
    }

    /// Fills an empty sequence, each node to so many eighths. O(n).
    pub(crate) fn fill(&mut self, seq: SeqId, order: &[Handle], eighths: usize, runs: &mut Runs) {
        let mut nodes: Vec<(u32, Sums)> = Vec::new();
        let mut prev = NONE;
        for chunk in order.chunks((LEAF_MAX * eighths / 8).max(1)) {
            let mut leaf = Leaf::new(seq | ROOT);
            leaf.prev = prev;
            leaf.len = to_u8(chunk.len());
            leaf.runs[..chunk.len()].copy_from_slice(chunk);
            let mut sums = Sums::default();
            let id = u32::try_from(self.leaves.len()).unwrap_or(NONE);
            for (slot, handle) in chunk.iter().enumerate() {
                let run = &mut runs[*handle];
                run.leaf = id;
                leaf.visible[slot] = run.visible();
                sums.visible += run.visible();
                sums.total += u64::from(run.len);
                if run.is_live_format() {
                    sums.mask |= run.format_bit();
                }
            }
            leaf.mask = sums.mask;
            self.leaves.push(leaf);
            if prev != NONE {
                self.leaves[prev as usize].next = id;
            }
            prev = id;
            nodes.push((id, sums));
        }
        let Some((first, _)) = nodes.first().copied() else {
            return;
        };
        let mut level = 0;
        while nodes.len() > 1 {
            level += 1;
            let mut above = Vec::new();
            for chunk in nodes.chunks((INNER_MAX * eighths / 8).max(2)) {
                let mut inner = Inner::new(seq | ROOT, level);
                for (slot, (child, sums)) in chunk.iter().enumerate() {
                    inner.insert(slot, *child, *sums, false);
                }
                let sums = inner.sums();
                let id = add(&mut self.inners, &mut self.free_inners, inner);
                for (child, _) in chunk {
                    self.set_parent(*child, id, level);
                }
                above.push((id, sums));
            }
            nodes = above;
        }
        let (root, sums) = nodes[0];
        let filled = &mut self.seqs[seq as usize];
        (filled.root, filled.height, filled.first, filled.last) = (root, level, first, prev);
        (filled.visible, filled.total, filled.mask) = (sums.visible, sums.total, sums.mask);
    }

    /// The only leaf of an empty sequence.
    fn lone_leaf(&mut self, seq: SeqId) -> u32 {
        if self.seq(seq).root != NONE {
            return self.seq(seq).first;
        }
        let leaf = add(
            &mut self.leaves,
            &mut self.free_leaves,
            Leaf::new(seq | ROOT),
        );
        let seq = &mut self.seqs[seq as usize];
        (seq.root, seq.first, seq.last) = (leaf, leaf, leaf);
        leaf
    }

    /// Puts the second half of a run that was split behind the first. What the tree holds in all is the
    /// same. O(1), and O(log n) where a leaf is full.
    pub(crate) fn insert_split(&mut self, place: Place, right: Handle, runs: &mut Runs) {
        let left = self.run(place);
        // Splitting the leaf counts the halves as one.
        runs[left].len += runs[right].len;
        let mut behind = Place {
            slot: place.slot + 1,
            ..place
        };
        if usize::from(self.leaves[place.leaf as usize].len) == LEAF_MAX {
            behind = self.split(behind, runs);
        }
        runs[left].len -= runs[right].len;
        let place = self.place(runs[left].leaf, left);
        let moved = u64::from(runs[right].len);
        let visible = runs[right].visible();
        let leaf = &mut self.leaves[behind.leaf as usize];
        let len = usize::from(leaf.len);
        leaf.runs.copy_within(behind.slot..len, behind.slot + 1);
        leaf.visible.copy_within(behind.slot..len, behind.slot + 1);
        leaf.runs[behind.slot] = right;
        leaf.visible[behind.slot] = visible;
        leaf.len += 1;
        runs[right].leaf = behind.leaf;
        if behind.leaf == place.leaf {
            leaf.visible[place.slot] -= visible;
            return;
        }
        // A leaf was split right between the halves.
        self.leaves[place.leaf as usize].visible[place.slot] -= visible;
        let (visible, moved) = (visible.cast_signed(), moved.cast_signed());
        self.adjust(place.leaf, -visible, -moved, 0);
        self.adjust(behind.leaf, visible, moved, 0);
    }

    /// The run at `from` has become part of that at `to`, whose length says so already. O(log n).
    pub(crate) fn join(&mut self, to: Place, from: Place, runs: &mut Runs) {
        if to.leaf != from.leaf {
            let len = i64::from(runs[self.run(from)].len);
            self.resize(to, len, runs);
            self.remove(from, runs);
            self.settle(runs);
            return;
        }
        let leaf = &mut self.leaves[to.leaf as usize];
        let len = usize::from(leaf.len);
        leaf.visible[to.slot] += leaf.visible[from.slot];
        runs[leaf.runs[from.slot]].leaf = NONE;
        leaf.runs.copy_within(from.slot + 1..len, from.slot);
        leaf.visible.copy_within(from.slot + 1..len, from.slot);
        leaf.len -= 1;
    }

    /// Forgets what has changed.
    pub(crate) fn settle(&mut self, runs: &mut Runs) {
        for seq in std::mem::take(&mut self.dirty) {
            let Seq { root, height, .. } = self.seqs[seq as usize];
            self.seqs[seq as usize].dirty = false;
            self.settle_node(root, height, runs);
        }
    }

    /// The depth of a tree bounds the recursion.
    fn settle_node(&mut self, node: u32, level: u8, runs: &mut Runs) {
        if level == 0 {
            let leaf = &mut self.leaves[node as usize];
            leaf.dirty = false;
            for run in &leaf.runs[..usize::from(leaf.len)] {
                runs[*run].settle();
            }
            return;
        }
        let mut dirty = std::mem::take(&mut self.inners[node as usize].dirty);
        while dirty != 0 {
            let slot = dirty.trailing_zeros() as usize;
            dirty &= dirty - 1;
            let child = self.inners[node as usize].children[slot];
            self.settle_node(child, level - 1, runs);
        }
    }

    /// Shows `walker` a sequence from left to right: what has changed run by run, and the rest as a whole
    /// unless it wants to look closer.
    pub(crate) fn walk(&self, seq: SeqId, walker: &mut impl Walker) {
        let Seq { root, height, .. } = *self.seq(seq);
        if root != NONE {
            self.walk_node(root, height, walker);
        }
    }

    /// The depth of a tree bounds the recursion.
    fn walk_node(&self, node: u32, level: u8, walker: &mut impl Walker) {
        if level == 0 {
            let leaf = &self.leaves[node as usize];
            for (slot, run) in leaf.runs().iter().enumerate() {
                walker.run(Place { leaf: node, slot }, *run);
            }
            return;
        }
        let inner = &self.inners[node as usize];
        for slot in 0..usize::from(inner.len) {
            let is_dirty = inner.dirty & 1 << slot != 0;
            if is_dirty || !walker.pass(inner.visible[slot], inner.masks[slot]) {
                self.walk_node(inner.children[slot], level - 1, walker);
            }
        }
    }

    /// A run's visible length has changed to what it says now.
    pub(crate) fn resize(&mut self, place: Place, total: i64, runs: &Runs) {
        let leaf = &mut self.leaves[place.leaf as usize];
        let now = runs[leaf.runs[place.slot]].visible();
        let before = std::mem::replace(&mut leaf.visible[place.slot], now);
        self.adjust(place.leaf, now.wrapping_sub(before).cast_signed(), total, 0);
    }

    /// Takes a run out. O(log n).
    pub(crate) fn remove(&mut self, place: Place, runs: &mut Runs) {
        let leaf = &mut self.leaves[place.leaf as usize];
        let (len, run) = (usize::from(leaf.len), leaf.runs[place.slot]);
        let visible = leaf.visible[place.slot];
        leaf.runs.copy_within(place.slot + 1..len, place.slot);
        leaf.visible.copy_within(place.slot + 1..len, place.slot);
        leaf.len -= 1;
        let total = i64::from(runs[run].len);
        runs[run].leaf = NONE;
        self.adjust(place.leaf, visible.wrapping_neg().cast_signed(), -total, 0);
        if len == 1 {
            self.remove_leaf(place.leaf);
        }
    }

    /// Something in a leaf has changed that no sum tells.
    pub(crate) fn touch(&mut self, leaf: u32) {
        self.adjust(leaf, 0, 0, 0);
    }

    /// What a leaf holds has changed by so much. O(log n).
    fn adjust(&mut self, leaf: u32, visible: i32, total: i64, mask: u32) {
        let node = &mut self.leaves[leaf as usize];
        node.dirty = true;
        node.mask |= mask;
        let (mut child, mut parent) = (leaf, node.parent);
        while parent & ROOT == 0 {
            let node = &mut self.inners[parent as usize];
            let slot = node.slot_of(child);
            node.visible[slot] = node.visible[slot].wrapping_add_signed(visible);
            node.totals[slot] = node.totals[slot].wrapping_add_signed(total);
            node.masks[slot] |= mask;
            node.dirty |= 1 << slot;
            (child, parent) = (parent, node.parent);
        }
        let id = parent & !ROOT;
        let seq = &mut self.seqs[id as usize];
        seq.visible = seq.visible.wrapping_add_signed(visible);
        seq.total = seq.total.wrapping_add_signed(total);
        seq.mask |= mask;
        if !seq.dirty {
            seq.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Works out anew which formats are in a leaf, of which one has gone. O(log n).
    pub(crate) fn refresh_mask(&mut self, leaf: u32, runs: &Runs) {
        let node = &mut self.leaves[leaf as usize];
        node.mask = node.mask_of(runs);
        let (mut child, mut parent, mut mask) = (leaf, node.parent, node.mask);
        while parent & ROOT == 0 {
            let node = &mut self.inners[parent as usize];
            let slot = node.slot_of(child);
            node.masks[slot] = mask;
            mask = node.masks[..usize::from(node.len)]
                .iter()
                .fold(0, |all, mask| all | mask);
            (child, parent) = (parent, node.parent);
        }
        self.seqs[(parent & !ROOT) as usize].mask = mask;
    }

    /// Makes room in a full leaf. Returns where the place is now.
    fn split(&mut self, place: Place, runs: &mut Runs) -> Place {
        let (parent, next, dirty) = {
            let leaf = &self.leaves[place.leaf as usize];
            (leaf.parent, leaf.next, leaf.dirty)
        };
        // What is written from left to right fills its leaves.
        let keep = if next == NONE && place.slot == LEAF_MAX {
            LEAF_MAX
        } else {
            LEAF_MAX / 2
        };
        let mut sibling = Leaf::new(parent);
        (sibling.prev, sibling.next, sibling.dirty) = (place.leaf, next, dirty);
        let leaf = &mut self.leaves[place.leaf as usize];
        let moved = LEAF_MAX - keep;
        sibling.runs[..moved].copy_from_slice(&leaf.runs[keep..]);
        sibling.visible[..moved].copy_from_slice(&leaf.visible[keep..]);
        (leaf.len, sibling.len) = (to_u8(keep), to_u8(moved));
        if leaf.mask != 0 {
            (leaf.mask, sibling.mask) = (leaf.mask_of(runs), sibling.mask_of(runs));
        }
        let sums = sibling.sums(runs);
        let new = add(&mut self.leaves, &mut self.free_leaves, sibling);
        let leaf = &mut self.leaves[place.leaf as usize];
        leaf.next = new;
        let mask = leaf.mask;
        for slot in 0..moved {
            runs[self.leaves[new as usize].runs[slot]].leaf = new;
        }
        if next != NONE {
            self.leaves[next as usize].prev = new;
        } else {
            let seq = self.seq_of(place.leaf);
            self.seqs[seq as usize].last = new;
        }
        self.insert_child(place.leaf, new, sums, mask, 1);
        if place.slot > keep || keep == LEAF_MAX {
            let slot = place.slot - keep;
            Place { leaf: new, slot }
        } else {
            place
        }
    }

    /// Puts a node that was split off `left` behind it.
    fn insert_child(&mut self, left: u32, new: u32, sums: Sums, left_mask: u32, level: u8) {
        let parent = if level == 1 {
            self.leaves[left as usize].parent
        } else {
            self.inners[left as usize].parent
        };
        if parent & ROOT != 0 {
            self.grow(parent & !ROOT, left, new, sums, left_mask, level);
            return;
        }
        let mut parent = parent;
        if usize::from(self.inners[parent as usize].len) == INNER_MAX {
            parent = self.split_inner(parent, left);
        }
        let dirty = self.is_dirty(new, level);
        let node = &mut self.inners[parent as usize];
        let slot = node.slot_of(left);
        node.visible[slot] = node.visible[slot].wrapping_sub(sums.visible);
        node.totals[slot] = node.totals[slot].wrapping_sub(sums.total);
        node.masks[slot] = left_mask;
        node.insert(slot + 1, new, sums, dirty);
        self.set_parent(new, parent, level);
    }

    fn is_dirty(&self, node: u32, level: u8) -> bool {
        if level == 1 {
            self.leaves[node as usize].dirty
        } else {
            self.inners[node as usize].dirty != 0
        }
    }

    fn set_parent(&mut self, node: u32, parent: u32, level: u8) {
        if level == 1 {
            self.leaves[node as usize].parent = parent;
        } else {
            self.inners[node as usize].parent = parent;
        }
    }

    /// The root was split: one more level holds both halves.
    fn grow(&mut self, seq: SeqId, left: u32, new: u32, sums: Sums, left_mask: u32, level: u8) {
        let whole = self.seq(seq);
        let rest = Sums {
            visible: whole.visible.wrapping_sub(sums.visible),
            total: whole.total.wrapping_sub(sums.total),
            mask: left_mask,
        };
        let mut root = Inner::new(seq | ROOT, level);
        root.insert(0, left, rest, self.is_dirty(left, level));
        root.insert(1, new, sums, self.is_dirty(new, level));
        let root = add(&mut self.inners, &mut self.free_inners, root);
        self.set_parent(left, root, level);
        self.set_parent(new, root, level);
        let seq = &mut self.seqs[seq as usize];
        (seq.root, seq.height) = (root, level);
    }

    /// Makes room in a full inner node. Returns the half that holds `child`.
    fn split_inner(&mut self, inner: u32, child: u32) -> u32 {
        let node = &self.inners[inner as usize];
        let slot = node.slot_of(child);
        let keep = if slot == INNER_MAX - 1 {
            INNER_MAX - 1
        } else {
            INNER_MAX / 2
        };
        let (level, parent) = (node.level, node.parent);
        let mut sibling = Inner::new(parent, level);
        for slot in keep..INNER_MAX {
            let sums = node.sums_of(slot);
            sibling.insert(
                slot - keep,
                node.children[slot],
                sums,
                node.dirty & 1 << slot != 0,
            );
        }
        let node = &mut self.inners[inner as usize];
        node.len = to_u8(keep);
        node.dirty &= (1 << keep) - 1;
        let mask = node.masks[..keep].iter().fold(0, |all, mask| all | mask);
        let sums = sibling.sums();
        let moved = sibling.children;
        let count = usize::from(sibling.len);
        let new = add(&mut self.inners, &mut self.free_inners, sibling);
        for child in &moved[..count] {
            self.set_parent(*child, new, level);
        }
        self.insert_child(inner, new, sums, mask, level + 1);
        if slot < keep { inner } else { new }
    }

    /// Takes an empty leaf out of its tree, and what it leaves empty.
    fn remove_leaf(&mut self, leaf: u32) {
        let node = &self.leaves[leaf as usize];
        let (prev, next, mut parent) = (node.prev, node.next, node.parent);
        if parent & ROOT != 0 {
            return;
        }
        let seq = self.seq_of(leaf);
        if prev == NONE {
            self.seqs[seq as usize].first = next;
        } else {
            self.leaves[prev as usize].next = next;
        }
        if next == NONE {
            self.seqs[seq as usize].last = prev;
        } else {
            self.leaves[next as usize].prev = prev;
        }
        self.free_leaves.push(leaf);
        let mut child = leaf;
        loop {
            let node = &mut self.inners[parent as usize];
            let slot = node.slot_of(child);
            node.remove(slot);
            if node.len > 0 {
                break;
            }
            // A tree keeps its last leaf, so there is a node above that keeps a child.
            self.free_inners.push(parent);
            (child, parent) = (parent, node.parent);
        }
        self.shrink(seq);
    }

    /// A root with one child is not needed.
    fn shrink(&mut self, seq: SeqId) {
        while self.seq(seq).height > 0 {
            let root = self.seq(seq).root;
            let node = &self.inners[root as usize];
            if node.len > 1 {
                return;
            }
            let (child, level) = (node.children[0], node.level);
            self.free_inners.push(root);
            self.set_parent(child, seq | ROOT, level);
            let seq = &mut self.seqs[seq as usize];
            (seq.root, seq.height) = (child, level - 1);
        }
    }
}

impl Leaf {
    fn new(parent: u32) -> Self {
        Self {
            parent,
            prev: NONE,
            next: NONE,
            len: 0,
            dirty: false,
            mask: 0,
            runs: [NONE; LEAF_MAX],
            visible: [0; LEAF_MAX],
        }
    }

    fn runs(&self) -> &[Handle] {
        &self.runs[..usize::from(self.len)]
    }

    fn live_slot(&self, from: usize, runs: &Runs) -> Option<usize> {
        (from..usize::from(self.len)).find(|slot| {
            self.visible[*slot] > 0 || self.mask != 0 && runs[self.runs[*slot]].is_live_format()
        })
    }

    /// The live formats left of `end`, from the right. Returns what is still looked for.
    fn formats_back(
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

    fn mask_of(&self, runs: &Runs) -> u32 {
        let runs = self.runs().iter().map(|run| &runs[*run]);
        runs.filter(|run| run.is_live_format())
            .fold(0, |mask, run| mask | run.format_bit())
    }

    fn sums(&self, runs: &Runs) -> Sums {
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
    fn new(parent: u32, level: u8) -> Self {
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

    fn slot_of(&self, child: u32) -> usize {
        let slot = self.children.iter().position(|it| *it == child);
        slot.unwrap_or(0)
    }

    fn sums_of(&self, slot: usize) -> Sums {
        Sums {
            visible: self.visible[slot],
            total: self.totals[slot],
            mask: self.masks[slot],
        }
    }

    fn sums(&self) -> Sums {
        (0..usize::from(self.len)).fold(Sums::default(), |all, slot| Sums {
            visible: all.visible + self.visible[slot],
            total: all.total + self.totals[slot],
            mask: all.mask | self.masks[slot],
        })
    }

    fn insert(&mut self, slot: usize, child: u32, sums: Sums, dirty: bool) {
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

    fn remove(&mut self, slot: usize) {
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

fn to_u8(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

impl Trees {
    /// Checks the invariants of this module, and returns how many runs stand in sequences.
    pub(crate) fn assert_invariants(&self, runs: &Runs) -> usize {
        let mut standing = 0;
        for (id, seq) in self.seqs.iter().enumerate() {
            assert!(!seq.dirty, "the transaction is over");
            if seq.root == NONE {
                continue;
            }
            let parent = u32::try_from(id).unwrap_or(NONE) | ROOT;
            let mut leaves = Vec::new();
            let sums = self.assert_node(seq.root, seq.height, parent, runs, &mut leaves);
            let said = Sums {
                visible: seq.visible,
                total: seq.total,
                mask: seq.mask,
            };
            assert_eq!(said, sums, "**summed**");
            assert_eq!(
                (seq.first, seq.last),
                (leaves[0], leaves[leaves.len() - 1]),
                "**linked**"
            );
            for pair in leaves.windows(2) {
                let (left, right) = (
                    &self.leaves[pair[0] as usize],
                    &self.leaves[pair[1] as usize],
                );
                assert_eq!((left.next, right.prev), (pair[1], pair[0]), "**linked**");
            }
            for leaf in &leaves {
                let leaf = &self.leaves[*leaf as usize];
                assert!(leaf.len > 0 || leaves.len() == 1, "**even**: an empty leaf");
                standing += usize::from(leaf.len);
            }
        }
        standing
    }

    fn assert_node(
        &self,
        node: u32,
        level: u8,
        parent: u32,
        runs: &Runs,
        leaves: &mut Vec<u32>,
    ) -> Sums {
        if level == 0 {
            let leaf = &self.leaves[node as usize];
            assert_eq!(leaf.parent, parent, "**linked**");
            assert!(!leaf.dirty, "the transaction is over");
            for (slot, run) in leaf.runs().iter().enumerate() {
                assert_eq!(runs[*run].leaf, node, "**linked**");
                assert_eq!(leaf.visible[slot], runs[*run].visible(), "**summed**");
            }
            assert_eq!(leaf.mask, leaf.mask_of(runs), "**masked**");
            leaves.push(node);
            return leaf.sums(runs);
        }
        let inner = &self.inners[node as usize];
        assert_eq!((inner.parent, inner.level), (parent, level), "**even**");
        assert!(inner.len > 0 && inner.dirty == 0, "**even**");
        for slot in 0..usize::from(inner.len) {
            let child = inner.children[slot];
            let sums = self.assert_node(child, level - 1, node, runs, leaves);
            assert_eq!(inner.sums_of(slot), sums, "**summed**");
        }
        inner.sums()
    }
}
