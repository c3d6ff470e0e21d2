//! Changes of a text by position, as a delta.
//!
//! Formats follow `YText` of Yjs 13.6: a format is a pair of markers, text is inserted behind markers that
//! make a change of format unnecessary, and markers that have become redundant are deleted.

use motet_ot::{Attributes, Delta, Insert, Operation};
use serde_json::Value as Json;

use super::{Branch, Replica, delta::Active};
use crate::{
    EditError,
    id::{CLOCK_END, Client},
    store::{Handle, NONE, Place, Run, RunKind, Scalar, SeqId, ShortId, Value, is_narrow},
};

/// A place between two runs, and the formats that hold there.
pub(super) struct Cursor {
    pub(super) seq: SeqId,
    pub(super) author: u32,
    pub(super) left: Handle,
    pub(super) right: Handle,
    pub(super) active: Vec<Active>,
}

/// New content.
pub(super) enum Content<'a> {
    Text(&'a str),
    Other(RunKind, u32),
}

impl Replica {
    /// Changes the text of the root `root` as `delta` says, under the name of `client`, and returns the
    /// update v1 that does the same elsewhere. O(k log n) for k operations, and what they insert, format
    /// or delete.
    ///
    /// # Errors
    ///
    /// As [`EditError`] says; nothing has changed then.
    pub fn apply_delta(
        &mut self,
        root: &str,
        delta: &Delta,
        client: Client,
    ) -> Result<Vec<u8>, EditError> {
        let seq = self.root_list(root);
        self.edit(seq, delta, client)
    }

    /// As [`Self::apply_delta`], for a text anywhere in the document.
    ///
    /// # Errors
    ///
    /// As [`EditError`] says; nothing has changed then.
    pub fn apply_delta_to(
        &mut self,
        branch: &Branch,
        delta: &Delta,
        client: Client,
    ) -> Result<Vec<u8>, EditError> {
        let of = self.branch(branch)?;
        let seq = self.list(of);
        self.edit(seq, delta, client)
    }

    fn edit(&mut self, seq: SeqId, delta: &Delta, client: Client) -> Result<Vec<u8>, EditError> {
        self.check(seq, delta, client)?;
        let author = self.author(client);
        let start = self.end(author);
        let mut position = 0_u32;
        let mut cursor: Option<Cursor> = None;
        for operation in delta.ops() {
            match operation {
                Operation::Retain {
                    len_utf16,
                    attributes,
                } => {
                    let len = to_u32(*len_utf16);
                    if !attributes.is_empty() {
                        let mut at = self.cursor(&mut cursor, seq, author, position);
                        self.format(&mut at, len, attributes);
                        cursor = Some(at);
                    } else if len > 0 {
                        cursor = None;
                    }
                    position += len;
                }
                Operation::Insert { insert, attributes } => {
                    let mut at = self.cursor(&mut cursor, seq, author, position);
                    self.insert(&mut at, insert, attributes);
                    position += to_u32(insert.len_utf16());
                    cursor = Some(at);
                }
                Operation::Delete { len_utf16 } => {
                    let mut at = self.cursor(&mut cursor, seq, author, position);
                    self.delete(&mut at, to_u32(*len_utf16));
                    cursor = Some(at);
                }
            }
        }
        let update = self.transaction_update(author, start);
        self.commit();
        Ok(update)
    }

    /// Nothing is changed before all of a delta is known to fit.
    fn check(&self, seq: SeqId, delta: &Delta, client: Client) -> Result<(), EditError> {
        let len_utf16 = self.trees.seq(seq).visible;
        let (mut position, mut clocks, mut bytes) = (0_usize, 0_usize, 0_usize);
        for operation in delta.ops() {
            match operation {
                Operation::Retain {
                    len_utf16: len,
                    attributes,
                } => {
                    position = position.saturating_add(*len);
                    // A run of text between two markers may get two for each attribute.
                    clocks += 2 * attributes.iter().count();
                }
                Operation::Delete { len_utf16: len } => position = position.saturating_add(*len),
                Operation::Insert { insert, attributes } => {
                    clocks += insert.len_utf16() + 64 + 2 * attributes.iter().count();
                    bytes += match insert {
                        Insert::Text(text) => text.as_str().len(),
                        Insert::Embed(_) => 1,
                    };
                    continue;
                }
            }
            if position > len_utf16 as usize {
                let len_utf16 = len_utf16 as usize;
                return Err(EditError::OutOfRange {
                    position,
                    len_utf16,
                });
            }
            if self.cuts_pair(seq, to_u32(position)) {
                return Err(EditError::SplitSurrogate { position });
            }
        }
        let room = (CLOCK_END - self.state(client)) as usize;
        if clocks >= room || !self.contents.has_room(bytes + clocks) {
            return Err(EditError::TooLarge);
        }
        Ok(())
    }

    /// Whether a position is inside a surrogate pair. O(log n).
    pub(super) fn cuts_pair(&self, seq: SeqId, position: u32) -> bool {
        if self.contents.wide.is_empty() {
            return false;
        }
        let Some((place, offset)) = self.trees.find(seq, position) else {
            return false;
        };
        let run = &self.runs[self.trees.run(place)];
        offset > 0 && run.kind() == RunKind::Wide && self.contents.is_pair(run.content + offset)
    }

    /// The cursor as it is, or one at `position`.
    pub(super) fn cursor(
        &mut self,
        known: &mut Option<Cursor>,
        seq: SeqId,
        author: u32,
        position: u32,
    ) -> Cursor {
        if let Some(cursor) = known.take() {
            return cursor;
        }
        let found = position
            .checked_sub(1)
            .and_then(|last| self.trees.find(seq, last));
        let Some((place, offset)) = found else {
            return Cursor {
                seq,
                author,
                left: NONE,
                right: self.first(seq),
                active: Vec::new(),
            };
        };
        let left = self.trees.run(place);
        let active = self.formats_before(seq, place);
        let right = if offset + 1 < self.runs[left].len {
            self.split(left, offset + 1)
        } else {
            self.next(left)
        };
        Cursor {
            seq,
            author,
            left,
            right,
            active,
        }
    }

    /// Moves behind the run to the right.
    fn forward(&self, cursor: &mut Cursor) {
        let run = &self.runs[cursor.right];
        if run.is_live_format() {
            self.activate(&mut cursor.active, run.content);
        }
        cursor.left = cursor.right;
        cursor.right = self.next(cursor.right);
    }

    fn activate(&self, active: &mut Vec<Active>, format: u32) {
        let (key, is_null) = {
            let format = self.contents.format(format);
            (format.key, format.json.is_null())
        };
        active.retain(|(known, _)| *known != key);
        if !is_null {
            active.push((key, format));
        }
    }

    /// Moves behind all that is deleted to the right. O(log n).
    fn skip_deleted(&self, cursor: &mut Cursor) {
        if cursor.right == NONE || self.is_live(cursor.right) {
            return;
        }
        let place = self.place(cursor.right);
        match self.trees.live_from(place, &self.runs) {
            Some(live) => {
                cursor.right = self.trees.run(live);
                cursor.left = match self.trees.prev(live) {
                    Some(left) => self.trees.run(left),
                    None => NONE,
                };
            }
            None => {
                cursor.left = self.last(cursor.seq);
                cursor.right = NONE;
            }
        }
    }

    fn is_live(&self, run: Handle) -> bool {
        let run = &self.runs[run];
        run.is_live_format() || run.visible() > 0
    }

    /// The format to the right, if there is one that is live.
    fn format_right(&self, cursor: &Cursor) -> Option<u32> {
        let run = (cursor.right != NONE).then(|| &self.runs[cursor.right])?;
        run.is_live_format().then_some(run.content)
    }

    fn active_value(&self, cursor: &Cursor, key: &str) -> &Json {
        let known = self.contents.known_key(key);
        let active = cursor.active.iter().find(|(at, _)| Some(*at) == known);
        active.map_or(&Json::Null, |(_, format)| {
            &self.contents.format(*format).json
        })
    }

    /// Puts new content at the cursor, and moves behind it.
    pub(super) fn put(&mut self, cursor: &mut Cursor, content: &Content<'_>) {
        let (kind, at, len) = match content {
            Content::Text(text) => {
                if self.type_on(cursor, text) {
                    return;
                }
                let (at, wide) = self.contents.add_text(text);
                let kind = if wide { RunKind::Wide } else { RunKind::Narrow };
                (kind, at, crate::update::len_utf16_of(text))
            }
            Content::Other(kind, at) => (*kind, *at, 1),
        };
        let id = ShortId {
            client: cursor.author,
            clock: self.end(cursor.author),
        };
        let mut run = Run::new(kind, id, len);
        run.content = at;
        if cursor.left != NONE {
            run.origin = self.runs[cursor.left].last_id();
        }
        if cursor.right != NONE {
            run.right_origin = self.runs[cursor.right].id();
        }
        cursor.left = self.add_run(cursor.seq, cursor.left, run);
        if kind == RunKind::Format {
            self.activate(&mut cursor.active, at);
        }
    }

    /// Typing on: the run to the left becomes longer. Yjs joins the two when the transaction is over.
    fn type_on(&mut self, cursor: &Cursor, text: &str) -> bool {
        if cursor.left == NONE || !is_narrow(text) {
            return false;
        }
        let run = &self.runs[cursor.left];
        let right = match cursor.right {
            NONE => ShortId::NONE,
            right => self.runs[right].id(),
        };
        let goes_on = run.kind() == RunKind::Narrow
            && !run.is_deleted()
            && run.client() == cursor.author
            && run.end() == self.end(cursor.author)
            && run.right_origin == right
            && (run.content + run.len) as usize == self.contents.narrow.len();
        if !goes_on {
            return false;
        }
        let len = crate::update::len_utf16_of(text);
        self.contents.push_narrow(text);
        let run = &mut self.runs[cursor.left];
        run.len += len;
        let place = self.trees.place(run.leaf, cursor.left);
        self.trees.resize(place, len.into(), &self.runs);
        let end = self.end(cursor.author) + len;
        self.advance(cursor.author, end);
        true
    }

    fn put_format(&mut self, cursor: &mut Cursor, key: &str, value: &Json) {
        let format = self.contents.format_id(key, Scalar::from_json(value));
        self.put(cursor, &Content::Other(RunKind::Format, format));
    }

    fn insert(&mut self, cursor: &mut Cursor, insert: &Insert, attributes: &Attributes) {
        // What holds here and is not asked for ends.
        let mut wanted: Vec<(String, Json)> = attributes
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (key, _) in &cursor.active {
            let key = self.contents.key_text(*key);
            if attributes.get(key).is_none() {
                wanted.push((key.to_string(), Json::Null));
            }
        }
        let negated = self.begin_formats(cursor, &wanted);
        match insert {
            Insert::Text(text) => self.put(cursor, &Content::Text(text.as_str())),
            Insert::Embed(embed) => {
                let json = serde_json::to_string(embed.object()).unwrap_or_default();
                let value = Value::Embed(Scalar::Json(json.into()));
                let value = self.contents.add_value(value);
                self.put(cursor, &Content::Other(RunKind::Embed, value));
            }
        }
        self.end_formats(cursor, negated);
    }

    /// Moves to where the formats fit best, and sets those that do not hold. Returns what to set behind
    /// the content.
    fn begin_formats(
        &mut self,
        cursor: &mut Cursor,
        wanted: &[(String, Json)],
    ) -> Vec<(String, Json)> {
        loop {
            self.skip_deleted(cursor);
            let Some(format) = self.format_right(cursor) else {
                break;
            };
            let format = self.contents.format(format);
            let key: &str = self.contents.key_text(format.key);
            let wish = wanted.iter().find(|(name, _)| name == key);
            if wish.map_or(&Json::Null, |(_, value)| value) != &format.json {
                break;
            }
            self.forward(cursor);
        }
        let mut negated = Vec::new();
        for (key, value) in wanted {
            let held = self.active_value(cursor, key);
            if held != value {
                negated.push((key.clone(), held.clone()));
                self.put_format(cursor, key, value);
            }
        }
        negated
    }

    fn end_formats(&mut self, cursor: &mut Cursor, mut negated: Vec<(String, Json)>) {
        if negated.is_empty() {
            // Nothing to insert: where the cursor stands makes no difference.
            return;
        }
        loop {
            self.skip_deleted(cursor);
            let Some(format) = self.format_right(cursor) else {
                break;
            };
            let format = self.contents.format(format);
            let key: &str = self.contents.key_text(format.key);
            let at = negated
                .iter()
                .position(|(name, value)| name == key && *value == format.json);
            let Some(at) = at else { break };
            negated.remove(at);
            self.forward(cursor);
        }
        for (key, value) in negated {
            self.put_format(cursor, &key, &value);
        }
    }

    fn format(&mut self, cursor: &mut Cursor, len: u32, attributes: &Attributes) {
        let wanted: Vec<(String, Json)> = attributes
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut negated = self.begin_formats(cursor, &wanted);
        let mut left = len;
        loop {
            self.skip_deleted(cursor);
            if cursor.right == NONE {
                break;
            }
            let run = self.runs[cursor.right];
            let is_format = run.kind() == RunKind::Format;
            if left == 0 && (negated.is_empty() || !is_format) {
                break;
            }
            if is_format {
                let format = self.contents.format(run.content);
                let key: String = self.contents.key_text(format.key).to_string();
                let value = format.json.clone();
                match attributes.get(&key) {
                    Some(wish) => {
                        let at = negated.iter().position(|(name, _)| *name == key);
                        if *wish == value {
                            if let Some(at) = at {
                                negated.remove(at);
                            }
                        } else if left == 0 {
                            break;
                        } else if let Some(at) = at {
                            negated[at].1 = value;
                        } else {
                            negated.push((key, value));
                        }
                        self.delete_run(cursor.right);
                    }
                    None => self.activate(&mut cursor.active, run.content),
                }
                cursor.left = cursor.right;
                cursor.right = self.next(cursor.right);
            } else {
                if left < run.len {
                    self.split(cursor.right, left);
                }
                left -= self.runs[cursor.right].len;
                self.forward(cursor);
            }
        }
        self.end_formats(cursor, negated);
        // The formats hold no longer behind their end; the cursor goes on from what it finds there.
        self.restore_active(cursor);
    }

    /// Works out anew which formats hold at the cursor.
    fn restore_active(&self, cursor: &mut Cursor) {
        cursor.active = match cursor.left {
            NONE => Vec::new(),
            left => {
                let mut place = self.place(left);
                place.slot += 1;
                self.formats_before(cursor.seq, place)
            }
        };
    }

    pub(super) fn delete(&mut self, cursor: &mut Cursor, len: u32) {
        let start = cursor.right;
        let start_active = cursor.active.clone();
        let mut left = len;
        while left > 0 && cursor.right != NONE {
            self.skip_deleted(cursor);
            if cursor.right == NONE {
                break;
            }
            if self.runs[cursor.right].is_countable() {
                if left < self.runs[cursor.right].len {
                    self.split(cursor.right, left);
                }
                left -= self.runs[cursor.right].len;
                self.delete_run(cursor.right);
            }
            self.forward(cursor);
        }
        if start != NONE && self.trees.formats(cursor.seq) != 0 {
            self.clean_gap(start, &start_active);
            self.restore_active(cursor);
        }
    }

    /// Deletes the markers between `start` and the next content that no text needs any more.
    fn clean_gap(&mut self, start: Handle, start_active: &[Active]) {
        // Which markers there are, up to the next content: the last of each key is what counts.
        let mut markers: Vec<Handle> = Vec::new();
        let mut place = Some(self.place(start));
        while let Some(at) = place.and_then(|at| self.trees.live_from(at, &self.runs)) {
            let run = self.trees.run(at);
            if !self.runs[run].is_live_format() {
                break;
            }
            markers.push(run);
            place = self.trees.next(at);
        }
        for (at, marker) in markers.iter().enumerate() {
            let content = self.runs[*marker].content;
            let format = self.contents.format(content);
            let is_last = markers[at + 1..].iter().all(|later| {
                let later = self.runs[*later].content;
                self.contents.format(later).key != format.key
            });
            let held = start_active.iter().find(|(key, _)| *key == format.key);
            let held = held.map_or(&Json::Null, |(_, held)| &self.contents.format(*held).json);
            if !is_last || *held == format.json {
                self.delete_run(*marker);
            }
        }
    }

    /// Where a position of a list is, without splitting anything.
    pub(super) fn locate(&self, seq: SeqId, index: u32) -> Option<(Place, u32)> {
        self.trees.find(seq, index)
    }
}

pub(super) fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
