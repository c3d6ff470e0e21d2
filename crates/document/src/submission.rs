//! An edit on its way to the head of the document.

use std::sync::Arc;

use motet_model::{Change, ClientId, Revision, UserId};
use motet_ot::{Decoded, Delta, Side, Splice};

use crate::{
    checkpoint::OpenError,
    window::{Mark, Passed},
};

/// What a client asks for: a delta made on the document at `base`.
///
/// [`Document::plan`](crate::Document::plan) takes it from a base within its window; what an older one
/// needs first is what [`Document::route`](crate::Document::route) says.
#[derive(Clone, Debug)]
pub struct Submission {
    base: Revision,
    /// `None`: the document counts.
    seq: Option<u64>,
    delta: Arc<Delta>,
    /// How much of the document the delta needs, however its last operation was written: `Delta`
    /// drops a trailing retain, and a retain past the end is a client's error worth telling.
    extent_utf16: usize,
    /// It is refused unless its base is the head.
    only_on_head: bool,
    /// Where the same submission was found in the log, if it was.
    committed_as: Option<Revision>,
}

impl Submission {
    /// A delta made on the document at `base`, numbered `seq` by its client.
    #[must_use]
    pub fn new(base: Revision, seq: u64, decoded: Decoded) -> Self {
        Self {
            seq: Some(seq),
            ..Self::unnumbered(base, decoded)
        }
    }

    /// A delta made on the document at `base`, which gets its client's next number when it is
    /// planned. Sent again, it is another submission.
    #[must_use]
    pub fn unnumbered(base: Revision, decoded: Decoded) -> Self {
        let Decoded {
            delta,
            extent_utf16,
        } = decoded;
        Self {
            base,
            seq: None,
            delta: Arc::new(delta),
            extent_utf16,
            only_on_head: false,
            committed_as: None,
        }
    }

    /// The same, to be refused unless its base is the head when it is planned.
    #[must_use]
    pub fn only_on_head(self) -> Self {
        Self {
            only_on_head: true,
            ..self
        }
    }

    pub(crate) fn is_only_on_head(&self) -> bool {
        self.only_on_head
    }

    /// The revision that the delta stands on now.
    #[must_use]
    pub fn base(&self) -> Revision {
        self.base
    }

    /// The client's number, if it gave one.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// The delta on [`base`](Self::base).
    #[must_use]
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    /// About how many operations moving it to `head` has to walk over: its own, once for each change.
    #[must_use]
    pub fn steps_to(&self, head: Revision) -> u64 {
        let operations = self.delta.ops().len().max(1) as u64;
        head.since(self.base).saturating_mul(operations)
    }

    /// Whether it changes the document at one place.
    pub(crate) fn is_splice(&self) -> bool {
        Splice::of(&self.delta).is_some()
    }

    /// Whether `change` is this submission of that author's, sent before.
    #[must_use]
    pub fn is(&self, author: UserId, client_id: &ClientId, change: &Change) -> bool {
        Some(change.seq) == self.seq && change.client_id == *client_id && change.author == author
    }

    pub(crate) fn extent_utf16(&self) -> usize {
        self.extent_utf16
    }

    pub(crate) fn committed_as(&self) -> Option<Revision> {
        self.committed_as
    }

    pub(crate) fn into_delta(self) -> Arc<Delta> {
        self.delta
    }

    /// Moves the submission over the changes that directly follow its base, as read from the log.
    ///
    /// If one of them is this submission itself, sent before, that is remembered and the rest does
    /// not matter. Costs a transform for each change.
    ///
    /// # Errors
    ///
    /// `Corrupt`: a change does not hold a delta. The log is damaged; stop.
    pub fn advance(
        &mut self,
        author: UserId,
        client_id: &ClientId,
        changes: &[Change],
    ) -> Result<(), OpenError> {
        for change in changes {
            let delta = Arc::new(decode(change, self.base.next())?);
            self.pass(author, client_id, [Passed::new(change, &delta)]);
        }
        Ok(())
    }

    /// Moves the submission over the changes that directly follow its base. O(1) and no allocation for each, as long as it and
    /// they change the document at one place.
    pub(crate) fn pass<'a>(
        &mut self,
        author: UserId,
        client_id: &ClientId,
        passed: impl IntoIterator<Item = Passed<'a>>,
    ) {
        let own = self.seq.map(|seq| Mark::of(author, client_id, seq));
        let mut splice = Splice::of(&self.delta);
        for passed in passed {
            self.base = self.base.next();
            if self.committed_as.is_some() {
                continue;
            }
            if own == Some(passed.mark) && self.is(author, client_id, passed.change) {
                self.committed_as = Some(self.base);
                continue;
            }
            self.extent_utf16 = passed.transform_position(self.extent_utf16);
            // A committed change stands on the left: in a tie its insertion comes first.
            let moved = splice.and_then(|it| passed.splice?.transform(it));
            if moved.is_some() {
                splice = moved;
                continue;
            }
            if let Some(splice) = splice {
                self.move_to(splice);
            }
            self.delta = Arc::new(passed.delta.transform(&self.delta, Side::Left));
            splice = Splice::of(&self.delta);
        }
        if let Some(splice) = splice {
            self.move_to(splice);
        }
    }

    fn move_to(&mut self, splice: Splice) {
        if Splice::of(&self.delta) != Some(splice) {
            self.delta = Arc::new(self.delta.moved_to(splice));
        }
    }
}

/// The delta that a change holds.
pub(crate) fn decode(change: &Change, revision: Revision) -> Result<Delta, OpenError> {
    motet_ot::decode(&change.delta)
        .map(|decoded| decoded.delta)
        .map_err(|error| OpenError::Corrupt {
            revision,
            detail: error.to_string(),
        })
}
