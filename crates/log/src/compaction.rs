//! Rewriting small records as one: the same changes take less room together.
//!
//! A store keeps for each document how far it has been looked through. A step goes on from there with some
//! rows, puts the first small ones that follow one another together, and replaces them in a short transaction
//! if they are still what was read. So whoever reads finds the same changes before, meanwhile and after, two who
//! compact one document get nothing wrong, and a crash leaves either the old rows or the new one.
//!
//! The row at the end of what was looked through is taken in again while it is small: a document that is edited
//! now and then gets few rows as well.

use bytes::Bytes;
use motet_model::{Change, DocumentId, Revision};

use crate::{
    LogError,
    codec::{self, Place},
    size_bytes,
};

/// Documents with as many changes behind what was looked through are worth a step.
pub(crate) const LOOSE_CHANGES_MIN: u32 = 32;
/// Most rows that a step reads, and replaces: whoever writes waits for it.
pub(crate) const ROWS_MAX: u32 = 512;
/// Rows with as many changes stay as they are: more together save little.
pub(crate) const SMALL_CHANGES_MAX: u32 = 256;
/// So do those of so many bytes.
pub(crate) const SMALL_BYTES_MAX: u32 = 8 << 10;
/// Most bytes of changes in a row that is made: whoever reads one of them unpacks all.
const MERGED_BYTES_MAX: usize = 128 << 10;

const _: () = assert!(
    SMALL_CHANGES_MAX < ROWS_MAX,
    "what a step makes of single changes is not taken in again"
);

/// What a step of [`Compact::compact`](crate::Compact::compact) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// How many rows fewer there are.
    pub rows: u64,
    /// How many bytes of records fewer.
    pub bytes: u64,
    /// Whether the document has more for another step.
    pub more: bool,
}

/// A row as a step reads it.
pub(crate) struct Row {
    pub(crate) first: Revision,
    pub(crate) last: Revision,
    /// `None`: it is large enough to stay as it is.
    pub(crate) record: Option<Bytes>,
}

/// What a step is to do.
pub(crate) struct Step {
    pub(crate) merge: Option<Merge>,
    /// The document is looked through as far as this then.
    pub(crate) through: Revision,
    pub(crate) more: bool,
}

/// A record in place of several.
pub(crate) struct Merge {
    pub(crate) place: Place,
    pub(crate) record: Vec<u8>,
    /// How many rows it replaces, and the bytes of their records.
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Merge {
    /// What replacing them does.
    pub(crate) fn saves(&self) -> Compacted {
        Compacted {
            rows: self.rows as u64 - 1,
            bytes: self.bytes.saturating_sub(self.record.len()) as u64,
            more: false,
        }
    }
}

/// What to do with the rows that begin at the end of what was looked through, `through`: [`ROWS_MAX`] of them,
/// or all.
///
/// # Errors
///
/// `Corrupt`, `NewerFormat`.
pub(crate) fn step(
    id: DocumentId,
    mut through: Revision,
    rows: Vec<Row>,
) -> Result<Step, LogError> {
    let mut more = rows.len() >= ROWS_MAX as usize;
    let mut group = Group::default();
    for row in rows {
        let Row { first, last, .. } = row;
        let place = Place { id, first, last };
        let read = row.record.map(|record| {
            let changes = codec::decode_changes(place, &record)?;
            let bytes: usize = changes.iter().map(size_bytes).sum();
            Ok::<_, LogError>((changes, bytes, record.len()))
        });
        let read = read.transpose()?;
        let fits = |bytes| group.bytes == 0 || group.bytes + bytes <= MERGED_BYTES_MAX;
        if !read.as_ref().is_some_and(|(_, bytes, _)| fits(*bytes)) {
            if group.places.len() > 1 {
                more = true;
                break;
            }
            // One alone stays as it is.
            group = Group::default();
        }
        if let Some((mut changes, bytes, record_bytes)) = read {
            if group
                .places
                .last()
                .is_some_and(|it| it.last.next() != first)
            {
                return Err(place.corrupt("the changes before it are missing"));
            }
            group.places.push(place);
            group.changes.append(&mut changes);
            group.bytes += bytes;
            group.record_bytes += record_bytes;
        }
        through = last;
    }
    Ok(Step {
        merge: group.merge(),
        through,
        more,
    })
}

/// Rows that go together.
#[derive(Default)]
struct Group {
    places: Vec<Place>,
    changes: Vec<Change>,
    bytes: usize,
    record_bytes: usize,
}

impl Group {
    fn merge(self) -> Option<Merge> {
        let [first, .., last] = self.places.as_slice() else {
            return None;
        };
        let place = Place {
            last: last.last,
            ..*first
        };
        Some(Merge {
            place,
            record: codec::encode_changes(place, &self.changes),
            rows: self.places.len(),
            bytes: self.record_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use motet_model::UserId;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const ID: DocumentId = DocumentId::from_bytes([7; 16]);

    /// A row as a store has it: a record, and the place that it belongs to.
    type Stored = (Place, Bytes);

    fn change(seq: u64, size_bytes: usize) -> Change {
        Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "client".parse().unwrap(),
            seq,
            merged: false,
            time_ms: 1_700_000_000_000 + seq,
            delta: Bytes::from(vec![b'x'; size_bytes]),
            update: Bytes::from(seq.to_le_bytes().to_vec()),
        }
    }

    /// Appends of as many changes, of this many bytes each.
    fn stored(appends: &[(u64, usize)]) -> Vec<Stored> {
        let mut head = Revision::ZERO;
        let rows = appends.iter().map(|(count, size_bytes)| {
            let seqs = head.get()..head.get() + count;
            let changes: Vec<_> = seqs.map(|seq| change(seq, *size_bytes)).collect();
            let (first, last) = (head.next(), head.plus(*count));
            head = last;
            let place = Place {
                id: ID,
                first,
                last,
            };
            (place, codec::encode_changes(place, &changes).into())
        });
        rows.collect()
    }

    fn changes(rows: &[Stored]) -> Vec<Change> {
        let read = rows
            .iter()
            .map(|(place, record)| codec::decode_changes(*place, record));
        read.flat_map(Result::unwrap).collect()
    }

    /// Rows after `through`, and the one that ends there, as a store reads them.
    fn rows(stored: &[Stored], through: Revision) -> Vec<Row> {
        let later = stored.iter().filter(|(place, _)| place.last >= through);
        let rows = later.map(|(place, record)| {
            let changes = place.last.since(place.first) + 1;
            let small =
                changes < u64::from(SMALL_CHANGES_MAX) && record.len() < SMALL_BYTES_MAX as usize;
            Row {
                first: place.first,
                last: place.last,
                record: small.then(|| record.clone()),
            }
        });
        rows.take(ROWS_MAX as usize).collect()
    }

    proptest! {
        /// Whatever the appends are: steps come to an end, and the same is read before and after each.
        #[test]
        fn the_same_changes_after_each_step(
            appends in vec(prop_oneof![
                8 => (1..4_u64, 0..40_usize),
                1 => (200..300_u64, 0..9_usize),
                1 => (1..3_u64, 5_000..60_000_usize),
            ], 1..80),
        ) {
            let mut stored = stored(&appends);
            let (before, mut through) = (changes(&stored), Revision::ZERO);
            for _ in 0..=appends.len() {
                let step = step(ID, through, rows(&stored, through)).unwrap();
                prop_assert!(step.through >= through);
                through = step.through;
                if let Some(merge) = step.merge {
                    let Place { first, last, .. } = merge.place;
                    let within = |place: &Place| place.first >= first && place.last <= last;
                    let at = stored.iter().position(|(place, _)| within(place)).unwrap();
                    prop_assert_eq!(stored.iter().filter(|(it, _)| within(it)).count(), merge.rows);
                    stored.retain(|(place, _)| !within(place));
                    stored.insert(at, (merge.place, merge.record.into()));
                    prop_assert_eq!(&changes(&stored), &before);
                }
                if !step.more {
                    break;
                }
            }
            prop_assert_eq!(through.get(), before.len() as u64, "it comes to an end");
        }

        /// A row that is damaged, or that follows on nothing, is told of and never merged.
        #[test]
        fn damage_is_not_merged(count in 2..20_u64, at in any::<prop::sample::Index>(), bit in 0..8) {
            let appends = vec![(1, 20); usize::try_from(count).unwrap()];
            let stored = stored(&appends);
            let mut damaged = rows(&stored, Revision::ZERO);
            let at = at.index(damaged.len());
            let mut record = damaged[at].record.take().unwrap().to_vec();
            let byte = record.len() / 2;
            record[byte] ^= 1_u8 << bit;
            damaged[at].record = Some(record.into());
            let refused = step(ID, Revision::ZERO, damaged);
            let corrupt = matches!(refused, Err(LogError::Corrupt { .. }));
            prop_assert!(corrupt);
            if (1..stored.len() - 1).contains(&at) {
                let mut gap = rows(&stored, Revision::ZERO);
                gap.remove(at);
                let refused = step(ID, Revision::ZERO, gap);
                let corrupt = matches!(refused, Err(LogError::Corrupt { .. }));
                prop_assert!(corrupt);
            }
        }
    }
}
