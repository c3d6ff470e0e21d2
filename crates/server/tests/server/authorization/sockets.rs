//! Every message of every dialect, said by everyone.

use std::collections::BTreeSet;

use motet_crdt::SyncMessage;
use motet_ot::Delta;
use motet_protocol::yjs;
use serde_json::{Value, json};

use crate::{
    authorization::cast::{Access, Document, Person, Stage},
    authorization::raw::{self, Dialect, Raw, synced},
    support::{self, Client, Peer},
};

/// What is answered to a message of the OT dialect: a type, the code of an error, or nothing, but
/// another session of the document is `shown` it. The last column is for who has signed in, and could
/// not join.
const OT: &str = "
                 write          read           refused
auth             authenticated  authenticated  authenticated
join_document    already_joined already_joined not_found
edit_operation   ack            read_only      not_joined
insert           ack            read_only      not_joined
delete           ack            read_only      not_joined
format           ack            read_only      not_joined
cursor_update    shown          shown          not_joined
selection_update shown          shown          not_joined
presence_update  shown          shown          not_joined
ping             pong           pong           pong
leave_document   left_document  left_document  not_joined
";

/// The type of a message, and what the answer is to each of the three.
fn ot_rows() -> Vec<[&'static str; 4]> {
    let lines = OT.lines().filter(|line| !line.is_empty()).skip(1);
    let row = |line: &'static str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.try_into().unwrap()
    };
    lines.map(row).collect()
}

#[test]
fn the_table_has_every_message_of_a_client() {
    let protocol = include_str!("../../../../../docs/protocol.md");
    let (_, section) = protocol.split_once("### From the client\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let said = section.lines().filter_map(|line| line.split('|').nth(1));
    let types = said.flat_map(|cell| cell.split(r#"{"type":""#).skip(1));
    let documented: BTreeSet<_> = types.filter_map(|rest| rest.split('"').next()).collect();
    let tested: BTreeSet<_> = ot_rows().into_iter().map(|row| row[0]).collect();
    assert_eq!(tested, documented);
}

/// The message with which the person tries it.
fn message(kind: &str, person: &Person, document: &Document<'_>, revision: u64) -> Value {
    let mut message = match kind {
        "auth" => json!({ "token": person.bearer.as_deref().unwrap_or("guess") }),
        "edit_operation" => json!({
            "seq": 1, "revision": revision, "operation": { "ops": [{ "insert": "x" }] },
        }),
        "insert" => json!({ "pos": 0, "text": "x" }),
        "delete" => json!({ "pos": 0, "len": 1 }),
        "format" => json!({ "pos": 0, "len": 1, "attributes": { "bold": true } }),
        "cursor_update" => json!({ "position": 1 }),
        "selection_update" => json!({ "anchor": 2, "head": 3 }),
        "presence_update" => json!({ "data": { "mark": 7 } }),
        "join_document" | "leave_document" | "ping" => json!({}),
        _ => panic!("what does a client say in {kind}?"),
    };
    message["type"] = kind.into();
    message["documentId"] = document.id.clone().into();
    message
}

/// Whether a presence is as a message of this type makes it.
fn shows(kind: &str, presence: &Value) -> bool {
    match kind {
        "cursor_update" => presence["anchor"] == 1 && presence["head"] == 1,
        "selection_update" => presence["anchor"] == 2 && presence["head"] == 3,
        _ => presence["data"]["mark"] == 7,
    }
}

/// The type of the next answer, the code of an error, or that of the end.
async fn answer(peer: &mut impl Peer) -> String {
    loop {
        let message = match peer.next().await {
            support::Heard::Message(message) => message,
            support::Heard::Closed(code) => return code.unwrap_or_default().to_string(),
        };
        match message["type"].as_str().unwrap() {
            "error" => return message["code"].as_str().unwrap().to_owned(),
            "presence_update" | "operation" | "document_state" => {}
            kind => return kind.to_owned(),
        }
    }
}

/// The document as its owner reads it: the revision and everything else.
fn state(stage: &Stage, document: &Document<'_>) -> (u64, Value) {
    let path = format!("documents/{}", document.id);
    let answer = stage.must(document.owner, "GET", &path, Value::Null);
    let revision = answer["revision"].as_u64().unwrap();
    (revision, answer["content"].clone())
}

/// A document for the person, with something in it.
fn written<'s>(stage: &'s Stage, person: &'s Person) -> Document<'s> {
    let document = stage.document(person);
    let edit = json!({ "changes": { "ops": [{ "insert": "Hello" }] }, "clientVersion": 0 });
    let path = format!("documents/{}/edit", document.id);
    stage.must(document.owner, "PATCH", &path, edit);
    document
}

/// Says every message on a connection that has joined.
async fn say_all<P: Peer>(
    stage: &Stage,
    person: &Person,
    document: &Document<'_>,
    mut peer: P,
    carrier: &str,
) {
    let joined = peer.expect("document_state").await;
    let (mut watcher, _) = stage
        .server
        .join(document.owner, &document.id, "watcher")
        .await;
    for [kind, write, read, _] in ot_rows() {
        let place = format!("{:?} says {kind} over {carrier}", person.caller);
        let expected = match person.caller.access() {
            Access::Write => write,
            _ => read,
        };
        let before = state(stage, document);
        peer.send(&message(kind, person, document, before.0)).await;
        if expected == "shown" {
            let is_shown = |presence: &Value| {
                presence["sessionId"] == joined["sessionId"] && shows(kind, presence)
            };
            wait_for(&mut watcher, is_shown).await;
            // Nothing else was said about it.
            peer.send(&json!({ "type": "ping" })).await;
            assert_eq!(answer(&mut peer).await, "pong", "{place}");
        } else {
            assert_eq!(answer(&mut peer).await, expected, "{place}");
        }
        let after = state(stage, document);
        if expected == "ack" {
            assert_eq!(after.0, before.0 + 1, "{place}");
            assert_ne!(after.1, before.1, "{place}");
        } else {
            assert_eq!(after, before, "{place}");
        }
    }
}

async fn wait_for(watcher: &mut Client, is_shown: impl Fn(&Value) -> bool) {
    loop {
        let update = watcher.expect("presence_update").await;
        let lists = ["joined", "updated"].map(|list| update[list].as_array());
        if lists.into_iter().flatten().flatten().any(&is_shown) {
            return;
        }
    }
}

#[tokio::test]
async fn every_message_of_the_ot_dialect_by_everyone() {
    let stage = Stage::new(&[]);
    for person in &stage.cast() {
        let token = person.bearer.as_deref();
        let by_token = token.map_or(String::new(), |token| format!("&token={token}"));
        let document = written(&stage, person);
        let path = format!("/collab/{}?clientId=c{by_token}", document.id);
        let mut socket = stage.server.connect(&path).await;
        let streamed = written(&stage, person);
        let query = "clientId=c";
        let listening = stage
            .server
            .listen(&streamed.id, query, token.unwrap_or_default());
        let mut events = listening.await;
        let Access::Refused(code) = person.caller.access() else {
            say_all(&stage, person, &document, socket, "a socket").await;
            say_all(&stage, person, &streamed, events, "an event stream").await;
            continue;
        };
        let who = person.caller;
        if token.is_none() {
            socket.send(&json!({ "type": "ping" })).await;
        }
        assert_eq!(socket.closed().await, Some(code), "{who:?} on a socket");
        let over = events.closed().await;
        assert_eq!(over, Some(code), "{who:?} on an event stream");
        let before = state(&stage, &document);
        for [kind, _, _, refused] in ot_rows() {
            let place = format!("{who:?} says {kind}");
            let mut socket = stage.server.connect("/collab").await;
            if code == 4404 {
                socket.send(&message("auth", person, &document, 1)).await;
                assert_eq!(answer(&mut socket).await, "authenticated", "{place}");
                socket.send(&message(kind, person, &document, 1)).await;
                assert_eq!(answer(&mut socket).await, refused, "{place}");
            } else {
                // Whoever has not signed in is not heard; to try is the end.
                let first = if token.is_some() { "auth" } else { kind };
                socket.send(&message(first, person, &document, 1)).await;
                assert_eq!(socket.closed().await, Some(code), "{place}");
            }
            assert_eq!(state(&stage, &document), before, "{place}");
        }
    }
}

/// What a client of Yjs says.
const YJS: [&str; 5] = ["step 1", "step 2", "update", "awareness", "query awareness"];

/// The message, from a client that has what is in the document.
fn yjs_message(kind: &str, known: &[u8]) -> Vec<u8> {
    let mut document = synced(known);
    let mut edit = || document.edit(&Delta::new().insert("x"));
    match kind {
        "step 1" => yjs::sync(SyncMessage::Step1(&[0])).to_vec(),
        "step 2" => yjs::sync(SyncMessage::Step2(&edit())).to_vec(),
        "update" => yjs::sync(SyncMessage::Update(&edit())).to_vec(),
        "awareness" => raw::awareness(raw::CLIENT, r#"{"mark":7}"#),
        _ => raw::QUERY_AWARENESS.to_vec(),
    }
}

/// Says every message where the person may at least read.
async fn say_all_yjs(
    stage: &Stage,
    person: &Person,
    document: &Document<'_>,
    dialect: Dialect,
    may_write: bool,
) {
    let token = person.bearer.as_deref().unwrap_or_default();
    for (client, kind) in (1..).zip(YJS) {
        let place = format!("{:?} says {kind} to {dialect:?}", person.caller);
        let mut watcher = Raw::open(&stage.server, Dialect::YWebsocket, &document.id).await;
        watcher.enter(&document.owner.token).await;
        watcher.sync().await;
        watcher.say(&raw::awareness(client, r#"{"mark":1}"#)).await;
        watcher.sync().await;
        let mut peer = Raw::open(&stage.server, dialect, &document.id).await;
        let role = peer.enter(token).await;
        let said = if may_write { "read-write" } else { "readonly" };
        assert!(role.is_none_or(|role| role == said), "{place}");
        let known = peer.sync().await;
        let before = state(stage, document);
        peer.say(&yjs_message(kind, &known)).await;
        let mut is_edit = false;
        match kind {
            "step 1" => drop(peer.step_2().await),
            "step 2" | "update" => {
                is_edit = true;
                if dialect == Dialect::Hocuspocus {
                    assert_eq!(peer.stored().await, may_write, "{place}");
                }
                // What was said before is done once this is answered.
                peer.sync().await;
            }
            "awareness" => watcher.sees(r#""mark":7"#).await,
            _ => peer.sees(r#""mark":1"#).await,
        }
        let after = state(stage, document);
        if is_edit && may_write {
            assert_eq!(after.0, before.0 + 1, "{place}");
            assert_ne!(after.1, before.1, "{place}");
        } else {
            assert_eq!(after, before, "{place}");
        }
    }
}

#[tokio::test]
async fn every_message_of_yjs_by_everyone() {
    let stage = Stage::new(&[]);
    for person in &stage.cast() {
        for dialect in [Dialect::YWebsocket, Dialect::Hocuspocus] {
            let document = written(&stage, person);
            let code = match person.caller.access() {
                Access::Refused(code) => code,
                access => {
                    let may_write = access == Access::Write;
                    say_all_yjs(&stage, person, &document, dialect, may_write).await;
                    continue;
                }
            };
            let mut owner = Raw::open(&stage.server, dialect, &document.id).await;
            owner.enter(&document.owner.token).await;
            let known = owner.sync().await;
            let before = state(&stage, &document);
            for kind in YJS {
                let place = format!("{:?} says {kind} to {dialect:?}", person.caller);
                let mut peer = Raw::open(&stage.server, dialect, &document.id).await;
                peer.knock(person.bearer.as_deref()).await;
                peer.say(&yjs_message(kind, &known)).await;
                assert_eq!(peer.refused().await, code, "{place}");
                assert_eq!(state(&stage, &document), before, "{place}");
            }
        }
    }
}
