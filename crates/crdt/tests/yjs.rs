//! Against Yjs itself: random sessions lead to the same document, whoever made the updates and in
//! whatever order they come.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/random.rs"]
mod random;
#[path = "support/yjs.rs"]
mod support;
#[path = "support/twins.rs"]
mod twins;

use motet_crdt::{Branch, Client, Node, Options, Replica, Shape, Snapshot, StateVector, Version};
use motet_ot::{Attributes, Delta, Embed, Insert, Operation};
use random::Random;
use serde_json::{Value, json};
use support::{Yjs, hex, unhex};
use twins::Twins;

/// The sessions of one test: so many of 10,000, or of as many as `MOTET_SESSIONS` says.
fn sessions(of_10_000: u64) -> u64 {
    let set = std::env::var("MOTET_SESSIONS").ok();
    let all: u64 = set.and_then(|set| set.parse().ok()).unwrap_or(10_000);
    all * of_10_000 / 10_000
}

fn said(replica: &Replica) -> Value {
    json!({
        "text": replica.text("content"),
        "delta": replica.to_delta("content").ops(),
        "array": replica.to_json("array", Shape::Array),
        "map": replica.to_json("map", Shape::Map),
        "xml": replica.to_json("xml", Shape::Xml),
        "vector": hex(&replica.encode_state_vector()),
    })
}

/// Yjs leaves neighbours apart that are alike.
fn normal(ops: &Value) -> Delta {
    let json = json!({ "ops": ops }).to_string();
    motet_ot::decode(json.as_bytes()).unwrap().delta
}

fn expect_same(replica: &Replica, expected: &Value, what: &str) {
    replica.assert_invariants();
    let found = said(replica);
    for field in ["text", "array", "map", "xml"] {
        assert_eq!(found[field], expected[field], "{what}: {field}");
    }
    assert_eq!(
        replica.to_delta("content"),
        normal(&expected["delta"]),
        "{what}: delta"
    );
    let vector =
        |hex: &Value| motet_crdt::decode_state_vector(&unhex(hex.as_str().unwrap())).unwrap();
    assert_eq!(
        vector(&found["vector"]),
        vector(&expected["vector"]),
        "{what}"
    );
}

fn updates(answer: &Value, field: &str) -> Vec<Vec<u8>> {
    let updates = answer[field].as_array().unwrap();
    updates
        .iter()
        .map(|it| unhex(it.as_str().unwrap()))
        .collect()
}

#[test]
fn sessions_of_yjs_lead_to_the_same_document() {
    let mut yjs = Yjs::start();
    for batch in 0..sessions(7_000) / 20 {
        let seeds: Vec<u64> = (batch * 20..batch * 20 + 20).collect();
        let requests: Vec<Value> = seeds
            .iter()
            .map(|seed| json!({ "op": "session", "seed": seed }))
            .collect();
        let answers = yjs.ask(&requests);
        let mut back = Vec::new();
        for (seed, answer) in seeds.iter().zip(&answers) {
            back.extend(one_session(*seed, answer));
        }
        let answers_back = yjs.ask(&back);
        for (at, found) in answers_back.iter().enumerate() {
            let expected = &answers[at / 2]["said"];
            let seed = seeds[at / 2];
            for field in ["text", "array", "map", "xml", "vector"] {
                assert_eq!(found[field], expected[field], "seed {seed}");
            }
            assert_eq!(
                normal(&found["delta"]),
                normal(&expected["delta"]),
                "seed {seed}"
            );
        }
    }
}

/// Documents that Yjs 13.2 wrote.
#[test]
fn old_documents_are_read() {
    let file = include_str!("../../../vectors/yjs/compatibility.json");
    let fixtures: Vec<Value> = serde_json::from_str(file).unwrap();
    assert_eq!(fixtures.len(), 3);
    for fixture in fixtures {
        let field = |name: &str| fixture[name].as_str().unwrap();
        let mut replica = Replica::new(Options::default());
        let update = unhex(field("update"));
        replica.apply_update(&update, Version::V1).unwrap();
        replica.assert_invariants();
        let root = field("root");
        match field("kind") {
            "Array" => assert_eq!(replica.to_json(root, Shape::Array), fixture["expected"]),
            "Map" => assert_eq!(replica.to_json(root, Shape::Map), fixture["expected"]),
            _ => assert_eq!(replica.to_delta(root), normal(&fixture["expected"])),
        }
        assert!(!replica.has_pending());
    }
}

/// Plays a session, and returns what Yjs is to be asked about it.
fn one_session(seed: u64, answer: &Value) -> [Value; 2] {
    let mut random = Random(seed);
    let options = Options {
        gc: answer["gc"].as_bool().unwrap(),
    };
    let expected = &answer["said"];
    let (v1, v2) = (updates(answer, "updates"), updates(answer, "updatesV2"));

    let mut in_order = Replica::new(options);
    let mut told = Delta::new();
    for update in &v1 {
        let delta = in_order
            .apply_update_to(update, Version::V1, "content")
            .unwrap();
        in_order.assert_invariants();
        told = told.compose(&delta).unwrap();
    }
    expect_same(&in_order, expected, &format!("seed {seed}, in order"));
    assert_eq!(
        told,
        in_order.to_delta("content"),
        "seed {seed}: the deltas told"
    );

    let mut shuffled: Vec<(&Vec<u8>, Version)> = Vec::new();
    for (one, two) in v1.iter().zip(&v2) {
        shuffled.push(if random.below(2) == 0 {
            (one, Version::V1)
        } else {
            (two, Version::V2)
        });
        if random.below(4) == 0 {
            shuffled.push((one, Version::V1));
        }
    }
    shuffle(&mut shuffled, &mut random);
    let mut twins = Twins::new(options);
    let mut told = Delta::new();
    for (update, version) in shuffled {
        let received = twins.receive(update, version);
        told = told.compose(&received.delta).unwrap();
    }
    let replica = twins.first;
    expect_same(&replica, expected, &format!("seed {seed}, shuffled"));
    assert!(!replica.has_pending());
    assert_eq!(
        told,
        replica.to_delta("content"),
        "seed {seed}: the deltas told"
    );
    assert_eq!(replica.deleted(), in_order.deleted(), "seed {seed}");

    let parts: Vec<&[u8]> = v1.iter().map(Vec::as_slice).collect();
    let merged = motet_crdt::merge_updates(&parts, Version::V1).unwrap();
    let mut replica = Replica::new(options);
    replica.apply_update(&merged, Version::V1).unwrap();
    expect_same(&replica, expected, &format!("seed {seed}, merged"));
    // Of all updates at once, as Yjs has taken them: where a pair is cut depends on the order.
    for past in answer["snapshots"].as_array().unwrap() {
        let bytes = unhex(past["snapshot"].as_str().unwrap());
        let snapshot = Snapshot::decode(&bytes, Version::V1).unwrap();
        assert_eq!(snapshot.encode(Version::V1), bytes, "seed {seed}");
        let found = replica.to_delta_at("content", &snapshot);
        assert_eq!(found, normal(&past["delta"]), "seed {seed}: {snapshot:?}");
    }

    let saved = in_order.save();
    let loaded = Replica::load(&saved, options).unwrap();
    expect_same(&loaded, expected, &format!("seed {seed}, loaded"));
    assert_eq!(loaded.deleted(), in_order.deleted(), "seed {seed}");
    assert_eq!(loaded.runs(), in_order.runs(), "seed {seed}");

    let nothing = StateVector::default();
    let whole = in_order.encode_update(&nothing, Version::V1);
    let whole_v2 = in_order.encode_update(&nothing, Version::V2);
    for (update, version) in [(&whole, Version::V1), (&whole_v2, Version::V2)] {
        let mut again = Replica::new(options);
        again.apply_update(update, version).unwrap();
        expect_same(&again, expected, &format!("seed {seed}, {version:?} again"));
    }
    [
        json!({ "op": "apply", "updates": [hex(&whole)], "v2": false, "gc": options.gc }),
        json!({ "op": "apply", "updates": [hex(&whole_v2)], "v2": true, "gc": options.gc }),
    ]
}

/// Yjs deletes formats that it takes for useless after the changes of others. A replica does not, and
/// shows the same, whether it hears of those deletions or not.
#[test]
fn formats_that_yjs_tidies_up() {
    let mut yjs = Yjs::start();
    let mut tidied = 0;
    for batch in 0..sessions(400) / 20 {
        let seeds = batch * 20..batch * 20 + 20;
        let requests = seeds
            .clone()
            .map(|seed| json!({ "op": "tidied", "seed": seed }));
        let answers = yjs.ask(&requests.collect::<Vec<_>>());
        for (seed, answer) in seeds.zip(answers) {
            let gc = answer["gc"].as_bool().unwrap();
            let (all, edits) = (updates(&answer, "updates"), updates(&answer, "edits"));
            tidied += all.len() - edits.len();
            let mut twins = Twins::new(Options { gc });
            for update in &all {
                twins.receive(update, Version::V1);
            }
            for peer in answer["peers"].as_array().unwrap() {
                expect_same(&twins.first, peer, &format!("seed {seed}"));
            }
            let mut alone = Replica::new(Options { gc });
            for update in &edits {
                alone.apply_update(update, Version::V1).unwrap();
            }
            expect_same(&alone, &answer["alone"], &format!("seed {seed}, alone"));
        }
    }
    assert!(tidied > 0, "Yjs has tidied up");
}

#[test]
fn sessions_of_replicas_lead_yjs_to_the_same_document() {
    let mut yjs = Yjs::start();
    for batch in 0..sessions(3_000) / 20 {
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for seed in batch * 20..batch * 20 + 20 {
            let (replica, updates, gc) = session_of_replicas(seed);
            let updates: Vec<String> = updates.iter().map(|update| hex(update)).collect();
            requests.push(json!({ "op": "apply", "updates": updates, "v2": false, "gc": gc }));
            let whole = replica.encode_update(&StateVector::default(), Version::V2);
            requests.push(json!({ "op": "apply", "updates": [hex(&whole)], "v2": true, "gc": gc }));
            expected.push((seed, replica));
        }
        let answers = yjs.ask(&requests);
        for (at, answer) in answers.iter().enumerate() {
            let (seed, replica) = &expected[at / 2];
            expect_same(replica, answer, &format!("seed {seed}, {at}"));
            assert_eq!(answer["pending"], false, "seed {seed}");
        }
    }
}

/// Several replicas edit and exchange what they have; returns one that has all.
fn session_of_replicas(seed: u64) -> (Replica, Vec<Vec<u8>>, bool) {
    let mut random = Random(seed);
    let gc = random.below(3) > 0;
    let mut peers: Vec<(Client, Replica)> = [5, 9, 1 << 40, 12, 700][..2 + random.below(4)]
        .iter()
        .map(|client| (*client, Replica::new(Options { gc })))
        .collect();
    let (mut updates, mut snapshots) = (Vec::new(), Vec::new());
    for _ in 0..10 + random.below(30) {
        let at = random.below(peers.len());
        if random.below(4) > 0 {
            let (client, replica) = &mut peers[at];
            let before = replica.to_delta("content");
            let (update, delta) = edit(replica, *client, &mut random);
            replica.assert_invariants();
            if let Some(delta) = delta {
                let after = before.compose(&delta).unwrap();
                assert_eq!(replica.to_delta("content"), after, "seed {seed}: {delta:?}");
                snapshots.push((replica.snapshot(), after));
            }
            updates.push(update);
        } else {
            let (_, other) = &peers[random.below(peers.len())];
            let update = other.encode_update(&peers[at].1.state_vector(), Version::V2);
            peers[at].1.apply_update(&update, Version::V2).unwrap();
            peers[at].1.assert_invariants();
        }
    }
    let mut twins = Twins::new(Options { gc });
    let mut told = Delta::new();
    let mut order: Vec<&Vec<u8>> = updates.iter().collect();
    shuffle(&mut order, &mut random);
    for update in order {
        let received = twins.receive(update, Version::V1);
        told = told.compose(&received.delta).unwrap();
    }
    let whole = twins.first;
    for (snapshot, delta) in snapshots.iter().filter(|_| !gc) {
        assert_eq!(
            whole.to_delta_at("content", snapshot),
            *delta,
            "seed {seed}"
        );
    }
    assert!(!whole.has_pending());
    assert_eq!(
        told,
        whole.to_delta("content"),
        "seed {seed}: the deltas told"
    );
    for (_, replica) in &mut peers {
        let missing = whole.encode_update(&replica.state_vector(), Version::V1);
        replica.apply_update(&missing, Version::V1).unwrap();
        assert_eq!(said(replica), said(&whole), "seed {seed}");
        assert_eq!(replica.deleted(), whole.deleted(), "seed {seed}");
    }
    (whole, updates, gc)
}

/// A random edit. Returns its update, and its delta if it was one of the text `content`.
fn edit(replica: &mut Replica, client: Client, random: &mut Random) -> (Vec<u8>, Option<Delta>) {
    let roots = [
        ("content", Shape::Text),
        ("array", Shape::Array),
        ("map", Shape::Map),
        ("xml", Shape::Xml),
    ];
    let (name, mut shape) = roots[[0, 0, 0, 1, 2, 3][random.below(6)]];
    let mut branch = Branch::Root(name.to_owned());
    for _ in 0..3 {
        let inside = replica.branches(&branch);
        if inside.is_empty() || random.below(3) == 0 {
            break;
        }
        (branch, shape) = inside[random.below(inside.len())].clone();
    }
    let is_text_in_xml = replica.is_text(&branch);
    match shape {
        Shape::Text => {
            let delta = random_delta(&replica.delta_at(&branch), random);
            let update = replica.apply_delta_to(&branch, &delta, client).unwrap();
            let is_content = branch == Branch::Root("content".to_owned());
            (update, is_content.then_some(delta))
        }
        Shape::Xml if is_text_in_xml => {
            let delta = random_delta(&replica.delta_at(&branch), random);
            (
                replica.apply_delta_to(&branch, &delta, client).unwrap(),
                None,
            )
        }
        Shape::Map => (set_key(replica, &branch, client, random), None),
        Shape::Array | Shape::Xml => {
            let is_xml = shape == Shape::Xml;
            if is_xml && matches!(branch, Branch::At(_)) && random.below(3) == 0 {
                let value = Node::Value(json!("é"));
                let key = ["k", "l"][random.below(2)];
                return (
                    replica
                        .set_key(&branch, key, Some(&value), client)
                        .unwrap()
                        .1,
                    None,
                );
            }
            let len = replica.len_at(&branch);
            let at = random.below(len + 1);
            if random.below(3) > 0 || at == len {
                let nodes: Vec<Node> = (0..=random.below(3))
                    .map(|_| {
                        if is_xml {
                            xml_node(random)
                        } else {
                            node(random)
                        }
                    })
                    .collect();
                (
                    replica.insert_nodes(&branch, at, &nodes, client).unwrap().1,
                    None,
                )
            } else {
                let count = (1 + random.below(3)).min(len - at);
                (
                    replica.delete_nodes(&branch, at, count, client).unwrap(),
                    None,
                )
            }
        }
    }
}

fn set_key(replica: &mut Replica, branch: &Branch, client: Client, random: &mut Random) -> Vec<u8> {
    let key = ["k", "l", "m"][random.below(3)];
    let node = (random.below(4) > 0).then(|| node(random));
    replica
        .set_key(branch, key, node.as_ref(), client)
        .unwrap()
        .1
}

fn node(random: &mut Random) -> Node {
    match random.below(9) {
        8 => Node::Document(format!("guid {}", random.below(10))),
        0 => Node::Array,
        1 => Node::Map,
        2 => Node::Text,
        3 => Node::Value(json!({ "a": [1, null, 0.5] })),
        4 => Node::Value(json!("text")),
        5 => Node::Value(Value::Null),
        _ => Node::Value(json!(random.below(1000))),
    }
}

fn xml_node(random: &mut Random) -> Node {
    match random.below(5) {
        0 => Node::XmlHook("hook".to_owned()),
        1 | 2 => Node::XmlElement("p".to_owned()),
        _ => Node::XmlText,
    }
}

fn random_delta(document: &Delta, random: &mut Random) -> Delta {
    let units: Vec<u16> = document
        .ops()
        .iter()
        .flat_map(|operation| match operation {
            Operation::Insert {
                insert: Insert::Text(text),
                ..
            } => text.as_str().encode_utf16().collect::<Vec<_>>(),
            _ => vec![0],
        })
        .collect();
    let is_cut = |at: usize| at > 0 && at < units.len() && (0xdc00..0xe000).contains(&units[at]);
    let mut delta = Delta::new();
    let mut at = 0;
    for _ in 0..=random.below(3) {
        let mut to = at + random.below(units.len() - at + 1);
        to -= usize::from(is_cut(to));
        let mut end = (to + random.below(8)).min(units.len());
        end -= usize::from(is_cut(end));
        if to < at || end < to {
            continue;
        }
        delta = delta.retain(to - at);
        at = to;
        let name = ["bold", "italic", "color"][random.below(3)];
        let value = [json!(true), json!(null), json!("red")][random.below(3)].clone();
        let attributes: Attributes = [(name.to_owned(), value)].into_iter().collect();
        let is_set = attributes.get(name).is_some_and(|value| !value.is_null());
        let word = ["a", "bc", "é\n", "😀", "x世界"][random.below(5)];
        match random.below(7) {
            0 | 1 => delta = delta.insert(word),
            2 if is_set => delta = delta.insert_with(word, attributes),
            3 => {
                let embed = json!({ "image": random.below(9) });
                let embed = Embed::new(embed.as_object().unwrap().clone());
                delta = delta.insert_embed(embed, Attributes::new());
            }
            4 => {
                delta = delta.delete(end - at);
                at = end;
            }
            _ => {
                delta = delta.retain_with(end - at, attributes);
                at = end;
            }
        }
    }
    delta
}

fn shuffle<T>(all: &mut [T], random: &mut Random) {
    for at in (1..all.len()).rev() {
        all.swap(at, random.below(at + 1));
    }
}
