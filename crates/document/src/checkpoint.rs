//! The stored form of a document's state.
//!
//! Format 2: the byte 2; the length of what follows as `u32` LE; JSON:
//! `{"root":"content","clients":[[user, client, seq, revision], …]}`; then the replica as
//! [`motet_crdt`] stores it. Format 1, from before replicas, was JSON alone with the text as a delta:
//! `{"format":1,"content":{"ops":[…]},"clients":[…]}`. The log adds the revision and a checksum. A reader
//! refuses a newer format and reads older ones.

use std::sync::Arc;

use bytes::Bytes;
use motet_model::{Checkpoint, ClientId, Revision, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clients::{Clients, Last},
    content::{Content, text::RichText},
};

/// The format written.
const FORMAT: u8 = 2;
/// What a checkpoint of format 1 begins with.
const JSON: u8 = b'{';
const HEADER_BYTES: usize = 5;

/// A document's text at a revision: cheap to take, and shared with nobody.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// The text at `revision`.
    pub content: RichText,
}

/// All of a document at a revision, to be encoded elsewhere while the document goes on.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) revision: Revision,
    pub(crate) content: Content,
    pub(crate) clients: Clients,
    /// Some identities were not stored with their changes.
    pub(crate) derived: bool,
}

/// What a log held cannot be opened. Nothing is repaired in place: stop, and tell the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Stored bytes make no sense.
    #[error("what is stored at revision {revision} is corrupt: {detail}")]
    Corrupt {
        /// Where in the log.
        revision: Revision,
        /// What was found.
        detail: String,
    },
    /// A later program wrote this. Use that one.
    #[error("the checkpoint has format {found}, and this program reads up to {FORMAT}")]
    NewerFormat {
        /// The format found.
        found: u8,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    root: String,
    #[serde(with = "rows")]
    clients: Clients,
}

#[derive(Deserialize)]
struct Format1<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(with = "rows")]
    clients: Clients,
}

impl State {
    /// A new document's.
    pub(crate) fn new(root: Arc<str>) -> Self {
        Self {
            revision: Revision::ZERO,
            content: Content::new(root),
            clients: Clients::default(),
            derived: false,
        }
    }

    /// The revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The stored form. O(n).
    ///
    /// # Panics
    ///
    /// When the clients' part, a few bytes for each of a few thousand, has 4 GiB.
    #[must_use]
    pub fn encode(&self) -> Checkpoint {
        let header = Header {
            root: self.content.root().to_string(),
            clients: self.clients.clone(),
        };
        let header = serde_json::to_vec(&header).expect("a checkpoint has only text keys");
        let replica = self.content.save();
        let len = u32::try_from(header.len()).expect("the table of clients is bounded");
        let mut state = Vec::with_capacity(HEADER_BYTES + header.len() + replica.len());
        state.push(FORMAT);
        state.extend_from_slice(&len.to_le_bytes());
        state.extend_from_slice(&header);
        state.extend_from_slice(&replica);
        Checkpoint {
            revision: self.revision,
            state: Bytes::from(state),
        }
    }

    /// Reads the stored form; `root` is that of a document from before roots were stored. O(n).
    ///
    /// # Errors
    ///
    /// As [`OpenError`] says.
    pub(crate) fn decode(checkpoint: &Checkpoint, root: &Arc<str>) -> Result<Self, OpenError> {
        let revision = checkpoint.revision;
        let corrupt = |detail: String| OpenError::Corrupt { revision, detail };
        match checkpoint.state.first().copied() {
            Some(JSON) => Self::decode_1(checkpoint, root),
            Some(FORMAT) => Self::decode_2(checkpoint),
            Some(found) if found > FORMAT => Err(OpenError::NewerFormat { found }),
            _ => Err(corrupt("the checkpoint has no known format".to_owned())),
        }
    }

    fn decode_2(checkpoint: &Checkpoint) -> Result<Self, OpenError> {
        let revision = checkpoint.revision;
        let corrupt = |detail: String| OpenError::Corrupt { revision, detail };
        let split = |bytes: &'static str| move || corrupt(bytes.to_owned());
        let (head, rest) = checkpoint
            .state
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(split("the checkpoint is cut short"))?;
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let (header, replica) = usize::try_from(len)
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or_else(split("the checkpoint is cut short"))?;
        let Header { root, clients } =
            serde_json::from_slice(header).map_err(|error| corrupt(error.to_string()))?;
        let content =
            Content::load(root.into(), replica).map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            revision,
            content,
            clients,
            derived: false,
        })
    }

    fn decode_1(checkpoint: &Checkpoint, root: &Arc<str>) -> Result<Self, OpenError> {
        let revision = checkpoint.revision;
        let corrupt = |detail: String| OpenError::Corrupt { revision, detail };
        let stored: Format1<'_> = serde_json::from_slice(&checkpoint.state)
            .map_err(|error| corrupt(error.to_string()))?;
        let text = motet_ot::decode(stored.content.get().as_bytes())
            .map_err(|error| corrupt(error.to_string()))?;
        let content = Content::from_delta(Arc::clone(root), &text.delta)
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            revision,
            content,
            clients: stored.clients,
            derived: true,
        })
    }
}

/// The table of clients as rows.
mod rows {
    use serde::{Deserializer, Serializer};

    use super::{ClientId, Clients, Deserialize, Last, Revision, UserId};

    pub(super) fn serialize<S: Serializer>(
        clients: &Clients,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            clients
                .iter()
                .map(|((user, client), last)| (user, client, last.seq, last.revision)),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Clients, D::Error> {
        let rows = Vec::<(UserId, ClientId, u64, Revision)>::deserialize(deserializer)?;
        let mut clients = Clients::default();
        for (user, client, seq, revision) in rows {
            let _kept = clients.record((user, client), Last { seq, revision });
        }
        Ok(clients)
    }
}
