use dissimilar::Chunk;

use crate::{Delta, Insert, Operation, SplitError, iter::Iter};

/// What stands for an embed in the text that is compared.
const EMBED: char = '\0';

/// Two deltas that cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// One of them is a change.
    #[error("only documents can be compared")]
    NotADocument,
}

impl From<SplitError> for DiffError {
    fn from(_: SplitError) -> Self {
        // Chunks are cut between characters, and so are documents.
        Self::NotADocument
    }
}

impl Delta {
    /// A change that leads from this document to `other`: `self.compose(self.diff(other))` is
    /// `other`. It is small, but not always the smallest. Text is compared by the crate `dissimilar`
    /// (Myers' algorithm with the clean-up of diff-match-patch): O(n · d) for d differences, without a
    /// bound on its time, so not for what a stranger may make large.
    ///
    /// # Errors
    ///
    /// `NotADocument`: one of them does more than insert.
    pub fn diff(&self, other: &Self) -> Result<Self, DiffError> {
        let (before, after) = (text(self)?, text(other)?);
        let (mut first, mut second) = (Iter::new(self.ops()), Iter::new(other.ops()));
        let mut diff = Self::new();
        for chunk in dissimilar::diff(&before, &after) {
            let (Chunk::Equal(text) | Chunk::Delete(text) | Chunk::Insert(text)) = chunk;
            let mut left: usize = text.chars().map(char::len_utf16).sum();
            while left > 0 {
                let len_utf16 = match chunk {
                    Chunk::Delete(_) => left.min(first.len_utf16()),
                    Chunk::Insert(_) => left.min(second.len_utf16()),
                    Chunk::Equal(_) => left.min(first.len_utf16()).min(second.len_utf16()),
                };
                left -= len_utf16;
                match chunk {
                    Chunk::Delete(_) => {
                        first.take(len_utf16)?;
                        diff = diff.delete(len_utf16);
                    }
                    Chunk::Insert(_) => diff.push(second.take(len_utf16)?),
                    Chunk::Equal(_) => {
                        equal(&mut diff, &first.take(len_utf16)?, second.take(len_utf16)?);
                    }
                }
            }
        }
        Ok(diff.chop())
    }
}

/// The same text, or two embeds that may differ, on both sides.
fn equal(diff: &mut Delta, before: &Operation, after: Operation) {
    let (
        Operation::Insert {
            insert: a,
            attributes: from,
        },
        Operation::Insert {
            insert: b,
            attributes: to,
        },
    ) = (before, &after)
    else {
        return;
    };
    let len_utf16 = a.len_utf16();
    if a == b {
        diff.push(Operation::Retain {
            len_utf16,
            attributes: from.diff(to),
        });
    } else {
        diff.push(after);
        diff.push(Operation::Delete { len_utf16 });
    }
}

fn text(document: &Delta) -> Result<String, DiffError> {
    let mut text = String::new();
    for operation in document.ops() {
        match operation {
            Operation::Insert {
                insert: Insert::Text(part),
                ..
            } => text.push_str(part.as_str()),
            Operation::Insert {
                insert: Insert::Embed(_),
                ..
            } => text.push(EMBED),
            _ => return Err(DiffError::NotADocument),
        }
    }
    Ok(text)
}
