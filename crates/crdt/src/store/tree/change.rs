//! Runs come, grow and go, and nodes with them.

use super::{
    super::{Handle, NONE, Runs},
    Place, ROOT, SeqId, Trees, add,
    node::{INNER_MAX, Inner, LEAF_MAX, Leaf, Sums, to_u8},
};

impl Trees {
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
        self.leaves[place.leaf as usize].insert(place.slot, run, visible, true);
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
        let changed = self.leaves[place.leaf as usize].changed & 1 << place.slot != 0;
        let leaf = &mut self.leaves[behind.leaf as usize];
        leaf.insert(behind.slot, right, visible, changed);
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
        leaf.visible[to.slot] += leaf.visible[from.slot];
        runs[leaf.runs[from.slot]].leaf = NONE;
        leaf.remove(from.slot);
    }

    /// A run's visible length has changed to what it says now.
    pub(crate) fn resize(&mut self, place: Place, total: i64, runs: &Runs) {
        let leaf = &mut self.leaves[place.leaf as usize];
        let now = runs[leaf.runs[place.slot]].visible();
        let before = std::mem::replace(&mut leaf.visible[place.slot], now);
        leaf.changed |= 1 << place.slot;
        self.adjust(place.leaf, now.wrapping_sub(before).cast_signed(), total, 0);
    }

    /// A run is not deleted any more. O(log n).
    pub(crate) fn revive(&mut self, place: Place, runs: &Runs) {
        self.resize(place, 0, runs);
        let run = &runs[self.run(place)];
        if run.is_live_format() {
            self.adjust(place.leaf, 0, 0, run.format_bit());
        }
    }

    /// Takes a run out. O(log n).
    pub(crate) fn remove(&mut self, place: Place, runs: &mut Runs) {
        let leaf = &mut self.leaves[place.leaf as usize];
        let (len, run) = (usize::from(leaf.len), leaf.runs[place.slot]);
        let visible = leaf.visible[place.slot];
        leaf.remove(place.slot);
        let total = i64::from(runs[run].len);
        runs[run].leaf = NONE;
        self.adjust(place.leaf, visible.wrapping_neg().cast_signed(), -total, 0);
        if len == 1 {
            self.remove_leaf(place.leaf);
        }
    }

    /// A run has changed in a way that no sum tells.
    pub(crate) fn touch(&mut self, place: Place) {
        self.leaves[place.leaf as usize].changed |= 1 << place.slot;
        self.adjust(place.leaf, 0, 0, 0);
    }

    /// What a leaf holds has changed by so much. O(log n).
    fn adjust(&mut self, leaf: u32, visible: i32, total: i64, mask: u32) {
        let node = &mut self.leaves[leaf as usize];
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
        let (parent, next) = {
            let leaf = &self.leaves[place.leaf as usize];
            (leaf.parent, leaf.next)
        };
        // What is written from left to right fills its leaves.
        let keep = if next == NONE && place.slot == LEAF_MAX {
            LEAF_MAX
        } else {
            LEAF_MAX / 2
        };
        let mut sibling = Leaf::new(parent);
        (sibling.prev, sibling.next) = (place.leaf, next);
        let leaf = &mut self.leaves[place.leaf as usize];
        let moved = LEAF_MAX - keep;
        sibling.runs[..moved].copy_from_slice(&leaf.runs[keep..]);
        sibling.visible[..moved].copy_from_slice(&leaf.visible[keep..]);
        (leaf.len, sibling.len) = (to_u8(keep), to_u8(moved));
        if moved > 0 {
            sibling.changed = leaf.changed >> keep;
            leaf.changed &= (1 << keep) - 1;
        }
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
            self.leaves[node as usize].changed != 0
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
