//! The primitive encodings of lib0, on which those of Yjs are built.
//!
//! Numbers are little-endian groups of seven bits; signed ones keep the sign in the first byte, so that
//! there is a negative zero, which the run-length columns of update v2 use.

mod any;
mod rle;

pub use any::ANY_DEPTH_MAX;
pub(crate) use any::{any_to_json, count_any, json_to_any, skip_any};
pub(crate) use rle::{
    IntDiffReader, IntDiffWriter, RleReader, RleWriter, StringReader, StringWriter, UintReader,
    UintWriter,
};

use std::ops::Range;

use crate::DecodeError;

/// The largest whole number that JavaScript counts exactly.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A part of the bytes that were decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// The text that it was checked to be.
    pub(crate) fn text(self, bytes: &[u8]) -> &str {
        std::str::from_utf8(self.of(bytes)).unwrap_or_default()
    }
}

/// Reads from a slice, and never past its end.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads a part of `bytes`; positions count in all of them.
    pub(crate) fn part(bytes: &'a [u8], span: Span) -> Self {
        Self {
            bytes: &bytes[..span.end as usize],
            at: span.start as usize,
        }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { at: self.at, what }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn var_u64(&mut self) -> Result<u64, DecodeError> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.u8()?;
            if shift >= 49 && (shift > 56 || u64::from(byte & 0x7f) << shift > SAFE_INTEGER_MAX) {
                return Err(DecodeError::OutOfRange { at: self.at });
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub(crate) fn var_u32(&mut self) -> Result<u32, DecodeError> {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0x80);
        if byte < 0x80 {
            self.at += 1;
            return Ok(u32::from(byte));
        }
        let number = self.var_u64()?;
        u32::try_from(number).map_err(|_| DecodeError::OutOfRange { at: self.at })
    }

    /// A signed number, and whether its sign is minus.
    pub(crate) fn var_i64(&mut self) -> Result<(i64, bool), DecodeError> {
        let byte = self.u8()?;
        let negative = byte & 0x40 != 0;
        let (mut number, mut shift, mut more) = (u64::from(byte & 0x3f), 6_u32, byte & 0x80 != 0);
        while more {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift >= 48 && (shift > 55 || bits << shift > SAFE_INTEGER_MAX) {
                return Err(DecodeError::OutOfRange { at: self.at });
            }
            number |= bits << shift;
            shift += 7;
            more = byte & 0x80 != 0;
        }
        let number = number.cast_signed();
        Ok((if negative { -number } else { number }, negative))
    }

    /// The next `len` bytes.
    pub(crate) fn span(&mut self, len: usize) -> Result<Span, DecodeError> {
        let end = self.at.checked_add(len).ok_or(DecodeError::Truncated)?;
        if end > self.bytes.len() {
            return Err(DecodeError::Truncated);
        }
        let span = Span {
            start: to_u32(self.at)?,
            end: to_u32(end)?,
        };
        self.at = end;
        Ok(span)
    }

    /// Bytes after their length.
    pub(crate) fn var_bytes(&mut self) -> Result<Span, DecodeError> {
        let len = self.var_u64()?;
        self.span(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// UTF-8 after its length in bytes.
    pub(crate) fn var_text(&mut self) -> Result<Span, DecodeError> {
        let span = self.var_bytes()?;
        match std::str::from_utf8(span.of(self.bytes)) {
            Ok(_) => Ok(span),
            Err(_) => Err(self.malformed("a string is not UTF-8")),
        }
    }
}

fn to_u32(at: usize) -> Result<u32, DecodeError> {
    u32::try_from(at).map_err(|_| DecodeError::TooLarge)
}

/// The places between two byte offsets.
pub(crate) fn span(range: Range<usize>) -> Result<Span, DecodeError> {
    Ok(Span {
        start: to_u32(range.start)?,
        end: to_u32(range.end)?,
    })
}

/// Writes what [`Reader`] reads.
pub(crate) trait Write {
    fn var_u64(&mut self, number: u64);
    fn var_i64(&mut self, magnitude: u64, negative: bool);
    fn var_bytes(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn var_u64(&mut self, mut number: u64) {
        while number > 0x7f {
            self.push(0x80 | low_bits(number, 0x7f));
            number >>= 7;
        }
        self.push(low_bits(number, 0x7f));
    }

    fn var_i64(&mut self, magnitude: u64, negative: bool) {
        let sign = if negative { 0x40 } else { 0 };
        let more = if magnitude > 0x3f { 0x80 } else { 0 };
        self.push(more | sign | low_bits(magnitude, 0x3f));
        if magnitude > 0x3f {
            self.var_u64(magnitude >> 6);
        }
    }

    fn var_bytes(&mut self, bytes: &[u8]) {
        self.var_u64(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask leaves a byte at most"
)]
fn low_bits(number: u64, mask: u8) -> u8 {
    (number & u64::from(mask)) as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn numbers_round_trip() {
        let numbers = (0..53).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in numbers.chain([SAFE_INTEGER_MAX]) {
            let mut bytes = Vec::new();
            bytes.var_u64(number);
            bytes.var_i64(number, false);
            bytes.var_i64(number, true);
            let mut reader = Reader::new(&bytes);
            let signed = number.cast_signed();
            assert_eq!(reader.var_u64().unwrap(), number);
            assert_eq!(reader.var_i64().unwrap(), (signed, false));
            assert_eq!(reader.var_i64().unwrap(), (-signed, true));
            assert!(reader.is_at_end());
        }
    }

    #[test]
    fn numbers_past_those_of_javascript_are_refused() {
        for bytes in [
            [0xff; 12].as_slice(),
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f],
        ] {
            assert!(matches!(
                Reader::new(bytes).var_u64(),
                Err(DecodeError::OutOfRange { .. })
            ));
        }
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Reader::new(&most).var_u64().unwrap(), SAFE_INTEGER_MAX);
    }
}
