//! What a document was at one time: how far each client had come, and what was deleted.
//!
//! Follows `Snapshot` of Yjs 13.6.

use std::ops::Range;

use crate::{
    Client, DecodeError, IdSet, Replica, StateVector, Version,
    encoding::Reader,
    update::{read_id_set, read_state_vector, write_id_set, write_state_vector},
};

/// A point in the history of a document; what it looked like is in a replica that forgets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What had been made.
    pub made: StateVector,
    /// What of it had been deleted.
    pub deleted: IdSet,
}

impl Snapshot {
    /// As Yjs writes it.
    #[must_use]
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_id_set(&mut bytes, &self.deleted, version == Version::V2);
        bytes.extend(write_state_vector(&self.made));
        bytes
    }

    /// From Yjs's bytes.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says.
    pub fn decode(bytes: &[u8], version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let deleted = read_id_set(&mut reader, version == Version::V2)?;
        let made = read_state_vector(&mut reader)?;
        Ok(Self { made, deleted })
    }
}

impl Snapshot {
    /// The parts of a client's clocks that were made and not deleted. O(log n) and what is found.
    pub(crate) fn visible(&self, client: Client, clocks: Range<u32>) -> Vec<Range<u32>> {
        let end = clocks.end.min(self.made.get(client));
        let mut at = clocks.start;
        let mut visible = Vec::new();
        for gone in self.deleted.from(client, at) {
            if gone.start >= end {
                break;
            }
            visible.push(at..gone.start);
            at = gone.end;
        }
        visible.push(at..end);
        visible.retain(|range| !range.is_empty());
        visible
    }
}

impl Replica {
    /// Where the document is now. O(n).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            made: self.state_vector(),
            deleted: self.deleted(),
        }
    }
}
