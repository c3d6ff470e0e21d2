//! What strangers may send: nothing panics, hangs, or takes more memory than a small multiple of what was
//! sent, and what is refused changes nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/mutate.rs"]
mod mutate;
#[path = "support/random.rs"]
mod random;

use std::time::{Duration, Instant};

use bytes::{Bytes, ORIGIN, RIGHT, SUB};
use motet_crdt::{
    Branch, Client, DecodeError, Node, Options, Replica, StateVector, Version, decode_state_vector,
    diff_update, merge_updates, state_vector_of,
};
use motet_ot::{Attributes, Delta};
use mutate::mutate;
use peak_alloc::PeakAlloc;
use random::Random;
use serde_json::json;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const HEAP_PER_BYTE: usize = 64;
const HEAP_FREE: usize = 1 << 20;

/// Applies bytes to a replica, and checks all that is promised.
fn survive(replica: &Replica, bytes: &[u8], version: Version) -> Result<Replica, DecodeError> {
    survive_within(replica, bytes, version, HEAP_FREE)
}

fn survive_within(
    replica: &Replica,
    bytes: &[u8],
    version: Version,
    heap_free: usize,
) -> Result<Replica, DecodeError> {
    let before = replica.encode_update(&StateVector::default(), Version::V1);
    let mut applied = replica.clone();
    HEAP.reset_peak_usage();
    let start_bytes = HEAP.current_usage();
    #[expect(clippy::disallowed_methods, reason = "a hang is what is looked for")]
    let start = Instant::now();
    let result = applied.apply_update_to(bytes, version, "content");
    // Debug builds on a busy machine are tens of times slower than what is promised.
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{} bytes hang",
        bytes.len()
    );
    let grown = HEAP.peak_usage().saturating_sub(start_bytes);
    assert!(
        grown <= HEAP_PER_BYTE * bytes.len() + heap_free,
        "{} bytes take {grown} bytes",
        bytes.len()
    );
    match result {
        Ok(_) => {
            applied.assert_invariants();
            Ok(applied)
        }
        Err(error) => {
            let after = applied.encode_update(&StateVector::default(), Version::V1);
            assert_eq!(after, before, "what is refused changes nothing");
            Err(error)
        }
    }
}

/// A document with something of everything, and updates that lead to it.
fn corpus(seed: u64) -> (Replica, Vec<Vec<u8>>) {
    let mut random = Random(seed);
    let mut replica = Replica::new(Options {
        gc: seed.is_multiple_of(2),
    });
    let mut updates = Vec::new();
    let root = |name: &str| Branch::Root(name.to_owned());
    for n in 0..12 {
        let client: Client = [1, 77, 1 << 40][random.below(3)];
        let len = replica.len_utf16("content");
        let at = random.below(len + 1);
        let bold: Attributes = [("bold".to_owned(), json!(true))].into_iter().collect();
        let delta = match random.below(3) {
            0 if at < len => Delta::new().retain(at).delete(1),
            1 if at < len => Delta::new().retain(at).retain_with(1, bold),
            _ => Delta::new().retain(at).insert("text é世 "),
        };
        updates.extend(replica.apply_delta("content", &delta, client));
        let node = [
            Node::Value(json!({"a": [n]})),
            Node::Array,
            Node::Map,
            Node::Text,
        ];
        let at = random.below(replica.len_at(&root("array")) + 1);
        let inserted = replica
            .insert_nodes(&root("array"), at, &node, client)
            .unwrap();
        updates.push(inserted.1);
        updates.push(
            replica
                .set_key(&root("map"), "k", Some(&node[n % 4]), client)
                .unwrap()
                .1,
        );
    }
    (replica, updates)
}

#[test]
fn mutated_updates() {
    let mut random = Random(1);
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..30 {
        let (replica, updates) = corpus(seed);
        let whole = replica.encode_update(&StateVector::default(), Version::V1);
        let whole_v2 = replica.encode_update(&StateVector::default(), Version::V2);
        for round in 0..150 {
            let (mut bytes, version) = match round % 3 {
                0 => (whole.clone(), Version::V1),
                1 => (whole_v2.clone(), Version::V2),
                _ => (updates[random.below(updates.len())].clone(), Version::V1),
            };
            mutate(&mut bytes, &mut random);
            let empty = Replica::new(Options { gc: round % 2 == 0 });
            let base = if round % 5 == 0 { &empty } else { &replica };
            match survive(base, &bytes, version) {
                Ok(_) => accepted += 1,
                Err(_) => refused += 1,
            }
            let _ = merge_updates(&[&bytes, &whole], version);
            let _ = diff_update(&bytes, &replica.state_vector(), version);
            let _ = state_vector_of(&bytes, version);
            let _ = decode_state_vector(&bytes);
        }
    }
    assert!(
        accepted > 200 && refused > 200,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn damaged_checkpoints() {
    let mut random = Random(4);
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..40 {
        let (replica, _) = corpus(seed);
        let saved = replica.save();
        let whole = Replica::load(&saved, Options::default()).unwrap();
        assert_eq!(whole.to_delta("content"), replica.to_delta("content"));
        for _ in 0..100 {
            let mut bytes = saved.clone();
            mutate(&mut bytes, &mut random);
            match Replica::load(&bytes, Options::default()) {
                Ok(mut loaded) => {
                    accepted += 1;
                    loaded.assert_invariants();
                    let delta = Delta::new().insert("x");
                    loaded.apply_delta("content", &delta, 3).unwrap();
                    let _ = loaded.encode_update(&StateVector::default(), Version::V1);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        accepted > 20 && refused > 200,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(2);
    let replica = Replica::default();
    for _ in 0..4_000 {
        let len = random.below(60);
        let bytes: Vec<u8> = (0..len)
            .map(|_| u8::try_from(random.below(256) >> [0, 4, 6][random.below(3)]).unwrap())
            .collect();
        let _ = survive(&replica, &bytes, Version::V1);
        let _ = survive(&replica, &bytes, Version::V2);
        let _ = decode_state_vector(&bytes);
    }
}

impl Bytes {
    fn refused(&self) {
        assert!(
            survive(&Replica::default(), &self.0, Version::V1).is_err(),
            "{:?}",
            self.0
        );
    }

    fn accepted(&self) -> Replica {
        survive(&Replica::default(), &self.0, Version::V1).unwrap()
    }
}

#[test]
fn counts_far_beyond_the_input() {
    for huge in [1 << 20, 1 << 31, (1 << 53) - 1] {
        Bytes::default().num(huge).refused();
        Bytes::default().nums(&[1, huge, 1, 0]).refused();
        Bytes::default().nums(&[0, huge]).refused();
        Bytes::default().nums(&[0, 1, 1, huge]).refused();
        // An `Any` block of so many values, an array of them, and a map.
        let any = Bytes::section(1, 1).nums(&[8, 1]).text("content");
        any.clone().num(huge).refused();
        any.clone().nums(&[1, 117, huge]).refused();
        any.nums(&[1, 118, huge]).refused();
        let json = Bytes::section(1, 1).nums(&[2, 1]).text("content");
        json.num(huge).refused();
        let vector = Bytes::default().num(huge);
        assert!(decode_state_vector(&vector.0).is_err());
    }
    // The same in v2, whose columns repeat for ever.
    let mut random = Random(3);
    for _ in 0..2_000 {
        let (replica, _) = corpus(random.next() % 4);
        let mut bytes = replica.encode_update(&StateVector::default(), Version::V2);
        let at = bytes.len() - 1 - random.below(bytes.len() / 2);
        bytes.splice(at..at, [0xff, 0xff, 0xff, 0x7f]);
        let _ = survive(&Replica::default(), &bytes, Version::V2);
    }
}

#[test]
fn clocks_that_wrap() {
    let max = u64::from(u32::MAX);
    for clock in [(1 << 31) - 1, 1 << 31, max, max + 1, (1 << 53) - 1] {
        // A block there, a block so long, a hole so long, an origin there, a deletion there and so long.
        Bytes::default().nums(&[1, 1, 1, clock, 0, 1, 0]).refused();
        Bytes::section(1, 2).nums(&[0, 5, 0, clock, 0]).refused();
        Bytes::section(1, 2).nums(&[10, 5, 10, clock, 0]).refused();
        Bytes::section(1, 1)
            .info(1 | ORIGIN)
            .nums(&[2, clock, 1, 0])
            .refused();
        Bytes::default().nums(&[0, 1, 1, 1, clock, 5]).refused();
        Bytes::default().nums(&[0, 1, 1, 1, 5, clock]).refused();
    }
    // As long as can be.
    Bytes::section(1, 1).nums(&[0, (1 << 31) - 1, 0]).accepted();
    Bytes::default()
        .nums(&[1, 2, 1, (1 << 31) - 3, 0, 1, 0, 1, 0])
        .accepted();
    for client in [1 << 53, u64::MAX >> 2] {
        Bytes::section(client, 1).nums(&[0, 1, 0]).refused();
    }
    let most = Bytes::section((1 << 53) - 1, 1)
        .nums(&[4, 1])
        .text("content")
        .text("x")
        .num(0);
    assert_eq!(most.accepted().text("content"), "x");
}

#[test]
fn delete_sets_in_any_order() {
    let base = Bytes::section(7, 1)
        .nums(&[4, 1])
        .text("content")
        .text("0123456789")
        .num(0);
    let replica = base.accepted();
    let deletions = Bytes::default().nums(&[0, 2, 7, 4, 8, 2, 1, 3, 2, 1, 0, 1, 7, 1, 2, 4]);
    let after = survive(&replica, &deletions.0, Version::V1).unwrap();
    assert_eq!(after.text("content"), "67");
    // Of nobody, and of what has not come yet: that waits.
    let later = Bytes::default().nums(&[0, 1, 9, 1, 0, 5]);
    let waits = survive(&replica, &later.0, Version::V1).unwrap();
    assert!(waits.has_pending());
    let comes = Bytes::section(9, 1)
        .info(4 | ORIGIN)
        .nums(&[7, 9])
        .text("abcdefg")
        .num(0);
    let came = survive(&waits, &comes.0, Version::V1).unwrap();
    assert_eq!(came.text("content"), "0123456789fg");
    assert!(!came.has_pending());
    // A hundred thousand clients, each once.
    let many = (0..100_000).fold(Bytes::default().nums(&[0, 100_000]), |bytes, _| {
        bytes.nums(&[3, 1, 5, 1])
    });
    many.accepted();
}

#[test]
fn holes_and_collected_runs() {
    let update = Bytes::section(1, 5).nums(&[0, 3, 10, 4, 0, 2, 10, 1, 0, 9, 0]);
    let waits = update.accepted();
    assert!(waits.has_pending());
    assert_eq!(waits.state(1), 3);
    let fills = Bytes::default().nums(&[1, 1, 1, 0, 0, 40, 0]);
    let filled = survive(&waits, &fills.0, Version::V1).unwrap();
    assert_eq!((filled.state(1), filled.has_pending()), (40, false));
}

#[test]
fn deep_values_and_types() {
    for nested in [[117_u64, 1].as_slice(), &[118, 1, 1, 97]] {
        let any = Bytes::section(1, 1).nums(&[8, 1]).text("content").num(1);
        let deep = (0..200_000).fold(any, |bytes, _| bytes.nums(nested));
        deep.num(126).num(0).refused();
    }
    // A type in a type in a type, made, deleted, and written into.
    const DEPTH: u64 = 200_000;
    let mut types = Bytes::section(1, DEPTH).nums(&[7, 1]).text("array").num(0);
    for n in 1..DEPTH {
        types = types.nums(&[7, 0, 1, n - 1, 0]);
    }
    let replica = types.num(0).accepted();
    assert!(
        replica
            .to_json("array", motet_crdt::Shape::Array)
            .is_array()
    );
    let delete = Bytes::default().nums(&[0, 1, 1, 1, 0, 1]);
    for gc in [true, false] {
        let mut kept = Replica::new(Options { gc });
        let whole = replica.encode_update(&StateVector::default(), Version::V1);
        kept.apply_update(&whole, Version::V1).unwrap();
        // What deleting takes meanwhile is a part of what it deletes.
        let heap_free = 100 * usize::try_from(DEPTH).unwrap();
        let deleted = survive_within(&kept, &delete.0, Version::V1, heap_free).unwrap();
        let into = Bytes::default()
            .nums(&[1, 1, 2, 0, 4, 0, 1, DEPTH - 1])
            .text("lost")
            .num(0);
        // The arenas of a large document grow by an eighth now and then.
        let written = survive_within(&deleted, &into.0, Version::V1, heap_free).unwrap();
        assert_eq!(
            written.to_json("array", motet_crdt::Shape::Array),
            json!([])
        );
    }
}

#[test]
fn thousands_at_one_place() {
    // Concurrent insertions at the start by clients that come in every order.
    for order in 0..3 {
        let mut bytes = Bytes::default().num(5_000);
        for n in 0..5_000_u64 {
            let client = match order {
                0 => n + 1,
                1 => 5_000 - n,
                _ => n * 7_919 % 5_003 + 1,
            };
            bytes = bytes.nums(&[1, client, 0, 4, 1]).text("content").text("x");
        }
        assert_eq!(bytes.num(0).accepted().len_utf16("content"), 5_000);
    }
    // Formats, each inside the one before.
    let mut replica = Replica::default();
    replica
        .apply_delta("content", &Delta::new().insert("x"), 1)
        .unwrap();
    let mut bytes = Bytes::default().nums(&[1, 5_000, 2, 0]);
    for n in 0..5_000_u64 {
        let origin = if n == 0 { [1, 0] } else { [2, n - 1] };
        bytes = bytes
            .info(6 | ORIGIN)
            .nums(&origin)
            .text(["bold", "em"][(n % 2) as usize]);
        bytes = bytes.text(&n.to_string());
    }
    let formatted = survive(&replica, &bytes.num(0).0, Version::V1).unwrap();
    assert_eq!(formatted.text("content"), "x");
    // Values of one key, each by another client.
    let mut bytes = Bytes::default().num(5_000);
    for client in 1..=5_000 {
        bytes = bytes
            .nums(&[1, client, 0])
            .info(8 | SUB)
            .num(1)
            .text("map")
            .text("k")
            .nums(&[1, 120]);
    }
    let set = bytes.num(0).accepted();
    assert_eq!(
        set.to_json("map", motet_crdt::Shape::Map),
        json!({ "k": true })
    );
}

#[test]
fn subdocuments() {
    let mut bytes = Bytes::section(1, 3_000);
    for n in 0..3_000_u64 {
        bytes = if n == 0 {
            bytes.nums(&[9, 1]).text("array")
        } else {
            bytes.info(9 | ORIGIN).nums(&[1, n - 1])
        };
        bytes = bytes.text("guid").nums(&[118, 0]);
    }
    let replica = bytes.num(0).accepted();
    assert_eq!(replica.len_utf16("array"), 3_000);
}

#[test]
fn a_split_emoji() {
    let base = Bytes::section(1, 1)
        .nums(&[4, 1])
        .text("content")
        .text("a😀b")
        .num(0)
        .accepted();
    let delete = Bytes::default().nums(&[0, 1, 1, 1, 2, 1]);
    let mut cut = base.clone();
    let delta = cut
        .apply_update_to(&delete.0, Version::V1, "content")
        .unwrap();
    assert_eq!(cut.text("content"), "a\u{fffd}b");
    assert_eq!(
        base.to_delta("content").compose(&delta).unwrap(),
        cut.to_delta("content")
    );
    // An insertion between its halves.
    let insert = Bytes::section(2, 1)
        .info(4 | ORIGIN | RIGHT)
        .nums(&[1, 1, 1, 2])
        .text("-")
        .num(0);
    let mut cut = base.clone();
    let delta = cut
        .apply_update_to(&insert.0, Version::V1, "content")
        .unwrap();
    assert_eq!(cut.text("content"), "a\u{fffd}-\u{fffd}b");
    assert_eq!(
        base.to_delta("content").compose(&delta).unwrap(),
        cut.to_delta("content")
    );
    // And by an update that begins in the middle.
    let tail = diff_update(
        &base.encode_update(&StateVector::default(), Version::V1),
        &state(1, 2),
        Version::V1,
    );
    let whole = Bytes::section(1, 1)
        .nums(&[4, 1])
        .text("content")
        .text("a\u{fffd}")
        .num(0);
    let joined = survive(&whole.accepted(), &tail.unwrap(), Version::V1).unwrap();
    assert_eq!(joined.text("content"), "a\u{fffd}\u{fffd}b");
}

fn state(client: Client, clock: u32) -> StateVector {
    let mut vector = StateVector::default();
    vector.set(client, clock);
    vector
}

#[test]
fn parents_that_are_no_parents() {
    // Itself, one that comes later, one that is text, one that is missing.
    Bytes::section(1, 1)
        .nums(&[4, 0, 1, 0])
        .text("x")
        .num(0)
        .refused();
    Bytes::section(1, 1)
        .nums(&[4, 0, 1, 9])
        .text("x")
        .num(0)
        .refused();
    Bytes::section(1, 1)
        .info(4 | ORIGIN)
        .nums(&[1, 0])
        .text("x")
        .num(0)
        .refused();
    Bytes::section(1, 1)
        .info(4 | RIGHT)
        .nums(&[1, 3])
        .text("x")
        .num(0)
        .refused();
    let text = Bytes::section(1, 2).nums(&[4, 1]).text("content").text("x");
    let in_text = text.nums(&[4, 0, 1, 0]).text("y").num(0).accepted();
    assert_eq!(in_text.text("content"), "x");
    let missing = Bytes::section(1, 1)
        .nums(&[4, 0, 2, 5])
        .text("x")
        .num(0)
        .accepted();
    assert!(missing.has_pending());
    // The right one left of the left one, and one in another type.
    let base = Bytes::section(1, 2)
        .nums(&[4, 1])
        .text("content")
        .text("0123")
        .nums(&[4, 1]);
    let base = base.text("other").text("abc").num(0).accepted();
    for (origin, right) in [(3, 0), (3, 1), (2, 2), (0, 5), (5, 0), (6, 3)] {
        let crossed = Bytes::section(2, 1)
            .info(4 | ORIGIN | RIGHT)
            .nums(&[1, origin, 1, right]);
        let mut crossed = survive(&base, &crossed.text("xy").num(0).0, Version::V1).unwrap();
        let delta = Delta::new().retain(2).insert("z");
        crossed.apply_delta("content", &delta, 9).unwrap();
        crossed.assert_invariants();
    }
}

/// A client that says two things under one id: what came first counts, also when it is sent on.
#[test]
fn two_blocks_of_one_id() {
    let waits = Bytes::section(1, 1).nums(&[1, 0, 2, 0, 30, 0]);
    let whole = Bytes::section(1, 1)
        .nums(&[4, 1])
        .text("content")
        .text("abc")
        .num(0);
    let mut replica = waits.accepted();
    assert!(replica.has_pending());
    replica = survive(&replica, &whole.0, Version::V1).unwrap();
    assert_eq!(
        (replica.state(1), replica.text("content").as_str()),
        (30, "abc")
    );
    let mut again = Replica::default();
    let sent = replica.encode_update(&StateVector::default(), Version::V1);
    again.apply_update(&sent, Version::V1).unwrap();
    assert_eq!(again.state_vector(), replica.state_vector());
    assert_eq!(again.text("content"), "abc");
}

#[test]
fn many_that_wait() {
    // Each of ten thousand clients waits for the one before it; the first comes last.
    let mut replica = Replica::default();
    let mut bytes = Bytes::default().num(9_999);
    for client in (2..=10_000_u64).rev() {
        bytes = bytes
            .nums(&[1, client, 0])
            .info(4 | ORIGIN)
            .nums(&[client - 1, 0])
            .text("x");
    }
    replica = survive(&replica, &bytes.num(0).0, Version::V1).unwrap();
    assert!(replica.has_pending());
    assert_eq!(replica.len_utf16("content"), 0);
    let first = Bytes::section(1, 1)
        .nums(&[4, 1])
        .text("content")
        .text("x")
        .num(0);
    let whole = survive(&replica, &first.0, Version::V1).unwrap();
    assert_eq!(
        (whole.len_utf16("content"), whole.has_pending()),
        (10_000, false)
    );
}

/// A large block that waits is not looked at again whenever something small comes to the same client.
#[test]
fn a_large_block_that_waits() {
    let text = "é".repeat(1 << 20);
    #[expect(clippy::disallowed_methods, reason = "a hang is what is looked for")]
    let start = Instant::now();
    // After a hole, and small ones after it.
    let mut replica = Replica::default();
    let large = Bytes::default().nums(&[1, 1, 1, 1]).info(4 | ORIGIN);
    let large = large.nums(&[1, 0]).text(&text).num(0);
    replica.apply_update(&large.0, Version::V1).unwrap();
    for n in 0..5_000 {
        let small = Bytes::default().nums(&[1, 1, 1, (2 << 20) + n * 2, 0, 1, 0]);
        replica.apply_update(&small.0, Version::V1).unwrap();
    }
    assert!(replica.has_pending());
    // For another's unit, while its own first units come by themselves.
    let mut replica = Replica::default();
    let large = Bytes::section(1, 1).info(4 | RIGHT).nums(&[2, 0]);
    let large = large.text(&text).num(0);
    replica.apply_update(&large.0, Version::V1).unwrap();
    for n in 0..5_000 {
        let small = Bytes::default().nums(&[1, 1, 1, n, 4, 1]).text("content");
        replica
            .apply_update(&small.text("y").num(0).0, Version::V1)
            .unwrap();
    }
    assert_eq!((replica.state(1), replica.has_pending()), (5_000, true));
    let other = Bytes::section(2, 1).nums(&[4, 1]).text("content");
    let other = other.text("z").num(0);
    replica.apply_update(&other.0, Version::V1).unwrap();
    assert_eq!((replica.state(1), replica.has_pending()), (1 << 20, false));
    replica.assert_invariants();
    assert!(start.elapsed() < Duration::from_secs(20), "it hangs");
}
