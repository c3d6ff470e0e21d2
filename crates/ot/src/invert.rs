use crate::{ComposeError, Delta, Operation, iter::Iter};

impl Delta {
    /// The change that takes this one back: `base.compose(self).compose(self.invert(base))` is
    /// `base`. O(n + m).
    ///
    /// # Errors
    ///
    /// `SplitSurrogate`: this change was not made on `base`.
    pub fn invert(&self, base: &Self) -> Result<Self, ComposeError> {
        let mut base = Iter::new(base.ops());
        let mut inverted = Self::new();
        for operation in self.ops() {
            match operation {
                Operation::Insert { insert, .. } => {
                    inverted = inverted.delete(insert.len_utf16());
                }
                Operation::Retain {
                    len_utf16,
                    attributes,
                } => {
                    each(&mut base, *len_utf16, |piece| {
                        let attributes = match &piece {
                            Operation::Insert {
                                attributes: base, ..
                            } => attributes.invert(base),
                            _ => attributes.clone(),
                        };
                        inverted.push(Operation::Retain {
                            len_utf16: piece.len_utf16(),
                            attributes,
                        });
                    })?;
                }
                Operation::Delete { len_utf16 } => {
                    each(&mut base, *len_utf16, |piece| inverted.push(piece))?;
                }
            }
        }
        Ok(inverted.chop())
    }
}

/// Calls `visit` with the next `len_utf16` of `iter`, piece by piece.
fn each(
    iter: &mut Iter<'_>,
    mut len_utf16: usize,
    mut visit: impl FnMut(Operation),
) -> Result<(), ComposeError> {
    while len_utf16 > 0 && iter.has_next() {
        let piece = iter.take(len_utf16)?;
        len_utf16 -= piece.len_utf16();
        visit(piece);
    }
    Ok(())
}
