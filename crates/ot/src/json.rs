//! The JSON form, as quill-delta writes it: `{"ops":[{"retain":3},{"insert":"a"},…]}`.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use motet_model::limits::OPERATIONS_MAX;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeMap,
};
use serde_json::{Map, Value, error::Category};

use crate::{Attributes, Delta, Embed, Insert, Operation, Text};

/// Lengths add up to at most this, the largest whole number that JavaScript counts with.
const LEN_UTF16_MAX: usize = 1 << 53;

/// A delta as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The delta, made normal.
    pub delta: Delta,
    /// How much of a document it passes or removes as it was written, a trailing retain included.
    pub extent_utf16: usize,
}

/// JSON that is not a delta.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not JSON, or nested too deep.
    #[error("not JSON: {detail}")]
    Json {
        /// What and where.
        detail: String,
    },
    /// No object with a list `ops` of operations.
    #[error("not a delta: {detail}")]
    Shape {
        /// What and where.
        detail: String,
    },
    /// An operation that is neither insert, retain nor delete, or more than one of them.
    #[error("operation {index} is not one of insert, retain and delete")]
    Operation {
        /// Its place in the list.
        index: usize,
    },
    /// A length that is not a positive whole number, or lengths that add up to too much.
    #[error("operation {index} has a length that is not a positive whole number in range")]
    Length {
        /// Its place in the list.
        index: usize,
    },
    /// An insertion of nothing, or of what is neither text nor an object.
    #[error("operation {index} inserts neither text nor an embed")]
    Insert {
        /// Its place in the list.
        index: usize,
    },
    /// A retain of an object: changes inside embeds are not supported.
    #[error("operation {index} changes the inside of an embed, which is not supported")]
    EmbedRetain {
        /// Its place in the list.
        index: usize,
    },
    /// Text with half of a surrogate pair.
    #[error("the text holds half of a surrogate pair: {detail}")]
    SplitSurrogate {
        /// What and where.
        detail: String,
    },
    /// Too many operations.
    #[error("a delta has at most {OPERATIONS_MAX} operations")]
    TooMany,
}

#[derive(Deserialize)]
struct RawDelta {
    ops: RawOperations,
}

/// A list of operations, each taken as soon as it is read: however small they are written, the
/// memory is that of the delta.
struct RawOperations(Result<Decoded, DecodeError>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    insert: Option<Plain>,
    retain: Option<Plain>,
    delete: Option<Plain>,
    attributes: Option<BTreeMap<String, Plain>>,
}

/// A JSON value as it is written. [`Value`] reads an object with serde_json's private name for raw text
/// as what that text holds, and what a client inserts would be something else here.
struct Plain(Value);

/// Reads a delta from its JSON form. O(n).
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn decode(json: &[u8]) -> Result<Decoded, DecodeError> {
    let Object::<RawDelta>(raw) =
        serde_json::from_slice(json).map_err(|error| refuse(json, &error))?;
    raw.ops.0
}

fn refuse(json: &[u8], error: &serde_json::Error) -> DecodeError {
    let detail = error.to_string();
    // The two ways in which serde_json finds half of a pair in an escape. It finds them before what
    // follows, which may be no JSON; where it only passes over a text, halves are none of its concern.
    let half = ["lone leading surrogate", "unexpected end of hex escape"];
    let is_json = || serde_json::from_slice::<IgnoredAny>(json).is_ok();
    match error.classify() {
        Category::Syntax if half.iter().any(|message| detail.starts_with(message)) && is_json() => {
            DecodeError::SplitSurrogate { detail }
        }
        Category::Data => DecodeError::Shape { detail },
        _ => DecodeError::Json { detail },
    }
}

impl<'de> Deserialize<'de> for RawOperations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = RawOperations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of operations")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawOperations, A::Error> {
                let mut reader = Reader::default();
                while let Some(Object(raw)) = list.next_element()? {
                    if let Err(error) = reader.take(raw) {
                        // What follows must be JSON, no more.
                        while list.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(RawOperations(Err(error)));
                    }
                }
                Ok(RawOperations(Ok(reader.finish())))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Plain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Plain, E> {
                Ok(Plain(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
                Ok(Plain(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
                Ok(Plain(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
                Ok(Plain(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
                Ok(Plain(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
                Ok(Plain(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
                let mut values = Vec::new();
                while let Some(Plain(value)) = list.next_element()? {
                    values.push(value);
                }
                Ok(Plain(Value::Array(values)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Plain, A::Error> {
                let mut values = Map::new();
                while let Some((name, Plain(value))) = object.next_entry()? {
                    values.insert(name, value);
                }
                Ok(Plain(Value::Object(values)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// What is written as an object. A derived struct alone may also be a list of its fields' values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A delta that is being read.
#[derive(Default)]
struct Reader {
    delta: Delta,
    /// How many operations were read.
    count: usize,
    extent_utf16: usize,
    inserted_utf16: usize,
}

impl Reader {
    fn take(&mut self, raw: RawOperation) -> Result<(), DecodeError> {
        let index = self.count;
        if index == OPERATIONS_MAX {
            return Err(DecodeError::TooMany);
        }
        self.count += 1;
        let operation = operation(index, raw)?;
        let sum = match operation {
            Operation::Insert { .. } => &mut self.inserted_utf16,
            _ => &mut self.extent_utf16,
        };
        *sum += operation.len_utf16();
        if *sum > LEN_UTF16_MAX {
            return Err(DecodeError::Length { index });
        }
        self.delta.push(operation);
        Ok(())
    }

    fn finish(self) -> Decoded {
        Decoded {
            delta: self.delta.chop(),
            extent_utf16: self.extent_utf16,
        }
    }
}

fn operation(index: usize, raw: RawOperation) -> Result<Operation, DecodeError> {
    let attributes = raw.attributes.into_iter().flatten();
    let attributes: Attributes = attributes
        .map(|(name, Plain(value))| (name, value))
        .collect();
    let [insert, retain, delete] = [raw.insert, raw.retain, raw.delete].map(|it| it.map(|it| it.0));
    match (insert, retain, delete) {
        (Some(Value::String(text)), None, None) if !text.is_empty() => Ok(Operation::Insert {
            insert: Insert::Text(Text::new(text)),
            attributes,
        }),
        (Some(Value::Object(object)), None, None) if !object.is_empty() => Ok(Operation::Insert {
            insert: Insert::Embed(Embed::new(object)),
            attributes,
        }),
        (Some(_), None, None) => Err(DecodeError::Insert { index }),
        (None, Some(Value::Object(_)), None) => Err(DecodeError::EmbedRetain { index }),
        (None, Some(len), None) => Ok(Operation::Retain {
            len_utf16: length(index, &len)?,
            attributes,
        }),
        (None, None, Some(len)) if attributes.is_empty() => Ok(Operation::Delete {
            len_utf16: length(index, &len)?,
        }),
        _ => Err(DecodeError::Operation { index }),
    }
}

fn length(index: usize, value: &Value) -> Result<usize, DecodeError> {
    value
        .as_u64()
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| (1..=LEN_UTF16_MAX).contains(len))
        .ok_or(DecodeError::Length { index })
}

impl Delta {
    /// The JSON form. O(n).
    ///
    /// # Panics
    ///
    /// Never: a delta has only text keys.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text keys")
    }
}

impl Serialize for Delta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("ops", self.ops())?;
        map.end()
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let attributes = match self {
            Self::Insert {
                insert: Insert::Text(text),
                attributes,
            } => {
                map.serialize_entry("insert", text.as_str())?;
                Some(attributes)
            }
            Self::Insert {
                insert: Insert::Embed(embed),
                attributes,
            } => {
                map.serialize_entry("insert", embed.object())?;
                Some(attributes)
            }
            Self::Retain {
                len_utf16,
                attributes,
            } => {
                map.serialize_entry("retain", len_utf16)?;
                Some(attributes)
            }
            Self::Delete { len_utf16 } => {
                map.serialize_entry("delete", len_utf16)?;
                None
            }
        };
        if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
            map.serialize_entry("attributes", attributes)?;
        }
        map.end()
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
