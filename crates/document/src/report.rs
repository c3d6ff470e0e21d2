//! What nodes tell one another of the sessions that a document has on each: the form that is sent.
//!
//! Format 1: the byte 1, then JSON. A reader refuses a newer format; it ignores fields that it does not
//! know. A node of an earlier program sees nobody of a later one, until it is replaced itself.

use bytes::Bytes;
use motet_crdt::Client;
use motet_model::{Revision, SessionId, UserId, limits};
use serde::{Deserialize, Serialize};

/// The format written.
const FORMAT: u8 = 1;

/// Largest report that is read.
pub const REPORT_BYTES_MAX: usize = 2 << 20;

/// About the most that the sessions in one report weigh; what is more goes in further ones. As JSON in JSON
/// it may double, and one session may come on top.
pub(crate) const SESSIONS_BYTES_MAX: usize = 192 << 10;

/// Most sessions that one report says have left.
pub(crate) const LEFT_MAX: usize = 1_024;

/// The longest name that is taken from another node: 200 characters.
const NAME_BYTES_MAX: usize = 800;

const _: () = assert!(
    2 * (SESSIONS_BYTES_MAX + SESSION_BYTES_MAX)
        + ID_BYTES * limits::SESSIONS_PER_DOCUMENT_MAX
        + 2 * ID_BYTES * LEFT_MAX
        <= REPORT_BYTES_MAX,
    "a node reads what another one writes"
);
/// What one session weighs at most.
const SESSION_BYTES_MAX: usize = limits::AWARENESS_STATE_BYTES_MAX * limits::AWARENESS_CLIENTS_MAX
    + limits::PRESENCE_DATA_BYTES_MAX
    + NAME_BYTES_MAX
    + ENTRY_BYTES;
/// An id in JSON, with what is around it.
const ID_BYTES: usize = 40;
/// About what an entry weighs without texts.
const ENTRY_BYTES: usize = 1 << 10;

/// What one node tells the others of its sessions on a document.
///
/// Reports may be lost, repeated and reordered: each session has a count, each report a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Grows from report to report of a node, also when it opens the document anew: it is the time in ms, or
    /// one more than the last. A node whose clock is set back far meanwhile is not heard for up to a minute.
    pub(crate) number: u64,
    /// All sessions that the node has. Those in `sessions` are the last of them to be told; the others came
    /// in the reports before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) here: Option<Vec<SessionId>>,
    /// What has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<Entry>,
    /// Gone, each with its last count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<(SessionId, u64)>,
    /// Some session there speaks identities.
    #[serde(default)]
    pub(crate) yjs: bool,
}

/// A session, as its own node knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) session: SessionId,
    /// Grows with each change.
    pub(crate) count: u64,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) color: u8,
    /// It speaks identities.
    pub(crate) yjs: bool,
    /// False while it is silent.
    pub(crate) present: bool,
    /// Anchor and head, and the revision that they count in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) selection: Option<(usize, usize, Revision)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) states: Vec<State>,
}

/// What a session has said of one of its Yjs clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) client: Client,
    pub(crate) clock: u64,
    /// When its user first said something of the client.
    pub(crate) since_ms: u64,
    pub(crate) state: Option<String>,
}

/// Bytes that are no report. Leave them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A later program wrote this.
    #[error("the report has format {found}, and this program reads up to {FORMAT}")]
    NewerFormat {
        /// The format found.
        found: u8,
    },
    /// It is larger than any report.
    #[error("the report has {bytes} bytes, and may have {REPORT_BYTES_MAX}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It makes no sense.
    #[error("the report cannot be read: {detail}")]
    Malformed {
        /// What was found.
        detail: String,
    },
}

impl Report {
    /// The report as bytes, of which there are no more than [`REPORT_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![FORMAT];
        // Numbers, texts and lists of them: nothing that JSON could not hold.
        if serde_json::to_writer(&mut bytes, self).is_err() {
            bytes.truncate(1);
        }
        bytes.into()
    }

    /// Reads a report. O(n).
    ///
    /// # Errors
    ///
    /// As [`ReportError`] says.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReportError> {
        let malformed = |detail: String| ReportError::Malformed { detail };
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::TooLarge { bytes: bytes.len() });
        }
        match bytes.split_first() {
            Some((&FORMAT, json)) => {
                serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))
            }
            Some((&found, _)) if found > FORMAT => Err(ReportError::NewerFormat { found }),
            _ => Err(malformed("no format".to_owned())),
        }
    }

    /// Whether it names all sessions that the node has, if only as a sign of life.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.here.is_some()
    }

    /// Leaves out what no node of this program says.
    pub(crate) fn limit(&mut self) {
        let is_count = |count: u64| (1..=limits::INTEGER_MAX).contains(&count);
        if let Some(here) = &mut self.here {
            here.truncate(limits::SESSIONS_PER_DOCUMENT_MAX);
        }
        self.sessions.truncate(limits::SESSIONS_PER_DOCUMENT_MAX);
        self.sessions
            .retain(|entry| is_count(entry.count) && entry.name.len() <= NAME_BYTES_MAX);
        self.left.truncate(LEFT_MAX);
        self.left.retain(|(_, count)| is_count(*count));
        for entry in &mut self.sessions {
            entry.limit();
        }
    }
}

impl Entry {
    /// About what it weighs.
    pub(crate) fn size_bytes(&self) -> usize {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let states = self.states.iter().map(|it| len(&it.state));
        ENTRY_BYTES + self.name.len() + len(&self.data) + states.sum::<usize>()
    }

    fn limit(&mut self) {
        let is_data = |data: &String| {
            data.len() <= limits::PRESENCE_DATA_BYTES_MAX
                && serde_json::from_str::<serde_json::Map<_, _>>(data).is_ok()
        };
        self.data = self.data.take().filter(is_data);
        // Moved on over changes, a position grows: it must not begin at the end of all numbers.
        let is_place = |at: usize| at <= limits::DOCUMENT_LEN_UTF16_MAX;
        self.selection = self
            .selection
            .filter(|(anchor, head, _)| self.present && is_place(*anchor) && is_place(*head));
        let is_state = |it: &State| {
            let len = it.state.as_ref().map_or(0, String::len);
            it.client <= motet_crdt::CLIENT_MAX
                && it.clock <= limits::INTEGER_MAX
                && len <= limits::AWARENESS_STATE_BYTES_MAX
        };
        self.states.retain(is_state);
        self.states.truncate(if self.yjs {
            limits::AWARENESS_CLIENTS_MAX
        } else {
            0
        });
    }
}
