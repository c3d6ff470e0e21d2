//! Sessions that speak identities, alone and beside those that speak positions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_crdt::{Branch, Node, Replica, StateVector, Version};
use motet_document::{
    Access, AwarenessState, Command, Document, Event, Reject, Selection, Settings, Start,
    content::{OT_CLIENT, ROOT},
};
use motet_model::Revision;
use motet_ot::{Attributes, Delta};
use serde_json::json;
use support::{Bench, ID, known, open, rejected, session, typed, updates};

#[test]
fn both_dialects_edit_one_text() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Text);
    let events = bench.join(2, Access::Write, Start::Identities);
    let Event::Joined(joined) = &events[0].1 else {
        panic!("{events:?}")
    };
    assert!(joined.content.is_none());

    let mut peer = Replica::default();
    let events = bench.submit(1, 1, 0, &typed(0, "hello"));
    for update in updates(&events, 2) {
        peer.apply_update(&update, Version::V1).unwrap();
    }
    assert_eq!(peer.text(ROOT), "hello");
    // At the same time at the same place.
    let update = peer.apply_delta(ROOT, &typed(5, " world"), 77).unwrap();
    bench.submit(1, 2, 1, &typed(5, "!"));
    let events = bench.update(2, update);
    let stored = events
        .iter()
        .any(|(id, event)| *id == session(2) && matches!(event, Event::UpdateStored));
    assert!(stored, "{events:?}");
    let Some((_, Event::Changes { changes, .. })) = events.iter().find(|(id, _)| *id == session(1))
    else {
        panic!("{events:?}")
    };
    assert_eq!(changes[0].change.seq, 0);
    assert_eq!(
        bench.text(),
        "hello world!",
        "the smaller client comes first"
    );
    assert_eq!(*changes[0].delta, typed(5, " world"));
    let again = open(&bench.log, &bench.settings);
    assert_eq!(known(&again), known(&bench.document));
}

#[test]
fn once_for_updates_too() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Identities);
    let mut peer = Replica::default();
    let update = peer.apply_delta(ROOT, &typed(0, "ab"), 5).unwrap();
    bench.update(1, update.clone());
    let events = bench.update(1, update);
    assert_eq!(bench.log.len(), 1, "nothing new is no change");
    assert!(matches!(events.as_slice(), [(_, Event::UpdateStored)]));
    // All that the peer has, and one deletion more.
    peer.apply_delta(ROOT, &Delta::new().delete(1), 5).unwrap();
    let whole = peer.encode_update(&StateVector::default(), Version::V1);
    bench.update(1, whole.clone());
    assert_eq!((bench.log.len(), bench.text().as_str()), (2, "b"));
    assert!(bench.log[1].update.len() < whole.len(), "only what was new");
}

#[test]
fn what_waits_is_kept_until_what_it_stands_on_comes() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Identities);
    bench.join(2, Access::Write, Start::Text);
    let mut peer = Replica::default();
    let first = peer.apply_delta(ROOT, &typed(0, "a"), 5).unwrap();
    let second = peer.apply_delta(ROOT, &typed(1, "b"), 5).unwrap();
    let events = bench.update(1, second);
    assert_eq!(bench.log.len(), 1, "it is durable");
    assert!(matches!(&events[..], [.., (_, Event::UpdateStored)]));
    assert_eq!(bench.text(), "");
    // A restart does not lose it.
    let (log, settings) = (bench.log.clone(), bench.settings.clone());
    let checkpoint = bench.document.state().encode();
    bench.document = Document::open(ID, Some(&checkpoint), settings).unwrap();
    bench.join(3, Access::Write, Start::Identities);
    bench.update(3, first);
    assert_eq!(bench.text(), "ab");
    assert_eq!(bench.log.len(), log.len() + 1);
    assert_eq!(
        open(&bench.log, &bench.settings)
            .content()
            .replica()
            .text(ROOT),
        "ab"
    );
}

#[test]
fn harmless_for_updates_too() {
    let settings = Settings {
        text_bytes_max: 600,
        len_utf16_max: 500,
        replica_bytes_max: 100_000,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings);
    bench.join(1, Access::Write, Start::Identities);
    bench.join(2, Access::Read, Start::Identities);
    let mut peer = Replica::default();
    let update = peer.apply_delta(ROOT, &typed(0, "abc"), 5).unwrap();
    bench.update(1, update.clone());
    let before = bench.document.state().encode();

    let invalid = bench.update(1, vec![1, 2, 3]);
    assert!(matches!(
        rejected(&invalid),
        Some(Reject::InvalidUpdate { .. })
    ));
    let mut large = peer.clone();
    let large = large
        .apply_delta(ROOT, &typed(3, &"x".repeat(700)), 5)
        .unwrap();
    let large = bench.update(1, large);
    assert!(
        matches!(rejected(&large), Some(Reject::DocumentTooLarge { .. })),
        "{large:?}"
    );
    // A few bytes that make much of what is there.
    let link = Attributes::from_iter([("link".to_owned(), json!("x".repeat(600)))]);
    let mut formatted = peer.clone();
    let format = Delta::new().retain_with(1, link);
    let format = formatted.apply_delta(ROOT, &format, 5).unwrap();
    let formatted = bench.update(1, format);
    assert!(matches!(
        rejected(&formatted),
        Some(Reject::DocumentTooLarge { .. })
    ));
    // Other roots count in memory.
    let mut other = peer.clone();
    let list = Branch::Root("list".to_owned());
    let values = vec![Node::Value(json!("x".repeat(1_000))); 200];
    let (_, values) = other.insert_nodes(&list, 0, &values, 5).unwrap();
    let other = bench.update(1, values);
    assert!(
        matches!(rejected(&other), Some(Reject::DocumentTooLarge { .. })),
        "{other:?}"
    );
    let mut forger = peer.clone();
    let forged = forger.apply_delta(ROOT, &typed(0, "x"), OT_CLIENT).unwrap();
    let forged = bench.update(1, forged);
    assert_eq!(
        rejected(&forged),
        Some(Reject::ReservedClient { client: OT_CLIENT })
    );
    // Nor may it wait for what the server will make.
    let mut server = peer.clone();
    server.apply_delta(ROOT, &typed(0, "x"), OT_CLIENT).unwrap();
    let waits = server.apply_delta(ROOT, &typed(1, "y"), 7).unwrap();
    let waits = bench.update(1, waits);
    assert_eq!(
        rejected(&waits),
        Some(Reject::ReservedClient { client: OT_CLIENT })
    );
    // A reader may repeat what is there, and no more.
    assert_eq!(rejected(&bench.update(2, update)), None);
    let more = peer.apply_delta(ROOT, &Delta::new().delete(1), 6).unwrap();
    assert_eq!(rejected(&bench.update(2, more)), Some(Reject::ReadOnly));

    assert_eq!(bench.document.state().encode(), before);
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn a_format_that_runs_on_when_its_end_is_deleted_is_bounded() {
    let settings = Settings {
        text_bytes_max: 1_000_000,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings);
    bench.join(1, Access::Write, Start::Identities);
    let mut peer = Replica::default();
    let text = typed(0, &"0123456789".repeat(5_000));
    let mut updates = vec![peer.apply_delta(ROOT, &text, 5).unwrap()];
    let large = Attributes::from_iter([("link".to_owned(), json!("x".repeat(50_000)))]);
    let link = Delta::new().retain_with(1, large);
    updates.push(peer.apply_delta(ROOT, &link, 5).unwrap());
    for update in updates {
        assert_eq!(rejected(&bench.update(1, update)), None);
    }
    // The last two units are the link's markers; without its end it holds for all of the text.
    let end = peer.state(5) - 1;
    let mut update = vec![0, 1, 5, 1];
    motet_crdt::lib0::put_number(&mut update, end.into());
    update.push(1);
    let before = bench.document.state().encode();
    let refused = bench.update(1, update);
    assert!(
        matches!(rejected(&refused), Some(Reject::DocumentTooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.document.state().encode(), before);
}

#[test]
fn what_others_say_of_a_session_is_not_believed() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Text);
    let joined = bench.join(2, Access::Read, Start::Identities);
    let Event::Joined(joined) = &joined[0].1 else {
        panic!("{joined:?}")
    };
    let stand_in = joined.awareness[0].client;
    let forged = AwarenessState {
        client: stand_in,
        clock: 1 << 40,
        state: Some(r#"{"user":{"name":"not me"}}"#.into()),
    };
    let aware = |session, states| Command::Awareness { session, states };
    let ben = |clock| AwarenessState {
        client: 7,
        clock,
        state: Some("{}".into()),
    };
    bench.run(vec![aware(session(2), vec![forged, ben(1)])]);
    bench.now_ms += 1_000;
    let told = |bench: &mut Bench| -> Vec<AwarenessState> {
        let events = bench.document.tick(bench.now_ms);
        let updates = events.into_iter().filter_map(|(_, event)| match event {
            Event::Presence(update) => Some(update.awareness.clone()),
            _ => None,
        });
        updates.flatten().collect()
    };
    let states = told(&mut bench);
    let of = |client: u64| states.iter().find(|it| it.client == client).unwrap();
    assert!(of(stand_in).state.as_ref().unwrap().contains("User 1"));

    // An echo that comes when its client has left brings nobody back.
    bench.join(3, Access::Read, Start::Identities);
    bench.run(vec![Command::Leave {
        session: session(2),
    }]);
    bench.run(vec![aware(session(3), vec![ben(1)])]);
    bench.now_ms += 1_000;
    let states = told(&mut bench);
    let ben_is = states.iter().filter(|it| it.client == 7);
    assert!(ben_is.clone().count() > 0 && ben_is.clone().all(|it| it.state.is_none()));
}

#[test]
fn in_order_for_identities_a_slow_session_is_brought_to_the_head() {
    let mut bench = Bench::new(Settings {
        window_changes_max: 4,
        ..Settings::default()
    });
    bench.join(1, Access::Write, Start::Text);
    bench.join(2, Access::Write, Start::Identities);
    let mut peer = Replica::default();
    for n in 0..600 {
        let events = bench.submit(1, n + 1, n, &typed(0, "x"));
        let behind = n > 100;
        if n == 100 {
            bench.document.mark_behind(session(2));
        }
        for update in updates(&events, 2) {
            assert!(!behind, "it is sent nothing while it is behind");
            peer.apply_update(&update, Version::V1).unwrap();
        }
    }
    let events = bench.run(vec![Command::CatchUp {
        session: session(2),
        after: Revision::new(101),
    }]);
    let missing = updates(&events, 2);
    assert_eq!(missing.len(), 1, "one update for all");
    peer.apply_update(&missing[0], Version::V1).unwrap();
    assert_eq!(peer.text(ROOT), bench.text());
    let everyone = events
        .iter()
        .any(|(_, event)| matches!(event, Event::Presence(update) if update.reset));
    assert!(everyone, "{events:?}");
    // And live again.
    let events = bench.submit(1, 601, 600, &typed(0, "y"));
    peer.apply_update(&updates(&events, 2)[0], Version::V1)
        .unwrap();
    assert_eq!(peer.text(ROOT), bench.text());
}

#[test]
fn who_left_while_a_session_was_behind_is_gone_for_it_too() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Identities);
    bench.join(2, Access::Write, Start::Identities);
    bench.run(vec![Command::Awareness {
        session: session(1),
        states: vec![AwarenessState {
            client: 7,
            clock: 1,
            state: Some("{}".into()),
        }],
    }]);
    bench.now_ms += 1_000;
    drop(bench.document.tick(bench.now_ms));
    bench.document.mark_behind(session(2));
    bench.run(vec![Command::Leave {
        session: session(1),
    }]);
    bench.now_ms += 1_000;
    assert!(bench.document.tick(bench.now_ms).is_empty(), "it is behind");
    let events = bench.run(vec![Command::CatchUp {
        session: session(2),
        after: Revision::ZERO,
    }]);
    let told = events.iter().any(|(_, event)| {
        matches!(event, Event::Presence(update)
            if update.awareness.iter().any(|it| it.client == 7 && it.state.is_none()))
    });
    assert!(told, "{events:?}");
}

#[test]
fn cursors_of_both_dialects_see_one_another() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Write, Start::Text);
    bench.join(2, Access::Write, Start::Identities);
    bench.submit(1, 1, 0, &typed(0, "hello"));
    let replica = bench.document.content().replica().clone();
    let place = |index| {
        replica
            .position_at(ROOT, index, motet_crdt::Association::After)
            .unwrap()
            .to_json()
    };
    let state =
        json!({ "user": { "name": "Yo" }, "cursor": { "anchor": place(1), "head": place(3) } });
    let aware = |state: serde_json::Value, clock| Command::Awareness {
        session: session(2),
        states: vec![AwarenessState {
            client: 99,
            clock,
            state: Some(state.to_string().into()),
        }],
    };
    bench.run(vec![
        aware(state, 1),
        Command::Select {
            session: session(1),
            selection: Some(Selection { anchor: 2, head: 2 }),
            revision: Revision::new(1),
        },
    ]);
    bench.now_ms += 1_000;
    let events = bench.document.tick(bench.now_ms);
    let update = events
        .iter()
        .find_map(|(id, event)| match event {
            Event::Presence(update) if *id == session(1) => Some(update),
            _ => None,
        })
        .unwrap();
    let cursor = update
        .joined
        .iter()
        .find(|it| it.session == session(2))
        .unwrap();
    assert_eq!(cursor.selection, Some(Selection { anchor: 1, head: 3 }));
    // The same update tells those who speak identities.
    let theirs = update.awareness.iter().find(|it| it.client == 99).unwrap();
    assert_eq!(theirs.clock, 1);
    let ours = update.awareness.iter().find(|it| it.client != 99).unwrap();
    let ours: serde_json::Value = serde_json::from_str(ours.state.as_ref().unwrap()).unwrap();
    assert_eq!(ours["user"]["name"], "User 1");
    assert_eq!(ours["cursor"]["anchor"], place(2));

    // Text in front moves it along; what others repeat is not believed.
    bench.submit(1, 2, 1, &typed(0, "oh "));
    bench.join(3, Access::Write, Start::Identities);
    bench.run(vec![Command::Awareness {
        session: session(3),
        states: vec![AwarenessState {
            client: 99,
            clock: 9,
            state: None,
        }],
    }]);
    bench.now_ms += 1_000;
    let joined = bench.join(4, Access::Read, Start::Text);
    let Event::Joined(joined) = &joined[0].1 else {
        panic!("{joined:?}")
    };
    let cursor = joined
        .presence
        .iter()
        .find(|it| it.session == session(2))
        .unwrap();
    assert_eq!(cursor.selection, Some(Selection { anchor: 4, head: 6 }));
    bench.run(vec![Command::Leave {
        session: session(2),
    }]);
    bench.now_ms += 1_000;
    let events = bench.document.tick(bench.now_ms);
    let gone = events.iter().any(|(_, event)| {
        matches!(event, Event::Presence(update)
            if update.awareness.iter().any(|it| it.client == 99 && it.state.is_none()))
    });
    assert!(gone, "{events:?}");
}

#[test]
fn who_may_write_again_is_asked_for_what_was_refused() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, Access::Read, Start::Identities);
    let mut peer = Replica::default();
    let refused = peer.apply_delta(ROOT, &typed(0, "a"), 5).unwrap();
    assert_eq!(rejected(&bench.update(1, refused)), Some(Reject::ReadOnly));
    let events = bench.run(vec![Command::SetAccess {
        session: session(1),
        access: Some(Access::Write),
    }]);
    let asked = events.iter().find_map(|(_, event)| match event {
        Event::Missing { asked, .. } => asked.clone(),
        _ => None,
    });
    let known = motet_crdt::decode_state_vector(&asked.unwrap()).unwrap();
    bench.update(1, peer.encode_update(&known, Version::V1));
    assert_eq!(bench.text(), "a");
}
