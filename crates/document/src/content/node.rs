//! The nodes of the tree.

use std::sync::Arc;

use motet_ot::{Attributes, Insert, Text};

/// Most entries of a node; few in tests, so that small contents build deep trees.
const NODE_MAX: usize = if cfg!(test) { 4 } else { 24 };
/// A node with fewer is merged with its neighbour.
const NODE_MIN: usize = NODE_MAX / 3;
/// Longest text of one run.
pub(super) const RUN_UTF16_MAX: usize = if cfg!(test) { 6 } else { 512 };

const _: () = assert!(
    NODE_MIN >= 1 && NODE_MAX >= 4,
    "halves of a full node are not too small"
);

/// Some content of one format.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) insert: Insert,
    pub(super) attributes: Attributes,
}

/// A leaf of runs, or an inner node of nodes with their lengths.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Vec<Run>),
    Inner(Vec<Child>),
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    len_utf16: usize,
    node: Arc<Node>,
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Run {
    pub(super) fn len_utf16(&self) -> usize {
        self.insert.len_utf16()
    }

    /// The parts before and after a boundary inside the run.
    fn split_at(&self, at_utf16: usize) -> (Self, Self) {
        let (before, after) = self
            .insert
            .split_at(at_utf16)
            .expect("positions are checked before they are used");
        let part = |insert| Self {
            insert,
            attributes: self.attributes.clone(),
        };
        (part(before), part(after))
    }

    /// This and `next` as one run, if they are text of one format and not too long.
    fn join(&self, next: &Self) -> Option<Self> {
        match (&self.insert, &next.insert) {
            (Insert::Text(a), Insert::Text(b))
                if a.len_utf16() + b.len_utf16() <= RUN_UTF16_MAX
                    && self.attributes == next.attributes =>
            {
                let text = [a.as_str(), b.as_str()].concat();
                let insert = Insert::Text(Text::new(text));
                Some(Self {
                    insert,
                    attributes: self.attributes.clone(),
                })
            }
            _ => None,
        }
    }
}

/// Cuts text into pieces that a run can hold.
pub(super) fn pieces(text: &Text) -> impl Iterator<Item = &str> {
    let mut rest = text.as_str();
    std::iter::from_fn(move || {
        let mut len_utf16 = 0;
        let end = rest
            .char_indices()
            .find(|(_, char)| {
                len_utf16 += char.len_utf16();
                len_utf16 > RUN_UTF16_MAX
            })
            .map_or(rest.len(), |(index, _)| index);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Child {
    fn new(node: Arc<Node>) -> Self {
        Self {
            len_utf16: node.len_utf16(),
            node,
        }
    }
}

impl Node {
    /// A new root over two nodes of one depth.
    pub(super) fn parent(left: Arc<Self>, right: Arc<Self>) -> Self {
        Self::Inner(vec![Child::new(left), Child::new(right)])
    }

    pub(super) fn len_utf16(&self) -> usize {
        match self {
            Self::Leaf(runs) => runs.iter().map(Run::len_utf16).sum(),
            Self::Inner(children) => children.iter().map(|child| child.len_utf16).sum(),
        }
    }

    /// The only child of an inner node that has just one.
    pub(super) fn only_child(&self) -> Option<Arc<Self>> {
        match self {
            Self::Inner(children) => match children.as_slice() {
                [] => Some(Arc::default()),
                [only] => Some(Arc::clone(&only.node)),
                _ => None,
            },
            Self::Leaf(_) => None,
        }
    }

    pub(super) fn visit(&self, visitor: &mut impl FnMut(&Run)) {
        match self {
            Self::Leaf(runs) => runs.iter().for_each(visitor),
            Self::Inner(children) => children.iter().for_each(|child| child.node.visit(visitor)),
        }
    }

    /// Whether content can be cut at `position`: it is not inside a surrogate pair.
    pub(super) fn is_boundary(&self, mut position: usize) -> bool {
        match self {
            Self::Leaf(runs) => {
                for run in runs {
                    if position <= run.len_utf16() {
                        return position == 0
                            || position == run.len_utf16()
                            || run.insert.split_at(position).is_ok();
                    }
                    position -= run.len_utf16();
                }
                position == 0
            }
            Self::Inner(children) => {
                for child in children {
                    if position <= child.len_utf16 {
                        return child.node.is_boundary(position);
                    }
                    position -= child.len_utf16;
                }
                position == 0
            }
        }
    }

    /// Inserts a run at a boundary. If the node has become too large, its second half is returned.
    pub(super) fn insert(&mut self, position: usize, run: Run) -> Option<Self> {
        match self {
            Self::Leaf(runs) => {
                insert_run(runs, position, run);
            }
            Self::Inner(children) => {
                let (index, offset) = find(children.iter().map(|child| child.len_utf16), position);
                let child = children.get_mut(index).expect("a position within the node");
                child.len_utf16 += run.len_utf16();
                if let Some(sibling) = Arc::make_mut(&mut child.node).insert(position - offset, run)
                {
                    let sibling = Child::new(Arc::new(sibling));
                    child.len_utf16 -= sibling.len_utf16;
                    children.insert(index + 1, sibling);
                }
            }
        }
        self.split()
    }

    /// Moves the second half of too many entries out.
    pub(super) fn split(&mut self) -> Option<Self> {
        match self {
            Self::Leaf(runs) => split(runs).map(Self::Leaf),
            Self::Inner(children) => split(children).map(Self::Inner),
        }
    }

    /// Removes the content between two boundaries, in order, into `removed`. A run cut in the middle
    /// leaves two, so the node may have become too large.
    pub(super) fn remove(&mut self, start: usize, end: usize, removed: &mut Vec<Run>) {
        match self {
            Self::Leaf(runs) => remove_runs(runs, start, end, removed),
            Self::Inner(children) => {
                let mut offset = 0;
                for child in children.iter_mut() {
                    let range = offset..offset + child.len_utf16;
                    offset = range.end;
                    let (from, to) = (start.max(range.start), end.min(range.end));
                    if from < to {
                        let node = Arc::make_mut(&mut child.node);
                        node.remove(from - range.start, to - range.start, removed);
                        child.len_utf16 -= to - from;
                    }
                }
                children.retain(|child| child.len_utf16 > 0);
                split_large(children);
                merge_small(children);
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(runs) => runs.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// Adds the entries of the next node of the same depth.
    fn append(&mut self, next: &Self) {
        match (self, next) {
            (Self::Leaf(runs), Self::Leaf(next)) => runs.extend(next.iter().cloned()),
            (Self::Inner(children), Self::Inner(next)) => children.extend(next.iter().cloned()),
            _ => unreachable!("even: neighbours are equally deep"),
        }
    }

    pub(super) fn assert_invariants(&self, root: bool) -> usize {
        assert!(root || self.count() > 0, "even: an empty node");
        assert!(
            self.count() <= NODE_MAX,
            "bounded: {} entries",
            self.count()
        );
        match self {
            Self::Leaf(runs) => {
                for run in runs {
                    assert!(
                        (1..=RUN_UTF16_MAX).contains(&run.len_utf16()),
                        "bounded: {run:?}"
                    );
                }
                1
            }
            Self::Inner(children) => {
                let mut depths = children.iter().map(|child| {
                    assert_eq!(child.len_utf16, child.node.len_utf16(), "summed");
                    child.node.assert_invariants(false)
                });
                let depth = depths.next().expect("even: an inner node has children");
                assert!(
                    depths.all(|other| other == depth),
                    "even: leaves at different depths"
                );
                depth + 1
            }
        }
    }
}

/// The first entry that reaches `position`, and the offset at which it begins.
fn find(lens_utf16: impl Iterator<Item = usize>, position: usize) -> (usize, usize) {
    let mut offset = 0;
    let mut last = (0, 0);
    for (index, len_utf16) in lens_utf16.enumerate() {
        last = (index, offset);
        if position <= offset + len_utf16 {
            break;
        }
        offset += len_utf16;
    }
    last
}

/// Moves the second half of too many entries out.
fn split<T>(entries: &mut Vec<T>) -> Option<Vec<T>> {
    (entries.len() > NODE_MAX).then(|| entries.split_off(entries.len() / 2))
}

fn insert_run(runs: &mut Vec<Run>, position: usize, run: Run) {
    let (index, offset) = find(runs.iter().map(Run::len_utf16), position);
    let Some(found) = runs.get(index) else {
        runs.push(run);
        return;
    };
    let at = position - offset;
    let (before, after) = if at == found.len_utf16() {
        (Some(found.clone()), None)
    } else if at == 0 {
        (None, Some(found.clone()))
    } else {
        let (before, after) = found.split_at(at);
        (Some(before), Some(after))
    };
    // Typing makes one character after another: keep what is alike together.
    let mut replacement = Vec::with_capacity(3);
    for part in [before, Some(run), after].into_iter().flatten() {
        match replacement
            .last_mut()
            .and_then(|last: &mut Run| last.join(&part).map(|it| (last, it)))
        {
            Some((last, joined)) => *last = joined,
            None => replacement.push(part),
        }
    }
    runs.splice(index..=index, replacement);
}

fn remove_runs(runs: &mut Vec<Run>, start: usize, end: usize, removed: &mut Vec<Run>) {
    let mut offset = 0;
    let mut kept = Vec::with_capacity(runs.len() + 1);
    for run in runs.drain(..) {
        let range = offset..offset + run.len_utf16();
        offset = range.end;
        let (from, to) = (start.max(range.start), end.min(range.end));
        if from >= to {
            kept.push(run);
            continue;
        }
        let mut rest = run;
        if from > range.start {
            let (before, after) = rest.split_at(from - range.start);
            kept.push(before);
            rest = after;
        }
        if to < range.end {
            let (gone, after) = rest.split_at(to - from);
            removed.push(gone);
            kept.push(after);
        } else {
            removed.push(rest);
        }
    }
    *runs = kept;
}

/// Splits nodes that have become too large.
fn split_large(children: &mut Vec<Child>) {
    let mut index = 0;
    while let Some(child) = children.get_mut(index) {
        index += 1;
        if child.node.count() > NODE_MAX
            && let Some(sibling) = Arc::make_mut(&mut child.node).split()
        {
            let sibling = Child::new(Arc::new(sibling));
            child.len_utf16 -= sibling.len_utf16;
            children.insert(index, sibling);
        }
    }
}

/// Merges nodes that have become small with their neighbours.
fn merge_small(children: &mut Vec<Child>) {
    let mut index = 0;
    while index + 1 < children.len() {
        let small = |child: &Child| child.node.count() < NODE_MIN.max(2);
        let (left, right) = (&children[index], &children[index + 1]);
        let fits = left.node.count() + right.node.count() <= NODE_MAX;
        if fits && (small(left) || small(right)) {
            let right = children.remove(index + 1);
            let left = &mut children[index];
            Arc::make_mut(&mut left.node).append(&right.node);
            left.len_utf16 += right.len_utf16;
        } else {
            index += 1;
        }
    }
}
