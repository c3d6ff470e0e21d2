//! A replica as bytes that open fast.
//!
//! Runs stand in the order of their ids, so that clocks, places in the text and the index need not be
//! written; the order of each sequence is a list of numbers. Opening is one pass over each.
//!
//! ```text
//! magic, format number
//! clients   count, then for each its id and its number of runs
//! strings   count, then each: keys, as formats and maps use them
//! formats   count, then for each its key and its value
//! runs      for each: kind and flags, length, origin, right origin, content that is no text
//! sequences count of roots, then each name and list; after it each type's, in the order of the runs
//! text      narrow, wide
//! pending   count, then updates v1
//! ```

use std::sync::Arc;

use super::{Author, Options, Replica};
use crate::{
    DecodeError, Version,
    encoding::{Reader, Write},
    id::CLIENT_MAX,
    store::{CLIENTS_MAX, Handle, NONE, Run, RunKind, Scalar, SeqId, ShortId, Type, Value},
};

const MAGIC: &[u8; 4] = b"MREP";
const FORMAT: u8 = 1;

/// Leaves are filled so far, in eighths: what is opened is edited next.
const FILL_EIGHTHS: usize = 7;

const DELETED: u8 = 0x10;
const ORIGIN: u8 = 0x20;
/// The origin is the unit before.
const FOLLOWS: u8 = 0x40;
/// The right origin is that of the run before.
const SAME_RIGHT: u8 = 0x80;

impl Replica {
    /// The replica as bytes, for [`Self::load`]. O(n).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.runs.len() * 12);
        out.extend_from_slice(MAGIC);
        out.push(FORMAT);
        // Handles have gaps; what is written has none.
        let mut numbers: Vec<u32> = vec![NONE; self.runs.slots()];
        let mut next = 0_u32;
        out.var_u64(self.authors.len() as u64);
        for author in &self.authors {
            out.var_u64(author.id);
            let start = next;
            for handle in author.index.iter() {
                numbers[handle as usize] = next;
                next += 1;
            }
            out.var_u64((next - start).into());
        }
        out.var_u64(self.contents.keys_len() as u64);
        for key in 0..self.contents.keys_len() {
            let key = u32::try_from(key).unwrap_or(NONE);
            out.var_bytes(self.contents.key_text(key).as_bytes());
        }
        let formats = self.contents.formats();
        out.var_u64(formats.len() as u64);
        for format in formats {
            out.var_u64(format.key.into());
            out.push(format.value.is_json().into());
            out.var_bytes(format.value.bytes());
        }
        let (mut narrow, mut wide, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for author in &self.authors {
            let mut right = ShortId::NONE;
            for handle in author.index.iter() {
                let run = &self.runs[handle];
                self.save_run(&mut out, run, right);
                right = run.right_origin;
                let range = run.content as usize..(run.content + run.len) as usize;
                match run.kind() {
                    RunKind::Narrow => narrow.extend_from_slice(&self.contents.narrow[range]),
                    RunKind::Wide => wide.extend_from_slice(&self.contents.wide[range]),
                    RunKind::Type => types.push(run.content),
                    _ => {}
                }
            }
        }
        out.var_u64(self.roots.len() as u64);
        for (name, of) in &self.roots {
            out.var_bytes(name.as_bytes());
            self.save_seqs(&mut out, *of, &numbers);
        }
        for of in types {
            self.save_seqs(&mut out, of, &numbers);
        }
        out.var_bytes(&narrow);
        out.var_u64(wide.len() as u64);
        out.extend(wide.iter().flat_map(|unit| unit.to_le_bytes()));
        let pending = self.pending_updates();
        out.var_u64(pending.len() as u64);
        for update in pending {
            out.var_bytes(&update);
        }
        out
    }

    fn save_run(&self, out: &mut Vec<u8>, run: &Run, right: ShortId) {
        let follows = run.origin.client == run.client() && run.origin.clock + 1 == run.clock;
        let mut head = run.kind() as u8;
        for (is, bit) in [
            (run.is_deleted(), DELETED),
            (run.origin.is_some() && !follows, ORIGIN),
            (run.origin.is_some() && follows, FOLLOWS),
            (run.right_origin == right, SAME_RIGHT),
        ] {
            head |= if is { bit } else { 0 };
        }
        out.push(head);
        out.var_u64(run.len.into());
        let id = |id: ShortId, out: &mut Vec<u8>| {
            if id.is_some() {
                out.var_u64(u64::from(id.client) + 1);
                out.var_u64(id.clock.into());
            } else {
                out.push(0);
            }
        };
        if head & ORIGIN != 0 {
            id(run.origin, out);
        }
        if head & SAME_RIGHT == 0 {
            id(run.right_origin, out);
        }
        match run.kind() {
            RunKind::Format => out.var_u64(self.contents.format_number(run.content).into()),
            RunKind::Type => {
                let of = &self.contents.types[run.content as usize];
                out.push(of.type_ref);
                out.var_bytes(of.name.as_bytes());
            }
            RunKind::Json | RunKind::Any | RunKind::Binary | RunKind::Embed | RunKind::Doc => {
                match self.contents.value(run.content) {
                    Value::Any { bytes, start, end } | Value::Json { bytes, start, end } => {
                        out.var_bytes(&bytes[*start as usize..*end as usize]);
                    }
                    Value::Binary(bytes) => out.var_bytes(bytes),
                    Value::Embed(scalar) => {
                        out.push(scalar.is_json().into());
                        out.var_bytes(scalar.bytes());
                    }
                    Value::Doc { guid, options } => {
                        out.var_bytes(guid.as_bytes());
                        out.var_bytes(options);
                    }
                    Value::None => out.push(0),
                }
            }
            RunKind::Gc | RunKind::Deleted | RunKind::Narrow | RunKind::Wide => {}
        }
    }

    /// A type's list and its keys.
    fn save_seqs(&self, out: &mut Vec<u8>, of: u32, numbers: &[u32]) {
        let seqs = self.seqs(of);
        out.var_u64(seqs.len() as u64);
        for seq in seqs {
            let key = self.trees.seq(seq).key;
            out.var_u64(if key == NONE { 0 } else { u64::from(key) + 1 });
            let mut count = 0_u64;
            let mut order = Vec::new();
            let (mut place, mut last) = (self.trees.first(seq), 0_i64);
            while let Some(at) = place {
                let number = i64::from(numbers[self.trees.run(at) as usize]);
                // Neighbours are often made one after the other.
                let step = number - last;
                order.var_i64(step.unsigned_abs(), step < 0);
                (last, count) = (number, count + 1);
                place = self.trees.next(at);
            }
            out.var_u64(count);
            out.extend(order);
        }
    }

    /// The replica that [`Self::save`] wrote. O(n).
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says; `Stored`: the bytes are damaged, or of a later format.
    pub fn load(bytes: &[u8], options: Options) -> Result<Self, DecodeError> {
        let mut replica = Self::new(options);
        let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Stored)?;
        if rest.first() != Some(&FORMAT) {
            return Err(DecodeError::Stored);
        }
        let mut reader = Reader::new(&rest[1..]);
        replica.load_all(&mut reader)?;
        Ok(replica)
    }

    fn load_all(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut counts = Vec::new();
        for _ in 0..reader.var_u64()? {
            let id = reader.var_u64()?;
            let author = u32::try_from(self.authors.len()).unwrap_or(NONE);
            if id > CLIENT_MAX || author >= CLIENTS_MAX {
                return Err(DecodeError::Stored);
            }
            if self.author_of.insert(id, author).is_some() {
                return Err(DecodeError::Stored);
            }
            self.authors.push(Author {
                id,
                ..Author::default()
            });
            counts.push(reader.var_u32()?);
        }
        for at in 0..reader.var_u32()? {
            let key = reader.var_text()?;
            if self.contents.key(key.text(reader.bytes())) != at {
                return Err(DecodeError::Stored);
            }
        }
        let mut formats = Vec::new();
        for _ in 0..reader.var_u64()? {
            let key = reader.var_u32()?;
            if key as usize >= self.contents.keys_len() {
                return Err(DecodeError::Stored);
            }
            let value = scalar(reader)?;
            let key = self.contents.key_text(key).clone();
            formats.push(self.contents.format_id(&key, value));
        }
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        // A run takes two bytes at least.
        if total > reader.left() as u64 {
            return Err(DecodeError::Stored);
        }
        self.runs.reserve_for(usize::try_from(total).unwrap_or(0));
        let mut types = Vec::new();
        for (author, count) in counts.into_iter().enumerate() {
            let author = u32::try_from(author).unwrap_or(NONE);
            self.load_runs(reader, author, count, &formats, &mut types)?;
        }
        self.check_ids()?;
        for _ in 0..reader.var_u64()? {
            let name = reader.var_text()?;
            let of = self.root(name.text(reader.bytes()));
            self.load_seqs(reader, of)?;
        }
        for of in types {
            self.load_seqs(reader, of)?;
        }
        self.check_places()?;
        let narrow = reader.var_bytes()?.of(reader.bytes());
        let wide = usize::try_from(reader.var_u64()?).unwrap_or(usize::MAX);
        let wide = reader.span(wide.saturating_mul(2))?.of(reader.bytes());
        if narrow.len() != self.contents.narrow_len || wide.len() != self.contents.wide_len * 2 {
            return Err(DecodeError::Stored);
        }
        self.contents.narrow = narrow.to_vec();
        let units = wide
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        self.contents.wide = units.collect();
        for _ in 0..reader.var_u64()? {
            let update = reader.var_bytes()?.of(reader.bytes());
            self.apply_update(update, Version::V1)?;
        }
        Ok(())
    }

    fn load_runs(
        &mut self,
        reader: &mut Reader<'_>,
        author: u32,
        count: u32,
        formats: &[u32],
        types: &mut Vec<u32>,
    ) -> Result<(), DecodeError> {
        let (mut clock, mut right) = (0_u32, ShortId::NONE);
        let mut entries = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let head = reader.u8()?;
            let kind = RunKind::from_u8(head & 0xf).ok_or(DecodeError::Stored)?;
            let len = reader.var_u32()?;
            let end = clock
                .checked_add(len)
                .filter(|end| *end <= crate::CLOCK_END);
            let (Some(end), true) = (end, len > 0) else {
                return Err(DecodeError::Stored);
            };
            let mut run = Run::new(
                kind,
                ShortId {
                    client: author,
                    clock,
                },
                len,
            );
            if head & DELETED != 0 {
                run.set_deleted();
            }
            if head & FOLLOWS != 0 {
                let before = clock.checked_sub(1).ok_or(DecodeError::Stored)?;
                run.origin = ShortId {
                    client: author,
                    clock: before,
                };
            } else if head & ORIGIN != 0 {
                run.origin = self.load_id(reader)?;
            }
            if head & SAME_RIGHT == 0 {
                right = self.load_id(reader)?;
            }
            run.right_origin = right;
            run.content = self.load_content(reader, kind, len, formats)?;
            let handle = self.runs.add(run);
            if kind == RunKind::Type {
                self.contents.types[run.content as usize].item = handle;
                types.push(run.content);
            }
            entries.push((clock, handle));
            clock = end;
        }
        let author = &mut self.authors[author as usize];
        author.end = clock;
        author.index = crate::store::Index::from_sorted(entries);
        Ok(())
    }

    fn load_id(&self, reader: &mut Reader<'_>) -> Result<ShortId, DecodeError> {
        let client = reader.var_u32()?;
        let Some(client) = client.checked_sub(1) else {
            return Ok(ShortId::NONE);
        };
        let clock = reader.var_u32()?;
        if client as usize >= self.authors.len() {
            return Err(DecodeError::Stored);
        }
        Ok(ShortId { client, clock })
    }

    fn load_content(
        &mut self,
        reader: &mut Reader<'_>,
        kind: RunKind,
        len: u32,
        formats: &[u32],
    ) -> Result<u32, DecodeError> {
        let text = |so_far: &mut usize| {
            let at = u32::try_from(*so_far).map_err(|_| DecodeError::Stored);
            *so_far += len as usize;
            at
        };
        let value = match kind {
            RunKind::Gc | RunKind::Deleted => return Ok(0),
            RunKind::Narrow => return text(&mut self.contents.narrow_len),
            RunKind::Wide => return text(&mut self.contents.wide_len),
            RunKind::Format => {
                let number = reader.var_u32()? as usize;
                return formats.get(number).copied().ok_or(DecodeError::Stored);
            }
            RunKind::Type => {
                let type_ref = reader.u8()?;
                let name = reader.var_text()?;
                if type_ref > Type::XML_TEXT {
                    return Err(DecodeError::Stored);
                }
                return Ok(self
                    .contents
                    .add_type(type_ref, name.text(reader.bytes()), NONE));
            }
            RunKind::Json | RunKind::Any => {
                let bytes: Arc<[u8]> = reader.var_bytes()?.of(reader.bytes()).into();
                check_values(&bytes, kind, len)?;
                let (start, end) = (0, u32::try_from(bytes.len()).unwrap_or(NONE));
                if kind == RunKind::Json {
                    Value::Json { bytes, start, end }
                } else {
                    Value::Any { bytes, start, end }
                }
            }
            RunKind::Binary => Value::Binary(reader.var_bytes()?.of(reader.bytes()).into()),
            RunKind::Embed => Value::Embed(scalar(reader)?),
            RunKind::Doc => {
                let guid = reader.var_text()?.text(reader.bytes()).into();
                let options: Arc<[u8]> = reader.var_bytes()?.of(reader.bytes()).into();
                check_values(&options, RunKind::Any, 1)?;
                Value::Doc { guid, options }
            }
        };
        if len != 1 && !matches!(kind, RunKind::Json | RunKind::Any) {
            return Err(DecodeError::Stored);
        }
        Ok(self.contents.add_value(value))
    }

    /// Every origin is a unit that is here.
    fn check_ids(&self) -> Result<(), DecodeError> {
        for author in &self.authors {
            for handle in author.index.iter() {
                let run = &self.runs[handle];
                for id in [run.origin, run.right_origin] {
                    if id.is_some() && id.clock >= self.end(id.client) {
                        return Err(DecodeError::Stored);
                    }
                }
            }
        }
        Ok(())
    }

    fn load_seqs(&mut self, reader: &mut Reader<'_>, of: u32) -> Result<(), DecodeError> {
        for _ in 0..reader.var_u64()? {
            let key = reader.var_u32()?;
            let seq: SeqId = match key.checked_sub(1) {
                None => self.list(of),
                Some(key) if (key as usize) < self.contents.keys_len() => self.keyed(of, key),
                Some(_) => return Err(DecodeError::Stored),
            };
            let count = reader.var_u32()? as usize;
            if count > reader.left() || self.trees.seq(seq).total > 0 {
                return Err(DecodeError::Stored);
            }
            let mut order: Vec<Handle> = Vec::with_capacity(count);
            let mut last = 0_i64;
            for _ in 0..count {
                last += reader.var_i64()?.0;
                let handle = u32::try_from(last).map_err(|_| DecodeError::Stored)?;
                if last >= i64::try_from(self.runs.slots()).unwrap_or(0)
                    || self.runs[handle].kind() == RunKind::Gc
                    || self.runs[handle].leaf != NONE
                {
                    return Err(DecodeError::Stored);
                }
                // Taken, until the tree says by which leaf.
                self.runs[handle].leaf = 0;
                order.push(handle);
            }
            self.trees.fill(seq, &order, FILL_EIGHTHS, &mut self.runs);
        }
        Ok(())
    }

    /// Every run stands somewhere, but those that are collected.
    fn check_places(&self) -> Result<(), DecodeError> {
        let stands = |run: &Run| (run.leaf == NONE) == (run.kind() == RunKind::Gc);
        let mut all = self.authors.iter().flat_map(|author| author.index.iter());
        if all.all(|handle| stands(&self.runs[handle])) {
            Ok(())
        } else {
            Err(DecodeError::Stored)
        }
    }
}

fn scalar(reader: &mut Reader<'_>) -> Result<Scalar, DecodeError> {
    let is_json = reader.u8()? != 0;
    let bytes = if is_json {
        reader.var_text()?
    } else {
        reader.var_bytes()?
    };
    let bytes = bytes.of(reader.bytes());
    if !is_json {
        check_values(bytes, RunKind::Any, 1)?;
    }
    Ok(Scalar::new(is_json, bytes))
}

/// The bytes are so many values, and nothing else.
fn check_values(bytes: &[u8], kind: RunKind, len: u32) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    for _ in 0..len {
        if kind == RunKind::Json {
            reader.var_text()?;
        } else {
            crate::encoding::skip_any(&mut reader)?;
        }
    }
    if reader.is_at_end() {
        Ok(())
    } else {
        Err(DecodeError::Stored)
    }
}
