//! Putting blocks of an update where they belong.
//!
//! The order of concurrent insertions is that of YATA, as Yjs 13.6 has it in `Item.integrate`.
//!
//! # Not here
//!
//! Formats that have become useless: Yjs deletes them after the changes of others
//! (`cleanupYTextAfterTransaction`), in a transaction of its own that goes out as an update. A replica
//! makes no deletion that nobody asked for: a server would have to store it and send it to all, and each
//! node would make it anew. Nothing is lost: such a format shows nothing, so that a text with it shows
//! the same as one without, and the clients that tidy up say so in updates, which are applied like any.
//! What the replica deletes itself at an edit by position is said in that edit's update.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Replica;
use crate::{
    store::{Handle, NONE, Run, RunKind, Scalar, SeqId, ShortId, Value},
    update::{Block, Kind, LocalId, Parent, Update},
};

/// Values of one run: a split walks over them.
const VALUES_PER_RUN_MAX: u32 = 256;

/// What a block can do now.
pub(super) enum Ready {
    /// It can be put in its place, without its first units.
    Now(u32),
    /// It is here already, or stands for nothing.
    Past,
    /// It needs what is not here: a client's clock.
    Waits(u32, u32),
}

/// Content on its way into the document.
pub(super) struct Piece {
    pub(super) kind: RunKind,
    pub(super) content: u32,
    pub(super) len: u32,
}

impl Replica {
    /// Integrates what can be, keeps the rest for later, and applies the deletions.
    pub(super) fn integrate_update(&mut self, update: &Update<'_>) {
        let authors: Vec<u32> = update
            .clients
            .iter()
            .map(|client| self.author(*client))
            .collect();
        self.runs.reserve_for(update.blocks.len());
        let mut next: Vec<u32> = update
            .sections
            .iter()
            .map(|section| section.start)
            .collect();
        // Sections that wait for another section, by the clock that they need.
        let mut waiting: std::collections::BTreeMap<u32, BinaryHeap<Reverse<(u32, usize)>>> =
            std::collections::BTreeMap::new();
        let mut work: Vec<usize> = (0..next.len()).rev().collect();
        while let Some(at) = work.pop() {
            let section = update.sections[at];
            let author = authors[section.client as usize];
            while next[at] < section.end {
                let block = &update.blocks[next[at] as usize];
                match self.ready(&authors, block) {
                    Ready::Past => {}
                    Ready::Now(offset) => self.integrate(update, &authors, block, offset),
                    Ready::Waits(client, clock) => {
                        let heap = waiting.entry(client).or_default();
                        heap.push(Reverse((clock, at)));
                        break;
                    }
                }
                next[at] += 1;
            }
            if let Some(heap) = waiting.get_mut(&author) {
                let end = self.end(author);
                while heap.peek().is_some_and(|Reverse((clock, _))| *clock < end) {
                    work.extend(heap.pop().map(|Reverse((_, section))| section));
                }
            }
        }
        for (at, section) in update.sections.iter().enumerate() {
            for block in &update.blocks[next[at] as usize..section.end as usize] {
                self.keep(update, &authors, block);
            }
        }
        for (client, ranges) in update.deleted.iter() {
            let author = self.author(client);
            for range in ranges {
                self.delete_range(author, range.clone());
            }
        }
        self.wake();
    }

    pub(super) fn ready(&self, authors: &[u32], block: &Block) -> Ready {
        let author = authors[block.client as usize];
        let end = self.end(author);
        if block.kind == Kind::Skip || block.clock + block.len <= end {
            return Ready::Past;
        }
        if block.clock > end {
            return Ready::Waits(author, block.clock - 1);
        }
        let parent = match block.parent {
            Parent::Item(id) => Some(id),
            _ => None,
        };
        // What goes on from a unit that is here stands on that.
        let stands_on = if block.clock < end {
            [None, block.right_origin, None]
        } else {
            [block.origin, block.right_origin, parent]
        };
        for id in stands_on.into_iter().flatten() {
            let client = authors[id.client as usize];
            if id.clock >= self.end(client) {
                return Ready::Waits(client, id.clock);
            }
        }
        Ready::Now(end - block.clock)
    }

    /// Puts a block in its place, without its first `offset` units. All that it stands on is here.
    pub(super) fn integrate(
        &mut self,
        update: &Update<'_>,
        authors: &[u32],
        block: &Block,
        offset: u32,
    ) {
        let id = ShortId {
            client: authors[block.client as usize],
            clock: block.clock + offset,
        };
        let len = block.len - offset;
        if block.kind == Kind::Gc {
            self.add_gc(id, len);
            return;
        }
        let short = |id: Option<LocalId>| {
            id.map_or(ShortId::NONE, |id| ShortId {
                client: authors[id.client as usize],
                clock: id.clock,
            })
        };
        let origin = if offset > 0 {
            ShortId {
                clock: id.clock - 1,
                ..id
            }
        } else {
            short(block.origin)
        };
        let right_origin = short(block.right_origin);
        // The right one first: it may lie in the run that ends with the left one.
        let right = if right_origin.is_some() {
            self.clean_start(right_origin)
        } else {
            NONE
        };
        let left = if origin.is_some() {
            self.clean_end(origin)
        } else {
            NONE
        };
        let Some(seq) = self.seq_for(update, authors, block, left, right) else {
            self.add_gc(id, len);
            return;
        };
        let left = self.settle_conflicts(seq, id, origin, right_origin, left, right);
        self.add_content(update, block, offset, |replica, piece, before| {
            let (left, origin) = match before {
                NONE => (left, origin),
                before => (before, replica.runs[before].last_id()),
            };
            let clock = match before {
                NONE => id.clock,
                before => replica.runs[before].end(),
            };
            let mut run = Run::new(piece.kind, ShortId { clock, ..id }, piece.len);
            (run.origin, run.right_origin, run.content) = (origin, right_origin, piece.content);
            replica.add_run(seq, left, run)
        });
    }

    /// Where a block belongs; `None` if that has been collected.
    fn seq_for(
        &mut self,
        update: &Update<'_>,
        authors: &[u32],
        block: &Block,
        left: Handle,
        right: Handle,
    ) -> Option<SeqId> {
        for side in [left, right] {
            if side != NONE && self.runs[side].kind() == RunKind::Gc {
                return None;
            }
        }
        let parent = match block.parent {
            _ if left != NONE => return Some(self.trees.seq_of(self.runs[left].leaf)),
            Parent::Same => return Some(self.trees.seq_of(self.runs[right].leaf)),
            Parent::Root(name) => self.root(name.text(update.bytes)),
            Parent::Item(id) => {
                let run = self.runs[self.find(ShortId {
                    client: authors[id.client as usize],
                    clock: id.clock,
                })];
                if run.kind() != RunKind::Type {
                    return None;
                }
                run.content
            }
        };
        Some(match block.sub {
            Some(sub) => {
                let key = self.contents.key(sub.text(update.bytes));
                self.keyed(parent, key)
            }
            None => self.list(parent),
        })
    }

    /// The run to put a new one behind; [`NONE`] for the start of the sequence. O(log n) without
    /// conflicts, and linear in what was inserted at the same place meanwhile.
    fn settle_conflicts(
        &mut self,
        seq: SeqId,
        id: ShortId,
        origin: ShortId,
        right_origin: ShortId,
        mut left: Handle,
        right: Handle,
    ) -> Handle {
        let mut place = match left {
            NONE => self.trees.first(seq),
            left => self.trees.next(self.place(left)),
        };
        let mut scanned = std::mem::take(&mut self.scanned);
        scanned.clear();
        // Of those passed, the ones from here on might belong behind the new one.
        let mut conflicting = 0;
        while let Some(at) = place {
            let other = self.trees.run(at);
            if other == right {
                break;
            }
            scanned.push(other);
            let run = &self.runs[other];
            if run.origin == origin {
                if self.client(run.client()) < self.client(id.client) {
                    left = other;
                    conflicting = scanned.len();
                } else if run.right_origin == right_origin {
                    break;
                }
            } else if run.origin.is_some()
                && let Some(at) = scanned.place(self.find(run.origin))
            {
                if at < conflicting {
                    left = other;
                    conflicting = scanned.len();
                }
            } else {
                break;
            }
            place = self.trees.next(at);
        }
        self.scanned = scanned;
        left
    }

    /// Puts a run behind `left`, and does what its being there entails.
    pub(super) fn add_run(&mut self, seq: SeqId, left: Handle, mut run: Run) -> Handle {
        let id = run.id();
        let is_deleted = run.kind() == RunKind::Deleted;
        if is_deleted {
            run.set_deleted();
            self.transaction
                .deleted
                .push((id.client, run.clock..run.end()));
        }
        if self.transaction.marks {
            run.set_new();
        }
        let mask = if run.is_live_format() {
            run.format_bit()
        } else {
            0
        };
        let (kind, content, end) = (run.kind(), run.content, run.end());
        let handle = self.runs.add(run);
        let place = match left {
            NONE => self.trees.first(seq),
            left => {
                let mut place = self.place(left);
                place.slot += 1;
                Some(place)
            }
        };
        self.trees.insert(seq, place, handle, mask, &mut self.runs);
        self.add_to_author(id, end, handle);
        if kind == RunKind::Type {
            self.contents.types[content as usize].item = handle;
        }
        let (parent, key) = {
            let seq = self.trees.seq(seq);
            (seq.parent, seq.key)
        };
        let mut is_obsolete = false;
        if key != NONE {
            if self.next(handle) == NONE {
                // The value of the key, until another comes.
                if left != NONE {
                    self.delete_run(left);
                }
            } else {
                is_obsolete = true;
            }
        }
        let item = self.contents.types[parent as usize].item;
        if is_obsolete || item != NONE && self.runs[item].is_deleted() {
            self.delete_run(handle);
        }
        handle
    }

    /// A run is the next one of its client.
    pub(super) fn add_to_author(&mut self, id: ShortId, end: u32, run: Handle) {
        let author = &mut self.authors[id.client as usize];
        if self
            .transaction
            .before
            .last()
            .is_none_or(|(last, _)| *last != id.client)
        {
            self.transaction.before.push((id.client, author.end));
        }
        author.index.insert(id.clock, run);
        self.advance(id.client, end);
        // What does not follow on what its client made before is not one with it.
        let made = &self.runs[run];
        let follows = made.origin.client == id.client && made.origin.clock + 1 == id.clock;
        if follows || made.kind() == RunKind::Gc {
            self.transaction.seams.push(id);
        }
    }

    fn add_gc(&mut self, id: ShortId, len: u32) {
        let run = Run::new(RunKind::Gc, id, len);
        let end = run.end();
        let mut run = run;
        run.set_deleted();
        let handle = self.runs.add(run);
        self.add_to_author(id, end, handle);
    }

    /// Turns a block's content into runs, one `put` behind the other.
    fn add_content(
        &mut self,
        update: &Update<'_>,
        block: &Block,
        offset: u32,
        mut put: impl FnMut(&mut Self, Piece, Handle) -> Handle,
    ) {
        let content = update.content(block);
        let name = block.name.text(update.bytes);
        let mut one = |replica: &mut Self, kind, content, len| {
            put(replica, Piece { kind, content, len }, NONE);
        };
        match block.kind {
            Kind::Deleted => one(self, RunKind::Deleted, 0, block.len - offset),
            Kind::String => {
                let text = block.value.text(update.bytes);
                let (content, wide) = self.contents.add_text(text);
                let kind = if wide { RunKind::Wide } else { RunKind::Narrow };
                if wide && offset > 0 {
                    self.contents.cut_wide(content + offset);
                }
                self.contents.holes += offset as usize;
                one(self, kind, content + offset, block.len - offset);
            }
            Kind::Format => {
                let value = Scalar::new(block.is_json, content);
                let format = self.contents.format_id(name, value);
                one(self, RunKind::Format, format, 1);
            }
            Kind::Type => {
                let of = self.contents.add_type(block.type_ref, name, NONE);
                one(self, RunKind::Type, of, 1);
            }
            Kind::Binary => {
                let value = self.contents.add_value(Value::Binary(content.into()));
                one(self, RunKind::Binary, value, 1);
            }
            Kind::Embed => {
                let value = Value::Embed(Scalar::new(block.is_json, content));
                let value = self.contents.add_value(value);
                one(self, RunKind::Embed, value, 1);
            }
            Kind::Doc => {
                let (guid, options) = (name.into(), content.into());
                let value = self.contents.add_value(Value::Doc { guid, options });
                one(self, RunKind::Doc, value, 1);
            }
            Kind::Any | Kind::Json => {
                let is_any = block.kind == Kind::Any;
                let whole = if is_any {
                    let (bytes, start) = (content.into(), 0);
                    let end = u32::try_from(content.len()).unwrap_or(NONE);
                    self.contents.add_value(Value::Any { bytes, start, end })
                } else {
                    let (bytes, start) = (content.into(), 0);
                    let end = u32::try_from(content.len()).unwrap_or(NONE);
                    self.contents.add_value(Value::Json { bytes, start, end })
                };
                let mut rest = whole;
                if offset > 0 {
                    rest = self.split_value(whole, offset);
                    self.contents.free_value(whole);
                }
                let kind = if is_any { RunKind::Any } else { RunKind::Json };
                let (mut left, mut before) = (block.len - offset, NONE);
                while left > 0 {
                    let len = left.min(VALUES_PER_RUN_MAX);
                    let content = rest;
                    if len < left {
                        rest = self.split_value(content, len);
                    }
                    before = put(self, Piece { kind, content, len }, before);
                    left -= len;
                }
            }
            Kind::Gc | Kind::Skip => {}
        }
    }
}

impl super::Scanned {
    /// A few are searched faster than hashed.
    const FEW: usize = 16;

    fn clear(&mut self) {
        self.order.clear();
        self.places.clear();
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    fn push(&mut self, run: Handle) {
        self.order.push(run);
    }

    fn place(&mut self, run: Handle) -> Option<usize> {
        if self.order.len() <= Self::FEW {
            return self.order.iter().rposition(|it| *it == run);
        }
        // Most are passed without being looked for: they are hashed when the first one is.
        let hashed = self.places.len();
        let fresh = self.order[hashed..].iter().zip(hashed..);
        self.places.extend(fresh.map(|(run, at)| (*run, at)));
        self.places.get(&run).copied()
    }
}
