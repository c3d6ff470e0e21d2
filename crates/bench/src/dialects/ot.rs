//! Motet's own dialect: positions, in JSON.
//!
//! Each edit is a character at a random place, on the latest revision that its author was sent. Edits do not
//! wait for one another's acknowledgements, as a person's client would make them: that would bound how much a client
//! can say, and it is the server that is measured.

use std::{collections::HashMap, io::Write};

use anyhow::{Context, bail};
use memchr::memmem::Finder;
use serde_json::Value;

use super::{Dialect, Document, Heard, number, put_text};
use crate::frame;

/// All clients of Motet's own dialect.
pub(crate) struct Ot {
    documents: Vec<Document>,
    clients: Vec<Client>,
    /// By document and number: whose that is.
    authors: HashMap<(usize, u64), usize>,
    /// The characters that documents have at revision 0.
    length: u64,
    scratch: Vec<u8>,
    types: Finder<'static>,
}

#[derive(Clone)]
struct Client {
    /// The latest that it was sent.
    revision: u64,
    /// What stands for it in changes.
    number: u64,
    /// Where the next edit goes, modulo the document's length.
    random: u64,
}

const TYPE: &str = r#""type":""#;
const NUMBER: &[u8] = br#""number":"#;
const HEAD: &[u8] = br#""head":"#;
const MOVED: &[u8] = br#""moved":["#;

impl Ot {
    /// Speaks for clients of documents that have `length` characters, and none more than revisions tell.
    pub(crate) fn new(documents: Vec<Document>, clients: usize, length: u64) -> Self {
        let client = |index| Client {
            revision: 0,
            number: 0,
            random: index as u64 * 7_919 + 1,
        };
        Self {
            documents,
            clients: (0..clients).map(client).collect(),
            authors: HashMap::new(),
            length,
            scratch: Vec::new(),
            types: Finder::new(TYPE),
        }
    }
}

impl Dialect for Ot {
    fn path(&self, client: usize) -> String {
        let Document { name, token } = &self.documents[client % self.documents.len()];
        format!("/collab/{name}?token={token}&batches=true")
    }

    fn open(&mut self, _: usize, _: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    fn edit(&mut self, client: usize, nth: u64, out: &mut Vec<u8>) {
        let client = &mut self.clients[client];
        client.random = client
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Each revision is a character.
        let position = (client.random >> 33) % (self.length + client.revision + 1);
        self.scratch.clear();
        let (seq, revision) = (nth + 1, client.revision);
        let edit = format_args!(
            r#"{{"type":"edit_operation","seq":{seq},"revision":{revision},"operation":{{"ops":["#
        );
        let written = self.scratch.write_fmt(edit).and_then(|()| {
            if position > 0 {
                write!(self.scratch, r#"{{"retain":{position}}},"#)?;
            }
            self.scratch.write_all(br#"{"insert":"x"}]}}"#)
        });
        written.expect("a Vec takes everything");
        frame::put_masked(out, frame::TEXT, &self.scratch);
    }

    fn paste(&mut self, client: usize, nth: u64, characters: usize, out: &mut Vec<u8>) {
        let (seq, revision) = (nth + 1, self.clients[client].revision);
        let text = "x".repeat(characters);
        let edit = format!(
            r#"{{"type":"edit_operation","seq":{seq},"revision":{revision},"operation":{{"ops":[{{"insert":"{text}"}}]}}}}"#
        );
        put_text(out, &edit);
    }

    fn has_presence(&self) -> bool {
        true
    }

    fn point(&mut self, _: usize, nth: u64, out: &mut Vec<u8>) {
        put_text(
            out,
            &format!(r#"{{"type":"cursor_update","position":{nth}}}"#),
        );
    }

    fn read(
        &mut self,
        client: usize,
        message: &[u8],
        _: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard),
    ) -> anyhow::Result<()> {
        let document = client % self.documents.len();
        let Client {
            revision: latest,
            number: own,
            ..
        } = &mut self.clients[client];
        for at in self.types.find_iter(message) {
            let rest = &message[at + TYPE.len()..];
            if let Some(rest) = rest.strip_prefix(br#"operations","revision":"#) {
                let revision = number(rest)?;
                let changes = &rest[find(rest, br#""changes":["#)?..];
                let count = read_changes(changes, *own, revision, hear)?;
                *latest = revision + count - 1;
            } else if let Some(rest) = rest.strip_prefix(br#"operation","revision":"#) {
                *latest = number(rest)?;
                hear(Heard::Change { revision: *latest });
            } else if let Some(rest) = rest
                .strip_prefix(br#"ack","seq":"#)
                .or_else(|| rest.strip_prefix(br#"reconciled","seq":"#))
            {
                *latest = revision(rest)?;
                hear(Heard::Acknowledged {
                    nth: number(rest)?.checked_sub(1).context("seq 0")?,
                    revision: *latest,
                });
            } else if rest.starts_with(b"document_state") {
                *latest = revision(rest)?;
                *own = number(&rest[find(rest, br#""number":"#)?..])?;
                self.authors.insert((document, *own), client);
                hear(Heard::Joined { revision: *latest });
            } else if rest.starts_with(b"presence_update") {
                let end = self.types.find(rest).unwrap_or(rest.len());
                let authors = &self.authors;
                read_places(&rest[..end], &mut |number, nth| {
                    if let Some(&author) = authors.get(&(document, number)) {
                        hear(Heard::Presence { author, nth });
                    }
                })?;
            } else if rest.starts_with(b"error") {
                bail!("the server refused: {}", String::from_utf8_lossy(rest));
            }
        }
        Ok(())
    }

    fn text(&self, messages: &[Vec<u8>]) -> anyhow::Result<String> {
        let mut text = Vec::new();
        for message in messages {
            let json: Value = serde_json::from_slice(message)?;
            let said = match &json {
                Value::Array(all) => all.as_slice(),
                one => std::slice::from_ref(one),
            };
            for message in said {
                match message["type"].as_str() {
                    Some("document_state") => apply(&mut text, &message["content"])?,
                    Some("operation") => apply(&mut text, &message["operation"])?,
                    Some("operations") => {
                        for change in message["changes"].as_array().context("no changes")? {
                            apply(&mut text, &delta(change)?)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(text.into_iter().collect())
    }
}

/// The number of the field `revision`, which is near the front.
fn revision(message: &[u8]) -> anyhow::Result<u64> {
    number(&message[find(message, br#""revision":"#)?..])
}

/// The place behind a field's name.
fn find(message: &[u8], field: &[u8]) -> anyhow::Result<usize> {
    let at = memchr::memmem::find(message, field);
    let at = at.with_context(|| format!("there is no {}", String::from_utf8_lossy(field)))?;
    Ok(at + field.len())
}

/// Tells the number and the place of everybody whom an update shows somewhere.
fn read_places(update: &[u8], hear: &mut dyn FnMut(u64, u64)) -> anyhow::Result<()> {
    let mut whole = memchr::memmem::find_iter(update, NUMBER).peekable();
    while let Some(at) = whole.next() {
        let presence = &update[at + NUMBER.len()..whole.peek().copied().unwrap_or(update.len())];
        if let Some(head) = memchr::memmem::find(presence, HEAD) {
            hear(number(presence)?, number(&presence[head + HEAD.len()..])?);
        }
    }
    let Some(at) = memchr::memmem::find(update, MOVED) else {
        return Ok(());
    };
    let mut rows = &update[at + MOVED.len()..];
    while let Some(row) = rows.strip_prefix(b"[") {
        let end = memchr::memchr(b']', row).context("a move has an end")?;
        if let Some(comma) = memchr::memrchr(b',', &row[..end]) {
            hear(number(row)?, number(&row[comma + 1..])?);
        }
        rows = &row[end + 1..];
        rows = rows.strip_prefix(b",").unwrap_or(rows);
    }
    Ok(())
}

/// Tells the changes of `operations` and returns how many there are. What is typed here has no bracket in it.
fn read_changes(
    mut changes: &[u8],
    own: u64,
    first: u64,
    hear: &mut dyn FnMut(Heard),
) -> anyhow::Result<u64> {
    let mut revision = first;
    while let Some(change) = changes.strip_prefix(b"[") {
        let end = memchr::memchr(b']', change).context("a change has an end")?;
        // Who is no session of this document is somebody else.
        let author = number(change).ok();
        if author == Some(own) {
            let comma = memchr::memchr(b',', change).context("a change has a number")?;
            let nth = number(&change[comma + 1..])?
                .checked_sub(1)
                .context("seq 0")?;
            hear(Heard::Acknowledged { nth, revision });
        } else {
            hear(Heard::Change { revision });
        }
        revision += 1;
        changes = &change[end + 1..];
        changes = changes.strip_prefix(b",").unwrap_or(changes);
    }
    anyhow::ensure!(changes.starts_with(b"]"), "the changes have no end");
    Ok(revision - first)
}

/// A change of `operations` as a delta.
fn delta(change: &Value) -> anyhow::Result<Value> {
    let change = change.as_array().context("a change is a list")?;
    let operations = change.iter().skip(2).map(|operation| match operation {
        Value::String(_) => serde_json::json!({ "insert": operation }),
        Value::Number(_) => serde_json::json!({ "retain": operation }),
        other => other.clone(),
    });
    Ok(serde_json::json!({ "ops": operations.collect::<Vec<_>>() }))
}

/// Applies a delta without deletions.
pub(super) fn apply(text: &mut Vec<char>, delta: &Value) -> anyhow::Result<()> {
    let mut at = 0;
    for operation in delta["ops"].as_array().context("a delta has operations")? {
        if let Some(retained) = operation["retain"].as_u64() {
            at += usize::try_from(retained)?;
        } else {
            let inserted = operation["insert"].as_str().context("only text is typed")?;
            anyhow::ensure!(at <= text.len(), "an edit is past the document's end");
            let before = text.len();
            text.splice(at..at, inserted.chars());
            at += text.len() - before;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_protocol::ot::{ClientMessage, decode};

    use super::*;

    fn clients() -> Ot {
        let document = Document {
            name: "d".into(),
            token: "t".into(),
        };
        Ot::new(vec![document], 2, 0)
    }

    fn hear(ot: &mut Ot, message: &str) -> Vec<Heard> {
        let (mut heard, mut out) = (Vec::new(), Vec::new());
        let hear = &mut |it| heard.push(it);
        ot.read(0, message.as_bytes(), &mut out, hear).unwrap();
        heard
    }

    #[test]
    fn edits_are_what_the_server_reads() {
        let mut ot = clients();
        for (nth, latest) in [(0, 0), (1, 0), (2, 900)] {
            ot.clients[1].revision = latest;
            let mut out = Vec::new();
            ot.edit(1, nth, &mut out);
            let frame = frame::find(&out).unwrap();
            assert_eq!((frame.opcode, frame.end), (frame::TEXT, out.len()));
            let payload = &mut out[frame.start..frame.end];
            frame::unmask(payload, frame.mask.unwrap());
            let text = std::str::from_utf8(payload).unwrap();
            let message = decode(text).unwrap().next().unwrap().message.unwrap();
            let ClientMessage::Edit { seq, revision, .. } = message else {
                panic!("no edit: {text}");
            };
            assert_eq!((seq, revision.get()), (nth + 1, latest));
        }
    }

    #[test]
    fn edits_are_recognised_in_frames() {
        let mut ot = clients();
        let state = r#"{"type":"document_state","documentId":"d","revision":7,"content":{"ops":[]},"number":3}"#;
        assert_eq!(hear(&mut ot, state), [Heard::Joined { revision: 7 }]);
        let frame = r#"{"type":"operations","revision":8,"changes":[[4,2,7,"x"],["some user",0],[1,5,"x"]]}"#;
        ot.clients[0].number = 1;
        let acknowledged = Heard::Acknowledged {
            nth: 4,
            revision: 10,
        };
        let change = |revision| Heard::Change { revision };
        assert_eq!(hear(&mut ot, frame), [change(8), change(9), acknowledged]);
        assert_eq!(ot.clients[0].revision, 10);
        let frame = r#"[{"type":"operation","revision":8,"userId":"u","sessionId":"s","operation":{"ops":[{"insert":"x"}]}},{"type":"ack","seq":3,"revision":9},{"type":"pong"}]"#;
        let acknowledged = Heard::Acknowledged {
            nth: 2,
            revision: 9,
        };
        assert_eq!(
            hear(&mut ot, frame),
            [Heard::Change { revision: 8 }, acknowledged]
        );
        assert_eq!(ot.clients[0].revision, 9);
        let mut out = Vec::new();
        let refused = ot.read(0, br#"{"type":"error","code":"x"}"#, &mut out, &mut |_| {});
        assert!(refused.is_err());
    }

    #[test]
    fn places_are_recognised() {
        let mut ot = clients();
        ot.authors = HashMap::from([((0, 7), 1), ((0, 9), 0)]);
        let message = r#"{"type":"presence_update","joined":[{"sessionId":"s","number":7,"anchor":20,"head":20},{"sessionId":"t","number":9,"name":"x"}],"updated":[{"number":9,"anchor":1,"head":3}],"moved":[[7,21],[9,5,6],[9],[8,1]]}"#;
        let point = |author, nth| Heard::Presence { author, nth };
        assert_eq!(
            hear(&mut ot, message),
            [point(1, 20), point(0, 3), point(1, 21), point(0, 6)]
        );
    }

    #[test]
    fn the_text_is_what_was_typed() {
        let ot = clients();
        let messages = [
            r#"{"type":"document_state","revision":1,"content":{"ops":[{"insert":"ac"}]}}"#,
            r#"[{"type":"operation","revision":2,"operation":{"ops":[{"retain":1},{"insert":"b"}]}},{"type":"pong"}]"#,
            r#"{"type":"operations","revision":3,"changes":[[1,5,3,"d"],[2,7,4,"e"]]}"#,
        ];
        let messages: Vec<_> = messages.map(|it| it.as_bytes().to_vec()).into();
        assert_eq!(ot.text(&messages).unwrap(), "abcde");
    }
}
