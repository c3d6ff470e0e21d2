//! Replicas and deltas: updates, what is stored of a replica, the messages of Yjs, operations.

mod operations;
mod seeds;

pub use operations::operations;
pub use seeds::seeds;

use motet_crdt::{
    Association, Options, Received, RelativePosition, Replica, Snapshot, StateVector, SyncMessage,
    Version, clients_of_update, decode_awareness, decode_state_vector, diff_update,
    encode_awareness, merge_updates, reach_of_update, state_vector_of,
};

/// What takes any bytes, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("apply", apply),
    ("merge", merge),
    ("load", load),
    ("messages", messages),
    ("operations", operations),
];

/// Several updates, v1 and v2, one after the other into one replica, and what was new of each into
/// another; then it is edited and encoded.
pub fn apply(data: &[u8]) {
    let Some((flags, mut rest)) = data.split_first() else {
        return;
    };
    let options = Options { gc: flags & 1 == 0 };
    let (mut replica, mut second) = (Replica::new(options), Replica::new(options));
    let mut told = replica.to_delta("content");
    while let Some((head, tail)) = rest.split_first() {
        let version = if head & 1 == 0 {
            Version::V1
        } else {
            Version::V2
        };
        // The last one may be long.
        let is_last = head >> 1 == 0x7f;
        let len = if is_last {
            tail.len()
        } else {
            usize::from(head >> 1).min(tail.len())
        };
        let (update, next) = tail.split_at(len);
        rest = next;
        // Twice: what a client says that contradicts itself may find its place the second time only.
        for _ in 0..2 {
            let received = replica.receive_update(update, version, "content");
            let Ok(Received {
                delta,
                update: news,
            }) = received
            else {
                break;
            };
            told = told
                .compose(&delta)
                .expect("a delta follows on what was told before");
            if !news.is_empty() {
                let taken = second.apply_update(&news, Version::V1);
                taken.expect("what is written here is read here");
            }
        }
        replica.assert_invariants();
        second.assert_invariants();
        assert_eq!(second.state_vector(), replica.state_vector());
        assert_eq!(second.has_pending(), replica.has_pending());
    }
    assert_eq!(told, replica.to_delta("content"));
    assert_eq!(replica.to_delta_at("content", &replica.snapshot()), told);
    check_encoded(&replica, options);
}

fn check_encoded(replica: &Replica, options: Options) {
    let nothing = StateVector::default();
    let mut again = Replica::new(options);
    let whole = replica.encode_update(&nothing, Version::V1);
    again
        .apply_update(&whole, Version::V1)
        .expect("what is written here is read here");
    again.assert_invariants();
    assert_eq!(again.to_delta("content"), replica.to_delta("content"));
    assert_eq!(again.state_vector(), replica.state_vector());
    let whole = replica.encode_update(&nothing, Version::V2);
    // Refused where columns make more blocks of few bytes than is allowed.
    let _refused = again.apply_update(&whole, Version::V2);
    let loaded = Replica::load(&replica.save(), options);
    let loaded = loaded.expect("what is saved here is loaded here");
    assert_eq!(loaded.to_delta("content"), replica.to_delta("content"));
}

/// Updates without a replica.
pub fn merge(data: &[u8]) {
    for version in [Version::V1, Version::V2] {
        let (one, two) = data.split_at(data.len() / 2);
        if let Ok(merged) = merge_updates(&[one, two], version) {
            merge_updates(&[&merged], version).expect("what is written here is read here");
        }
        let _refused = merge_updates(&[data], version);
        let _refused = diff_update(data, &StateVector::default(), version);
        let has = state_vector_of(data, version);
        let clients = clients_of_update(data, version);
        assert_eq!(has.is_ok(), clients.is_ok());
        assert_eq!(has.is_ok(), reach_of_update(data, version).is_ok());
        for (client, clocks) in clients.unwrap_or_default() {
            assert!(!clocks.is_empty());
            assert!(has.as_ref().is_ok_and(|has| has.get(client) <= clocks.end));
        }
    }
}

/// Stored replicas that were damaged.
pub fn load(data: &[u8]) {
    if let Ok(replica) = Replica::load(data, Options::default()) {
        replica.assert_invariants();
        let _shown = replica.to_delta("content");
        let _written = replica.encode_update(&StateVector::default(), Version::V1);
        assert!(replica.size_bytes() > 0 || replica.runs() == 0);
    }
}

/// What peers send beside updates: sync messages, awareness, state vectors, snapshots, positions. What is
/// read is written, and that is read as the same.
pub fn messages(data: &[u8]) {
    if let Ok((message, len)) = SyncMessage::decode(data) {
        assert!(len <= data.len());
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(SyncMessage::decode(&bytes), Ok((message, bytes.len())));
    }
    if let Ok(entries) = decode_awareness(data) {
        assert_eq!(decode_awareness(&encode_awareness(&entries)), Ok(entries));
    }
    if let Ok(vector) = decode_state_vector(data) {
        let clients: Vec<_> = vector.iter().collect();
        assert_eq!(clients.len(), vector.len());
    }
    for version in [Version::V1, Version::V2] {
        if let Ok(snapshot) = Snapshot::decode(data, version) {
            let again = Snapshot::decode(&snapshot.encode(version), version);
            assert_eq!(again, Ok(snapshot));
        }
    }
    if let Ok(position) = RelativePosition::decode(data) {
        assert_eq!(
            RelativePosition::decode(&position.encode()),
            Ok(position.clone())
        );
        assert_eq!(
            RelativePosition::from_json(&position.to_json()),
            Some(position.clone())
        );
        let mut replica = Replica::default();
        let update = seeds::small_update();
        replica.apply_update(&update, Version::V1).expect("a seed");
        if let Some(index) = replica.index_of("content", &position) {
            assert!(index <= replica.len_utf16("content"));
            assert!(
                replica
                    .position_at("content", index, Association::After)
                    .is_some()
            );
        }
    }
}
