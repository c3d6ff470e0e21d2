//! Submissions that are too old to be moved by positions, and are merged by identities.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_crdt::Version;
use motet_document::{Access, Command, Event, Reject, Settings, Start, content::ROOT};
use motet_ot::Delta;
use support::{Bench, held, known, open, reconcile, rejected, session, submission, typed, updates};

#[test]
fn an_edit_that_is_too_old_for_positions_is_merged() {
    let mut bench = Bench::new(Settings {
        window_changes_max: 4,
        transform_steps_max: 20,
        ..Settings::default()
    });
    bench.join(1, Access::Write, Start::Text);
    bench.submit(1, 1, 0, &typed(0, "ac"));
    for n in 1..30 {
        bench.submit(1, n + 1, n, &typed(0, "x"));
    }
    let events = bench.join(2, Access::Write, held(1));
    assert_eq!(
        events.len(),
        1,
        "it is sent nothing before its submission: {events:?}"
    );
    let mine = Delta::new().retain(1).insert("b").delete(1).insert("d");
    let events = reconcile(&mut bench, 2, submission(1, 1, &mine));
    let Some((
        _,
        Event::Reconciled {
            seq: 1,
            revision,
            operation,
        },
    )) = events
        .iter()
        .find(|(_, event)| matches!(event, Event::Reconciled { .. }))
    else {
        panic!("{events:?}")
    };
    let head = bench.document.snapshot();
    assert_eq!(*revision, head.revision);
    assert!(bench.text().ends_with("abd"), "{}", bench.text());
    let state = Delta::new().insert("ac").compose(&mine).unwrap();
    assert_eq!(state.compose(operation).unwrap(), head.content.to_delta());
    // From here on it is live.
    let events = bench.submit(1, 31, 31, &typed(0, "y"));
    assert_eq!(updates(&events, 2).len(), 1);

    // The answer was lost, so it asks again: nothing is made twice.
    bench.run(vec![Command::Leave {
        session: session(2),
    }]);
    bench.join(2, Access::Write, held(1));
    let events = reconcile(&mut bench, 2, submission(1, 1, &mine));
    let again = events.iter().find_map(|(_, event)| match event {
        Event::Reconciled {
            revision,
            operation,
            ..
        } => Some((*revision, operation.clone())),
        _ => None,
    });
    assert_eq!(again, Some((*revision, operation.clone())));
    assert_eq!(bench.text().matches('b').count(), 1);
}

#[test]
fn a_merge_that_is_refused_lets_its_session_catch_up() {
    let mut bench = Bench::new(Settings {
        window_changes_max: 4,
        ..Settings::default()
    });
    bench.join(1, Access::Write, Start::Text);
    for n in 0..10 {
        bench.submit(1, n + 1, n, &typed(0, "x"));
    }
    bench.join(2, Access::Write, held(1));
    let past_the_end = submission(1, 1, &typed(5, "y"));
    let events = reconcile(&mut bench, 2, past_the_end);
    assert!(matches!(
        rejected(&events),
        Some(Reject::OutOfRange { position: 5, .. })
    ));
    let catches_up = events
        .iter()
        .any(|(_, event)| matches!(event, Event::ReadLog { .. }));
    assert!(catches_up, "{events:?}");
}

#[test]
fn a_merge_that_brings_nothing_is_an_update_too() {
    let mut bench = Bench::new(Settings {
        window_changes_max: 1,
        ..Settings::default()
    });
    bench.join(1, Access::Write, Start::Text);
    bench.submit(1, 1, 0, &typed(0, "abc"));
    let delete = Delta::new().delete(1);
    bench.submit(1, 2, 1, &delete);
    bench.submit(1, 3, 2, &typed(0, "x"));
    bench.join(3, Access::Write, Start::Identities);
    bench.join(2, Access::Write, held(1));
    let events = reconcile(&mut bench, 2, submission(1, 1, &delete));
    let mut peer = bench.document.content().replica().clone();
    let sent = updates(&events, 3);
    assert_eq!(sent.len(), 1);
    peer.apply_update(&sent[0], Version::V1).unwrap();
    assert_eq!(peer.text(ROOT), "xbc");
    let again = open(&bench.log, &bench.settings);
    assert_eq!(known(&again), known(&bench.document));
}
