//! A change at one place, which is what nearly all changes are: typing, a deletion, a paste over a selection.

use crate::{Delta, Operation};

/// `deleted` units at `start` make way for `inserted` ones, whatever these are.
///
/// It says where a [`Delta`] changes a document and nothing of what with. That is enough to move another change past
/// it, in a few instructions and without an allocation, where [`Delta::transform`] makes a new delta: a submission
/// passes everything that was committed while it travelled. Lengths are UTF-16 code units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    start: u32,
    deleted: u32,
    inserted: u32,
}

impl Splice {
    /// Where `delta` changes a document. `None`: at several places, or it formats. O(1).
    #[must_use]
    pub fn of(delta: &Delta) -> Option<Self> {
        let (start, rest) = match delta.ops() {
            [
                Operation::Retain {
                    len_utf16,
                    attributes,
                },
                rest @ ..,
            ] if attributes.is_empty() => (*len_utf16, rest),
            ops => (0, ops),
        };
        let (inserted, deleted) = match rest {
            [] => (0, 0),
            [Operation::Insert { insert, .. }] => (insert.len_utf16(), 0),
            [Operation::Delete { len_utf16 }] => (0, *len_utf16),
            [
                Operation::Insert { insert, .. },
                Operation::Delete { len_utf16 },
            ] => (insert.len_utf16(), *len_utf16),
            _ => return None,
        };
        let fits = |len: usize| u32::try_from(len).ok();
        let splice = Self {
            start: fits(start)?,
            deleted: fits(deleted)?,
            inserted: fits(inserted)?,
        };
        // So that the end of what is deleted has a number, too.
        splice.start.checked_add(splice.deleted).map(|_| splice)
    }

    /// `other`, moved past this one; both were made on the same document. This one stands on the left: in a tie its
    /// insertion comes first.
    ///
    /// What [`Delta::transform`] does on [`Side::Left`](crate::Side::Left). `None`: what `other` deletes would fall into
    /// two parts, with this one's insertion between them; or it would be past the last place that there is.
    #[must_use]
    pub fn transform(self, other: Self) -> Option<Self> {
        let (end, other_end) = (self.start + self.deleted, other.start + other.deleted);
        let before = self.start.clamp(other.start, other_end) - other.start;
        let after = other_end - end.clamp(other.start, other_end);
        if self.inserted > 0 && before > 0 && after > 0 {
            return None;
        }
        let start = if other.start < self.start {
            other.start
        } else {
            self.start
                .checked_add(self.inserted)?
                .checked_add(other.start.saturating_sub(end))?
        };
        let deleted = before + after;
        start.checked_add(deleted)?;
        Some(Self {
            start,
            deleted,
            inserted: other.inserted,
        })
    }

    /// A position, moved past this change, whose insertion comes behind it where they meet:
    /// [`Delta::transform_position`] on [`Side::Right`](crate::Side::Right).
    #[must_use]
    pub fn transform_position(self, index_utf16: usize) -> usize {
        let [start, end, inserted] =
            [self.start, self.start + self.deleted, self.inserted].map(|it| it as usize);
        if index_utf16 <= start {
            index_utf16
        } else {
            start + inserted + index_utf16.saturating_sub(end)
        }
    }
}

impl Delta {
    /// This change where it has been moved to. It must be one at one place, which `splice` is what became of.
    #[must_use]
    pub fn moved_to(&self, splice: Splice) -> Self {
        let insertions = self
            .ops()
            .iter()
            .filter(|it| matches!(it, Operation::Insert { .. }));
        let mut moved = Self::new().retain(splice.start as usize);
        for insertion in insertions {
            moved.push(insertion.clone());
        }
        moved.delete(splice.deleted as usize).chop()
    }
}
