//! lib0's self-describing values, kept as the bytes that they came in.
//!
//! A value is checked once, when it is decoded, and turned into JSON when somebody looks at it. Nothing
//! recurses further than [`ANY_DEPTH_MAX`].

use serde_json::{Map, Number, Value};

use super::{Reader, Span, Write};
use crate::DecodeError;

/// How deep a value may be nested.
pub const ANY_DEPTH_MAX: usize = 100;

const BUFFER: u8 = 116;
const ARRAY: u8 = 117;
const OBJECT: u8 = 118;
const STRING: u8 = 119;
const TRUE: u8 = 120;
const FALSE: u8 = 121;
const BIG_INT: u8 = 122;
const FLOAT64: u8 = 123;
const FLOAT32: u8 = 124;
const INTEGER: u8 = 125;
const NULL: u8 = 126;
const UNDEFINED: u8 = 127;

/// Passes over one value and checks it.
pub(crate) fn skip_any(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    skip(reader, 0)
}

fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    if depth > ANY_DEPTH_MAX {
        return Err(DecodeError::TooDeep { at: reader.at() });
    }
    match reader.u8()? {
        UNDEFINED | NULL | TRUE | FALSE => {}
        INTEGER => {
            reader.var_i64()?;
        }
        FLOAT32 => {
            reader.span(4)?;
        }
        FLOAT64 | BIG_INT => {
            reader.span(8)?;
        }
        STRING => {
            reader.var_text()?;
        }
        BUFFER => {
            reader.var_bytes()?;
        }
        ARRAY => {
            for _ in 0..reader.var_u64()? {
                skip(reader, depth + 1)?;
            }
        }
        OBJECT => {
            for _ in 0..reader.var_u64()? {
                reader.var_text()?;
                skip(reader, depth + 1)?;
            }
        }
        _ => return Err(reader.malformed("no such kind of value")),
    }
    Ok(())
}

/// The bytes of the first `count` of the values in `bytes`, which have been checked.
pub(crate) fn count_any(bytes: &[u8], count: u32) -> usize {
    let mut reader = Reader::new(bytes);
    for _ in 0..count {
        if skip_any(&mut reader).is_err() {
            break;
        }
    }
    reader.at()
}

/// A value that has been checked, as JSON. What JSON does not have becomes `null`, and bytes become
/// numbers.
pub(crate) fn any_to_json(bytes: &[u8], at: &mut usize) -> Value {
    let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let start = u32::try_from(*at).unwrap_or(u32::MAX);
    let mut reader = Reader::part(bytes, Span { start, end });
    let value = json(&mut reader).unwrap_or(Value::Null);
    *at = reader.at();
    value
}

fn json(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match reader.u8()? {
        TRUE => Value::Bool(true),
        FALSE => Value::Bool(false),
        INTEGER => Value::from(reader.var_i64()?.0),
        FLOAT32 => float(f64::from(f32::from_be_bytes(array(reader)?))),
        FLOAT64 => float(f64::from_be_bytes(array(reader)?)),
        BIG_INT => Value::from(i64::from_be_bytes(array(reader)?)),
        STRING => Value::from(reader.var_text()?.text(reader.bytes())),
        BUFFER => {
            let bytes = reader.var_bytes()?.of(reader.bytes());
            bytes.iter().map(|byte| Value::from(*byte)).collect()
        }
        ARRAY => {
            let len = reader.var_u64()?;
            let mut values = Vec::new();
            for _ in 0..len {
                values.push(json(reader)?);
            }
            Value::Array(values)
        }
        OBJECT => {
            let len = reader.var_u64()?;
            let mut object = Map::new();
            for _ in 0..len {
                let key = reader.var_text()?.text(reader.bytes()).to_owned();
                object.insert(key, json(reader)?);
            }
            Value::Object(object)
        }
        _ => Value::Null,
    })
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    let span = reader.span(N)?;
    span.of(reader.bytes())
        .try_into()
        .map_err(|_| DecodeError::Truncated)
}

/// JavaScript has one kind of number: 1.0 is 1.
fn float(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0
        && number.abs() < EXACT
        && !(number == 0.0 && number.is_sign_negative())
    {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// JSON as lib0 writes it.
pub(crate) fn json_to_any(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(true) => out.push(TRUE),
        Value::Bool(false) => out.push(FALSE),
        Value::Number(number) => number_to_any(number, out),
        Value::String(text) => {
            out.push(STRING);
            out.var_bytes(text.as_bytes());
        }
        Value::Array(values) => {
            out.push(ARRAY);
            out.var_u64(values.len() as u64);
            for value in values {
                json_to_any(value, out);
            }
        }
        Value::Object(object) => {
            out.push(OBJECT);
            out.var_u64(object.len() as u64);
            for (key, value) in object {
                out.var_bytes(key.as_bytes());
                json_to_any(value, out);
            }
        }
    }
}

fn number_to_any(number: &Number, out: &mut Vec<u8>) {
    const INTEGER_MAX: u64 = i32::MAX as u64;
    if let Some(whole) = number.as_i64()
        && whole.unsigned_abs() <= INTEGER_MAX
    {
        out.push(INTEGER);
        out.var_i64(whole.unsigned_abs(), whole < 0);
        return;
    }
    let number = number.as_f64().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "it is checked to be exact")]
    let narrow = number as f32;
    if f64::from(narrow).to_bits() == number.to_bits() {
        out.push(FLOAT32);
        out.extend_from_slice(&narrow.to_be_bytes());
    } else {
        out.push(FLOAT64);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use serde_json::json;

    use super::*;

    #[test]
    fn json_round_trips() {
        let value = json!({
            "a": [null, true, false, 0, -1, 63, 64, -64, 2_147_483_647, 2_147_483_648_u64, 0.5, 0.1],
            "b": {"": "é😀", "c": []},
        });
        let mut bytes = Vec::new();
        json_to_any(&value, &mut bytes);
        let mut reader = Reader::new(&bytes);
        skip_any(&mut reader).unwrap();
        assert!(reader.is_at_end());
        let mut at = 0;
        assert_eq!(any_to_json(&bytes, &mut at), value);
        assert_eq!(at, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(
                skip_any(&mut Reader::new(&bytes[..cut])),
                Err(DecodeError::Truncated)
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = [ARRAY, 1].repeat(300_000);
        assert!(matches!(
            skip_any(&mut Reader::new(&deep)),
            Err(DecodeError::TooDeep { .. })
        ));
    }
}
