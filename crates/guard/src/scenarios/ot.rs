//! Deltas of a single character, and a format.

use std::hint::black_box;

use motet_ot::{Attributes, Delta, Side, Splice};
use serde_json::json;

use super::{TIMES, places};
use crate::Work;

pub(super) fn typed(at: usize) -> Delta {
    Delta::new().retain(at).insert("x")
}

pub(super) fn bold(at: usize, len_utf16: usize) -> Delta {
    let bold = Attributes::from_iter([("bold".to_owned(), json!(true))]);
    Delta::new().retain(at).retain_with(len_utf16, bold)
}

fn changes() -> Vec<Delta> {
    places(1_000).map(typed).take(TIMES).collect()
}

/// A single character, from JSON.
pub(super) fn decode() -> Work {
    let jsons: Vec<String> = changes().iter().map(Delta::to_json).collect();
    Box::new(move || {
        for json in &jsons {
            let _delta = black_box(motet_ot::decode(black_box(json.as_bytes())));
        }
    })
}

/// A character past another one, and a format past a character.
pub(super) fn transform() -> Work {
    let (changes, format) = (changes(), bold(200, 600));
    Box::new(move || {
        for pair in changes.windows(2) {
            black_box(pair[0].transform(black_box(&pair[1]), Side::Left));
            black_box(pair[0].transform(black_box(&format), Side::Left));
        }
    })
}

/// A character behind another one, and behind a format.
pub(super) fn compose() -> Work {
    let (changes, format) = (changes(), bold(200, 600));
    Box::new(move || {
        for pair in changes.windows(2) {
            let _delta = black_box(pair[0].compose(black_box(&pair[1])));
            let _delta = black_box(format.compose(black_box(&pair[1])));
        }
    })
}

/// Changes at one place past a hundred of the kind each.
pub(super) fn pass_splices() -> Work {
    let splices: Vec<Splice> = changes().iter().filter_map(Splice::of).collect();
    Box::new(move || {
        for change in &splices {
            let passed = black_box(&splices).iter();
            black_box(passed.fold(*change, |it, passed| passed.transform(it).unwrap_or(it)));
        }
    })
}
