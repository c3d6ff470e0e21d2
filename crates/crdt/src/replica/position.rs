//! Places that stay where they are in the text, whatever is written around them.
//!
//! Follows `RelativePosition` of Yjs 13.6, and speaks its JSON and its binary form.

use serde_json::{Value as Json, json};

use super::Replica;
use crate::{
    DecodeError,
    encoding::{Reader, Write},
    id::{CLIENT_MAX, CLOCK_END, Id},
    store::{NONE, SeqId, ShortId},
};

/// To which side a place belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Association {
    /// To the unit before it.
    Before,
    /// To the unit after it.
    #[default]
    After,
}

/// A place in the list of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelativePosition {
    /// The root it is in, where no unit tells that.
    pub root: Option<String>,
    /// The type it is in, where no unit tells that.
    pub branch: Option<Id>,
    /// The unit that it belongs to; at the start or the end there is none.
    pub item: Option<Id>,
    /// The side.
    pub association: Association,
}

impl Replica {
    /// The place at `index` of the list of a root; `None` past its end. O(log n).
    #[must_use]
    pub fn position_at(
        &self,
        root: &str,
        index: usize,
        association: Association,
    ) -> Option<RelativePosition> {
        let list = self.list_of(root);
        let len_utf16 = list.map_or(0, |list| self.trees.seq(list).visible);
        let index = u32::try_from(index)
            .ok()
            .filter(|index| *index <= len_utf16)?;
        let unit = match association {
            Association::After => Some(index),
            Association::Before => index.checked_sub(1),
        };
        let item = list
            .zip(unit)
            .and_then(|(list, unit)| self.unit(list, unit));
        Some(RelativePosition {
            root: Some(root.to_owned()),
            branch: None,
            item,
            association,
        })
    }

    /// The id of the unit at a position.
    fn unit(&self, list: SeqId, index: u32) -> Option<Id> {
        let (place, offset) = self.locate(list, index)?;
        let run = &self.runs[self.trees.run(place)];
        Some(Id {
            client: self.client(run.client()),
            clock: run.clock + offset,
        })
    }

    /// Where a place is now in the list of the root `root`; `None` if it is not in there, or not here yet.
    /// O(log n).
    #[must_use]
    pub fn index_of(&self, root: &str, position: &RelativePosition) -> Option<usize> {
        let list = self.list_of(root);
        let Some(item) = position.item else {
            let is_here = position.root.as_deref() == Some(root);
            let end = list.map_or(0, |list| self.trees.seq(list).visible as usize);
            return is_here.then_some(match position.association {
                Association::After => end,
                Association::Before => 0,
            });
        };
        let author = *self.author_of.get(&item.client)?;
        if item.clock >= self.end(author) {
            return None;
        }
        let handle = self.find(ShortId {
            client: author,
            clock: item.clock,
        });
        let run = &self.runs[handle];
        if run.leaf == NONE || Some(self.trees.seq_of(run.leaf)) != list {
            return None;
        }
        let before = self.trees.index_of(self.place(handle));
        let inside = match position.association {
            _ if run.visible() == 0 => 0,
            Association::After => item.clock - run.clock,
            Association::Before => item.clock - run.clock + 1,
        };
        Some((before + inside) as usize)
    }
}

impl RelativePosition {
    /// As Yjs writes it in JSON: in the awareness of most editors.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let id = |id: Option<Id>| id.map(|id| json!({ "client": id.client, "clock": id.clock }));
        json!({
            "type": id(self.branch),
            "tname": self.root,
            "item": id(self.item),
            "assoc": if self.association == Association::Before { -1 } else { 0 },
        })
    }

    /// From Yjs's JSON; `None` if it is none.
    #[must_use]
    pub fn from_json(json: &Json) -> Option<Self> {
        let id = |json: &Json| -> Option<Option<Id>> {
            if json.is_null() {
                return Some(None);
            }
            let client = json
                .get("client")?
                .as_u64()
                .filter(|it| *it <= CLIENT_MAX)?;
            let clock = json.get("clock")?.as_u64()?;
            let clock = u32::try_from(clock).ok().filter(|it| *it < CLOCK_END)?;
            Some(Some(Id { client, clock }))
        };
        let object = json.as_object()?;
        let field = |name: &str| object.get(name).unwrap_or(&Json::Null);
        Some(Self {
            root: field("tname").as_str().map(str::to_owned),
            branch: id(field("type"))?,
            item: id(field("item"))?,
            association: match field("assoc").as_i64() {
                Some(assoc) if assoc < 0 => Association::Before,
                _ => Association::After,
            },
        })
    }

    /// As Yjs writes it in bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let write_id = |kind: u8, id: Id, bytes: &mut Vec<u8>| {
            bytes.push(kind);
            bytes.var_u64(id.client);
            bytes.var_u64(id.clock.into());
        };
        if let Some(item) = self.item {
            write_id(0, item, &mut bytes);
        } else if let Some(root) = &self.root {
            bytes.push(1);
            bytes.var_bytes(root.as_bytes());
        } else if let Some(branch) = self.branch {
            write_id(2, branch, &mut bytes);
        }
        bytes.var_i64(1, self.association == Association::Before);
        if self.association == Association::After {
            bytes.pop();
            bytes.push(0);
        }
        bytes
    }

    /// From Yjs's bytes.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut position = Self {
            root: None,
            branch: None,
            item: None,
            association: Association::After,
        };
        match reader.u8()? {
            0 => position.item = Some(read_id(&mut reader)?),
            1 => position.root = Some(reader.var_text()?.text(bytes).to_owned()),
            2 => position.branch = Some(read_id(&mut reader)?),
            _ => return Err(reader.malformed("no such kind of position")),
        }
        if !reader.is_at_end() && reader.var_i64()?.0 < 0 {
            position.association = Association::Before;
        }
        Ok(position)
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, DecodeError> {
    let (client, clock) = (reader.var_u64()?, reader.var_u32()?);
    if client > CLIENT_MAX || clock >= CLOCK_END {
        return Err(DecodeError::OutOfRange { at: reader.at() });
    }
    Ok(Id { client, clock })
}
