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
