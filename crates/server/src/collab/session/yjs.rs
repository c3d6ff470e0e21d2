//! A session in the dialects of identities.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use motet_crdt::{AwarenessEntry, SyncMessage, Version, encode_awareness, merge_updates};
use motet_document::{Access, AwarenessState, Changes, Event, PresenceUpdate, Reject};
use motet_protocol::{
    ErrorCode, close,
    yjs::{self, hocuspocus},
};

use super::{Key, Message, Next, Session, code, message_for};
use crate::collab::outbox::End;

/// What a session of identities remembers.
#[derive(Debug)]
pub(crate) struct Yjs {
    /// In Hocuspocus, what the client calls the document, and the front of every frame.
    name: Option<(Arc<str>, Bytes)>,
    receipts: Mutex<Receipts>,
    /// A client of y-websocket has been told once that it may only read.
    told_read_only: AtomicBool,
}

/// An update whose answer is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// An edit.
    Update,
    /// All that the client had and the server did not.
    Step2,
}

/// What a client of Hocuspocus has been told of its updates.
///
/// It counts what is not stored: one for its step 2, and one for each edit, and forgets what it wrote
/// offline. So nothing is confirmed before its step 2 is stored, which holds all of that.
#[derive(Debug, Default)]
struct Receipts {
    /// Whether the client still counts it, beside each.
    due: VecDeque<(Receipt, bool)>,
    synced: bool,
    /// Confirmations that wait for the step 2.
    held: usize,
}

impl Yjs {
    pub(crate) fn new(name: Option<&str>) -> Self {
        Self {
            name: name.map(|name| (name.into(), hocuspocus::prefix(name))),
            receipts: Mutex::default(),
            told_read_only: AtomicBool::new(false),
        }
    }

    /// An update is on its way to the document.
    pub(crate) fn expect(&self, receipt: Receipt) {
        self.receipts().due.push_back((receipt, true));
    }

    /// The client starts to sync, and counts anew.
    pub(crate) fn restart(&self) {
        let mut receipts = self.receipts();
        (receipts.synced, receipts.held) = (false, 0);
        for (_, counted) in &mut receipts.due {
            *counted = false;
        }
    }

    pub(crate) fn is_hocuspocus(&self) -> bool {
        self.name.is_some()
    }

    pub(super) fn key(&self) -> Option<Key> {
        let (name, _) = self.name.as_ref()?;
        Some(Key::Name(Arc::clone(name)))
    }

    fn receipts(&self) -> MutexGuard<'_, Receipts> {
        // It is whole after every statement, so a panic elsewhere does not spoil it.
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message about the document.
    fn message(&self, body: Bytes) -> Message {
        Message::Binary(match &self.name {
            Some((_, prefix)) => hocuspocus::frame(prefix, &body),
            None => body,
        })
    }

    /// The oldest update without an answer is stored. Returns how many are confirmed now.
    fn confirm(&self) -> usize {
        let mut receipts = self.receipts();
        if let Some((receipt, counted)) = receipts.due.pop_front() {
            receipts.held += usize::from(counted);
            receipts.synced |= counted && receipt == Receipt::Step2;
        }
        if receipts.synced {
            std::mem::take(&mut receipts.held)
        } else {
            0
        }
    }

    fn refuse(&self, reject: &Reject, messages: &mut Vec<Message>) -> Next {
        let code = code(reject);
        let ends = matches!(code, ErrorCode::InvalidUpdate | ErrorCode::DocumentTooLarge);
        if code == ErrorCode::ReadOnly || ends {
            self.receipts().due.pop_front();
        }
        if self.is_hocuspocus() {
            if code == ErrorCode::ReadOnly || ends {
                messages.push(self.message(hocuspocus::sync_status(false)));
            }
        } else if code != ErrorCode::ReadOnly || !self.told_read_only.swap(true, Ordering::Relaxed)
        {
            messages.push(self.message(yjs::denied(&format!("{code}: {reject}"))));
        }
        // What the client has made since stands on what was refused.
        if ends { Next::End(code) } else { Next::Rest }
    }

    pub(super) fn farewell(&self, end: End, messages: &mut Vec<Message>) -> Option<u16> {
        let code = match end {
            End::Left if self.is_hocuspocus() => return None,
            End::Left => return Some(close::NORMAL),
            End::Unread => return Some(close::POLICY),
            End::Closed(code) => code,
        };
        let reason = format!("{code}: {}", message_for(code));
        let close = code.close_code().unwrap_or(close::BAD_REQUEST);
        if !self.is_hocuspocus() {
            messages.push(self.message(yjs::denied(&reason)));
            return Some(close);
        }
        if is_passing(code) {
            // Only a new socket makes the client try again.
            return Some(close);
        }
        messages.push(self.message(hocuspocus::permission_denied(&reason)));
        None
    }

    pub(super) fn sign_of_life(&self) -> Message {
        self.message(yjs::sign_of_life())
    }
}

/// Whether trying again may help.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unavailable | ErrorCode::Internal | ErrorCode::DocumentFull | ErrorCode::Silent
    )
}

impl Session {
    pub(super) fn render_yjs(&self, yjs: &Yjs, event: Event, messages: &mut Vec<Message>) -> Next {
        let mut say = |body| messages.push(yjs.message(body));
        match event {
            Event::Joined(joined) => {
                self.set_sent(joined.revision);
                self.start();
                if !joined.awareness.is_empty() {
                    say(awareness(&joined.awareness));
                }
            }
            Event::Changes { changes, .. } => self.changes_yjs(&changes, say),
            Event::Missing {
                update,
                through,
                asked,
            } => {
                self.set_sent(through);
                match asked {
                    Some(made) => {
                        say(yjs::sync(SyncMessage::Step1(&made)));
                        say(yjs::sync(SyncMessage::Step2(&update)));
                    }
                    None => say(yjs::sync(SyncMessage::Update(&update))),
                }
            }
            Event::UpdateStored => {
                let confirmed = yjs.confirm();
                if yjs.is_hocuspocus() {
                    for _ in 0..confirmed {
                        say(hocuspocus::sync_status(true));
                    }
                }
            }
            Event::Rejected { reject, .. } => return yjs.refuse(&reject, messages),
            Event::Presence(update) => say(presence(&update)),
            Event::AccessChanged(access) if yjs.is_hocuspocus() => {
                say(hocuspocus::authenticated(access == Access::Write));
            }
            // The others are about positions, or the end of the outbox.
            _ => {}
        }
        Next::Rest
    }

    fn changes_yjs(&self, changes: &Changes, mut say: impl FnMut(Bytes)) {
        let sent = self.sent();
        let Some(last) = changes.last().filter(|last| last.revision > sent) else {
            return;
        };
        self.set_sent(last.revision);
        let others = changes.iter().filter(|entry| {
            // Not what was sent before, what the client made itself, or what has no identities.
            entry.revision > sent
                && entry.session != Some(self.id)
                && !entry.change.update.is_empty()
        });
        if let Some(wire) = changes.wire()
            && others.clone().nth(1).is_some()
        {
            // A client takes one message a frame: several changes go as one, made once for all.
            let together = wire.yjs.get_or_init(|| merged(changes)).clone();
            if !together.is_empty() {
                return say(together);
            }
        }
        for entry in others {
            let encode = || yjs::sync(SyncMessage::Update(&entry.change.update));
            say(entry.wire.yjs.get_or_init(encode).clone());
        }
    }
}

/// Empty if they cannot go as one.
fn merged(changes: &Changes) -> Bytes {
    let updates: Vec<&[u8]> = changes
        .iter()
        .map(|entry| &*entry.change.update)
        .filter(|update| !update.is_empty())
        .collect();
    match merge_updates(&updates, Version::V1) {
        Ok(merged) => yjs::sync(SyncMessage::Update(&merged)),
        Err(_) => Bytes::new(),
    }
}

fn presence(update: &PresenceUpdate) -> Bytes {
    let encode = || awareness(&update.awareness);
    update.wire.yjs.get_or_init(encode).clone()
}

fn awareness(states: &[AwarenessState]) -> Bytes {
    let entries: Vec<AwarenessEntry<'_>> = states
        .iter()
        .map(|it| AwarenessEntry {
            client: it.client,
            clock: it.clock,
            state: it.state.as_deref().unwrap_or("null"),
        })
        .collect();
    yjs::awareness(&encode_awareness(&entries))
}
