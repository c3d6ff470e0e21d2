//! Rows on their way, and what they add up to.

use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};

use super::tables::{Kind, Table};
use crate::CatalogError;

/// Most rows of one statement.
const ROWS_MAX: usize = 100;
/// Most bytes of one statement, unless it is of one row.
const BYTES_MAX: usize = 1 << 20;

/// What stands in a column.
#[derive(Debug)]
pub(super) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Value {
    pub(super) fn read(row: &AnyRow, index: usize, kind: Kind) -> Result<Self, CatalogError> {
        Ok(match kind {
            Kind::Integer => Self::Integer(row.try_get(index)?),
            Kind::Text => Self::Text(row.try_get(index)?),
            Kind::Bytes => Self::Bytes(row.try_get(index)?),
        })
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Integer(_) => 8,
            Self::Text(text) => text.as_ref().map_or(0, String::len),
            Self::Bytes(bytes) => bytes.as_ref().map_or(0, Vec::len),
        }
    }
}

/// What a table's rows add up to, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sha: Sha256,
}

impl Digest {
    /// Each value with its length before it, so that no two rows add up to the same.
    pub(super) fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            let number;
            let bytes = match value {
                Value::Integer(None) | Value::Text(None) | Value::Bytes(None) => None,
                Value::Integer(Some(integer)) => {
                    number = integer.to_be_bytes();
                    Some(number.as_slice())
                }
                Value::Text(Some(text)) => Some(text.as_bytes()),
                Value::Bytes(Some(bytes)) => Some(bytes.as_slice()),
            };
            let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            self.sha.update(length.to_be_bytes());
            self.sha.update(bytes.unwrap_or_default());
        }
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows && self.sha.clone().finalize() == other.sha.clone().finalize()
    }
}

/// Rows that go together.
pub(super) struct Batch<'t> {
    table: &'t Table,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl<'t> Batch<'t> {
    pub(super) const fn new(table: &'t Table) -> Self {
        Self {
            table,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.bytes += row.iter().map(Value::size_bytes).sum::<usize>();
        self.rows.push(row);
    }

    pub(super) const fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    /// Writes what has gathered, and says how many rows that were.
    pub(super) async fn insert(&mut self, to: &mut AnyConnection) -> Result<u64, CatalogError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(0);
        }
        let insert = self.table.insert(rows.len());
        // Statements of many rows come in many lengths, which are not worth remembering.
        let mut query = sqlx::query(AssertSqlSafe(insert)).persistent(rows.len() == ROWS_MAX);
        let written = rows.len() as u64;
        for value in rows.into_iter().flatten() {
            query = match value {
                Value::Integer(integer) => query.bind(integer),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(to).await?;
        Ok(written)
    }
}
