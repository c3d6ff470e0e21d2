//! Changes by position of the lists and maps of a document.

use serde_json::{Map, Value as Json};

use super::{
    Replica,
    edit::{Content, Cursor, to_u32},
};
use crate::{
    EditError,
    id::{CLOCK_END, Client, Id},
    store::{NONE, RunKind, ShortId, Type, Value, any_of},
};

/// Something that lists and maps hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A value.
    Value(Json),
    /// An empty list.
    Array,
    /// An empty map.
    Map,
    /// An empty text.
    Text,
    /// An XML element without children, of this name.
    XmlElement(String),
    /// An empty text in XML.
    XmlText,
    /// A map in XML that an application shows in its own way, by this name.
    XmlHook(String),
    /// A document in the document, by its guid. What is in it is no part of this replica.
    Document(String),
}

/// A type of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Branch {
    /// By name.
    Root(String),
    /// The one that this unit is.
    At(Id),
}

impl Replica {
    /// Puts nodes into a list, under the name of `client`. Returns the id of the first and the update v1
    /// that does the same elsewhere. O(k log n).
    ///
    /// # Errors
    ///
    /// As [`EditError`] says; nothing has changed then.
    pub fn insert_nodes(
        &mut self,
        branch: &Branch,
        index: usize,
        nodes: &[Node],
        client: Client,
    ) -> Result<(Id, Vec<u8>), EditError> {
        let of = self.branch(branch)?;
        let seq = self.list(of);
        let len_utf16 = self.trees.seq(seq).visible as usize;
        if index > len_utf16 {
            return Err(EditError::OutOfRange {
                position: index,
                len_utf16,
            });
        }
        self.check_room(client, nodes.len())?;
        let author = self.author(client);
        let start = self.end(author);
        let mut cursor = self.cursor(&mut None, seq, author, to_u32(index));
        for node in nodes {
            let content = self.node(node);
            self.put(&mut cursor, &content);
        }
        let update = self.transaction_update(author, start);
        self.commit();
        Ok((
            Id {
                client,
                clock: start,
            },
            update,
        ))
    }

    /// Takes `len` units out of a list. Returns the update v1 that does the same elsewhere. O(k log n).
    ///
    /// # Errors
    ///
    /// As [`EditError`] says; nothing has changed then.
    pub fn delete_nodes(
        &mut self,
        branch: &Branch,
        index: usize,
        len: usize,
        client: Client,
    ) -> Result<Vec<u8>, EditError> {
        let of = self.branch(branch)?;
        let seq = self.list(of);
        let len_utf16 = self.trees.seq(seq).visible as usize;
        let position = index.saturating_add(len);
        if position > len_utf16 {
            return Err(EditError::OutOfRange {
                position,
                len_utf16,
            });
        }
        for position in [index, position] {
            if self.cuts_pair(seq, to_u32(position)) {
                return Err(EditError::SplitSurrogate { position });
            }
        }
        let author = self.author(client);
        let start = self.end(author);
        let mut cursor = self.cursor(&mut None, seq, author, to_u32(index));
        self.delete(&mut cursor, to_u32(len));
        let update = self.transaction_update(author, start);
        self.commit();
        Ok(update)
    }

    /// Sets a key of a map, or takes it out with `None`. Returns the update v1 that does the same
    /// elsewhere. O(log n).
    ///
    /// # Errors
    ///
    /// As [`EditError`] says; nothing has changed then.
    pub fn set_key(
        &mut self,
        branch: &Branch,
        key: &str,
        node: Option<&Node>,
        client: Client,
    ) -> Result<(Id, Vec<u8>), EditError> {
        let of = self.branch(branch)?;
        self.check_room(client, 1)?;
        let author = self.author(client);
        let start = self.end(author);
        let key = self.contents.key(key);
        match node {
            Some(node) => {
                let seq = self.keyed(of, key);
                let content = self.node(node);
                let left = self.last(seq);
                let mut cursor = Cursor {
                    seq,
                    author,
                    left,
                    right: NONE,
                    active: Vec::new(),
                };
                self.put(&mut cursor, &content);
            }
            None => {
                if let Some(seq) = self.keyed.get(&(of, key)) {
                    let last = self.last(*seq);
                    if last != NONE {
                        self.delete_run(last);
                    }
                }
            }
        }
        let update = self.transaction_update(author, start);
        self.commit();
        Ok((
            Id {
                client,
                clock: start,
            },
            update,
        ))
    }

    fn check_room(&self, client: Client, clocks: usize) -> Result<(), EditError> {
        let room = (CLOCK_END - self.state(client)) as usize;
        if clocks >= room || !self.contents.has_room(clocks) {
            return Err(EditError::TooLarge);
        }
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Content<'static> {
        let of = |replica: &mut Self, type_ref, name: &str| {
            let of = replica.contents.add_type(type_ref, name, NONE);
            Content::Other(RunKind::Type, of)
        };
        match node {
            Node::Value(value) => {
                let bytes = any_of(value);
                let end = to_u32(bytes.len());
                let (bytes, start) = (bytes.into(), 0);
                let value = self.contents.add_value(Value::Any { bytes, start, end });
                Content::Other(RunKind::Any, value)
            }
            Node::Array => of(self, Type::ARRAY, ""),
            Node::Map => of(self, Type::MAP, ""),
            Node::Text => of(self, Type::TEXT, ""),
            Node::XmlElement(name) => of(self, Type::XML_ELEMENT, name),
            Node::XmlText => of(self, Type::XML_TEXT, ""),
            Node::XmlHook(name) => of(self, Type::XML_HOOK, name),
            Node::Document(guid) => {
                let (guid, options) = (
                    guid.as_str().into(),
                    any_of(&Json::Object(Map::new())).into(),
                );
                let value = self.contents.add_value(Value::Doc { guid, options });
                Content::Other(RunKind::Doc, value)
            }
        }
    }

    /// A type by where it is.
    pub(super) fn branch(&mut self, branch: &Branch) -> Result<u32, EditError> {
        match branch {
            Branch::Root(name) => Ok(self.root(name)),
            Branch::At(id) => {
                let author = self.author_of.get(&id.client).copied();
                let author = author.filter(|author| id.clock < self.end(*author));
                let author = author.ok_or(EditError::NotFound)?;
                let run = self.find(ShortId {
                    client: author,
                    clock: id.clock,
                });
                let run = &self.runs[run];
                if run.kind() == RunKind::Type && !run.is_deleted() {
                    Ok(run.content)
                } else {
                    Err(EditError::NotFound)
                }
            }
        }
    }
}
