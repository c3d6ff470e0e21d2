//! Many changes in one message, in the fewest bytes that JSON allows.
//!
//! `operation` spells each change out: 200 bytes for a character, most of them the same every time. Where a batch holds
//! hundreds and a room hundreds of receivers, that is what a server and its clients spend their time on. Here a
//! character is 15 to 20 bytes, and the message is the same for all, whoever made which change.

use std::io::Write;

use bytes::Bytes;
use motet_model::{Revision, UserId};
use motet_ot::{Delta, Insert, Operation};

use super::server::Body;

/// Whose a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The session that others know by this number, from its presence.
    Session(u32),
    /// Somebody whose session nobody is shown, or is not known.
    User(UserId),
}

/// A change that the document has committed.
#[derive(Clone, Copy, Debug)]
pub struct Authored<'a> {
    /// Whose.
    pub author: Author,
    /// Its client's number for it; 0 if it has none.
    pub seq: u64,
    /// The change.
    pub delta: &'a Delta,
}

/// Encodes changes that follow one another, of which the first leads to `first`. O(n), one allocation or two.
///
/// # Panics
///
/// Never: every delta has a JSON form.
#[must_use]
pub fn operations<'a>(
    first: Revision,
    changes: impl ExactSizeIterator<Item = Authored<'a>>,
) -> Body {
    const FIXED_BYTES: usize = 64;
    const CHANGE_BYTES: usize = 24;
    let mut body = Vec::with_capacity(FIXED_BYTES + changes.len() * CHANGE_BYTES);
    let written = write!(
        body,
        r#""type":"operations","revision":{first},"changes":["#
    );
    written.expect("a Vec takes everything");
    for (index, change) in changes.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        put(&mut body, &change).expect("a delta has a JSON form");
    }
    body.extend_from_slice(b"]}");
    Bytes::from(body)
}

fn put(body: &mut Vec<u8>, change: &Authored<'_>) -> Result<(), serde_json::Error> {
    body.push(b'[');
    match change.author {
        Author::Session(number) => serde_json::to_writer(&mut *body, &number)?,
        Author::User(user) => serde_json::to_writer(&mut *body, &user)?,
    }
    body.push(b',');
    serde_json::to_writer(&mut *body, &change.seq)?;
    for operation in change.delta.ops() {
        body.push(b',');
        match operation {
            Operation::Retain {
                len_utf16,
                attributes,
            } if attributes.is_empty() => serde_json::to_writer(&mut *body, len_utf16)?,
            Operation::Delete { len_utf16 } => {
                body.push(b'-');
                serde_json::to_writer(&mut *body, len_utf16)?;
            }
            Operation::Insert {
                insert: Insert::Text(text),
                attributes,
            } if attributes.is_empty() => serde_json::to_writer(&mut *body, text.as_str())?,
            operation => serde_json::to_writer(&mut *body, operation)?,
        }
    }
    body.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use motet_ot::{Attributes, Embed};
    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn changes_are_as_short_as_they_can_be() {
        let bold = || Attributes::from_iter([("bold".to_owned(), json!(true))]);
        let embed = Embed::new(Map::from_iter([("image".to_owned(), json!("i"))]));
        let deltas = [
            Delta::new().retain(9).insert("a\"\u{e9}"),
            Delta::new().insert("b").delete(2),
            Delta::new().retain(1).retain_with(2, bold()),
            Delta::new()
                .insert_with("c", bold())
                .insert_embed(embed, Attributes::new()),
            Delta::new(),
        ];
        let user = UserId::from_bytes([7; 16]);
        let changes = (0..5).map(|n: u32| Authored {
            author: if n < 2 {
                Author::Session(n + 3)
            } else {
                Author::User(user)
            },
            seq: n.into(),
            delta: &deltas[n as usize],
        });
        let body = operations(Revision::new(40), changes);
        let json = [b"{", &*body].concat();
        let message: Value = serde_json::from_slice(&json).expect("JSON");
        let user = user.to_string();
        assert_eq!(
            message,
            json!({"type": "operations", "revision": 40, "changes": [
                [3, 0, 9, "a\"\u{e9}"],
                [4, 1, "b", -2],
                [user, 2, 1, {"retain": 2, "attributes": {"bold": true}}],
                [user, 3, {"insert": "c", "attributes": {"bold": true}}, {"insert": {"image": "i"}}],
                [user, 4],
            ]})
        );
    }
}
