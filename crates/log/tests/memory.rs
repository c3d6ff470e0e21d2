//! How much memory reading a record takes.

use bytes::Bytes;
use motet_log::{LogError, decode_record, encode_record};
use motet_model::{Change, DocumentId, Revision, UserId};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const ID: DocumentId = DocumentId::from_bytes([7; 16]);
const BODY_BYTES: usize = 1 << 20;
/// Changes are larger in memory than the least that a record has of each.
const RATIO_MAX: usize = 32;

/// Somebody says that a record has as many changes as it has bytes, or as could be in them.
#[test]
fn bounded() {
    for bytes_each in [1, 6] {
        let change = Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "client".parse().expect("a client id"),
            seq: 1,
            merged: false,
            time_ms: 1_700_000_000_000,
            delta: noise(BODY_BYTES),
            update: Bytes::new(),
        };
        let record = Bytes::from(encode_record(ID, Revision::ZERO, &[change]));
        assert!(record.len() > BODY_BYTES, "it is not packed");
        let body = &record[5..];
        // Some bytes are there for the client.
        let count = body.len() as u64 / bytes_each - 64;
        let (first, last) = (1_u64.to_le_bytes(), count.to_le_bytes());
        let parts: [&[u8]; 5] = [&record[..1], &ID.to_bytes(), &first, &last, body];
        let checksum = parts
            .iter()
            .fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let record = Bytes::from([&record[..1], &checksum.to_le_bytes(), body].concat());

        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let refused = decode_record(ID, Revision::ZERO, count, &record);
        let peak = MEMORY.peak_usage() - before;
        assert!(matches!(refused, Err(LogError::Corrupt { .. })));
        assert!(
            peak < RATIO_MAX * record.len(),
            "{peak} for {}",
            record.len()
        );
    }
}

/// Bytes that nothing packs.
fn noise(len: usize) -> Bytes {
    let mut state = 1_u64;
    let bytes = (0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    bytes.collect()
}
