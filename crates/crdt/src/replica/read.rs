//! What the document says.

use motet_ot::{Attributes, Delta, Insert, Operation, Text};
use serde_json::{Map, Value as Json};

use super::{Replica, delta::Active, nodes::Branch};
use crate::{
    Snapshot,
    encoding::{Reader, any_to_json},
    id::Id,
    store::{NONE, Run, RunKind, SeqId, ShortId, Type, Value},
};

/// How deep types are shown in one another; deeper ones show as `null`.
pub const JSON_DEPTH_MAX: usize = 64;

/// As what a type is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A list.
    Array,
    /// A map.
    Map,
    /// A text.
    Text,
    /// XML: a fragment, an element, or a text in it.
    Xml,
}

pub(super) fn type_name(type_ref: u8) -> &'static str {
    match type_ref {
        Type::ARRAY => "array",
        Type::MAP => "map",
        Type::TEXT => "text",
        Type::XML_ELEMENT => "xml_element",
        Type::XML_FRAGMENT => "xml_fragment",
        Type::XML_HOOK => "xml_hook",
        _ => "xml_text",
    }
}

impl Replica {
    /// The text of a root, without formats and embeds. O(n).
    #[must_use]
    pub fn text(&self, root: &str) -> String {
        self.list_of(root)
            .map_or_else(String::new, |list| self.text_of(list))
    }

    /// The text of a root as a document. O(n).
    #[must_use]
    pub fn to_delta(&self, root: &str) -> Delta {
        self.list_of(root)
            .map_or_else(Delta::new, |list| self.delta_of(list))
    }

    /// The text of a root as the document that it was at `snapshot`. O(n), with all that was deleted.
    ///
    /// What was deleted since and collected is not there: only a replica that forgets nothing
    /// ([`Options::gc`](super::Options::gc) off) shows all.
    #[must_use]
    pub fn to_delta_at(&self, root: &str, snapshot: &Snapshot) -> Delta {
        let (mut delta, mut active) = (Delta::new(), Vec::new());
        let mut place = self.list_of(root).and_then(|list| self.trees.first(list));
        while let Some(at) = place {
            let run = &self.runs[self.trees.run(at)];
            place = self.trees.next(at);
            for clocks in snapshot.visible(self.client(run.client()), run.clock..run.end()) {
                if run.kind() == RunKind::Format {
                    self.pass_format(run, &mut active);
                    continue;
                }
                let attributes = self.attributes(&active);
                let units = clocks.start - run.clock..clocks.end - run.clock;
                self.inserts_of(run, units, |insert| {
                    let attributes = attributes.clone();
                    delta.push(Operation::Insert { insert, attributes });
                });
            }
        }
        delta
    }

    /// A root as JSON: what Yjs's `toJSON` gives. O(n).
    #[must_use]
    pub fn to_json(&self, root: &str, shape: Shape) -> Json {
        match self.root_of(root) {
            Some(of) => self.json_of(of, shape, 0),
            None => match shape {
                Shape::Array => Json::Array(Vec::new()),
                Shape::Map => Json::Object(Map::new()),
                Shape::Text | Shape::Xml => Json::from(""),
            },
        }
    }

    /// The text in a type as a document. O(n).
    #[must_use]
    pub fn delta_at(&self, branch: &Branch) -> Delta {
        let list = self
            .known_branch(branch)
            .map(|of| self.contents.types[of as usize].list);
        list.filter(|list| *list != NONE)
            .map_or_else(Delta::new, |list| self.delta_of(list))
    }

    /// The length of the list of a type. O(log n).
    #[must_use]
    pub fn len_at(&self, branch: &Branch) -> usize {
        let list = self
            .known_branch(branch)
            .map(|of| self.contents.types[of as usize].list);
        list.filter(|list| *list != NONE)
            .map_or(0, |list| self.trees.seq(list).visible as usize)
    }

    /// Whether a type was made as a text.
    #[must_use]
    pub fn is_text(&self, branch: &Branch) -> bool {
        let of = self
            .known_branch(branch)
            .map(|of| self.contents.types[of as usize].type_ref);
        matches!(of, Some(Type::TEXT | Type::XML_TEXT))
    }

    /// A type by where it is, if it is there.
    fn known_branch(&self, branch: &Branch) -> Option<u32> {
        match branch {
            Branch::Root(name) => self.root_of(name),
            Branch::At(id) => {
                let client = *self.author_of.get(&id.client)?;
                let id = ShortId {
                    client,
                    clock: id.clock,
                };
                let run = (id.clock < self.end(client)).then(|| self.runs[self.find(id)])?;
                (run.kind() == RunKind::Type).then_some(run.content)
            }
        }
    }

    /// The names of all roots.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.roots.keys().map(|name| &**name)
    }

    /// The types that are in the list of another or under its keys, and as what they are made.
    #[must_use]
    pub fn branches(&self, branch: &Branch) -> Vec<(Branch, Shape)> {
        let of = self.known_branch(branch);
        let mut found = Vec::new();
        for seq in of.map(|of| self.seqs(of)).unwrap_or_default() {
            self.for_each(seq, |run| {
                if run.kind() == RunKind::Type {
                    let client = self.client(run.client());
                    let at = Branch::At(Id {
                        client,
                        clock: run.clock,
                    });
                    let type_ref = self.contents.types[run.content as usize].type_ref;
                    found.push((at, shape_of(type_ref)));
                }
            });
        }
        found
    }

    /// Shows each run that is not deleted.
    fn for_each(&self, seq: SeqId, mut show: impl FnMut(&Run)) {
        let mut place = self.trees.first(seq);
        while let Some(at) = place {
            let run = &self.runs[self.trees.run(at)];
            if !run.is_deleted() {
                show(run);
            }
            place = self.trees.next(at);
        }
    }

    fn text_of(&self, seq: SeqId) -> String {
        let mut text = String::new();
        self.for_each(seq, |run| {
            if run.is_text() {
                let wide = run.kind() == RunKind::Wide;
                self.contents
                    .read_text(wide, run.content, run.len, &mut text);
            }
        });
        text
    }

    fn delta_of(&self, seq: SeqId) -> Delta {
        let (mut delta, mut active) = (Delta::new(), Vec::new());
        // Gathered over runs: one that was typed all over has many short ones.
        let (mut text, mut attributes) = (String::new(), Attributes::new());
        self.for_each(seq, |run| match run.kind() {
            RunKind::Narrow | RunKind::Wide => {
                let wide = run.kind() == RunKind::Wide;
                self.contents
                    .read_text(wide, run.content, run.len, &mut text);
            }
            RunKind::Format => {
                push_text(&mut delta, &mut text, &attributes);
                self.pass_format(run, &mut active);
                attributes = self.attributes(&active);
            }
            _ => {
                push_text(&mut delta, &mut text, &attributes);
                self.inserts(run, |insert| {
                    let attributes = attributes.clone();
                    delta.push(Operation::Insert { insert, attributes });
                });
            }
        });
        push_text(&mut delta, &mut text, &attributes);
        delta
    }

    /// Goes on behind a format.
    fn pass_format(&self, run: &Run, active: &mut Vec<Active>) {
        let format = self.contents.format(run.content);
        active.retain(|(key, _)| *key != format.key);
        if !format.json.is_null() {
            active.push((format.key, run.content));
        }
    }

    /// The values of a run of them.
    pub(super) fn values(&self, run: &Run) -> Vec<Json> {
        let mut values = Vec::with_capacity(run.len as usize);
        match self.contents.value(run.content) {
            Value::Any { bytes, start, end } => {
                let bytes = &bytes[*start as usize..*end as usize];
                let mut at = 0;
                while at < bytes.len() {
                    values.push(any_to_json(bytes, &mut at));
                }
            }
            Value::Json { bytes, start, end } => {
                let bytes = &bytes[*start as usize..*end as usize];
                let mut reader = Reader::new(bytes);
                while let Ok(text) = reader.var_text() {
                    values.push(serde_json::from_str(text.text(bytes)).unwrap_or(Json::Null));
                }
            }
            _ => {}
        }
        values
    }

    fn json_of(&self, of: u32, shape: Shape, depth: usize) -> Json {
        if depth > JSON_DEPTH_MAX {
            return Json::Null;
        }
        let holder = &self.contents.types[of as usize];
        match shape {
            Shape::Array => {
                let mut values = Vec::new();
                if holder.list != NONE {
                    self.for_each(holder.list, |run| self.push_json(run, depth, &mut values));
                }
                Json::Array(values)
            }
            Shape::Map => {
                let mut object = Map::new();
                for ((_, key), seq) in self.keyed.range((of, 0)..=(of, u32::MAX)) {
                    let mut values = Vec::new();
                    self.for_each(*seq, |run| self.push_json(run, depth, &mut values));
                    if let Some(value) = values.pop() {
                        object.insert(self.contents.key_text(*key).to_string(), value);
                    }
                }
                Json::Object(object)
            }
            Shape::Text if holder.list == NONE => Json::from(""),
            Shape::Text => Json::from(self.text_of(holder.list)),
            Shape::Xml => Json::from(self.xml(of, depth)),
        }
    }

    fn push_json(&self, run: &Run, depth: usize, into: &mut Vec<Json>) {
        match run.kind() {
            RunKind::Any | RunKind::Json => into.extend(self.values(run)),
            RunKind::Type => {
                let type_ref = self.contents.types[run.content as usize].type_ref;
                into.push(self.json_of(run.content, shape_of(type_ref), depth + 1));
            }
            RunKind::Narrow | RunKind::Wide => {
                // As in Yjs, which shows each unit of text in a list by itself.
                let mut text = String::new();
                let wide = run.kind() == RunKind::Wide;
                self.contents
                    .read_text(wide, run.content, run.len, &mut text);
                into.extend(text.chars().map(|char| Json::from(char.to_string())));
            }
            RunKind::Binary => {
                if let Value::Binary(bytes) = self.contents.value(run.content) {
                    into.push(bytes.iter().map(|byte| Json::from(*byte)).collect());
                }
            }
            RunKind::Embed => {
                if let Value::Embed(scalar) = self.contents.value(run.content) {
                    into.push(scalar.to_json());
                }
            }
            RunKind::Doc => into.push(Json::Null),
            RunKind::Gc | RunKind::Deleted | RunKind::Format => {}
        }
    }

    /// XML as Yjs's `toString` writes it.
    fn xml(&self, of: u32, depth: usize) -> String {
        let holder = &self.contents.types[of as usize];
        if depth > JSON_DEPTH_MAX {
            return String::new();
        }
        // What has no form of its own in JavaScript.
        if matches!(holder.type_ref, Type::ARRAY | Type::MAP | Type::XML_HOOK) {
            return "[object Object]".to_owned();
        }
        let mut inside = String::new();
        if holder.type_ref == Type::XML_TEXT || holder.type_ref == Type::TEXT {
            return if holder.list == NONE {
                inside
            } else {
                self.xml_text(holder.list)
            };
        }
        if holder.list != NONE {
            self.for_each(holder.list, |run| {
                if run.kind() == RunKind::Type {
                    inside.push_str(&self.xml(run.content, depth + 1));
                }
            });
        }
        if holder.type_ref != Type::XML_ELEMENT {
            return inside;
        }
        let Json::Object(attributes) = self.json_of(of, Shape::Map, depth) else {
            return inside;
        };
        let name = holder.name.to_lowercase();
        let attributes: Vec<String> = attributes
            .iter()
            .map(|(key, value)| match value {
                Json::String(text) => format!("{key}=\"{text}\""),
                value => format!("{key}=\"{value}\""),
            })
            .collect();
        let gap = if attributes.is_empty() { "" } else { " " };
        format!("<{name}{gap}{}>{inside}</{name}>", attributes.join(" "))
    }

    /// A text in XML: each format is an element around it.
    fn xml_text(&self, seq: SeqId) -> String {
        let mut xml = String::new();
        for operation in self.delta_of(seq).ops() {
            let Operation::Insert { insert, attributes } = operation else {
                continue;
            };
            let mut ends = Vec::new();
            for (name, value) in attributes.iter() {
                let mut pairs = js_entries(value);
                pairs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                xml.push_str(&format!("<{name}"));
                for (key, value) in pairs {
                    match value {
                        Json::String(text) => xml.push_str(&format!(" {key}=\"{text}\"")),
                        value => xml.push_str(&format!(" {key}=\"{value}\"")),
                    }
                }
                xml.push('>');
                ends.push(format!("</{name}>"));
            }
            if let motet_ot::Insert::Text(text) = insert {
                xml.push_str(text.as_str());
            } else {
                xml.push_str("[object Object]");
            }
            ends.iter().rev().for_each(|end| xml.push_str(end));
        }
        xml
    }
}

/// Moves the text that was gathered behind a document.
fn push_text(delta: &mut Delta, text: &mut String, attributes: &Attributes) {
    if !text.is_empty() {
        delta.push(Operation::Insert {
            insert: Insert::Text(Text::new(std::mem::take(text))),
            attributes: attributes.clone(),
        });
    }
}

fn shape_of(type_ref: u8) -> Shape {
    match type_ref {
        Type::ARRAY => Shape::Array,
        Type::MAP | Type::XML_HOOK => Shape::Map,
        Type::TEXT => Shape::Text,
        _ => Shape::Xml,
    }
}

/// What JavaScript's `for … in` goes through: a string's units by number, too.
fn js_entries(value: &Json) -> Vec<(String, Json)> {
    match value {
        Json::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        Json::Array(values) => values
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value.clone()))
            .collect(),
        Json::String(text) => text
            .encode_utf16()
            .enumerate()
            .map(|(at, unit)| {
                (
                    at.to_string(),
                    Json::from(String::from_utf16_lossy(&[unit])),
                )
            })
            .collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) => Vec::new(),
    }
}
