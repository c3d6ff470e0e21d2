//! What sessions are told of one another.

use motet_document::{Access, Command, Event, Presence, PresenceUpdate, Reject, Selection};
use motet_model::SessionId;

use super::{Bench, NOW, insert, join, rejected, revision, session, submit};

fn select(n: u8, at: usize, base: u64) -> Command {
    let selection = Some(Selection {
        anchor: at,
        head: at,
    });
    Command::Select {
        session: session(n),
        selection,
        revision: revision(base),
    }
}

/// The update that a session is told, if any.
fn presence(events: &[(SessionId, Event)], n: u8) -> Option<PresenceUpdate> {
    events.iter().find_map(|(id, event)| match event {
        Event::Presence(update) if *id == session(n) => Some((**update).clone()),
        _ => None,
    })
}

#[test]
fn presence_is_coalesced_and_moves_with_the_text() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.run(vec![submit(1, 1, 0, &insert(0, "hello"))]);
    bench.run(vec![select(2, 1, 1), select(2, 3, 1)]);
    bench.run(vec![submit(1, 2, 1, &insert(0, "12"))]);
    bench.now_ms += 1_000;
    let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
    assert_eq!(update.joined.len(), 2, "told once, in its latest state");
    let cursor = update
        .joined
        .iter()
        .find(|it| it.session == session(2))
        .unwrap();
    assert_eq!(cursor.selection, Some(Selection { anchor: 5, head: 5 }));
    assert!(bench.document.tick(bench.now_ms).is_empty(), "nothing new");

    // Typing takes the caret along without a word, and a late position is moved to the head.
    bench.run(vec![submit(2, 1, 2, &insert(5, "abc"))]);
    bench.now_ms += 1_000;
    assert!(bench.document.tick(bench.now_ms).is_empty());
    bench.run(vec![select(2, 7, 2)]);
    bench.now_ms += 1_000;
    let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
    assert_eq!(
        update.moved[0].selection,
        Some(Selection {
            anchor: 10,
            head: 10
        })
    );
    let events = bench.run(vec![select(2, 11, 3)]);
    assert_eq!(
        rejected(&events),
        Some(Reject::OutOfRange {
            position: 11,
            len_utf16: 10
        })
    );
}

#[test]
fn only_who_has_changed_otherwise_than_by_moving_is_told_whole() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.run(vec![submit(1, 1, 0, &insert(0, "hello"))]);
    bench.now_ms += 1_000;
    let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
    let number = |n: u8| update.joined.iter().find(|it| it.session == session(n));
    let number = number(2).unwrap().number;

    let describe = Command::Describe {
        session: session(1),
        data: Some("{}".into()),
    };
    bench.run(vec![select(1, 1, 1), select(2, 3, 1), describe]);
    bench.now_ms += 50;
    let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
    let sessions = |list: &[Presence]| list.iter().map(|it| it.session).collect::<Vec<_>>();
    assert_eq!(sessions(&update.updated), [session(1)]);
    assert_eq!(sessions(&update.moved), [session(2)]);
    assert_eq!(update.moved[0].number, number);

    // It points nowhere any more: that is a move, too.
    bench.run(vec![Command::Select {
        session: session(2),
        selection: None,
        revision: revision(1),
    }]);
    bench.now_ms += 50;
    let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
    assert_eq!(update.moved[0].selection, None);
    assert!(update.updated.is_empty());
}

#[test]
fn presence_waits_until_it_is_taken_but_not_for_one() {
    let mut bench = Bench::new();
    for n in 1..=4 {
        bench.join(n);
    }
    bench.run(vec![submit(1, 1, 0, &insert(0, "hello"))]);
    bench.now_ms += 1_000;
    let mut deaf = None;
    let mut position = 0;
    let mut tell = |bench: &mut Bench, after_ms: u64| {
        position = (position + 1) % 5;
        bench.run(vec![select(1, position, 1)]);
        let mut events = Vec::new();
        for _ in 0..after_ms {
            bench.now_ms += 1;
            let is_due = bench.document.tick_due_ms() <= Some(bench.now_ms);
            assert!(events.is_empty(), "it is told too soon");
            if is_due {
                events = bench.document.tick(bench.now_ms);
            }
        }
        assert_eq!(events.len(), 4, "after {after_ms} ms");
        events
    };
    drop(bench.document.tick(bench.now_ms));
    // Taken at once, or by all but one.
    drop(tell(&mut bench, 50));
    let mut events = tell(&mut bench, 50);
    events.truncate(1);
    deaf.replace(events);
    // Nobody takes it for 60 ms: the next comes after 200, of which that is a part.
    let waiting = tell(&mut bench, 50);
    bench.run(vec![select(2, 1, 1)]);
    for _ in 0..60 {
        bench.now_ms += 1;
        if bench.document.tick_due_ms() <= Some(bench.now_ms) {
            assert!(bench.document.tick(bench.now_ms).is_empty());
        }
    }
    drop(waiting);
    drop(tell(&mut bench, 140));
    // Nobody takes it at all.
    let waiting = tell(&mut bench, 50);
    let more = tell(&mut bench, 2_000);
    // From here on they are not waited for.
    drop(tell(&mut bench, 50));
    drop((waiting, more));
}

#[test]
fn presence_of_a_silent_session_expires() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.now_ms += 1_000;
    assert!(!bench.document.tick(bench.now_ms).is_empty());
    for _ in 0..7 {
        bench.now_ms += 5_000;
        bench.run(vec![Command::Heard {
            session: session(1),
        }]);
        let events = bench.document.tick(bench.now_ms);
        if let Some(update) = presence(&events, 1) {
            assert_eq!(update.left, [session(2)]);
            assert!(bench.now_ms >= NOW + 30_000);
            bench.run(vec![Command::Heard {
                session: session(2),
            }]);
            bench.now_ms += 5_000;
            let update = presence(&bench.document.tick(bench.now_ms), 1).unwrap();
            assert_eq!(
                update.joined[0].session,
                session(2),
                "heard again, here again"
            );
            return;
        }
    }
    panic!("it never expired");
}

#[test]
fn a_colour_that_somebody_likes_is_theirs_while_it_is_free() {
    let mut bench = Bench::new();
    let mut color_of = |n: u8, liked: u8| {
        let mut command = join(n, Access::Write, None);
        if let Command::Join { member, .. } = &mut command {
            member.color = Some(liked);
        }
        let events = bench.run(vec![command]);
        let joined = events.into_iter().find_map(|(_, event)| match event {
            Event::Joined(joined) => Some(joined.color),
            _ => None,
        });
        joined.expect("joined")
    };
    assert_eq!(color_of(1, 11), 11);
    assert_eq!(color_of(2, 7), 7);
    assert_ne!(color_of(3, 11), 11);
    assert!(color_of(4, 200) < 16, "no such colour");
}

#[test]
fn colours_are_shared_only_when_there_are_too_few() {
    let mut bench = Bench::new();
    let mut seen = std::collections::HashSet::new();
    for n in 1..=16 {
        for (_, event) in bench.join(n) {
            if let Event::Joined(joined) = event {
                assert!(seen.insert(joined.color), "{} twice", joined.color);
            }
        }
    }
    assert_eq!(seen.len(), 16);
}

#[test]
fn who_was_only_in_the_answer_to_a_join_is_seen_to_leave() {
    let mut bench = Bench::new();
    bench.join(1);
    bench.join(2);
    bench.run(vec![Command::Leave {
        session: session(1),
    }]);
    bench.now_ms += 1_000;
    let update = presence(&bench.document.tick(bench.now_ms), 2).unwrap();
    assert_eq!(update.left, [session(1)]);
}
