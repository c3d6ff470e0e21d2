//! Runs: consecutive units of one client that stand side by side.

/// A place in the arena.
pub(crate) type Handle = u32;

/// No place.
pub(crate) const NONE: u32 = u32::MAX;

/// An id whose client is a place in the replica's list; [`ShortId::NONE`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShortId {
    pub(crate) client: u32,
    pub(crate) clock: u32,
}

impl ShortId {
    pub(crate) const NONE: Self = Self {
        client: NONE,
        clock: 0,
    };

    /// In the order of clients and clocks.
    pub(crate) fn pair(self) -> (u32, u32) {
        (self.client, self.clock)
    }

    pub(crate) fn is_some(self) -> bool {
        self.client != NONE
    }
}

/// What a run holds. Text is stored in one of two widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RunKind {
    Gc,
    Deleted,
    Json,
    Binary,
    /// Text of characters below U+0100, a byte each.
    Narrow,
    /// Other text, in UTF-16.
    Wide,
    Embed,
    Format,
    Type,
    Any,
    Doc,
}

const KINDS: [RunKind; 11] = [
    RunKind::Gc,
    RunKind::Deleted,
    RunKind::Json,
    RunKind::Binary,
    RunKind::Narrow,
    RunKind::Wide,
    RunKind::Embed,
    RunKind::Format,
    RunKind::Type,
    RunKind::Any,
    RunKind::Doc,
];

impl RunKind {
    pub(crate) fn from_u8(kind: u8) -> Option<Self> {
        KINDS.get(usize::from(kind)).copied()
    }
}

const KIND: u32 = 0xf;
const DELETED: u32 = 0x10;
/// Made in the transaction under way.
const NEW: u32 = 0x20;
/// Deleted in the transaction under way.
const GONE: u32 = 0x40;
const CLIENT_SHIFT: u32 = 8;

/// A format's content is its place in the list of formats, and above it five bits of its key.
pub(crate) const FORMAT_KEY_SHIFT: u32 = 27;

/// How many clients a replica can tell apart.
pub(crate) const CLIENTS_MAX: u32 = 1 << (32 - CLIENT_SHIFT);

/// 36 bytes; there is one for every run of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The client, the flags and the kind.
    tag: u32,
    pub(crate) clock: u32,
    pub(crate) len: u32,
    /// The unit to the left when this was made, and the one to the right.
    pub(crate) origin: ShortId,
    pub(crate) right_origin: ShortId,
    /// Where the content is: an offset in a text, or a place in a list.
    pub(crate) content: u32,
    /// The leaf that holds it; [`NONE`] if it stands nowhere any more.
    pub(crate) leaf: u32,
}

const _: () = assert!(size_of::<Run>() == 36, "a run is what memory goes to");

impl Run {
    pub(crate) fn new(kind: RunKind, id: ShortId, len: u32) -> Self {
        Self {
            tag: id.client << CLIENT_SHIFT | kind as u32,
            clock: id.clock,
            len,
            origin: ShortId::NONE,
            right_origin: ShortId::NONE,
            content: 0,
            leaf: NONE,
        }
    }

    pub(crate) fn kind(&self) -> RunKind {
        KINDS[(self.tag & KIND) as usize]
    }

    pub(crate) fn set_kind(&mut self, kind: RunKind) {
        self.tag = self.tag & !KIND | kind as u32;
    }

    pub(crate) fn client(&self) -> u32 {
        self.tag >> CLIENT_SHIFT
    }

    pub(crate) fn id(&self) -> ShortId {
        ShortId {
            client: self.client(),
            clock: self.clock,
        }
    }

    pub(crate) fn last_id(&self) -> ShortId {
        ShortId {
            client: self.client(),
            clock: self.end() - 1,
        }
    }

    /// One past its last clock.
    pub(crate) fn end(&self) -> u32 {
        self.clock + self.len
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.tag & DELETED != 0
    }

    pub(crate) fn is_new(&self) -> bool {
        self.tag & NEW != 0
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.tag & GONE != 0
    }

    pub(crate) fn set_new(&mut self) {
        self.tag |= NEW;
    }

    pub(crate) fn set_deleted(&mut self) {
        self.tag |= DELETED;
    }

    pub(crate) fn set_live(&mut self) {
        self.tag &= !DELETED;
    }

    pub(crate) fn set_gone(&mut self) {
        self.tag |= GONE;
    }

    /// The transaction is over.
    pub(crate) fn settle(&mut self) {
        self.tag &= !(NEW | GONE);
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind(), RunKind::Narrow | RunKind::Wide)
    }

    /// Whether it takes up positions while it is not deleted.
    pub(crate) fn is_countable(&self) -> bool {
        !matches!(
            self.kind(),
            RunKind::Gc | RunKind::Deleted | RunKind::Format
        )
    }

    /// How many positions it takes up.
    pub(crate) fn visible(&self) -> u32 {
        if self.is_deleted() || !self.is_countable() {
            0
        } else {
            self.len
        }
    }

    /// A format that has not been deleted.
    pub(crate) fn is_live_format(&self) -> bool {
        self.tag & (KIND | DELETED) == RunKind::Format as u32
    }

    /// The bit of a format's key in the masks of a tree; keys beyond 32 share theirs with others.
    pub(crate) fn format_bit(&self) -> u32 {
        1 << (self.content >> FORMAT_KEY_SHIFT)
    }

    /// The same client, kind and flags.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

/// The arena of all runs.
#[derive(Clone, Default)]
pub(crate) struct Runs {
    all: Vec<Run>,
    free: Vec<Handle>,
}

impl Runs {
    pub(crate) fn add(&mut self, run: Run) -> Handle {
        if let Some(handle) = self.free.pop() {
            self.all[handle as usize] = run;
            return handle;
        }
        if self.all.len() == self.all.capacity() {
            // Doubling would leave a quarter of the memory unused on average.
            self.all.reserve_exact(16 + self.all.len() / 8);
        }
        let handle = u32::try_from(self.all.len()).unwrap_or(NONE);
        self.all.push(run);
        handle
    }

    pub(crate) fn remove(&mut self, handle: Handle) {
        self.all[handle as usize].set_kind(RunKind::Gc);
        self.free.push(handle);
    }

    /// How many handles have been given out.
    pub(crate) fn slots(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// The memory that it takes up.
    pub(crate) fn size_bytes(&self) -> usize {
        self.all.capacity() * size_of::<Run>() + self.free.capacity() * size_of::<Handle>()
    }

    /// Makes room for many at once.
    pub(crate) fn reserve_for(&mut self, more: usize) {
        if more > 1_000 {
            self.all.reserve_exact(more);
        }
    }
}

impl std::ops::Index<Handle> for Runs {
    type Output = Run;

    fn index(&self, handle: Handle) -> &Run {
        &self.all[handle as usize]
    }
}

impl std::ops::IndexMut<Handle> for Runs {
    fn index_mut(&mut self, handle: Handle) -> &mut Run {
        &mut self.all[handle as usize]
    }
}
