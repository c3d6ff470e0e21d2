//! Against yrs: replicas of both kinds edit one document and exchange updates in any order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/random.rs"]
mod random;

use std::sync::Arc;

use motet_crdt::{Branch, Node, Options, Replica, Shape, StateVector, Version};
use motet_ot::{Attributes, Delta};
use random::Random;
use serde_json::{Value, json};
use yrs::{
    Any, Array, ArrayRef, Doc, GetString, Map, MapRef, OffsetKind, Out, ReadTxn, Text, TextRef,
    Transact, TransactionMut,
    types::{ToJson, text::YChange},
    updates::decoder::Decode,
};

/// A replica of either kind.
enum Peer {
    Ours(Box<Replica>, u64),
    Yrs {
        doc: Doc,
        text: TextRef,
        array: ArrayRef,
        map: MapRef,
    },
}

impl Peer {
    fn ours(client: u64) -> Self {
        Self::Ours(Box::default(), client)
    }

    fn yrs(client: u64) -> Self {
        let doc = Doc::with_options(yrs::Options {
            client_id: yrs::block::ClientID::new(client),
            offset_kind: OffsetKind::Utf16,
            ..yrs::Options::default()
        });
        let (text, array, map) = (
            doc.get_or_insert_text("content"),
            doc.get_or_insert_array("array"),
            doc.get_or_insert_map("map"),
        );
        Self::Yrs {
            doc,
            text,
            array,
            map,
        }
    }

    fn edit(&mut self, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Ours(replica, client) => edit_ours(replica, *client, random),
            Self::Yrs {
                doc,
                text,
                array,
                map,
            } => {
                let mut transaction = doc.transact_mut();
                edit_yrs(&mut transaction, text, array, map, random);
                transaction.encode_update_v1()
            }
        }
    }

    fn apply(&mut self, update: &[u8]) {
        match self {
            Self::Ours(replica, _) => {
                replica.apply_update(update, Version::V1).unwrap();
                replica.assert_invariants();
            }
            Self::Yrs { doc, .. } => {
                let update = yrs::Update::decode_v1(update).unwrap();
                doc.transact_mut().apply_update(update).unwrap();
            }
        }
    }

    /// What it says: text, delta, list, map, and what it has.
    fn said(&self) -> (String, Delta, Value, Value, Vec<(u64, u32)>) {
        match self {
            Self::Ours(replica, _) => (
                replica.text("content"),
                replica.to_delta("content"),
                replica.to_json("array", Shape::Array),
                replica.to_json("map", Shape::Map),
                replica.state_vector().iter().collect(),
            ),
            Self::Yrs {
                doc,
                text,
                array,
                map,
            } => {
                let transaction = doc.transact();
                let known = transaction.state_vector();
                let mut vector: Vec<(u64, u32)> = known
                    .iter()
                    .map(|(client, clock)| (client.get(), *clock))
                    .filter(|(_, clock)| *clock > 0)
                    .collect();
                vector.sort_unstable();
                let delta = text.diff(&transaction, YChange::identity);
                (
                    text.get_string(&transaction),
                    delta.into_iter().fold(Delta::new(), |delta, piece| {
                        let attributes = piece.attributes.into_iter().flat_map(|all| *all);
                        let attributes: Attributes = attributes
                            .map(|(key, value)| (key.to_string(), json_of(&value)))
                            .collect();
                        match piece.insert {
                            Out::Any(Any::String(text)) => delta.insert_with(&text, attributes),
                            other => unreachable!("nobody inserts {other:?}"),
                        }
                    }),
                    json_of(&array.to_json(&transaction)),
                    json_of(&map.to_json(&transaction)),
                    vector,
                )
            }
        }
    }
}

fn json_of(any: &Any) -> Value {
    let text = serde_json::to_string(any).unwrap();
    // yrs writes 1 as 1.0.
    whole(serde_json::from_str(&text).unwrap())
}

fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "small whole numbers only")]
            Some(float) if float.fract() == 0.0 => json!(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(values) => values.into_iter().map(whole).collect(),
        other => other,
    }
}

const WORDS: [&str; 5] = ["a", "bc", "é ", "😀", "x世界"];

/// A place that is not inside a surrogate pair.
fn boundary(text: &str, mut at: usize) -> usize {
    let units: Vec<u16> = text.encode_utf16().collect();
    if at < units.len() && (0xdc00..0xe000).contains(&units[at]) {
        at -= 1;
    }
    at
}

fn edit_ours(replica: &mut Replica, client: u64, random: &mut Random) -> Vec<u8> {
    let root = |name: &str| Branch::Root(name.to_owned());
    match random.below(8) {
        0 => {
            let len = replica.len_at(&root("array"));
            let at = random.below(len + 1);
            if random.below(3) > 0 || at == len {
                let nodes = [
                    Node::Value(json!(random.below(100))),
                    Node::Value(json!("s")),
                ];
                let inserted = replica.insert_nodes(&root("array"), at, &nodes, client);
                return inserted.unwrap().1;
            }
            replica.delete_nodes(&root("array"), at, 1, client).unwrap()
        }
        1 => {
            let node = (random.below(4) > 0).then(|| Node::Value(json!(random.below(100))));
            let key = ["k", "l"][random.below(2)];
            replica
                .set_key(&root("map"), key, node.as_ref(), client)
                .unwrap()
                .1
        }
        what => {
            let text = replica.text("content");
            let len = text.encode_utf16().count();
            let at = boundary(&text, random.below(len + 1));
            let end = boundary(&text, (at + 1 + random.below(6)).min(len));
            let bold: Attributes = [(
                "bold".to_owned(),
                [json!(true), json!(null)][what % 2].clone(),
            )]
            .into_iter()
            .collect();
            let delta = Delta::new().retain(at);
            let delta = match what {
                2 | 3 if end > at => delta.delete(end - at),
                4 | 5 if end > at => delta.retain_with(end - at, bold),
                _ => delta.insert(WORDS[random.below(5)]),
            };
            replica.apply_delta("content", &delta, client).unwrap()
        }
    }
}

fn edit_yrs(
    transaction: &mut TransactionMut<'_>,
    text: &TextRef,
    array: &ArrayRef,
    map: &MapRef,
    random: &mut Random,
) {
    let to_u32 = |at: usize| u32::try_from(at).unwrap();
    match random.below(8) {
        0 => {
            let len = array.len(transaction) as usize;
            let at = random.below(len + 1);
            if random.below(3) > 0 || at == len {
                array.insert_range(transaction, to_u32(at), [Any::from(7.0), Any::from("y")]);
            } else {
                array.remove(transaction, to_u32(at));
            }
        }
        1 => {
            let key = ["k", "l"][random.below(2)];
            if random.below(4) > 0 {
                map.insert(transaction, key, f64::from(to_u32(random.below(100))));
            } else {
                map.remove(transaction, key);
            }
        }
        what => {
            let string = text.get_string(transaction);
            let len = string.encode_utf16().count();
            let at = boundary(&string, random.below(len + 1));
            let end = boundary(&string, (at + 1 + random.below(6)).min(len));
            let value = if what % 2 == 0 {
                Any::Bool(true)
            } else {
                Any::Null
            };
            let attributes = yrs::types::Attrs::from([(Arc::from("bold"), value)]);
            match what {
                2 | 3 if end > at => text.remove_range(transaction, to_u32(at), to_u32(end - at)),
                4 | 5 if end > at => {
                    text.format(transaction, to_u32(at), to_u32(end - at), attributes);
                }
                _ => text.insert(transaction, to_u32(at), WORDS[random.below(5)]),
            }
        }
    }
}

#[test]
fn sessions_with_yrs_lead_to_the_same_document() {
    let sessions = std::env::var("MOTET_SESSIONS")
        .ok()
        .and_then(|set| set.parse().ok());
    for seed in 0..sessions.unwrap_or(3_000_u64) {
        let mut random = Random(seed);
        let mut peers = vec![Peer::ours(3), Peer::yrs(5), Peer::ours(900), Peer::yrs(4)];
        peers.truncate(2 + random.below(3));
        let count = peers.len();
        // Of each peer's updates the others have taken so many: each client's come in order, and
        // otherwise as they like.
        let mut made: Vec<Vec<Vec<u8>>> = vec![Vec::new(); count];
        let mut taken = vec![vec![0; count]; count];
        for _ in 0..15 + random.below(30) {
            let at = random.below(count);
            if random.below(3) > 0 {
                let update = peers[at].edit(&mut random);
                made[at].push(update);
            } else {
                let from = random.below(count);
                if from != at && taken[at][from] < made[from].len() {
                    peers[at].apply(&made[from][taken[at][from]]);
                    taken[at][from] += 1;
                }
            }
        }
        for at in 0..count {
            for from in (0..count).filter(|from| *from != at) {
                for update in &made[from][taken[at][from]..] {
                    peers[at].apply(update);
                }
            }
        }
        let said: Vec<_> = peers.iter().map(Peer::said).collect();
        for other in &said[1..] {
            assert_eq!(other, &said[0], "seed {seed}");
        }
        if let Peer::Ours(replica, _) = &peers[0] {
            let whole = replica.encode_update(&StateVector::default(), Version::V2);
            let mut again = Replica::new(Options::default());
            again.apply_update(&whole, Version::V2).unwrap();
            assert_eq!(
                Peer::Ours(Box::new(again), 0).said(),
                said[0],
                "seed {seed}"
            );
        }
    }
}
