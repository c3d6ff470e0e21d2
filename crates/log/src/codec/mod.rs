//! The stored form of appends and checkpoints.
//!
//! A record is `format: u8`, `crc32c: u32 LE`, then the body. The checksum covers format, document,
//! revisions and body, so that a record in the wrong place is found out as well. From format 3 on the body
//! begins with how it is packed: 0, and what it holds; or 1, how long that is, and a frame of Zstandard with it.
//! [`changes`] says how changes are written; the body of a checkpoint is not looked into.
//!
//! Decoding takes any bytes: it never panics, and allocates no more than a fixed multiple of the input.

mod bytes;
mod changes;

use ::bytes::{Buf, Bytes};
use motet_model::{Change, DocumentId, Revision};

use self::bytes::{put_number, take, take_len};
use crate::LogError;

/// The format written.
pub(crate) const FORMAT: u8 = 3;

const HEADER_BYTES: usize = 5;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// What is shorter stays as it is.
const PACKED_BYTES_MIN: usize = 2 << 10;
/// What would become shorter than this part of what it was stays as it is: so a few bytes never make many.
const CHECKPOINT_RATIO_MAX: usize = 256;
/// The same of changes, which others send too, and which take more room in memory than their bytes.
const APPEND_RATIO_MAX: usize = 32;
/// More takes several times as long, and saves some per cent.
const ZSTD_LEVEL: i32 = 3;
/// What is larger is packed and unpacked on a thread that may be busy: it takes some tenths of a ms.
const INLINE_BYTES_MAX: usize = 64 << 10;

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
    pub(crate) fn corrupt(self, detail: &str) -> LogError {
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

/// A record to be [sealed](seal), with room for so many bytes.
fn begin(size_bytes: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + 1 + size_bytes);
    record.resize(HEADER_BYTES, 0);
    record.push(PLAIN);
    record
}

/// Packs what a record holds, where that pays, and puts format and checksum in front.
fn seal(place: Place, record: Vec<u8>, ratio_max: usize) -> Vec<u8> {
    let mut record = pack(&record[HEADER_BYTES + 1..], ratio_max).unwrap_or(record);
    let (header, body) = record.split_at_mut(HEADER_BYTES);
    header[0] = FORMAT;
    header[1..].copy_from_slice(&place.checksum(FORMAT, body).to_le_bytes());
    record
}

fn pack(plain: &[u8], ratio_max: usize) -> Option<Vec<u8>> {
    if plain.len() < PACKED_BYTES_MIN {
        return None;
    }
    let packed = zstd::bulk::compress(plain, ZSTD_LEVEL).ok()?;
    let pays =
        packed.len() < plain.len() - plain.len() / 8 && plain.len() / ratio_max < packed.len();
    let mut record = begin(packed.len() + 8);
    record[HEADER_BYTES] = ZSTD;
    put_number(&mut record, plain.len() as u64);
    record.extend_from_slice(&packed);
    pays.then_some(record)
}

fn unpack(body: &mut Bytes, ratio_max: usize) -> Option<Bytes> {
    match take(body, 1)?[0] {
        PLAIN => Some(std::mem::take(body)),
        ZSTD => {
            let len = take_len(body)?;
            if len / ratio_max >= body.len() {
                return None;
            }
            let plain = zstd::bulk::decompress(body, len).ok()?;
            (plain.len() == len).then(|| plain.into())
        }
        _ => None,
    }
}

/// The format, and what the record holds.
fn open(place: Place, record: &Bytes, ratio_max: usize) -> Result<(u8, Bytes), LogError> {
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
    let mut body = record.slice(HEADER_BYTES..);
    if format > changes::FORMAT_2 {
        body = unpack(&mut body, ratio_max)
            .ok_or_else(|| place.corrupt("what is packed is malformed"))?;
    }
    Ok((format, body))
}

/// Does work on so many bytes: other documents do not wait for what takes long.
///
/// # Errors
///
/// `Unavailable`: it has panicked.
pub(crate) async fn work<T: Send + 'static>(
    size_bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LogError> {
    if size_bytes <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| LogError::Unavailable {
        detail: error.to_string(),
    })
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
pub(crate) async fn encode_append(place: Place, changes: Vec<Change>) -> Result<Vec<u8>, LogError> {
    let size_bytes = changes.iter().map(crate::size_bytes).sum();
    work(size_bytes, move || encode_changes(place, &changes)).await
}

pub(crate) fn encode_changes(place: Place, changes: &[Change]) -> Vec<u8> {
    let mut record = begin(changes.iter().map(crate::size_bytes).sum());
    changes::put(&mut record, changes);
    seal(place, record, APPEND_RATIO_MAX)
}

/// The changes of one append, sharing the record's bytes, or those that it was unpacked to.
pub(crate) fn decode_changes(place: Place, record: &Bytes) -> Result<Vec<Change>, LogError> {
    let (format, mut body) = open(place, record, APPEND_RATIO_MAX)?;
    let count = place.last.since(place.first).saturating_add(1);
    let malformed = || place.corrupt("a change is malformed");
    if format > changes::FORMAT_2 {
        return changes::take_all(body, count).ok_or_else(malformed);
    }
    let mut changes = Vec::new();
    while body.has_remaining() {
        changes.push(changes::take_row(format, &mut body).ok_or_else(malformed)?);
    }
    if changes.len() as u64 != count {
        return Err(place.corrupt("the number of changes is another one"));
    }
    Ok(changes)
}

/// The record of a checkpoint.
pub(crate) fn encode_checkpoint(place: Place, state: &[u8]) -> Vec<u8> {
    let mut record = begin(state.len());
    record.extend_from_slice(state);
    seal(place, record, CHECKPOINT_RATIO_MAX)
}

/// The state of a checkpoint.
pub(crate) fn decode_checkpoint(place: Place, record: &Bytes) -> Result<Bytes, LogError> {
    open(place, record, CHECKPOINT_RATIO_MAX).map(|(_, state)| state)
}

#[cfg(test)]
mod tests {
    use motet_model::UserId;
    use proptest::{collection::vec, prelude::*};

    use super::{bytes::put_bytes, *};

    fn place(changes: u64) -> Place {
        let id = DocumentId::from_bytes([7; 16]);
        Place {
            id,
            first: Revision::new(5),
            last: Revision::new(4 + changes),
        }
    }

    /// Of few clients and of many, with numbers that follow one another and that do not.
    fn change() -> impl Strategy<Value = Change> {
        let few = ((0..3_u8).prop_map(|n| [n; 16]), "[ab]");
        (
            prop_oneof![few, (any::<[u8; 16]>(), "[a-z0-9]{1,64}")],
            prop_oneof![0..9_u64, any::<u64>()],
            prop_oneof![1_700_000_000_000..1_700_000_000_900_u64, any::<u64>()],
            any::<bool>(),
            prop_oneof![Just(b"{\"ops\":[]}".to_vec()), vec(any::<u8>(), 0..300)],
        )
            .prop_map(|((author, client), seq, time_ms, merged, delta)| Change {
                author: UserId::from_bytes(author),
                client_id: client.parse().unwrap(),
                seq,
                merged,
                time_ms,
                update: Bytes::from(delta[..delta.len() / 3].to_vec()),
                delta: Bytes::from(delta),
            })
    }

    fn sealed(place: Place, format: u8, body: &[u8]) -> Bytes {
        let mut record = vec![format];
        record.extend(place.checksum(format, body).to_le_bytes());
        record.extend_from_slice(body);
        record.into()
    }

    proptest! {
        #[test]
        fn changes_round_trip(changes in vec(change(), 1..60)) {
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

        /// Also where somebody has made the checksum right.
        #[test]
        fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..400), count in 1..9_u64, format in 1..=FORMAT) {
            let place = place(count);
            prop_assert!(decode_changes(place, &Bytes::from(bytes.clone())).is_err());
            let record = sealed(place, format, &bytes);
            if let Ok(changes) = decode_changes(place, &record) {
                prop_assert_eq!(changes.len() as u64, count);
            }
            let _any = decode_checkpoint(place, &record);
        }

        /// One byte of what is written is another one, and the checksum is right.
        #[test]
        fn damage_does_no_harm(changes in vec(change(), 1..60), at in any::<usize>(), to in any::<u8>()) {
            let place = place(changes.len() as u64);
            let mut body = encode_changes(place, &changes)[HEADER_BYTES..].to_vec();
            let at = at % body.len();
            body[at] = to;
            if let Ok(read) = decode_changes(place, &sealed(place, FORMAT, &body)) {
                prop_assert_eq!(read.len(), changes.len());
            }
        }
    }

    /// As a keystroke comes from a room.
    fn keystroke(n: u64) -> Change {
        let at = n.wrapping_mul(0x9e37_79b9) % 10_000;
        Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            seq: n,
            merged: false,
            time_ms: 1_700_000_000_000 + n * 180,
            delta: Bytes::from(format!(r#"{{"ops":[{{"retain":{at}}},{{"insert":"a"}}]}}"#)),
            update: Bytes::from(at.to_be_bytes().repeat(4)),
        }
    }

    #[test]
    fn many_changes_take_little() {
        let changes: Vec<_> = (1..=500).map(keystroke).collect();
        let place = place(500);
        let record = Bytes::from(encode_changes(place, &changes));
        assert!(record.len() < 20 * 500, "{}", record.len());
        assert_eq!(decode_changes(place, &record).unwrap(), changes);
        let alone = encode_changes(super::tests::place(1), &changes[..1]);
        assert!(alone.len() < 160, "{}", alone.len());
    }

    /// What packs better than it may stays as it is.
    #[test]
    fn unpacked_it_is_bounded() {
        let place = place(1);
        let state = vec![7; 1 << 20];
        let record = Bytes::from(encode_checkpoint(place, &state));
        assert!(record.len() > state.len());
        assert_eq!(decode_checkpoint(place, &record).unwrap(), state);
        // Somebody says otherwise.
        let mut body = vec![ZSTD];
        put_number(&mut body, state.len() as u64);
        body.extend(zstd::bulk::compress(&state, ZSTD_LEVEL).unwrap());
        let refused = decode_checkpoint(place, &sealed(place, FORMAT, &body));
        assert!(matches!(refused, Err(LogError::Corrupt { .. })));
        // Less than it says, and more.
        for len in [999, 1_001] {
            let mut body = vec![ZSTD];
            put_number(&mut body, len);
            body.extend(zstd::bulk::compress(&[7; 1_000], ZSTD_LEVEL).unwrap());
            let refused = decode_checkpoint(place, &sealed(place, FORMAT, &body));
            assert!(matches!(refused, Err(LogError::Corrupt { .. })), "{len}");
        }
    }

    /// Changes that pack better than they may stay as they are, and are read.
    #[test]
    fn changes_that_are_alike_are_read() {
        for (count, len) in [(500, 300), (1, 1 << 20), (3, 100_000)] {
            let alike = Change {
                delta: vec![b' '; len].into(),
                ..keystroke(1)
            };
            let changes = vec![alike; count];
            let place = place(count as u64);
            let record = Bytes::from(encode_changes(place, &changes));
            assert!(
                record.len() > count * len,
                "it would be packed to nearly nothing"
            );
            assert_eq!(decode_changes(place, &record).unwrap(), changes);
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
    fn changes_of_earlier_formats_are_read() {
        for format in [changes::FORMAT_1, changes::FORMAT_2] {
            let mut body = Vec::new();
            for seq in [3, 4] {
                body.extend([7; 16]);
                put_bytes(&mut body, b"client");
                put_number(&mut body, seq);
                if format == changes::FORMAT_2 {
                    put_number(&mut body, 1);
                }
                put_number(&mut body, 1_000);
                put_bytes(&mut body, b"{}");
                put_bytes(&mut body, b"");
            }
            let changes = decode_changes(place(2), &sealed(place(2), format, &body)).unwrap();
            let expected = [3, 4].map(|seq| Change {
                author: UserId::from_bytes([7; 16]),
                client_id: "client".parse().unwrap(),
                seq,
                merged: format == changes::FORMAT_2,
                time_ms: 1_000,
                delta: Bytes::from_static(b"{}"),
                update: Bytes::new(),
            });
            assert_eq!(changes, expected);
            let short = decode_changes(place(3), &sealed(place(3), format, &body));
            assert!(matches!(short, Err(LogError::Corrupt { .. })));
            let state = decode_checkpoint(place(1), &sealed(place(1), format, b"state"));
            assert_eq!(state.unwrap(), "state");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let place = place(1);
        let record = sealed(place, FORMAT + 1, b"state");
        let error = decode_checkpoint(place, &record).unwrap_err();
        assert!(
            matches!(
                error,
                LogError::NewerFormat {
                    found: 4,
                    supported: 3
                }
            ),
            "{error}"
        );
    }
}
