//! About how much memory a replica holds.
//!
//! A bound on it keeps hostile documents small, so all that grows with what strangers send is counted:
//! what is in the document, what is deleted, what waits, names, keys, formats and clients.

use super::{Author, Replica};

/// What an entry of a B-tree map takes up beside a large value: a key, its share of the node, and slack.
pub(super) const MAP_ENTRY_BYTES: usize = 32;
/// What the allocator adds to a small allocation.
pub(super) const ALLOCATION_BYTES: usize = 16;

impl Replica {
    /// The most bytes that the formats of one place in a text may have, each with the largest value that was
    /// ever set, also where it shows nowhere now. O(1).
    #[must_use]
    pub fn formats_bytes(&self) -> usize {
        self.contents.formats_bytes()
    }

    /// About the memory that the replica holds, in bytes: what bounds a document. O(clients).
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let indexes = self.authors.iter().map(|author| author.index.size_bytes());
        let indexes: usize = indexes.sum();
        let authors_bytes =
            self.authors.capacity() * size_of::<Author>() + self.author_of.len() * MAP_ENTRY_BYTES;
        let names_bytes = self.roots.len() * (MAP_ENTRY_BYTES + ALLOCATION_BYTES)
            + self.keyed.len() * MAP_ENTRY_BYTES;
        let transaction = &self.transaction;
        let scratch_bytes = transaction.before.capacity() * size_of::<(u32, u32)>()
            + transaction.deleted.capacity() * size_of::<(u32, u32, u32)>()
            + transaction.seams.capacity() * size_of::<(u32, u32)>()
            + transaction.kept.capacity() * size_of::<(u32, u32)>()
            + transaction.kept_deleted.capacity() * size_of::<(u32, u32, u32)>()
            + self.scanned.size_bytes()
            + self.savepoint.size_bytes();
        self.runs.size_bytes()
            + self.trees.size_bytes()
            + self.contents.size_bytes()
            + authors_bytes
            + indexes
            + names_bytes
            + self.pending.size_bytes()
            + scratch_bytes
    }
}

impl super::Scanned {
    fn size_bytes(&self) -> usize {
        self.order.capacity() * size_of::<u32>()
            + self.places.capacity() * (size_of::<(u32, usize)>() + 1)
    }
}
