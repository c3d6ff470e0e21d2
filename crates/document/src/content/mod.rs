//! What a live document holds: a replica, and the text of its shared root as positions see it.
//!
//! The replica knows the identity of every unit, so clients that speak identities merge into it, and it is
//! what is stored. The text is the same root once more as a persistent tree: immutable snapshots of it
//! cost nothing, its size in bytes is known at every moment, and an edit that does not fit can be taken
//! back. Each change is applied to both.
//!
//! # Invariants
//!
//! - **same**: the text is what the replica's root shows.
//! - **one name**: every edit by position is made under [`OT_CLIENT`], and nothing else is.

pub mod text;

use std::sync::Arc;

use bytes::Bytes;
use motet_crdt::{
    Association, Client, DecodeError, EditError, Options, RelativePosition, Replica, StateVector,
    Version, clients_of_update, reach_of_update,
};
use motet_ot::{Delta, Operation};

use self::text::{RichText, TextError};

/// The Yjs client of all edits by position, in every document. Editors choose theirs below 2³².
pub const OT_CLIENT: Client = 1 << 32;

/// The name of the root that clients which speak positions edit, unless a document has another.
pub const ROOT: &str = "content";

/// The update v1 of a change that makes and deletes nothing; without any bytes it would be none.
pub(crate) const NO_UPDATE: Bytes = Bytes::from_static(&[0, 0]);

/// How much a document may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest that the text may be, in UTF-16 code units.
    pub len_utf16_max: usize,
    /// The largest that the text may be, as [`RichText::size_bytes`] measures it.
    pub text_bytes_max: usize,
    /// The most memory that the replica may take, as [`Replica::size_bytes`] measures it.
    pub replica_bytes_max: usize,
}

impl Bounds {
    /// For what is known to fit.
    const NONE: Self = Self {
        len_utf16_max: usize::MAX,
        text_bytes_max: usize::MAX,
        replica_bytes_max: usize::MAX,
    };
}

/// A document's content.
#[derive(Clone)]
pub struct Content {
    root: Arc<str>,
    text: RichText,
    replica: Replica,
    /// What the replica weighed when it was last asked, which takes O(clients), and the bytes of updates
    /// since then.
    weighed_bytes: usize,
    since_bytes: usize,
    /// What was so at the replica's savepoint, if there is one.
    saved: Option<Saved>,
}

#[derive(Clone)]
struct Saved {
    text: RichText,
    weighed_bytes: usize,
    since_bytes: usize,
}

/// What an update brought.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    /// What it did to the text.
    pub(crate) delta: Delta,
    /// What of it was new, as an update.
    pub(crate) update: Bytes,
}

/// A change that does not fit the content. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A delta that does not fit the text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// An update that is none.
    #[error(transparent)]
    Update(#[from] DecodeError),
    /// The document would become larger than it may be.
    #[error("the document would have more than {max} {unit}")]
    TooLarge {
        /// The largest that it may be.
        max: usize,
        /// What that counts.
        unit: &'static str,
    },
    /// An update that makes something under [`OT_CLIENT`], which only the server does.
    #[error("client {client} is the server's own")]
    ReservedClient {
        /// The client.
        client: Client,
    },
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("root", &self.root)
            .field("len_utf16", &self.text.len_utf16())
            .field("runs", &self.replica.runs())
            .finish()
    }
}

impl Content {
    /// Nothing yet; `root` is what clients that speak positions will edit.
    #[must_use]
    pub fn new(root: Arc<str>) -> Self {
        Self {
            root,
            text: RichText::default(),
            replica: Replica::new(Options::default()),
            weighed_bytes: 0,
            since_bytes: 0,
            saved: None,
        }
    }

    /// The content that a document holds. O(n log n).
    ///
    /// # Errors
    ///
    /// `Text`, when `document` is not a document; `TooLarge`.
    pub fn from_delta(root: Arc<str>, document: &Delta) -> Result<Self, ContentError> {
        let mut content = Self::new(root);
        content.replay(document, &[])?;
        Ok(content)
    }

    /// The content of a stored replica. O(n).
    ///
    /// # Errors
    ///
    /// `Update`: the bytes are damaged.
    pub(crate) fn load(root: Arc<str>, replica: &[u8]) -> Result<Self, ContentError> {
        let replica = Replica::load(replica, Options::default())?;
        let text = RichText::from_delta(&replica.to_delta(&root))?;
        Ok(Self {
            root,
            text,
            weighed_bytes: replica.size_bytes(),
            since_bytes: 0,
            saved: None,
            replica,
        })
    }

    /// The replica as bytes. O(n).
    pub(crate) fn save(&self) -> Vec<u8> {
        self.replica.save()
    }

    /// The name of the text's root.
    pub(crate) fn root(&self) -> &Arc<str> {
        &self.root
    }

    /// The text that clients edit by position.
    #[must_use]
    pub fn text(&self) -> &RichText {
        &self.text
    }

    /// All that is here, with its identities.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Sets a savepoint: all that happens from here on can be undone until it is released. O(1).
    pub(crate) fn savepoint(&mut self) {
        self.replica.savepoint();
        self.saved = Some(Saved {
            text: self.text.clone(),
            weighed_bytes: self.weighed_bytes,
            since_bytes: self.since_bytes,
        });
    }

    /// Keeps what has happened since the savepoint. O(k log n) for k runs deleted since.
    pub(crate) fn release(&mut self) {
        self.saved = None;
        self.replica.release();
    }

    /// Undoes what has happened since the savepoint. O(k log n) for k runs changed since.
    pub(crate) fn rollback(&mut self) {
        self.replica.rollback();
        if let Some(saved) = self.saved.take() {
            self.text = saved.text;
            self.weighed_bytes = saved.weighed_bytes;
            self.since_bytes = saved.since_bytes;
        }
    }

    /// Makes an edit by position and returns the update that does the same elsewhere. O(k log n) for k
    /// operations, and the size of what they insert, format or delete.
    pub(crate) fn edit(&mut self, delta: &Delta, bounds: &Bounds) -> Result<Bytes, ContentError> {
        let grown = self
            .text
            .len_utf16()
            .saturating_add_signed(delta.len_change());
        if delta.len_change() > 0 {
            check(grown, bounds.len_utf16_max, "UTF-16 units")?;
        }
        if grows(delta) {
            self.weigh(0, bounds)?;
        }
        let before = self.text.clone();
        self.text.apply_within(delta, bounds.text_bytes_max)?;
        match self.replica.apply_delta(&self.root, delta, OT_CLIENT) {
            Ok(update) => {
                self.since_bytes += update.len();
                Ok(update.into())
            }
            Err(error) => {
                self.text = before;
                Err(too_large(error))
            }
        }
    }

    /// Merges an update. `None`: it held nothing new. O(k log n) for k blocks; O(n) where the text is so
    /// large that it might outgrow its bounds.
    pub(crate) fn merge(
        &mut self,
        update: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<Merged>, ContentError> {
        // Neither made by it nor standing on what it may make one day: edits by position wake nothing
        // that waits, so a replay of the log would not be the same.
        let reach = reach_of_update(update, Version::V1)?;
        if reach.get(OT_CLIENT) > self.replica.state(OT_CLIENT) {
            return Err(ContentError::ReservedClient { client: OT_CLIENT });
        }
        self.merge_own(update, bounds)
    }

    /// Whether somebody has made something already under a client of this update.
    pub(crate) fn is_taken(&self, update: &[u8]) -> Result<bool, ContentError> {
        let made = clients_of_update(update, Version::V1)?;
        Ok(made
            .iter()
            .any(|(client, _)| self.replica.state(*client) > 0))
    }

    /// As [`merge`](Self::merge), for an update that was made here.
    pub(crate) fn merge_own(
        &mut self,
        update: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<Merged>, ContentError> {
        let before_bytes = self.weighed_bytes;
        if let Err(too_large) = self.weigh(update.len(), bounds)
            && !clients_of_update(update, Version::V1)?.is_empty()
        {
            // One that only deletes is never refused for that.
            return Err(too_large);
        }
        if self.fits(update.len(), bounds) {
            return self.merge_within(update, &Bounds::NONE);
        }
        // Only a try tells.
        let mut tried = self.clone();
        let merged = tried.merge_within(update, bounds)?;
        tried.weighed_bytes = tried.replica.size_bytes();
        tried.since_bytes = 0;
        if tried.weighed_bytes > before_bytes.max(self.weighed_bytes) {
            let max = bounds.replica_bytes_max;
            check(tried.weighed_bytes, max, "bytes of memory")?;
        }
        *self = tried;
        Ok(merged)
    }

    /// Whether somebody has seen edits by position that are not here.
    pub(crate) fn is_behind(&self, seen: &StateVector) -> bool {
        seen.get(OT_CLIENT) > self.replica.state(OT_CLIENT)
    }

    /// Whether an update holds anything that is not here.
    pub(crate) fn brings_news(&self, update: &[u8]) -> Result<bool, ContentError> {
        Ok(!self.replica.has_update(update, Version::V1)?)
    }

    /// An error of the text leaves the replica changed.
    fn merge_within(
        &mut self,
        update: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<Merged>, ContentError> {
        let received = self
            .replica
            .receive_update(update, Version::V1, &self.root)?;
        if received.update.is_empty() {
            return Ok(None);
        }
        self.since_bytes += update.len();
        self.text
            .apply_within(&received.delta, bounds.text_bytes_max)?;
        check(self.text.len_utf16(), bounds.len_utf16_max, "UTF-16 units")?;
        Ok(Some(Merged {
            delta: received.delta,
            update: received.update.into(),
        }))
    }

    /// Whether the replica may grow by an update of so many bytes.
    fn weigh(&mut self, update_bytes: usize, bounds: &Bounds) -> Result<(), ContentError> {
        /// A byte of an update makes no more than this of a replica.
        const BYTES_PER_BYTE: usize = 64;
        let grown = (self.since_bytes + update_bytes).saturating_mul(BYTES_PER_BYTE);
        if self.weighed_bytes.saturating_add(grown) > bounds.replica_bytes_max {
            self.weighed_bytes = self.replica.size_bytes();
            self.since_bytes = 0;
        }
        let size_bytes = self.weighed_bytes + self.since_bytes + update_bytes;
        check(size_bytes, bounds.replica_bytes_max, "bytes of memory")
    }

    /// Whether text and replica stay within their bounds whatever an update of so many bytes does.
    fn fits(&self, update_bytes: usize, bounds: &Bounds) -> bool {
        /// A byte of text takes up to six in JSON, and what has a format or is an embed some more; and a
        /// run in the replica takes two bytes of an update at least.
        const BYTES_PER_BYTE: usize = 80;
        // It may bring in what has been waiting.
        let update_bytes = update_bytes + self.replica.pending_bytes();
        // A format may reach over all of the text, and each stretch of it counts.
        let stretches = 2 * (self.replica.runs() + self.text.len_utf16() / 256 + update_bytes);
        let format_bytes = update_bytes + self.replica.formats_bytes();
        let formats = stretches.saturating_mul(format_bytes.min(1 << 30));
        let grown = formats.saturating_add(update_bytes.saturating_mul(BYTES_PER_BYTE));
        let known_bytes = self.weighed_bytes + self.since_bytes * BYTES_PER_BYTE;
        known_bytes + update_bytes.saturating_mul(BYTES_PER_BYTE) <= bounds.replica_bytes_max
            && self.text.len_utf16() + update_bytes <= bounds.len_utf16_max
            && self.text.size_bytes().saturating_add(grown) <= bounds.text_bytes_max
    }

    /// Applies a change as the log holds it. One from before changes had updates has none, and gets its
    /// identities here: the same ones each time, as long as it is read after the same checkpoint.
    pub(crate) fn replay(&mut self, delta: &Delta, update: &[u8]) -> Result<(), ContentError> {
        self.text.apply(delta)?;
        if update.is_empty() {
            let made = self.replica.apply_delta(&self.root, delta, OT_CLIENT);
            made.map(drop).map_err(too_large)
        } else {
            Ok(self.replica.apply_update(update, Version::V1)?)
        }
    }

    /// Makes an edit under the name of `client`, on the replica alone: the content is a fork that is
    /// about to be merged.
    pub(crate) fn edit_as(&mut self, delta: &Delta, client: Client) -> Result<Bytes, ContentError> {
        self.text.apply(delta)?;
        let made = self.replica.apply_delta(&self.root, delta, client);
        made.map(Bytes::from).map_err(too_large)
    }

    /// What leads from this content to the text of `other`, which knows all that this one knows. O(what
    /// `other` has more).
    pub(crate) fn lead_to(&mut self, other: &Self) -> Result<Delta, ContentError> {
        let missing = other
            .replica
            .encode_update(&self.replica.state_vector(), Version::V1);
        // It may be asked again.
        self.replica.savepoint();
        let delta = self
            .replica
            .apply_update_to(&missing, Version::V1, &self.root);
        self.replica.rollback();
        Ok(delta?)
    }

    /// What a replica with this state vector lacks, as an update.
    pub(crate) fn missing(&self, known: &StateVector) -> Bytes {
        self.replica.encode_update(known, Version::V1).into()
    }

    /// A place in the text as an identity; text inserted at it comes behind it.
    pub(crate) fn relative(&self, position: usize) -> Option<RelativePosition> {
        self.replica
            .position_at(&self.root, position, Association::After)
    }

    /// Where a place is in the text, if it is in there.
    pub(crate) fn position(&self, place: &RelativePosition) -> Option<usize> {
        self.replica.index_of(&self.root, place)
    }

    /// Checks the invariants of this module. O(n).
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn assert_invariants(&self) {
        self.text.assert_invariants();
        self.replica.assert_invariants();
        let shown = self.replica.to_delta(&self.root);
        assert_eq!(self.text.to_delta(), shown, "**same**");
    }
}

/// Whether a delta may make a document larger.
fn grows(delta: &Delta) -> bool {
    !delta.ops().iter().all(|operation| match operation {
        Operation::Retain { attributes, .. } => attributes.is_empty(),
        Operation::Delete { .. } => true,
        Operation::Insert { .. } => false,
    })
}

fn check(size: usize, max: usize, unit: &'static str) -> Result<(), ContentError> {
    if size > max {
        Err(ContentError::TooLarge { max, unit })
    } else {
        Ok(())
    }
}

/// The text has taken the edit, so what is left is that the replica is out of numbers.
fn too_large(_: EditError) -> ContentError {
    ContentError::TooLarge {
        max: motet_crdt::CLOCK_END as usize,
        unit: "units, counting deleted ones",
    }
}
