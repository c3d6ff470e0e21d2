//! Updates without a document: merged, cut, and asked what they hold.

use std::{collections::BTreeMap, ops::Range};

use super::{Block, Kind, Parent, Sink, Update, V1, V2, Version, write_block};
use crate::{
    DecodeError,
    encoding::Write,
    id::{Client, IdSet, StateVector},
};

/// One update that does what all of `updates` do, in the version that they have. What one holds twice is
/// there once, and a gap stays a gap. O(n log n).
///
/// # Errors
///
/// As [`DecodeError`] says, of the first update that is refused.
pub fn merge_updates(updates: &[&[u8]], version: Version) -> Result<Vec<u8>, DecodeError> {
    let decoded: Result<Vec<_>, _> = updates
        .iter()
        .map(|bytes| Update::decode(bytes, version))
        .collect();
    Ok(write(&decoded?, &StateVector::default(), version))
}

/// The part of an update that a replica with `known` lacks. Deletions are kept whole. O(n log n).
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn diff_update(
    update: &[u8],
    known: &StateVector,
    version: Version,
) -> Result<Vec<u8>, DecodeError> {
    let decoded = Update::decode(update, version)?;
    Ok(write(&[decoded], known, version))
}

/// What a replica that starts empty has when it has applied `update`. O(n log n).
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn state_vector_of(update: &[u8], version: Version) -> Result<StateVector, DecodeError> {
    let update = [Update::decode(update, version)?];
    let mut vector = StateVector::default();
    for pieces in gathered(&update, &StateVector::default()) {
        let mut end = 0;
        for piece in &pieces.blocks {
            if piece.start > end {
                break;
            }
            end = piece.end();
        }
        vector.set(pieces.client, end);
    }
    Ok(vector)
}

/// For each client with blocks in `update`, in ascending order: its first clock there, and one past its
/// last. Between them there may be holes. O(n log n).
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn clients_of_update(
    update: &[u8],
    version: Version,
) -> Result<Vec<(Client, Range<u32>)>, DecodeError> {
    let update = Update::decode(update, version)?;
    let mut clients: BTreeMap<Client, Range<u32>> = BTreeMap::new();
    for block in update.blocks.iter().filter(|it| it.kind != Kind::Skip) {
        let client = update.clients[block.client as usize];
        let (start, end) = (block.clock, block.clock + block.len);
        let range = clients.entry(client).or_insert(start..end);
        *range = range.start.min(start)..range.end.max(end);
    }
    Ok(clients.into_iter().collect())
}

/// For each client with units that `update` makes or names, to stand on them or to delete them: one past
/// the largest clock. O(n log n).
///
/// Who makes units refuses what reaches those of its own that it has not made: it would forge them or wait
/// for them, and edits by position wake nothing.
///
/// # Errors
///
/// As [`DecodeError`] says.
pub fn reach_of_update(update: &[u8], version: Version) -> Result<StateVector, DecodeError> {
    let update = Update::decode(update, version)?;
    let mut named = StateVector::default();
    let mut name = |client: Client, end: u32| named.set(client, named.get(client).max(end));
    for block in &update.blocks {
        if block.kind != Kind::Skip {
            name(
                update.clients[block.client as usize],
                block.clock + block.len,
            );
        }
        let parent = match block.parent {
            Parent::Item(id) => Some(id),
            Parent::Root(_) | Parent::Same => None,
        };
        let ids = [block.origin, block.right_origin, parent];
        for id in ids.into_iter().flatten() {
            name(update.clients[id.client as usize], id.clock + 1);
        }
    }
    for (client, ranges) in update.deleted.iter() {
        name(client, ranges.last().map_or(0, |last| last.end));
    }
    Ok(named)
}

/// A block of one of the updates, from its unit `start` on.
struct Piece<'u> {
    update: &'u Update<'u>,
    block: &'u Block,
    /// A clock.
    start: u32,
}

impl Piece<'_> {
    fn end(&self) -> u32 {
        self.block.clock + self.block.len
    }
}

/// What there is of a client, in order, nothing twice.
struct Pieces<'u> {
    client: Client,
    blocks: Vec<Piece<'u>>,
}

fn gathered<'u>(updates: &'u [Update<'u>], known: &StateVector) -> Vec<Pieces<'u>> {
    let mut all: Vec<(Client, Piece<'u>)> = Vec::new();
    for update in updates {
        for block in &update.blocks {
            let client = update.clients[block.client as usize];
            let start = block.clock.max(known.get(client));
            if block.kind != Kind::Skip && start < block.clock + block.len {
                all.push((
                    client,
                    Piece {
                        update,
                        block,
                        start,
                    },
                ));
            }
        }
    }
    // Larger clients first, as Yjs writes them; of two that start alike the longer first.
    all.sort_by(|(a, x), (b, y)| {
        b.cmp(a)
            .then(x.start.cmp(&y.start))
            .then(y.end().cmp(&x.end()))
    });
    let mut gathered: Vec<Pieces<'u>> = Vec::new();
    for (client, mut piece) in all {
        if gathered.last().is_none_or(|last| last.client != client) {
            let blocks = Vec::new();
            gathered.push(Pieces { client, blocks });
        }
        let Some(last) = gathered.last_mut() else {
            continue;
        };
        let end = last.blocks.last().map_or(0, Piece::end);
        piece.start = piece.start.max(end);
        if piece.start < piece.end() {
            last.blocks.push(piece);
        }
    }
    gathered
}

/// An update v1 in v2.
pub(crate) fn to_v2(update: &[u8]) -> Vec<u8> {
    let decoded = Update::decode(update, Version::V1);
    decoded.map_or_else(
        |_| Vec::new(),
        |update| write_to(V2::default(), &[update], &StateVector::default()),
    )
}

fn write(updates: &[Update<'_>], known: &StateVector, version: Version) -> Vec<u8> {
    match version {
        Version::V1 => write_to(V1::default(), updates, known),
        Version::V2 => write_to(V2::default(), updates, known),
    }
}

fn write_to(mut sink: impl Sink, updates: &[Update<'_>], known: &StateVector) -> Vec<u8> {
    let gathered = gathered(updates, known);
    sink.rest().var_u64(gathered.len() as u64);
    for Pieces { client, blocks } in &gathered {
        let first = blocks.first().map_or(0, |piece| piece.start);
        let holes = blocks
            .windows(2)
            .filter(|pair| pair[0].end() < pair[1].start);
        let count = blocks.len() + holes.count();
        sink.rest().var_u64(count as u64);
        sink.client(*client);
        sink.rest().var_u64(first.into());
        let mut end = first;
        for piece in blocks {
            if piece.start > end {
                sink.info(Kind::Skip as u8);
                sink.rest().var_u64((piece.start - end).into());
            }
            let offset = piece.start - piece.block.clock;
            write_block(&mut sink, piece.update, piece.block, offset);
            end = piece.end();
        }
    }
    let mut deleted = IdSet::default();
    for update in updates {
        for (client, ranges) in update.deleted.iter() {
            for range in ranges {
                deleted.push(client, range.clone());
            }
        }
    }
    deleted.normalize();
    sink.id_set(&deleted);
    sink.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_ot::Delta;

    use super::*;
    use crate::Replica;

    /// One types, another types into that and deletes some of it.
    fn updates() -> Vec<Vec<u8>> {
        let mut replica = Replica::default();
        let mut edit =
            |delta: Delta, client| replica.apply_delta("content", &delta, client).unwrap();
        vec![
            edit(Delta::new().insert("motet"), 7),
            edit(Delta::new().retain(3).insert("xy"), 9),
            edit(Delta::new().delete(1).retain(6).insert("z"), 9),
        ]
    }

    #[test]
    fn an_update_says_whose_blocks_it_has() {
        let [one, two, three] = &updates()[..] else {
            panic!()
        };
        let clients = |update: &[u8]| clients_of_update(update, Version::V1).unwrap();
        assert_eq!(clients(one), [(7, 0..5)]);
        assert_eq!(clients(two), [(9, 0..2)]);
        let gap = merge_updates(&[one, three], Version::V1).unwrap();
        assert_eq!(clients(&gap), [(7, 0..5), (9, 2..3)]);
        let ends = merge_updates(&[two, three], Version::V1).unwrap();
        assert_eq!(clients(&ends), [(9, 0..3)]);
        assert_eq!(clients(&[0, 0]), []);
        assert_eq!(
            clients_of_update(&to_v2(&gap), Version::V2).unwrap(),
            clients(&gap)
        );
        assert!(clients_of_update(&gap[1..], Version::V1).is_err());
    }

    #[test]
    fn an_update_says_how_far_it_reaches() {
        let [one, two, three] = &updates()[..] else {
            panic!()
        };
        let named = |update: &[u8]| {
            let named = reach_of_update(update, Version::V1).unwrap();
            named.iter().collect::<Vec<_>>()
        };
        assert_eq!(named(one), [(7, 5)]);
        assert_eq!(named(two), [(7, 4), (9, 2)]);
        assert_eq!(named(three), [(7, 5), (9, 3)]);
        // A deletion of what nobody has made.
        assert_eq!(named(&[0, 1, 7, 1, 90, 10]), [(7, 100)]);
    }
}
