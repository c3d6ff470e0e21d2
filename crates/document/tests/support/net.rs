//! Several nodes that have one document open, with a bus that loses, repeats and reorders.

use std::collections::BTreeMap;

use bytes::Bytes;
use motet_document::{
    Access, AwarenessState, Command, Event, Member, Presence, PresenceUpdate, Report, Selection,
    Settings, Start,
};
use motet_model::{Change, NodeId, Revision, SessionId, UserId};
use motet_ot::Delta;
use serde_json::json;

use super::{Bench, client, session, submission};

/// What some bytes of luck decide; the same for the same seed.
pub(crate) struct Luck(pub(crate) u64);

impl Luck {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}

/// A session, with what it has been told of all.
pub(crate) struct Peer {
    pub(crate) node: usize,
    pub(crate) yjs: Option<(u64, u64)>,
    pub(crate) user: u8,
    pub(crate) state: Option<String>,
    pub(crate) seen: BTreeMap<SessionId, Presence>,
    /// By the rules of y-protocols: clock, state, and when it was last told.
    pub(crate) aware: BTreeMap<u64, (u64, Option<String>, u64)>,
    seq: u64,
}

struct Message {
    at_ms: u64,
    from: usize,
    to: usize,
    bytes: Bytes,
}

pub(crate) struct Net {
    pub(crate) nodes: Vec<Bench>,
    pub(crate) alive: Vec<bool>,
    pub(crate) log: Vec<Change>,
    pub(crate) peers: BTreeMap<u8, Peer>,
    pub(crate) luck: Luck,
    /// The bus loses, repeats and reorders.
    pub(crate) bad: bool,
    pub(crate) now_ms: u64,
    bus: Vec<Message>,
    /// What was sent: by whom, and whether it was whole.
    pub(crate) sent: Vec<(usize, bool)>,
    pub(crate) told: usize,
}

pub(crate) fn node(n: usize) -> NodeId {
    NodeId::from_bytes([u8::try_from(n).unwrap() + 1; 16])
}

/// The clocks of nodes differ a little.
const SKEW_MS: [u64; 4] = [0, 700, 300, 1_100];

impl Net {
    pub(crate) fn new(nodes: usize, seed: u64) -> Self {
        let mut nodes: Vec<Bench> = (0..nodes)
            .map(|_| Bench::new(Settings::default()))
            .collect();
        for bench in &mut nodes {
            bench.document.report_all();
        }
        Self {
            alive: vec![true; nodes.len()],
            nodes,
            log: Vec::new(),
            peers: BTreeMap::new(),
            luck: Luck(seed),
            bad: false,
            now_ms: 1_700_000_000_000,
            bus: Vec::new(),
            sent: Vec::new(),
            told: 0,
        }
    }

    /// A node reads what others have committed.
    pub(crate) fn read(&mut self, n: usize) {
        let bench = &mut self.nodes[n];
        let missed = self.log[bench.log.len()..].to_vec();
        bench.log.extend(missed.iter().cloned());
        bench.document.replay(missed).unwrap();
    }

    pub(crate) fn run(&mut self, n: usize, commands: Vec<Command>) {
        let events = self.nodes[n].run(commands);
        if self.nodes[n].log.len() > self.log.len() {
            self.log = self.nodes[n].log.clone();
        }
        self.tell(events);
    }

    pub(crate) fn join(&mut self, node: usize, id: u8, user: u8, yjs: Option<(u64, u64)>) {
        let peer = Peer {
            node,
            yjs,
            user,
            state: None,
            seen: BTreeMap::new(),
            aware: BTreeMap::new(),
            seq: 0,
        };
        self.peers.insert(id, peer);
        let member = Member {
            user: UserId::from_bytes([user; 16]),
            name: format!("User {user}").into(),
            color: None,
            access: Access::Write,
        };
        let start = match yjs {
            Some(_) => Start::Identities,
            None => Start::Text,
        };
        let join = Command::Join {
            session: session(id),
            member,
            client_id: client(id),
            start,
        };
        self.run(node, vec![join]);
        if yjs.is_some() {
            self.say(id, "here");
        }
    }

    pub(crate) fn leave(&mut self, id: u8) {
        let peer = self.peers.remove(&id).unwrap();
        self.run(
            peer.node,
            vec![Command::Leave {
                session: session(id),
            }],
        );
    }

    /// A Yjs client says something of itself.
    pub(crate) fn say(&mut self, id: u8, what: &str) {
        let peer = self.peers.get_mut(&id).unwrap();
        let (client, clock) = peer.yjs.as_mut().unwrap();
        *clock += 1;
        let state = json!({ "user": { "name": format!("User {}", peer.user) }, "what": what });
        peer.state = Some(state.to_string());
        let states = vec![AwarenessState {
            client: *client,
            clock: *clock,
            state: Some(state.to_string().into()),
        }];
        let node = peer.node;
        self.run(
            node,
            vec![Command::Awareness {
                session: session(id),
                states,
            }],
        );
    }

    pub(crate) fn select(&mut self, id: u8, at: usize) {
        let node = self.peers[&id].node;
        let revision = self.nodes[node].document.head();
        let select = Command::Select {
            session: session(id),
            selection: Some(Selection::caret(at)),
            revision,
        };
        self.run(node, vec![select]);
    }

    pub(crate) fn describe(&mut self, id: u8, data: &str) {
        let node = self.peers[&id].node;
        let data = Some(data.into());
        self.run(
            node,
            vec![Command::Describe {
                session: session(id),
                data,
            }],
        );
    }

    /// A session that speaks positions types.
    pub(crate) fn submit(&mut self, id: u8, delta: &Delta) {
        let node = self.peers[&id].node;
        self.read(node);
        let peer = self.peers.get_mut(&id).unwrap();
        peer.seq += 1;
        let submission = submission(peer.seq, self.log.len() as u64, delta);
        self.run(
            node,
            vec![Command::Submit {
                session: session(id),
                submission,
            }],
        );
    }

    /// Time passes, in steps in which nodes tick, report and hear.
    pub(crate) fn pass(&mut self, ms: u64) {
        const STEP_MS: u64 = 50;
        for _ in 0..ms.div_ceil(STEP_MS) {
            self.now_ms += STEP_MS;
            for (bench, skew_ms) in self.nodes.iter_mut().zip(SKEW_MS) {
                bench.now_ms = self.now_ms + skew_ms;
            }
            if self.now_ms.is_multiple_of(5_000) {
                self.live();
            }
            self.step();
        }
    }

    /// Until nothing is under way of what all say now and then.
    pub(crate) fn calm(&mut self) {
        while self.now_ms % 5_000 < 2_000 {
            self.pass(50);
        }
    }

    /// All give a sign of life, and Yjs's clients say again what they have said.
    fn live(&mut self) {
        let ids: Vec<u8> = self.peers.keys().copied().collect();
        for id in ids {
            let peer = &self.peers[&id];
            let node = peer.node;
            if peer.yjs.is_some() && self.now_ms.is_multiple_of(15_000) {
                let what: serde_json::Value =
                    serde_json::from_str(peer.state.as_ref().unwrap()).unwrap();
                let what = what["what"].as_str().unwrap().to_owned();
                self.say(id, &what);
            }
            self.run(
                node,
                vec![Command::Heard {
                    session: session(id),
                }],
            );
        }
    }

    fn step(&mut self) {
        for n in 0..self.nodes.len() {
            if !self.alive[n] {
                continue;
            }
            let now_ms = self.nodes[n].now_ms;
            let events = self.nodes[n].document.tick(now_ms);
            self.tell(events);
            while let Some(report) = self.nodes[n].document.report(now_ms) {
                self.sent.push((n, report.is_whole()));
                self.send(n, &report.encode());
            }
        }
        let now_ms = self.now_ms;
        let (due, later) = std::mem::take(&mut self.bus)
            .into_iter()
            .partition(|message| message.at_ms <= now_ms);
        self.bus = later;
        let due: Vec<Message> = due;
        for Message {
            from, to, bytes, ..
        } in due
        {
            if self.alive[to] {
                let report = Report::decode(&bytes).unwrap();
                let bench = &mut self.nodes[to];
                bench.document.hear(bench.now_ms, node(from), report);
            }
        }
    }

    /// All that a node has to report now, which goes nowhere.
    pub(crate) fn reports(&mut self, n: usize) -> Vec<Report> {
        let bench = &mut self.nodes[n];
        let events = bench.document.tick(bench.now_ms);
        let reports = std::iter::from_fn(|| bench.document.report(bench.now_ms)).collect();
        self.tell(events);
        reports
    }

    fn send(&mut self, from: usize, bytes: &Bytes) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let copies = match self.luck.below(10) {
                0..3 if self.bad => 0,
                3..5 if self.bad => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let delay_ms = if self.bad { self.luck.below(3_000) } else { 0 };
                self.bus.push(Message {
                    at_ms: self.now_ms + delay_ms,
                    from,
                    to,
                    bytes: bytes.clone(),
                });
            }
        }
    }

    fn tell(&mut self, events: Vec<(SessionId, Event)>) {
        for (id, event) in events {
            let Some(peer) = self.peers.get_mut(&id.to_bytes()[0]) else {
                continue;
            };
            match event {
                Event::Joined(joined) => {
                    peer.hear(self.now_ms, &joined.awareness);
                    let seen = joined.presence.into_iter().map(|it| (it.session, it));
                    peer.seen.extend(seen);
                }
                Event::Presence(update) => {
                    self.told += 1;
                    // What is in it for positions is not sent to who speaks identities, nor told them each time.
                    if peer.yjs.is_none() {
                        peer.see(&update);
                    }
                    peer.hear(self.now_ms, &update.awareness);
                }
                Event::Rejected { reject, .. } => panic!("{reject}"),
                _ => {}
            }
        }
    }

    /// Every session sees exactly those who are there, as they are; and so does one that asks anew.
    pub(crate) fn check(&mut self) {
        let ids: Vec<u8> = self.peers.keys().copied().collect();
        for n in 0..self.nodes.len() {
            self.read(n);
        }
        // Each node has numbers of its own.
        let unnumbered = |it: &Presence| Presence {
            number: 0,
            ..it.clone()
        };
        let all = |it: &BTreeMap<SessionId, Presence>| it.values().map(unnumbered).collect();
        let mut same: Option<Vec<Presence>> = None;
        let mut states: BTreeMap<u64, String> = BTreeMap::new();
        for id in &ids {
            let peer = &self.peers[id];
            if let Some((own, _)) = peer.yjs {
                let seen: Vec<u64> = peer.there(self.now_ms).filter(|it| *it != own).collect();
                let mut expected: Vec<u64> = ids
                    .iter()
                    .filter(|it| *it != id)
                    .map(|it| self.client_of(*it))
                    .collect();
                expected.sort_unstable();
                assert_eq!(seen, expected, "what {id} is aware of");
                for client in seen {
                    // One may have been told of a renewal before another.
                    let (_, state, _) = &peer.aware[&client];
                    let told = state.clone().unwrap();
                    let first = states.entry(client).or_insert_with(|| told.clone());
                    assert_eq!(first, &told, "{client} is the same for all");
                }
            } else {
                let seen: Vec<_> = all(&peer.seen);
                let expected: Vec<SessionId> = ids.iter().map(|it| session(*it)).collect();
                let sessions: Vec<SessionId> = seen.iter().map(|it| it.session).collect();
                assert_eq!(sessions, expected, "whom {id} sees");
                let first = same.get_or_insert_with(|| seen.clone());
                assert_eq!(first, &seen, "all see the same, {id} too");
            }
        }
        for id in &ids {
            let client = self.client_of(*id);
            let Some(state) = states.get(&client) else {
                continue;
            };
            let peer = &self.peers[id];
            if let Some(said) = &peer.state {
                assert_eq!(said, state, "the latest");
            }
            assert!(state.contains(&format!("User {}", peer.user)), "{state}");
        }
    }

    /// The Yjs client that a session is shown as.
    fn client_of(&self, id: u8) -> u64 {
        let stand_in = u64::from_be_bytes([0, 0, id, id, id, id, id, id]) | (1 << 51);
        self.peers[&id].yjs.map_or(stand_in, |(client, _)| client)
    }

    /// Where a session's cursor is for another one that speaks positions.
    pub(crate) fn cursor(&self, of: u8, by: u8) -> Option<usize> {
        let seen = self.peers[&by].seen.get(&session(of))?;
        seen.selection.map(|it| it.head)
    }

    pub(crate) fn head(&self, n: usize) -> Revision {
        self.nodes[n].document.head()
    }
}

impl Peer {
    fn see(&mut self, update: &PresenceUpdate) {
        if update.reset {
            self.seen.clear();
        }
        for presence in update.joined.iter().chain(&update.updated) {
            self.seen.insert(presence.session, presence.clone());
        }
        // As clients that are told a number and a place.
        for presence in &update.moved {
            let mut known = self.seen.values_mut();
            let known = known.find(|it| it.number == presence.number);
            let known = known.expect("who moves is known");
            known.selection = presence.selection;
            assert_eq!(known, presence, "nothing but the cursor is another");
        }
        for id in &update.left {
            self.seen.remove(id);
        }
    }

    fn hear(&mut self, now_ms: u64, states: &[AwarenessState]) {
        for it in states {
            let known = self.aware.get(&it.client);
            let is_news = known.is_none_or(|(clock, state, _)| {
                it.clock > *clock || (it.clock == *clock && it.state.is_none() && state.is_some())
            });
            if is_news {
                let state = it.state.as_deref().map(str::to_owned);
                self.aware.insert(it.client, (it.clock, state, now_ms));
            }
        }
    }

    /// Of whom it is aware. Clients forget by themselves whoever was not renewed for 30 s.
    fn there(&self, now_ms: u64) -> impl Iterator<Item = u64> {
        let there = self
            .aware
            .iter()
            .filter(move |(_, (_, state, at_ms))| state.is_some() && now_ms < at_ms + 30_000);
        there.map(|(client, _)| *client)
    }
}
