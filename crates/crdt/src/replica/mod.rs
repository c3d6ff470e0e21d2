//! One replica of a Yjs document.

mod checkpoint;
mod commit;
mod delta;
mod edit;
mod encode;
mod integrate;
mod nodes;
mod pending;
mod position;
mod read;
mod receive;
mod savepoint;
mod size;

pub use nodes::{Branch, Node};
pub use position::{Association, RelativePosition};
pub use read::{JSON_DEPTH_MAX, Shape};
pub use receive::Received;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use motet_ot::Delta;

use crate::{
    DecodeError, Version,
    id::{Client, StateVector},
    store::{
        CLIENTS_MAX, Contents, Handle, Index, NONE, Run, RunKind, Runs, SeqId, ShortId, Trees,
        Type, Value,
    },
    update::Update,
};

use self::{pending::Pending, savepoint::Savepoint};

/// How a replica behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Forgets what deleted content was. Off, deleted content is kept, as a history of versions needs it.
    pub gc: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { gc: true }
    }
}

/// One client's part of the document.
#[derive(Clone, Default)]
struct Author {
    id: Client,
    index: Index,
    /// One past the last clock.
    end: u32,
    /// The last savepoint since which it has made something.
    noted_in: u64,
}

/// What has happened since the transaction began.
#[derive(Clone, Default)]
struct Transaction {
    /// Runs are marked, so that a delta can be told.
    marks: bool,
    /// Clients that have made something, and where they were before.
    before: Vec<(u32, u32)>,
    /// What was deleted: a client and its clocks.
    deleted: Vec<(u32, Range<u32>)>,
    /// Runs that might be joined with the one before.
    seams: Vec<ShortId>,
    /// Units that were half of a surrogate pair, and are replacement characters now.
    cut: BTreeSet<(u32, u32)>,
    /// Blocks that were put away for later: a client and the first clock.
    kept: Vec<(u32, u32)>,
    /// Deletions that were put away for later.
    kept_deleted: Vec<(u32, Range<u32>)>,
}

/// A Yjs document: see the [crate].
#[derive(Clone)]
pub struct Replica {
    options: Options,
    runs: Runs,
    trees: Trees,
    contents: Contents,
    authors: Vec<Author>,
    author_of: BTreeMap<Client, u32>,
    roots: BTreeMap<Arc<str>, u32>,
    /// The sequences of maps, by type and key.
    keyed: BTreeMap<(u32, u32), SeqId>,
    pending: Pending,
    transaction: Transaction,
    savepoint: Savepoint,
    /// Used again and again while conflicts are resolved.
    scanned: Scanned,
}

/// The runs passed over while conflicts are resolved, and where each is among them.
#[derive(Clone, Default)]
struct Scanned {
    order: Vec<Handle>,
    places: HashMap<Handle, usize>,
}

impl Default for Replica {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Replica {
    /// An empty document.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            runs: Runs::default(),
            trees: Trees::default(),
            contents: Contents::default(),
            authors: Vec::new(),
            author_of: BTreeMap::new(),
            roots: BTreeMap::new(),
            keyed: BTreeMap::new(),
            pending: Pending::default(),
            transaction: Transaction::default(),
            savepoint: Savepoint::default(),
            scanned: Scanned::default(),
        }
    }

    /// Applies an update. What stands on changes that are not here yet waits for them. O(k log n) for k
    /// blocks.
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says; nothing has changed then.
    pub fn apply_update(&mut self, update: &[u8], version: Version) -> Result<(), DecodeError> {
        self.transaction.marks = false;
        self.apply(update, version)?;
        self.commit();
        Ok(())
    }

    /// Applies an update, and returns what that did to the text of the root `root`. O(k log n).
    ///
    /// # Errors
    ///
    /// As [`DecodeError`] says; nothing has changed then.
    pub fn apply_update_to(
        &mut self,
        update: &[u8],
        version: Version,
        root: &str,
    ) -> Result<Delta, DecodeError> {
        self.transaction.marks = true;
        self.apply(update, version)?;
        let list = self.root_list(root);
        let delta = self.transaction_delta(list);
        self.commit();
        Ok(delta)
    }

    fn apply(&mut self, update: &[u8], version: Version) -> Result<(), DecodeError> {
        let update = Update::decode(update, version)?;
        let authors = self.authors.len() + update.clients.len();
        if authors >= CLIENTS_MAX as usize || !self.contents.has_room(update.bytes.len()) {
            return Err(DecodeError::TooLarge);
        }
        self.integrate_update(&update);
        Ok(())
    }

    /// What this replica has. O(clients).
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        let mut vector = StateVector::default();
        for author in &self.authors {
            vector.set(author.id, author.end);
        }
        vector
    }

    /// How many units of `client` are here.
    #[must_use]
    pub fn state(&self, client: Client) -> u32 {
        let author = self.author_of.get(&client);
        author.map_or(0, |author| self.authors[*author as usize].end)
    }

    /// How many runs the document consists of: the measure of its memory.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The length of the list of a root, in UTF-16 code units and elements. O(log roots).
    #[must_use]
    pub fn len_utf16(&self, root: &str) -> usize {
        self.list_of(root)
            .map_or(0, |list| self.trees.seq(list).visible as usize)
    }

    /// The length of a root's list with all that was deleted. O(log roots).
    #[must_use]
    pub fn total_utf16(&self, root: &str) -> u64 {
        self.list_of(root)
            .map_or(0, |list| self.trees.seq(list).total)
    }

    /// The place of a client in the list of authors; a new one if it is not there.
    fn author(&mut self, client: Client) -> u32 {
        let next = u32::try_from(self.authors.len()).unwrap_or(NONE);
        let author = *self.author_of.entry(client).or_insert(next);
        if author == next {
            self.authors.push(Author {
                id: client,
                ..Author::default()
            });
        }
        author
    }

    fn client(&self, author: u32) -> Client {
        self.authors[author as usize].id
    }

    fn end(&self, author: u32) -> u32 {
        self.authors[author as usize].end
    }

    /// An id as the outside knows it; `None` for none.
    fn name(&self, id: ShortId) -> Option<(Client, u32)> {
        id.is_some().then(|| (self.client(id.client), id.clock))
    }

    /// The type of a root, if somebody has used it.
    fn root_of(&self, root: &str) -> Option<u32> {
        self.roots.get(root).copied()
    }

    fn list_of(&self, root: &str) -> Option<SeqId> {
        let list = self.contents.types[self.root_of(root)? as usize].list;
        (list != NONE).then_some(list)
    }

    /// The type of a root.
    fn root(&mut self, root: &str) -> u32 {
        if let Some(root) = self.root_of(root) {
            return root;
        }
        let of = self.contents.add_type(Type::ROOT, root, NONE);
        let name = self.contents.types[of as usize].name.clone();
        if self.savepoint.is_set {
            self.savepoint.roots.push(name.clone());
        }
        self.roots.insert(name, of);
        of
    }

    fn root_list(&mut self, root: &str) -> SeqId {
        let root = self.root(root);
        self.list(root)
    }

    /// The list of a type.
    fn list(&mut self, of: u32) -> SeqId {
        let list = self.contents.types[of as usize].list;
        if list != NONE {
            return list;
        }
        let list = self.trees.create(of, NONE);
        self.contents.types[of as usize].list = list;
        if self.savepoint.is_set {
            self.savepoint.lists.push(of);
        }
        list
    }

    /// The sequence of a key.
    fn keyed(&mut self, of: u32, key: u32) -> SeqId {
        if let Some(seq) = self.keyed.get(&(of, key)) {
            return *seq;
        }
        let seq = self.trees.create(of, key);
        let had_keys = std::mem::replace(&mut self.contents.types[of as usize].has_keys, true);
        if self.savepoint.is_set {
            self.savepoint.keyed.push(((of, key), had_keys));
        }
        self.keyed.insert((of, key), seq);
        seq
    }

    /// The run that holds an id that is here. O(log n).
    fn find(&self, id: ShortId) -> Handle {
        let found = self.authors[id.client as usize].index.find(id.clock);
        found.unwrap_or_else(|| unreachable!("clocks below the end are dense"))
    }

    fn place(&self, run: Handle) -> crate::store::Place {
        self.trees.place(self.runs[run].leaf, run)
    }

    /// The run to the right of another in its sequence.
    fn next(&self, run: Handle) -> Handle {
        let next = self.trees.next(self.place(run));
        next.map_or(NONE, |place| self.trees.run(place))
    }

    fn first(&self, seq: SeqId) -> Handle {
        let first = self.trees.first(seq);
        first.map_or(NONE, |place| self.trees.run(place))
    }

    fn last(&self, seq: SeqId) -> Handle {
        let last = self.trees.last(seq);
        last.map_or(NONE, |place| self.trees.run(place))
    }

    /// The run that ends with `id`; the one that holds it is split if it must be. O(log n).
    fn clean_end(&mut self, id: ShortId) -> Handle {
        let run = self.find(id);
        let Run { clock, len, .. } = self.runs[run];
        let offset = id.clock - clock + 1;
        if offset < len && self.runs[run].kind() != RunKind::Gc {
            self.split(run, offset);
        }
        run
    }

    /// The run that begins with `id`; the one that holds it is split if it must be. O(log n).
    fn clean_start(&mut self, id: ShortId) -> Handle {
        let run = self.find(id);
        let offset = id.clock - self.runs[run].clock;
        if offset > 0 && self.runs[run].kind() != RunKind::Gc {
            self.split(run, offset)
        } else {
            run
        }
    }

    /// Splits a run in two, and returns the second. O(log n).
    fn split(&mut self, run: Handle, offset: u32) -> Handle {
        let mut right = self.runs[run];
        right.clock += offset;
        right.len -= offset;
        right.origin = ShortId {
            client: right.client(),
            clock: right.clock - 1,
        };
        match right.kind() {
            RunKind::Narrow => right.content += offset,
            RunKind::Wide => {
                right.content += offset;
                if let Some(pair) = self.contents.cut_wide(right.content) {
                    if self.savepoint.is_set {
                        self.savepoint.cuts.push((right.content, pair));
                    }
                    self.transaction
                        .cut
                        .extend([right.origin.pair(), right.id().pair()]);
                    self.trees.touch(self.trees.place(right.leaf, run));
                }
            }
            RunKind::Any | RunKind::Json => {
                right.content = self.split_value(right.content, offset);
            }
            _ => {}
        }
        let id = right.id();
        let right = self.runs.add(right);
        self.runs[run].len = offset;
        let place = self.place(run);
        self.trees.insert_split(place, right, &mut self.runs);
        self.authors[id.client as usize]
            .index
            .insert(id.clock, right);
        self.transaction.seams.push(id);
        if self.savepoint.is_set {
            self.savepoint.splits.push(id);
        }
        right
    }

    /// Splits a list of values, and returns the second part.
    fn split_value(&mut self, value: u32, offset: u32) -> u32 {
        use crate::encoding::{Reader, count_any};
        let (left, right) = match self.contents.value(value).clone() {
            Value::Any { bytes, start, end } => {
                let len = count_any(&bytes[start as usize..end as usize], offset);
                let middle = start + u32::try_from(len).unwrap_or(0);
                let left = Value::Any {
                    bytes: bytes.clone(),
                    start,
                    end: middle,
                };
                let start = middle;
                (left, Value::Any { bytes, start, end })
            }
            Value::Json { bytes, start, end } => {
                let mut reader = Reader::new(&bytes[start as usize..end as usize]);
                for _ in 0..offset {
                    let _checked_before = reader.var_text();
                }
                let middle = start + u32::try_from(reader.at()).unwrap_or(0);
                let left = Value::Json {
                    bytes: bytes.clone(),
                    start,
                    end: middle,
                };
                let start = middle;
                (left, Value::Json { bytes, start, end })
            }
            other => (other.clone(), other),
        };
        self.contents.split_value(value, left, right)
    }
}

impl Replica {
    /// Checks the invariants of this crate. O(n log n).
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn assert_invariants(&self) {
        let mut in_order = 0;
        for author in &self.authors {
            let mut end = 0;
            for handle in author.index.iter() {
                let run = &self.runs[handle];
                assert_eq!(run.clock, end, "**dense**");
                assert!(run.len > 0, "**dense**: a run without units");
                assert!(!run.is_new() && !run.is_gone(), "the transaction is over");
                end = run.end();
                in_order += 1;
                if run.leaf != NONE {
                    assert_eq!(self.trees.run(self.place(handle)), handle, "**linked**");
                }
            }
            assert_eq!(end, author.end, "**dense**");
        }
        assert_eq!(in_order, self.runs.len(), "every run is somebody's");
        let standing = self.trees.assert_invariants(&self.runs);
        let leafed = self.authors.iter().flat_map(|author| author.index.iter());
        let leafed = leafed.filter(|run| self.runs[*run].leaf != NONE).count();
        assert_eq!(standing, leafed, "every run with a leaf is in it");
    }
}
