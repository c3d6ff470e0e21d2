use super::{
    super::{NONE, Runs},
    ROOT, Trees,
    node::Sums,
};

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
            assert!(leaf.changed == 0, "the transaction is over");
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
