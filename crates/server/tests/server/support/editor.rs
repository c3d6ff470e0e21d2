//! A client that speaks positions, with a document of its own.

use motet_ot::{Delta, Side};
use serde_json::Value;

use super::{Heard, Peer};

/// A document as a client holds it, with at most one edit on its way.
pub(crate) struct Editor<P> {
    pub(crate) peer: P,
    pub(crate) content: Delta,
    inflight: Option<Delta>,
    pub(crate) revision: u64,
    pub(crate) seq: u64,
    /// Its latest edit was answered so, instead of by an acknowledgement.
    pub(crate) was_reconciled: bool,
    /// What the server did last to what the client had.
    pub(crate) latest: Delta,
}

impl<P: Peer> Editor<P> {
    /// Of an empty document.
    pub(crate) fn new(peer: P) -> Self {
        Self::at(peer, 0, Delta::new())
    }

    /// Of a document that the client has.
    pub(crate) fn at(peer: P, revision: u64, content: Delta) -> Self {
        Self {
            peer,
            content,
            inflight: None,
            revision,
            seq: 0,
            was_reconciled: false,
            latest: Delta::new(),
        }
    }

    pub(crate) async fn edit(&mut self, delta: Delta) {
        self.seq += 1;
        self.content = self.content.compose(&delta).unwrap();
        let json: Value = serde_json::from_str(&delta.to_json()).unwrap();
        let ops = json["ops"].clone();
        self.inflight = Some(delta);
        self.peer.submit(self.seq, self.revision, ops).await;
    }

    /// Takes what the server says until the document is at `revision`.
    pub(crate) async fn reach(&mut self, revision: u64) {
        while self.revision < revision {
            self.hear().await;
        }
    }

    /// Takes what the server says until the edit on its way is a change.
    pub(crate) async fn settle(&mut self) {
        while self.inflight.is_some() {
            self.hear().await;
        }
    }

    async fn hear(&mut self) {
        let message = match self.peer.next().await {
            Heard::Message(message) => message,
            Heard::Closed(code) => panic!("closed with {code:?}"),
        };
        match message["type"].as_str() {
            Some("ack") => {
                self.inflight = None;
                self.was_reconciled = false;
            }
            Some("operation") => {
                let theirs = decoded(&message["operation"]);
                let moved = match self.inflight.take() {
                    Some(own) => {
                        self.inflight = Some(theirs.transform(&own, Side::Left));
                        own.transform(&theirs, Side::Right)
                    }
                    None => theirs,
                };
                self.content = self.content.compose(&moved).unwrap();
                self.latest = moved;
            }
            Some("reconciled") => {
                self.inflight = None;
                self.was_reconciled = true;
                let rest = decoded(&message["operation"]);
                self.content = self.content.compose(&rest).unwrap();
                self.latest = rest;
                self.revision = message["revision"].as_u64().unwrap();
                return;
            }
            Some("error") => panic!("{message}"),
            _ => return,
        }
        self.revision += 1;
        assert_eq!(
            message["revision"], self.revision,
            "in order, without a gap"
        );
    }
}

/// A delta as a message holds it.
pub(crate) fn decoded(operation: &Value) -> Delta {
    let json = operation.to_string();
    motet_ot::decode(json.as_bytes()).unwrap().delta
}
