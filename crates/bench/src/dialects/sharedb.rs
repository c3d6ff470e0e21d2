//! ShareDB with rich text: positions, in JSON, one message a frame.
//!
//! As in our own dialect each edit is a character at a random place on the latest version that its author was sent, and
//! does not wait for an acknowledgement. A client chooses the name that its edits are broadcast under, which
//! is its number.

use anyhow::{Context, bail};
use memchr::memmem;
use serde_json::Value;

use super::{Dialect, Document, Heard, number, ot, put_text};

/// The collection that documents are in.
const COLLECTION: &str = "documents";
/// A new document has this version: its making was a change.
const FIRST_VERSION: u64 = 1;

/// All clients of ShareDB.
pub(crate) struct ShareDb {
    documents: Vec<Document>,
    clients: Vec<Client>,
}

#[derive(Clone)]
struct Client {
    /// The version that it has.
    version: u64,
    random: u64,
}

impl ShareDb {
    /// Speaks for clients of these documents, which are empty.
    pub(crate) fn new(documents: Vec<Document>, clients: usize) -> Self {
        let client = |index| Client {
            version: FIRST_VERSION,
            random: index as u64 * 7_919 + 1,
        };
        Self {
            documents,
            clients: (0..clients).map(client).collect(),
        }
    }

    fn name(&self, client: usize) -> &str {
        &self.documents[client % self.documents.len()].name
    }
}

impl Dialect for ShareDb {
    fn path(&self, client: usize) -> String {
        format!("/{}", self.name(client))
    }

    fn open(&mut self, client: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let handshake = r#"{"a":"hs","protocol":1,"protocolMinor":2"#;
        put_text(out, &format!(r#"{handshake},"id":"{client}"}}"#));
        let name = self.name(client);
        let subscribe = format!(r#"{{"a":"s","c":"{COLLECTION}","d":"{name}","v":null}}"#);
        put_text(out, &subscribe);
        Ok(())
    }

    fn edit(&mut self, client: usize, nth: u64, out: &mut Vec<u8>) {
        let it = &mut self.clients[client];
        it.random = it
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (seq, version) = (nth + 1, it.version);
        let position = (it.random >> 33) % (version - FIRST_VERSION + 1);
        let retain = match position {
            0 => String::new(),
            position => format!(r#"{{"retain":{position}}},"#),
        };
        let name = self.name(client);
        let head =
            format!(r#"{{"a":"op","c":"{COLLECTION}","d":"{name}","v":{version},"seq":{seq}"#);
        let edit = format!(r#"{head},"x":{{}},"op":{{"ops":[{retain}{{"insert":"x"}}]}}}}"#);
        put_text(out, &edit);
    }

    fn paste(&mut self, client: usize, nth: u64, characters: usize, out: &mut Vec<u8>) {
        let (seq, version) = (nth + 1, self.clients[client].version);
        let (name, text) = (self.name(client), "x".repeat(characters));
        let head =
            format!(r#"{{"a":"op","c":"{COLLECTION}","d":"{name}","v":{version},"seq":{seq}"#);
        put_text(
            out,
            &format!(r#"{head},"x":{{}},"op":{{"ops":[{{"insert":"{text}"}}]}}}}"#),
        );
    }

    fn has_presence(&self) -> bool {
        // It has, but the server here does not offer it.
        false
    }

    fn point(&mut self, _: usize, _: u64, _: &mut Vec<u8>) {}

    fn read(
        &mut self,
        client: usize,
        message: &[u8],
        _: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard),
    ) -> anyhow::Result<()> {
        if memmem::find(message, br#""error":"#).is_some() {
            bail!("the server refused: {}", String::from_utf8_lossy(message));
        }
        let version = &mut self.clients[client].version;
        if memmem::find(message, br#""a":"op""#).is_some() {
            *version = (field(message, br#""v":"#)? + 1).max(*version);
            hear(Heard::Edits {
                author: usize::try_from(field(message, br#""src":""#)?)?,
                first: field(message, br#""seq":"#)?
                    .checked_sub(1)
                    .context("seq 0")?,
                count: 1,
            });
        } else if memmem::find(message, br#""a":"s""#).is_some() {
            *version = field(message, br#""v":"#)?;
            hear(Heard::Joined { revision: 0 });
        }
        Ok(())
    }

    fn text(&self, messages: &[Vec<u8>]) -> anyhow::Result<String> {
        let mut text = Vec::new();
        for message in messages {
            let message: Value = serde_json::from_slice(message)?;
            match message["a"].as_str() {
                Some("s") => ot::apply(&mut text, &message["data"]["data"])?,
                Some("op") => ot::apply(&mut text, &message["op"])?,
                _ => {}
            }
        }
        Ok(text.into_iter().collect())
    }
}

fn field(message: &[u8], name: &[u8]) -> anyhow::Result<u64> {
    let at = memmem::find(message, name).context("a field is missing")?;
    number(&message[at + name.len()..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use serde_json::json;

    use super::*;
    use crate::frame;

    fn clients() -> ShareDb {
        let document = Document {
            name: "d".into(),
            token: String::new(),
        };
        ShareDb::new(vec![document], 8)
    }

    #[test]
    fn messages_are_json() {
        let mut clients = clients();
        clients.clients[3].version = 400;
        let mut out = Vec::new();
        clients.open(3, &mut out).unwrap();
        clients.edit(3, 6, &mut out);
        let mut said = Vec::new();
        while let Some(frame) = frame::find(&out) {
            let payload = &mut out[frame.start..frame.end];
            frame::unmask(payload, frame.mask.unwrap());
            said.push(serde_json::from_slice::<Value>(payload).unwrap());
            out.drain(..frame.end);
        }
        assert_eq!(said[0]["id"], "3");
        assert_eq!(said[1], json!({"a":"s","c":"documents","d":"d","v":null}));
        assert_eq!((&said[2]["v"], &said[2]["seq"]), (&json!(400), &json!(7)));
        assert!(said[2]["op"]["ops"].is_array());
    }

    #[test]
    fn edits_are_recognised() {
        let mut clients = clients();
        let mut heard = Vec::new();
        let messages = [
            r#"{"a":"init","protocol":1,"id":"x"}"#,
            r#"{"data":{"v":1,"data":{"ops":[]}},"a":"s","c":"documents","d":"d"}"#,
            r#"{"a":"op","c":"documents","d":"d","v":1,"src":"5","seq":1,"op":{"ops":[{"insert":"x"}]}}"#,
            r#"{"src":"0","seq":2,"v":2,"a":"op","c":"documents","d":"d"}"#,
        ];
        for message in messages {
            let hear = &mut |it| heard.push(it);
            clients
                .read(0, message.as_bytes(), &mut Vec::new(), hear)
                .unwrap();
        }
        let edit = |author, first| Heard::Edits {
            author,
            first,
            count: 1,
        };
        assert_eq!(
            heard,
            [Heard::Joined { revision: 0 }, edit(5, 0), edit(0, 1)]
        );
        assert_eq!(clients.clients[0].version, 3);
        let messages = messages[..3].iter().map(|it| it.as_bytes().to_vec());
        assert_eq!(clients.text(&messages.collect::<Vec<_>>()).unwrap(), "x");
    }
}
