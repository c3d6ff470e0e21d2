//! Messages of the dialect that most clients speak.

use std::hint::black_box;

use motet_model::Revision;
use motet_ot::Delta;
use motet_protocol::ot::{self, Author, Authored};

use super::{TIMES, ot::typed, places};
use crate::Work;

const BATCH: usize = 16;

/// A frame with one edit, as `@motet/client` sends it.
pub(super) fn decode_edit() -> Work {
    let frame = |(n, at): (usize, usize)| {
        let operation = typed(at).to_json();
        format!(r#"{{"type":"edit_operation","seq":{n},"revision":{at},"operation":{operation}}}"#)
    };
    let frames: Vec<String> = places(100_000).enumerate().map(frame).take(TIMES).collect();
    Box::new(move || {
        for frame in &frames {
            let messages = ot::decode(black_box(frame));
            messages
                .into_iter()
                .flatten()
                .for_each(|it| drop(black_box(it)));
        }
    })
}

/// What all sessions are sent of a batch.
pub(super) fn encode_operations() -> Work {
    let deltas = places(100_000).map(typed).take(BATCH);
    let deltas: Vec<(u32, Delta)> = (1..).zip(deltas).collect();
    Box::new(move || {
        for n in 0..TIMES as u64 {
            let changes = deltas.iter().map(|(number, delta)| Authored {
                author: Author::Session(*number),
                seq: n,
                delta,
            });
            black_box(ot::operations(Revision::new(n), black_box(changes)));
        }
    })
}
