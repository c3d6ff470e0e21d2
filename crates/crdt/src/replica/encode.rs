//! What this replica has, as updates.

use super::Replica;
use crate::{
    Version,
    encoding::Write,
    id::{Client, IdSet, StateVector},
    store::{Handle, NONE, Run, RunKind, Type, Value},
    update::{Head, Kind, Sink, V1, V2, merge_updates, write_head, write_state_vector},
};

impl Replica {
    /// Everything, or what a replica with `known` lacks; and what is waiting. Runs that Yjs would have
    /// joined go as one. O(n) for n runs that are sent, and all runs for the deletions.
    #[must_use]
    pub fn encode_update(&self, known: &StateVector, version: Version) -> Vec<u8> {
        let authors = self.authors.iter().enumerate();
        let mut wanted: Vec<(Client, u32, u32)> = authors
            .filter_map(|(author, it)| {
                let from = known.get(it.id).min(it.end);
                let author = u32::try_from(author).unwrap_or(NONE);
                (from < it.end).then_some((it.id, author, from))
            })
            .collect();
        wanted.sort_unstable_by_key(|(client, ..)| std::cmp::Reverse(*client));
        let deleted = self.deleted();
        let write = |wanted: &[(Client, u32, u32)]| match version {
            Version::V1 => self.write(V1::default(), wanted, &deleted),
            Version::V2 => self.write(V2::default(), wanted, &deleted),
        };
        let update = write(&wanted);
        if !self.has_pending() {
            return update;
        }
        let mut updates = vec![update];
        for pending in self.pending_updates() {
            updates.push(match version {
                Version::V1 => pending,
                Version::V2 => crate::update::to_v2(&pending),
            });
        }
        let parts: Vec<&[u8]> = updates.iter().map(Vec::as_slice).collect();
        merge_updates(&parts, version).unwrap_or_default()
    }

    /// What this replica has, as Yjs sends it.
    #[must_use]
    pub fn encode_state_vector(&self) -> Vec<u8> {
        write_state_vector(&self.state_vector())
    }

    /// All that was deleted. O(n).
    #[must_use]
    pub fn deleted(&self) -> IdSet {
        let mut set = IdSet::default();
        for author in &self.authors {
            for run in author.index.iter() {
                let run = &self.runs[run];
                if run.is_deleted() {
                    set.push(author.id, run.clock..run.end());
                }
            }
        }
        set
    }

    /// What the transaction under way did under the name of one client.
    pub(super) fn transaction_update(&self, author: u32, start: u32) -> Vec<u8> {
        let made = [(self.client(author), author, start)];
        let made = if start < self.end(author) {
            &made[..]
        } else {
            &[]
        };
        let mut sink = V1::with_capacity(64);
        self.write_blocks(&mut sink, made);
        let rest = sink.rest();
        match self.transaction.deleted.as_slice() {
            [] => rest.push(0),
            [(author, clocks)] => {
                rest.push(1);
                rest.var_u64(self.client(*author));
                rest.push(1);
                rest.var_u64(clocks.start.into());
                rest.var_u64((clocks.end - clocks.start).into());
            }
            several => {
                let mut deleted = IdSet::default();
                for (author, clocks) in several {
                    deleted.push(self.client(*author), clocks.clone());
                }
                deleted.normalize();
                sink.id_set(&deleted);
            }
        }
        sink.finish()
    }

    pub(super) fn write(
        &self,
        mut sink: impl Sink,
        wanted: &[(Client, u32, u32)],
        deleted: &IdSet,
    ) -> Vec<u8> {
        self.write_blocks(&mut sink, wanted);
        sink.id_set(deleted);
        sink.finish()
    }

    /// Writes the blocks of clients, each from a clock on; runs go together that Yjs would join.
    fn write_blocks(&self, sink: &mut impl Sink, wanted: &[(Client, u32, u32)]) {
        sink.rest().var_u64(wanted.len() as u64);
        let mut list: Vec<Handle> = Vec::new();
        for (client, author, from) in wanted {
            let mut all = self.authors[*author as usize].index.iter_from(*from);
            // What was just typed is one run, and needs no list.
            let one = all.next();
            let runs: &[Handle] = match all.next() {
                None => one.as_slice(),
                second => {
                    list.clear();
                    list.extend(one.into_iter().chain(second).chain(all));
                    &list
                }
            };
            let together = |pair: &&[Handle]| self.go_together(pair[0], pair[1]);
            let blocks = runs.len() - runs.windows(2).filter(together).count();
            sink.rest().var_u64(blocks as u64);
            sink.client(*client);
            sink.rest().var_u64((*from).into());
            let mut offset = from.saturating_sub(self.runs[runs[0]].clock);
            for block in runs.chunk_by(|left, right| self.go_together(*left, *right)) {
                self.write_group(sink, block, offset);
                offset = 0;
            }
        }
    }

    fn go_together(&self, left: Handle, right: Handle) -> bool {
        let (a, b) = (&self.runs[left], &self.runs[right]);
        if kind_of(a) != kind_of(b) || a.is_deleted() != b.is_deleted() {
            return false;
        }
        match kind_of(a) {
            Kind::Gc => true,
            Kind::Deleted | Kind::String | Kind::Any | Kind::Json => {
                b.origin == a.last_id()
                    && a.right_origin == b.right_origin
                    && self.next(left) == right
            }
            _ => false,
        }
    }

    fn write_group(&self, sink: &mut impl Sink, group: &[Handle], offset: u32) {
        let first = &self.runs[group[0]];
        let len: u32 = group.iter().map(|run| self.runs[*run].len).sum::<u32>() - offset;
        let kind = kind_of(first);
        if kind == Kind::Gc {
            sink.info(0);
            sink.len(len);
            return;
        }
        let seq = self.trees.seq(self.trees.seq_of(first.leaf));
        let origin = if offset > 0 {
            Some((self.client(first.client()), first.clock + offset - 1))
        } else {
            self.name(first.origin)
        };
        let head = Head {
            kind,
            origin,
            right_origin: self.name(first.right_origin),
            sub: (seq.key != NONE).then(|| &**self.contents.key_text(seq.key)),
        };
        write_head(sink, &head, |sink| {
            let parent = &self.contents.types[seq.parent as usize];
            if parent.item == NONE {
                sink.parent_is_root(true);
                sink.string(&parent.name);
            } else {
                let item = &self.runs[parent.item];
                sink.parent_is_root(false);
                sink.left_id(self.client(item.client()), item.clock);
            }
        });
        self.write_content(sink, group, offset, len);
    }

    fn write_content(&self, sink: &mut impl Sink, group: &[Handle], offset: u32, len: u32) {
        let first = &self.runs[group[0]];
        match first.kind() {
            RunKind::Gc => {}
            RunKind::Deleted => sink.len(len),
            RunKind::Narrow | RunKind::Wide => {
                if let [_] = group
                    && let Some(text) = self.contents.plain_text(first, offset)
                {
                    sink.string(text);
                    return;
                }
                let mut text = String::new();
                let mut skip = offset;
                for run in group {
                    let run = &self.runs[*run];
                    let wide = run.kind() == RunKind::Wide;
                    let (at, len) = (run.content + skip, run.len - skip);
                    self.contents.read_text(wide, at, len, &mut text);
                    skip = 0;
                }
                sink.string(&text);
            }
            RunKind::Any | RunKind::Json => self.write_values(sink, group, offset, len),
            RunKind::Format => {
                let format = self.contents.format(first.content);
                sink.key(self.contents.key_text(format.key));
                sink.value(format.value.is_json(), format.value.bytes());
            }
            RunKind::Type => {
                let of = &self.contents.types[first.content as usize];
                sink.type_ref(of.type_ref);
                if of.type_ref == Type::XML_ELEMENT || of.type_ref == Type::XML_HOOK {
                    sink.key(&of.name);
                }
            }
            RunKind::Binary | RunKind::Embed | RunKind::Doc => {
                match self.contents.value(first.content) {
                    Value::Binary(bytes) => sink.rest().var_bytes(bytes),
                    Value::Embed(scalar) => sink.value(scalar.is_json(), scalar.bytes()),
                    Value::Doc { guid, options } => {
                        sink.string(guid);
                        sink.rest().extend_from_slice(options);
                    }
                    Value::Any { .. } | Value::Json { .. } | Value::None => {}
                }
            }
        }
    }

    fn write_values(&self, sink: &mut impl Sink, group: &[Handle], offset: u32, len: u32) {
        use crate::encoding::{Reader, count_any};
        sink.len(len);
        let mut skip = offset;
        for run in group {
            let run = &self.runs[*run];
            match self.contents.value(run.content) {
                Value::Any { bytes, start, end } => {
                    let bytes = &bytes[*start as usize..*end as usize];
                    let from = count_any(bytes, skip);
                    sink.rest().extend_from_slice(&bytes[from..]);
                }
                Value::Json { bytes, start, end } => {
                    let bytes = &bytes[*start as usize..*end as usize];
                    let mut reader = Reader::new(bytes);
                    for index in 0..run.len {
                        let Ok(text) = reader.var_text() else { break };
                        if index >= skip {
                            sink.string(text.text(bytes));
                        }
                    }
                }
                _ => {}
            }
            skip = 0;
        }
    }
}

fn kind_of(run: &Run) -> Kind {
    match run.kind() {
        RunKind::Gc => Kind::Gc,
        RunKind::Deleted => Kind::Deleted,
        RunKind::Json => Kind::Json,
        RunKind::Binary => Kind::Binary,
        RunKind::Narrow | RunKind::Wide => Kind::String,
        RunKind::Embed => Kind::Embed,
        RunKind::Format => Kind::Format,
        RunKind::Type => Kind::Type,
        RunKind::Any => Kind::Any,
        RunKind::Doc => Kind::Doc,
    }
}
