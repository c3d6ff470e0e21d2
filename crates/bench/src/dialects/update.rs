//! Updates of Yjs, version 1: written by hand, and read as far as it takes to know which edits are in them.
//!
//! Each client types one run of characters, each behind its last one. Its id tells which client it is.

use anyhow::bail;
use motet_crdt::lib0::{put_bytes, put_number, take_bytes, take_number};

/// The root that is edited.
pub(crate) const ROOT: &str = "content";

/// The id of the first client: as long on the wire as those that Yjs makes up.
const FIRST_CLIENT: u64 = 1 << 31;

/// And of those in whose names texts are pasted: each is an author of its own.
const FIRST_PASTER: u64 = 1 << 30;

/// The author of what is pasted.
pub(crate) const PASTER: usize = usize::MAX;

const STRING: u8 = 4;
const DELETED: u8 = 1;
const GC: u8 = 0;
const SKIP: u8 = 10;
const KIND: u8 = 0b1_1111;
const HAS_KEY: u8 = 0b10_0000;
const HAS_RIGHT: u8 = 0b100_0000;
const HAS_ORIGIN: u8 = 0b1000_0000;

/// Appends the update that is the client's `nth` character.
pub(crate) fn put_edit(out: &mut Vec<u8>, client: usize, nth: u64) {
    let id = FIRST_CLIENT + client as u64;
    // Of one client one block.
    out.extend_from_slice(&[1, 1]);
    put_number(out, id);
    put_number(out, nth);
    if let Some(last) = nth.checked_sub(1) {
        out.push(STRING | HAS_ORIGIN);
        put_number(out, id);
        put_number(out, last);
    } else {
        out.extend_from_slice(&[STRING, 1]);
        put_bytes(out, ROOT.as_bytes());
    }
    put_bytes(out, b"x");
    // Nothing is deleted.
    out.push(0);
}

/// Appends the update that is the `nth` text that is pasted.
pub(crate) fn put_paste(out: &mut Vec<u8>, nth: u64, characters: usize) {
    out.extend_from_slice(&[1, 1]);
    put_number(out, FIRST_PASTER + nth);
    out.extend_from_slice(&[0, STRING, 1]);
    put_bytes(out, ROOT.as_bytes());
    put_bytes(out, "x".repeat(characters).as_bytes());
    out.push(0);
}

/// The awareness update that says at which place somebody is.
pub(crate) fn put_place(out: &mut Vec<u8>, client: usize, nth: u64) {
    out.push(1);
    put_number(out, FIRST_CLIENT + client as u64);
    put_number(out, nth);
    let state =
        format!(r##"{{"user":{{"name":"Bench","color":"#1b6ca8"}},"cursor":{{"at":{nth}}}}}"##);
    put_bytes(out, state.as_bytes());
}

/// Tells of each client in an awareness update at which place it is.
pub(crate) fn read_places(
    mut bytes: &[u8],
    mut tell: impl FnMut(usize, u64),
) -> anyhow::Result<()> {
    let bytes = &mut bytes;
    for _ in 0..take_number(bytes)? {
        let client = take_number(bytes)?.checked_sub(FIRST_CLIENT);
        let nth = take_number(bytes)?;
        take_bytes(bytes)?;
        if let Some(client) = client {
            tell(usize::try_from(client)?, nth);
        }
    }
    Ok(())
}

/// Tells of each run in an update whose it is, its first edit and how many there are. A text that was pasted is one
/// edit, whose author is [`PASTER`]; clients that are none of ours are left out.
pub(crate) fn read(mut bytes: &[u8], mut tell: impl FnMut(usize, u64, u64)) -> anyhow::Result<()> {
    let bytes = &mut bytes;
    for _ in 0..take_number(bytes)? {
        let blocks = take_number(bytes)?;
        let id = take_number(bytes)?;
        let mut clock = take_number(bytes)?;
        for _ in 0..blocks {
            let Some((&info, rest)) = bytes.split_first() else {
                bail!("an update ends in the middle");
            };
            *bytes = rest;
            let kind = info & KIND;
            let length = match kind {
                GC | SKIP => take_number(bytes)?,
                DELETED | STRING => {
                    take_place(bytes, info)?;
                    match kind {
                        STRING => take_bytes(bytes)?.len() as u64,
                        _ => take_number(bytes)?,
                    }
                }
                other => bail!("nobody wrote a block of kind {other}"),
            };
            if kind != SKIP {
                match (id.checked_sub(FIRST_CLIENT), id.checked_sub(FIRST_PASTER)) {
                    (Some(client), _) => tell(usize::try_from(client)?, clock, length),
                    (None, Some(nth)) => tell(PASTER, nth, 1),
                    (None, None) => {}
                }
            }
            clock += length;
        }
    }
    Ok(())
}

/// Takes what says where a block stands.
fn take_place(bytes: &mut &[u8], info: u8) -> anyhow::Result<()> {
    let origins = [HAS_ORIGIN, HAS_RIGHT];
    for _ in origins.iter().filter(|it| info & **it != 0) {
        take_number(bytes)?;
        take_number(bytes)?;
    }
    if info & (HAS_ORIGIN | HAS_RIGHT) == 0 {
        if take_number(bytes)? == 1 {
            take_bytes(bytes)?;
        } else {
            take_number(bytes)?;
            take_number(bytes)?;
        }
        if info & HAS_KEY != 0 {
            take_bytes(bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_crdt::{Options, Replica, StateVector, Version, merge_updates};

    use super::*;

    fn edit(client: usize, nth: u64) -> Vec<u8> {
        let mut update = Vec::new();
        put_edit(&mut update, client, nth);
        update
    }

    fn runs(update: &[u8]) -> Vec<(usize, u64, u64)> {
        let mut runs = Vec::new();
        read(update, |client, first, count| {
            runs.push((client, first, count))
        })
        .unwrap();
        runs
    }

    #[test]
    fn edits_are_text_to_a_replica() {
        let mut replica = Replica::new(Options::default());
        for nth in 0..300 {
            for client in [0, 1, 200] {
                replica
                    .apply_update(&edit(client, nth), Version::V1)
                    .unwrap();
            }
        }
        assert!(!replica.has_pending());
        assert_eq!(replica.text(ROOT), "x".repeat(900));
    }

    #[test]
    fn each_edit_is_recognised() {
        assert_eq!(runs(&edit(0, 0)), [(0, 0, 1)]);
        assert_eq!(runs(&edit(70_000, 5_000_000)), [(70_000, 5_000_000, 1)]);
    }

    #[test]
    fn what_is_pasted_is_text_to_a_replica_and_recognised() {
        let mut paste = Vec::new();
        put_paste(&mut paste, 4, 100_000);
        let mut replica = Replica::new(Options::default());
        replica.apply_update(&paste, Version::V1).unwrap();
        assert_eq!(replica.len_utf16(ROOT), 100_000);
        assert_eq!(runs(&paste), [(PASTER, 4, 1)]);
    }

    #[test]
    fn places_are_awareness() {
        let mut place = Vec::new();
        put_place(&mut place, 300, 17);
        let entries = motet_crdt::decode_awareness(&place).unwrap();
        assert_eq!((entries.len(), entries[0].clock), (1, 17));
        assert!(serde_json::from_str::<serde_json::Value>(entries[0].state).is_ok());
        let mut places = Vec::new();
        read_places(&place, |client, nth| places.push((client, nth))).unwrap();
        assert_eq!(places, [(300, 17)]);
    }

    #[test]
    fn each_edit_is_recognised_in_what_a_server_makes_of_them() {
        let updates = [edit(3, 0), edit(4, 0), edit(3, 1), edit(3, 3)];
        let updates: Vec<_> = updates.iter().map(Vec::as_slice).collect();
        let merged = merge_updates(&updates, Version::V1).unwrap();
        let mut edits: Vec<_> = runs(&merged)
            .into_iter()
            .flat_map(|(client, first, count)| (first..first + count).map(move |nth| (client, nth)))
            .collect();
        edits.sort_unstable();
        assert_eq!(edits, [(3, 0), (3, 1), (3, 3), (4, 0)]);

        let mut replica = Replica::new(Options::default());
        for update in &updates[..3] {
            replica.apply_update(update, Version::V1).unwrap();
        }
        let state = replica.encode_update(&StateVector::default(), Version::V1);
        let all: u64 = runs(&state).iter().map(|(_, _, count)| count).sum();
        assert_eq!(all, 3);
    }
}
