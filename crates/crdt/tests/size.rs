//! What a replica says of its memory, beside what it takes: whatever a stranger makes grow is counted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bytes.rs"]
mod bytes;
#[path = "support/random.rs"]
mod random;

use bytes::{Bytes, ORIGIN, RIGHT, SUB};
use motet_crdt::{Options, Replica, Version};
use motet_ot::Delta;
use peak_alloc::PeakAlloc;
use random::Random;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a test's own bytes and small replicas may take.
const HEAP_FREE: usize = 16 << 10;

/// Feeds a replica, and checks that it knows what that took. Returns what it said.
fn counts(what: &str, mut feed: impl FnMut(&mut Replica)) -> usize {
    let start_bytes = HEAP.current_usage();
    let mut replica = Replica::default();
    feed(&mut replica);
    let taken = HEAP.current_usage() - start_bytes;
    let said = replica.size_bytes();
    assert!(
        said + HEAP_FREE > taken * 4 / 5,
        "{what}: {said} of {taken}"
    );
    assert!(
        said < taken * 3 / 2 + HEAP_FREE,
        "{what}: {said} of {taken}"
    );
    let saved = replica.save();
    let start_bytes = HEAP.current_usage();
    let loaded = Replica::load(&saved, Options::default()).unwrap();
    let (taken, said_again) = (HEAP.current_usage() - start_bytes, loaded.size_bytes());
    assert!(
        said_again + HEAP_FREE > taken * 4 / 5,
        "{what}, loaded: {said_again} of {taken}"
    );
    assert!(
        said_again < taken * 3 / 2 + HEAP_FREE,
        "{what}, loaded: {said_again} of {taken}"
    );
    said
}

fn apply(replica: &mut Replica, update: &Bytes) {
    replica.apply_update(&update.0, Version::V1).unwrap();
}

/// A client's blocks in the root `content`, each at its start, made by `block`.
fn blocks(count: u64, mut block: impl FnMut(Bytes, u64) -> Bytes) -> Bytes {
    let section = Bytes::section(1, count);
    (0..count).fold(section, &mut block).num(0)
}

#[test]
fn what_is_typed_is_counted() {
    let mut random = Random(5);
    counts("typed at random places", |replica| {
        for len in 0..20_000 {
            let delta = Delta::new().retain(random.below(len + 1)).insert("x");
            replica.apply_delta("content", &delta, 1).unwrap();
        }
    });
    let size = |text: &str| {
        counts("long text", |replica| {
            let delta = Delta::new().insert(&text.repeat(100_000));
            replica.apply_delta("content", &delta, 1).unwrap();
        })
    };
    let (narrow, wide) = (size("é"), size("世"));
    assert!(narrow > 100_000 && wide > 200_000, "{narrow} and {wide}");
}

#[test]
fn names_and_clients_are_counted() {
    counts("roots", |replica| {
        let root = |bytes: Bytes, n: u64| bytes.nums(&[4, 1]).text(&format!("root {n}")).text("x");
        apply(replica, &blocks(5_000, root));
    });
    counts("keys", |replica| {
        let key = |bytes: Bytes, n: u64| {
            let bytes = bytes.info(4 | SUB).num(1).text("map");
            bytes.text(&format!("key {n}")).text("x")
        };
        apply(replica, &blocks(5_000, key));
    });
    counts("clients", |replica| {
        let section = |bytes: Bytes, n: u64| {
            let bytes = bytes.nums(&[1, n + 1, 0]);
            bytes.nums(&[4, 1]).text("content").text("x")
        };
        let bytes = (0..2_000).fold(Bytes::default().num(2_000), section);
        apply(replica, &bytes.num(0));
    });
    counts("clients without blocks", |replica| {
        let section = |bytes: Bytes, n: u64| bytes.nums(&[0, n + 1, 0]);
        let bytes = (0..5_000).fold(Bytes::default().num(5_000), section);
        apply(replica, &bytes.num(0));
    });
    counts("elements with long names", |replica| {
        let element = |bytes: Bytes, _| {
            let bytes = bytes.nums(&[7, 1]).text("xml").num(3);
            bytes.text(&"name".repeat(20))
        };
        apply(replica, &blocks(5_000, element));
    });
}

#[test]
fn values_are_counted() {
    counts("formats", |replica| {
        let format = |bytes: Bytes, n: u64| {
            let value = format!("[{}{n}]", "0,".repeat(100));
            bytes.nums(&[6, 1]).text("content").text("key").text(&value)
        };
        apply(replica, &blocks(500, format));
    });
    counts("formats with objects", |replica| {
        let format = |bytes: Bytes, n: u64| {
            let value = format!(r#"{{"n":{n},"a":{{}},"b":[],"c":[[[]]],"d":""}}"#);
            bytes.nums(&[6, 1]).text("content").text("key").text(&value)
        };
        apply(replica, &blocks(2_000, format));
    });
    counts("embeds and binaries", |replica| {
        let block = |bytes: Bytes, n: u64| {
            let kind = [3, 5][usize::try_from(n % 2).unwrap()];
            bytes.nums(&[kind, 1]).text("content").text("[1,2,3]")
        };
        apply(replica, &blocks(5_000, block));
    });
    // Of each list a small value stays, and holds on to the bytes of the large one.
    let lists = |replica: &mut Replica| {
        let text = "large".repeat(200);
        let list = |bytes: Bytes, _| {
            let bytes = bytes.nums(&[8, 1]).text("content").num(2);
            bytes.nums(&[126, 119]).text(&text)
        };
        apply(replica, &blocks(500, list));
    };
    let whole = counts("lists", lists);
    counts("lists of which most is deleted", |replica| {
        lists(replica);
        let large = (0..500).fold(Bytes::default().nums(&[0, 1, 1, 500]), |bytes, n| {
            bytes.nums(&[n * 2 + 1, 1])
        });
        apply(replica, &large);
    });
    let mut none = Replica::default();
    lists(&mut none);
    apply(&mut none, &Bytes::default().nums(&[0, 1, 1, 1, 0, 1_000]));
    let left = none.size_bytes();
    assert!(
        left < whole / 5,
        "{left} of {whole} are left when all is deleted"
    );
}

/// Updates that can never become part of the document.
#[test]
fn a_flood_that_waits_is_counted() {
    let sent = 3_000_u64;
    let flood = |update: &dyn Fn(u64) -> Bytes| {
        let (mut bytes, mut before) = (0, Replica::default().size_bytes());
        counts("what waits", |replica| {
            for n in 0..sent {
                let update = update(n);
                bytes += update.0.len();
                apply(replica, &update);
                let size = replica.size_bytes();
                assert!(size >= before, "each one counts");
                before = size;
            }
            assert!(replica.has_pending());
            assert!(replica.size_bytes() >= bytes);
            // The same again brings nothing.
            for n in 0..sent {
                let again = replica.receive_update(&update(n).0, Version::V1, "content");
                assert!(again.unwrap().update.is_empty());
            }
            assert!(replica.size_bytes() <= before + HEAP_FREE);
        });
    };
    // After a hole, on what one never made, of clients that never began, deletions of what is not there.
    flood(&|n| {
        Bytes::default()
            .nums(&[1, 1, 1, n * 2 + 1, 4, 1])
            .text("content")
            .text("x")
            .num(0)
    });
    flood(&|n| {
        let bytes = Bytes::default()
            .nums(&[1, 1, n + 2, 0])
            .info(4 | ORIGIN | RIGHT);
        bytes.nums(&[1, n, 1, n + 1]).text("text").num(0)
    });
    flood(&|n| Bytes::default().nums(&[1, 1, n, 5, 0, 1, 0]));
    flood(&|n| Bytes::default().nums(&[0, 1, 1, 1, n * 2, 1]));
    flood(&|n| Bytes::default().nums(&[0, 1, n, 1, 7, 1]));
}
