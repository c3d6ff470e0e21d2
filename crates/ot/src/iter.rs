use crate::{Attributes, Operation, SplitError};

/// Walks over operations in pieces of any length. Past the end there is an endless bare retain.
pub(crate) struct Iter<'a> {
    ops: std::slice::Iter<'a, Operation>,
    /// The rest of the operation that is being walked over.
    current: Option<Operation>,
}

/// What kind an operation is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Insert,
    Retain,
    Delete,
}

impl<'a> Iter<'a> {
    pub(crate) fn new(ops: &'a [Operation]) -> Self {
        let mut ops = ops.iter();
        let current = ops.next().cloned();
        Self { ops, current }
    }

    pub(crate) fn has_next(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn kind(&self) -> Kind {
        match &self.current {
            Some(Operation::Insert { .. }) => Kind::Insert,
            Some(Operation::Delete { .. }) => Kind::Delete,
            Some(Operation::Retain { .. }) | None => Kind::Retain,
        }
    }

    /// How much is left of the current operation.
    pub(crate) fn len_utf16(&self) -> usize {
        self.current
            .as_ref()
            .map_or(usize::MAX, Operation::len_utf16)
    }

    /// The rest of the current operation.
    pub(crate) fn next(&mut self) -> Option<Operation> {
        let next = self.ops.next().cloned();
        std::mem::replace(&mut self.current, next)
    }

    /// At most `len_utf16` of the current operation.
    pub(crate) fn take(&mut self, len_utf16: usize) -> Result<Operation, SplitError> {
        let Some(current) = &mut self.current else {
            return Ok(Operation::Retain {
                len_utf16,
                attributes: Attributes::new(),
            });
        };
        let rest = match current {
            current if current.len_utf16() <= len_utf16 => None,
            Operation::Insert { insert, attributes } => {
                let (taken, rest) = insert.split_at(len_utf16)?;
                *insert = rest;
                Some(Operation::Insert {
                    insert: taken,
                    attributes: attributes.clone(),
                })
            }
            Operation::Retain {
                len_utf16: rest,
                attributes,
            } => {
                *rest -= len_utf16;
                Some(Operation::Retain {
                    len_utf16,
                    attributes: attributes.clone(),
                })
            }
            Operation::Delete { len_utf16: rest } => {
                *rest -= len_utf16;
                Some(Operation::Delete { len_utf16 })
            }
        };
        Ok(rest
            .or_else(|| self.next())
            .unwrap_or(Operation::Delete { len_utf16: 0 }))
    }
}
