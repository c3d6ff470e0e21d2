//! The stored form of a document's state.
//!
//! JSON: `{"format":1,"content":{"ops":[…]},"clients":[[user, client, seq, revision], …]}`. The log
//! adds the revision and a checksum. A reader refuses a newer format and reads older ones.

use bytes::Bytes;
use motet_model::{Checkpoint, ClientId, Revision, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clients::{Clients, Last},
    content::Content,
};

/// The format written.
const FORMAT: u32 = 1;

/// A document's state at a revision, cheap to take and shared with nobody.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// The content at `revision`.
    pub content: Content,
    pub(crate) clients: Clients,
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
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: u32,
    #[serde(borrow)]
    content: &'a RawValue,
    #[serde(with = "rows")]
    clients: Clients,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Snapshot {
    /// The stored form. O(n).
    ///
    /// # Panics
    ///
    /// Never: a delta's JSON form is JSON.
    #[must_use]
    pub fn encode(&self) -> Checkpoint {
        let content = self.content.to_delta().to_json();
        let content = serde_json::from_slice::<&RawValue>(content.as_ref()).expect("JSON");
        let stored = Stored {
            format: FORMAT,
            content,
            clients: self.clients.clone(),
        };
        let state = serde_json::to_vec(&stored).expect("a checkpoint has only text keys");
        Checkpoint {
            revision: self.revision,
            state: Bytes::from(state),
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// As [`OpenError`] says.
    pub fn decode(checkpoint: &Checkpoint) -> Result<Self, OpenError> {
        let revision = checkpoint.revision;
        let corrupt = |detail: String| OpenError::Corrupt { revision, detail };
        let Format { format } = serde_json::from_slice(&checkpoint.state)
            .map_err(|error| corrupt(error.to_string()))?;
        if format > FORMAT {
            return Err(OpenError::NewerFormat { found: format });
        }
        let stored: Stored<'_> = serde_json::from_slice(&checkpoint.state)
            .map_err(|error| corrupt(error.to_string()))?;
        let content = motet_ot::decode(stored.content.get().as_bytes())
            .map_err(|error| corrupt(error.to_string()))?;
        let content =
            Content::from_delta(&content.delta).map_err(|error| corrupt(error.to_string()))?;
        Ok(Self {
            revision,
            content,
            clients: stored.clients,
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
            clients.record((user, client), Last { seq, revision });
        }
        Ok(clients)
    }
}
