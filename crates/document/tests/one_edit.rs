//! Sessions that are there for one edit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_document::{Access, Command, Event, Reject, Route, Settings, Start, Submission};
use motet_model::{Revision, SessionId};
use motet_ot::{Delta, decode};
use support::{Bench, rejected, session, submission, typed};

/// What becomes of an edit.
fn edit(bench: &mut Bench, access: Access, mut submission: Submission) -> Vec<(SessionId, Event)> {
    bench.join(2, access, Start::Once(submission.base()));
    // As the room does.
    while let Route::Advance(author, client_id) = bench.document.route(session(2), &submission) {
        let base = usize::try_from(submission.base().get()).unwrap();
        let later = &bench.log[base..];
        submission.advance(author, &client_id, later).unwrap();
    }
    let events = bench.run(vec![Command::Submit {
        session: session(2),
        submission,
    }]);
    bench.run(vec![Command::Leave {
        session: session(2),
    }]);
    events
}

fn acknowledged(events: &[(SessionId, Event)]) -> Option<u64> {
    events.iter().find_map(|(_, event)| match event {
        Event::Acknowledged { revision, .. } => Some(revision.get()),
        _ => None,
    })
}

#[test]
fn nothing_is_no_change_of_a_session_for_one_edit() {
    let mut bench = Bench::new(Settings {
        window_changes_max: 2,
        ..Settings::default()
    });
    bench.join(1, Access::Write, Start::Text);
    bench.submit(1, 1, 0, &typed(0, "abc"));
    bench.submit(1, 2, 1, &Delta::new().delete(1));
    for base in [1, 2] {
        let nothing = submission(1, base, &Delta::new());
        let events = edit(&mut bench, Access::Write, nothing);
        assert_eq!(acknowledged(&events), Some(2));
    }
    // What another has done already.
    let done = submission(1, 1, &Delta::new().delete(1));
    let events = edit(&mut bench, Access::Write, done);
    assert_eq!(acknowledged(&events), Some(2));
    bench.submit(1, 3, 2, &typed(0, "x"));
    bench.submit(1, 4, 3, &typed(0, "y"));
    let nothing = |base| submission(1, base, &Delta::new());
    let events = edit(&mut bench, Access::Write, nothing(0));
    assert_eq!(acknowledged(&events), Some(4), "from before the window");
    assert_eq!((bench.log.len(), bench.text().as_str()), (4, "yxbc"));
    // It is looked at like any other.
    let events = edit(&mut bench, Access::Read, nothing(4));
    assert!(matches!(rejected(&events), Some(Reject::ReadOnly)));
    let events = edit(&mut bench, Access::Write, nothing(3).only_on_head());
    assert!(matches!(rejected(&events), Some(Reject::Outdated { .. })));
    let far = decode(br#"{"ops":[{"retain":9}]}"#).unwrap();
    let far = Submission::new(Revision::new(4), 1, far);
    let events = edit(&mut bench, Access::Write, far);
    assert!(matches!(rejected(&events), Some(Reject::OutOfRange { .. })));
}

#[test]
fn nothing_is_a_change_where_its_client_may_ask_again() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Text);
    bench.submit(1, 1, 0, &Delta::new());
    assert_eq!(bench.log.len(), 1);
    let events = bench.submit(1, 1, 0, &Delta::new());
    assert_eq!(acknowledged(&events), Some(1));
    assert_eq!(bench.log.len(), 1);
}
