//! Going back to a savepoint: a replica that did is the same as its twin that never went there, byte for
//! byte, and goes on like it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/mutate.rs"]
mod mutate;
#[path = "support/random.rs"]
mod random;

use motet_crdt::{
    Branch, Client, Id, Node, Options, Replica, Shape, StateVector, Version, merge_updates,
};
use motet_ot::{Attributes, Delta};
use mutate::mutate;
use random::Random;
use serde_json::json;

/// Sessions of each kind, and what happens in one.
const SESSIONS: u64 = 150;
const STEPS: usize = 60;

/// Everything that a replica can be asked.
fn assert_same(replica: &Replica, twin: &Replica, what: &str) {
    replica.assert_invariants();
    let nothing = StateVector::default();
    assert_eq!(replica.text("content"), twin.text("content"), "{what}");
    assert_eq!(replica.to_delta("content"), twin.to_delta("content"));
    assert_eq!(replica.state_vector(), twin.state_vector(), "{what}");
    assert_eq!(replica.deleted(), twin.deleted(), "{what}");
    assert_eq!(replica.has_pending(), twin.has_pending(), "{what}");
    assert_eq!(replica.pending_bytes(), twin.pending_bytes(), "{what}");
    assert_eq!(replica.formats_bytes(), twin.formats_bytes(), "{what}");
    assert!(replica.roots().eq(twin.roots()), "{what}");
    for version in [Version::V1, Version::V2] {
        let (here, there) = (
            replica.encode_update(&nothing, version),
            twin.encode_update(&nothing, version),
        );
        assert!(here == there, "{what}: other bytes");
    }
    for (root, shape) in [("list", Shape::Array), ("map", Shape::Map)] {
        assert_eq!(replica.to_json(root, shape), twin.to_json(root, shape));
    }
}

/// As it is stored, which says where each run ends and what has a number.
fn assert_stored_same(replica: &Replica, twin: &Replica, what: &str) {
    assert_eq!(replica.runs(), twin.runs(), "{what}: other runs");
    assert!(replica.save() == twin.save(), "{what}: stored otherwise");
}

/// What can be done to a replica.
#[derive(Clone, Debug)]
enum Step {
    Edit(Delta, Client),
    Insert(Branch, usize, Vec<Node>, Client),
    Delete(Branch, usize, usize, Client),
    Set(Branch, String, Option<Node>, Client),
    Update(Vec<u8>),
}

impl Step {
    /// Does it, and says what came of it.
    fn apply(&self, to: &mut Replica) -> String {
        match self {
            Self::Edit(delta, client) => {
                format!("{:?}", to.apply_delta("content", delta, *client))
            }
            Self::Insert(branch, index, nodes, client) => {
                format!("{:?}", to.insert_nodes(branch, *index, nodes, *client))
            }
            Self::Delete(branch, index, len, client) => {
                format!("{:?}", to.delete_nodes(branch, *index, *len, *client))
            }
            Self::Set(branch, key, node, client) => {
                format!("{:?}", to.set_key(branch, key, node.as_ref(), *client))
            }
            Self::Update(update) => {
                format!("{:?}", to.receive_update(update, Version::V1, "content"))
            }
        }
    }
}

/// A session: peers that make updates, which come in any order, and edits of the replica itself.
struct Session {
    random: Random,
    peers: Vec<Replica>,
    /// What peers have made and nobody was sent yet.
    unsent: Vec<Vec<u8>>,
    next_client: Client,
}

impl Session {
    fn new(seed: u64) -> Self {
        let peers = (0..3).map(|_| Replica::new(Options::default()));
        Self {
            random: Random(seed),
            peers: peers.collect(),
            unsent: Vec::new(),
            next_client: 100,
        }
    }

    fn text(&mut self) -> String {
        let texts = [
            "a",
            "bcd",
            "ü",
            "日本",
            "😀",
            "x😀y",
            "\u{1f468}\u{200d}\u{1f469}",
        ];
        let mut text = String::new();
        for _ in 0..=self.random.below(3) {
            text.push_str(texts[self.random.below(texts.len())]);
        }
        text
    }

    fn attributes(&mut self) -> Attributes {
        let keys = ["bold", "color", "link"];
        let values = [
            json!(true),
            json!("red"),
            json!({ "a": [1, 2] }),
            json!(null),
        ];
        let key = if self.random.below(12) == 0 {
            format!("k{}", self.random.below(50))
        } else {
            keys[self.random.below(keys.len())].to_owned()
        };
        let value = values[self.random.below(values.len())].clone();
        Attributes::from_iter([(key, value)])
    }

    fn node(&mut self) -> Node {
        match self.random.below(8) {
            0 => Node::Array,
            1 => Node::Map,
            2 => Node::Text,
            3 => Node::XmlElement("p".to_owned()),
            4 => Node::Document("guid".to_owned()),
            _ => Node::Value(json!({ "n": self.random.below(9) })),
        }
    }

    /// A place in the text that cuts no surrogate pair more often than chance would have it.
    fn delta(&mut self, of: &Replica) -> Delta {
        let len = of.len_utf16("content");
        let at = self.random.below(len + 1);
        let delta = if at == 0 {
            Delta::new()
        } else {
            Delta::new().retain(at)
        };
        let rest = len - at;
        match self.random.below(6) {
            0 | 1 if rest > 0 => delta.delete(1 + self.random.below(rest.min(9))),
            2 if rest > 0 => {
                let attributes = self.attributes();
                delta.retain_with(1 + self.random.below(rest.min(9)), attributes)
            }
            3 => {
                let (text, attributes) = (self.text(), self.attributes());
                delta.insert_with(text.as_str(), attributes)
            }
            _ => {
                let text = self.text();
                delta.insert(text.as_str())
            }
        }
    }

    fn branch(&mut self, of: &Replica, root: &str) -> Branch {
        let root = Branch::Root(root.to_owned());
        let inside = of.branches(&root);
        if inside.is_empty() || self.random.below(2) == 0 {
            return root;
        }
        inside[self.random.below(inside.len())].0.clone()
    }

    /// An edit under one of the clients, as it fits a replica.
    fn edit(&mut self, of: &Replica, client: Client) -> Step {
        match self.random.below(8) {
            0 => {
                let branch = self.branch(of, "list");
                let index = self.random.below(of.len_at(&branch) + 1);
                let nodes = (0..=self.random.below(4)).map(|_| self.node()).collect();
                Step::Insert(branch, index, nodes, client)
            }
            1 => {
                let branch = self.branch(of, "list");
                let len = of.len_at(&branch);
                let index = self.random.below(len + 1);
                let len = self.random.below(len - index + 1);
                Step::Delete(branch, index, len, client)
            }
            2 => {
                let branch = self.branch(of, "map");
                let key = format!("key{}", self.random.below(4));
                let node = (self.random.below(4) > 0).then(|| self.node());
                Step::Set(branch, key, node, client)
            }
            _ => Step::Edit(self.delta(of), client),
        }
    }

    /// A peer edits, and its update waits to be sent; or peers tell each other.
    fn stir(&mut self) {
        let at = self.random.below(self.peers.len());
        if self.random.below(4) == 0 {
            let from = self.random.below(self.peers.len());
            let known = self.peers[at].state_vector();
            let update = self.peers[from].encode_update(&known, Version::V1);
            self.peers[at].apply_update(&update, Version::V1).unwrap();
            return;
        }
        let mut peer = self.peers[at].clone();
        let before = peer.snapshot();
        let step = self.edit(&peer, at as u64 + 1);
        step.apply(&mut peer);
        if peer.snapshot() != before {
            let update = peer.encode_update(&before.made, Version::V1);
            self.unsent.push(update);
        }
        self.peers[at] = peer;
    }

    /// What happens next to a replica.
    fn step(&mut self, of: &Replica) -> Step {
        for _ in 0..self.random.below(4) {
            self.stir();
        }
        match self.random.below(10) {
            0..=3 if !self.unsent.is_empty() => {
                let at = self.random.below(self.unsent.len());
                Step::Update(self.unsent.remove(at))
            }
            4 if !self.unsent.is_empty() => {
                // What no replica would write.
                let at = self.random.below(self.unsent.len());
                let mut update = self.unsent[at].clone();
                mutate(&mut update, &mut self.random);
                Step::Update(update)
            }
            5 => {
                let peer = self.random.below(self.peers.len());
                let known = self.peers[peer].encode_update(&StateVector::default(), Version::V1);
                Step::Update(merge_updates(&[&known], Version::V1).unwrap())
            }
            6 => {
                // Somebody new.
                self.next_client += 1;
                self.edit(of, self.next_client)
            }
            _ => self.edit(of, 50),
        }
    }
}

fn start(seed: u64) -> (Session, Replica) {
    let gc = !seed.is_multiple_of(4);
    (Session::new(seed), Replica::new(Options { gc }))
}

#[test]
fn as_if_it_had_never_been() {
    let mut undone = 0;
    for seed in 0..SESSIONS {
        let (mut session, mut replica) = start(seed);
        let mut twin = replica.clone();
        for step in 0..STEPS {
            let what = format!("seed {seed}, step {step}");
            if session.random.below(3) == 0 {
                // What was sent in vain is sent once more some time.
                let unsent = session.unsent.clone();
                replica.savepoint();
                for _ in 0..=session.random.below(8) {
                    session.step(&replica).apply(&mut replica);
                    undone += 1;
                    if session.random.below(3) == 0 {
                        replica.assert_invariants();
                    }
                }
                replica.rollback();
                session.unsent = unsent;
                assert_same(&replica, &twin, &what);
                assert_stored_same(&replica, &twin, &what);
            }
            let next = session.step(&twin);
            assert_eq!(next.apply(&mut replica), next.apply(&mut twin), "{what}");
            assert_same(&replica, &twin, &what);
            assert_stored_same(&replica, &twin, &what);
        }
    }
    assert!(undone > 5_000);
}

#[test]
fn kept_as_if_there_had_been_no_savepoint() {
    for seed in 0..SESSIONS {
        let (mut session, mut replica) = start(seed);
        let mut twin = replica.clone();
        for step in 0..STEPS / 4 {
            let what = format!("seed {seed}, step {step}");
            replica.savepoint();
            for _ in 0..=session.random.below(8) {
                let next = session.step(&twin);
                next.apply(&mut replica);
                next.apply(&mut twin);
            }
            replica.release();
            assert_same(&replica, &twin, &what);
        }
    }
}

#[test]
fn the_way_back_is_as_long_as_the_way_there() {
    let mut replica = Replica::default();
    let text = "0123456789".repeat(20_000);
    let delta = Delta::new().insert(text.as_str());
    replica.apply_delta("content", &delta, 1).unwrap();
    for at in (0..100_000).step_by(10) {
        let delta = Delta::new().retain(200_000 - at - 1).insert("日");
        replica.apply_delta("content", &delta, 1).unwrap();
    }
    let twin = replica.clone();
    let mut bytes = 0;
    for round in 0..1_000 {
        if round == 1 {
            // There is room for more now.
            bytes = replica.size_bytes();
        }
        replica.savepoint();
        let delta = Delta::new()
            .retain(100 * round + 5)
            .insert("日😀")
            .delete(7);
        replica.apply_delta("content", &delta, 2).unwrap();
        replica.rollback();
    }
    assert_same(&replica, &twin, "after a thousand times");
    assert_stored_same(&replica, &twin, "after a thousand times");
    assert!(replica.size_bytes() <= bytes, "nothing piles up");
}

#[test]
fn one_at_a_time() {
    let mut replica = Replica::default();
    replica.savepoint();
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replica.savepoint()));
    assert!(again.is_err());
}

#[test]
fn a_type_that_was_deleted_has_all_that_was_in_it_again() {
    let mut replica = Replica::default();
    let root = Branch::Root("map".to_owned());
    let (id, _) = replica
        .set_key(&root, "key", Some(&Node::Array), 1)
        .unwrap();
    let list = Branch::At(Id { ..id });
    let nodes = [Node::Value(json!(1)), Node::Text, Node::Value(json!("two"))];
    replica.insert_nodes(&list, 0, &nodes, 1).unwrap();
    let before = replica.to_json("map", Shape::Map);
    replica.savepoint();
    let value = Node::Value(json!(3));
    replica.set_key(&root, "key", Some(&value), 2).unwrap();
    replica.insert_nodes(&list, 0, &nodes, 2).unwrap_err();
    replica.rollback();
    assert_eq!(replica.to_json("map", Shape::Map), before);
    replica.insert_nodes(&list, 1, &[value], 2).unwrap();
    replica.assert_invariants();
}
