use motet_model::{DocumentId, Revision};

/// Why a log did not do what it was asked. Each variant says what the caller does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Someone else appended, or the base was wrong; nothing was written. Read what was missed and
    /// plan again.
    #[error("the head is {head}, not what was expected")]
    Conflict {
        /// The head.
        head: Revision,
    },
    /// It may have been written. Read before retrying.
    #[error("it is not known whether this was written: {detail}")]
    Unknown {
        /// What failed.
        detail: String,
    },
    /// The document was deleted. Stop.
    #[error("document {id} was deleted")]
    Deleted {
        /// Which.
        id: DocumentId,
    },
    /// What is stored is damaged. Stop, and restore it from a backup.
    #[error("document {id} is corrupt at revision {revision}: {detail}")]
    Corrupt {
        /// Which.
        id: DocumentId,
        /// Where.
        revision: Revision,
        /// What was found.
        detail: String,
    },
    /// A later program wrote this. Use that one.
    #[error("stored format {found} is newer than {supported}, which this program reads")]
    NewerFormat {
        /// What was found.
        found: u32,
        /// The newest that is understood.
        supported: u32,
    },
    /// An earlier program wrote this, and it is open only to read. Let this program open it to write once,
    /// which brings it up to date.
    #[error("stored format {found} is older than {supported}, which this program writes")]
    OlderFormat {
        /// What was found.
        found: u32,
        /// What it would be brought up to.
        supported: u32,
    },
    /// Another process uses this store. Stop that one, or choose another data directory.
    #[error("{path} is in use by another process")]
    InUse {
        /// The lock.
        path: String,
    },
    /// The store cannot be reached, or has no room; nothing was written. Retry later.
    #[error("the log is not available: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
    },
}
