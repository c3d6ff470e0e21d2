use bytes::Bytes;

use crate::{ClientId, Revision, UserId};

/// A submission once committed: one entry of a document's log.
///
/// Its revision is its place in the log. The log takes `delta` and `update` as opaque bytes; the
/// crate `document` writes and reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who made it.
    pub author: UserId,
    /// The client that submitted it; with `author` and `seq` it names the submission.
    pub client_id: ClientId,
    /// The client's number for the submission, from 1; 0 for an edit by identities, which is not counted.
    pub seq: u64,
    /// It is a submission that was merged by identities, and need not be what moving it would have made.
    pub merged: bool,
    /// When it was planned, in ms since the Unix epoch.
    pub time_ms: u64,
    /// What it did to the content: a delta in its JSON form.
    pub delta: Bytes,
    /// The identities it made: a Yjs update v1. Empty in logs from before identities.
    pub update: Bytes,
}

/// The state of a document at a revision, made from its log so that opening need not replay it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The revision that `state` stands at.
    pub revision: Revision,
    /// The state, opaque to the log.
    pub state: Bytes,
}
