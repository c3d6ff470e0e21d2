//! Going back: what has happened since a savepoint can be undone.
//!
//! Nothing is copied when a savepoint is set. From there on it is noted what is made, deleted, split and
//! kept for later, and deleted content stays where it is. Going back takes out what was made, gives back
//! what was deleted and joins what was split; letting go of the savepoint does what ending each
//! transaction would have done. Where runs stand in their nodes, and which numbers freed content had, may be
//! others than before: nothing tells.

use std::{ops::Range, sync::Arc};

use super::Replica;
use crate::store::{ContentsMark, Handle, NONE, RunKind, ShortId};

/// What is needed to go back; nothing is noted while it is not set.
#[derive(Clone, Default)]
pub(super) struct Savepoint {
    pub(super) is_set: bool,
    /// Of this savepoint: authors that have made something since bear it.
    pub(super) number: u64,
    /// How many authors there were.
    authors: usize,
    contents: ContentsMark,
    /// Where authors were that have made something since.
    pub(super) before: Vec<(u32, u32)>,
    /// What was deleted since.
    pub(super) deleted: Vec<(u32, Range<u32>)>,
    /// Where runs were split.
    pub(super) splits: Vec<ShortId>,
    /// Surrogate pairs that were cut: where in the text, and what they were.
    pub(super) cuts: Vec<(u32, [u16; 2])>,
    pub(super) roots: Vec<Arc<str>>,
    /// Types that got a list.
    pub(super) lists: Vec<u32>,
    /// Types that got a key, and whether they had others.
    pub(super) keyed: Vec<((u32, u32), bool)>,
}

impl Savepoint {
    /// The memory that it takes up.
    pub(super) fn size_bytes(&self) -> usize {
        self.before.capacity() * size_of::<(u32, u32)>()
            + self.deleted.capacity() * size_of::<(u32, u32, u32)>()
            + self.splits.capacity() * size_of::<ShortId>()
            + self.cuts.capacity() * size_of::<(u32, [u16; 2])>()
            + self.roots.capacity() * size_of::<Arc<str>>()
            + self.lists.capacity() * size_of::<u32>()
            + self.keyed.capacity() * size_of::<((u32, u32), bool)>()
    }

    fn clear(&mut self) {
        self.is_set = false;
        self.before.clear();
        self.deleted.clear();
        self.splits.clear();
        self.cuts.clear();
        self.roots.clear();
        self.lists.clear();
        self.keyed.clear();
    }
}

impl Replica {
    /// Sets a savepoint: what happens from here on can be undone, until the savepoint is
    /// [released](Self::release). What is deleted meanwhile is only then forgotten. O(1).
    ///
    /// # Panics
    ///
    /// When one is set: there is one at a time.
    pub fn savepoint(&mut self) {
        assert!(!self.savepoint.is_set, "there is one savepoint at a time");
        self.savepoint.is_set = true;
        self.savepoint.number += 1;
        self.savepoint.authors = self.authors.len();
        self.savepoint.contents = self.contents.mark();
        self.pending.note();
    }

    /// Keeps what has happened since the savepoint. O(k log n) for k runs deleted since.
    ///
    /// # Panics
    ///
    /// When no savepoint is set.
    pub fn release(&mut self) {
        assert!(self.savepoint.is_set, "a savepoint is set");
        let mut deleted = std::mem::take(&mut self.savepoint.deleted);
        self.savepoint.clear();
        self.pending.forget_notes();
        self.forget(&deleted);
        self.compact();
        deleted.clear();
        self.savepoint.deleted = deleted;
    }

    /// Undoes all that has happened since the savepoint, and takes that away. O(k log n) for k runs made,
    /// deleted or split since.
    ///
    /// # Panics
    ///
    /// When no savepoint is set.
    pub fn rollback(&mut self) {
        assert!(self.savepoint.is_set, "a savepoint is set");
        let mut savepoint = std::mem::take(&mut self.savepoint);
        for (author, end) in &savepoint.before {
            self.unmake(*author, *end);
        }
        for (author, clocks) in &savepoint.deleted {
            let end = self.end(*author).min(clocks.end);
            self.revive(*author, clocks.start..end);
        }
        for (at, pair) in savepoint.cuts.drain(..).rev() {
            self.contents.mend_wide(at, pair);
        }
        // Reviving splits what was deleted together.
        savepoint.splits.append(&mut self.transaction.seams);
        for id in &savepoint.splits {
            if id.clock < self.end(id.client) {
                self.rejoin(*id);
            }
        }
        for (at, had_keys) in savepoint.keyed.drain(..).rev() {
            if let Some(seq) = self.keyed.remove(&at) {
                self.trees.destroy(seq, &mut self.runs);
            }
            self.contents.types[at.0 as usize].has_keys = had_keys;
        }
        for of in savepoint.lists.drain(..) {
            let list = std::mem::replace(&mut self.contents.types[of as usize].list, NONE);
            self.trees.destroy(list, &mut self.runs);
        }
        for name in savepoint.roots.drain(..) {
            if let Some(of) = self.roots.remove(&name) {
                self.contents.free_type(of);
            }
        }
        self.trees.settle(&mut self.runs);
        self.pending.undo();
        for author in self.authors.drain(savepoint.authors..) {
            self.author_of.remove(&author.id);
        }
        self.contents.go_back(&savepoint.contents);
        savepoint.clear();
        self.savepoint = savepoint;
    }

    /// An author has come to `end`.
    pub(super) fn advance(&mut self, author: u32, end: u32) {
        let of = &mut self.authors[author as usize];
        if self.savepoint.is_set && of.noted_in != self.savepoint.number {
            of.noted_in = self.savepoint.number;
            self.savepoint.before.push((author, of.end));
        }
        of.end = end;
    }

    /// Takes out what an author has made from `end` on.
    fn unmake(&mut self, author: u32, end: u32) {
        if self.end(author) == end {
            return;
        }
        let mut made: Vec<Handle> = Vec::new();
        made.extend(self.authors[author as usize].index.iter_from(end));
        // The first may have been joined with what was there.
        if self.runs[made[0]].clock < end {
            let whole = made.swap_remove(0);
            let run = &mut self.runs[whole];
            let more = run.end() - end;
            run.len -= more;
            if run.leaf != NONE {
                let place = self.trees.place(run.leaf, whole);
                self.trees.resize(place, -i64::from(more), &self.runs);
            }
        }
        for handle in made {
            let run = self.runs[handle];
            if run.leaf != NONE {
                if run.is_live_format() {
                    self.runs[handle].set_deleted();
                    self.trees.refresh_mask(run.leaf, &self.runs);
                }
                let place = self.place(handle);
                self.trees.remove(place, &mut self.runs);
            }
            match run.kind() {
                RunKind::Gc
                | RunKind::Deleted
                | RunKind::Narrow
                | RunKind::Wide
                | RunKind::Format => {}
                // What it holds was made after it, and goes with its authors.
                RunKind::Type => self.contents.free_type(run.content),
                _ => self.contents.free_value(run.content),
            }
            self.authors[author as usize].index.remove(run.clock);
            self.runs.remove(handle);
        }
        self.authors[author as usize].end = end;
    }

    /// Gives back units that were deleted.
    fn revive(&mut self, author: u32, clocks: Range<u32>) {
        let mut clock = clocks.start;
        while clock < clocks.end {
            let id = ShortId {
                client: author,
                clock,
            };
            let mut run = self.find(id);
            let offset = clock - self.runs[run].clock;
            if offset > 0 {
                run = self.split(run, offset);
            }
            let len = clocks.end - clock;
            if len < self.runs[run].len {
                self.split(run, len);
            }
            clock = self.runs[run].end();
            self.runs[run].set_live();
            let place = self.place(run);
            self.trees.revive(place, &self.runs);
        }
    }

    /// Joins the two parts of a run that was split.
    fn rejoin(&mut self, id: ShortId) {
        if let Some((left, right)) = self.authors[id.client as usize].index.seam(id.clock)
            && matches!(self.runs[left].kind(), RunKind::Any | RunKind::Json)
            && self.runs[left].is_like(&self.runs[right])
        {
            let values = (self.runs[left].content, self.runs[right].content);
            if self.contents.join_values(values.0, values.1) {
                self.join_runs(left, right);
            }
            return;
        }
        self.join(id);
    }
}
