//! The engines behind one interface. Positions are characters of the basic plane.

use diamond_types::list::{ListCRDT, encoding::EncodeOptions, encoding::ENCODE_FULL};
use loro::{ExportMode, LoroDoc, LoroText};
use motet_crdt::{Options, Replica, StateVector, Version};
use motet_ot::Delta;
use yrs::{
    Doc, GetString, OffsetKind, Observable, ReadTxn, Text, TextRef, Transact, updates::decoder::Decode,
};

pub trait Engine: Sized {
    const NAME: &'static str;
    fn new(client: u64) -> Self;
    /// A replacement as the engine takes it.
    type Edit;
    fn edit(at: usize, deleted: usize, inserted: &str) -> Self::Edit;
    fn perform(&mut self, edit: &Self::Edit);
    fn insert(&mut self, at: usize, text: &str);
    fn delete(&mut self, at: usize, len: usize);
    fn text(&self) -> String;
    /// In the engine's own form.
    fn save(&self) -> Vec<u8>;
    fn open(saved: &[u8], client: u64) -> Self;
    /// As Yjs's update v1, if it speaks that.
    fn update(&self) -> Option<Vec<u8>>;
    fn from_update(update: &[u8], client: u64) -> Self;
    /// Inserts, and returns what another needs to do the same.
    fn insert_update(&mut self, at: usize, text: &str) -> Vec<u8>;
    /// Applies what another did; returns how many changes it told of, 0 if it cannot.
    fn apply(&mut self, update: &[u8], with_delta: bool) -> usize;
    fn update_for(&self, other: &Self) -> Vec<u8>;
}

const ROOT: &str = "content";

pub struct Motet {
    replica: Replica,
    client: u64,
}

impl Engine for Motet {
    const NAME: &'static str = "motet";

    type Edit = Delta;
    fn edit(at: usize, deleted: usize, inserted: &str) -> Self::Edit {
        Delta::new().retain(at).insert(inserted).delete(deleted)
    }
    fn perform(&mut self, edit: &Self::Edit) {
        self.replica.apply_delta(ROOT, edit, self.client).expect("in range");
    }

    fn new(client: u64) -> Self {
        let replica = Replica::new(Options::default());
        Self { replica, client }
    }
    fn insert(&mut self, at: usize, text: &str) {
        let delta = Delta::new().retain(at).insert(text);
        self.replica.apply_delta(ROOT, &delta, self.client).expect("in range");
    }
    fn delete(&mut self, at: usize, len: usize) {
        let delta = Delta::new().retain(at).delete(len);
        self.replica.apply_delta(ROOT, &delta, self.client).expect("in range");
    }
    fn text(&self) -> String {
        self.replica.text(ROOT)
    }
    fn save(&self) -> Vec<u8> {
        self.replica.save()
    }
    fn open(saved: &[u8], client: u64) -> Self {
        let replica = Replica::load(saved, Options::default()).expect("a checkpoint");
        Self { replica, client }
    }
    fn update(&self) -> Option<Vec<u8>> {
        Some(self.replica.encode_update(&StateVector::default(), Version::V1))
    }
    fn from_update(update: &[u8], client: u64) -> Self {
        let mut new = Self::new(client);
        new.replica.apply_update(update, Version::V1).expect("an update");
        new
    }
    fn insert_update(&mut self, at: usize, text: &str) -> Vec<u8> {
        let delta = Delta::new().retain(at).insert(text);
        self.replica.apply_delta(ROOT, &delta, self.client).expect("in range")
    }
    fn apply(&mut self, update: &[u8], with_delta: bool) -> usize {
        if with_delta {
            let delta = self.replica.apply_update_to(update, Version::V1, ROOT).expect("an update");
            delta.ops().len()
        } else {
            self.replica.apply_update(update, Version::V1).expect("an update");
            0
        }
    }
    fn update_for(&self, other: &Self) -> Vec<u8> {
        self.replica.encode_update(&other.replica.state_vector(), Version::V1)
    }
}

pub struct Yrs {
    doc: Doc,
    text: TextRef,
}

impl Engine for Yrs {
    const NAME: &'static str = "yrs";

    type Edit = (usize, usize, String);
    fn edit(at: usize, deleted: usize, inserted: &str) -> Self::Edit {
        (at, deleted, inserted.to_owned())
    }
    fn perform(&mut self, (at, deleted, inserted): &Self::Edit) {
        if *deleted > 0 {
            self.delete(*at, *deleted);
        }
        if !inserted.is_empty() {
            self.insert(*at, inserted);
        }
    }

    fn new(client: u64) -> Self {
        let options = yrs::Options {
            client_id: yrs::block::ClientID::new(client),
            offset_kind: OffsetKind::Utf16,
            ..yrs::Options::default()
        };
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text(ROOT);
        Self { doc, text }
    }
    fn insert(&mut self, at: usize, text: &str) {
        self.text.insert(&mut self.doc.transact_mut(), at as u32, text);
    }
    fn delete(&mut self, at: usize, len: usize) {
        self.text.remove_range(&mut self.doc.transact_mut(), at as u32, len as u32);
    }
    fn text(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }
    fn save(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v2(&yrs::StateVector::default())
    }
    fn open(saved: &[u8], client: u64) -> Self {
        let new = Self::new(client);
        let update = yrs::Update::decode_v2(saved).expect("an update");
        new.doc.transact_mut().apply_update(update).expect("applied");
        new
    }
    fn update(&self) -> Option<Vec<u8>> {
        Some(self.doc.transact().encode_state_as_update_v1(&yrs::StateVector::default()))
    }
    fn from_update(update: &[u8], client: u64) -> Self {
        let new = Self::new(client);
        let update = yrs::Update::decode_v1(update).expect("an update");
        new.doc.transact_mut().apply_update(update).expect("applied");
        new
    }
    fn insert_update(&mut self, at: usize, text: &str) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        self.text.insert(&mut transaction, at as u32, text);
        transaction.encode_update_v1()
    }
    fn apply(&mut self, update: &[u8], with_delta: bool) -> usize {
        let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        if with_delta {
            let told = told.clone();
            self.text.observe("bench", move |transaction, event: &yrs::types::text::TextEvent| {
                let count = event.delta(transaction).len();
                told.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
            });
        } else {
            self.text.unobserve("bench");
        }
        let update = yrs::Update::decode_v1(update).expect("an update");
        self.doc.transact_mut().apply_update(update).expect("applied");
        told.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn update_for(&self, other: &Self) -> Vec<u8> {
        let known = other.doc.transact().state_vector();
        self.doc.transact().encode_state_as_update_v1(&known)
    }
}

pub struct Loro {
    doc: LoroDoc,
    text: LoroText,
}

impl Engine for Loro {
    const NAME: &'static str = "loro";

    type Edit = (usize, usize, String);
    fn edit(at: usize, deleted: usize, inserted: &str) -> Self::Edit {
        (at, deleted, inserted.to_owned())
    }
    fn perform(&mut self, (at, deleted, inserted): &Self::Edit) {
        if *deleted > 0 {
            self.delete(*at, *deleted);
        }
        if !inserted.is_empty() {
            self.insert(*at, inserted);
        }
    }

    fn new(client: u64) -> Self {
        let doc = LoroDoc::new();
        doc.set_peer_id(client).expect("a peer id");
        let text = doc.get_text(ROOT);
        Self { doc, text }
    }
    fn insert(&mut self, at: usize, text: &str) {
        self.text.insert_utf16(at, text).expect("in range");
    }
    fn delete(&mut self, at: usize, len: usize) {
        self.text.delete_utf16(at, len).expect("in range");
    }
    fn text(&self) -> String {
        self.text.to_string()
    }
    fn save(&self) -> Vec<u8> {
        self.doc.export(ExportMode::Snapshot).expect("a snapshot")
    }
    fn open(saved: &[u8], client: u64) -> Self {
        let new = Self::new(client);
        new.doc.import(saved).expect("a snapshot");
        new
    }
    fn update(&self) -> Option<Vec<u8>> {
        None
    }
    fn from_update(_: &[u8], client: u64) -> Self {
        Self::new(client)
    }
    fn insert_update(&mut self, at: usize, text: &str) -> Vec<u8> {
        self.doc.commit();
        let before = self.doc.oplog_vv();
        self.insert(at, text);
        self.doc.commit();
        self.doc.export(ExportMode::updates(&before)).expect("updates")
    }
    fn apply(&mut self, update: &[u8], with_delta: bool) -> usize {
        let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let _subscription = with_delta.then(|| {
            let told = told.clone();
            self.doc.subscribe_root(std::sync::Arc::new(move |event| {
                told.fetch_add(event.events.len(), std::sync::atomic::Ordering::Relaxed);
            }))
        });
        self.doc.import(update).expect("updates");
        told.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn update_for(&self, other: &Self) -> Vec<u8> {
        self.doc.commit();
        let known = other.doc.oplog_vv();
        self.doc.export(ExportMode::updates(&known)).expect("updates")
    }
}

pub struct Diamond {
    list: ListCRDT,
    agent: u32,
}

impl Engine for Diamond {
    const NAME: &'static str = "diamond-types";

    type Edit = (usize, usize, String);
    fn edit(at: usize, deleted: usize, inserted: &str) -> Self::Edit {
        (at, deleted, inserted.to_owned())
    }
    fn perform(&mut self, (at, deleted, inserted): &Self::Edit) {
        if *deleted > 0 {
            self.delete(*at, *deleted);
        }
        if !inserted.is_empty() {
            self.insert(*at, inserted);
        }
    }

    fn new(client: u64) -> Self {
        let mut list = ListCRDT::new();
        let agent = list.get_or_create_agent_id(&format!("agent {client}"));
        Self { list, agent }
    }
    fn insert(&mut self, at: usize, text: &str) {
        self.list.insert(self.agent, at, text);
    }
    fn delete(&mut self, at: usize, len: usize) {
        self.list.delete_without_content(self.agent, at..at + len);
    }
    fn text(&self) -> String {
        self.list.branch.content().to_string()
    }
    fn save(&self) -> Vec<u8> {
        self.list.oplog.encode(ENCODE_FULL)
    }
    fn open(saved: &[u8], client: u64) -> Self {
        let mut list = ListCRDT::load_from(saved).expect("a document");
        let agent = list.get_or_create_agent_id(&format!("agent {client}"));
        Self { list, agent }
    }
    fn update(&self) -> Option<Vec<u8>> {
        None
    }
    fn from_update(_: &[u8], client: u64) -> Self {
        Self::new(client)
    }
    fn insert_update(&mut self, at: usize, text: &str) -> Vec<u8> {
        let before = self.list.oplog.local_version();
        self.insert(at, text);
        self.list.oplog.encode_from(EncodeOptions::default(), before.as_slice())
    }
    fn apply(&mut self, update: &[u8], with_delta: bool) -> usize {
        self.list.merge_data_and_ff(update).expect("updates");
        let _ = with_delta;
        0
    }
    fn update_for(&self, other: &Self) -> Vec<u8> {
        // Both have what the other started from: the first change, at least.
        let _ = other;
        self.list.oplog.encode_from(EncodeOptions::default(), &[])
    }
}
