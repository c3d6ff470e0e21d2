//! Update v1 and v2 to bytes.

use super::{Block, Kind, LocalId, Parent, Update};
use crate::{
    encoding::{
        IntDiffWriter, Reader, RleWriter, StringWriter, UintWriter, Write, any_to_json, json_to_any,
    },
    id::{IdSet, StateVector},
};

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_SUB: u8 = 0x20;

/// A field is written to the one stream of v1, or to its column in v2.
pub(crate) trait Sink {
    /// What has no column of its own.
    fn rest(&mut self) -> &mut Vec<u8>;
    fn info(&mut self, info: u8);
    fn client(&mut self, client: u64);
    fn left_id(&mut self, client: u64, clock: u32);
    fn right_id(&mut self, client: u64, clock: u32);
    fn parent_is_root(&mut self, is_root: bool);
    fn type_ref(&mut self, type_ref: u8);
    fn len(&mut self, len: u32);
    fn string(&mut self, text: &str);
    fn key(&mut self, key: &str);
    /// The value of an embed or a format, given as JSON text or as lib0's bytes.
    fn value(&mut self, is_json: bool, value: &[u8]);
    fn id_set(&mut self, set: &IdSet);
    fn finish(self) -> Vec<u8>;
}

/// Update v1.
#[derive(Default)]
pub(crate) struct V1(Vec<u8>);

/// Update v2.
#[derive(Default)]
pub(crate) struct V2 {
    rest: Vec<u8>,
    key_clock: IntDiffWriter,
    keys: u32,
    client: UintWriter,
    left_clock: IntDiffWriter,
    right_clock: IntDiffWriter,
    info: RleWriter,
    string: StringWriter,
    parent_info: RleWriter,
    type_ref: UintWriter,
    len: UintWriter,
}

impl V1 {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }
}

impl Sink for V1 {
    fn rest(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
    fn info(&mut self, info: u8) {
        self.0.push(info);
    }
    fn client(&mut self, client: u64) {
        self.0.var_u64(client);
    }
    fn left_id(&mut self, client: u64, clock: u32) {
        self.0.var_u64(client);
        self.0.var_u64(clock.into());
    }
    fn right_id(&mut self, client: u64, clock: u32) {
        self.left_id(client, clock);
    }
    fn parent_is_root(&mut self, is_root: bool) {
        self.0.push(is_root.into());
    }
    fn type_ref(&mut self, type_ref: u8) {
        self.0.push(type_ref);
    }
    fn len(&mut self, len: u32) {
        self.0.var_u64(len.into());
    }
    fn string(&mut self, text: &str) {
        self.0.var_bytes(text.as_bytes());
    }
    fn key(&mut self, key: &str) {
        self.string(key);
    }
    fn value(&mut self, is_json: bool, value: &[u8]) {
        if is_json {
            self.0.var_bytes(value);
        } else {
            let json = any_to_json(value, &mut 0).to_string();
            self.0.var_bytes(json.as_bytes());
        }
    }
    fn id_set(&mut self, set: &IdSet) {
        write_id_set(&mut self.0, set, false);
    }
    fn finish(self) -> Vec<u8> {
        self.0
    }
}

impl Sink for V2 {
    fn rest(&mut self) -> &mut Vec<u8> {
        &mut self.rest
    }
    fn info(&mut self, info: u8) {
        self.info.write(info);
    }
    fn client(&mut self, client: u64) {
        self.client.write(client);
    }
    fn left_id(&mut self, client: u64, clock: u32) {
        self.client.write(client);
        self.left_clock.write(clock);
    }
    fn right_id(&mut self, client: u64, clock: u32) {
        self.client.write(client);
        self.right_clock.write(clock);
    }
    fn parent_is_root(&mut self, is_root: bool) {
        self.parent_info.write(is_root.into());
    }
    fn type_ref(&mut self, type_ref: u8) {
        self.type_ref.write(type_ref.into());
    }
    fn len(&mut self, len: u32) {
        self.len.write(len.into());
    }
    fn string(&mut self, text: &str) {
        self.string.write(text);
    }
    fn key(&mut self, key: &str) {
        // Yjs never writes the number of a key that it has written before, and reads both.
        self.key_clock.write(self.keys);
        self.keys += 1;
        self.string.write(key);
    }
    fn value(&mut self, is_json: bool, value: &[u8]) {
        if is_json {
            let json = serde_json::from_slice(value).unwrap_or_default();
            json_to_any(&json, &mut self.rest);
        } else {
            self.rest.extend_from_slice(value);
        }
    }
    fn id_set(&mut self, set: &IdSet) {
        write_id_set(&mut self.rest, set, true);
    }
    fn finish(self) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.var_bytes(&self.key_clock.finish());
        bytes.var_bytes(&self.client.finish());
        bytes.var_bytes(&self.left_clock.finish());
        bytes.var_bytes(&self.right_clock.finish());
        bytes.var_bytes(&self.info.finish());
        bytes.var_bytes(&self.string.finish());
        bytes.var_bytes(&self.parent_info.finish());
        bytes.var_bytes(&self.type_ref.finish());
        bytes.var_bytes(&self.len.finish());
        bytes.extend_from_slice(&self.rest);
        bytes
    }
}

/// A block's head, whatever it was made of. Ids are of clients as they are, not as places.
pub(crate) struct Head<'a> {
    pub(crate) kind: Kind,
    pub(crate) origin: Option<(u64, u32)>,
    pub(crate) right_origin: Option<(u64, u32)>,
    pub(crate) sub: Option<&'a str>,
}

/// Writes what comes before a block's content; `parent` is asked for where neighbours do not tell it.
pub(crate) fn write_head<S: Sink>(sink: &mut S, head: &Head<'_>, parent: impl FnOnce(&mut S)) {
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    sink.info(
        head.kind as u8
            | flag(head.origin.is_some(), HAS_ORIGIN)
            | flag(head.right_origin.is_some(), HAS_RIGHT_ORIGIN)
            | flag(head.sub.is_some(), HAS_SUB),
    );
    if let Some((client, clock)) = head.origin {
        sink.left_id(client, clock);
    }
    if let Some((client, clock)) = head.right_origin {
        sink.right_id(client, clock);
    }
    if head.origin.is_none() && head.right_origin.is_none() {
        parent(sink);
        if let Some(sub) = head.sub {
            sink.string(sub);
        }
    }
}

/// Writes a block without its first `offset` units.
pub(crate) fn write_block(sink: &mut impl Sink, update: &Update<'_>, block: &Block, offset: u32) {
    let len = block.len - offset;
    match block.kind {
        Kind::Gc => {
            sink.info(0);
            sink.len(len);
            return;
        }
        Kind::Skip => {
            sink.info(Kind::Skip as u8);
            sink.rest().var_u64(len.into());
            return;
        }
        _ => {}
    }
    let id = |id: LocalId| (update.clients[id.client as usize], id.clock);
    let origin = if offset > 0 {
        Some((
            update.clients[block.client as usize],
            block.clock + offset - 1,
        ))
    } else {
        block.origin.map(id)
    };
    let head = Head {
        kind: block.kind,
        origin,
        right_origin: block.right_origin.map(id),
        sub: block.sub.map(|sub| sub.text(update.bytes)),
    };
    write_head(sink, &head, |sink| match block.parent {
        Parent::Root(name) => {
            sink.parent_is_root(true);
            sink.string(name.text(update.bytes));
        }
        Parent::Item(parent) => {
            let (client, clock) = id(parent);
            sink.parent_is_root(false);
            sink.left_id(client, clock);
        }
        Parent::Same => unreachable!("only a block with neighbours goes without a parent"),
    });
    write_content(sink, update, block, offset, len);
}

fn write_content(sink: &mut impl Sink, update: &Update<'_>, block: &Block, offset: u32, len: u32) {
    let content = update.content(block);
    let name = block.name.text(update.bytes);
    match block.kind {
        Kind::Deleted => sink.len(len),
        Kind::Json => {
            sink.len(len);
            let mut reader = Reader::new(content);
            for index in 0..block.len {
                let Ok(text) = reader.var_text() else { break };
                if index >= offset {
                    sink.string(text.text(content));
                }
            }
        }
        Kind::Binary => sink.rest().var_bytes(content),
        Kind::String => {
            let text = std::str::from_utf8(content).unwrap_or_default();
            match tail(text, offset) {
                (text, false) => sink.string(text),
                // The second half of a pair stands alone, and Yjs shows it so.
                (text, true) => sink.string(&format!("\u{fffd}{text}")),
            }
        }
        Kind::Embed => sink.value(block.is_json, content),
        Kind::Format => {
            sink.key(name);
            sink.value(block.is_json, content);
        }
        Kind::Type => {
            sink.type_ref(block.type_ref);
            if block.type_ref == 3 || block.type_ref == 5 {
                sink.key(name);
            }
        }
        Kind::Any => {
            sink.len(len);
            let start = crate::encoding::count_any(content, offset);
            sink.rest().extend_from_slice(&content[start..]);
        }
        Kind::Doc => {
            sink.string(name);
            sink.rest().extend_from_slice(content);
        }
        Kind::Gc | Kind::Skip => {}
    }
}

/// The text without its first units, and whether the cut is inside a surrogate pair.
fn tail(text: &str, offset_utf16: u32) -> (&str, bool) {
    let mut left = offset_utf16;
    for (at, char) in text.char_indices() {
        if left == 0 {
            return (&text[at..], false);
        }
        if char.len_utf16() == 2 && left == 1 {
            return (&text[at + char.len_utf8()..], true);
        }
        left -= if char.len_utf16() == 2 { 2 } else { 1 };
    }
    ("", false)
}

/// A delete set: clients from the largest to the smallest, as Yjs writes them.
pub(crate) fn write_id_set(out: &mut Vec<u8>, set: &IdSet, v2: bool) {
    out.var_u64(set.clients() as u64);
    for (client, ranges) in set.iter().rev() {
        out.var_u64(client);
        out.var_u64(ranges.len() as u64);
        let mut before = 0;
        for range in ranges {
            let len = range.end - range.start;
            if v2 {
                out.var_u64((range.start - before).into());
                out.var_u64((len - 1).into());
                before = range.end;
            } else {
                out.var_u64(range.start.into());
                out.var_u64(len.into());
            }
        }
    }
}

/// A state vector: clients from the largest to the smallest, as Yjs writes them.
pub(crate) fn write_state_vector(vector: &StateVector) -> Vec<u8> {
    let mut out = Vec::new();
    out.var_u64(vector.len() as u64);
    for (client, clock) in vector.iter().rev() {
        out.var_u64(client);
        out.var_u64(clock.into());
    }
    out
}
