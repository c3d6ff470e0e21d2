//! Deltas as JSON, and what must hold of all of them.

use motet_ot::{Delta, Operation, Side, decode};

/// A document and two changes made on it at the same time, as JSON, one to a line.
pub fn operations(data: &[u8]) {
    let mut deltas = data.split(|byte| *byte == b'\n').filter_map(read);
    let (Some(document), first, second) = (deltas.next(), deltas.next(), deltas.next()) else {
        return;
    };
    let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
    // Changes that fit nothing still compose and transform without a panic.
    for side in [Side::Left, Side::Right] {
        first.transform(&second, side).assert_normal();
        let _moved = first.transform_position(second.base_len_utf16(), side);
    }
    if let Ok(composed) = first.compose(&second) {
        composed.assert_normal();
    }
    let is_base = document.is_document() && is_plain(&document);
    let fits = |change: &Delta| change.base_len_utf16() <= document.len_utf16() && is_plain(change);
    if is_base && fits(&first) && fits(&second) {
        check_laws(&document, &first, &second);
    }
}

/// A delta, if it is one: then it is normal, and what is written of it is read as the same.
fn read(json: &[u8]) -> Option<Delta> {
    let decoded = decode(json).ok()?;
    decoded.delta.assert_normal();
    assert!(decoded.extent_utf16 >= decoded.delta.base_len_utf16());
    let again = decode(decoded.delta.to_json().as_bytes()).expect("what is written is read");
    assert_eq!(again.delta, decoded.delta);
    Some(decoded.delta)
}

/// Whether nothing is inserted with a format that is `null`, which says nothing there.
fn is_plain(delta: &Delta) -> bool {
    delta.ops().iter().all(|operation| match operation {
        Operation::Insert { attributes, .. } => {
            attributes.iter().all(|(_, value)| !value.is_null())
        }
        _ => true,
    })
}

fn check_laws(document: &Delta, first: &Delta, second: &Delta) {
    let (Ok(after_first), Ok(after_second)) = (document.compose(first), document.compose(second))
    else {
        return;
    };
    for after in [&after_first, &after_second] {
        after.assert_normal();
        assert!(after.is_document());
    }
    let (second_moved, first_moved) = (
        first.transform(second, Side::Left),
        second.transform(first, Side::Right),
    );
    let one = after_first
        .compose(&second_moved)
        .expect("a change fits where it was moved to");
    let other = after_second
        .compose(&first_moved)
        .expect("a change fits where it was moved to");
    assert_eq!(one, other, "TP1");
    let inverted = first
        .invert(document)
        .expect("a change that fits can be taken back");
    assert_eq!(
        after_first.compose(&inverted).as_ref(),
        Ok(document),
        "invert"
    );
}
