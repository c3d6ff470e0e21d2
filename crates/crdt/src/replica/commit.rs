//! Deleting, and what is done when a transaction is over: content is freed, runs are joined.

use std::ops::Range;

use super::Replica;
use crate::store::{Handle, NONE, RunKind, ShortId};

/// Holes in the text that are not worth moving it together.
const HOLES_MIN: usize = 64 << 10;

impl Replica {
    /// Deletes the units of a client that are here. O(k log n) for k runs.
    pub(super) fn delete_clocks(&mut self, author: u32, range: Range<u32>) {
        let mut clock = range.start;
        while clock < range.end {
            let mut run = self.find(ShortId {
                client: author,
                clock,
            });
            if self.runs[run].is_deleted() {
                clock = self.runs[run].end();
                continue;
            }
            let offset = clock - self.runs[run].clock;
            if offset > 0 {
                run = self.split(run, offset);
            }
            let len = range.end - clock;
            if len < self.runs[run].len {
                self.split(run, len);
            }
            clock = self.runs[run].end();
            self.delete_run(run);
        }
    }

    /// Deletes a run, and all that is in it. O(log n) for each.
    pub(super) fn delete_run(&mut self, run: Handle) {
        let mut work = Vec::new();
        let mut next = Some(run);
        while let Some(handle) = next {
            next = work.pop();
            let run = &mut self.runs[handle];
            if run.is_deleted() {
                continue;
            }
            let was_format = run.is_live_format();
            let was_visible = run.is_countable();
            run.set_deleted();
            if self.transaction.marks {
                run.set_gone();
            }
            let (author, clocks, leaf) = (run.client(), run.clock..run.end(), run.leaf);
            let (kind, content) = (run.kind(), run.content);
            match self.transaction.deleted.last_mut() {
                Some((last, range)) if *last == author && range.end == clocks.start => {
                    range.end = clocks.end;
                }
                _ => self.transaction.deleted.push((author, clocks)),
            }
            let place = self.trees.place(leaf, handle);
            if was_visible || was_format {
                self.trees.resize(place, 0, &self.runs);
            }
            if was_format {
                self.trees.refresh_mask(leaf, &self.runs);
            }
            if kind == RunKind::Type {
                work.extend(next);
                self.children(content, &mut work);
                next = work.pop();
            }
        }
    }

    /// The runs in a type that are not deleted: its list, and the values of its keys.
    fn children(&self, of: u32, into: &mut Vec<Handle>) {
        for seq in self.seqs(of) {
            let mut place = self.trees.first(seq);
            while let Some(at) = place {
                let run = self.trees.run(at);
                if !self.runs[run].is_deleted() {
                    into.push(run);
                }
                place = self.trees.next(at);
            }
        }
    }

    /// The sequences of a type.
    pub(super) fn seqs(&self, of: u32) -> Vec<u32> {
        let holder = &self.contents.types[of as usize];
        let list = (holder.list != NONE).then_some(holder.list);
        let keyed = if holder.has_keys {
            Some(self.keyed.range((of, 0)..=(of, u32::MAX)))
        } else {
            None
        };
        list.into_iter()
            .chain(keyed.into_iter().flatten().map(|(_, seq)| *seq))
            .collect()
    }

    /// Ends the transaction.
    pub(super) fn commit(&mut self) {
        self.trees.settle(&mut self.runs);
        let mut transaction = std::mem::take(&mut self.transaction);
        if self.savepoint.is_set {
            // It may be wanted back.
            self.savepoint.deleted.append(&mut transaction.deleted);
        } else {
            self.forget(&transaction.deleted);
        }
        for id in &transaction.seams {
            let is_done = |(author, clocks): &(u32, Range<u32>)| {
                *author == id.client && (clocks.start == id.clock || clocks.end == id.clock)
            };
            if !transaction.deleted.first().is_some_and(is_done) {
                self.join(*id);
            }
        }
        transaction.before.clear();
        transaction.deleted.clear();
        transaction.seams.clear();
        transaction.cut.clear();
        transaction.kept.clear();
        transaction.kept_deleted.clear();
        transaction.marks = false;
        self.transaction = transaction;
        self.compact();
    }

    /// Forgets what was deleted, and joins the runs that are alike then.
    pub(super) fn forget(&mut self, deleted: &[(u32, Range<u32>)]) {
        if self.options.gc {
            for (author, clocks) in deleted {
                self.collect(*author, clocks.clone());
            }
        }
        for (author, clocks) in deleted {
            self.join_range(*author, clocks.clone());
        }
    }

    /// Forgets the content of deleted runs.
    fn collect(&mut self, author: u32, clocks: Range<u32>) {
        let mut clock = clocks.start;
        while clock < clocks.end {
            let handle = self.find(ShortId {
                client: author,
                clock,
            });
            let run = self.runs[handle];
            clock = run.end();
            match run.kind() {
                RunKind::Gc | RunKind::Deleted => continue,
                RunKind::Narrow | RunKind::Wide => self.contents.holes += run.len as usize,
                RunKind::Format => {}
                RunKind::Type => self.collect_type(run.content),
                _ => self.contents.free_value(run.content),
            }
            let run = &mut self.runs[handle];
            run.set_kind(RunKind::Deleted);
            run.content = 0;
        }
    }

    /// Forgets what was in a type, which has been deleted: even where it stood.
    fn collect_type(&mut self, of: u32) {
        let mut work = vec![of];
        while let Some(of) = work.pop() {
            for seq in self.seqs(of) {
                let mut place = self.trees.first(seq);
                while let Some(at) = place {
                    let handle = self.trees.run(at);
                    place = self.trees.next(at);
                    let run = self.runs[handle];
                    match run.kind() {
                        RunKind::Narrow | RunKind::Wide => self.contents.holes += run.len as usize,
                        RunKind::Type => work.push(run.content),
                        RunKind::Gc | RunKind::Deleted | RunKind::Format => {}
                        _ => self.contents.free_value(run.content),
                    }
                    let run = &mut self.runs[handle];
                    run.set_kind(RunKind::Gc);
                    run.set_deleted();
                    (run.origin, run.right_origin) = (ShortId::NONE, ShortId::NONE);
                    run.content = 0;
                    self.transaction.seams.push(run.id());
                }
                self.trees.destroy(seq, &mut self.runs);
            }
            let keys = self.keyed.range((of, 0)..=(of, u32::MAX));
            for key in keys.map(|(key, _)| *key).collect::<Vec<_>>() {
                self.keyed.remove(&key);
            }
            self.contents.free_type(of);
        }
        // Joined once all of them are what they will be.
        for id in std::mem::take(&mut self.transaction.seams) {
            self.join(id);
        }
    }

    /// Joins the runs of a range with each other and with their neighbours.
    fn join_range(&mut self, author: u32, clocks: Range<u32>) {
        let mut clock = clocks.start;
        loop {
            self.join(ShortId {
                client: author,
                clock,
            });
            if clock >= clocks.end {
                return;
            }
            clock = self.runs[self.find(ShortId {
                client: author,
                clock,
            })]
            .end();
            if clock >= self.end(author) {
                return;
            }
        }
    }

    /// Joins the run that begins with `id` with the one before, if they are as one. O(log n).
    pub(super) fn join(&mut self, id: ShortId) {
        let seam = self.authors[id.client as usize].index.seam(id.clock);
        let Some((left, right)) = seam else {
            return;
        };
        if self.are_one(left, right) {
            self.join_runs(left, right);
        }
    }

    pub(super) fn join_runs(&mut self, left: Handle, right: Handle) {
        let (id, len) = (self.runs[right].id(), self.runs[right].len);
        if self.runs[left].leaf == NONE {
            self.runs[left].len += len;
        } else {
            let (to, from) = (self.place(left), self.place(right));
            self.runs[left].len += len;
            self.trees.join(to, from, &mut self.runs);
        }
        self.authors[id.client as usize].index.remove(id.clock);
        self.runs.remove(right);
    }

    /// Whether two consecutive runs of a client can be one.
    fn are_one(&self, left: Handle, right: Handle) -> bool {
        let (a, b) = (&self.runs[left], &self.runs[right]);
        if !a.is_like(b) {
            return false;
        }
        let is_one = match a.kind() {
            RunKind::Gc => return true,
            RunKind::Deleted => true,
            RunKind::Narrow | RunKind::Wide => a.content + a.len == b.content,
            _ => false,
        };
        is_one
            && b.origin == a.last_id()
            && a.right_origin == b.right_origin
            && self.next(left) == right
    }

    /// Moves the text together when more than half of it is holes. O(n), paid for by what was deleted.
    pub(super) fn compact(&mut self) {
        if self.savepoint.is_set {
            return;
        }
        let text = self.contents.narrow.len() + self.contents.wide.len();
        if self.contents.holes < HOLES_MIN || self.contents.holes < text / 2 {
            return;
        }
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        for author in &self.authors {
            for handle in author.index.iter() {
                let run = &mut self.runs[handle];
                let range = run.content as usize..run.content as usize + run.len as usize;
                let at = match run.kind() {
                    RunKind::Narrow => {
                        narrow.extend_from_slice(&self.contents.narrow[range]);
                        narrow.len()
                    }
                    RunKind::Wide => {
                        wide.extend_from_slice(&self.contents.wide[range]);
                        wide.len()
                    }
                    _ => continue,
                };
                run.content = u32::try_from(at).unwrap_or(NONE) - run.len;
            }
        }
        (
            self.contents.narrow,
            self.contents.wide,
            self.contents.holes,
        ) = (narrow, wide, 0);
    }
}
