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
    put_bytes, put_difference, put_number, take, take_bytes, take_column, take_difference,
    take_len, take_number,
};

/// The format without flags.
pub(super) const FORMAT_1: u8 = 1;
/// The last format with change after change.
pub(super) const FORMAT_2: u8 = 2;

const MERGED: u64 = 1;

/// A change has at least a byte for each of client, seq, flags, time and two lengths.
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

/// All that is there, which must be `count` changes. They share the body's bytes. Room is made for them only
/// once there are as many numbers and bytes as they need.
pub(super) fn take_all(mut body: Bytes, count: u64) -> Option<Vec<Change>> {
    let body = &mut body;
    let mut clients = Vec::new();
    for _ in 0..take_len(body)? {
        clients.push(Client {
            author: take_author(body)?,
            id: take_client_id(body)?,
            next_seq: 0,
        });
    }
    let count = usize::try_from(count).ok();
    let count = count.filter(|it| *it <= body.len() / CHANGE_BYTES_MIN)?;
    let mut of = take_column(body, count)?;
    let mut seqs = take_column(body, count)?;
    let mut flags = take_column(body, count)?;
    let mut times = take_column(body, count)?;
    let (mut delta_lens, mut deltas) = take_all_bytes(body, count)?;
    let (mut update_lens, mut updates) = take_all_bytes(body, count)?;
    if !body.is_empty() {
        return None;
    }
    let mut changes = Vec::with_capacity(count);
    let mut before_ms = 0;
    for _ in 0..count {
        let client = clients.get_mut(take_len(&mut of)?)?;
        let seq = take_difference(&mut seqs, client.next_seq)?;
        client.next_seq = seq.wrapping_add(1);
        let time_ms = take_difference(&mut times, before_ms)?;
        before_ms = time_ms;
        changes.push(Change {
            author: client.author,
            client_id: client.id.clone(),
            seq,
            merged: take_number(&mut flags)? & MERGED != 0,
            time_ms,
            delta: take_len(&mut delta_lens).and_then(|len| take(&mut deltas, len))?,
            update: take_len(&mut update_lens).and_then(|len| take(&mut updates, len))?,
        });
    }
    Some(changes)
}

/// A column of lengths, and all that is so long together.
fn take_all_bytes(body: &mut Bytes, count: usize) -> Option<(Bytes, Bytes)> {
    let lens = take_column(body, count)?;
    let (mut left, mut sum) = (lens.clone(), 0_usize);
    for _ in 0..count {
        sum = sum.checked_add(take_len(&mut left)?)?;
    }
    Some((lens, take(body, sum)?))
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
