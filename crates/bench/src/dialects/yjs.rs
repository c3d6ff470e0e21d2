//! The dialects of identities: y-websocket, and Hocuspocus around the same messages.

use anyhow::bail;
use motet_crdt::{
    Options, Replica, Version,
    lib0::{put_bytes, put_number, take_bytes, take_number},
};

use super::{Dialect, Document, Heard, update};
use crate::frame;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
/// Hocuspocus: an answer to a `Sync` message.
const SYNC_REPLY: u64 = 4;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// An update that says nothing.
const NOTHING: &[u8] = &[0, 0];
const PING: &[u8] = &[9];
const PONG: &[u8] = &[10];

/// Where a server of Yjs listens, and whether documents are named in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A document on a socket, named by its path after this.
    YWebsocket(&'static str),
    /// A socket at this path; documents are named in frames.
    Hocuspocus(&'static str),
}

/// All clients of a dialect of Yjs.
pub(crate) struct Yjs {
    documents: Vec<Document>,
    form: Form,
    /// What stands before each message, by document.
    prefixes: Vec<Vec<u8>>,
    update: Vec<u8>,
    message: Vec<u8>,
}

impl Yjs {
    /// Speaks for clients of these documents.
    pub(crate) fn new(documents: Vec<Document>, form: Form) -> Self {
        let prefix = |document: &Document| {
            let mut prefix = Vec::new();
            if let Form::Hocuspocus(_) = form {
                put_bytes(&mut prefix, document.name.as_bytes());
            }
            prefix
        };
        Self {
            prefixes: documents.iter().map(prefix).collect(),
            documents,
            form,
            update: Vec::new(),
            message: Vec::new(),
        }
    }

    fn prefix(&self, client: usize) -> &[u8] {
        &self.prefixes[client % self.prefixes.len()]
    }

    fn put(&mut self, client: usize, out: &mut Vec<u8>, message: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::mem::take(&mut self.message);
        bytes.clear();
        bytes.extend_from_slice(self.prefix(client));
        message(&mut bytes);
        frame::put_masked(out, frame::BINARY, &bytes);
        self.message = bytes;
    }

    fn put_sync(&mut self, client: usize, out: &mut Vec<u8>, kind: u64, payload: &[u8]) {
        self.put(client, out, |message| {
            put_number(message, SYNC);
            put_number(message, kind);
            put_bytes(message, payload);
        });
    }

    /// What an `Auth` message begins with that refuses.
    fn denial(&self) -> u64 {
        match self.form {
            Form::YWebsocket(_) => 0,
            Form::Hocuspocus(_) => 1,
        }
    }

    /// Takes the name off a message.
    fn body<'a>(&self, mut message: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        if let Form::Hocuspocus(_) = self.form {
            take_bytes(&mut message)?;
        }
        Ok(message)
    }
}

impl Dialect for Yjs {
    fn path(&self, client: usize) -> String {
        let Document { name, token } = &self.documents[client % self.documents.len()];
        match self.form {
            Form::YWebsocket(path) if token.is_empty() => format!("{path}{name}"),
            Form::YWebsocket(path) => format!("{path}{name}?token={token}"),
            Form::Hocuspocus(path) => path.into(),
        }
    }

    fn open(&mut self, client: usize, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if let Form::Hocuspocus(_) = self.form {
            let document = client % self.documents.len();
            let token = self.documents[document].token.clone();
            self.put(client, out, |message| {
                put_number(message, AUTH);
                put_number(message, 0);
                put_bytes(message, token.as_bytes());
            });
        }
        // It has nothing yet.
        self.put_sync(client, out, STEP_1, &[0]);
        Ok(())
    }

    fn edit(&mut self, client: usize, nth: u64, out: &mut Vec<u8>) {
        let mut edit = std::mem::take(&mut self.update);
        edit.clear();
        update::put_edit(&mut edit, client, nth);
        self.put_sync(client, out, UPDATE, &edit);
        self.update = edit;
    }

    fn paste(&mut self, client: usize, nth: u64, characters: usize, out: &mut Vec<u8>) {
        let mut paste = Vec::new();
        update::put_paste(&mut paste, nth, characters);
        self.put_sync(client, out, UPDATE, &paste);
    }

    fn has_presence(&self) -> bool {
        true
    }

    fn point(&mut self, client: usize, nth: u64, out: &mut Vec<u8>) {
        let mut place = Vec::new();
        update::put_place(&mut place, client, nth);
        self.put(client, out, |message| {
            put_number(message, AWARENESS);
            put_bytes(message, &place);
        });
    }

    fn read(
        &mut self,
        client: usize,
        message: &[u8],
        out: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard),
    ) -> anyhow::Result<()> {
        if message == PING {
            frame::put_masked(out, frame::BINARY, PONG);
            return Ok(());
        }
        let mut body = self.body(message)?;
        match take_number(&mut body)? {
            SYNC | SYNC_REPLY => {
                let kind = take_number(&mut body)?;
                let payload = take_bytes(&mut body)?;
                match kind {
                    STEP_1 => self.put_sync(client, out, STEP_2, NOTHING),
                    STEP_2 => hear(Heard::Joined { revision: 0 }),
                    _ => update::read(payload, |author, first, count| {
                        hear(Heard::Edits {
                            author,
                            first,
                            count,
                        });
                    })?,
                }
            }
            AWARENESS => update::read_places(take_bytes(&mut body)?, |author, nth| {
                hear(Heard::Presence { author, nth });
            })?,
            AUTH if take_number(&mut body)? == self.denial() => {
                bail!("the server refused: {}", String::from_utf8_lossy(body));
            }
            SYNC_STATUS if body == [0] => bail!("the server refused an edit"),
            CLOSE => bail!("the server closed the document"),
            _ => {}
        }
        Ok(())
    }

    fn text(&self, messages: &[Vec<u8>]) -> anyhow::Result<String> {
        let mut replica = Replica::new(Options::default());
        for message in messages.iter().filter(|it| *it != PING) {
            let mut body = self.body(message)?;
            if let SYNC | SYNC_REPLY = take_number(&mut body)? {
                let kind = take_number(&mut body)?;
                if kind != STEP_1 {
                    replica.apply_update(take_bytes(&mut body)?, Version::V1)?;
                }
            }
        }
        anyhow::ensure!(!replica.has_pending(), "an update lacks what it stands on");
        Ok(replica.text(update::ROOT))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_crdt::SyncMessage;
    use motet_protocol::yjs::{self, hocuspocus};

    use super::*;

    const FORMS: [Form; 2] = [Form::YWebsocket("/yjs/"), Form::Hocuspocus("/hocuspocus")];

    fn clients(form: Form) -> Yjs {
        let document = Document {
            name: "doc".into(),
            token: "t".into(),
        };
        Yjs::new(vec![document], form)
    }

    fn payloads(mut out: Vec<u8>) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while let Some(frame) = frame::find(&out) {
            let mut payload = out[frame.start..frame.end].to_vec();
            frame::unmask(&mut payload, frame.mask.unwrap());
            payloads.push(payload);
            out.drain(..frame.end);
        }
        assert_eq!(out, [0; 0]);
        payloads
    }

    #[test]
    fn messages_are_what_the_server_reads() {
        for form in FORMS {
            let mut clients = clients(form);
            let mut out = Vec::new();
            clients.open(0, &mut out).unwrap();
            clients.edit(0, 0, &mut out);
            let mut edit = Vec::new();
            update::put_edit(&mut edit, 0, 0);
            let payloads = payloads(out);
            let said: Vec<_> = payloads
                .iter()
                .filter_map(|payload| match form {
                    Form::YWebsocket(_) => Some(yjs::decode(payload).unwrap()),
                    Form::Hocuspocus(_) => match hocuspocus::decode(payload).unwrap() {
                        hocuspocus::Frame::About("doc", hocuspocus::Said::Message(it)) => Some(it),
                        hocuspocus::Frame::About("doc", hocuspocus::Said::Auth("t", None)) => None,
                        other => panic!("{other:?}"),
                    },
                })
                .collect();
            let step_1 = yjs::Message::Sync(SyncMessage::Step1(&[0]));
            let update = yjs::Message::Sync(SyncMessage::Update(&edit));
            assert_eq!(said, [step_1, update]);
        }
    }

    #[test]
    fn edits_are_recognised_in_messages() {
        for form in FORMS {
            let mut clients = clients(form);
            let prefix = clients.prefix(0).to_vec();
            let mut edit = Vec::new();
            update::put_edit(&mut edit, 7, 40);
            let mut heard = Vec::new();
            let mut out = Vec::new();
            for message in [
                SyncMessage::Step1(&[0]),
                SyncMessage::Step2(NOTHING),
                SyncMessage::Update(&edit),
            ] {
                let message = hocuspocus::sync(&prefix, message);
                let hear = &mut |it| heard.push(it);
                clients.read(0, &message, &mut out, hear).unwrap();
            }
            let edits = Heard::Edits {
                author: 7,
                first: 40,
                count: 1,
            };
            assert_eq!(heard, [Heard::Joined { revision: 0 }, edits]);
            // Who is asked answers.
            assert_eq!(payloads(out).len(), 1);
            let denied = match form {
                Form::YWebsocket(_) => yjs::denied("no"),
                Form::Hocuspocus(_) => hocuspocus::permission_denied("no"),
            };
            let denied = [&prefix[..], &denied[..]].concat();
            assert!(
                clients
                    .read(0, &denied, &mut Vec::new(), &mut |_| {})
                    .is_err()
            );
        }
    }
}
