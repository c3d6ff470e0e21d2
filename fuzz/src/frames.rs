//! Frames of clients, in every dialect, and the message that tells clients of many changes.

use motet_model::{Revision, UserId, limits};
use motet_ot::{Delta, decode};
use motet_protocol::{
    ot::{self, Author, Authored, ClientMessage},
    yjs::{self, Message, hocuspocus},
};
use serde_json::{Value, json};

/// A frame as a client of each dialect might send it.
pub fn frames(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        positions(text);
    }
    match yjs::decode(data) {
        Ok(Message::Sync(message)) => {
            let again = yjs::sync(message);
            assert_eq!(yjs::decode(&again), Ok(Message::Sync(message)));
        }
        Ok(Message::Awareness(update)) => {
            let again = yjs::awareness(update);
            assert_eq!(yjs::decode(&again), Ok(Message::Awareness(update)));
        }
        _ => {}
    }
    let _any = hocuspocus::decode(data);
}

fn positions(text: &str) {
    let mut count = 0;
    for incoming in ot::decode(text).into_iter().flatten() {
        count += 1;
        match incoming.message {
            Ok(ClientMessage::Edit { operation, .. } | ClientMessage::ShortEdit { operation }) => {
                operation.delta.assert_normal();
                assert!(operation.extent_utf16 >= operation.delta.base_len_utf16());
            }
            Ok(ClientMessage::Describe { data: Some(data) }) => {
                assert!(serde_json::from_str::<Value>(&data).is_ok_and(|it| it.is_object()));
            }
            Ok(_) => {}
            Err(refused) => assert!(!refused.message.is_empty()),
        }
    }
    assert!(count <= limits::MESSAGES_PER_FRAME_MAX);
}

/// Deltas as JSON, one to a line, that are told as one message: who reads it as docs/protocol.md says has the
/// same.
pub fn batches(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let deltas = lines.filter_map(|line| Some(decode(line).ok()?.delta));
    let deltas: Vec<(u32, Delta)> = (0..).zip(deltas).collect();
    let user = UserId::from_bytes([7; 16]);
    let told = deltas.iter().map(|(n, delta)| Authored {
        author: if n % 2 == 0 {
            Author::Session(*n)
        } else {
            Author::User(user)
        },
        seq: u64::from(*n),
        delta,
    });
    let first = Revision::new(40);
    let message = [b"{", &*ot::operations(first, told)].concat();
    let message: Value = serde_json::from_slice(&message).expect("it is JSON");
    assert_eq!(message["type"], "operations");
    assert_eq!(message["revision"], 40);
    let changes = message["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), deltas.len());
    for (change, (n, delta)) in changes.iter().zip(&deltas) {
        let author = if n % 2 == 0 {
            json!(n)
        } else {
            json!(user.to_string())
        };
        assert_eq!([&change[0], &change[1]], [&author, &json!(n)]);
        let operations = &change.as_array().expect("a change")[2..];
        assert_eq!(read(operations), *delta);
    }
}

fn read(operations: &[Value]) -> Delta {
    operations.iter().fold(Delta::new(), |mut delta, it| {
        let number = it.as_i64().map(|it| (it, it.unsigned_abs()));
        match (number.map(|(it, len)| (it < 0, usize::try_from(len))), it) {
            (Some((true, Ok(len))), _) => delta.delete(len),
            (Some((false, Ok(len))), _) => delta.retain(len),
            (_, Value::String(text)) => delta.insert(text),
            (_, other) => {
                let one = json!({"ops": [other]}).to_string();
                let one = decode(one.as_bytes()).expect("an operation");
                delta.push(one.delta.ops()[0].clone());
                delta
            }
        }
    })
}

/// Messages of each kind and dialect, and deltas of each kind of operation.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let document = "01890a5d-ac96-774b-bcce-b302099a8057";
    let texts = [
        format!(
            r#"{{"type":"join_document","documentId":"{document}","clientId":"c","revision":7,"pending":true}}"#
        ),
        r#"{"type":"edit_operation","seq":1,"revision":7,"operation":{"ops":[{"insert":"a"}]}}"#
            .into(),
        r#"[{"type":"insert","pos":1,"text":"x\u00e9"},{"type":"delete","pos":0,"len":2}]"#.into(),
        r#"{"type":"format","pos":1,"len":2,"attributes":{"bold":true}}"#.into(),
        r#"{"type":"selection_update","anchor":1,"head":3,"revision":2}"#.into(),
        r#"{"type":"presence_update","data":{"a":[1,2,{"b":null}]}}"#.into(),
        r#"[{"type":"auth","token":"t"},{"type":"ping"},{"type":"leave_document"}]"#.into(),
    ];
    let mut seeds: Vec<_> = texts.map(|text| ("frames", text.into_bytes())).into();
    let prefix = hocuspocus::prefix(document);
    // A state vector, an update of nothing, one awareness entry.
    for message in [
        b"\0\0\x01\0".as_slice(),
        b"\0\x02\x02\0\0",
        b"\x01\x07\x01\x01\x01\x03{}\0",
    ] {
        seeds.push(("frames", message.to_vec()));
        seeds.push(("frames", hocuspocus::frame(&prefix, message).to_vec()));
    }
    for deltas in [
        r#"{"ops":[{"retain":9},{"insert":"a\"\u00e9"}]}"#,
        r#"{"ops":[{"insert":"b"},{"delete":2}]}"#,
        r#"{"ops":[{"retain":1},{"retain":2,"attributes":{"bold":null,"size":1.5}}]}"#,
        r#"{"ops":[{"insert":"c","attributes":{"bold":true}},{"insert":{"image":"i"}}]}"#,
    ] {
        seeds.push(("batches", format!("{deltas}\n{deltas}").into_bytes()));
    }
    seeds
}
