//! What must hold for all deltas, however they are made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use motet_ot::{
    Attributes, DecodeError, Decoded, Delta, Embed, Insert, Operation, Side, Splice, decode,
};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

/// A piece of a random change: lengths are fractions, to be fitted to a document.
#[derive(Clone, Debug)]
enum Piece {
    Insert(String, Attributes),
    Embed,
    Retain(u8, Attributes),
    Delete(u8),
}

fn plain() -> impl Strategy<Value = Attributes> {
    prop_oneof![
        3 => Just(Attributes::new()),
        1 => Just(Attributes::from_iter([("bold".to_owned(), json!(true))])),
        1 => Just(Attributes::from_iter([("color".to_owned(), json!("red"))])),
        1 => Just(Attributes::from_iter([("link".to_owned(), json!({ "href": "x" }))])),
    ]
}

fn format() -> impl Strategy<Value = Attributes> {
    prop_oneof![
        4 => plain(),
        1 => Just(Attributes::from_iter([("bold".to_owned(), json!(null))])),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[ab\\n\u{e9}\u{1f600}]{1,6}"
}

fn document() -> impl Strategy<Value = Delta> {
    let piece = prop_oneof![
        5 => (text(), plain()).prop_map(|(text, attributes)| (Some(text), attributes)),
        1 => plain().prop_map(|attributes| (None, attributes)),
    ];
    vec(piece, 0..6).prop_map(|pieces| {
        pieces
            .into_iter()
            .fold(Delta::new(), |delta, (text, attributes)| match text {
                Some(text) => delta.insert_with(&text, attributes),
                None => delta.insert_embed(embed(), attributes),
            })
    })
}

fn embed() -> Embed {
    Embed::new(json!({ "image": "i" }).as_object().cloned().unwrap())
}

/// A change at one place.
fn splice() -> impl Strategy<Value = Vec<Piece>> {
    let insertion = prop_oneof![
        1 => Just(None),
        2 => (text(), plain()).prop_map(|(text, attributes)| Some(Piece::Insert(text, attributes))),
        1 => Just(Some(Piece::Embed)),
    ];
    (0..20_u8, insertion, 0..6_u8).prop_map(|(start, insertion, deleted)| {
        let mut pieces = vec![Piece::Retain(start, Attributes::new())];
        pieces.extend(insertion);
        pieces.push(Piece::Delete(deleted));
        pieces
    })
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        3 => (text(), plain()).prop_map(|(text, attributes)| Piece::Insert(text, attributes)),
        1 => Just(Piece::Embed),
        3 => (1..5_u8, format()).prop_map(|(len, attributes)| Piece::Retain(len, attributes)),
        2 => (1..5_u8).prop_map(Piece::Delete),
    ];
    vec(piece, 0..8)
}

/// The naive model of a document: its UTF-16 units with their formats.
type Units = Vec<(Option<u16>, Attributes)>;

fn units(document: &Delta) -> Units {
    let mut units = Units::new();
    for operation in document.ops() {
        let Operation::Insert { insert, attributes } = operation else {
            panic!("a document")
        };
        match insert {
            Insert::Text(text) => {
                units.extend(
                    text.as_str()
                        .encode_utf16()
                        .map(|unit| (Some(unit), attributes.clone())),
                );
            }
            Insert::Embed(_) => units.push((None, attributes.clone())),
        }
    }
    units
}

fn apply(mut base: Units, delta: &Delta) -> Units {
    let mut position = 0;
    for operation in delta.ops() {
        match operation {
            Operation::Retain {
                len_utf16,
                attributes,
            } => {
                for unit in &mut base[position..position + len_utf16] {
                    unit.1 = formatted(&unit.1, attributes);
                }
                position += len_utf16;
            }
            Operation::Insert { .. } => {
                let inserted = units(&[operation.clone()].into_iter().fold(
                    Delta::new(),
                    |mut delta, operation| {
                        delta.push(operation);
                        delta
                    },
                ));
                let len = inserted.len();
                base.splice(position..position, inserted);
                position += len;
            }
            Operation::Delete { len_utf16 } => {
                base.drain(position..position + len_utf16);
            }
        }
    }
    base
}

/// The naive model of formatting: a map of names to values.
fn formatted(before: &Attributes, format: &Attributes) -> Attributes {
    let mut map: BTreeMap<_, _> = before.iter().collect();
    for (name, value) in format.iter() {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name, value);
        }
    }
    map.into_iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Fits pieces to a document: nothing past its end, no cut pair.
fn fit(document: &Delta, pieces: &[Piece]) -> Delta {
    let units = units(document);
    let boundary = |mut at: usize| {
        at = at.min(units.len());
        let low = units.get(at).and_then(|unit| unit.0);
        if low.is_some_and(|unit| (0xdc00..0xe000).contains(&unit)) {
            at + 1
        } else {
            at
        }
    };
    let mut delta = Delta::new();
    let mut position = 0;
    for piece in pieces {
        match piece {
            Piece::Insert(text, attributes) => delta = delta.insert_with(text, attributes.clone()),
            Piece::Embed => delta = delta.insert_embed(embed(), Attributes::new()),
            Piece::Retain(len, attributes) => {
                let end = boundary(position + usize::from(*len));
                delta = delta.retain_with(end - position, attributes.clone());
                position = end;
            }
            Piece::Delete(len) => {
                let end = boundary(position + usize::from(*len));
                delta = delta.delete(end - position);
                position = end;
            }
        }
    }
    // Through the wire form, which drops what a trailing retain would be.
    decode(delta.to_json().as_bytes()).unwrap().delta
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn composing_is_applying(document in document(), a in pieces()) {
        let change = fit(&document, &a);
        let composed = document.compose(&change).unwrap();
        composed.assert_normal();
        prop_assert_eq!(units(&composed), apply(units(&document), &change));
        prop_assert_eq!(
            composed.len_utf16().cast_signed(),
            document.len_utf16().cast_signed() + change.len_change()
        );
    }

    #[test]
    fn compose_is_associative(document in document(), a in pieces(), b in pieces(), c in pieces()) {
        let a = fit(&document, &a);
        let after_a = document.compose(&a).unwrap();
        let b = fit(&after_a, &b);
        let after_b = after_a.compose(&b).unwrap();
        let c = fit(&after_b, &c);
        let left = a.compose(&b).unwrap().compose(&c).unwrap();
        let right = a.compose(&b.compose(&c).unwrap()).unwrap();
        left.assert_normal();
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(document.compose(&left).unwrap(), after_b.compose(&c).unwrap());
        prop_assert_eq!(document.compose(&right).unwrap(), after_b.compose(&c).unwrap());
    }

    #[test]
    fn tp1(document in document(), a in pieces(), b in pieces()) {
        let (a, b) = (fit(&document, &a), fit(&document, &b));
        let (b_moved, a_moved) = (a.transform(&b, Side::Left), b.transform(&a, Side::Right));
        b_moved.assert_normal();
        a_moved.assert_normal();
        prop_assert_eq!(
            document.compose(&a).unwrap().compose(&b_moved).unwrap(),
            document.compose(&b).unwrap().compose(&a_moved).unwrap()
        );
    }

    #[test]
    fn invert_takes_back(document in document(), a in pieces()) {
        let change = fit(&document, &a);
        let inverted = change.invert(&document).unwrap();
        inverted.assert_normal();
        let back = document.compose(&change).unwrap().compose(&inverted).unwrap();
        prop_assert_eq!(back, document);
    }

    #[test]
    fn diff_leads_there(a in document(), b in document()) {
        let diff = a.diff(&b).unwrap();
        diff.assert_normal();
        prop_assert_eq!(a.compose(&diff).unwrap(), b);
    }

    #[test]
    fn a_position_moves_as_an_insertion_does(document in document(), a in pieces(), at in 0..30_usize) {
        let change = fit(&document, &a);
        let at = at.min(document.len_utf16());
        for side in [Side::Left, Side::Right] {
            let mark = if at == 0 { Delta::new() } else { Delta::new().retain(at) };
            let moved = change.transform(&mark.insert_embed(embed(), Attributes::new()), side);
            let mut position = 0;
            for operation in moved.ops() {
                match operation {
                    Operation::Retain { len_utf16, .. } => position += len_utf16,
                    _ => break,
                }
            }
            prop_assert_eq!(change.transform_position(at, side), position);
        }
    }

    #[test]
    fn a_splice_moves_as_its_delta_does(document in document(), a in splice(), b in splice()) {
        let (a, b) = (fit(&document, &a), fit(&document, &b));
        let (at, other) = (Splice::of(&a).unwrap(), Splice::of(&b).unwrap());
        let moved = a.transform(&b, Side::Left);
        prop_assert_eq!(b.moved_to(other), b.clone());
        match at.transform(other) {
            Some(splice) => prop_assert_eq!(b.moved_to(splice), moved),
            None => prop_assert_eq!(Splice::of(&moved), None, "it is at two places now"),
        }
        for index in 0..document.len_utf16() + 2 {
            prop_assert_eq!(at.transform_position(index), a.transform_position(index, Side::Right));
        }
    }

    #[test]
    fn what_is_no_splice_is_none(document in document(), a in pieces()) {
        let change = fit(&document, &a);
        if let Some(splice) = Splice::of(&change) {
            prop_assert_eq!(change.moved_to(splice), change);
        }
    }

    /// A number that lost its last digit here would be another one for its author than for all others.
    #[test]
    fn numbers_round_trip(number in proptest::num::f64::NORMAL) {
        let json = format!(r#"{{"ops":[{{"insert":"a","attributes":{{"n":{number:?}}}}}]}}"#);
        let json = decode(json.as_bytes()).unwrap().delta.to_json();
        let again: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(again["ops"][0]["attributes"]["n"].as_f64(), Some(number));
    }

    #[test]
    fn the_wire_form_round_trips(document in document(), a in pieces()) {
        for delta in [fit(&document, &a), document] {
            prop_assert_eq!(decode(delta.to_json().as_bytes()).unwrap().delta, delta);
        }
    }

    #[test]
    fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..200)) {
        let object = bytes.contains(&0x7b);
        prop_assert!(object || decode(&bytes).is_err());
        taken(&bytes);
    }

    #[test]
    fn pieces_of_json_are_taken(pieces in vec(proptest::sample::select(JSON_PIECES), 0..40)) {
        taken(pieces.concat().as_bytes());
        taken(format!(r#"{{"ops":[{}]}}"#, pieces.join(",")).as_bytes());
    }

    #[test]
    fn mutated_deltas_are_taken(
        document in document(),
        a in pieces(),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut json = fit(&document, &a).to_json().into_bytes();
        for (at, byte, kind) in mutations {
            let at = at.index(json.len());
            match kind {
                0 => json[at] = byte,
                1 => json.insert(at, byte),
                _ => json.truncate(at.max(1)),
            }
        }
        taken(&json);
    }
}

/// What JSON and deltas are made of, whole and broken.
const JSON_PIECES: &[&str] = &[
    r#"{"ops":["#,
    r#"{"insert":"a"}"#,
    r#"{"insert":{"image":1}}"#,
    r#"{"insert":"a","attributes":{"b":null}}"#,
    r#"{"retain":2}"#,
    r#"{"retain":9007199254740992}"#,
    r#"{"retain":1e3}"#,
    r#"{"delete":1}"#,
    r#"{"delete":-1}"#,
    r#"{"insert":"\ud83d\ude00"}"#,
    r#"{"insert":"\ud83d"}"#,
    r#""insert":"#,
    r#""\u0000""#,
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "18446744073709551616",
];

/// Decoding does not panic, and what it yields is normal and stays what it is.
fn taken(json: &[u8]) {
    let Ok(Decoded {
        delta,
        extent_utf16,
    }) = decode(json)
    else {
        return;
    };
    delta.assert_normal();
    assert!(extent_utf16 >= delta.base_len_utf16());
    assert_eq!(decode(delta.to_json().as_bytes()).unwrap().delta, delta);
}

#[test]
fn a_splice_has_numbers_for_all_its_places() {
    let most = u32::MAX as usize;
    let typed = |at| Delta::new().retain(at).insert("a");
    assert_eq!(Splice::of(&typed(most + 1)), None);
    assert_eq!(Splice::of(&Delta::new().retain(most).delete(1)), None);
    let (first, last) = (typed(0), typed(most));
    let (first, last) = (Splice::of(&first).unwrap(), Splice::of(&last).unwrap());
    assert_eq!(first.transform(last), None, "past the last place");
    assert_eq!(last.transform(first), Some(first));
}

type Expected = fn(&DecodeError) -> bool;

#[test]
fn malformed_deltas_are_told_apart() {
    let deep = format!(
        r#"{{"ops":[{{"insert":{}1{}}}]}}"#,
        r#"{"a":"#.repeat(500),
        "}".repeat(500)
    );
    let wrong: [(&str, Expected); 24] = [
        ("", |e| matches!(e, DecodeError::Json { .. })),
        ("{", |e| matches!(e, DecodeError::Json { .. })),
        (&deep, |e| matches!(e, DecodeError::Json { .. })),
        ("[]", |e| matches!(e, DecodeError::Shape { .. })),
        ("[[]]", |e| matches!(e, DecodeError::Shape { .. })),
        (r#"{"ops":[["a"]]}"#, |e| {
            matches!(e, DecodeError::Shape { .. })
        }),
        (r#"{"ops":[["a",null,null,null]]}"#, |e| {
            matches!(e, DecodeError::Shape { .. })
        }),
        (r#"{"ops":[{"insert":"a","insert":"b"}]}"#, |e| {
            matches!(e, DecodeError::Shape { .. })
        }),
        ("{}", |e| matches!(e, DecodeError::Shape { .. })),
        (r#"{"ops":[1]}"#, |e| matches!(e, DecodeError::Shape { .. })),
        (r#"{"ops":[{"move":1}]}"#, |e| {
            matches!(e, DecodeError::Shape { .. })
        }),
        (r#"{"ops":[{"lone leading surrogate":1}]}"#, |e| {
            matches!(e, DecodeError::Shape { .. })
        }),
        (r#"{"ops":[{"retain":1},{},{"insert":"a}]}"#, |e| {
            matches!(e, DecodeError::Json { .. })
        }),
        (r#"{"ops":[{}]}"#, |e| {
            matches!(e, DecodeError::Operation { index: 0 })
        }),
        (r#"{"ops":[{"retain":1,"delete":1}]}"#, |e| {
            matches!(e, DecodeError::Operation { .. })
        }),
        (r#"{"ops":[{"insert":"a"},{"retain":0}]}"#, |e| {
            matches!(e, DecodeError::Length { index: 1 })
        }),
        (r#"{"ops":[{"delete":-1}]}"#, |e| {
            matches!(e, DecodeError::Length { .. })
        }),
        (r#"{"ops":[{"retain":1.5}]}"#, |e| {
            matches!(e, DecodeError::Length { .. })
        }),
        (r#"{"ops":[{"retain":9007199254740993}]}"#, |e| {
            matches!(e, DecodeError::Length { .. })
        }),
        (r#"{"ops":[{"insert":""}]}"#, |e| {
            matches!(e, DecodeError::Insert { .. })
        }),
        (r#"{"ops":[{"insert":7}]}"#, |e| {
            matches!(e, DecodeError::Insert { .. })
        }),
        (r#"{"ops":[{"retain":{"image":1}}]}"#, |e| {
            matches!(e, DecodeError::EmbedRetain { .. })
        }),
        (r#"{"ops":[{"insert":"\ud83d"}]}"#, |e| {
            matches!(e, DecodeError::SplitSurrogate { .. })
        }),
        (r#"{"ops":[{"insert":"\ude00x"}]}"#, |e| {
            matches!(e, DecodeError::SplitSurrogate { .. })
        }),
    ];
    for (json, expected) in wrong {
        let error = decode(json.as_bytes()).unwrap_err();
        assert!(expected(&error), "{json:.60}: {error:?}");
    }
}

#[test]
fn lengths_cannot_overflow() {
    let huge = format!(
        r#"{{"ops":[{{"retain":{0}}},{{"delete":{0}}}]}}"#,
        1_u64 << 53
    );
    assert!(matches!(
        decode(huge.as_bytes()),
        Err(DecodeError::Length { index: 1 })
    ));
}

#[test]
fn empty_attributes_are_none() {
    let decoded = decode(br#"{"ops":[{"insert":"a","attributes":{}},{"insert":"b"}]}"#).unwrap();
    assert_eq!(decoded.delta, Delta::new().insert("ab"));
}

#[test]
fn a_trailing_retain_counts_for_the_extent() {
    let decoded = decode(br#"{"ops":[{"insert":"a"},{"retain":5}]}"#).unwrap();
    assert_eq!(decoded.extent_utf16, 5);
    assert_eq!(decoded.delta, Delta::new().insert("a"));
}

#[test]
fn a_cut_pair_is_an_error() {
    let document = Delta::new().insert("x\u{1f600}y");
    assert!(
        document
            .compose(&Delta::new().retain(2).insert("a"))
            .is_err()
    );
    assert!(document.compose(&Delta::new().retain(2).delete(1)).is_err());
    assert!(Delta::new().retain(1).delete(1).invert(&document).is_err());
}

/// The same names as in `packages/client/tests/attributes.test.ts`: some are special in JavaScript,
/// and two in serde_json.
#[test]
fn a_name_is_any_text() {
    let names = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
    ];
    for name in names {
        for value in ["1", r#""[1]""#, r#"{"a":["1"]}"#] {
            let object = format!(r#"{{"{name}":{value}}}"#);
            let json = format!(
                r#"{{"ops":[{{"insert":{object}}},{{"insert":{{"a":[{object}]}}}},{{"insert":"a","attributes":{object}}},{{"insert":"b","attributes":{{"a":{object}}}}}]}}"#
            );
            let decoded = decode(json.as_bytes()).unwrap().delta;
            assert_eq!(decoded.to_json(), json);
        }
        let document = Delta::new().insert("ab");
        let json = format!(r#"{{"ops":[{{"retain":1,"attributes":{{"{name}":{{"bold":1}}}}}}]}}"#);
        let change = decode(json.as_bytes()).unwrap().delta;
        assert_eq!(
            document.compose(&change).unwrap().to_json(),
            format!(
                r#"{{"ops":[{{"insert":"a","attributes":{{"{name}":{{"bold":1}}}}}},{{"insert":"b"}}]}}"#
            )
        );
    }
}

/// serde_json tells these apart from other faults in its messages only.
#[test]
fn half_of_a_surrogate_pair_is_told_from_what_is_not_json() {
    let decode = |string: &str| {
        let insert = decode(format!(r#"{{"ops":[{{"insert":"{string}"}}]}}"#).as_bytes());
        let embed = decode(format!(r#"{{"ops":[{{"insert":{{"a":["{string}"]}}}}]}}"#).as_bytes());
        let name = decode(format!(r#"{{"ops":[{{"insert":{{"{string}":1}}}}]}}"#).as_bytes());
        let value = format!(r#"{{"ops":[{{"retain":1,"attributes":{{"a":"{string}"}}}}]}}"#);
        [insert, embed, name, decode(value.as_bytes())]
    };
    for pair in [r"\ud83d\ude00", r"\uD83D\uDE00", r"x\ud83d\ude00\u0000"] {
        assert!(decode(pair).iter().all(Result::is_ok), "{pair}");
    }
    let halves = [
        r"\ud83d",
        r"\uD83D",
        r"x\ud83d",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\\ude00",
        r"\ud83d\u0041",
        r"\ud83d\ud83d\ude00",
        r"\ud800\ue000",
        r"\udbff",
        r"\udc00",
        r"\udfff",
        r"x\ude00x",
        r"\ude00\ud83d",
        r"\ud83d\ude00\ude00",
    ];
    for half in halves {
        for found in decode(half) {
            let split = matches!(found, Err(DecodeError::SplitSurrogate { .. }));
            assert!(split, "{half}: {found:?}");
        }
    }
    let no_json = [
        r"\u",
        r"\ud83",
        r"\uzzzz",
        r"\ud83d\u",
        r"\ud83d\ude0",
        r"\ud83d\uzzzz",
        r"\ud83d\x",
        r"\ud83d\",
        "\\ud83d\n",
        r#"\ud83d""#,
        r#"\udc00",x"#,
    ];
    for string in no_json {
        for found in decode(string) {
            let not_json = matches!(found, Err(DecodeError::Json { .. }));
            assert!(not_json, "{string}: {found:?}");
        }
    }
}

#[test]
fn many_small_insertions_are_read_in_linear_time() {
    let one = r#"{"insert":"a"}"#;
    let json = format!(
        r#"{{"ops":[{}]}}"#,
        vec![one; motet_model::limits::OPERATIONS_MAX].join(",")
    );
    let decoded = decode(json.as_bytes()).unwrap();
    assert_eq!(decoded.delta.ops().len(), 1);
    let more = format!(r#"{{"ops":[{one},{}"#, &json[8..]);
    assert!(matches!(decode(more.as_bytes()), Err(DecodeError::TooMany)));
}
