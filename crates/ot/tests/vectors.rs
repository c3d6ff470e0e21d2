//! What quill-delta answers: `vectors/README.md` says what each file holds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use motet_ot::{Attributes, Delta, Side, decode};
use serde_json::{Map, Value};

fn cases(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../vectors/delta/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let mut file: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let Some(Value::Array(cases)) = file.remove("cases") else {
        panic!("{name} has no cases")
    };
    assert!(cases.len() > 50, "{name} has hardly any cases");
    cases
}

fn delta(case: &Value, field: &str) -> Delta {
    decode(case[field].to_string().as_bytes()).unwrap().delta
}

#[test]
fn compose() {
    for case in cases("compose") {
        let composed = delta(&case, "a").compose(&delta(&case, "b")).unwrap();
        composed.assert_normal();
        assert_eq!(composed, delta(&case, "expected"), "{case}");
    }
}

#[test]
fn transform() {
    for case in cases("transform") {
        let (a, b) = (delta(&case, "a"), delta(&case, "b"));
        for (side, field) in [(Side::Left, "left"), (Side::Right, "right")] {
            let moved = a.transform(&b, side);
            moved.assert_normal();
            assert_eq!(moved, delta(&case, field), "{field} of {case}");
        }
    }
}

#[test]
fn transform_position() {
    for case in cases("transform-position") {
        let change = delta(&case, "change");
        let position = |field: &str| usize::try_from(case[field].as_u64().unwrap()).unwrap();
        for (side, field) in [(Side::Left, "left"), (Side::Right, "right")] {
            let moved = change.transform_position(position("index"), side);
            assert_eq!(moved, position(field), "{field} of {case}");
        }
    }
}

#[test]
fn invert() {
    for case in cases("invert") {
        let (base, change) = (delta(&case, "base"), delta(&case, "change"));
        let inverted = change.invert(&base).unwrap();
        inverted.assert_normal();
        assert_eq!(inverted, delta(&case, "expected"), "{case}");
    }
}

#[test]
fn diff() {
    for case in cases("diff") {
        let (a, b) = (delta(&case, "a"), delta(&case, "b"));
        let diff = a.diff(&b).unwrap();
        diff.assert_normal();
        assert_eq!(a.compose(&diff).unwrap(), b, "{case}");
        if case["expected"].is_object() {
            assert_eq!(diff, delta(&case, "expected"), "{case}");
        }
    }
}

#[test]
fn normal() {
    for case in cases("normal") {
        let built = decode(
            serde_json::json!({ "ops": case["ops"] })
                .to_string()
                .as_bytes(),
        );
        let built = built.unwrap().delta;
        built.assert_normal();
        assert_eq!(built, delta(&case, "expected"), "{case}");
    }
}

#[test]
fn attributes() {
    for case in cases("attributes") {
        let field = |name: &str| -> Attributes {
            let attributes = case[name].as_object().cloned();
            attributes.into_iter().flatten().collect()
        };
        let (a, b) = (field("a"), field("b"));
        let answers = [
            ("compose", a.compose(&b, false)),
            ("composeKeepNull", a.compose(&b, true)),
            ("diff", a.diff(&b)),
            ("invert", a.invert(&b)),
            ("transformLeft", a.transform(&b, Side::Left)),
            ("transformRight", a.transform(&b, Side::Right)),
        ];
        for (name, answer) in answers {
            assert_eq!(answer, field(name), "{name} of {case}");
        }
    }
}
