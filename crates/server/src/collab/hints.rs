//! What the rooms of one document tell one another, each on its node: what was appended, and who is there.
//!
//! All of it are hints. The log is the truth about changes, and who is there is told again and again.
//!
//! A hint is a byte for its kind and what [`Hint`] says of it. A kind that is not known is left: a later
//! program may say more.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use motet_bus::{AnyBus, Bus, BusError, Received, Subscription, Topic};
use motet_document::Report;
use motet_log::{LogError, decode_record, encode_record};
use motet_model::{Change, DocumentId, NodeId, Revision, limits};

/// Hints that are taken in one go: edits of those who are here wait no longer than for these.
const TAKEN_AT_ONCE: usize = 256;

const CHANGES: u8 = 1;
const HEAD: u8 = 2;
const REPORT: u8 = 3;
const HELLO: u8 = 4;

/// Something that a room says to the others.
#[derive(Debug, PartialEq)]
pub(super) enum Hint {
    /// These changes follow the revision: that as 8 bytes (little endian), their number as 4, and a record of
    /// the log.
    Changes(Revision, Vec<Change>),
    /// The log goes this far: 8 bytes.
    Head(Revision),
    /// Who is there.
    Report(Report),
    /// Whoever says this does not know who is there.
    Hello,
}

/// Why a hint was not taken.
#[derive(Debug, thiserror::Error)]
enum HintError {
    #[error("it is cut short, or of a kind that is not known")]
    Unknown,
    #[error("{0} changes are more than a room appends at once")]
    TooMany(usize),
    #[error(transparent)]
    Changes(#[from] LogError),
    #[error(transparent)]
    Report(#[from] motet_document::ReportError),
}

impl Hint {
    pub(super) fn encode(&self, id: DocumentId) -> Bytes {
        match self {
            Self::Changes(base, changes) => {
                let record = encode_record(id, *base, changes);
                let mut message = BytesMut::with_capacity(13 + record.len());
                message.put_u8(CHANGES);
                message.put_u64_le(base.get());
                message.put_u32_le(u32::try_from(changes.len()).unwrap_or(u32::MAX));
                message.put_slice(&record);
                message.freeze()
            }
            Self::Head(revision) => {
                let mut message = BytesMut::with_capacity(9);
                message.put_u8(HEAD);
                message.put_u64_le(revision.get());
                message.freeze()
            }
            Self::Report(report) => {
                let report = report.encode();
                let mut message = BytesMut::with_capacity(1 + report.len());
                message.put_u8(REPORT);
                message.put_slice(&report);
                message.freeze()
            }
            Self::Hello => Bytes::from_static(&[HELLO]),
        }
    }

    fn decode(id: DocumentId, mut message: Bytes) -> Result<Self, HintError> {
        let kind = take::<1>(&mut message)?[0];
        match kind {
            CHANGES => {
                let base = Revision::new(u64::from_le_bytes(take(&mut message)?));
                let count = u32::from_le_bytes(take(&mut message)?) as usize;
                if count > limits::BATCH_COMMANDS_MAX {
                    return Err(HintError::TooMany(count));
                }
                let changes = decode_record(id, base, count as u64, &message)?;
                Ok(Self::Changes(base, changes))
            }
            HEAD => {
                let head = u64::from_le_bytes(take(&mut message)?);
                Ok(Self::Head(Revision::new(head)))
            }
            REPORT => Ok(Self::Report(Report::decode(&message)?)),
            HELLO => Ok(Self::Hello),
            _ => Err(HintError::Unknown),
        }
    }
}

fn take<const N: usize>(message: &mut Bytes) -> Result<[u8; N], HintError> {
    let (taken, _) = message.split_first_chunk::<N>().ok_or(HintError::Unknown)?;
    let taken = *taken;
    let _taken = message.split_to(N);
    Ok(taken)
}

/// The way to the rooms of the same document on other nodes; none where the document has one node.
pub(super) struct Link {
    id: DocumentId,
    others: Option<(Arc<AnyBus>, Subscription)>,
}

/// What has come over a link.
#[derive(Default)]
pub(super) struct Heard {
    /// Something may have been missed, also of who is there.
    pub(super) gap: bool,
    /// Something was said of the log that was not understood.
    pub(super) garbled: bool,
    /// Somebody does not know who is here.
    pub(super) hello: bool,
    /// The log goes this far, at least.
    pub(super) head: Revision,
    /// Who has appended.
    pub(super) writers: Vec<NodeId>,
    pub(super) changes: Vec<(Revision, Vec<Change>)>,
    pub(super) reports: Vec<(NodeId, Report)>,
}

impl Link {
    pub(super) fn open(id: DocumentId, bus: Option<&Arc<AnyBus>>) -> Self {
        let subscribe = |bus: &Arc<AnyBus>| {
            let subscription = bus.subscribe(Topic::Document(id));
            (Arc::clone(bus), subscription)
        };
        Self {
            id,
            others: bus.map(subscribe),
        }
    }

    /// Whether there may be other nodes.
    pub(super) fn is_shared(&self) -> bool {
        self.others.is_some()
    }

    /// Waits for others to say something, and takes all that they have said. Nothing is lost if this is
    /// dropped before it is ready.
    pub(super) async fn heard(&mut self) -> Heard {
        let Some((_, subscription)) = &mut self.others else {
            return std::future::pending().await;
        };
        let mut heard = Heard::default();
        let mut next = Some(subscription.next().await);
        let mut taken = 0;
        while let Some(received) = next {
            heard.take(self.id, received);
            taken += 1;
            next = if taken < TAKEN_AT_ONCE {
                subscription.try_next()
            } else {
                None
            };
        }
        heard
    }

    /// Says it to the others.
    pub(super) fn say(&self, hint: &Hint) {
        let Some((bus, _)) = &self.others else {
            return;
        };
        let topic = Topic::Document(self.id);
        match (bus.publish(topic, hint.encode(self.id)), hint) {
            (Ok(()), _) => {}
            (Err(BusError::TooLarge { .. }), Hint::Changes(base, changes)) => {
                self.say(&Hint::Head(base.plus(changes.len() as u64)));
            }
            (Err(error), _) => tracing::debug!(document = %self.id, %error, "a hint was not sent"),
        }
    }
}

impl Heard {
    fn take(&mut self, id: DocumentId, received: Received) {
        let (node, message) = match received {
            Received::Gap => return self.gap = true,
            Received::Message { node, message } => (node, message),
        };
        let is_of_log = matches!(message.first(), Some(&(CHANGES | HEAD)));
        match Hint::decode(id, message) {
            Ok(Hint::Changes(base, changes)) => {
                self.writers.push(node);
                self.changes.push((base, changes));
            }
            Ok(Hint::Head(head)) => {
                self.writers.push(node);
                self.head = self.head.max(head);
            }
            Ok(Hint::Report(report)) => self.reports.push((node, report)),
            Ok(Hint::Hello) => self.hello = true,
            // What was appended can be read from the log. Of the rest nothing is asked for again: a later
            // program would say it the same way.
            Err(error) => {
                tracing::debug!(document = %id, %node, %error, "a hint was not understood");
                self.garbled |= is_of_log;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use motet_model::UserId;

    use super::*;

    const ID: DocumentId = DocumentId::from_bytes([3; 16]);

    fn change(seq: u64) -> Change {
        Change {
            author: UserId::from_bytes([1; 16]),
            client_id: "client".parse().unwrap(),
            seq,
            merged: seq == 2,
            time_ms: 7 * seq,
            delta: Bytes::from(format!("[{seq}]")),
            update: Bytes::from(vec![0; 5]),
        }
    }

    fn hints() -> Vec<Hint> {
        let report = Report::decode(b"\x01{\"number\":7,\"yjs\":true}").unwrap();
        vec![
            Hint::Changes(Revision::new(41), vec![change(1), change(2), change(3)]),
            Hint::Changes(Revision::ZERO, vec![change(1)]),
            Hint::Head(Revision::new(u64::MAX >> 1)),
            Hint::Report(report),
            Hint::Hello,
        ]
    }

    #[test]
    fn what_is_said_is_heard() {
        for hint in hints() {
            let heard = Hint::decode(ID, hint.encode(ID));
            assert_eq!(heard.unwrap(), hint);
        }
    }

    #[test]
    fn what_is_said_of_another_document_is_not_taken_for_this_one() {
        let hint = Hint::Changes(Revision::ZERO, vec![change(1)]);
        let other = DocumentId::from_bytes([4; 16]);
        assert!(Hint::decode(ID, hint.encode(other)).is_err());
    }

    /// A room appends a change for each command of a batch at most.
    #[test]
    fn no_more_is_heard_than_a_room_appends_at_once() {
        let most = limits::BATCH_COMMANDS_MAX;
        for (count, is_heard) in [(most, true), (most + 1, false)] {
            let changes = (0..count as u64).map(change).collect();
            let hint = Hint::Changes(Revision::ZERO, changes);
            let heard = Hint::decode(ID, hint.encode(ID));
            assert_eq!(heard.is_ok(), is_heard, "{count}: {heard:?}");
        }
        let mut heard = Heard::default();
        let changes = (0..=most as u64).map(change).collect();
        let message = Hint::Changes(Revision::ZERO, changes).encode(ID);
        let node = NodeId::from_bytes([2; 16]);
        heard.take(ID, Received::Message { node, message });
        assert!(heard.garbled, "the log is read");
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for hint in hints() {
            let message = hint.encode(ID);
            for end in 0..message.len() {
                // Cut short; a report is JSON, and none of it is also something.
                assert!(Hint::decode(ID, message.slice(..end)).is_err(), "{hint:?}");
            }
            for at in 0..message.len() {
                let mut bytes = message.to_vec();
                bytes[at] ^= 0x55;
                // It may say something else, but does no harm.
                let _ = Hint::decode(ID, bytes.into());
            }
        }
        assert!(Hint::decode(ID, Bytes::from_static(&[9, 1, 2])).is_err());
    }
}
