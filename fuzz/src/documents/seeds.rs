//! Bytes to begin with, from documents that Yjs wrote, recorded keystrokes, and quill-delta's cases.

use motet_crdt::{
    Association, AwarenessEntry, Client, Options, Replica, Snapshot, StateVector, SyncMessage,
    Version, encode_awareness,
};
use motet_ot::Delta;
use serde_json::Value;

const DOCUMENTS: &str = include_str!("../../../vectors/yjs/compatibility.json");
const KEYSTROKES: &str = include_str!("../../../vectors/traces/sequential.json");
const TRANSFORM: &str = include_str!("../../../vectors/delta/transform.json");
const INVERT: &str = include_str!("../../../vectors/delta/invert.json");

/// One in so many of quill-delta's cases.
const CASES_STEP: usize = 60;
/// How many recorded edits make a document.
const EDITS: usize = 60;

/// The name of a target, and bytes for it.
pub type Seed = (&'static str, Vec<u8>);

/// Bytes for all targets.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for document in documents() {
        let mut replica = Replica::default();
        replica
            .apply_update(&document, Version::V1)
            .expect("Yjs wrote it");
        of_replica(&replica, &mut seeds);
    }
    let (typed, updates) = typed();
    of_replica(&typed, &mut seeds);
    for gc in [0, 1] {
        seeds.push(("apply", framed(gc, &updates)));
        let late: Vec<Vec<u8>> = updates.iter().rev().cloned().collect();
        seeds.push(("apply", framed(gc, &late)));
    }
    of_messages(&typed, &mut seeds);
    of_operations(&mut seeds);
    seeds
}

/// A document of a few edits.
pub(crate) fn small_update() -> Vec<u8> {
    let mut replica = Replica::default();
    let typed = Delta::new().insert("motet");
    let changed = Delta::new().retain(2).insert("😀").delete(1);
    for (delta, client) in [(typed, 1), (changed, 2)] {
        replica
            .apply_delta("content", &delta, client)
            .expect("it fits");
    }
    replica.encode_update(&StateVector::default(), Version::V1)
}

fn documents() -> Vec<Vec<u8>> {
    let documents: Vec<Value> = serde_json::from_str(DOCUMENTS).expect("a vector");
    let documents = documents.iter().filter_map(|it| it["update"].as_str());
    documents.map(unhex).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs
        .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}

/// What two people typed, and their updates.
fn typed() -> (Replica, Vec<Vec<u8>>) {
    let trace: Value = serde_json::from_str(KEYSTROKES).expect("a vector");
    let transactions = trace["txns"].as_array().expect("a trace");
    let patches = transactions
        .iter()
        .flat_map(|it| it["patches"].as_array().into_iter().flatten());
    let mut replica = Replica::new(Options { gc: false });
    let mut updates = Vec::new();
    for (n, patch) in patches.take(EDITS).enumerate() {
        let number = |at: usize| usize::try_from(patch[at].as_u64().unwrap_or(0)).unwrap_or(0);
        let text = patch[2].as_str().unwrap_or_default();
        let delta = Delta::new()
            .retain(number(0))
            .insert(text)
            .delete(number(1));
        let client: Client = [1, 1 << 40][n / 5 % 2];
        updates.extend(replica.apply_delta("content", &delta, client));
    }
    (replica, updates)
}

/// Updates as the target `apply` takes them.
fn framed(flags: u8, updates: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![flags];
    for update in updates {
        let len = u8::try_from(update.len()).ok().filter(|len| *len < 0x7f);
        bytes.extend(len.map(|len| len << 1));
        bytes.extend(len.iter().flat_map(|_| update));
    }
    bytes
}

fn of_replica(replica: &Replica, seeds: &mut Vec<Seed>) {
    let nothing = StateVector::default();
    for (version, head) in [(Version::V1, 0xfe), (Version::V2, 0xff)] {
        let update = replica.encode_update(&nothing, version);
        for flags in [0, 1] {
            seeds.push(("apply", [&[flags, head], update.as_slice()].concat()));
        }
        seeds.push(("merge", update.repeat(2)));
        seeds.push(("merge", update));
        seeds.push(("messages", replica.snapshot().encode(version)));
    }
    seeds.push(("messages", replica.encode_state_vector()));
    seeds.push(("load", replica.save()));
}

fn of_messages(replica: &Replica, seeds: &mut Vec<Seed>) {
    let (vector, update) = (replica.encode_state_vector(), small_update());
    for message in [
        SyncMessage::Step1(&vector),
        SyncMessage::Step2(&update),
        SyncMessage::Update(&update),
    ] {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        seeds.push(("messages", bytes));
    }
    let state = r##"{"user":{"name":"Ada","color":"#30bced"},"cursor":{"anchor":1,"head":2}}"##;
    let entry = |client, clock, state| AwarenessEntry {
        client,
        clock,
        state,
    };
    let entries = [entry(1, 7, state), entry((1 << 53) - 1, 8, "null")];
    seeds.push(("messages", encode_awareness(&entries)));
    seeds.push(("messages", Snapshot::default().encode(Version::V1)));
    for index in [0, 2, replica.len_utf16("content")] {
        for association in [Association::Before, Association::After] {
            let position = replica.position_at("content", index, association);
            seeds.extend(position.map(|position| ("messages", position.encode())));
        }
    }
}

fn of_operations(seeds: &mut Vec<Seed>) {
    for (file, fields) in [(TRANSFORM, ["a", "b"]), (INVERT, ["base", "change"])] {
        let file: Value = serde_json::from_str(file).expect("a vector");
        let cases = file["cases"].as_array().expect("cases");
        for case in cases.iter().step_by(CASES_STEP) {
            let [one, two] = fields.map(|field| case[field].to_string());
            let document = r#"{"ops":[{"insert":"Hello, 世界 😀"},{"insert":{"image":"i"}}]}"#;
            let lines = match fields[0] {
                "base" => [one.as_str(), &two, &two],
                _ => [document, &one, &two],
            };
            seeds.push(("operations", lines.join("\n").into_bytes()));
        }
    }
}
