//! What an update brought: the part of it that was not here before.
//!
//! A log keeps that part, and not the bytes that came: a peer may send all that it has each time it
//! reconnects, and blocks that waited become part of the document when others come.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use motet_ot::Delta;

use super::Replica;
use crate::{
    DecodeError, Version,
    id::{Client, IdSet},
    store::ShortId,
    update::{Kind, Update, V1, merge_updates},
};

/// What an update brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// What it did to the text.
    pub delta: Delta,
    /// Update v1 with what was new: the blocks that are in the document now, also those that had waited;
    /// the deletions that took effect; and the blocks and deletions that wait from now on. Empty, without
    /// even a count, if there was nothing: an update brings nothing the second time, unless a client
    /// contradicts itself in it.
    ///
    /// Replicas that apply these updates in this order are the same, and wait for the same.
    pub update: Vec<u8>,
}

impl Replica {
    /// Applies an update, and returns what that did to the text of the root `root`, and what of the update
    /// was new. O(k log n) for k blocks.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says; nothing has changed then.
    pub fn receive_update(
        &mut self,
        update: &[u8],
        version: Version,
        root: &str,
    ) -> Result<Received, DecodeError> {
        self.transaction.marks = true;
        self.apply(update, version)?;
        let list = self.root_list(root);
        let received = Received {
            delta: self.transaction_delta(list),
            update: self.news(),
        };
        self.commit();
        Ok(received)
    }

    /// Whether the replica has all that an update holds: its blocks, and its deletions. What waits is not
    /// counted as had. O(k log n) for k blocks and deleted runs.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says.
    pub fn has_update(&self, update: &[u8], version: Version) -> Result<bool, DecodeError> {
        let update = Update::decode(update, version)?;
        let made = update.blocks.iter().filter(|it| it.kind != Kind::Skip);
        let mut made = made.map(|block| {
            (
                update.clients[block.client as usize],
                block.clock + block.len,
            )
        });
        if made.any(|(client, end)| end > self.state(client)) {
            return Ok(false);
        }
        Ok(update
            .deleted
            .iter()
            .all(|(client, ranges)| ranges.iter().all(|clocks| self.has_deleted(client, clocks))))
    }

    fn has_deleted(&self, client: Client, clocks: &Range<u32>) -> bool {
        let Some(author) = self.author_of.get(&client).copied() else {
            return false;
        };
        let mut clock = clocks.start;
        while clock < clocks.end {
            if clock >= self.end(author) {
                return false;
            }
            let run = &self.runs[self.find(ShortId {
                client: author,
                clock,
            })];
            if !run.is_deleted() {
                return false;
            }
            clock = run.end();
        }
        true
    }

    /// What the transaction under way brought, whoever made it.
    fn news(&self) -> Vec<u8> {
        let transaction = &self.transaction;
        let mut starts: BTreeMap<u32, u32> = BTreeMap::new();
        for (author, start) in &transaction.before {
            starts.entry(*author).or_insert(*start);
        }
        let made = starts.iter();
        let mut made: Vec<(Client, u32, u32)> = made
            .map(|(author, start)| (self.client(*author), *author, *start))
            .collect();
        made.sort_unstable_by_key(|(client, ..)| Reverse(*client));
        let mut deleted = IdSet::default();
        for (author, clocks) in &transaction.deleted {
            deleted.push(self.client(*author), clocks.clone());
        }
        for (author, clocks) in &transaction.kept_deleted {
            // What has come since has been deleted, and is in the set.
            let start = clocks.start.max(self.end(*author));
            deleted.push(self.client(*author), start..clocks.end);
        }
        deleted.normalize();
        let kept = self.kept_updates();
        if made.is_empty() && deleted.is_empty() && kept.is_empty() {
            return Vec::new();
        }
        let update = self.write(V1::default(), &made, &deleted);
        if kept.is_empty() {
            return update;
        }
        let kept = kept.iter().map(Vec::as_slice);
        let parts: Vec<&[u8]> = std::iter::once(update.as_slice()).chain(kept).collect();
        merge_updates(&parts, Version::V1)
            .unwrap_or_else(|_| unreachable!("all parts were written here"))
    }
}
