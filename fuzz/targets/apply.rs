//! Several updates, v1 and v2, one after the other into one replica; then it is edited and encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use motet_crdt::{Options, Replica, StateVector, Version};

fuzz_target!(|data: &[u8]| {
    let Some((flags, mut rest)) = data.split_first() else {
        return;
    };
    let mut replica = Replica::new(Options { gc: flags & 1 == 0 });
    let mut told = replica.to_delta("content");
    while let Some((head, tail)) = rest.split_first() {
        let len = usize::from(head >> 1).min(tail.len());
        let version = if head & 1 == 0 { Version::V1 } else { Version::V2 };
        let (update, next) = tail.split_at(len);
        // The last one may be long.
        let update = if head >> 1 == 0x7f { tail } else { update };
        if let Ok(delta) = replica.apply_update_to(update, version, "content") {
            told = told.compose(&delta).expect("a delta follows on what was told before");
        }
        replica.assert_invariants();
        rest = if head >> 1 == 0x7f { &[] } else { next };
    }
    assert_eq!(told, replica.to_delta("content"));
    let nothing = StateVector::default();
    let mut again = Replica::new(Options { gc: flags & 1 == 0 });
    let whole = replica.encode_update(&nothing, Version::V1);
    again.apply_update(&whole, Version::V1).expect("what is written here is read here");
    again.assert_invariants();
    assert_eq!(again.to_delta("content"), replica.to_delta("content"));
    assert_eq!(again.state_vector(), replica.state_vector());
    let whole = replica.encode_update(&nothing, Version::V2);
    again.apply_update(&whole, Version::V2).ok();
    let loaded = Replica::load(&replica.save(), Options::default());
    let loaded = loaded.expect("what is saved here is loaded here");
    assert_eq!(loaded.to_delta("content"), replica.to_delta("content"));
});
