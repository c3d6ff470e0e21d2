//! What a transaction did to a text, as a delta.
//!
//! Walks over the part of the tree that has changed, from left to right, and knows at each place which
//! formats held before and which hold now. Where they differ, what stays is retained with the difference,
//! up to the next marker of that format.

use std::ops::Range;

use motet_ot::{Attributes, Delta, Embed, Insert, Operation, Text};
use serde_json::{Map, Value as Json};

use super::Replica;
use crate::store::{Handle, NONE, Place, Run, RunKind, SeqId, Value, Walker};

/// A format that holds at a place: its key, and the run's content that set it; [`NONE`] for none.
pub(super) type Active = (u32, u32);

impl Replica {
    /// What the transaction under way did to a sequence.
    pub(super) fn transaction_delta(&self, seq: SeqId) -> Delta {
        let mut walk = DeltaWalk {
            replica: self,
            seq,
            delta: Delta::new(),
            passed: 0,
            active: self.trees.first(seq).is_some().then(Vec::new),
            changed: Vec::new(),
            retained: Attributes::new(),
            bits: 0,
        };
        self.trees.walk(seq, &mut walk);
        walk.delta
    }

    /// The formats that hold right before `place`, without those that are `null`. O(log n) for each.
    pub(super) fn formats_before(&self, seq: SeqId, place: Place) -> Vec<Active> {
        let mut active: Vec<Active> = Vec::new();
        if self.trees.formats(seq) == 0 {
            return active;
        }
        // Keys beyond 32 share bits: then no bit is done before the start is reached.
        let is_exact = self.contents.keys_len() <= 32;
        let mut wanted = self.trees.formats(seq);
        self.trees.live_formats_before(place, &self.runs, |run| {
            let run = &self.runs[run];
            let key = self.contents.format(run.content).key;
            if active.iter().all(|(known, _)| *known != key) {
                active.push((key, run.content));
            }
            if is_exact {
                wanted &= !run.format_bit();
            }
            wanted
        });
        active.retain(|(_, format)| !self.contents.format(*format).json.is_null());
        active
    }

    /// The attributes that active formats are.
    pub(super) fn attributes(&self, active: &[Active]) -> Attributes {
        let pairs = active.iter().map(|(key, format)| {
            let key = self.contents.key_text(*key).to_string();
            (key, self.contents.format(*format).json.clone())
        });
        pairs.collect()
    }

    /// What a visible run shows in a text.
    pub(super) fn inserts(&self, run: &Run, push: impl FnMut(Insert)) {
        self.inserts_of(run, 0..run.len, push);
    }

    /// What some units of a run show in a text.
    pub(super) fn inserts_of(&self, run: &Run, units: Range<u32>, mut push: impl FnMut(Insert)) {
        let embed = |kind: &str, value: Json| {
            Insert::Embed(Embed::new(Map::from_iter([(kind.to_owned(), value)])))
        };
        let (start, len) = (units.start, units.end - units.start);
        match run.kind() {
            RunKind::Narrow | RunKind::Wide => {
                let mut text = String::new();
                let wide = run.kind() == RunKind::Wide;
                self.contents
                    .read_text(wide, run.content + start, len, &mut text);
                push(Insert::Text(Text::new(text)));
            }
            RunKind::Embed => {
                let Value::Embed(scalar) = self.contents.value(run.content) else {
                    return;
                };
                push(match scalar.to_json() {
                    Json::Object(object) => Insert::Embed(Embed::new(object)),
                    value => embed("embed", value),
                });
            }
            RunKind::Type => {
                let of = &self.contents.types[run.content as usize];
                push(embed(
                    "type",
                    Json::from(super::read::type_name(of.type_ref)),
                ));
            }
            RunKind::Binary => push(embed("binary", Json::Null)),
            RunKind::Doc => push(embed("doc", Json::Null)),
            RunKind::Any | RunKind::Json => {
                let values = self.values(run).into_iter();
                for value in values.skip(start as usize).take(len as usize) {
                    push(embed("any", value));
                }
            }
            RunKind::Gc | RunKind::Deleted | RunKind::Format => {}
        }
    }
}

/// A format that is another than before: its key, and the values before and now.
struct Changed {
    key: u32,
    before: u32,
    now: u32,
}

struct DeltaWalk<'r> {
    replica: &'r Replica,
    seq: SeqId,
    delta: Delta,
    /// What was passed as it is since the last operation: at the end it is none.
    passed: usize,
    /// The formats that hold here now; `None` where that is not known.
    active: Option<Vec<Active>>,
    changed: Vec<Changed>,
    /// The differences, as attributes of what is retained.
    retained: Attributes,
    /// The bits of the formats that differ.
    bits: u32,
}

impl DeltaWalk<'_> {
    fn value(&self, format: u32) -> Json {
        if format == NONE {
            Json::Null
        } else {
            self.replica.contents.format(format).json.clone()
        }
    }

    fn retain(&mut self, visible: u32) {
        let len_utf16 = visible as usize;
        if self.retained.is_empty() {
            self.passed += len_utf16;
        } else {
            let attributes = self.retained.clone();
            self.push(Operation::Retain {
                len_utf16,
                attributes,
            });
        }
    }

    fn push(&mut self, operation: Operation) {
        if operation.len_utf16() == 0 {
            return;
        }
        let (len_utf16, attributes) = (std::mem::take(&mut self.passed), Attributes::new());
        self.delta.push(Operation::Retain {
            len_utf16,
            attributes,
        });
        self.delta.push(operation);
    }

    /// Passes over what was there and is. Where a surrogate pair was cut, its halves have changed.
    fn stay(&mut self, place: Place, run: &Run) {
        let cut = &self.replica.transaction.cut;
        let first = cut.contains(&run.id().pair());
        let last = run.len > 1 && cut.contains(&run.last_id().pair());
        if first {
            self.replace(place);
        }
        self.retain(run.len - u32::from(first) - u32::from(last));
        if last {
            self.replace(place);
        }
    }

    fn replace(&mut self, place: Place) {
        let active = self.known(place).clone();
        let attributes = self.replica.attributes(&active);
        let insert = Insert::Text(Text::new("\u{fffd}"));
        self.push(Operation::Insert { insert, attributes });
        self.push(Operation::Delete { len_utf16: 1 });
    }

    fn known(&mut self, place: Place) -> &mut Vec<Active> {
        let replica = self.replica;
        let seq = self.seq;
        self.active
            .get_or_insert_with(|| replica.formats_before(seq, place))
    }

    /// Passes a marker that holds now, held before, or both.
    fn mark(&mut self, place: Place, run: &Run, held: bool, holds: bool) {
        if !held && !holds {
            return;
        }
        if held && holds && self.changed.is_empty() && self.active.is_none() {
            // Nothing depends on it yet.
            return;
        }
        let key = self.replica.contents.format(run.content).key;
        let active = self.known(place);
        let at = active.iter().position(|(known, _)| *known == key);
        let mut now = at.map_or(NONE, |at| active[at].1);
        let changed = self.changed.iter().position(|changed| changed.key == key);
        let mut before = changed.map_or(now, |at| self.changed[at].before);
        if held {
            before = run.content;
        }
        if holds {
            now = run.content;
            let is_null = self.replica.contents.format(now).json.is_null();
            let active = self.known(place);
            if let Some(at) = at {
                active.swap_remove(at);
            }
            if !is_null {
                active.push((key, now));
            }
        }
        if let Some(at) = changed {
            self.changed.swap_remove(at);
        }
        if self.value(before) != self.value(now) {
            self.changed.push(Changed { key, before, now });
        }
        self.refresh();
    }

    fn refresh(&mut self) {
        self.bits = 0;
        let replica = self.replica;
        let pairs = self.changed.iter().map(|changed| {
            let name = replica.contents.key_text(changed.key).to_string();
            (name, self.value(changed.now))
        });
        self.retained = pairs.collect();
        for changed in &self.changed {
            self.bits |= 1 << (changed.key & 31);
        }
    }
}

impl Walker for DeltaWalk<'_> {
    fn pass(&mut self, visible: u32, formats: u32) -> bool {
        if self.bits & formats != 0 {
            return false;
        }
        self.retain(visible);
        if formats != 0 {
            self.active = None;
        }
        true
    }

    fn run(&mut self, place: Place, handle: Handle) {
        let run = self.replica.runs[handle];
        let held = !run.is_new() && (!run.is_deleted() || run.is_gone());
        let holds = !run.is_deleted();
        if run.kind() == RunKind::Format {
            self.mark(place, &run, held, holds);
            return;
        }
        match (held && run.is_countable(), holds && run.is_countable()) {
            (true, true) => self.stay(place, &run),
            (true, false) => self.push(Operation::Delete {
                len_utf16: run.len as usize,
            }),
            (false, true) => {
                let active = self.known(place).clone();
                let attributes = self.replica.attributes(&active);
                self.replica.inserts(&run, |insert| {
                    let attributes = attributes.clone();
                    self.push(Operation::Insert { insert, attributes });
                });
            }
            (false, false) => {}
        }
    }
}
