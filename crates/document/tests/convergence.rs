//! Random edits of both dialects, and merges: all end with the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_crdt::{Replica, Version};
use motet_document::{Access, Command, Event, Settings, Start, content::ROOT};
use motet_ot::{Attributes, Delta};
use proptest::{collection::vec, prelude::*};
use serde_json::json;
use support::{Bench, held, known, open, reconcile, rejected, session, submission, typed, updates};

/// The text of a document.
fn text_of(document: &Delta) -> String {
    let mut replica = Replica::default();
    replica.apply_delta(ROOT, document, 1).unwrap();
    replica.text(ROOT)
}

/// What one of several clients does.
#[derive(Clone, Debug)]
enum Act {
    /// By position, on the head, or so many revisions before it.
    Position(u8, u64, f64, u8),
    /// By identity, on what the peer has.
    Identity(u8, f64, u8),
    /// A peer is told all that it has missed.
    Sync(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let place = || 0.0..1.0_f64;
    prop_oneof![
        3 => (0..2_u8, 0..4_u64, place(), 0..8_u8).prop_map(|(n, old, at, what)| Act::Position(n, old, at, what)),
        3 => (0..2_u8, place(), 0..8_u8).prop_map(|(n, at, what)| Act::Identity(n, at, what)),
        2 => (0..2_u8).prop_map(Act::Sync),
    ]
}

/// An edit of a text, at a place that does not cut a pair.
fn edit(text: &str, at: f64, what: u8) -> Delta {
    let chars: Vec<usize> = text
        .chars()
        .scan(0, |end, char| {
            *end += char.len_utf16();
            Some(*end)
        })
        .collect();
    #[expect(clippy::cast_possible_truncation, reason = "a place within the text")]
    let index = (at * (chars.len() as f64 + 1.0)) as usize;
    let boundary = |index: usize| {
        index
            .checked_sub(1)
            .map_or(0, |last| chars[last.min(chars.len() - 1)])
    };
    let start = if chars.is_empty() { 0 } else { boundary(index) };
    let end = if chars.is_empty() {
        0
    } else {
        boundary((index + 2).min(chars.len()))
    };
    let bold = |on| {
        Attributes::from_iter([(
            "bold".to_owned(),
            if on { json!(true) } else { json!(null) },
        )])
    };
    let delta = Delta::new().retain(start);
    match what {
        0..4 => delta.insert(["a", "é😀", "\n", "xyz"][usize::from(what)]),
        4 => delta.insert_with("B", bold(true)),
        _ if end <= start => Delta::new().insert("z"),
        5 => delta.retain_with(end - start, bold(true)),
        6 => delta.retain_with(end - start, bold(false)),
        _ => delta.delete(end - start),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whoever edits, in whichever dialect, all end with the same, and the log makes the same again.
    #[test]
    fn all_converge(acts in vec(act(), 1..40)) {
        let mut bench = Bench::new(Settings::default());
        let mut seqs = [0_u64; 2];
        let mut peers = [Replica::default(), Replica::default()];
        let mut texts = vec![String::new()];
        for n in 0..2 {
            bench.join(1 + n, Access::Write, Start::Text);
            bench.join(11 + n, Access::Write, Start::Identities);
        }
        for act in acts {
            match act {
                Act::Position(n, old, at, what) => {
                    let head = bench.log.len() as u64;
                    let base = head.saturating_sub(old);
                    let delta = edit(&texts[usize::try_from(base).unwrap()], at, what);
                    let at = usize::from(n);
                    seqs[at] += 1;
                    let events = bench.submit(1 + n, seqs[at], base, &delta);
                    prop_assert_eq!(rejected(&events), None);
                }
                Act::Identity(n, at, what) => {
                    let peer = &mut peers[usize::from(n)];
                    let delta = edit(&peer.text(ROOT), at, what);
                    let update = peer.apply_delta(ROOT, &delta, 100 + u64::from(n)).unwrap();
                    let events = bench.update(11 + n, update);
                    prop_assert_eq!(rejected(&events), None);
                }
                Act::Sync(n) => {
                    let peer = &mut peers[usize::from(n)];
                    let sync = Command::Sync { session: session(11 + n), state_vector: peer.state_vector() };
                    let events = bench.run(vec![sync]);
                    peer.apply_update(&updates(&events, 11 + n)[0], Version::V1).unwrap();
                    let same = bench.document.content().replica().to_delta(ROOT);
                    prop_assert_eq!(peer.to_delta(ROOT), same);
                }
            }
            while texts.len() <= bench.log.len() {
                // Of several changes at once only the last text is known; none is made here.
                texts.push(bench.text());
            }
        }
        let again = open(&bench.log, &bench.settings);
        again.content().assert_invariants();
        prop_assert_eq!(known(&again), known(&bench.document));
    }

    /// A merge that went by identities leads its author to the head, whatever came between.
    #[test]
    fn every_merge_leads_to_the_head(
        mine in vec((0.0..1.0_f64, 0..8_u8), 1..6),
        others in vec((0.0..1.0_f64, 0..8_u8), 1..20),
    ) {
        let mut bench = Bench::new(Settings { window_changes_max: 1, ..Settings::default() });
        bench.join(1, Access::Write, Start::Text);
        bench.submit(1, 1, 0, &typed(0, "hello 😀 world"));
        let mut local = bench.document.snapshot().content.to_delta();
        let mut delta = Delta::new();
        let mut text = bench.text();
        for (at, what) in mine {
            let one = edit(&text, at, what);
            local = local.compose(&one).unwrap();
            delta = delta.compose(&one).unwrap();
            text = text_of(&local);
        }
        for (n, (at, what)) in others.into_iter().enumerate() {
            let n = n as u64;
            let one = edit(&bench.text(), at, what);
            bench.submit(1, n + 2, n + 1, &one);
        }
        bench.submit(1, 99, bench.log.len() as u64, &typed(0, "x"));
        bench.join(2, Access::Write, held(1));
        let events = reconcile(&mut bench, 2, submission(1, 1, &delta));
        prop_assert_eq!(rejected(&events), None);
        let operation = events.iter().find_map(|(_, event)| match event {
            Event::Reconciled { operation, .. } => Some(operation.clone()),
            _ => None,
        }).unwrap();
        let head = bench.document.snapshot().content.to_delta();
        prop_assert_eq!(local.compose(&operation).unwrap(), head);
    }
}
