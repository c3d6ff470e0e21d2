//! The text of a live document: attributed runs in a persistent balanced tree.
//!
//! A B-tree in which every node knows the UTF-16 length and the bytes below it, so that an edit at a
//! position costs O(log n) whatever the document's size, and so does a bound on the bytes. Nodes are
//! shared and copied on write: a clone is O(1), and a snapshot can be encoded elsewhere while the
//! document goes on.
//!
//! # Invariants
//!
//! - **summed**: an inner node's sizes are those of its children.
//! - **even**: all leaves are equally deep, and no node but the root is empty.
//! - **bounded**: a node has at most `NODE_MAX` entries, a run of text at most `RUN_UTF16_MAX` units.
//! - **joined**: two neighbours in a leaf differ in format, or are too long for one run; so however a
//!   text was typed, it does not crumble.
//!
//! # Not here
//!
//! Identities: the replica beside it has those.

mod node;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use motet_ot::{Delta, Operation};

use self::node::{Node, Run};

/// A document's content.
#[derive(Clone, Debug, Default)]
pub struct RichText {
    root: Arc<Node>,
}

/// A delta that does not fit the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It reaches past the end.
    #[error("position {position} is out of range: the content is {len_utf16} long")]
    OutOfRange {
        /// The first position needed that does not exist.
        position: usize,
        /// The content's length.
        len_utf16: usize,
    },
    /// One of its operations begins or ends inside a surrogate pair.
    #[error("position {position} is inside a surrogate pair")]
    SplitSurrogate {
        /// Where.
        position: usize,
    },
    /// It would make the content too large.
    #[error("the content would have more than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
}

impl RichText {
    /// The content that a document holds. O(n log n).
    ///
    /// # Errors
    ///
    /// As [`TextError`] says, when `document` is not a document.
    pub fn from_delta(document: &Delta) -> Result<Self, TextError> {
        let mut content = Self::default();
        content.apply(document)?;
        Ok(content)
    }

    /// The length in UTF-16 code units. O(1).
    #[must_use]
    pub fn len_utf16(&self) -> usize {
        self.root.size().len_utf16
    }

    /// About what the content takes in memory, and no less than it takes as JSON: its text with
    /// escapes, and for each run with a format and each embed their JSON and a constant. O(1).
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.root.size().bytes
    }

    /// Applies a change. O(k log n) for a change of k operations, and the size of what it inserts,
    /// formats or deletes.
    ///
    /// # Errors
    ///
    /// As [`TextError`] says, but never `TooLarge`; nothing has changed then.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), TextError> {
        self.check(delta)?;
        self.edit(delta, usize::MAX)
    }

    /// As [`apply`](Self::apply), unless the content would grow past `bytes_max`. What only deletes
    /// is never refused for that, nor what leaves too large a content no larger.
    ///
    /// # Errors
    ///
    /// As [`TextError`] says; nothing has changed then.
    pub fn apply_within(&mut self, delta: &Delta, bytes_max: usize) -> Result<(), TextError> {
        self.check(delta)?;
        let before = self.clone();
        self.edit(delta, bytes_max).inspect_err(|_| *self = before)
    }

    /// The content as a document. O(n).
    #[must_use]
    pub fn to_delta(&self) -> Delta {
        let mut delta = Delta::new();
        self.root.visit(&mut |run: &Run| {
            delta.push(Operation::Insert {
                insert: run.insert.clone(),
                attributes: run.attributes.clone(),
            });
        });
        delta
    }

    /// Checks the invariants of this module.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn assert_invariants(&self) {
        self.root.assert_invariants(true);
    }

    /// Nothing is changed before all of a delta is known to fit.
    fn check(&self, delta: &Delta) -> Result<(), TextError> {
        let len_utf16 = self.len_utf16();
        let mut position = 0_usize;
        for operation in delta.ops() {
            if let Operation::Retain { len_utf16: len, .. } | Operation::Delete { len_utf16: len } =
                operation
            {
                position = position.saturating_add(*len);
                if position > len_utf16 {
                    return Err(TextError::OutOfRange {
                        position,
                        len_utf16,
                    });
                }
                if !self.root.is_boundary(position) {
                    return Err(TextError::SplitSurrogate { position });
                }
            }
        }
        Ok(())
    }

    /// Makes a change that fits. `TooLarge` leaves it half made: one that formats much with much
    /// could not be held as a whole.
    fn edit(&mut self, delta: &Delta, bytes_max: usize) -> Result<(), TextError> {
        let before_bytes = self.size_bytes();
        // Deletions come first: what replaces content is not counted on top of it.
        let mut position = 0;
        for operation in delta.ops() {
            match operation {
                Operation::Retain { len_utf16, .. } => position += len_utf16,
                Operation::Insert { .. } => {}
                Operation::Delete { len_utf16 } => {
                    self.remove(position, *len_utf16);
                }
            }
        }
        // A deletion inside a run leaves two, each with the format.
        let bound = bytes_max.max(before_bytes).max(self.size_bytes());
        let mut position = 0;
        for operation in delta.ops() {
            match operation {
                Operation::Retain {
                    len_utf16,
                    attributes,
                } if attributes.is_empty() => position += len_utf16,
                Operation::Retain {
                    len_utf16,
                    attributes,
                } => {
                    for run in self.remove(position, *len_utf16) {
                        let attributes = run.attributes.compose(attributes, false);
                        let run = Run::new(run.insert, attributes);
                        position = self.insert(position, run);
                        self.bound(bound, bytes_max)?;
                    }
                }
                Operation::Insert { insert, attributes } => {
                    for run in node::runs(insert, attributes) {
                        position = self.insert(position, run);
                        self.bound(bound, bytes_max)?;
                    }
                }
                Operation::Delete { .. } => {}
            }
        }
        Ok(())
    }

    /// `bound` is `bytes_max`, or more where the content was larger before.
    fn bound(&self, bound: usize, bytes_max: usize) -> Result<(), TextError> {
        if self.size_bytes() <= bound {
            Ok(())
        } else {
            Err(TextError::TooLarge { bytes_max })
        }
    }

    /// Returns the position behind what was inserted.
    fn insert(&mut self, position: usize, run: Run) -> usize {
        let end = position + run.len_utf16();
        let sibling = Arc::make_mut(&mut self.root).insert(position, run);
        self.grow(sibling);
        end
    }

    /// The root was split: one more level holds both halves.
    fn grow(&mut self, sibling: Option<Node>) {
        if let Some(sibling) = sibling {
            let root = std::mem::take(&mut self.root);
            self.root = Arc::new(Node::parent(root, Arc::new(sibling)));
        }
    }

    fn remove(&mut self, position: usize, len_utf16: usize) -> Vec<Run> {
        let mut removed = Vec::new();
        let root = Arc::make_mut(&mut self.root);
        root.remove(position, position + len_utf16, &mut removed);
        while let Some(child) = self.root.only_child() {
            self.root = child;
        }
        removed
    }
}
