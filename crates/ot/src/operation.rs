use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{Attributes, SplitError, Text};

/// One step of a delta. Lengths are UTF-16 code units and never 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Adds content.
    Insert {
        /// What.
        insert: Insert,
        /// Its format.
        attributes: Attributes,
    },
    /// Passes over content, and changes its format if there are attributes.
    Retain {
        /// How much.
        len_utf16: usize,
        /// What to set, or with `null` to remove.
        attributes: Attributes,
    },
    /// Removes content.
    Delete {
        /// How much.
        len_utf16: usize,
    },
}

/// What an insertion adds.
#[derive(Clone, Debug, PartialEq)]
pub enum Insert {
    /// Text.
    Text(Text),
    /// Anything else; its length is 1.
    Embed(Embed),
}

/// Content that is not text: a JSON object, whose one key usually names its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed(Arc<Map<String, Value>>);

impl Embed {
    /// The embed that `object` describes.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self(Arc::new(object))
    }

    /// The description.
    #[must_use]
    pub fn object(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Operation {
    /// How much content it adds, passes or removes.
    #[must_use]
    pub fn len_utf16(&self) -> usize {
        match self {
            Self::Insert { insert, .. } => insert.len_utf16(),
            Self::Retain { len_utf16, .. } | Self::Delete { len_utf16 } => *len_utf16,
        }
    }
}

impl Insert {
    /// The length: that of the text, or 1.
    #[must_use]
    pub fn len_utf16(&self) -> usize {
        match self {
            Self::Text(text) => text.len_utf16(),
            Self::Embed(_) => 1,
        }
    }

    /// The parts before and after `at_utf16`.
    ///
    /// # Errors
    ///
    /// As [`SplitError`] says; an embed cannot be cut.
    pub fn split_at(&self, at_utf16: usize) -> Result<(Self, Self), SplitError> {
        match self {
            Self::Text(text) => {
                let (before, after) = text.split_at(at_utf16)?;
                Ok((Self::Text(before), Self::Text(after)))
            }
            Self::Embed(_) => Err(SplitError::OutOfRange {
                at_utf16,
                len_utf16: 1,
            }),
        }
    }
}
