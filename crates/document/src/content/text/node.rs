//! The nodes of the tree.

use std::{io, iter, ops, sync::Arc};

use motet_ot::{Attributes, Insert, Text};
use serde::Serialize;

/// Most entries of a node; few in tests, so that small contents build deep trees.
const NODE_MAX: usize = if cfg!(test) { 4 } else { 24 };
/// A node with fewer is merged with its neighbour.
const NODE_MIN: usize = NODE_MAX / 3;
/// Longest text of one run.
pub(super) const RUN_UTF16_MAX: usize = if cfg!(test) { 6 } else { 512 };

/// What a run costs beside its text once it has a format or is an embed: its own place in the tree
/// and in JSON.
const RUN_BYTES: usize = 64;

const _: () = assert!(
    NODE_MIN >= 1 && NODE_MAX >= 4,
    "halves of a full node are not too small"
);

/// Some content of one format.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) insert: Insert,
    pub(super) attributes: Attributes,
    /// What its text takes in JSON. Sizes are kept, since to measure them is O(their JSON).
    text_bytes: usize,
    /// What it takes beside its text.
    extra_bytes: usize,
}

/// How much content there is, and about how much memory and JSON it makes: the text as it is in JSON,
/// and for each run that is not plain text the JSON of embed and format with a constant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) len_utf16: usize,
    pub(super) bytes: usize,
}

/// A leaf of runs, or an inner node of nodes with their sizes.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Vec<Run>),
    Inner(Vec<Child>),
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    size: Size,
    node: Arc<Node>,
}

impl ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            len_utf16: self.len_utf16 + other.len_utf16,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), ops::Add::add)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Run {
    /// O(the JSON of embed and format).
    pub(super) fn new(insert: Insert, attributes: Attributes) -> Self {
        let embed_bytes = match &insert {
            Insert::Text(_) => 0,
            Insert::Embed(embed) => json_bytes(embed.object()),
        };
        let format_bytes = if attributes.is_empty() {
            0
        } else {
            json_bytes(&attributes)
        };
        let extra_bytes = match embed_bytes + format_bytes {
            0 => 0,
            bytes => bytes + RUN_BYTES,
        };
        Self {
            text_bytes: text_bytes(&insert),
            insert,
            attributes,
            extra_bytes,
        }
    }

    /// Other text of the same format. O(the text).
    fn with_text(&self, insert: Insert) -> Self {
        Self {
            text_bytes: text_bytes(&insert),
            insert,
            attributes: self.attributes.clone(),
            extra_bytes: self.extra_bytes,
        }
    }

    pub(super) fn size(&self) -> Size {
        Size {
            len_utf16: self.len_utf16(),
            bytes: self.text_bytes + self.extra_bytes,
        }
    }

    pub(super) fn len_utf16(&self) -> usize {
        self.insert.len_utf16()
    }

    /// The parts before and after a boundary inside the run.
    fn split_at(&self, at_utf16: usize) -> (Self, Self) {
        let (before, after) = self
            .insert
            .split_at(at_utf16)
            .expect("positions are checked before they are used");
        (self.with_text(before), self.with_text(after))
    }

    /// Whether this and `next` are better one run: text of one format, and not too long.
    fn joins(&self, next: &Self) -> bool {
        matches!(
            (&self.insert, &next.insert),
            (Insert::Text(a), Insert::Text(b))
                if a.len_utf16() + b.len_utf16() <= RUN_UTF16_MAX
        ) && self.attributes == next.attributes
    }

    /// Puts text at a boundary inside this run, if that is better than a run of its own.
    fn absorb(&mut self, at_utf16: usize, run: &Self) -> bool {
        if !self.joins(run) {
            return false;
        }
        let (Insert::Text(text), Insert::Text(new)) = (&self.insert, &run.insert) else {
            return false;
        };
        let Ok((before, after)) = text.split_at(at_utf16) else {
            return false;
        };
        let joined = [before.as_str(), new.as_str(), after.as_str()].concat();
        self.insert = Insert::Text(Text::new(joined));
        self.text_bytes += run.text_bytes;
        true
    }
}

/// The runs that an insertion makes: one, or pieces of its text that a run can hold.
pub(super) fn runs(insert: &Insert, attributes: &Attributes) -> impl Iterator<Item = Run> {
    let whole = Run::new(insert.clone(), attributes.clone());
    let (embed, mut rest) = match insert {
        Insert::Text(text) => (None, text.as_str()),
        Insert::Embed(_) => (Some(whole.clone()), ""),
    };
    let pieces = iter::from_fn(move || {
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
        (!piece.is_empty()).then(|| whole.with_text(Insert::Text(Text::new(piece))))
    });
    embed.into_iter().chain(pieces)
}

/// What text takes in JSON, with escapes for quotes and control characters.
fn text_bytes(insert: &Insert) -> usize {
    let Insert::Text(text) = insert else {
        return 0;
    };
    let escapes = text.as_str().bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => 5,
        _ => 0,
    });
    text.as_str().len() + escapes.sum::<usize>()
}

fn json_bytes(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("text keys");
    count.0
}

impl Child {
    fn new(node: Arc<Node>) -> Self {
        Self {
            size: node.size(),
            node,
        }
    }

    /// Establishes **summed** after a change to the node.
    fn sum(&mut self) {
        self.size = self.node.size();
    }
}

impl Node {
    /// A new root over two nodes of one depth.
    pub(super) fn parent(left: Arc<Self>, right: Arc<Self>) -> Self {
        Self::Inner(vec![Child::new(left), Child::new(right)])
    }

    pub(super) fn size(&self) -> Size {
        match self {
            Self::Leaf(runs) => runs.iter().map(Run::size).sum(),
            Self::Inner(children) => children.iter().map(|child| child.size).sum(),
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
                    if position <= child.size.len_utf16 {
                        return child.node.is_boundary(position);
                    }
                    position -= child.size.len_utf16;
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
                let (index, offset) =
                    find(children.iter().map(|child| child.size.len_utf16), position);
                let child = children.get_mut(index).expect("a position within the node");
                let sibling = Arc::make_mut(&mut child.node).insert(position - offset, run);
                child.sum();
                if let Some(sibling) = sibling {
                    children.insert(index + 1, Child::new(Arc::new(sibling)));
                }
            }
        }
        self.split()
    }

    /// Moves the second half of too many entries out.
    fn split(&mut self) -> Option<Self> {
        match self {
            Self::Leaf(runs) => split(runs).map(Self::Leaf),
            Self::Inner(children) => split(children).map(Self::Inner),
        }
    }

    /// Removes the content between two boundaries, in order, into `removed`.
    pub(super) fn remove(&mut self, start: usize, end: usize, removed: &mut Vec<Run>) {
        match self {
            Self::Leaf(runs) => {
                let (first, last) = (cut(runs, start), cut(runs, end));
                removed.extend(runs.drain(first..last));
                join(runs, first);
            }
            Self::Inner(children) => {
                let lens_utf16 = children.iter().map(|child| child.size.len_utf16);
                let (first, mut offset) = find(lens_utf16, start);
                for child in children.iter_mut().skip(first) {
                    let range = offset..offset + child.size.len_utf16;
                    offset = range.end;
                    let (from, to) = (start.max(range.start), end.min(range.end));
                    if from < to {
                        let node = Arc::make_mut(&mut child.node);
                        node.remove(from - range.start, to - range.start, removed);
                        child.sum();
                    }
                    if end <= offset {
                        break;
                    }
                }
                children.retain(|child| child.size.len_utf16 > 0);
                merge(children, first);
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
            (Self::Leaf(runs), Self::Leaf(next)) => {
                let seam = runs.len();
                runs.extend(next.iter().cloned());
                join(runs, seam);
            }
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
                    let measured = Run::new(run.insert.clone(), run.attributes.clone());
                    assert_eq!(run.size(), measured.size(), "summed: {run:?}");
                    assert!(
                        (1..=RUN_UTF16_MAX).contains(&run.len_utf16()),
                        "bounded: {run:?}"
                    );
                }
                for pair in runs.windows(2) {
                    assert!(!pair[0].joins(&pair[1]), "joined: {pair:?}");
                }
                1
            }
            Self::Inner(children) => {
                let mut depths = children.iter().map(|child| {
                    assert_eq!(child.size, child.node.size(), "summed");
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
    // Typing makes one character after another: mostly there is a run to put it into.
    if let Some(found) = runs.get_mut(index)
        && found.absorb(position - offset, &run)
    {
        return;
    }
    let index = cut(runs, position);
    runs.insert(index, run);
    join(runs, index);
}

/// Makes a boundary a border between runs, and returns the index of the run behind it.
fn cut(runs: &mut Vec<Run>, position: usize) -> usize {
    let (index, offset) = find(runs.iter().map(Run::len_utf16), position);
    let Some(run) = runs.get_mut(index) else {
        return index;
    };
    let at = position - offset;
    if at == 0 || at == run.len_utf16() {
        return index + usize::from(at > 0);
    }
    let (before, after) = run.split_at(at);
    *run = before;
    runs.insert(index + 1, after);
    index + 1
}

/// Establishes **joined** after a change to the run at `index` or its neighbours.
fn join(runs: &mut Vec<Run>, index: usize) {
    let mut left = index.saturating_sub(2);
    for _ in 0..4 {
        let [first, second, ..] = runs.get_mut(left..).unwrap_or_default() else {
            return;
        };
        let at_utf16 = first.len_utf16();
        if first.absorb(at_utf16, second) {
            runs.remove(left + 1);
        } else {
            left += 1;
        }
    }
}

/// Merges nodes that have become small with their neighbours, after a change to the node at `index`
/// and the one behind it.
fn merge(children: &mut Vec<Child>, index: usize) {
    let mut left = index.saturating_sub(1);
    for _ in 0..3 {
        let [first, second, ..] = children.get_mut(left..).unwrap_or_default() else {
            return;
        };
        let (count, next) = (first.node.count(), second.node.count());
        if count.min(next) < NODE_MIN.max(2) && count + next <= NODE_MAX {
            Arc::make_mut(&mut first.node).append(&second.node);
            first.sum();
            children.remove(left + 1);
        } else {
            left += 1;
        }
    }
}
