//! Decoders that need no replica.
#![no_main]

use libfuzzer_sys::fuzz_target;
use motet_crdt::{
    RelativePosition, Snapshot, StateVector, SyncMessage, Version, decode_awareness,
    decode_state_vector, diff_update, merge_updates, state_vector_of,
};

fuzz_target!(|data: &[u8]| {
    for version in [Version::V1, Version::V2] {
        let (one, two) = data.split_at(data.len() / 2);
        if let Ok(merged) = merge_updates(&[one, two], version) {
            merge_updates(&[&merged], version).expect("what is written here is read here");
        }
        let _ = merge_updates(&[data], version);
        let _ = diff_update(data, &StateVector::default(), version);
        let _ = state_vector_of(data, version);
        let _ = Snapshot::decode(data, version);
    }
    let _ = decode_state_vector(data);
    let _ = decode_awareness(data);
    let _ = SyncMessage::decode(data);
    let _ = RelativePosition::decode(data);
});
