//! Updates without a document: blocks as they travel, and the ids that were deleted.
//!
//! An [`Update`] borrows the bytes that it was decoded from; its blocks are small records that point
//! into them. Decoding checks everything that does not depend on a replica, so that applying an update
//! cannot fail half-way.
//!
//! Follows Yjs 13.6: `UpdateDecoder`, `UpdateEncoder`, `encoding`, `updates`.

mod decode;
mod encode;
mod merge;

pub use decode::decode_state_vector;
pub use merge::{clients_of_update, diff_update, merge_updates, reach_of_update, state_vector_of};

pub(crate) use decode::{len_utf16_of, read_id_set, read_state_vector};
pub(crate) use encode::{
    Head, Sink, V1, V2, write_block, write_head, write_id_set, write_state_vector,
};
pub(crate) use merge::to_v2;

use crate::{DecodeError, encoding::Span, id::IdSet};

/// The two encodings of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One stream; what Yjs's providers send.
    V1,
    /// Columns with run lengths: smaller for long histories.
    V2,
}

/// What a block holds. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Content that was collected, and where it stood as well.
    Gc = 0,
    /// Content that was collected.
    Deleted = 1,
    /// JSON values, of the time before `Any`.
    Json = 2,
    Binary = 3,
    String = 4,
    Embed = 5,
    Format = 6,
    Type = 7,
    Any = 8,
    Doc = 9,
    /// A hole: blocks that the sender does not have.
    Skip = 10,
}

/// An id whose client is a place in [`Update::clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalId {
    pub(crate) client: u32,
    pub(crate) clock: u32,
}

/// The type that a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// That of its neighbours.
    Same,
    /// A type of the document, by name.
    Root(Span),
    /// The type in that block.
    Item(LocalId),
}

/// A run of units that one client made at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) client: u32,
    pub(crate) clock: u32,
    pub(crate) len: u32,
    pub(crate) kind: Kind,
    /// Of [`Kind::Type`].
    pub(crate) type_ref: u8,
    /// Embeds and formats: the value is JSON text, and not one of lib0's values.
    pub(crate) is_json: bool,
    pub(crate) origin: Option<LocalId>,
    pub(crate) right_origin: Option<LocalId>,
    pub(crate) parent: Parent,
    /// The key in the parent, where it is a map.
    pub(crate) sub: Option<Span>,
    /// A format's key, a type's name, a document's guid.
    pub(crate) name: Span,
    /// The content.
    pub(crate) value: Span,
}

/// The blocks of one client, in the order of their clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) client: u32,
    /// The first of [`Update::blocks`], and one past the last.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A decoded update.
pub(crate) struct Update<'a> {
    pub(crate) bytes: &'a [u8],
    /// What had to be put together: JSON content of update v2.
    pub(crate) aux: Vec<u8>,
    pub(crate) clients: Vec<u64>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) sections: Vec<Section>,
    pub(crate) deleted: IdSet,
}

impl<'a> Update<'a> {
    /// Decodes an update. O(n), and no more memory than a small multiple of the bytes.
    pub(crate) fn decode(bytes: &'a [u8], version: Version) -> Result<Self, DecodeError> {
        match version {
            Version::V1 => decode::v1(bytes),
            Version::V2 => decode::v2(bytes),
        }
    }

    /// Where a block's content is: JSON of update v2 was put together elsewhere.
    pub(crate) fn content(&self, block: &Block) -> &[u8] {
        let whole = match block.kind {
            Kind::Json if !self.aux.is_empty() => &self.aux,
            _ => self.bytes,
        };
        block.value.of(whole)
    }
}
