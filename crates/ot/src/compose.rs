use crate::{
    Delta, Operation, SplitError,
    iter::{Iter, Kind},
};

/// Two deltas that do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The second would cut a surrogate pair that the first inserts.
    #[error("the second delta cuts a surrogate pair of the first")]
    SplitSurrogate,
}

impl From<SplitError> for ComposeError {
    fn from(_: SplitError) -> Self {
        Self::SplitSurrogate
    }
}

impl Delta {
    /// The one change that does what this and then `next` do; of a document, the document after
    /// `next`. O(n + m).
    ///
    /// # Errors
    ///
    /// `SplitSurrogate`: `next` was not made on what this leads to.
    pub fn compose(&self, next: &Self) -> Result<Self, ComposeError> {
        let (mut first, mut second) = (Iter::new(self.ops()), Iter::new(next.ops()));
        let mut composed = Self::new();
        while first.has_next() || second.has_next() {
            if second.kind() == Kind::Insert {
                second
                    .next()
                    .into_iter()
                    .for_each(|operation| composed.push(operation));
                continue;
            }
            if first.kind() == Kind::Delete {
                first
                    .next()
                    .into_iter()
                    .for_each(|operation| composed.push(operation));
                continue;
            }
            let len_utf16 = first.len_utf16().min(second.len_utf16());
            match (first.take(len_utf16)?, second.take(len_utf16)?) {
                (
                    Operation::Retain { attributes, .. },
                    Operation::Retain {
                        attributes: next, ..
                    },
                ) => composed.push(Operation::Retain {
                    len_utf16,
                    attributes: attributes.compose(&next, true),
                }),
                (
                    Operation::Insert { insert, attributes },
                    Operation::Retain {
                        attributes: next, ..
                    },
                ) => composed.push(Operation::Insert {
                    insert,
                    attributes: attributes.compose(&next, false),
                }),
                (Operation::Retain { .. }, delete @ Operation::Delete { .. }) => {
                    composed.push(delete)
                }
                // An insertion and its deletion cancel out; nothing else can meet here.
                _ => {}
            }
        }
        Ok(composed.chop())
    }
}
