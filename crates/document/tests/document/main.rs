//! The live document, command by command. Each invariant's test bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod presence;

use std::sync::Arc;

use motet_document::{
    Access, CloseReason, Command, Document, Event, Member, OpenError, Reject, Route, Settings,
    Start, Submission,
};
use motet_model::{Change, ClientId, DocumentId, Revision, SessionId, UserId};
use motet_ot::{Delta, decode};

const NOW: u64 = 1_700_000_000_000;

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn client(n: u8) -> ClientId {
    format!("client-{n}").parse().unwrap()
}

fn revision(n: u64) -> Revision {
    Revision::new(n)
}

/// A document with the log that it would have, and what each session was told.
struct Bench {
    document: Document,
    log: Vec<Change>,
    now_ms: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let id = DocumentId::from_bytes([1; 16]);
        Self {
            document: Document::open(id, None, settings).unwrap(),
            log: Vec::new(),
            now_ms: NOW,
        }
    }

    fn run(&mut self, commands: Vec<Command>) -> Vec<(SessionId, Event)> {
        let (mut events, plan) = self.document.plan(self.now_ms, commands);
        self.log.extend(plan.changes());
        let head = revision(self.log.len() as u64);
        events.extend(self.document.commit(plan, head));
        events
    }

    fn join(&mut self, n: u8) -> Vec<(SessionId, Event)> {
        self.run(vec![join(n, Access::Write, None)])
    }

    fn text(&self) -> String {
        let delta = self.document.snapshot().content.to_delta();
        let json: serde_json::Value = serde_json::from_str(&delta.to_json()).unwrap();
        json["ops"]
            .as_array()
            .unwrap()
            .iter()
            .map(|op| op["insert"].as_str().unwrap())
            .collect()
    }
}

fn join(n: u8, access: Access, from: Option<u64>) -> Command {
    Command::Join {
        session: session(n),
        member: Member {
            user: user(n),
            name: format!("User {n}").into(),
            color: None,
            access,
        },
        client_id: client(n),
        start: from.map_or(Start::Text, |from| Start::Revision {
            revision: revision(from),
            pending: false,
        }),
    }
}

fn submit(n: u8, seq: u64, base: u64, delta: &Delta) -> Command {
    submit_json(n, seq, base, &delta.to_json())
}

fn submit_json(n: u8, seq: u64, base: u64, json: &str) -> Command {
    let submission = Submission::new(revision(base), seq, decode(json.as_bytes()).unwrap());
    Command::Submit {
        session: session(n),
        submission,
    }
}

fn insert(at: usize, text: &str) -> Delta {
    if at == 0 {
        Delta::new().insert(text)
    } else {
        Delta::new().retain(at).insert(text)
    }
}

/// The revisions of the changes that a session was sent.
fn sent(events: &[(SessionId, Event)], n: u8) -> Vec<u64> {
    let of = events.iter().filter(|(id, _)| *id == session(n));
    of.flat_map(|(_, event)| match event {
        Event::Changes { changes, .. } => changes.iter().map(|it| it.revision.get()).collect(),
        _ => Vec::new(),
    })
    .collect()
}

fn rejected(events: &[(SessionId, Event)]) -> Option<Reject> {
    events.iter().find_map(|(_, event)| match event {
        Event::Rejected { reject, .. } => Some(*reject),
        _ => None,
    })
}

#[test]
fn concurrent_edits_meet_with_the_committed_one_on_the_left() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    let events = bench.run(vec![
        submit(1, 1, 0, &insert(0, "left")),
        submit(2, 1, 0, &insert(0, "right")),
    ]);
    assert_eq!(bench.text(), "leftright");
    assert_eq!(sent(&events, 1), [1, 2]);
    assert_eq!(sent(&events, 2), [1, 2]);
}

#[test]
fn visible_after_durable() {
    let mut bench = Bench::new();
    bench.join(1);
    let (events, plan) = bench
        .document
        .plan(NOW, vec![submit(1, 1, 0, &insert(0, "a"))]);
    assert_eq!(plan.changes().len(), 1);
    assert!(events.is_empty());
    assert_eq!(
        bench.document.head(),
        Revision::ZERO,
        "nothing is visible yet"
    );
    let events = bench.document.commit(plan, revision(1));
    assert_eq!(sent(&events, 1), [1]);
}

#[test]
fn once() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.run(vec![submit(1, 1, 0, &insert(0, "a"))]);
    bench.run(vec![submit(2, 1, 1, &insert(1, "b"))]);
    // The same once more, on the old base, on a later one, and twice in one batch.
    for base in [0, 1, 2] {
        let events = bench.run(vec![submit(1, 1, base, &insert(0, "a"))]);
        let again = matches!(
            events.as_slice(),
            [(_, Event::Acknowledged { seq: 1, revision })] if revision.get() == 1
        );
        assert!(again, "base {base}: {events:?}");
    }
    bench.run(vec![
        submit(1, 2, 2, &insert(0, "c")),
        submit(1, 2, 2, &insert(0, "c")),
    ]);
    assert_eq!(bench.text(), "cab");
    let old = bench.run(vec![submit(1, 1, 3, &insert(0, "x"))]);
    assert_eq!(rejected(&old), Some(Reject::SeqReused { seq: 1, last: 2 }));
}

#[test]
fn once_also_after_a_restart() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.run(vec![submit(1, 1, 0, &insert(0, "a"))]);
    bench.run(vec![submit(1, 2, 1, &insert(1, "b"))]);
    let checkpoint = bench.document.state().encode();
    // Opened from the log alone, and from a checkpoint alone.
    for (checkpoint, log) in [(None, bench.log.clone()), (Some(checkpoint), Vec::new())] {
        let id = bench.document.id();
        let settings = Settings::default();
        let mut again = Bench {
            document: Document::open(id, checkpoint.as_ref(), settings).unwrap(),
            log: bench.log.clone(),
            now_ms: NOW,
        };
        again.document.replay(log).unwrap();
        assert_eq!(again.text(), "ab");
        again.join(1);
        let events = again.run(vec![submit(1, 2, 2, &insert(1, "b"))]);
        assert!(matches!(
            events.as_slice(),
            [(_, Event::Acknowledged { seq: 2, .. })]
        ));
        assert_eq!(again.text(), "ab");
    }
}

#[test]
fn another_user_with_the_same_client_id_is_another_client() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.run(vec![submit(1, 1, 0, &insert(0, "a"))]);
    let member = Member {
        user: user(2),
        name: "Other".into(),
        color: None,
        access: Access::Write,
    };
    let command = Command::Join {
        session: session(2),
        member,
        client_id: client(1),
        start: Start::Text,
    };
    let events = bench.run(vec![command]);
    assert!(matches!(events.as_slice(), [(_, Event::Joined(joined))] if joined.last_seq == 0));
    bench.run(vec![submit(2, 1, 0, &insert(0, "b"))]);
    assert_eq!(bench.text(), "ab");
}

#[test]
fn harmless() {
    let mut bench = Bench::with(Settings {
        len_utf16_max: 10,
        ..Settings::default()
    });
    bench.join(1);
    bench.run(vec![join(2, Access::Read, None)]);
    bench.run(vec![submit(1, 1, 0, &insert(0, "x\u{1f600}y"))]);
    let cases = [
        (submit(2, 1, 1, &insert(0, "a")), Reject::ReadOnly),
        (
            submit(1, 2, 1, &insert(5, "a")),
            Reject::OutOfRange {
                position: 5,
                len_utf16: 4,
            },
        ),
        (
            submit_json(1, 2, 1, r#"{"ops":[{"insert":"a"},{"retain":9}]}"#),
            Reject::OutOfRange {
                position: 9,
                len_utf16: 4,
            },
        ),
        (
            submit(1, 2, 1, &Delta::new().delete(5)),
            Reject::OutOfRange {
                position: 5,
                len_utf16: 4,
            },
        ),
        (
            submit(1, 2, 1, &insert(2, "a")),
            Reject::SplitSurrogate { position: 2 },
        ),
        (
            submit(1, 2, 1, &Delta::new().delete(2)),
            Reject::SplitSurrogate { position: 2 },
        ),
        (
            submit(1, 2, 2, &insert(0, "a")),
            Reject::RevisionAhead {
                revision: revision(2),
                head: revision(1),
            },
        ),
        (
            submit(1, 0, 1, &insert(0, "a")),
            Reject::SeqReused { seq: 0, last: 1 },
        ),
        (
            submit(1, 2, 1, &insert(0, "1234567")),
            Reject::DocumentTooLarge {
                max: 10,
                unit: "UTF-16 units",
            },
        ),
    ];
    for (command, reject) in cases {
        let shown = format!("{command:?}");
        let events = bench.run(vec![command]);
        assert_eq!(rejected(&events), Some(reject), "{shown}");
        assert_eq!(events.len(), 1, "nobody else hears of it");
        assert_eq!(bench.log.len(), 1, "nothing was committed");
        assert_eq!(bench.text(), "x\u{1f600}y");
    }
    bench.run(vec![submit(1, 2, 1, &insert(0, "a"))]);
    assert_eq!(bench.text(), "ax\u{1f600}y", "the session goes on");
}

#[test]
fn a_document_is_bounded_in_bytes() {
    let settings = Settings {
        text_bytes_max: 1_000,
        ..Settings::default()
    };
    let mut bench = Bench::with(settings);
    bench.join(1);
    bench.run(vec![submit(1, 1, 0, &insert(0, "ab"))]);
    let note = "x".repeat(1_000);
    for ops in [
        format!(r#"{{"insert":{{"note":"{note}"}}}}"#),
        format!(r#"{{"retain":1,"attributes":{{"note":"{note}"}}}}"#),
        format!(r#"{{"insert":"{note}"}}"#),
    ] {
        let events = bench.run(vec![submit_json(1, 2, 1, &format!(r#"{{"ops":[{ops}]}}"#))]);
        let reject = Reject::DocumentTooLarge {
            max: 1_000,
            unit: "bytes",
        };
        assert_eq!(rejected(&events), Some(reject), "{ops}");
        assert_eq!((bench.log.len(), bench.text()), (1, "ab".to_owned()));
    }
    bench.run(vec![submit(1, 2, 1, &insert(0, "c"))]);
    assert_eq!(bench.text(), "cab", "the session goes on");

    // A log from before the bound is opened all the same.
    let settings = Settings {
        text_bytes_max: 1,
        ..Settings::default()
    };
    let mut document = Document::open(bench.document.id(), None, settings).unwrap();
    document.replay(bench.log).unwrap();
    assert_eq!(document.snapshot().content.len_utf16(), 3);
}

#[test]
fn past_the_end_is_found_on_an_old_base_as_well() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.run(vec![submit(1, 1, 0, &insert(0, "abc"))]);
    bench.run(vec![submit(1, 2, 1, &insert(3, "def"))]);
    let events = bench.run(vec![submit(2, 1, 1, &insert(4, "x"))]);
    assert!(matches!(rejected(&events), Some(Reject::OutOfRange { .. })));
}

#[test]
fn in_order() {
    let mut bench = Bench::new();
    bench.join(1);
    // A join between two edits of one batch is done at once: its state is what is durable, and it is sent both.
    let events = bench.run(vec![
        submit(1, 1, 0, &insert(0, "a")),
        join(2, Access::Write, None),
        submit(1, 2, 0, &insert(0, "b")),
    ]);
    let state = events.iter().find_map(|(_, event)| match event {
        Event::Joined(joined) => Some(joined.revision.get()),
        _ => None,
    });
    assert_eq!(state, Some(0));
    assert_eq!(sent(&events, 2), [1, 2]);
    assert_eq!(sent(&events, 1), [1, 2]);
}

#[test]
fn a_resume_is_sent_what_it_missed() {
    let mut bench = Bench::new();
    bench.join(1);
    for n in 0..10 {
        bench.run(vec![submit(1, n + 1, n, &insert(0, "x"))]);
    }
    let events = bench.run(vec![join(2, Access::Write, Some(7))]);
    assert_eq!(sent(&events, 2), [8, 9, 10]);
    assert!(matches!(&events[0].1, Event::Joined(joined)
        if joined.content.is_none() && joined.presence.is_empty()));
    let Some((_, Event::Presence(update))) = events.last() else {
        panic!("presence comes at the revision that its positions count in: {events:?}")
    };
    assert!(update.reset);
    let here: Vec<_> = update.joined.iter().map(|one| one.session).collect();
    assert_eq!(here, [session(1), session(2)]);
    let events = bench.run(vec![join(3, Access::Write, Some(11))]);
    assert!(matches!(
        events.as_slice(),
        [(_, Event::Closed(CloseReason::RevisionAhead))]
    ));
}

#[test]
fn a_slow_session_catches_up_in_steps() {
    let settings = Settings {
        catch_up_bytes_max: 100,
        ..Settings::default()
    };
    let mut bench = Bench::with(settings);
    bench.join(1);
    bench.join(2);
    bench.document.mark_behind(session(2));
    for n in 0..20 {
        let events = bench.run(vec![submit(1, n + 1, n, &insert(0, "x"))]);
        assert!(sent(&events, 2).is_empty(), "nothing while behind");
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let after = revision(seen.len() as u64);
        let events = bench.run(vec![Command::CatchUp {
            session: session(2),
            after,
        }]);
        let step = sent(&events, 2);
        assert!((1..20).contains(&step.len()), "a bounded step: {step:?}");
        seen.extend(step);
    }
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    let events = bench.run(vec![submit(1, 21, 20, &insert(0, "y"))]);
    assert_eq!(sent(&events, 2), [21], "live again");
}

#[test]
fn what_is_older_than_the_window_comes_from_the_log() {
    let mut bench = Bench::with(Settings {
        window_changes_max: 4,
        ..Settings::default()
    });
    bench.join(1);
    for n in 0..10 {
        let at = usize::try_from(n).unwrap();
        bench.run(vec![submit(1, n + 1, n, &insert(at, "x"))]);
    }
    assert_eq!(bench.document.window_start(), revision(6));
    let events = bench.run(vec![join(2, Access::Write, Some(2))]);
    let from_log = events.iter().any(|(_, event)| {
        matches!(event, Event::ReadLog { after, through }
            if *after == revision(2) && *through == revision(6))
    });
    assert!(from_log, "{events:?}");

    // A submission on an old base is advanced over the log first.
    let json = insert(2, "y").to_json();
    let mut submission = Submission::new(revision(2), 1, decode(json.as_bytes()).unwrap());
    let route = bench.document.route(session(2), &submission);
    let Route::Advance(author, client_id) = route else {
        panic!("{route:?}")
    };
    submission
        .advance(author, &client_id, &bench.log[2..6])
        .unwrap();
    assert_eq!(submission.base(), revision(6));
    bench.run(vec![Command::Submit {
        session: session(2),
        submission,
    }]);
    assert_eq!(
        bench.text(),
        "xxxxxxxxxxy",
        "after what was committed at the same place"
    );

    // And one that is found there was sent before.
    let json = insert(0, "x").to_json();
    let mut again = Submission::new(revision(0), 1, decode(json.as_bytes()).unwrap());
    let route = bench.document.route(session(1), &again);
    let Route::Advance(author, client_id) = route else {
        panic!("{route:?}")
    };
    again.advance(author, &client_id, &bench.log[..7]).unwrap();
    let events = bench.run(vec![Command::Submit {
        session: session(1),
        submission: again,
    }]);
    let acknowledged = matches!(
        events.as_slice(),
        [(_, Event::Acknowledged { seq: 1, revision })] if revision.get() == 1
    );
    assert!(acknowledged, "{events:?}");
}

#[test]
fn too_much_work_is_refused_before_it_is_begun() {
    let mut bench = Bench::with(Settings {
        window_changes_max: 4,
        transform_steps_max: 20,
        ..Settings::default()
    });
    bench.join(1);
    bench.join(2);
    for n in 0..10 {
        bench.run(vec![submit(1, n + 1, n, &insert(0, "x"))]);
    }
    let three = Delta::new().insert("a").retain(1).insert("b");
    // From memory and from the log alike: neither is advanced.
    for base in [3, 0] {
        let refused = submit(2, 1, base, &three);
        if let Command::Submit { submission, .. } = &refused {
            let route = bench.document.route(session(2), submission);
            assert_eq!(route, Route::Plan);
        }
        let events = bench.run(vec![refused]);
        let reject = Reject::TooFarBehind {
            base: revision(base),
            changes: 10 - base,
            operations: 3,
        };
        assert_eq!(rejected(&events), Some(reject));
    }
    assert_eq!(bench.text(), "x".repeat(10), "harmless");
    // A smaller edit, or one on a later base, is taken.
    assert_eq!(rejected(&bench.run(vec![submit(2, 1, 6, &three)])), None);
    // What was committed already is acknowledged, however far behind.
    let again = bench.run(vec![submit(2, 1, 0, &three)]);
    assert_eq!(rejected(&again), None);
    assert!(matches!(
        again.as_slice(),
        [(_, Event::Acknowledged { seq: 1, .. })]
    ));
}

/// What passes changes at several places is transformed for each, however small it is itself.
#[test]
fn work_is_what_a_submission_passes() {
    const BEHIND: u64 = 160;
    const MARKS: usize = 50;
    let mut bench = Bench::new();
    bench.join(1);
    bench.run(vec![submit(1, 1, 0, &insert(0, &"ab".repeat(MARKS)))]);
    let bold = r#"{"retain":1,"attributes":{"bold":true}},{"retain":1}"#;
    let plain = bold.replace("true", "null");
    let marks =
        [bold, &plain].map(|mark| format!(r#"{{"ops":[{}]}}"#, vec![mark; MARKS].join(",")));
    let typed = || decode(br#"{"ops":[{"insert":"x"}]}"#).unwrap();
    let far = Submission::new(revision(1), 1, typed());
    for n in 1..=BEHIND {
        bench.run(vec![submit(1, n + 1, n, &insert(7, "x"))]);
    }
    let work = bench.document.work(&far);
    assert!(work <= BEHIND / 32 + 1, "{work}");
    for n in 0..BEHIND {
        let mark = &marks[usize::try_from(n % 2).unwrap()];
        let seq = BEHIND + 2 + n;
        bench.run(vec![submit_json(1, seq, seq - 1, mark)]);
    }
    let work = bench.document.work(&far);
    assert!(work >= BEHIND * MARKS as u64, "{work}");
    // It counts only what it passes.
    let base = bench.document.head();
    let latest = Submission::new(base, 1, typed());
    assert!(bench.document.work(&latest) <= 1);
}

#[test]
fn the_latest_connection_of_a_client_takes_over() {
    let mut bench = Bench::new();
    bench.join(1);
    let member = Member {
        user: user(1),
        name: "Again".into(),
        color: None,
        access: Access::Write,
    };
    let command = Command::Join {
        session: session(9),
        member,
        client_id: client(1),
        start: Start::Text,
    };
    let events = bench.run(vec![command]);
    let replaced = |(id, event): &(SessionId, Event)| {
        *id == session(1) && matches!(event, Event::Closed(CloseReason::Replaced))
    };
    assert!(events.iter().any(replaced));
    assert_eq!(bench.document.sessions(), 1);
}

#[test]
fn a_full_document_turns_sessions_away() {
    let mut bench = Bench::with(Settings {
        sessions_max: 2,
        ..Settings::default()
    });
    bench.join(1);
    bench.join(2);
    let events = bench.join(3);
    assert!(matches!(
        events.as_slice(),
        [(_, Event::Closed(CloseReason::Full))]
    ));
    bench.run(vec![Command::Leave {
        session: session(1),
    }]);
    assert!(matches!(bench.join(3).as_slice(), [(_, Event::Joined(_))]));
}

#[test]
fn rights_change_while_a_session_lives() {
    let mut bench = Bench::new();
    bench.join(1);
    let set = |access| Command::SetAccess {
        session: session(1),
        access,
    };
    let events = bench.run(vec![set(Some(Access::Read))]);
    assert!(matches!(
        events.as_slice(),
        [(_, Event::AccessChanged(Access::Read))]
    ));
    assert_eq!(
        rejected(&bench.run(vec![submit(1, 1, 0, &insert(0, "a"))])),
        Some(Reject::ReadOnly)
    );
    let events = bench.run(vec![set(None)]);
    assert!(matches!(
        events.as_slice(),
        [(_, Event::Closed(CloseReason::Forbidden))]
    ));
    assert!(
        bench.run(vec![submit(1, 1, 0, &insert(0, "a"))]).is_empty(),
        "nobody is there"
    );
}

#[test]
fn who_joins_at_one_revision_shares_the_text() {
    let mut bench = Bench::new();
    let joined = |bench: &mut Bench, n: u8| {
        let events = bench.run(vec![join(n, Access::Read, None)]);
        let content = events.into_iter().find_map(|(_, event)| match event {
            Event::Joined(joined) => joined.content,
            _ => None,
        });
        content.unwrap()
    };
    let first = joined(&mut bench, 1);
    assert!(Arc::ptr_eq(&first, &joined(&mut bench, 2)));
    bench.join(3);
    bench.run(vec![submit(3, 1, 0, &insert(0, "hello"))]);
    let second = joined(&mut bench, 4);
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(second.text.len_utf16(), 5);
    // It is not kept for long.
    bench.now_ms += 1_000;
    drop(bench.document.tick(bench.now_ms));
    assert_eq!(Arc::strong_count(&second), 1);
}

#[test]
fn checkpoints_round_trip_and_newer_ones_are_refused() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.run(vec![submit(1, 1, 0, &insert(0, "a\u{1f600}"))]);
    let checkpoint = bench.document.state().encode();
    let open = |checkpoint: &motet_model::Checkpoint| {
        let id = DocumentId::from_bytes([1; 16]);
        Document::open(id, Some(checkpoint), Settings::default())
    };
    let again = open(&checkpoint).unwrap();
    again.content().assert_invariants();
    let text = again.snapshot().content.to_delta();
    assert_eq!(text, Delta::new().insert("a\u{1f600}"));
    assert_eq!(again.state().encode(), checkpoint);

    let with = |state: Vec<u8>| motet_model::Checkpoint {
        state: state.into(),
        ..checkpoint.clone()
    };
    let mut newer = checkpoint.state.to_vec();
    newer[0] += 1;
    let error = open(&with(newer)).unwrap_err();
    assert_eq!(error, OpenError::NewerFormat { found: 3 });
    for cut in 0..checkpoint.state.len() {
        let damaged = open(&with(checkpoint.state[..cut].to_vec()));
        assert!(matches!(damaged, Err(OpenError::Corrupt { .. })), "{cut}");
    }
}

#[test]
fn checkpoints_and_changes_from_before_identities_are_read() {
    let state = br#"{"format":1,"content":{"ops":[{"insert":"ab"}]},"clients":[]}"#;
    let checkpoint = motet_model::Checkpoint {
        revision: revision(3),
        state: state.to_vec().into(),
    };
    let change = Change {
        author: user(1),
        client_id: client(1),
        seq: 4,
        merged: false,
        time_ms: NOW,
        delta: insert(1, "x").to_json().into(),
        update: bytes::Bytes::new(),
    };
    let open = || {
        let id = DocumentId::from_bytes([1; 16]);
        let mut document = Document::open(id, Some(&checkpoint), Settings::default()).unwrap();
        document.replay(vec![change.clone()]).unwrap();
        document
    };
    let document = open();
    document.content().assert_invariants();
    assert_eq!(document.content().replica().text("content"), "axb");
    // Whoever reads them gives them the same identities.
    assert_eq!(open().state().encode(), document.state().encode());
}
