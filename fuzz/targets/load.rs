//! Stored replicas that were damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use motet_crdt::{Options, Replica, StateVector, Version};

fuzz_target!(|data: &[u8]| {
    if let Ok(replica) = Replica::load(data, Options::default()) {
        replica.assert_invariants();
        let _ = replica.to_delta("content");
        let _ = replica.encode_update(&StateVector::default(), Version::V1);
    }
});
