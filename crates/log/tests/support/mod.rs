//! What tests on PostgreSQL share.

#![allow(dead_code, reason = "each test file uses a part")]

use bytes::Bytes;
use motet_log::{PostgresLog, PostgresSettings};
use motet_model::{Change, UserId};
use motet_testing::Schema;

pub(crate) async fn open(schema: &Schema) -> PostgresLog {
    PostgresLog::open(&schema.url(), PostgresSettings::default())
        .await
        .unwrap()
}

pub(crate) fn change(seq: u64) -> Change {
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "client".parse().unwrap(),
        seq,
        merged: false,
        time_ms: seq,
        delta: Bytes::from(seq.to_string()),
        update: Bytes::new(),
    }
}
