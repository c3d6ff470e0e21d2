//! Records of the log, with changes as a room appends them.

use std::hint::black_box;

use bytes::Bytes;
use motet_log::{decode_record, encode_record};
use motet_model::{DocumentId, Revision};

use super::{TIMES, document::changes};
use crate::Work;

const ID: DocumentId = DocumentId::from_bytes([1; 16]);
const BASE: Revision = Revision::new(1_000);
const MANY: usize = 256;

fn encode(count: usize, times: usize) -> Work {
    let changes = changes(count);
    Box::new(move || {
        for _ in 0..times {
            black_box(encode_record(ID, BASE, black_box(&changes)));
        }
    })
}

fn decode(count: usize, times: usize) -> Work {
    let record = Bytes::from(encode_record(ID, BASE, &changes(count)));
    Box::new(move || {
        for _ in 0..times {
            let changes = decode_record(ID, BASE, count as u64, black_box(&record));
            assert!(changes.is_ok_and(|changes| black_box(changes).len() == count));
        }
    })
}

/// An append of somebody who types alone.
pub(super) fn encode_one() -> Work {
    encode(1, TIMES)
}

/// What compaction puts together, and a busy room appends.
pub(super) fn encode_many() -> Work {
    encode(MANY, 1)
}

pub(super) fn decode_one() -> Work {
    decode(1, TIMES)
}

pub(super) fn decode_many() -> Work {
    decode(MANY, 1)
}
