//! One document that is open on several nodes: who sees whom. Each invariant's test bears its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_document::{
    AwarenessState, Command, REPORT_BYTES_MAX, Report, ReportError, Settings, Start,
};
use motet_ot::Delta;
use serde_json::{Value, json};
use support::{
    Bench,
    net::{Luck, Net, node},
    session, typed,
};

/// A report as its JSON says.
fn report(json: &Value) -> Report {
    let bytes = [&[1][..], json.to_string().as_bytes()].concat();
    Report::decode(&bytes).unwrap()
}

fn parsed(report: &Report) -> Value {
    serde_json::from_slice(&report.encode()[1..]).unwrap()
}

/// All reports that a node has to tell now.
fn reports(bench: &mut Bench) -> Vec<Report> {
    let _told = bench.document.tick(bench.now_ms);
    std::iter::from_fn(|| bench.document.report(bench.now_ms)).collect()
}

fn state(client: u64, clock: u64) -> AwarenessState {
    AwarenessState {
        client,
        clock,
        state: Some(format!(r#"{{"clock":{clock}}}"#).into()),
    }
}

fn aware(n: u8, states: Vec<AwarenessState>) -> Command {
    Command::Awareness {
        session: session(n),
        states,
    }
}

#[test]
fn all_nodes_show_the_sessions_of_all() {
    let mut net = Net::new(3, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, Some((77, 0)));
    net.join(2, 3, 3, None);
    net.join(0, 4, 4, Some((99, 0)));
    net.submit(1, &typed(0, "hello"));
    for n in 0..3 {
        net.read(n);
    }
    net.select(3, 2);
    net.describe(1, r#"{"is":"busy"}"#);
    net.pass(1_000);
    net.check();
    assert_eq!(net.cursor(3, 1), Some(2));
    let of = net.peers[&3].seen[&session(1)].clone();
    assert_eq!(of.data.as_deref(), Some(r#"{"is":"busy"}"#));
    assert_eq!(&*of.name, "User 1");

    // Who comes later is shown all at once.
    net.join(2, 5, 5, None);
    assert_eq!(net.peers[&5].seen.len(), 4);
    // The others are not told whose change it is, but where the caret is then.
    net.select(1, 5);
    net.pass(1_000);
    net.submit(1, &typed(5, "!"));
    for n in 0..3 {
        net.read(n);
    }
    net.pass(1_000);
    assert_eq!(net.cursor(1, 3), Some(6));
    net.leave(2);
    net.leave(1);
    net.pass(1_000);
    net.check();
}

#[test]
fn a_document_of_one_node_reports_nothing() {
    let mut bench = Bench::new(Settings::default());
    bench.join(1, motet_document::Access::Write, Start::Text);
    for _ in 0..100 {
        bench.now_ms += 1_000;
        bench.run(vec![Command::Heard {
            session: session(1),
        }]);
        assert_eq!(reports(&mut bench), []);
        let due_ms = bench.document.tick_due_ms().unwrap();
        assert!(due_ms > bench.now_ms, "there is nothing to wake up for");
    }
    bench.run(vec![Command::Leave {
        session: session(1),
    }]);
    assert_eq!(bench.document.tick_due_ms(), None);
    // Nor does one that nobody is in.
    bench.document.report_all();
    assert_eq!(bench.document.tick_due_ms(), None);
    assert_eq!(reports(&mut bench), []);
}

#[test]
fn an_unchanged_room_sends_signs_of_life_and_no_more() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, None);
    net.pass(15_000);
    net.sent.clear();
    net.told = 0;
    net.pass(60_000);
    for n in 0..2 {
        let sent = net.sent.iter().filter(|(from, _)| *from == n);
        assert_eq!(sent.count(), 6, "{:?}", net.sent);
    }
    assert!(net.sent.iter().all(|(_, is_whole)| *is_whole));
    assert_eq!(net.told, 0, "no session is told anything");
    // The last one says that it goes, and that is all.
    net.sent.clear();
    net.leave(1);
    net.pass(30_000);
    let sent: Vec<_> = net.sent.iter().filter(|(from, _)| *from == 0).collect();
    assert_eq!(sent, [&(0, true)]);
    assert_eq!(net.nodes[0].document.tick_due_ms(), None);
}

#[test]
fn changes_are_coalesced() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, None);
    net.submit(1, &typed(0, "hello"));
    net.pass(1_000);
    net.sent.clear();
    for at in 0..5 {
        net.select(1, at);
    }
    net.read(1);
    net.pass(1_000);
    assert_eq!(net.sent, [(0, false)]);
    assert_eq!(net.cursor(1, 2), Some(4));
}

#[test]
fn expires() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(0, 2, 2, Some((77, 0)));
    net.join(1, 3, 3, None);
    net.join(1, 4, 4, Some((99, 0)));
    net.pass(11_000);
    net.check();
    // Of two changes, the node is heard to tell the second.
    net.describe(1, r#"{"n":1}"#);
    net.nodes[0].now_ms += 100;
    let late = net.reports(0).remove(0);
    net.describe(1, r#"{"n":2}"#);
    net.nodes[0].now_ms += 100;
    let last = net.reports(0).remove(0);
    assert!(!late.is_whole() && !last.is_whole());
    let now_ms = net.nodes[1].now_ms;
    net.nodes[1].document.hear(now_ms, node(0), last.clone());
    net.alive[0] = false;
    net.pass(25_000);
    assert_eq!(net.peers[&3].seen.len(), 4, "not yet");
    net.pass(11_000);
    let seen: Vec<_> = net.peers[&3].seen.keys().copied().collect();
    assert_eq!(seen, [session(3), session(4)]);
    net.peers.retain(|_, peer| peer.node == 1);
    net.check();
    // What it had said comes late, or once more.
    let now_ms = net.nodes[1].now_ms;
    for report in [late, last] {
        net.nodes[1].document.hear(now_ms, node(0), report);
    }
    net.pass(1_000);
    net.check();
}

#[test]
fn a_session_that_is_silent_is_gone_everywhere_until_it_is_heard_again() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, None);
    net.pass(1_000);
    let silent = net.peers.remove(&1).unwrap();
    net.pass(40_000);
    net.check();
    net.peers.insert(1, silent);
    net.pass(6_000);
    assert!(net.peers[&2].seen.contains_key(&session(1)));
}

#[test]
fn latest() {
    let mut one = Net::new(2, 0);
    one.join(0, 1, 1, None);
    one.join(0, 2, 2, None);
    let mut told = one.reports(0);
    for n in 0..5 {
        one.describe(1, &format!("{{\"n\":{n}}}"));
        if n == 3 {
            one.leave(2);
        }
        one.nodes[0].now_ms += 100;
        told.extend(one.reports(0));
    }
    assert_eq!(told.len(), 6);
    one.join(1, 3, 3, None);
    let mut luck = Luck(1);
    // In any order, and more than once.
    for round in 0..50 {
        let mut bench = Bench::new(Settings::default());
        bench.join(3, motet_document::Access::Read, Start::Text);
        let mut order: Vec<usize> = (0..told.len()).chain(0..told.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, luck.index(at + 1));
        }
        for at in &order {
            bench
                .document
                .hear(bench.now_ms, node(0), told[*at].clone());
        }
        let events = bench.join(4, motet_document::Access::Read, Start::Text);
        let motet_document::Event::Joined(joined) = &events[0].1 else {
            panic!("{events:?}")
        };
        let others: Vec<_> = joined.presence.iter().map(|it| it.session).collect();
        assert_eq!(others, [session(1), session(3)], "round {round}: {order:?}");
        assert_eq!(joined.presence[0].data.as_deref(), Some(r#"{"n":4}"#));
    }
}

#[test]
fn whole() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(0, 2, 2, None);
    net.join(1, 9, 9, None);
    net.pass(1_000);
    // That one leaves is lost, and what it did before comes late.
    net.describe(2, "{}");
    net.nodes[0].now_ms += 100;
    let late = net.reports(0).remove(0);
    net.leave(2);
    net.nodes[0].now_ms += 100;
    let lost = net.reports(0);
    assert!(!lost[0].is_whole());
    assert!(net.peers[&9].seen.contains_key(&session(2)));
    net.pass(11_000);
    net.check();
    net.nodes[1].document.hear(net.now_ms, node(0), late);
    net.pass(500);
    net.check();
    // One comes after everything was told, and is heard of first.
    net.nodes[0].now_ms += 100;
    net.nodes[0].document.report_all();
    let whole = net.reports(0);
    assert!(whole[0].is_whole());
    net.join(0, 3, 3, None);
    net.nodes[0].now_ms += 100;
    let later = net.reports(0);
    for report in later.into_iter().chain(whole) {
        net.nodes[1].document.hear(net.now_ms, node(0), report);
    }
    net.pass(1_000);
    net.check();
}

#[test]
fn what_is_too_much_for_one_report_comes_in_several() {
    let mut net = Net::new(2, 0);
    let data = json!({ "long": "\"".repeat(900) }).to_string();
    for n in 1..200 {
        net.join(0, n, n, None);
        net.describe(n, &data);
    }
    net.join(1, 255, 255, None);
    net.sent.clear();
    // In a room of so many it takes a while until all are told who came.
    net.pass(4_000);
    let whole = net.sent.iter().filter(|it| it.0 == 0 && it.1).count();
    assert!(net.sent.len() > whole && whole > 0, "{:?}", net.sent);
    net.check();
    // Everything again, of which only the end comes: nobody is missed.
    net.nodes[0].now_ms += 1_000;
    net.nodes[0].document.report_all();
    let mut parts = net.reports(0);
    assert!(parts.len() > 1);
    assert!(
        parts
            .iter()
            .all(|it| it.encode().len() <= REPORT_BYTES_MAX / 2)
    );
    let last = parts.pop().unwrap();
    assert!(last.is_whole());
    net.nodes[1].document.hear(net.now_ms, node(0), last);
    net.pass(2_500);
    net.check();
}

#[test]
fn a_cursor_waits_for_its_revision() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, None);
    net.join(1, 3, 3, Some((77, 0)));
    net.submit(1, &typed(0, "hello"));
    net.read(1);
    net.select(1, 1);
    net.pass(1_000);
    net.submit(1, &typed(0, "oh "));
    net.select(1, 8);
    net.pass(1_000);
    assert_eq!(net.cursor(1, 2), Some(1), "as it was");
    net.read(1);
    net.pass(100);
    assert_eq!(net.cursor(1, 2), Some(8));
    let stand_in = net.peers[&3]
        .aware
        .values()
        .find(|it| it.1.as_ref().is_some_and(|state| state.contains("User 1")));
    let cursor: Value = serde_json::from_str(stand_in.unwrap().1.as_ref().unwrap()).unwrap();
    let end = net.nodes[1].document.content().replica();
    let end = end.position_at("content", 8, motet_crdt::Association::After);
    assert_eq!(cursor["cursor"]["head"], end.unwrap().to_json());
    // One that counts in an earlier revision than the node has is moved on.
    net.select(2, 4);
    net.nodes[1].now_ms += 100;
    let told = net.reports(1);
    net.submit(1, &Delta::new().delete(3));
    for report in told {
        net.nodes[0].document.hear(net.now_ms, node(1), report);
    }
    net.pass(100);
    assert_eq!(net.cursor(2, 1), Some(1));
}

#[test]
fn harmless() {
    let mut net = Net::new(1, 0);
    net.join(0, 1, 1, None);
    net.submit(1, &typed(0, "hello"));
    net.select(1, 2);
    let entry = |n: u8, count: u64, more: Value| {
        let mut entry = json!({
            "session": session(n), "count": count, "user": session(n), "name": "x", "color": 255,
            "yjs": false, "present": true,
        });
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        entry
    };
    let max = u64::MAX;
    let entries = json!([
        entry(1, 99, json!({ "name": "not me", "present": false })),
        entry(2, 1, json!({ "selection": [max, max, 1], "data": "[1]" })),
        entry(3, 1, json!({ "selection": [6, 6, 1], "data": "{" })),
        entry(4, 1, json!({ "selection": [0, 0, 0] })),
        entry(5, 1, json!({ "selection": [0, 0, max] })),
        entry(6, 0, json!({})),
        entry(7, max, json!({})),
        entry(8, 1, json!({ "name": "x".repeat(10_000) })),
        entry(
            9,
            1,
            json!({ "yjs": true, "states": [
            { "client": max, "clock": 1, "since_ms": 0, "state": "{}" },
            { "client": 1, "clock": max, "since_ms": 0, "state": "{}" },
            { "client": 2, "clock": 1, "since_ms": 0, "state": "x".repeat(1 << 20) },
            { "client": 3, "clock": 1, "since_ms": 0, "state": "{}" },
        ] })
        ),
    ]);
    let told = report(&json!({ "number": 1, "sessions": entries, "left": [[session(1), 99]] }));
    net.nodes[0].document.hear(net.now_ms, node(1), told);
    // Too large a number would keep the node's next reports away.
    let told = report(&json!({ "number": max, "here": [] }));
    net.nodes[0].document.hear(net.now_ms, node(1), told);
    net.join(0, 20, 20, Some((50, 0)));
    net.pass(1_000);
    let seen: Vec<u8> = net.peers[&1]
        .seen
        .keys()
        .map(|id| id.to_bytes()[0])
        .collect();
    assert_eq!(seen, [1, 2, 3, 4, 5, 9, 20]);
    for presence in net.peers[&1].seen.values() {
        assert!(presence.color < 16 && presence.data.is_none());
        let is_own = presence.session == session(1);
        assert!(presence.selection.is_some() == (is_own || presence.session == session(4)));
    }
    assert_eq!(net.cursor(1, 1), Some(2));
    assert_eq!(&*net.peers[&1].seen[&session(1)].name, "User 1");
    let aware: Vec<u64> = net.peers[&20].aware.keys().copied().collect();
    assert!(aware.contains(&3) && !aware.contains(&1) && !aware.contains(&2));
}

#[test]
fn bounded() {
    let mut net = Net::new(1, 0);
    net.join(0, 1, 1, None);
    let id = |node: u64, n: u64| {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&(n + 1_000_000 * node).to_be_bytes());
        motet_model::SessionId::from_bytes(bytes)
    };
    let entries = |node: u64, range: std::ops::Range<u64>| -> Vec<Value> {
        let entry = |n| {
            json!({ "session": id(node, n), "count": 1, "user": session(1), "name": "x",
            "color": 1, "yjs": false, "present": true })
        };
        range.map(entry).collect()
    };
    for part in 0..6 {
        let sessions = entries(1, part * 500..part * 500 + 500);
        let told = report(&json!({ "number": part + 1, "sessions": sessions }));
        net.nodes[0].document.hear(net.now_ms, node(1), told);
    }
    for n in 2..200 {
        let told = report(&json!({ "number": 1, "sessions": entries(n as u64, 0..1) }));
        net.nodes[0].document.hear(net.now_ms, node(n), told);
    }
    net.pass(10_000);
    assert_eq!(net.peers[&1].seen.len(), 1 + 2_000 + 63);
    assert_eq!(
        net.nodes[0].document.sessions(),
        1,
        "the limit is each node's own"
    );
    net.pass(30_000);
    assert_eq!(net.peers[&1].seen.len(), 1);
}

#[test]
fn what_nobody_is_here_to_be_told_is_not_kept() {
    let mut bench = Bench::new(Settings::default());
    bench.document.report_all();
    for n in 1..=100 {
        let entry = json!({
            "session": session(n), "count": 1, "user": session(n), "name": "x", "color": 1,
            "yjs": true, "present": true,
            "states": [{ "client": n, "clock": 1, "since_ms": 0, "state": "{}" }],
        });
        let number = 2 * u64::from(n);
        for said in [
            json!({ "number": number, "sessions": [entry] }),
            json!({ "number": number + 1, "left": [[session(n), 2]] }),
        ] {
            bench.document.hear(bench.now_ms, node(1), report(&said));
        }
    }
    bench.join(200, motet_document::Access::Read, Start::Identities);
    bench.now_ms += 1_000;
    let told = bench.document.tick(bench.now_ms);
    let states = told.iter().map(|(_, event)| match event {
        motet_document::Event::Presence(update) => update.awareness.len(),
        _ => 0,
    });
    assert_eq!(
        states.sum::<usize>(),
        0,
        "they came and went before it came"
    );
}

#[test]
fn a_client_that_moves_takes_its_state_along() {
    // Whether the old node notices before or after the new one has said something.
    for notices_first in [true, false] {
        let mut net = Net::new(3, 0);
        net.join(0, 1, 1, Some((77, 4)));
        net.join(0, 2, 2, Some((88, 0)));
        net.join(1, 3, 3, Some((99, 0)));
        net.join(2, 4, 4, Some((66, 0)));
        net.pass(1_000);
        net.check();
        let (_, clock) = net.peers[&1].yjs.unwrap();
        if notices_first {
            net.leave(1);
            net.pass(500);
            net.check();
        }
        net.join(1, 5, 1, Some((77, clock)));
        if !notices_first {
            net.pass(500);
            net.leave(1);
        }
        net.pass(1_000);
        net.check();
        net.pass(40_000);
        net.check();
    }
}

#[test]
fn an_equal_clock_on_the_new_node_is_no_less() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, Some((77, 0)));
    net.pass(1_000);
    // The new node has not heard of it, and is told the same state.
    let mut other = Bench::new(Settings::default());
    other.document.report_all();
    other.join(5, motet_document::Access::Read, Start::Identities);
    let user = parsed(&{
        net.nodes[0].document.report_all();
        net.nodes[0].now_ms += 100;
        net.reports(0).remove(0)
    });
    other.run(vec![aware(5, vec![state(77, 1)])]);
    let mut theirs = parsed(&reports(&mut other).remove(0));
    theirs["sessions"][0]["user"] = user["sessions"][0]["user"].clone();
    net.nodes[0]
        .document
        .hear(net.now_ms, node(1), report(&theirs));
    net.join(0, 2, 2, Some((88, 0)));
    net.pass(100);
    net.leave(1);
    net.pass(1_000);
    let (_, state, _) = &net.peers[&2].aware[&77];
    assert!(state.is_some(), "it is there still, on the other node");
}

#[test]
fn an_echo_is_not_taken_for_its_own() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, Some((77, 0)));
    net.join(0, 2, 2, None);
    net.join(1, 3, 3, Some((99, 0)));
    net.pass(1_000);
    let (clock, said, _) = net.peers[&3].aware[&77].clone();
    let said = AwarenessState {
        client: 77,
        clock,
        state: said.map(Into::into),
    };
    net.run(1, vec![aware(3, vec![said])]);
    net.leave(3);
    net.pass(1_000);
    net.check();

    // One that has moved repeats what this node has not heard of yet: both of clients and stand-ins.
    let mut other = Bench::new(Settings::default());
    other.document.report_all();
    other.now_ms = net.now_ms + 5_000;
    other.join(4, motet_document::Access::Read, Start::Identities);
    let stand_in = (1 << 51) | 0x0202_0202_0202;
    other.run(vec![aware(
        4,
        vec![state(77, 9), state(stand_in, 9), state(55, 1)],
    )]);
    let wrong = reports(&mut other);
    for told in wrong.clone() {
        net.nodes[0].document.hear(net.now_ms, node(1), told);
    }
    net.nodes[0].now_ms += 100;
    net.nodes[0].document.report_all();
    for told in net.reports(0) {
        other.document.hear(other.now_ms, node(0), told);
    }
    other.now_ms += 1_000;
    let right = reports(&mut other);
    let states = parsed(right.last().unwrap())["sessions"][0]["states"].clone();
    let clients: Vec<u64> = states
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["client"].as_u64().unwrap())
        .collect();
    assert_eq!(clients, [55], "the others are whose they were");
    net.say(1, "again");
    net.pass(1_000);
    let (_, state, _) = &net.peers[&1].aware[&stand_in];
    assert!(state.as_ref().unwrap().contains("User 2"));
}

#[test]
fn users_have_different_colours_on_all_nodes() {
    let mut net = Net::new(3, 0);
    for n in 0..12_u8 {
        net.join(usize::from(n) % 3, n + 1, n + 1, None);
        net.pass(200);
    }
    // The same user, on another node.
    net.join(1, 50, 1, None);
    net.pass(1_000);
    net.check();
    let seen = &net.peers[&2].seen;
    let mut colors: Vec<u8> = seen.values().map(|it| it.color).collect();
    assert_eq!(seen[&session(50)].color, seen[&session(1)].color);
    colors.sort_unstable();
    colors.dedup();
    assert_eq!(colors.len(), 12);
}

#[test]
fn stand_ins_are_renewed_in_time_and_their_clocks_never_go_back() {
    let mut net = Net::new(2, 0);
    net.join(0, 1, 1, None);
    net.join(1, 2, 2, Some((99, 0)));
    let stand_in = (1 << 51) | 0x0101_0101_0101;
    let (mut id, mut last) = (2, 0);
    for n in 0..40 {
        net.pass(3_000);
        net.check();
        let (clock, ..) = net.peers[&id].aware[&stand_in];
        assert!(clock >= last, "{clock} after {last}");
        last = clock;
        if n % 8 == 7 {
            // It goes to the other node.
            let (node, yjs) = (net.peers[&id].node, net.peers[&id].yjs);
            net.leave(id);
            id += 1;
            net.join(1 - node, id, 2, yjs);
        }
    }
    assert!(last > 8, "renewed some ten times");
}

#[test]
fn reports_are_read_and_newer_ones_refused() {
    let mut net = Net::new(1, 0);
    net.join(0, 1, 1, Some((77, 0)));
    let told = net.reports(0).remove(0);
    assert_eq!(Report::decode(&told.encode()), Ok(told.clone()));
    let mut newer = told.encode().to_vec();
    newer[0] = 2;
    assert_eq!(
        Report::decode(&newer),
        Err(ReportError::NewerFormat { found: 2 })
    );
    let bytes = REPORT_BYTES_MAX + 1;
    assert_eq!(
        Report::decode(&vec![1; bytes]),
        Err(ReportError::TooLarge { bytes })
    );
    for cut in 0..told.encode().len() {
        let found = Report::decode(&told.encode()[..cut]);
        assert!(
            matches!(found, Err(ReportError::Malformed { .. })),
            "{found:?}"
        );
    }
    // What a later program adds in the same format does no harm.
    let mut more = parsed(&told);
    more["sessions"][0]["mood"] = json!("good");
    assert_eq!(report(&more), told);
}

/// Random plans: sessions of both dialects come, move, type, speak and go, nodes die and come again.
#[test]
fn all_see_all_whatever_the_bus_does() {
    for seed in 0..200 {
        #[expect(clippy::print_stdout, reason = "shown where the plan fails")]
        {
            println!("seed {seed}");
        }
        plan(seed);
    }
}

fn plan(seed: u64) {
    let count = 2 + usize::from(seed.is_multiple_of(2));
    let mut net = Net::new(count, seed);
    net.bad = true;
    let mut next = 0;
    let mut client = 1_000;
    for _ in 0..80 {
        let ids: Vec<u8> = net.peers.keys().copied().collect();
        let act = if ids.is_empty() {
            0
        } else {
            net.luck.below(12)
        };
        let n = net.luck.index(count);
        let pick = |net: &mut Net| ids[net.luck.index(ids.len())];
        match act {
            0 | 1 if next < 60 => {
                next += 1;
                client += 1;
                let yjs = (net.luck.below(2) == 0).then_some((client, 0));
                let user = u8::try_from(net.luck.below(6)).unwrap();
                net.join(n, next, user, yjs);
            }
            2 => {
                let id = pick(&mut net);
                net.leave(id);
            }
            3 | 4 => {
                let id = pick(&mut net);
                if net.peers[&id].yjs.is_none() {
                    let text = net.nodes[net.peers[&id].node].text();
                    let at = net.luck.index(text.len() + 1);
                    net.select(id, at);
                } else {
                    let what = format!("{}", net.luck.below(100));
                    net.say(id, &what);
                }
            }
            5 | 6 => {
                let id = pick(&mut net);
                if net.peers[&id].yjs.is_none() {
                    let node = net.peers[&id].node;
                    net.read(node);
                    let len = net.nodes[node].text().len();
                    let delta = if len > 5 && net.luck.below(3) == 0 {
                        Delta::new().retain(net.luck.index(len - 3)).delete(2)
                    } else {
                        typed(net.luck.index(len + 1), "ab")
                    };
                    net.submit(id, &delta);
                }
            }
            7 => net.read(n),
            8 => {
                let id = pick(&mut net);
                let data = json!({ "n": net.luck.below(100) }).to_string();
                net.describe(id, &data);
            }
            9 if next < 60 => {
                // A Yjs client goes to another node, which may hear of it before the old one does.
                let id = pick(&mut net);
                if let Some(yjs) = net.peers[&id].yjs {
                    let user = net.peers[&id].user;
                    next += 1;
                    net.leave(id);
                    net.join(n, next, user, Some(yjs));
                }
            }
            10 if net.luck.below(4) == 0 => {
                // A node dies, and comes again with nothing.
                net.peers.retain(|_, peer| peer.node != n);
                net.nodes[n] = Bench::new(Settings::default());
                net.nodes[n].document.report_all();
                net.nodes[n].now_ms = net.now_ms;
            }
            _ => {
                let ms = net.luck.below(6_000);
                net.pass(ms);
            }
        }
        let ms = net.luck.below(400);
        net.pass(ms);
    }
    net.bad = false;
    // All has come that was under way, and nodes that died have expired.
    net.pass(36_000);
    let ids: Vec<u8> = net.peers.keys().copied().collect();
    let positions = ids.iter().filter(|id| net.peers[id].yjs.is_none());
    let positions: Vec<u8> = positions.copied().collect();
    if let Some(id) = positions.first() {
        net.submit(*id, &typed(0, "abc"));
    }
    for n in 0..count {
        net.read(n);
    }
    // Twice, so that it is told: where a client has moved a cursor by itself, it need not be.
    for id in &positions {
        net.select(*id, 0);
    }
    net.pass(2_000);
    let len = net.nodes[0].text().len();
    for id in positions {
        let at = 1 + net.luck.index(len);
        net.select(id, at);
    }
    net.pass(2_000);
    net.calm();
    net.check();
    net.pass(40_000);
    net.calm();
    net.check();
}
