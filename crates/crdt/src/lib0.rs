//! The primitive encodings of lib0, for the messages around updates.
//!
//! Each function takes its part off the front of `bytes`.

use crate::{
    DecodeError,
    encoding::{Reader, Span, Write},
};

/// Takes an unsigned number, up to 2⁵³ - 1.
///
/// # Errors
///
/// `Truncated`, `OutOfRange`.
pub fn take_number(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(bytes);
    let number = reader.var_u64()?;
    *bytes = &bytes[reader.at()..];
    Ok(number)
}

/// Takes bytes after their length.
///
/// # Errors
///
/// `Truncated`, `OutOfRange`.
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    take(bytes, Reader::var_bytes)
}

/// Takes text after its length in bytes.
///
/// # Errors
///
/// `Truncated`, `OutOfRange`, `Malformed`.
pub fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let text = take(bytes, Reader::var_text)?;
    Ok(std::str::from_utf8(text).unwrap_or_default())
}

fn take<'a>(
    bytes: &mut &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<Span, DecodeError>,
) -> Result<&'a [u8], DecodeError> {
    let all = *bytes;
    let mut reader = Reader::new(all);
    let span = read(&mut reader)?;
    *bytes = &all[reader.at()..];
    Ok(span.of(all))
}

/// Appends an unsigned number.
pub fn put_number(out: &mut Vec<u8>, number: u64) {
    out.var_u64(number);
}

/// Appends bytes, or a text's, after their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.var_bytes(bytes);
}
