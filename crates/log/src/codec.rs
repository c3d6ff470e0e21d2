//! The stored form of appends and checkpoints.
//!
//! A record is `format: u8`, `crc32c: u32 LE`, then the body. The checksum covers format, document,
//! revisions and body, so that a record in the wrong place is found out as well. The body of an append
//! holds for each change: author (16 bytes), client id, seq, flags (1: merged), time, delta, update;
//! numbers are LEB128, texts have their length in front. Format 1 had no flags.
//!
//! Decoding takes any bytes: it never panics, and allocates no more than the input holds.

use bytes::{Buf, Bytes};
use motet_model::{Change, ClientId, DocumentId, Revision, UserId};

use crate::LogError;

/// The format written.
pub(crate) const FORMAT: u8 = 2;
/// The format without flags.
const FORMAT_1: u8 = 1;

const MERGED: u64 = 1;

const HEADER_BYTES: usize = 5;

/// What a record belongs to: it is sealed with this and opened with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) id: DocumentId,
    /// The first revision of an append; that of a checkpoint.
    pub(crate) first: Revision,
    /// The last one.
    pub(crate) last: Revision,
}

impl Place {
    fn corrupt(self, detail: &str) -> LogError {
        LogError::Corrupt {
            id: self.id,
            revision: self.first,
            detail: detail.to_owned(),
        }
    }

    fn checksum(self, format: u8, body: &[u8]) -> u32 {
        let mut crc = crc32c::crc32c(&[format]);
        crc = crc32c::crc32c_append(crc, &self.id.to_bytes());
        crc = crc32c::crc32c_append(crc, &self.first.get().to_le_bytes());
        crc = crc32c::crc32c_append(crc, &self.last.get().to_le_bytes());
        crc32c::crc32c_append(crc, body)
    }
}

/// Puts format and checksum in front of `body`, which must begin with [`HEADER_BYTES`] free bytes.
fn seal(place: Place, mut record: Vec<u8>) -> Vec<u8> {
    let (header, body) = record.split_at_mut(HEADER_BYTES);
    header[0] = FORMAT;
    header[1..].copy_from_slice(&place.checksum(FORMAT, body).to_le_bytes());
    record
}

fn open(place: Place, record: &Bytes) -> Result<(u8, Bytes), LogError> {
    let Some((header, body)) = record.split_at_checked(HEADER_BYTES) else {
        return Err(place.corrupt("the record is cut short"));
    };
    let format = header[0];
    let stored = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if stored != place.checksum(format, body) {
        return Err(place.corrupt("the checksum does not match"));
    }
    if format > FORMAT {
        return Err(LogError::NewerFormat {
            found: format.into(),
            supported: FORMAT.into(),
        });
    }
    Ok((format, record.slice(HEADER_BYTES..)))
}

/// Consecutive changes of a document after `base`, as they are stored: with format and checksum, for
/// whoever passes them on.
#[must_use]
pub fn encode_record(id: DocumentId, base: Revision, changes: &[Change]) -> Vec<u8> {
    let last = base.plus(changes.len() as u64);
    let first = base.next();
    encode_changes(Place { id, first, last }, changes)
}

/// The `count` changes after `base` in such a record, sharing its bytes. Any bytes may be given.
///
/// # Errors
///
/// `Corrupt`: it is none, or that of other changes. `NewerFormat`.
pub fn decode_record(
    id: DocumentId,
    base: Revision,
    count: u64,
    record: &Bytes,
) -> Result<Vec<Change>, LogError> {
    let place = |last| Place {
        id,
        first: Revision::new(base.get().saturating_add(1)),
        last,
    };
    let last = base.get().checked_add(count).filter(|_| count > 0);
    let last = last.ok_or_else(|| place(base).corrupt("there cannot be so many changes"))?;
    decode_changes(place(Revision::new(last)), record)
}

/// The record of one append.
pub(crate) fn encode_changes(place: Place, changes: &[Change]) -> Vec<u8> {
    let size: usize = changes.iter().map(crate::size_bytes).sum();
    let mut record = Vec::with_capacity(HEADER_BYTES + size);
    record.resize(HEADER_BYTES, 0);
    for change in changes {
        record.extend_from_slice(&change.author.to_bytes());
        put_bytes(&mut record, change.client_id.as_str().as_bytes());
        put_number(&mut record, change.seq);
        put_number(&mut record, if change.merged { MERGED } else { 0 });
        put_number(&mut record, change.time_ms);
        put_bytes(&mut record, &change.delta);
        put_bytes(&mut record, &change.update);
    }
    seal(place, record)
}

/// The changes of one append, sharing the record's bytes.
pub(crate) fn decode_changes(place: Place, record: &Bytes) -> Result<Vec<Change>, LogError> {
    let (format, mut body) = open(place, record)?;
    let mut changes = Vec::new();
    while body.has_remaining() {
        let change = take_change(format, &mut body);
        changes.push(change.ok_or_else(|| place.corrupt("a change is malformed"))?);
    }
    if changes.len() as u64 != place.last.since(place.first) + 1 {
        return Err(place.corrupt("the number of changes is another one"));
    }
    Ok(changes)
}

/// The record of a checkpoint.
pub(crate) fn encode_checkpoint(place: Place, state: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + state.len());
    record.resize(HEADER_BYTES, 0);
    record.extend_from_slice(state);
    seal(place, record)
}

/// The state of a checkpoint.
pub(crate) fn decode_checkpoint(place: Place, record: &Bytes) -> Result<Bytes, LogError> {
    open(place, record).map(|(_, state)| state)
}

fn take_change(format: u8, body: &mut Bytes) -> Option<Change> {
    let author: [u8; 16] = take(body, 16)?.as_ref().try_into().ok()?;
    let client_id: ClientId = std::str::from_utf8(&take_bytes(body)?).ok()?.parse().ok()?;
    Some(Change {
        author: UserId::from_bytes(author),
        client_id,
        seq: take_number(body)?,
        merged: match format {
            FORMAT_1 => false,
            _ => take_number(body)? & MERGED != 0,
        },
        time_ms: take_number(body)?,
        delta: take_bytes(body)?,
        update: take_bytes(body)?,
    })
}

fn put_bytes(record: &mut Vec<u8>, bytes: &[u8]) {
    put_number(record, bytes.len() as u64);
    record.extend_from_slice(bytes);
}

fn put_number(record: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        record.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    record.push(number.to_le_bytes()[0]);
}

fn take(body: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= body.len()).then(|| body.split_to(len))
}

fn take_bytes(body: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take_number(body)?).ok()?;
    take(body, len)
}

fn take_number(body: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = body.first().copied()?;
        body.advance(1);
        let bits = u64::from(byte & 0x7f);
        number |= bits
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn place(changes: u64) -> Place {
        let id = DocumentId::from_bytes([7; 16]);
        Place {
            id,
            first: Revision::new(5),
            last: Revision::new(4 + changes),
        }
    }

    fn change() -> impl Strategy<Value = Change> {
        (
            any::<[u8; 16]>(),
            "[a-z0-9]{1,64}",
            any::<u64>(),
            any::<u64>(),
            vec(any::<u8>(), 0..300),
        )
            .prop_map(|(author, client, seq, time_ms, delta)| Change {
                author: UserId::from_bytes(author),
                client_id: client.parse().unwrap(),
                seq,
                merged: seq % 2 == 0,
                time_ms,
                update: Bytes::from(delta[..delta.len() / 3].to_vec()),
                delta: Bytes::from(delta),
            })
    }

    proptest! {
        #[test]
        fn changes_round_trip(changes in vec(change(), 1..8)) {
            let place = place(changes.len() as u64);
            let record = Bytes::from(encode_changes(place, &changes));
            prop_assert_eq!(decode_changes(place, &record).unwrap(), changes);
        }

        #[test]
        fn a_flipped_bit_is_found(changes in vec(change(), 1..4), at in any::<usize>(), bit in 0..8) {
            let place = place(changes.len() as u64);
            let mut record = encode_changes(place, &changes);
            let at = at % record.len();
            record[at] ^= 1_u8 << bit;
            let error = decode_changes(place, &record.into()).unwrap_err();
            let corrupt = matches!(error, LogError::Corrupt { .. });
            prop_assert!(corrupt, "{}", error);
        }

        #[test]
        fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..400)) {
            let mut body = Bytes::from(bytes);
            while take_change(FORMAT, &mut body).is_some() {}
            prop_assert!(decode_changes(place(1), &body).is_err());
        }
    }

    #[test]
    fn a_record_in_the_wrong_place_is_found() {
        let record = Bytes::from(encode_checkpoint(place(1), b"state"));
        assert_eq!(decode_checkpoint(place(1), &record).unwrap(), "state");
        assert!(matches!(
            decode_checkpoint(place(2), &record),
            Err(LogError::Corrupt { .. })
        ));
    }

    #[test]
    fn a_change_of_format_1_is_read() {
        let mut record = vec![0; HEADER_BYTES];
        record.extend([7; 16]);
        put_bytes(&mut record, b"client");
        for number in [3, 1_000] {
            put_number(&mut record, number);
        }
        put_bytes(&mut record, b"{}");
        put_bytes(&mut record, b"");
        record[0] = FORMAT_1;
        let checksum = place(1).checksum(FORMAT_1, &record[HEADER_BYTES..]);
        record[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        let changes = decode_changes(place(1), &record.into()).unwrap();
        assert_eq!((changes[0].seq, changes[0].time_ms), (3, 1_000));
        assert_eq!(
            (changes[0].delta.as_ref(), changes[0].merged),
            (&b"{}"[..], false)
        );
    }

    #[test]
    fn a_newer_format_is_refused() {
        let place = place(1);
        let mut record = encode_checkpoint(place, b"state");
        record[0] = FORMAT + 1;
        let checksum = place.checksum(FORMAT + 1, b"state").to_le_bytes();
        record[1..HEADER_BYTES].copy_from_slice(&checksum);
        let error = decode_checkpoint(place, &record.into()).unwrap_err();
        assert!(
            matches!(
                error,
                LogError::NewerFormat {
                    found: 3,
                    supported: 2
                }
            ),
            "{error}"
        );
    }
}
