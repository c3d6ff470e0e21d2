//! Changes as bytes.
//!
//! Format 3 has a column for each field, so that what is alike stands together: how many clients there are,
//! and each one's author and id; then of all changes the client's number, how far `seq` is from what would
//! come next, the flags, how far the time is from that of the change before, the lengths of the deltas, the
//! deltas, the lengths of the updates, the updates. Formats 1 and 2 had change after change.

use std::collections::HashMap;

use bytes::Bytes;
use motet_model::{Change, ClientId, UserId};

use super::bytes::{
    put_bytes, put_difference, put_number, take, take_bytes, take_difference, take_len, take_number,
};

/// The format without flags.
pub(super) const FORMAT_1: u8 = 1;
/// The last format with change after change.
pub(super) const FORMAT_2: u8 = 2;

const MERGED: u64 = 1;

/// Format 3 has a byte or more of each change in six columns; deltas and updates may be empty.
const CHANGE_BYTES_MIN: usize = 6;

/// Who made some of the changes.
struct Client {
    author: UserId,
    id: ClientId,
    /// What its next change would have if none is left out.
    next_seq: u64,
}

pub(super) fn put(body: &mut Vec<u8>, changes: &[Change]) {
    let mut clients: Vec<Client> = Vec::new();
    let mut numbers = HashMap::new();
    let (mut of, mut seqs) = (Vec::with_capacity(changes.len()), Vec::new());
    for change in changes {
        let key = (change.author, &change.client_id);
        let number = *numbers.entry(key).or_insert_with(|| {
            clients.push(Client {
                author: change.author,
                id: change.client_id.clone(),
                next_seq: 0,
            });
            clients.len() - 1
        });
        put_number(&mut of, number as u64);
        put_difference(&mut seqs, change.seq, clients[number].next_seq);
        clients[number].next_seq = change.seq.wrapping_add(1);
    }
    put_number(body, clients.len() as u64);
    for client in &clients {
        body.extend_from_slice(&client.author.to_bytes());
        put_bytes(body, client.id.as_str().as_bytes());
    }
    body.append(&mut of);
    body.append(&mut seqs);
    for change in changes {
        put_number(body, if change.merged { MERGED } else { 0 });
    }
    let mut before_ms = 0;
    for change in changes {
        put_difference(body, change.time_ms, before_ms);
        before_ms = change.time_ms;
    }
    for field in [(|it| &it.delta) as fn(&Change) -> &Bytes, |it| &it.update] {
        for change in changes {
            put_number(body, field(change).len() as u64);
        }
        for change in changes {
            body.extend_from_slice(field(change));
        }
    }
}

/// All that is there, which must be `count` changes. They share the body's bytes.
pub(super) fn take_all(mut body: Bytes, count: u64) -> Option<Vec<Change>> {
    let count = usize::try_from(count).ok();
    let count = count.filter(|it| *it <= body.len() / CHANGE_BYTES_MIN)?;
    let body = &mut body;
    let len = take_len(body)?;
    let mut clients = Vec::new();
    for _ in 0..len {
        clients.push(Client {
            author: take_author(body)?,
            id: take_client_id(body)?,
            next_seq: 0,
        });
    }
    let mut changes = Vec::with_capacity(count);
    let mut of = Vec::with_capacity(count);
    for _ in 0..count {
        let number = take_len(body)?;
        let client = clients.get(number)?;
        of.push(number);
        changes.push(Change {
            author: client.author,
            client_id: client.id.clone(),
            seq: 0,
            merged: false,
            time_ms: 0,
            delta: Bytes::new(),
            update: Bytes::new(),
        });
    }
    for (change, number) in changes.iter_mut().zip(of) {
        let client = &mut clients[number];
        change.seq = take_difference(body, client.next_seq)?;
        client.next_seq = change.seq.wrapping_add(1);
    }
    for change in &mut changes {
        change.merged = take_number(body)? & MERGED != 0;
    }
    let mut before_ms = 0;
    for change in &mut changes {
        change.time_ms = take_difference(body, before_ms)?;
        before_ms = change.time_ms;
    }
    for field in [
        (|it| &mut it.delta) as fn(&mut Change) -> &mut Bytes,
        |it| &mut it.update,
    ] {
        let mut lens = Vec::with_capacity(count);
        for _ in 0..count {
            lens.push(take_len(body)?);
        }
        for (change, len) in changes.iter_mut().zip(lens) {
            *field(change) = take(body, len)?;
        }
    }
    body.is_empty().then_some(changes)
}

/// The next change of a record of format 1 or 2.
pub(super) fn take_row(format: u8, body: &mut Bytes) -> Option<Change> {
    Some(Change {
        author: take_author(body)?,
        client_id: take_client_id(body)?,
        seq: take_number(body)?,
        merged: match format {
            FORMAT_1 => false,
            _ => take_number(body)? & MERGED != 0,
        },
        time_ms: take_number(body)?,
        delta: take_bytes(body)?,
        update: take_bytes(body)?,
    })
}

fn take_author(body: &mut Bytes) -> Option<UserId> {
    let author: [u8; 16] = take(body, 16)?.as_ref().try_into().ok()?;
    Some(UserId::from_bytes(author))
}

fn take_client_id(body: &mut Bytes) -> Option<ClientId> {
    let id = take_bytes(body)?;
    std::str::from_utf8(&id).ok()?.parse().ok()
}
