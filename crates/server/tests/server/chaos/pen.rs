//! Random edits that can be found again: each inserts an embed with a name of its own, or removes one that
//! the same writer inserted, so that it is known in the end which ones must be there. Letters and formats
//! come and go beside them.

use motet_ot::{Attributes, Delta, Embed, Insert, Operation};
use serde_json::{Value, json};

use crate::support::random::Random;

/// Most of a writer's embeds that are in the document at a time.
const ALIVE_MAX: usize = 12;
/// Letters are only removed beyond so many.
const LETTERS_MAX: usize = 200;

pub(super) struct Pen {
    name: String,
    pub(super) random: Random,
    made: u64,
    /// The names of those that are to be there.
    alive: Vec<String>,
}

impl Pen {
    pub(super) fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            random: Random::new(seed),
            made: 0,
            alive: Vec::new(),
        }
    }

    pub(super) fn alive(&self) -> &[String] {
        &self.alive
    }

    /// An edit of this document.
    pub(super) fn edit(&mut self, content: &Delta) -> Result<Delta, String> {
        let dice = self.random.index(100);
        if self.alive.len() >= ALIVE_MAX || (dice < 30 && !self.alive.is_empty()) {
            return self.remove(content);
        }
        let mut delta = Delta::new();
        let len = content.len_utf16();
        let at = self.random.index(len + 1);
        self.made += 1;
        let name = format!("{}-{}", self.name, self.made);
        delta = delta
            .retain(at)
            .insert_embed(embed(&name), Attributes::default());
        self.alive.push(name);
        if dice < 60 {
            let letters = &"abcdefgh"[..=self.random.index(8)];
            delta = delta.insert(letters);
        } else if dice < 70 && at < len {
            let bold = match self.random.index(2) {
                0 => Value::Null,
                _ => Value::Bool(true),
            };
            let bold = [("bold".to_owned(), bold)].into_iter().collect();
            delta = delta.retain_with(1 + self.random.index((len - at).min(9)), bold);
        }
        Ok(delta)
    }

    /// One of its own embeds, and some letters if there are many.
    fn remove(&mut self, content: &Delta) -> Result<Delta, String> {
        let index = self.random.index(self.alive.len());
        let name = self.alive.swap_remove(index);
        let sought = embed(&name);
        let letters = content.ops().iter().map(|operation| match operation {
            Operation::Insert {
                insert: Insert::Text(text),
                ..
            } => text.len_utf16(),
            _ => 0,
        });
        let mut surplus = letters.sum::<usize>().saturating_sub(LETTERS_MAX);
        let (mut delta, mut found) = (Delta::new(), false);
        for operation in content.ops() {
            let Operation::Insert { insert, .. } = operation else {
                return Err(format!("{operation:?} in a document"));
            };
            match insert {
                Insert::Embed(embed) if *embed == sought && !found => {
                    found = true;
                    delta = delta.delete(1);
                }
                Insert::Text(text) if surplus > 0 => {
                    let len = text.len_utf16();
                    let count = len.min(surplus).min(1 + self.random.index(len));
                    surplus -= count;
                    delta = delta.delete(count).retain(len - count);
                }
                insert => delta = delta.retain(insert.len_utf16()),
            }
        }
        if found {
            Ok(delta)
        } else {
            Err(format!("{name} is lost"))
        }
    }
}

fn embed(name: &str) -> Embed {
    let json = json!({ "image": name });
    Embed::new(json.as_object().unwrap().clone())
}

/// The names of all embeds of a document, in order of the alphabet.
pub(super) fn names(content: &Delta) -> Vec<String> {
    let name = |operation: &Operation| match operation {
        Operation::Insert {
            insert: Insert::Embed(embed),
            ..
        } => embed.object()["image"].as_str().map(ToOwned::to_owned),
        _ => None,
    };
    let mut names: Vec<_> = content.ops().iter().filter_map(name).collect();
    names.sort_unstable();
    names
}
