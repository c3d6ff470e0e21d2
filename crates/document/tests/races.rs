//! Plans that are taken back: others were first, and the document follows them and plans again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use motet_crdt::{Options, Replica};
use motet_document::{
    Access, CloseReason, Command, Document, Event, Events, Member, Selection, Settings, Start,
    Submission,
};
use motet_model::{Change, ClientId, DocumentId, Revision, SessionId, UserId};
use motet_ot::{Delta, decode};

const NOW_MS: u64 = 1_700_000_000_000;

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

fn client(n: u8) -> ClientId {
    format!("client-{n}").parse().unwrap()
}

fn join(n: u8, start: Start) -> Command {
    Command::Join {
        session: session(n),
        member: Member {
            user: UserId::from_bytes([n; 16]),
            name: format!("User {n}").into(),
            color: None,
            access: Access::Write,
        },
        client_id: client(n),
        start,
    }
}

fn submit(n: u8, seq: u64, base: u64, delta: &Delta) -> Command {
    let decoded = decode(delta.to_json().as_bytes()).unwrap();
    Command::Submit {
        session: session(n),
        submission: Submission::new(Revision::new(base), seq, decoded),
    }
}

fn at(position: usize, text: &str) -> Delta {
    if position == 0 {
        Delta::new().insert(text)
    } else {
        Delta::new().retain(position).insert(text)
    }
}

fn open(settings: &Settings) -> Document {
    let id = DocumentId::from_bytes([1; 16]);
    Document::open(id, None, settings.clone()).unwrap()
}

fn text(document: &Document) -> String {
    document.content().replica().text("content")
}

/// All that a document stores.
fn stored(document: &Document) -> Vec<u8> {
    document.content().assert_invariants();
    document.state().encode().state.to_vec()
}

/// All that a document knows, whatever way it came to that.
fn known(document: &Document) -> impl PartialEq {
    document.content().assert_invariants();
    let replica = document.content().replica();
    let content = replica.to_delta("content");
    (content, replica.state_vector(), replica.deleted())
}

/// Commits at once what is planned.
fn run(document: &mut Document, log: &mut Vec<Change>, commands: Vec<Command>) -> Events {
    let (mut events, plan) = document.plan(NOW_MS, commands);
    log.extend(plan.changes());
    events.extend(document.commit(plan, Revision::new(log.len() as u64)));
    events
}

fn sent(events: &Events, n: u8) -> Vec<u64> {
    let of = events.iter().filter(|(id, _)| *id == session(n));
    of.flat_map(|(_, event)| match event {
        Event::Changes { changes, .. } => changes.iter().map(|it| it.revision.get()).collect(),
        _ => Vec::new(),
    })
    .collect()
}

/// Numbers that are the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let n = u64::try_from(n.max(1)).unwrap();
        usize::try_from((z ^ (z >> 31)) % n).unwrap()
    }
}

/// What some sessions ask for next: of positions 1 to 3, of identities 4 and 5.
struct Crowd {
    random: Random,
    /// The first of the clients of Yjs.
    yjs: u64,
    seqs: [u64; 4],
    peers: Vec<Replica>,
}

impl Crowd {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            yjs: 70 + 10 * seed,
            seqs: [0; 4],
            peers: vec![Replica::new(Options::default()); 2],
        }
    }

    fn commands(&mut self, document: &Document) -> Vec<Command> {
        let count = 1 + self.random.below(6);
        (0..count).map(|_| self.command(document)).collect()
    }

    fn command(&mut self, document: &Document) -> Command {
        let (head, len_utf16) = (document.head().get(), document.content().text().len_utf16());
        let n = u8::try_from(1 + self.random.below(3)).unwrap();
        match self.random.below(12) {
            0 => Command::Leave {
                session: session(n),
            },
            1 => join(n, Start::Text),
            2 => Command::Select {
                session: session(n),
                selection: Some(Selection {
                    anchor: self.random.below(len_utf16 + 2),
                    head: 0,
                }),
                revision: Revision::new(head),
            },
            3 => Command::SetAccess {
                session: session(n),
                access: [Some(Access::Read), Some(Access::Write), None][self.random.below(3)],
            },
            4 => join(n + 2, Start::Identities),
            5..=7 => {
                let peer = self.random.below(2);
                let replica = &mut self.peers[peer];
                let known = replica.state_vector();
                let missing = document
                    .content()
                    .replica()
                    .encode_update(&known, motet_crdt::Version::V1);
                replica
                    .apply_update(&missing, motet_crdt::Version::V1)
                    .unwrap();
                let at_utf16 = self.random.below(replica.len_utf16("content") + 1);
                let delta = at(at_utf16, ["y", "日", "yes"][self.random.below(3)]);
                let Ok(update) = replica.apply_delta("content", &delta, self.yjs + peer as u64)
                else {
                    return Command::AskPresence {
                        session: session(4),
                    };
                };
                Command::Update {
                    session: session(u8::try_from(4 + peer).unwrap()),
                    update: update.into(),
                }
            }
            _ => {
                let seq = &mut self.seqs[usize::from(n)];
                // Sometimes once more, and sometimes past the end.
                *seq += u64::from(self.random.below(5) > 0);
                let (seq, base) = (
                    (*seq).max(1),
                    head.saturating_sub(self.random.below(3) as u64),
                );
                let position = self.random.below(len_utf16 + 2);
                let delta = if self.random.below(3) == 0 && position > 0 {
                    Delta::new().delete(position.min(4))
                } else {
                    at(position, ["o", "two", "x😀"][self.random.below(3)])
                };
                submit(n, seq, base, &delta)
            }
        }
    }
}

#[test]
fn undone() {
    for seed in 0..200 {
        let settings = Settings {
            window_changes_max: 8,
            ..Settings::default()
        };
        let (mut document, mut twin) = (open(&settings), open(&settings));
        let (mut log, mut twin_log) = (Vec::new(), Vec::new());
        let (mut crowd, mut twin_crowd) = (Crowd::new(seed), Crowd::new(seed));
        let mut doubts = Random(seed);
        for _ in 0..40 {
            let mut told = Events::new();
            let mut commands = crowd.commands(&document);
            while doubts.below(2) == 0 {
                let before = stored(&document);
                let (events, plan) = document.plan(NOW_MS, commands);
                told.extend(events);
                commands = document.abort(plan);
                assert!(stored(&document) == before, "seed {seed}");
            }
            told.extend(run(&mut document, &mut log, commands));
            let commands = twin_crowd.commands(&twin);
            let twin_told = run(&mut twin, &mut twin_log, commands);
            assert_eq!(log, twin_log, "seed {seed}");
            assert_eq!(format!("{told:?}"), format!("{twin_told:?}"), "seed {seed}");
            assert!(stored(&document) == stored(&twin), "seed {seed}");
        }
    }
}

#[test]
fn the_loser_of_a_race_follows_and_plans_again() {
    for seed in 0..100 {
        let settings = Settings::default();
        let mut nodes = [open(&settings), open(&settings)];
        let mut crowds = [Crowd::new(seed), Crowd::new(seed + 1_000)];
        let mut log: Vec<Change> = Vec::new();
        let mut random = Random(seed);
        for _ in 0..30 {
            let [first, second] = &mut nodes;
            let (winner, loser, at) = if random.below(2) == 0 {
                (first, second, 0)
            } else {
                (second, first, 1)
            };
            // The same people are at both nodes, and submit the same numbers.
            let commands = crowds[1 - at].commands(loser);
            let (_events, plan) = loser.plan(NOW_MS, commands);
            let commands = crowds[at].commands(winner);
            let _events = run(winner, &mut log, commands);
            let commands = loser.abort(plan);
            let missed = log[usize::try_from(loser.head().get()).unwrap()..].to_vec();
            let _events = loser.follow(missed).unwrap();
            let _events = run(loser, &mut log, commands);
            let missed = log[usize::try_from(winner.head().get()).unwrap()..].to_vec();
            let _events = winner.follow(missed).unwrap();
            assert!(known(winner) == known(loser), "seed {seed}");
        }
        let mut submitted: Vec<_> = log.iter().filter(|it| it.seq > 0).collect();
        submitted.sort_by_key(|it| (it.author, it.seq));
        let twice = submitted
            .windows(2)
            .any(|pair| (pair[0].author, pair[0].seq) == (pair[1].author, pair[1].seq));
        assert!(!twice, "**once**, on all nodes");
        let mut alone = open(&settings);
        alone.replay(log).unwrap();
        assert!(known(&alone) == known(&nodes[0]), "seed {seed}");
    }
}

#[test]
fn who_is_here_is_sent_what_others_appended() {
    let settings = Settings::default();
    let (mut here, mut there) = (open(&settings), open(&settings));
    let mut log = Vec::new();
    run(
        &mut here,
        &mut log,
        vec![join(1, Start::Text), join(2, Start::Identities)],
    );
    let select = Command::Select {
        session: session(1),
        selection: Some(Selection::caret(0)),
        revision: Revision::ZERO,
    };
    run(&mut here, &mut log, vec![select]);
    run(&mut there, &mut log, vec![join(3, Start::Text)]);
    run(&mut there, &mut log, vec![submit(3, 1, 0, &at(0, "ab"))]);
    let (_events, plan) = here.plan(NOW_MS, vec![submit(1, 1, 0, &at(0, "c"))]);
    let commands = here.abort(plan);
    let events = here.follow(log.clone()).unwrap();
    assert_eq!(sent(&events, 1), [1]);
    assert_eq!(sent(&events, 2), [1]);
    let events = run(&mut here, &mut log, commands);
    assert_eq!(sent(&events, 1), [2]);
    assert_eq!(text(&here), "abc");
    let events = here.tick(NOW_MS + 10_000);
    let shown = events.iter().find_map(|(_, event)| match event {
        Event::Presence(update) => update.joined.iter().find_map(|it| it.selection),
        _ => None,
    });
    assert_eq!(shown, Some(Selection::caret(3)), "behind what it typed");
}

#[test]
fn what_is_of_no_change_is_done_once_and_at_once() {
    let settings = Settings::default();
    let mut document = open(&settings);
    let mut log = Vec::new();
    run(&mut document, &mut log, vec![join(1, Start::Text)]);
    let commands = vec![
        submit(1, 1, 0, &at(0, "a")),
        join(2, Start::Text),
        Command::Leave {
            session: session(1),
        },
        submit(1, 2, 0, &at(0, "b")),
    ];
    let (events, plan) = document.plan(NOW_MS, commands);
    let joined = events.iter().find_map(|(id, event)| match event {
        Event::Joined(joined) if *id == session(2) => Some(joined.revision),
        _ => None,
    });
    assert_eq!(joined, Some(Revision::ZERO), "of what is durable");
    assert_eq!(plan.changes().len(), 1, "nothing of one who has left");
    let commands = document.abort(plan);
    assert!(document.has_session(session(1)), "it leaves after its edit");
    let events = run(&mut document, &mut log, commands);
    assert_eq!(sent(&events, 1), [1], "and is told of that");
    assert_eq!(sent(&events, 2), [1]);
    assert!(!document.has_session(session(1)));
    assert!(
        !events
            .iter()
            .any(|(_, event)| matches!(event, Event::Joined(_)))
    );
}

#[test]
fn presence_that_is_told_at_once_counts_in_what_is_durable() {
    let settings = Settings::default();
    let mut document = open(&settings);
    let mut log = Vec::new();
    let joins = vec![
        join(1, Start::Text),
        join(2, Start::Text),
        join(4, Start::Identities),
    ];
    run(&mut document, &mut log, joins);
    run(
        &mut document,
        &mut log,
        vec![submit(1, 1, 0, &at(0, "abcdef"))],
    );
    let select = |n: u8, at_utf16| Command::Select {
        session: session(n),
        selection: Some(Selection::caret(at_utf16)),
        revision: Revision::new(1),
    };
    let commands = || {
        vec![
            submit(1, 2, 1, &at(0, "123")),
            select(2, 5),
            // After its edit: that is put off, and counts in what its client saw then.
            select(1, 4),
            join(3, Start::Text),
            join(5, Start::Identities),
            Command::AskPresence {
                session: session(2),
            },
        ]
    };
    let place = |events: &Events, to: u8, of: u8| {
        let mut told = events.iter().filter(|(id, _)| *id == session(to));
        let of = session(of);
        told.find_map(|(_, event)| {
            let (Event::Joined(_) | Event::Presence(_)) = event else {
                return None;
            };
            let all = match event {
                Event::Joined(joined) => joined.presence.clone(),
                Event::Presence(update) => {
                    [&update.joined[..], &update.updated, &update.moved].concat()
                }
                _ => Vec::new(),
            };
            all.iter()
                .find(|it| it.session == of)
                .and_then(|it| it.selection)
        })
    };
    let (events, plan) = document.plan(NOW_MS, commands());
    assert_eq!(plan.changes().len(), 1);
    assert_eq!(place(&events, 3, 2), Some(Selection::caret(5)));
    assert_eq!(place(&events, 3, 1), None, "it is put off");
    let states = events.iter().find_map(|(id, event)| match event {
        Event::Joined(joined) if *id == session(5) => Some(&joined.awareness),
        _ => None,
    });
    // By identities it stands before the sixth unit that was made.
    let shown = states.unwrap().iter().any(|it| {
        let state = it.state.as_deref().unwrap_or_default();
        state.contains(r#""clock":5"#)
    });
    assert!(shown, "{states:?}");
    // Others were first: what was told stands, and what was put off is not done yet.
    let aborted = document.abort(plan);
    let mut other = open(&settings);
    other.replay(log.clone()).unwrap();
    run(&mut other, &mut log, vec![join(9, Start::Text)]);
    run(&mut other, &mut log, vec![submit(9, 1, 1, &at(0, "xy"))]);
    let _events = document.follow(log[1..].to_vec()).unwrap();
    let mut events = run(&mut document, &mut log, aborted);
    assert_eq!(text(&document), "xy123abcdef");
    events.extend(document.tick(NOW_MS + 60));
    assert_eq!(place(&events, 3, 2), Some(Selection::caret(5 + 2 + 3)));
    assert_eq!(place(&events, 3, 1), Some(Selection::caret(4 + 2 + 3)));
}

#[test]
fn fenced() {
    let settings = Settings {
        shared: true,
        ..Settings::default()
    };
    let resumes = || {
        let start = Start::Revision {
            revision: Revision::ZERO,
            pending: true,
        };
        join(1, start)
    };
    let other = |n: u8, seq| {
        let other = |it: Command| match it {
            Command::Join {
                member,
                client_id,
                start,
                ..
            } => Command::Join {
                session: session(n),
                member,
                client_id,
                start,
            },
            Command::Submit { submission, .. } => Command::Submit {
                session: session(n),
                submission,
            },
            it => it,
        };
        (other(resumes()), other(submit(1, seq, 0, &at(0, "new"))))
    };
    for is_first in [false, true] {
        let (mut here, mut there) = (open(&settings), open(&settings));
        let mut log = Vec::new();
        run(&mut here, &mut log, vec![join(1, Start::Text)]);
        assert!(log.is_empty(), "who has no text has nothing under way");
        // Its edit is under way here when it comes there, having forgotten that.
        let (_events, plan) = here.plan(NOW_MS, vec![submit(1, 1, 0, &at(0, "old"))]);
        let (comes, edits) = other(2, 1);
        assert!(there.is_behind(&comes), "the log is read first");
        let (events, joining) = there.plan(NOW_MS, vec![comes]);
        assert!(events.is_empty() && !there.has_session(session(2)));
        let mut events = Events::new();
        if is_first {
            // The join is first: the edit never gets there.
            log.extend(joining.changes());
            events.extend(there.commit(joining, Revision::new(1)));
            let commands = here.abort(plan);
            let told = here.follow(log.clone()).unwrap();
            assert!(matches!(
                told.first(),
                Some((_, Event::Closed(CloseReason::Replaced)))
            ));
            run(&mut here, &mut log, commands);
            assert_eq!(log.len(), 1);
            run(&mut there, &mut log, vec![edits]);
            assert_eq!(text(&there), "new");
        } else {
            // The edit is first: its client is told of it before it counts on.
            log.extend(plan.changes());
            let _events = here.commit(plan, Revision::new(1));
            let commands = there.abort(joining);
            let _events = there.follow(log.clone()).unwrap();
            events.extend(run(&mut there, &mut log, commands));
        }
        let last_seq = events.iter().find_map(|(_, event)| match event {
            Event::Joined(joined) => Some(joined.last_seq),
            _ => None,
        });
        assert_eq!(last_seq, Some(u64::from(!is_first)));
    }
}

#[test]
fn one_who_comes_from_another_node_is_waited_for() {
    let document = open(&Settings::default());
    let resumes = Start::Revision {
        revision: Revision::new(3),
        pending: false,
    };
    assert!(document.is_behind(&join(1, resumes)));
    assert!(document.is_behind(&submit(1, 1, 1, &at(0, "a"))));
    assert!(!document.is_behind(&submit(1, 1, 0, &at(0, "a"))));
    let mut document = document;
    let (events, plan) = document.plan(NOW_MS, vec![join(1, resumes)]);
    let closed = matches!(events[0].1, Event::Closed(CloseReason::RevisionAhead));
    assert!(closed, "unless nobody has appended that");
    let _events = document.commit(plan, Revision::ZERO);
}

#[test]
fn who_is_not_let_in_leaves_nothing_in_the_log() {
    let settings = Settings {
        shared: true,
        sessions_max: 2,
        ..Settings::default()
    };
    let resumes = |n| {
        let start = Start::Revision {
            revision: Revision::ZERO,
            pending: false,
        };
        join(n, start)
    };
    let closed = |events: &Events, n| -> Vec<CloseReason> {
        let of = |(id, event): &(SessionId, Event)| match event {
            Event::Closed(reason) if *id == session(n) => Some(*reason),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    };
    let (mut document, mut log) = (open(&settings), Vec::new());
    run(&mut document, &mut log, vec![join(1, Start::Text)]);
    // Of two who come at once one is let in.
    let events = run(&mut document, &mut log, vec![resumes(2), resumes(3)]);
    assert_eq!(log.len(), 1);
    assert_eq!(
        (closed(&events, 2), closed(&events, 3)),
        (vec![], vec![CloseReason::Full])
    );
    let events = run(&mut document, &mut log, vec![resumes(4)]);
    assert_eq!(
        (log.len(), closed(&events, 4)),
        (1, vec![CloseReason::Full])
    );
    // Nor does one who speaks of what nobody has appended, whatever is appended with it.
    let ahead = Start::Revision {
        revision: Revision::new(2),
        pending: false,
    };
    let events = run(
        &mut document,
        &mut log,
        vec![submit(1, 1, 1, &at(0, "a")), join(5, ahead)],
    );
    assert_eq!(
        (log.len(), closed(&events, 5)),
        (2, vec![CloseReason::RevisionAhead])
    );
    // Who is there already takes no place.
    let again = match resumes(2) {
        Command::Join {
            member,
            client_id,
            start,
            ..
        } => Command::Join {
            session: session(6),
            member,
            client_id,
            start,
        },
        it => it,
    };
    let events = run(&mut document, &mut log, vec![again]);
    assert_eq!(
        (log.len(), closed(&events, 2)),
        (3, vec![CloseReason::Replaced])
    );
    assert!(document.has_session(session(6)));
    // Who leaves behind an edit makes room for who comes after that.
    let leaves = Command::Leave {
        session: session(1),
    };
    let commands = vec![submit(1, 2, 3, &at(0, "b")), leaves, resumes(7)];
    let events = run(&mut document, &mut log, commands);
    assert_eq!((log.len(), closed(&events, 7)), (5, vec![]));
    assert!(document.has_session(session(7)));
}

#[test]
fn one_who_may_have_been_elsewhere_is_looked_for() {
    let settings = Settings {
        shared: true,
        ..Settings::default()
    };
    let (mut there, mut log) = (open(&settings), Vec::new());
    run(&mut there, &mut log, vec![join(1, Start::Text)]);
    run(&mut there, &mut log, vec![submit(1, 1, 0, &at(0, "a"))]);
    let mut here = open(&settings);
    let comes = || join(1, Start::Text);
    assert!(here.is_behind(&comes()), "it may have counted elsewhere");
    let _events = here.follow(log.clone()).unwrap();
    let events = run(&mut here, &mut log, vec![comes()]);
    assert_eq!(log.len(), 2, "so it has, and comes from there");
    assert!(
        events
            .iter()
            .any(|(_, event)| matches!(event, Event::Joined(joined) if joined.last_seq == 1))
    );
    // Who has no name from before was nowhere.
    let fresh = match join(3, Start::Text) {
        Command::Join {
            session,
            member,
            start,
            ..
        } => Command::Join {
            session,
            member,
            client_id: session.into(),
            start,
        },
        it => it,
    };
    assert!(!open(&settings).is_behind(&fresh));
    assert!(!open(&Settings::default()).is_behind(&comes()));
}
