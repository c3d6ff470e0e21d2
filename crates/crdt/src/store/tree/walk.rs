//! What has changed in the transaction under way.
//!
//! Every change marks the nodes above it, so that a walk finds what has changed without looking at the rest.

use super::{
    super::{Handle, NONE, Runs},
    Place, Seq, SeqId, Trees,
};

/// Who looks at what has changed in a sequence.
pub(crate) trait Walker {
    /// Something of which nothing has changed: passes over it, or says no and is shown its runs.
    fn pass(&mut self, visible: u32, formats: u32) -> bool;
    /// A run.
    fn run(&mut self, place: Place, run: Handle);
}

impl Trees {
    /// Forgets what has changed.
    pub(crate) fn settle(&mut self, runs: &mut Runs) {
        while let Some(seq) = self.dirty.pop() {
            let Seq { root, height, .. } = self.seqs[seq as usize];
            self.seqs[seq as usize].dirty = false;
            self.settle_node(root, height, runs);
        }
    }

    /// The depth of a tree bounds the recursion.
    fn settle_node(&mut self, node: u32, level: u8, runs: &mut Runs) {
        if level == 0 {
            let leaf = &mut self.leaves[node as usize];
            let mut changed = std::mem::take(&mut leaf.changed);
            while changed != 0 {
                let slot = changed.trailing_zeros() as usize;
                changed &= changed - 1;
                runs[leaf.runs[slot]].settle();
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
            let mut unchanged = 0;
            for (slot, run) in leaf.runs().iter().enumerate() {
                // Among formats every run may matter.
                if leaf.mask == 0 && leaf.changed & 1 << slot == 0 {
                    unchanged += leaf.visible[slot];
                    continue;
                }
                walker.pass(std::mem::take(&mut unchanged), 0);
                walker.run(Place { leaf: node, slot }, *run);
            }
            walker.pass(unchanged, 0);
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
}
