//! Records of the log, as a store or a bus gives them back.

use bytes::Bytes;
use motet_log::{decode_record, encode_record};
use motet_model::{Change, DocumentId, Revision, UserId};

const ID: DocumentId = DocumentId::from_bytes([7; 16]);
const BASE: Revision = Revision::new(4);
/// Format and checksum.
const HEADER_BYTES: usize = 5;

/// A format, how many changes there are, and the body of a record: the checksum is made right. What is read is
/// written, and that is read as the same, also when it is put together from two records.
pub fn records(data: &[u8]) {
    let Some(([format, count], body)) = data.split_first_chunk() else {
        return;
    };
    let count = u64::from(*count);
    let _refused = decode_record(ID, BASE, count, &Bytes::copy_from_slice(data));
    let Ok(changes) = decode_record(ID, BASE, count, &sealed(*format, count, body)) else {
        return;
    };
    assert_eq!(changes.len() as u64, count);
    let written = encode_record(ID, BASE, &changes);
    assert_eq!(read(BASE, &changes), changes);
    let (front, back) = changes.split_at(changes.len() / 2);
    let middle = BASE.plus(front.len() as u64);
    let compacted = [read(BASE, front), read(middle, back)].concat();
    assert_eq!(encode_record(ID, BASE, &compacted), written);
}

/// What is written and read again.
fn read(base: Revision, changes: &[Change]) -> Vec<Change> {
    if changes.is_empty() {
        return Vec::new();
    }
    let record = Bytes::from(encode_record(ID, base, changes));
    let read = decode_record(ID, base, changes.len() as u64, &record);
    read.expect("what is written here is read here")
}

/// A record as docs/storage.md describes it.
fn sealed(format: u8, count: u64, body: &[u8]) -> Bytes {
    let (first, last) = (BASE.next(), BASE.plus(count));
    let numbers = [first, last].map(|it| it.get().to_le_bytes());
    let parts: [&[u8]; 5] = [&[format], &ID.to_bytes(), &numbers[0], &numbers[1], body];
    let checksum = parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    [&[format], checksum.to_le_bytes().as_slice(), body]
        .concat()
        .into()
}

/// Records of a few changes and of many, which are packed, by one client and by several.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let written = [(1, 1), (2, 1), (9, 3), (200, 1), (200, 5)].map(|(count, clients)| {
        let changes: Vec<_> = (0..count).map(|n| change(n, clients)).collect();
        let record = encode_record(ID, BASE, &changes);
        (record[0], count, record[HEADER_BYTES..].to_vec())
    });
    // As programs of before wrote them: change after change, format 1 without flags.
    let earlier = [1, 2].map(|format| {
        let flags: &[u8] = if format == 1 { b"" } else { b"\x01" };
        let row: [&[u8]; 4] = [&[7; 16], b"\x06client\x03", flags, b"\xe8\x07\x02{}\x01u"];
        (format, 2, row.concat().repeat(2))
    });
    let seeds = written.into_iter().chain(earlier);
    let framed = seeds.map(|(format, count, body)| [&[format, count], body.as_slice()].concat());
    framed.map(|bytes| ("records", bytes)).collect()
}

fn change(n: u8, clients: u8) -> Change {
    let of = n % clients;
    let at = u32::from(n) * 7_919 % 1_000;
    Change {
        author: UserId::from_bytes([of; 16]),
        client_id: format!("client-{of}").parse().expect("a client id"),
        seq: u64::from(n / clients) + 1,
        merged: n == 5,
        time_ms: 1_700_000_000_000 + u64::from(n) * 180,
        delta: format!(r#"{{"ops":[{{"retain":{at}}},{{"insert":"a"}}]}}"#).into(),
        update: Bytes::copy_from_slice(&at.to_be_bytes()),
    }
}
