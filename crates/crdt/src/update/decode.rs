//! Update v1 and v2 from bytes.

use std::collections::BTreeMap;

use super::{Block, Kind, LocalId, Parent, Section, Update};
use crate::{
    DecodeError,
    encoding::{IntDiffReader, Reader, RleReader, Span, StringReader, UintReader, Write, skip_any},
    id::{CLIENT_MAX, CLOCK_END, IdSet, StateVector},
};

/// An update v2 may have so many blocks whatever its size.
const V2_BLOCKS_FREE: usize = 6_000;
/// And one more for so many bytes: its columns can repeat a block in no bytes at all.
const V2_BYTES_PER_BLOCK: usize = 3;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_SUB: u8 = 0x20;
const REF: u8 = 0x1f;

const TYPE_XML_ELEMENT: u32 = 3;
const TYPE_XML_HOOK: u32 = 5;
const TYPE_LAST: u32 = 6;

/// A field is read from the one stream of v1, or from its column in v2.
trait Source<'a> {
    fn rest(&mut self) -> &mut Reader<'a>;
    fn info(&mut self) -> Result<u8, DecodeError>;
    fn client(&mut self) -> Result<u64, DecodeError>;
    fn left_id(&mut self) -> Result<(u64, u32), DecodeError>;
    fn right_id(&mut self) -> Result<(u64, u32), DecodeError>;
    fn parent_is_root(&mut self) -> Result<bool, DecodeError>;
    fn type_ref(&mut self) -> Result<u32, DecodeError>;
    fn len(&mut self) -> Result<u32, DecodeError>;
    /// A string, and its length in UTF-16 units where that is known.
    fn string(&mut self) -> Result<(Span, Option<u32>), DecodeError>;
    fn key(&mut self) -> Result<Span, DecodeError>;
    /// A value of an embed or a format: whether it is JSON text, and where.
    fn value(&mut self) -> Result<(bool, Span), DecodeError>;
    /// `count` strings of JSON, put together as varstrings if they are not.
    fn json(&mut self, count: u32, aux: &mut Vec<u8>) -> Result<Span, DecodeError>;
    fn blocks_max(&self) -> usize;
}

struct V1<'a>(Reader<'a>);

struct V2<'a> {
    rest: Reader<'a>,
    info: RleReader<'a>,
    client: UintReader<'a>,
    left_clock: IntDiffReader<'a>,
    right_clock: IntDiffReader<'a>,
    parent_info: RleReader<'a>,
    type_ref: UintReader<'a>,
    len: UintReader<'a>,
    string: StringReader<'a>,
    key_clock: IntDiffReader<'a>,
    keys: Vec<Span>,
}

impl<'a> Source<'a> for V1<'a> {
    fn rest(&mut self) -> &mut Reader<'a> {
        &mut self.0
    }
    fn info(&mut self) -> Result<u8, DecodeError> {
        self.0.u8()
    }
    fn client(&mut self) -> Result<u64, DecodeError> {
        self.0.var_u64()
    }
    fn left_id(&mut self) -> Result<(u64, u32), DecodeError> {
        Ok((self.0.var_u64()?, self.0.var_u32()?))
    }
    fn right_id(&mut self) -> Result<(u64, u32), DecodeError> {
        self.left_id()
    }
    fn parent_is_root(&mut self) -> Result<bool, DecodeError> {
        Ok(self.0.var_u64()? == 1)
    }
    fn type_ref(&mut self) -> Result<u32, DecodeError> {
        self.0.var_u32()
    }
    fn len(&mut self) -> Result<u32, DecodeError> {
        self.0.var_u32()
    }
    fn string(&mut self) -> Result<(Span, Option<u32>), DecodeError> {
        Ok((self.0.var_text()?, None))
    }
    fn key(&mut self) -> Result<Span, DecodeError> {
        self.0.var_text()
    }
    fn value(&mut self) -> Result<(bool, Span), DecodeError> {
        Ok((true, self.0.var_text()?))
    }
    fn json(&mut self, count: u32, _aux: &mut Vec<u8>) -> Result<Span, DecodeError> {
        let start = self.0.at();
        for _ in 0..count {
            self.0.var_text()?;
        }
        crate::encoding::span(start..self.0.at())
    }
    fn blocks_max(&self) -> usize {
        usize::MAX
    }
}

impl<'a> Source<'a> for V2<'a> {
    fn rest(&mut self) -> &mut Reader<'a> {
        &mut self.rest
    }
    fn info(&mut self) -> Result<u8, DecodeError> {
        self.info.read()
    }
    fn client(&mut self) -> Result<u64, DecodeError> {
        self.client.read()
    }
    fn left_id(&mut self) -> Result<(u64, u32), DecodeError> {
        Ok((self.client.read()?, self.left_clock.read()?))
    }
    fn right_id(&mut self) -> Result<(u64, u32), DecodeError> {
        Ok((self.client.read()?, self.right_clock.read()?))
    }
    fn parent_is_root(&mut self) -> Result<bool, DecodeError> {
        Ok(self.parent_info.read()? == 1)
    }
    fn type_ref(&mut self) -> Result<u32, DecodeError> {
        self.type_ref.read_u32()
    }
    fn len(&mut self) -> Result<u32, DecodeError> {
        self.len.read_u32()
    }
    fn string(&mut self) -> Result<(Span, Option<u32>), DecodeError> {
        let (span, len_utf16) = self.string.read()?;
        Ok((span, Some(len_utf16)))
    }
    fn key(&mut self) -> Result<Span, DecodeError> {
        let clock = self.key_clock.read()? as usize;
        if let Some(key) = self.keys.get(clock) {
            return Ok(*key);
        }
        let (key, _) = self.string.read()?;
        self.keys.push(key);
        Ok(key)
    }
    fn value(&mut self) -> Result<(bool, Span), DecodeError> {
        let start = self.rest.at();
        skip_any(&mut self.rest)?;
        Ok((false, crate::encoding::span(start..self.rest.at())?))
    }
    fn json(&mut self, count: u32, aux: &mut Vec<u8>) -> Result<Span, DecodeError> {
        let start = aux.len();
        for _ in 0..count {
            let (text, _) = self.string.read()?;
            // A run of empty strings takes no bytes; here each takes one.
            if text.start == text.end {
                return Err(self.rest.malformed("an empty string is not JSON"));
            }
            aux.var_bytes(text.of(self.rest.bytes()));
        }
        crate::encoding::span(start..aux.len())
    }
    fn blocks_max(&self) -> usize {
        V2_BLOCKS_FREE + self.rest.bytes().len() / V2_BYTES_PER_BLOCK
    }
}

pub(super) fn v1(bytes: &[u8]) -> Result<Update<'_>, DecodeError> {
    let mut source = V1(Reader::new(bytes));
    let mut update = blocks(bytes, &mut source)?;
    update.deleted = read_id_set(&mut source.0, false)?;
    Ok(update)
}

pub(super) fn v2(bytes: &[u8]) -> Result<Update<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.var_u64()? != 0 {
        return Err(reader.malformed("an unknown feature"));
    }
    let mut columns = [Span::default(); 9];
    for column in &mut columns {
        *column = reader.var_bytes()?;
    }
    let [
        key_clock,
        client,
        left,
        right,
        info,
        string,
        parent_info,
        type_ref,
        len,
    ] = columns;
    let mut source = V2 {
        rest: reader,
        info: RleReader::new(bytes, info),
        client: UintReader::new(bytes, client),
        left_clock: IntDiffReader::new(bytes, left),
        right_clock: IntDiffReader::new(bytes, right),
        parent_info: RleReader::new(bytes, parent_info),
        type_ref: UintReader::new(bytes, type_ref),
        len: UintReader::new(bytes, len),
        string: StringReader::new(bytes, string)?,
        key_clock: IntDiffReader::new(bytes, key_clock),
        keys: Vec::new(),
    };
    let mut update = blocks(bytes, &mut source)?;
    update.deleted = read_id_set(&mut source.rest, true)?;
    Ok(update)
}

/// The clients of an update, and where each is in their list.
#[derive(Default)]
struct Clients {
    list: Vec<u64>,
    places: BTreeMap<u64, u32>,
    last: Option<(u64, u32)>,
}

impl Clients {
    fn place(&mut self, client: u64) -> Result<u32, DecodeError> {
        if let Some((last, place)) = self.last
            && last == client
        {
            return Ok(place);
        }
        if client > CLIENT_MAX {
            return Err(DecodeError::OutOfRange { at: 0 });
        }
        let next = u32::try_from(self.list.len()).map_err(|_| DecodeError::TooLarge)?;
        let place = *self.places.entry(client).or_insert(next);
        if place == next {
            self.list.push(client);
        }
        self.last = Some((client, place));
        Ok(place)
    }

    fn id(&mut self, (client, clock): (u64, u32)) -> Result<LocalId, DecodeError> {
        let client = self.place(client)?;
        if clock >= CLOCK_END {
            return Err(DecodeError::OutOfRange { at: 0 });
        }
        Ok(LocalId { client, clock })
    }
}

fn blocks<'a>(bytes: &'a [u8], source: &mut impl Source<'a>) -> Result<Update<'a>, DecodeError> {
    let mut clients = Clients::default();
    let (mut blocks, mut sections, mut aux) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..source.rest().var_u64()? {
        let count = source.rest().var_u64()?;
        let client = clients.place(source.client()?)?;
        let mut clock = source.rest().var_u32()?;
        let start = place(&blocks)?;
        for _ in 0..count {
            if blocks.len() >= source.blocks_max() {
                return Err(DecodeError::TooManyBlocks);
            }
            let block = block(source, &mut clients, &mut aux, client, clock)?;
            let at = source.rest().at();
            clock = match clock.checked_add(block.len) {
                Some(end) if end <= CLOCK_END => end,
                _ => return Err(DecodeError::OutOfRange { at }),
            };
            blocks.push(block);
        }
        let end = place(&blocks)?;
        if start < end {
            sections.push(Section { client, start, end });
        }
    }
    Ok(Update {
        bytes,
        aux,
        clients: clients.list,
        blocks,
        sections,
        deleted: IdSet::default(),
    })
}

fn place(blocks: &[Block]) -> Result<u32, DecodeError> {
    u32::try_from(blocks.len()).map_err(|_| DecodeError::TooLarge)
}

fn block<'a>(
    source: &mut impl Source<'a>,
    clients: &mut Clients,
    aux: &mut Vec<u8>,
    client: u32,
    clock: u32,
) -> Result<Block, DecodeError> {
    let info = source.info()?;
    let kind = match info & REF {
        0 => Kind::Gc,
        1 => Kind::Deleted,
        2 => Kind::Json,
        3 => Kind::Binary,
        4 => Kind::String,
        5 => Kind::Embed,
        6 => Kind::Format,
        7 => Kind::Type,
        8 => Kind::Any,
        9 => Kind::Doc,
        10 => Kind::Skip,
        _ => return Err(source.rest().malformed("no such kind of block")),
    };
    let mut block = Block {
        client,
        clock,
        len: 1,
        kind,
        type_ref: 0,
        is_json: false,
        origin: None,
        right_origin: None,
        parent: Parent::Same,
        sub: None,
        name: Span::default(),
        value: Span::default(),
    };
    match kind {
        Kind::Gc => block.len = source.len()?,
        Kind::Skip => block.len = source.rest().var_u32()?,
        _ => {
            if info & HAS_ORIGIN != 0 {
                block.origin = Some(clients.id(source.left_id()?)?);
            }
            if info & HAS_RIGHT_ORIGIN != 0 {
                block.right_origin = Some(clients.id(source.right_id()?)?);
            }
            if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
                block.parent = if source.parent_is_root()? {
                    Parent::Root(source.string()?.0)
                } else {
                    Parent::Item(clients.id(source.left_id()?)?)
                };
                if info & HAS_SUB != 0 {
                    block.sub = Some(source.string()?.0);
                }
            }
            content(source, aux, &mut block)?;
        }
    }
    let at = source.rest().at();
    let malformed = |what| DecodeError::Malformed { at, what };
    if block.len == 0 {
        return Err(malformed("a block without units"));
    }
    // What a client makes stands on what it made before.
    let parent = match block.parent {
        Parent::Item(id) => Some(id),
        _ => None,
    };
    for id in [block.origin, block.right_origin, parent]
        .into_iter()
        .flatten()
    {
        if id.client == client && id.clock >= clock {
            return Err(malformed("a block that stands on itself"));
        }
    }
    Ok(block)
}

fn content<'a>(
    source: &mut impl Source<'a>,
    aux: &mut Vec<u8>,
    block: &mut Block,
) -> Result<(), DecodeError> {
    match block.kind {
        Kind::Deleted => block.len = source.len()?,
        Kind::Json => {
            block.len = source.len()?;
            block.value = source.json(block.len, aux)?;
        }
        Kind::Binary => block.value = source.rest().var_bytes()?,
        Kind::String => {
            let (span, len_utf16) = source.string()?;
            block.value = span;
            block.len = match len_utf16 {
                Some(len_utf16) => len_utf16,
                None => len_utf16_of(span.text(source.rest().bytes())),
            };
        }
        Kind::Embed => (block.is_json, block.value) = source.value()?,
        Kind::Format => {
            block.name = source.key()?;
            (block.is_json, block.value) = source.value()?;
        }
        Kind::Type => {
            let type_ref = source.type_ref()?;
            if type_ref > TYPE_LAST {
                return Err(source.rest().malformed("no such kind of type"));
            }
            if type_ref == TYPE_XML_ELEMENT || type_ref == TYPE_XML_HOOK {
                block.name = source.key()?;
            }
            block.type_ref = u8::try_from(type_ref).unwrap_or_default();
        }
        Kind::Any => {
            block.len = source.len()?;
            let rest = source.rest();
            let start = rest.at();
            for _ in 0..block.len {
                skip_any(rest)?;
            }
            block.value = crate::encoding::span(start..rest.at())?;
        }
        Kind::Doc => {
            block.name = source.string()?.0;
            let rest = source.rest();
            let start = rest.at();
            skip_any(rest)?;
            block.value = crate::encoding::span(start..rest.at())?;
        }
        Kind::Gc | Kind::Skip => {}
    }
    Ok(())
}

/// The length of a text in UTF-16 units, or 0 if it is longer than there can be. O(n).
pub(crate) fn len_utf16_of(text: &str) -> u32 {
    let len = if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    };
    u32::try_from(len).unwrap_or(0)
}

/// A delete set: in v2 each clock is a difference, and lengths are one less.
pub(crate) fn read_id_set(reader: &mut Reader<'_>, v2: bool) -> Result<IdSet, DecodeError> {
    let mut set = IdSet::default();
    for _ in 0..reader.var_u64()? {
        let client = reader.var_u64()?;
        if client > CLIENT_MAX {
            return Err(DecodeError::OutOfRange { at: reader.at() });
        }
        let mut before = 0_u32;
        for _ in 0..reader.var_u64()? {
            let start = reader.var_u32()?;
            let len = reader.var_u32()?;
            let (start, len) = if v2 {
                (before.checked_add(start), len.checked_add(1))
            } else {
                (Some(start), Some(len))
            };
            let end = start
                .zip(len)
                .and_then(|(start, len)| start.checked_add(len));
            let (Some(start), Some(end)) = (start, end.filter(|end| *end <= CLOCK_END)) else {
                return Err(DecodeError::OutOfRange { at: reader.at() });
            };
            before = end;
            set.push(client, start..end);
        }
    }
    set.normalize();
    Ok(set)
}

/// What a replica has, from the bytes that Yjs sends.
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn decode_state_vector(bytes: &[u8]) -> Result<StateVector, DecodeError> {
    read_state_vector(&mut Reader::new(bytes))
}

pub(crate) fn read_state_vector(reader: &mut Reader<'_>) -> Result<StateVector, DecodeError> {
    let mut vector = StateVector::default();
    for _ in 0..reader.var_u64()? {
        let client = reader.var_u64()?;
        let clock = reader.var_u64()?;
        // One who has more than there can be has all.
        vector.set(client, u32::try_from(clock).unwrap_or(u32::MAX));
    }
    Ok(vector)
}
