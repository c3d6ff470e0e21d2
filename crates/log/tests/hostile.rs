//! What others may send as a record: nothing of it takes much memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use motet_log::{LogError, decode_record};
use motet_model::{DocumentId, Revision};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const ID: DocumentId = DocumentId::from_bytes([9; 16]);

/// A record of format 3 that holds this, packed, with so many bytes behind it that unpacking skips.
fn packed(plain: &[u8], skipped: usize, count: u64) -> Bytes {
    let mut body = vec![1];
    let mut len = plain.len();
    while len >= 0x80 {
        body.push(len.to_le_bytes()[0] | 0x80);
        len >>= 7;
    }
    body.push(len.to_le_bytes()[0]);
    body.extend(zstd::bulk::compress(plain, 3).unwrap());
    body.extend(0x184d_2a50_u32.to_le_bytes());
    body.extend(u32::try_from(skipped).unwrap().to_le_bytes());
    body.resize(body.len() + skipped, 0);
    let mut crc = crc32c::crc32c(&[3]);
    crc = crc32c::crc32c_append(crc, &ID.to_bytes());
    crc = crc32c::crc32c_append(crc, &1_u64.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &count.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &body);
    let mut record = vec![3];
    record.extend(crc.to_le_bytes());
    record.append(&mut body);
    record.into()
}

/// One client, and zeros.
fn zeros(size_bytes: usize) -> Vec<u8> {
    let mut plain = vec![1];
    plain.extend([7; 16]);
    plain.extend([1, b'c']);
    plain.resize(size_bytes, 0);
    plain
}

/// How much memory refusing it took.
fn refused(count: usize, record: &Bytes) -> usize {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let read = decode_record(ID, Revision::ZERO, count as u64, record);
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert!(
        matches!(read, Err(LogError::Corrupt { .. })),
        "{count} changes"
    );
    taken
}

/// One test, for there is one heap.
#[test]
fn a_record_takes_memory_only_for_what_it_holds() {
    const PLAIN: usize = 1 << 20;
    let plain = zeros(PLAIN);
    // It says that there is a change for each byte, for as many as a change takes at least, or nearly.
    for count in [PLAIN, PLAIN / 6, PLAIN / 7] {
        let record = packed(&plain, PLAIN / 16, count as u64);
        let taken = refused(count, &record);
        assert!(taken < 4 * PLAIN, "{count} changes take {taken} bytes");
    }
    // One that says that it unpacks to more than a record of changes may is not unpacked at all.
    let record = packed(&plain, PLAIN / 64, 1);
    let taken = refused(1, &record);
    assert!(taken < PLAIN / 2, "{taken} bytes");
}
