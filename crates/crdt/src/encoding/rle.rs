//! The run-length columns of update v2.

use super::{Reader, Span, Write};
use crate::DecodeError;

/// Bytes, each with how often it repeats; the last repeats for ever.
pub(crate) struct RleReader<'a> {
    reader: Reader<'a>,
    value: u8,
    left: u64,
}

impl<'a> RleReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        Self {
            reader: Reader::part(bytes, span),
            value: 0,
            left: 0,
        }
    }

    pub(crate) fn read(&mut self) -> Result<u8, DecodeError> {
        if self.left == 0 {
            self.value = self.reader.u8()?;
            self.left = if self.reader.is_at_end() {
                u64::MAX
            } else {
                self.reader.var_u64()? + 1
            };
        }
        self.left -= 1;
        Ok(self.value)
    }
}

/// Numbers; one that repeats has a minus sign and a count.
pub(crate) struct UintReader<'a> {
    reader: Reader<'a>,
    value: u64,
    left: u64,
}

impl<'a> UintReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        Self {
            reader: Reader::part(bytes, span),
            value: 0,
            left: 0,
        }
    }

    pub(crate) fn read(&mut self) -> Result<u64, DecodeError> {
        if self.left == 0 {
            let (value, negative) = self.reader.var_i64()?;
            self.value = value.unsigned_abs();
            self.left = if negative {
                self.reader.var_u64()? + 2
            } else {
                1
            };
        }
        self.left -= 1;
        Ok(self.value)
    }

    pub(crate) fn read_u32(&mut self) -> Result<u32, DecodeError> {
        let at = self.reader.at();
        u32::try_from(self.read()?).map_err(|_| DecodeError::OutOfRange { at })
    }
}

/// Numbers as differences; one that repeats has its lowest bit set and a count.
pub(crate) struct IntDiffReader<'a> {
    reader: Reader<'a>,
    value: i64,
    diff: i64,
    left: u64,
}

impl<'a> IntDiffReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        Self {
            reader: Reader::part(bytes, span),
            value: 0,
            diff: 0,
            left: 0,
        }
    }

    pub(crate) fn read(&mut self) -> Result<u32, DecodeError> {
        if self.left == 0 {
            let (encoded, _) = self.reader.var_i64()?;
            self.diff = encoded >> 1;
            self.left = if encoded & 1 == 1 {
                self.reader.var_u64()? + 2
            } else {
                1
            };
        }
        self.left -= 1;
        let at = self.reader.at();
        self.value = self.value.saturating_add(self.diff);
        u32::try_from(self.value).map_err(|_| DecodeError::OutOfRange { at })
    }
}

/// Strings: all in one, and their lengths in UTF-16 units.
pub(crate) struct StringReader<'a> {
    all: Reader<'a>,
    lengths: UintReader<'a>,
}

impl<'a> StringReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Result<Self, DecodeError> {
        let mut reader = Reader::part(bytes, span);
        if reader.is_at_end() {
            // A column that nothing was written to may be missing altogether.
            return Ok(Self {
                all: reader.clone(),
                lengths: UintReader::new(
                    bytes,
                    Span {
                        start: span.end,
                        ..span
                    },
                ),
            });
        }
        let all = reader.var_text()?;
        let start = super::span(reader.at()..reader.at())?.start;
        Ok(Self {
            all: Reader::part(bytes, all),
            lengths: UintReader::new(
                bytes,
                Span {
                    start,
                    end: span.end,
                },
            ),
        })
    }

    /// The next string, and its length in UTF-16 units.
    pub(crate) fn read(&mut self) -> Result<(Span, u32), DecodeError> {
        let len_utf16 = self.lengths.read_u32()?;
        let rest = &self.all.bytes()[self.all.at()..];
        let (mut len, mut units) = (0_usize, 0_u32);
        while units < len_utf16 {
            let first = *rest.get(len).ok_or(DecodeError::Truncated)?;
            let (bytes, more) = match first {
                0x00..0x80 => (1, 1),
                0x80..0xe0 => (2, 1),
                0xe0..0xf0 => (3, 1),
                _ => (4, 2),
            };
            len += bytes;
            units += more;
        }
        if units > len_utf16 {
            return Err(self.all.malformed("a string ends inside a surrogate pair"));
        }
        Ok((self.all.span(len)?, len_utf16))
    }
}

/// Writes what [`RleReader`] reads.
#[derive(Default)]
pub(crate) struct RleWriter {
    bytes: Vec<u8>,
    value: u8,
    count: u64,
}

impl RleWriter {
    pub(crate) fn write(&mut self, value: u8) {
        if self.count > 0 && self.value == value {
            self.count += 1;
            return;
        }
        if self.count > 0 {
            self.bytes.var_u64(self.count - 1);
        }
        self.bytes.push(value);
        (self.value, self.count) = (value, 1);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Writes what [`UintReader`] reads.
#[derive(Default)]
pub(crate) struct UintWriter {
    bytes: Vec<u8>,
    value: u64,
    count: u64,
}

impl UintWriter {
    pub(crate) fn write(&mut self, value: u64) {
        if self.value == value {
            self.count += 1;
            return;
        }
        self.flush();
        (self.value, self.count) = (value, 1);
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.bytes.var_i64(self.value, self.count > 1);
        }
        if self.count > 1 {
            self.bytes.var_u64(self.count - 2);
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.bytes
    }
}

/// Writes what [`IntDiffReader`] reads.
#[derive(Default)]
pub(crate) struct IntDiffWriter {
    bytes: Vec<u8>,
    value: i64,
    diff: i64,
    count: u64,
}

impl IntDiffWriter {
    pub(crate) fn write(&mut self, value: u32) {
        let value = i64::from(value);
        if self.diff == value - self.value {
            self.count += 1;
            self.value = value;
            return;
        }
        self.flush();
        (self.diff, self.value, self.count) = (value - self.value, value, 1);
    }

    fn flush(&mut self) {
        if self.count > 0 {
            let encoded = self.diff * 2 + i64::from(self.count > 1);
            self.bytes.var_i64(encoded.unsigned_abs(), encoded < 0);
        }
        if self.count > 1 {
            self.bytes.var_u64(self.count - 2);
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.bytes
    }
}

/// Writes what [`StringReader`] reads.
#[derive(Default)]
pub(crate) struct StringWriter {
    all: String,
    lengths: UintWriter,
}

impl StringWriter {
    pub(crate) fn write(&mut self, text: &str) {
        self.all.push_str(text);
        self.lengths.write(text.encode_utf16().count() as u64);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.var_bytes(self.all.as_bytes());
        bytes.extend(self.lengths.finish());
        bytes
    }
}
