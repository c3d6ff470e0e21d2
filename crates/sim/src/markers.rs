//! Texts in which every character and embed is there once, so that it shows when one is lost or
//! doubled.

use std::collections::HashSet;

use motet_ot::{Attributes, Delta, Embed, Insert, Operation};
use serde_json::json;

use crate::random::Random;

/// The number of a character or an embed that somebody inserted.
pub(crate) type Marker = u32;

/// What a marker looks like.
enum Form {
    Char(char),
    Embed,
}

/// Most operations of a random edit.
const OPERATIONS_MAX: usize = 3;
/// Most markers that one operation inserts, deletes or formats.
const STRETCH_MAX: usize = 6;
const FORMATS: [&str; 3] = ["bold", "italic", "link"];
/// The first of many characters of one UTF-16 unit, and of two.
const NARROW: u32 = 0x4e00;
const WIDE: u32 = 0x2_0000;

/// All markers of one run.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    made: Marker,
    /// Those that somebody has deleted.
    deleted: HashSet<Marker>,
}

impl Markers {
    /// A random edit of `text`, which becomes what the edit makes of it.
    pub(crate) fn edit(&mut self, random: &mut Random, text: &mut Vec<Marker>) -> Delta {
        let mut delta = Delta::new();
        let mut at = 0;
        for _ in 0..=random.index(OPERATIONS_MAX) {
            let start = at + random.index(text.len() - at + 1);
            delta = delta.retain(len_utf16(&text[at..start]));
            let stretch = 1 + random.index(STRETCH_MAX);
            let end = text.len().min(start + stretch);
            let dice = random.unit();
            if dice < 0.5 || start == end {
                let new: Vec<Marker> = (0..stretch).map(|_| self.next()).collect();
                let format = if random.chance(0.2) {
                    format(random)
                } else {
                    Attributes::new()
                };
                let format = without_nulls(&format);
                delta = new
                    .iter()
                    .fold(delta, |delta, it| insert(delta, *it, &format));
                at = start + new.len();
                text.splice(start..start, new);
            } else if dice < 0.8 {
                delta = delta.delete(len_utf16(&text[start..end]));
                self.deleted.extend(text.drain(start..end));
                at = start;
            } else {
                delta = delta.retain_with(len_utf16(&text[start..end]), format(random));
                at = end;
            }
        }
        delta
    }

    /// **exactly once**: what was inserted is in the text once, unless somebody deleted it.
    pub(crate) fn check(&self, text: &[Marker]) -> Result<(), String> {
        let mut seen = HashSet::new();
        for marker in text {
            if !seen.insert(*marker) {
                return Err(format!("{} is there twice", name(*marker)));
            }
            if *marker >= self.made {
                return Err(format!("nobody inserted {}", name(*marker)));
            }
        }
        for marker in 0..self.made {
            let (is_there, is_deleted) = (seen.contains(&marker), self.deleted.contains(&marker));
            if is_there && is_deleted {
                return Err(format!("{} was deleted, and is there", name(marker)));
            }
            if !is_there && !is_deleted {
                return Err(format!("{} is lost", name(marker)));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Marker {
        self.made += 1;
        self.made - 1
    }
}

/// The markers of a document, in order.
pub(crate) fn read(document: &Delta) -> Vec<Marker> {
    let mut text = Vec::new();
    for operation in document.ops() {
        match operation {
            Operation::Insert {
                insert: Insert::Text(inserted),
                ..
            } => text.extend(inserted.as_str().chars().map(|char| {
                let code = u32::from(char);
                code - if code < WIDE { NARROW } else { WIDE }
            })),
            Operation::Insert {
                insert: Insert::Embed(embed),
                ..
            } => {
                let number = embed.object().get("marker").and_then(|it| it.as_u64());
                text.push(
                    number
                        .and_then(|it| it.try_into().ok())
                        .unwrap_or(Marker::MAX),
                );
            }
            Operation::Retain { .. } | Operation::Delete { .. } => {}
        }
    }
    text
}

fn form(marker: Marker) -> Form {
    let char = |first: u32| Form::Char(char::from_u32(first + marker).unwrap_or('\u{fffd}'));
    match marker % 7 {
        0 => Form::Embed,
        1 | 2 => char(WIDE),
        _ => char(NARROW),
    }
}

fn name(marker: Marker) -> String {
    match form(marker) {
        Form::Char(char) => format!("marker {marker} ({char})"),
        Form::Embed => format!("marker {marker} (an embed)"),
    }
}

fn insert(delta: Delta, marker: Marker, format: &Attributes) -> Delta {
    match form(marker) {
        Form::Char(char) => delta.insert_with(char.encode_utf8(&mut [0; 4]), format.clone()),
        Form::Embed => {
            let object = [("marker".to_owned(), json!(marker))].into_iter().collect();
            delta.insert_embed(Embed::new(object), format.clone())
        }
    }
}

fn len_utf16(text: &[Marker]) -> usize {
    let len = |marker: &Marker| match form(*marker) {
        Form::Char(char) => char.len_utf16(),
        Form::Embed => 1,
    };
    text.iter().map(len).sum()
}

fn format(random: &mut Random) -> Attributes {
    let name = FORMATS[random.index(FORMATS.len())];
    let value = match random.index(3) {
        0 => json!(null),
        1 => json!(true),
        _ => json!("other"),
    };
    Attributes::from_iter([(name.to_owned(), value)])
}

/// What is inserted has no format to remove.
fn without_nulls(format: &Attributes) -> Attributes {
    let set = format.iter().filter(|(_, value)| !value.is_null());
    set.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
