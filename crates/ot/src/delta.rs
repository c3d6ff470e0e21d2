use crate::{Attributes, Embed, Insert, Operation, Text};

/// A list of operations: a change to a document, or a document if it only inserts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    ops: Vec<Operation>,
}

impl Delta {
    /// The change that changes nothing, and the empty document.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: Vec::new() }
    }

    /// Adds an insertion of plain text.
    #[must_use]
    pub fn insert(self, text: &str) -> Self {
        self.insert_with(text, Attributes::new())
    }

    /// Adds an insertion of text.
    #[must_use]
    pub fn insert_with(self, text: &str, attributes: Attributes) -> Self {
        self.with(Operation::Insert {
            insert: Insert::Text(Text::new(text)),
            attributes,
        })
    }

    /// Adds an insertion of an embed.
    #[must_use]
    pub fn insert_embed(self, embed: Embed, attributes: Attributes) -> Self {
        self.with(Operation::Insert {
            insert: Insert::Embed(embed),
            attributes,
        })
    }

    /// Adds a retain. At the end of a change it has no effect, and is gone when the change is used.
    #[must_use]
    pub fn retain(self, len_utf16: usize) -> Self {
        self.retain_with(len_utf16, Attributes::new())
    }

    /// Adds a retain that formats.
    #[must_use]
    pub fn retain_with(self, len_utf16: usize, attributes: Attributes) -> Self {
        self.with(Operation::Retain {
            len_utf16,
            attributes,
        })
    }

    /// Adds a deletion.
    #[must_use]
    pub fn delete(self, len_utf16: usize) -> Self {
        self.with(Operation::Delete { len_utf16 })
    }

    fn with(mut self, operation: Operation) -> Self {
        self.push(operation);
        self
    }

    /// Adds an operation, merging it with the last one where both are alike. An insertion goes before
    /// a deletion at the same place: the order makes no difference, so there is only one.
    pub fn push(&mut self, operation: Operation) {
        if operation.len_utf16() == 0 {
            return;
        }
        let mut end = self.ops.len();
        if let (Some(Operation::Delete { len_utf16: last }), Operation::Delete { len_utf16 }) =
            (self.ops.last_mut(), &operation)
        {
            *last += len_utf16;
            return;
        }
        if matches!(operation, Operation::Insert { .. })
            && matches!(self.ops.last(), Some(Operation::Delete { .. }))
        {
            end -= 1;
        }
        if let Some(before) = end.checked_sub(1).and_then(|index| self.ops.get_mut(index))
            && merge(before, &operation)
        {
            return;
        }
        self.ops.insert(end, operation);
    }

    /// Drops a trailing retain that does nothing.
    pub(crate) fn chop(mut self) -> Self {
        if let Some(Operation::Retain { attributes, .. }) = self.ops.last()
            && attributes.is_empty()
        {
            self.ops.pop();
        }
        self
    }

    /// The operations.
    #[must_use]
    pub fn ops(&self) -> &[Operation] {
        &self.ops
    }

    /// Whether there is no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether this is a document: insertions only.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.ops
            .iter()
            .all(|operation| matches!(operation, Operation::Insert { .. }))
    }

    /// How much of a document the change passes or removes: the document must be this long.
    #[must_use]
    pub fn base_len_utf16(&self) -> usize {
        self.ops
            .iter()
            .map(|operation| match operation {
                Operation::Insert { .. } => 0,
                Operation::Retain { len_utf16, .. } | Operation::Delete { len_utf16 } => *len_utf16,
            })
            .sum()
    }

    /// The length of what the operations insert: of a document, its length.
    #[must_use]
    pub fn len_utf16(&self) -> usize {
        self.ops
            .iter()
            .map(|operation| match operation {
                Operation::Insert { insert, .. } => insert.len_utf16(),
                _ => 0,
            })
            .sum()
    }

    /// By how much the change makes a document longer.
    #[must_use]
    pub fn len_change(&self) -> isize {
        self.ops
            .iter()
            .map(|operation| match operation {
                Operation::Insert { insert, .. } => insert.len_utf16().cast_signed(),
                Operation::Retain { .. } => 0,
                Operation::Delete { len_utf16 } => -len_utf16.cast_signed(),
            })
            .sum()
    }

    /// Checks the invariant **normal**.
    ///
    /// # Panics
    ///
    /// When it does not hold.
    pub fn assert_normal(&self) {
        let trailing = matches!(
            self.ops.last(),
            Some(Operation::Retain { attributes, .. }) if attributes.is_empty()
        );
        assert!(!trailing, "normal: a trailing bare retain in {self:?}");
        for operation in &self.ops {
            assert!(
                operation.len_utf16() > 0,
                "normal: an empty operation in {self:?}"
            );
        }
        for pair in self.ops.windows(2) {
            let [first, second] = pair else { continue };
            assert!(
                !mergeable(first, second),
                "normal: mergeable neighbours in {self:?}"
            );
            let delete_first = matches!(first, Operation::Delete { .. })
                && matches!(second, Operation::Insert { .. });
            assert!(
                !delete_first,
                "normal: a deletion before an insertion in {self:?}"
            );
        }
    }
}

fn mergeable(first: &Operation, second: &Operation) -> bool {
    match (first, second) {
        (
            Operation::Insert {
                insert: Insert::Text(_),
                attributes: a,
            },
            Operation::Insert {
                insert: Insert::Text(_),
                attributes: b,
            },
        )
        | (Operation::Retain { attributes: a, .. }, Operation::Retain { attributes: b, .. }) => {
            a == b
        }
        (Operation::Delete { .. }, Operation::Delete { .. }) => true,
        _ => false,
    }
}

/// Adds `next` to `last` if they are alike.
fn merge(last: &mut Operation, next: &Operation) -> bool {
    if !mergeable(last, next) {
        return false;
    }
    match (last, next) {
        (
            Operation::Insert {
                insert: Insert::Text(last),
                ..
            },
            Operation::Insert {
                insert: Insert::Text(next),
                ..
            },
        ) => last.append(next),
        (
            Operation::Retain {
                len_utf16: last, ..
            },
            Operation::Retain {
                len_utf16: next, ..
            },
        )
        | (Operation::Delete { len_utf16: last }, Operation::Delete { len_utf16: next }) => {
            *last += next;
        }
        _ => return false,
    }
    true
}
