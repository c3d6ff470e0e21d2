use std::{fmt, ops::Range, sync::Arc};

/// Immutable text whose length in UTF-16 code units is known.
///
/// A slice shares the text that it was cut from. Cutting ASCII text is O(1), other text O(n).
#[derive(Clone)]
pub struct Text {
    whole: Arc<String>,
    /// The part of `whole` that this is, in bytes.
    range: Range<usize>,
    len_utf16: usize,
}

/// A cut at a place where text cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Between the two halves of a surrogate pair.
    #[error("{at_utf16} is inside a surrogate pair")]
    Surrogate {
        /// The place.
        at_utf16: usize,
    },
    /// Past the end.
    #[error("{at_utf16} is past the end, {len_utf16}")]
    OutOfRange {
        /// The place.
        at_utf16: usize,
        /// The length.
        len_utf16: usize,
    },
}

impl Text {
    /// The text. O(n), to count its length.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let whole = text.into();
        let len_utf16 = len_utf16(&whole);
        Self {
            range: 0..whole.len(),
            whole: Arc::new(whole),
            len_utf16,
        }
    }

    /// The text as a string slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole[self.range.clone()]
    }

    /// The length in UTF-16 code units. O(1).
    #[must_use]
    pub fn len_utf16(&self) -> usize {
        self.len_utf16
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The parts before and after `at_utf16`.
    ///
    /// # Errors
    ///
    /// As [`SplitError`] says.
    pub fn split_at(&self, at_utf16: usize) -> Result<(Self, Self), SplitError> {
        let at = self.range.start + byte_index(self.as_str(), self.len_utf16, at_utf16)?;
        let part = |range, len_utf16| Self {
            whole: Arc::clone(&self.whole),
            range,
            len_utf16,
        };
        Ok((
            part(self.range.start..at, at_utf16),
            part(at..self.range.end, self.len_utf16 - at_utf16),
        ))
    }

    /// Adds `next` behind this text. Amortized O(m) where nobody shares this text, else O(n + m).
    pub(crate) fn append(&mut self, next: &Self) {
        self.len_utf16 += next.len_utf16;
        // Two neighbouring slices of one text need no copy.
        if Arc::ptr_eq(&self.whole, &next.whole) && self.range.end == next.range.start {
            self.range.end = next.range.end;
            return;
        }
        match Arc::get_mut(&mut self.whole) {
            Some(whole) => {
                whole.truncate(self.range.end);
                whole.push_str(next.as_str());
            }
            None => {
                let mut whole = String::with_capacity(self.range.len() + next.range.len());
                whole.push_str(self.as_str());
                whole.push_str(next.as_str());
                self.range.start = 0;
                self.whole = Arc::new(whole);
            }
        }
        self.range.end = self.whole.len();
    }
}

/// The length of `text` in UTF-16 code units. O(n).
fn len_utf16(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.chars().map(char::len_utf16).sum()
    }
}

fn byte_index(text: &str, len_utf16: usize, at_utf16: usize) -> Result<usize, SplitError> {
    if at_utf16 > len_utf16 {
        return Err(SplitError::OutOfRange {
            at_utf16,
            len_utf16,
        });
    }
    if text.len() == len_utf16 {
        return Ok(at_utf16);
    }
    let mut passed = 0;
    for (index, char) in text.char_indices() {
        if passed >= at_utf16 {
            return if passed == at_utf16 {
                Ok(index)
            } else {
                Err(SplitError::Surrogate { at_utf16 })
            };
        }
        passed += char.len_utf16();
    }
    if passed == at_utf16 {
        Ok(text.len())
    } else {
        Err(SplitError::Surrogate { at_utf16 })
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
