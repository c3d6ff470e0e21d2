use crate::{
    Delta, Operation,
    iter::{Iter, Kind},
};

/// Where a delta stands in a tie with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its insertion comes first, and its format wins.
    Left,
    /// The other's does.
    Right,
}

impl Delta {
    /// `other`, moved past this delta; both were made on the same document. `side` is where this one
    /// stands. O(n + m).
    ///
    /// TP1: `a.compose(a.transform(b, Left))` and `b.compose(b.transform(a, Right))` are the same.
    #[must_use]
    pub fn transform(&self, other: &Self, side: Side) -> Self {
        let (mut first, mut second) = (Iter::new(self.ops()), Iter::new(other.ops()));
        let left = side == Side::Left;
        let mut moved = Self::new();
        while second.has_next() {
            if first.kind() == Kind::Insert && (left || second.kind() != Kind::Insert) {
                moved = moved.retain(first.len_utf16());
                first.next();
                continue;
            }
            if second.kind() == Kind::Insert {
                second
                    .next()
                    .into_iter()
                    .for_each(|operation| moved.push(operation));
                continue;
            }
            let len_utf16 = first.len_utf16().min(second.len_utf16());
            // Neither is an insertion, so nothing is cut that could not be.
            let (Ok(passed), Ok(operation)) = (first.take(len_utf16), second.take(len_utf16))
            else {
                break;
            };
            match (passed, operation) {
                // What is gone can neither be formatted nor deleted.
                (Operation::Delete { .. }, _) => {}
                (
                    Operation::Retain {
                        attributes: passed, ..
                    },
                    Operation::Retain { attributes, .. },
                ) => moved.push(Operation::Retain {
                    len_utf16,
                    attributes: passed.transform(&attributes, side),
                }),
                (_, delete) => moved.push(delete),
            }
        }
        moved.chop()
    }

    /// A position, moved past this delta. `side` is where this delta's insertion stands when it meets
    /// the position: on the left it pushes the position on. O(n).
    ///
    /// quill-delta's `priority` of a position is true for [`Side::Right`].
    #[must_use]
    pub fn transform_position(&self, index_utf16: usize, side: Side) -> usize {
        let mut index = index_utf16;
        let mut offset = 0;
        for operation in self.ops() {
            if offset > index {
                break;
            }
            match operation {
                Operation::Insert { insert, .. } => {
                    if offset < index || side == Side::Left {
                        index += insert.len_utf16();
                    }
                    offset += insert.len_utf16();
                }
                Operation::Retain { len_utf16, .. } => offset += len_utf16,
                Operation::Delete { len_utf16 } => index -= (*len_utf16).min(index - offset),
            }
        }
        index
    }
}
