use motet_ot::{Attributes, Delta, Embed, Operation};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::{RichText, TextError, node::RUN_UTF16_MAX};

/// One random edit at relative places, to be fitted to whatever the content is.
#[derive(Clone, Debug)]
enum Edit {
    Insert(f64, String, u8),
    Embed(f64),
    Delete(f64, f64),
    Format(f64, f64, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = || 0.0..=1.0_f64;
    prop_oneof![
        4 => (place(), "[ab\"\\\\\n\u{1}\u{7f}\u{e9}\u{1f600}]{1,20}", 0..3_u8).prop_map(|(at, text, format)| Edit::Insert(at, text, format)),
        1 => place().prop_map(Edit::Embed),
        3 => (place(), place()).prop_map(|(at, len)| Edit::Delete(at, len * 0.3)),
        2 => (place(), place(), 0..3_u8).prop_map(|(at, len, format)| Edit::Format(at, len, format)),
    ]
}

fn attributes(format: u8) -> Attributes {
    match format {
        0 => Attributes::new(),
        1 => Attributes::from_iter([("bold".to_owned(), json!(true))]),
        _ => Attributes::from_iter([
            ("bold".to_owned(), json!(null)),
            ("link".to_owned(), json!("x")),
        ]),
    }
}

/// The naive model: a vector of UTF-16 units with their formats.
type Model = Vec<(u16, bool, Attributes)>;

fn place(model: &Model, at: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "a place within the model")]
    let index = (at * model.len() as f64) as usize;
    // Not inside a pair.
    if index < model.len() && (0xdc00..0xe000).contains(&model[index].0) {
        index - 1
    } else {
        index
    }
}

fn apply(model: &mut Model, edit: &Edit) -> Delta {
    match edit {
        Edit::Insert(at, text, format) => {
            let (at, attributes) = (place(model, *at), attributes(*format));
            let units = text
                .encode_utf16()
                .map(|unit| (unit, false, attributes.clone()));
            model.splice(at..at, units.collect::<Vec<_>>());
            Delta::new().retain(at).insert_with(text, attributes)
        }
        Edit::Embed(at) => {
            let at = place(model, *at);
            model.insert(at, (0, true, Attributes::new()));
            let embed = Embed::new(json!({ "image": "i" }).as_object().cloned().unwrap());
            Delta::new()
                .retain(at)
                .insert_embed(embed, Attributes::new())
        }
        Edit::Delete(at, len) => {
            let start = place(model, *at);
            let end = place(model, (at + len).min(1.0)).max(start);
            model.drain(start..end);
            Delta::new().retain(start).delete(end - start)
        }
        Edit::Format(at, len, format) => {
            let start = place(model, *at);
            let end = place(model, (at + len).min(1.0)).max(start);
            let set = attributes(*format);
            for unit in &mut model[start..end] {
                unit.2 = unit.2.compose(&set, false);
            }
            Delta::new().retain(start).retain_with(end - start, set)
        }
    }
}

fn units(content: &RichText) -> Model {
    let mut model = Model::new();
    for operation in content.to_delta().ops() {
        let Operation::Insert { insert, attributes } = operation else {
            unreachable!()
        };
        match insert {
            motet_ot::Insert::Text(text) => model.extend(
                text.as_str()
                    .encode_utf16()
                    .map(|unit| (unit, false, attributes.clone())),
            ),
            motet_ot::Insert::Embed(_) => model.push((0, true, attributes.clone())),
        }
    }
    model
}

proptest! {
    #[test]
    fn behaves_like_a_vector_of_units(changes in vec(vec(edit(), 1..5), 1..60)) {
        let (mut content, mut model) = (RichText::default(), Model::new());
        for edits in &changes {
            let before = content.clone();
            let delta = edits.iter().fold(Delta::new(), |delta, edit| {
                delta.compose(&apply(&mut model, edit)).unwrap()
            });
            content.apply(&delta).unwrap();
            content.assert_invariants();
            prop_assert_eq!(content.len_utf16(), model.len());
            // 24 is what a delta takes around its operations.
            prop_assert!(content.to_delta().to_json().len() <= content.size_bytes() + 24);
            prop_assert_eq!(
                before.to_delta().compose(&delta).unwrap(), content.to_delta(),
                "a clone is not changed, and applying is composing"
            );
        }
        prop_assert_eq!(units(&content), model);
        content.to_delta().assert_normal();
        let again = RichText::from_delta(&content.to_delta()).unwrap();
        again.assert_invariants();
        prop_assert_eq!(again.to_delta(), content.to_delta());
    }

    #[test]
    fn harmless_when_refused(text in "[a\u{1f600}]{1,40}", at in 0..60_usize, len in 1..60_usize) {
        let mut content = RichText::from_delta(&Delta::new().insert(&text)).unwrap();
        let before = content.to_delta();
        let units: Vec<u16> = text.encode_utf16().collect();
        let cut = |at: usize| at < units.len() && (0xdc00..0xe000).contains(&units[at]);
        let expected = [at, at + len].into_iter().find_map(|position| {
            if position > units.len() {
                Some(TextError::OutOfRange { position, len_utf16: units.len() })
            } else {
                cut(position).then_some(TextError::SplitSurrogate { position })
            }
        });
        let result = content.apply(&Delta::new().insert("x").retain(at).delete(len));
        prop_assert_eq!(result.err(), expected);
        if expected.is_some() {
            prop_assert_eq!(content.to_delta(), before);
        }
    }
}

/// **joined**: what is left of a text after many small edits is not stored in crumbs.
#[test]
fn joined() {
    let bold = |value| Attributes::from_iter([("bold".to_owned(), value)]);
    let mut content = RichText::from_delta(&Delta::new().insert(&"abc".repeat(300))).unwrap();
    for at in 0..300 {
        let change = Delta::new().retain(at * 2 + 1).delete(1);
        content.apply(&change).unwrap();
    }
    for value in [json!(true), json!(null)] {
        for at in 0..200 {
            let change = Delta::new()
                .retain(at * 3)
                .retain_with(1, bold(value.clone()));
            content.apply(&change).unwrap();
        }
    }
    content.assert_invariants();
    assert_eq!(content.to_delta(), Delta::new().insert(&"ac".repeat(300)));
    let mut runs = 0;
    content.root.visit(&mut |_| runs += 1);
    let most = 2 * content.len_utf16() / RUN_UTF16_MAX;
    assert!(runs <= most, "{runs} runs, and at most {most} are needed");
}

fn note(text: &str) -> Embed {
    Embed::new(json!({ "note": text }).as_object().cloned().unwrap())
}

fn link(to: &str) -> Attributes {
    Attributes::from_iter([("link".to_owned(), json!(to))])
}

/// What grows past the bound is refused and changes nothing, whatever it grows by.
#[test]
fn bounded_in_bytes() {
    let large = "x".repeat(1_100);
    let runs = (0..20).fold(Delta::new(), |delta, n| {
        delta.insert_with("a", link(&n.to_string()))
    });
    let start = RichText::from_delta(&runs).unwrap();
    let refused = [
        ("text", Delta::new().insert(&"\u{20ac}".repeat(334))),
        ("escapes", Delta::new().insert(&"\u{1}".repeat(167))),
        (
            "an embed",
            Delta::new().insert_embed(note(&large), Attributes::new()),
        ),
        (
            "a format of new text",
            Delta::new().insert_with("a", link(&large)),
        ),
        ("a format", Delta::new().retain_with(1, link(&large))),
        ("a small format of much", {
            let style = Attributes::from_iter([("style".to_owned(), json!("x".repeat(60)))]);
            Delta::new().retain_with(20, style)
        }),
        ("pieces with one format", {
            Delta::new().insert_with(&"a".repeat(RUN_UTF16_MAX * 4), link(&large[..200]))
        }),
    ];
    for (what, delta) in refused {
        let (mut content, bytes_max) = (start.clone(), start.size_bytes() + 1_000);
        let error = content.apply_within(&delta, bytes_max).unwrap_err();
        assert_eq!(error, TextError::TooLarge { bytes_max }, "{what}");
        assert_eq!(content.to_delta(), runs, "{what}");
        content.assert_invariants();
        content.apply_within(&delta, bytes_max * 2).unwrap();
        content.assert_invariants();
    }
}

/// Deletions always go, and room that a change makes counts for the same change.
#[test]
fn a_full_content_can_shrink() {
    let linked = Delta::new().insert_with("abcdef", link(&"x".repeat(100)));
    let mut content = RichText::from_delta(&linked).unwrap();
    let bytes_max = content.size_bytes();
    let replace = Delta::new()
        .insert_with("ABCDEF", link(&"y".repeat(100)))
        .delete(6);
    content.apply_within(&replace, bytes_max).unwrap();
    assert_eq!(content.size_bytes(), bytes_max);
    // Between two insertions it leaves a run on each side, both with the format.
    let bold = Delta::new().retain(3).insert_with("-", link("z"));
    content.apply_within(&bold, 1).unwrap_err();
    content.apply(&bold).unwrap();
    for len_utf16 in (0..content.len_utf16()).rev() {
        let delete = Delta::new().retain(len_utf16 / 2).delete(1);
        content.apply_within(&delete, 1).unwrap();
        content.assert_invariants();
    }
    assert_eq!(content.size_bytes(), 0);
}
