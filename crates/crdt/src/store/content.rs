//! What runs hold.
//!
//! Text stands in two long buffers, so that a run is no more than an offset; a split costs nothing, and
//! typing on extends the last run. What is freed leaves a hole, and when there are more holes than text
//! the replica moves the text together. Other content stands in a list.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value as Json;

use super::{Handle, NONE, Run, RunKind, run::FORMAT_KEY_SHIFT};
use crate::encoding::{any_to_json, json_to_any};

/// What is neither text nor a format nor a type.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    /// lib0's values, one after another: the bytes from `start` to `end`.
    Any {
        bytes: Arc<[u8]>,
        start: u32,
        end: u32,
    },
    /// Strings of JSON, each after its length.
    Json {
        bytes: Arc<[u8]>,
        start: u32,
        end: u32,
    },
    Binary(Arc<[u8]>),
    Embed(Scalar),
    Doc {
        guid: Arc<str>,
        options: Arc<[u8]>,
    },
}

impl Value {
    /// The memory outside the list of values. What was split counts all the bytes it was split from.
    fn size_bytes(&self) -> usize {
        ALLOCATION_BYTES
            + match self {
                Self::None => 0,
                Self::Any { bytes, .. } | Self::Json { bytes, .. } => bytes.len(),
                Self::Binary(bytes) => bytes.len(),
                Self::Embed(scalar) => scalar.bytes().len(),
                Self::Doc { guid, options } => guid.len() + options.len() + ALLOCATION_BYTES,
            }
    }

    fn start(&self) -> u32 {
        match self {
            Self::Any { start, .. } | Self::Json { start, .. } => *start,
            _ => 0,
        }
    }

    fn end(&self) -> u32 {
        match self {
            Self::Any { end, .. } | Self::Json { end, .. } => *end,
            _ => 0,
        }
    }

    /// Where the bytes are that lists may share.
    fn shared(&self) -> Option<usize> {
        match self {
            Self::Any { bytes, .. } | Self::Json { bytes, .. } => Some(bytes.as_ptr().addr()),
            _ => None,
        }
    }
}

/// A value as it came: JSON text in update v1, lib0's bytes in v2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Json(Arc<str>),
    Any(Arc<[u8]>),
}

impl Scalar {
    /// `bytes` have been checked to be text if they are JSON.
    pub(crate) fn new(is_json: bool, bytes: &[u8]) -> Self {
        if is_json {
            Self::Json(std::str::from_utf8(bytes).unwrap_or_default().into())
        } else {
            Self::Any(bytes.into())
        }
    }

    pub(crate) fn from_json(value: &Json) -> Self {
        Self::Json(value.to_string().into())
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            // Nested too deep for the parser, or no JSON at all: shown as nothing, and sent on as it is.
            Self::Json(text) => serde_json::from_str(text).unwrap_or(Json::Null),
            Self::Any(bytes) => any_to_json(bytes, &mut 0),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Any(bytes) => bytes,
        }
    }
}

/// A list or a map of the document, or both: what holds children.
#[derive(Clone, Debug)]
pub(crate) struct Type {
    /// Yjs's number of the kind, or [`Type::ROOT`].
    pub(crate) type_ref: u8,
    /// A root's name, or that of an XML element.
    pub(crate) name: Arc<str>,
    /// The run that holds it; [`NONE`] for a root.
    pub(crate) item: Handle,
    /// Its list.
    pub(crate) list: u32,
    /// Whether it has keys.
    pub(crate) has_keys: bool,
}

impl Type {
    pub(crate) const ARRAY: u8 = 0;
    pub(crate) const MAP: u8 = 1;
    pub(crate) const TEXT: u8 = 2;
    pub(crate) const XML_ELEMENT: u8 = 3;
    pub(crate) const XML_FRAGMENT: u8 = 4;
    pub(crate) const XML_HOOK: u8 = 5;
    pub(crate) const XML_TEXT: u8 = 6;
    /// A root's kind is what the one who asks takes it for.
    pub(crate) const ROOT: u8 = u8::MAX;
}

/// A format: a key with a value, which ends where it is `null`.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(crate) key: u32,
    pub(crate) value: Scalar,
    pub(crate) json: Json,
    /// The largest value of its key before it came, in bytes.
    largest_before: usize,
}

/// All content.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    pub(crate) narrow: Vec<u8>,
    pub(crate) wide: Vec<u16>,
    /// How many units of text no run holds any more.
    pub(crate) holes: usize,
    /// How much text the runs that have been loaded will have.
    pub(crate) narrow_len: usize,
    pub(crate) wide_len: usize,
    values: Vec<Value>,
    free_values: Vec<u32>,
    formats: Vec<Format>,
    format_ids: HashMap<(u32, Scalar), u32>,
    /// The largest value of each key, in bytes, and their sum.
    largest_formats: HashMap<u32, usize>,
    formats_bytes: usize,
    keys: Vec<Arc<str>>,
    key_ids: HashMap<Arc<str>, u32>,
    pub(crate) types: Vec<Type>,
    free_types: Vec<u32>,
    /// How many values share the bytes of a list that was split, by where they are.
    sharers: HashMap<usize, u32>,
    /// The memory of values, formats, keys and names outside the lists.
    outside_bytes: usize,
}

/// How much content there is, of what only ever grows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContentsMark {
    narrow: usize,
    wide: usize,
    holes: usize,
    formats: usize,
    keys: usize,
}

/// What an allocation takes up beside its content, with the counts of an [`Arc`].
const ALLOCATION_BYTES: usize = 32;

impl Contents {
    pub(crate) fn add_value(&mut self, value: Value) -> u32 {
        self.outside_bytes += value.size_bytes();
        self.put_value(value)
    }

    fn put_value(&mut self, value: Value) -> u32 {
        if let Some(at) = self.free_values.pop() {
            self.values[at as usize] = value;
            return at;
        }
        self.values.push(value);
        u32::try_from(self.values.len() - 1).unwrap_or(NONE)
    }

    pub(crate) fn value(&self, at: u32) -> &Value {
        &self.values[at as usize]
    }

    /// Makes two values of one: lists that share the bytes they had. Returns the second.
    pub(crate) fn split_value(&mut self, at: u32, left: Value, right: Value) -> u32 {
        if let Some(bytes) = left.shared() {
            *self.sharers.entry(bytes).or_insert(1) += 1;
        }
        self.values[at as usize] = left;
        self.put_value(right)
    }

    /// Makes one value again of two that were split, if they were; the second is free then.
    pub(crate) fn join_values(&mut self, left: u32, right: u32) -> bool {
        let (a, b) = (self.value(left), self.value(right));
        if a.shared().is_none() || a.shared() != b.shared() || a.end() != b.start() {
            return false;
        }
        let end = b.end();
        self.free_value(right);
        if let Value::Any { end: at, .. } | Value::Json { end: at, .. } =
            &mut self.values[left as usize]
        {
            *at = end;
        }
        true
    }

    pub(crate) fn free_value(&mut self, at: u32) {
        let value = std::mem::replace(&mut self.values[at as usize], Value::None);
        self.free_values.push(at);
        let sharers = value
            .shared()
            .and_then(|bytes| Some((bytes, self.sharers.get_mut(&bytes)?)));
        match sharers {
            // The others hold the bytes.
            Some((bytes, sharers)) => {
                *sharers -= 1;
                if *sharers == 1 {
                    self.sharers.remove(&bytes);
                }
            }
            None => self.outside_bytes -= value.size_bytes(),
        }
    }

    /// The number of a string.
    pub(crate) fn key(&mut self, text: &str) -> u32 {
        if let Some(id) = self.key_ids.get(text) {
            return *id;
        }
        let id = u32::try_from(self.keys.len()).unwrap_or(NONE);
        let text: Arc<str> = text.into();
        self.outside_bytes += text.len() + ALLOCATION_BYTES;
        self.keys.push(text.clone());
        self.key_ids.insert(text, id);
        id
    }

    /// The number of a string that has one.
    pub(crate) fn known_key(&self, text: &str) -> Option<u32> {
        self.key_ids.get(text).copied()
    }

    pub(crate) fn keys_len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key_text(&self, key: u32) -> &Arc<str> {
        &self.keys[key as usize]
    }

    /// What a run holds that is this format.
    pub(crate) fn format_id(&mut self, key: &str, value: Scalar) -> u32 {
        let key = self.key(key);
        if let Some(id) = self.format_ids.get(&(key, value.clone())) {
            return *id;
        }
        let bits = (key & 31) << FORMAT_KEY_SHIFT;
        let id = bits | u32::try_from(self.formats.len()).unwrap_or(NONE);
        let json = value.to_json();
        self.outside_bytes += format_outside_bytes(&value, &json);
        let name_bytes = self.key_text(key).len();
        let format_bytes = json_bytes(&json).max(value.bytes().len()) + name_bytes;
        let largest = self.largest_formats.entry(key).or_default();
        let largest_before = *largest;
        self.formats_bytes += format_bytes.saturating_sub(largest_before);
        *largest = format_bytes.max(largest_before);
        self.format_ids.insert((key, value.clone()), id);
        self.formats.push(Format {
            key,
            value,
            json,
            largest_before,
        });
        id
    }

    /// How much there is.
    pub(crate) fn mark(&self) -> ContentsMark {
        ContentsMark {
            narrow: self.narrow.len(),
            wide: self.wide.len(),
            holes: self.holes,
            formats: self.formats.len(),
            keys: self.keys.len(),
        }
    }

    /// Takes off what came since there was as much as `mark` says, which no run holds any more. Values and
    /// types have been freed one by one.
    pub(crate) fn go_back(&mut self, mark: &ContentsMark) {
        self.narrow.truncate(mark.narrow);
        self.wide.truncate(mark.wide);
        self.holes = mark.holes;
        while self.formats.len() > mark.formats
            && let Some(format) = self.formats.pop()
        {
            self.outside_bytes -= format_outside_bytes(&format.value, &format.json);
            if let Some(largest) = self.largest_formats.get_mut(&format.key) {
                self.formats_bytes -= *largest - format.largest_before;
                *largest = format.largest_before;
            }
            self.format_ids.remove(&(format.key, format.value));
        }
        for text in self.keys.drain(mark.keys..) {
            self.outside_bytes -= text.len() + ALLOCATION_BYTES;
            self.key_ids.remove(&text);
        }
    }

    /// The most bytes that all formats of one place may have, each with its largest value.
    pub(crate) fn formats_bytes(&self) -> usize {
        self.formats_bytes
    }

    pub(crate) fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// The place of a format in the list of formats.
    pub(crate) fn format_number(&self, id: u32) -> u32 {
        id & ((1 << FORMAT_KEY_SHIFT) - 1)
    }

    pub(crate) fn format(&self, id: u32) -> &Format {
        &self.formats[(id & ((1 << FORMAT_KEY_SHIFT) - 1)) as usize]
    }

    pub(crate) fn add_type(&mut self, type_ref: u8, name: &str, item: Handle) -> u32 {
        self.outside_bytes += name.len() + ALLOCATION_BYTES;
        let new = Type {
            type_ref,
            name: name.into(),
            item,
            list: NONE,
            has_keys: false,
        };
        if let Some(at) = self.free_types.pop() {
            let old = std::mem::replace(&mut self.types[at as usize], new);
            self.outside_bytes -= old.name.len() + ALLOCATION_BYTES;
            return at;
        }
        self.types.push(new);
        u32::try_from(self.types.len() - 1).unwrap_or(NONE)
    }

    pub(crate) fn free_type(&mut self, at: u32) {
        self.free_types.push(at);
    }

    /// Appends text, and says where it is and whether it is wide.
    pub(crate) fn add_text(&mut self, text: &str) -> (u32, bool) {
        if is_narrow(text) {
            let at = self.narrow.len();
            self.push_narrow(text);
            (u32::try_from(at).unwrap_or(NONE), false)
        } else {
            let at = self.wide.len();
            grow(&mut self.wide, text.len());
            self.wide.extend(text.encode_utf16());
            (u32::try_from(at).unwrap_or(NONE), true)
        }
    }

    /// Appends text that is narrow.
    pub(crate) fn push_narrow(&mut self, text: &str) {
        grow(&mut self.narrow, text.len());
        if text.is_ascii() {
            self.narrow.extend_from_slice(text.as_bytes());
        } else {
            let units = text.chars().map(|char| u8::try_from(u32::from(char)));
            self.narrow.extend(units.map(Result::unwrap_or_default));
        }
    }

    /// Reads `len` units of text at `at` into a string.
    pub(crate) fn read_text(&self, wide: bool, at: u32, len: u32, out: &mut String) {
        let range = at as usize..at as usize + len as usize;
        if wide {
            let units = self.wide[range].iter().copied();
            let chars = char::decode_utf16(units);
            out.extend(chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
        } else {
            match &self.narrow[range] {
                // Most runs of a text that was typed all over.
                [byte] => out.push(char::from(*byte)),
                bytes => match std::str::from_utf8(bytes) {
                    Ok(text) if text.is_ascii() => out.push_str(text),
                    _ => out.extend(bytes.iter().map(|byte| char::from(*byte))),
                },
            }
        }
    }

    /// The text of a run from a unit on, if it stands there as it is sent: ASCII.
    pub(crate) fn plain_text(&self, run: &Run, offset: u32) -> Option<&str> {
        let range = (run.content + offset) as usize..(run.content + run.len) as usize;
        let bytes = (run.kind() == RunKind::Narrow).then(|| &self.narrow[range])?;
        let text = std::str::from_utf8(bytes).ok()?;
        text.is_ascii().then_some(text)
    }

    /// A cut between the halves of a surrogate pair: each shows as U+FFFD, as in Yjs. Returns the pair if
    /// it was one.
    pub(crate) fn cut_wide(&mut self, at: u32) -> Option<[u16; 2]> {
        let is_pair = self.is_pair(at);
        is_pair.then(|| self.mend_wide(at, [0xfffd; 2]))
    }

    /// Puts two units around `at`, and returns those that were there.
    pub(crate) fn mend_wide(&mut self, at: u32, pair: [u16; 2]) -> [u16; 2] {
        let at = at as usize;
        let before = [self.wide[at - 1], self.wide[at]];
        self.wide[at - 1..=at].copy_from_slice(&pair);
        before
    }

    /// Whether wide text has a surrogate pair around `at`.
    pub(crate) fn is_pair(&self, at: u32) -> bool {
        let at = at as usize;
        at > 0
            && (0xd800..0xdc00).contains(&self.wide[at - 1])
            && self
                .wide
                .get(at)
                .is_some_and(|unit| (0xdc00..0xe000).contains(unit))
    }

    /// About the memory that it takes up.
    pub(crate) fn size_bytes(&self) -> usize {
        fn vec<T>(all: &Vec<T>) -> usize {
            all.capacity() * size_of::<T>()
        }
        fn map<K, V>(all: &HashMap<K, V>) -> usize {
            // A byte of the table for each entry, and an eighth of it stays free.
            all.capacity() * (size_of::<(K, V)>() + 1) * 8 / 7
        }
        vec(&self.narrow)
            + vec(&self.wide)
            + vec(&self.values)
            + vec(&self.free_values)
            + vec(&self.formats)
            + map(&self.format_ids)
            + vec(&self.keys)
            + map(&self.key_ids)
            + vec(&self.types)
            + vec(&self.free_types)
            + map(&self.sharers)
            + self.outside_bytes
    }

    /// Whether text of so many bytes more has room.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        const LIMIT: usize = 1 << 30;
        self.narrow.len() + self.wide.len() + more < LIMIT
            && self.values.len() + more < LIMIT
            && self.formats.len() + more < 1 << FORMAT_KEY_SHIFT
    }
}

/// Whether all characters are below U+0100.
pub(crate) fn is_narrow(text: &str) -> bool {
    text.is_ascii() || text.chars().all(|char| u32::from(char) < 0x100)
}

/// The memory of a format outside the list of formats.
fn format_outside_bytes(value: &Scalar, json: &Json) -> usize {
    value.bytes().len() + ALLOCATION_BYTES + json_bytes(json)
}

/// The memory that JSON takes up outside the value. The depth that it was parsed to bounds the recursion.
fn json_bytes(json: &Json) -> usize {
    match json {
        Json::String(text) => text.capacity() + ALLOCATION_BYTES,
        Json::Array(values) => {
            let inside: usize = values.iter().map(json_bytes).sum();
            values.capacity() * size_of::<Json>() + ALLOCATION_BYTES + inside
        }
        Json::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let entry = size_of::<(String, Json)>() + key.len() + 2 * ALLOCATION_BYTES;
                entry + json_bytes(value)
            })
            .sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

/// Makes room with little waste.
fn grow<T>(all: &mut Vec<T>, more: usize) {
    if all.capacity() - all.len() < more {
        all.reserve_exact(more + 64 + all.len() / 8);
    }
}

/// JSON as lib0's bytes.
pub(crate) fn any_of(value: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    json_to_any(value, &mut bytes);
    bytes
}
