//! Full-text search over titles and contents. What each database does in its own way is in a module of
//! its own: FTS5 in `sqlite`, `tsvector` in `postgres`.
//!
//! The index is made from documents and their logs, and can be made again: where its form is not the
//! one of this program, it is dropped and filled anew. Titles are kept, and what is deleted is removed, in
//! the transaction that changes the document; contents come later, from whoever has them at hand, with
//! the revision that they were made from.
//!
//! # Invariants
//!
//! - **erased**: what is deleted is no longer in the index.
//! - **plain**: what people type is never read as a query.
//! - **untold**: nothing in an answer depends on documents that the user may not see. A rank would: it
//!   weighs words by how many documents of everybody have them.

mod excerpt;
mod parts;
mod postgres;
mod sqlite;
mod tokens;

use motet_model::{DocumentId, Revision, UserId};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Catalog, CatalogError, Document, DocumentFilter,
    database::Database,
    documents::{VISIBLE, VISIBLE_COLUMNS},
    holds, parsed, stored, time,
};
pub(crate) use postgres::keep_title;

/// Most of a content that is indexed.
pub const INDEXED_BYTES_MAX: usize = 1 << 20;

const WORDS_MAX: usize = 16;

/// Words around a match.
const SNIPPET_WORDS: usize = 24;

/// Around matches in a snippet; [`plain`] leaves neither in a text.
const MARKS: [char; 2] = ['\u{2}', '\u{3}'];

/// A document that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// As the user sees it.
    pub document: Document,
    /// Some of the content around matches.
    pub snippet: Vec<Piece>,
    /// Its place among the others.
    pub place: HitCursor,
}

/// A part of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was looked for.
    pub is_match: bool,
}

/// A place in a list of hits: after the one that has these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HitCursor {
    /// Whether all words are in its title.
    pub in_title: bool,
    /// Its `updated_at_ms`.
    pub updated_at_ms: u64,
    /// Its id.
    pub id: DocumentId,
}

/// A search as a database puts it: SQL about the document `d`, and its values from `$7` on.
struct Question {
    /// To be joined.
    tables: &'static str,
    /// The document has all words.
    condition: String,
    /// Its title has.
    in_title: String,
    values: Vec<String>,
}

/// Brings the index into its form.
pub(crate) async fn prepare(pool: &AnyPool, database: Database) -> Result<(), CatalogError> {
    let mut transaction = pool.begin_with(database.begin()).await?;
    let connection = &mut *transaction;
    // Of nodes that start at once, one makes it.
    holds::hold_name(connection, "search index").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS search_format (format BIGINT NOT NULL)")
        .execute(&mut *connection)
        .await?;
    let found = sqlx::query("SELECT format FROM search_format").fetch_optional(&mut *connection);
    let found = found.await?.map(|row| row.try_get::<i64, _>("format"));
    let wanted = match database {
        Database::Sqlite => sqlite::FORMAT,
        Database::Postgres => postgres::FORMAT,
    };
    if found.transpose()? != Some(wanted) {
        match database {
            Database::Sqlite => sqlite::make(connection).await?,
            Database::Postgres => postgres::make(connection).await?,
        }
        sqlx::query("DELETE FROM search_format")
            .execute(&mut *connection)
            .await?;
        sqlx::query("INSERT INTO search_format (format) VALUES ($1)")
            .bind(wanted)
            .execute(&mut *connection)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Fills the index with the documents that are there and their titles, in the transaction that has put them
/// there in the place of others. In SQLite triggers have.
pub(crate) async fn refill(connection: &mut AnyConnection) -> Result<(), CatalogError> {
    match Database::of(connection) {
        Database::Sqlite => Ok(()),
        Database::Postgres => postgres::make(connection).await,
    }
}

impl Catalog {
    /// Notes what is written in a document at a revision, unless a later one is noted already. Of a
    /// document that is gone, nothing is.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn index_content(
        &self,
        id: DocumentId,
        revision: Revision,
        content: &str,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.begin().await?;
        let newer = sqlx::query(
            "UPDATE search_documents SET revision = $2 WHERE document_id = $1 AND revision < $2",
        )
        .bind(id.to_string())
        .bind(stored(revision.get()))
        .execute(&mut *transaction)
        .await?;
        if newer.rows_affected() > 0 {
            match self.database {
                Database::Sqlite => sqlite::write(&mut transaction, id, content).await?,
                Database::Postgres => postgres::write(&mut transaction, id, content).await?,
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Documents by id, those after `after`, with the revision that each is indexed at.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn indexed(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<(DocumentId, Revision)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT document_id, revision FROM search_documents
             WHERE document_id > $1 ORDER BY document_id LIMIT $2",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let each = |row: &AnyRow| {
            Ok((
                parsed(row, "document_id")?,
                Revision::new(time(row, "revision")?),
            ))
        };
        rows.iter().map(each).collect()
    }

    /// The documents that the user may see and in which all words of `text` are, the last one perhaps
    /// only begun. First come those with all of them in the title, then the latest changed.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn search(
        &self,
        user: UserId,
        text: &str,
        filter: DocumentFilter,
        limit: u32,
        cursor: Option<HitCursor>,
        now_ms: u64,
    ) -> Result<Vec<Hit>, CatalogError> {
        let words = words(text);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let question = match self.database {
            Database::Sqlite => sqlite::question(&words),
            Database::Postgres => postgres::question(&words),
        };
        let place = cursor.unwrap_or(HitCursor {
            in_title: true,
            updated_at_ms: u64::MAX,
            id: DocumentId::from_bytes([0xff; 16]),
        });
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT * FROM (
                 SELECT {VISIBLE_COLUMNS},
                        CAST(CASE WHEN {in_title} THEN 1 ELSE 0 END AS BIGINT) AS in_title
                 {VISIBLE}
                 {tables}
                 WHERE {visible} AND {condition}
             ) AS found WHERE (in_title, updated_at_ms, id) < ($3, $4, $5)
             ORDER BY in_title DESC, updated_at_ms DESC, id DESC LIMIT $6",
            in_title = question.in_title,
            tables = question.tables,
            visible = filter.condition(),
            condition = question.condition,
        )))
        .bind(user.to_string())
        .bind(stored(now_ms))
        .bind(i64::from(place.in_title))
        .bind(stored(place.updated_at_ms))
        .bind(place.id.to_string())
        .bind(i64::from(limit));
        for value in question.values {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&mut *self.pool.connection().await?).await?;
        let found = |row: &AnyRow| -> Result<_, CatalogError> {
            Ok((
                Document::from_row(row)?,
                row.try_get::<i64, _>("in_title")? > 0,
            ))
        };
        let found = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<_> = found.iter().map(|(document, _)| document.id).collect();
        let connection = &mut *self.pool.connection().await?;
        let snippets = match self.database {
            Database::Sqlite => sqlite::snippets(connection, &words, &ids).await?,
            Database::Postgres => postgres::snippets(connection, &words, &ids).await?,
        };
        let hits = found.into_iter().zip(snippets);
        let hits = hits.map(|((document, in_title), snippet)| Hit {
            place: HitCursor {
                in_title,
                updated_at_ms: document.updated_at_ms,
                id: document.id,
            },
            document,
            snippet,
        });
        Ok(hits.collect())
    }
}

/// The words of what somebody has typed.
fn words(text: &str) -> Vec<&str> {
    let separates = |char: char| char.is_whitespace() || char.is_control();
    text.split(separates)
        .filter(|word| word.contains(char::is_alphanumeric))
        .take(WORDS_MAX)
        .collect()
}

/// A text of which nothing is mistaken for a mark, as long as is indexed.
fn plain(text: &str) -> String {
    let mut end = text.len().min(INDEXED_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

/// Takes the marks out of a snippet.
fn pieces(marked: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, part) in marked.split(MARKS).enumerate() {
        if !part.is_empty() {
            pieces.push(Piece {
                text: part.to_owned(),
                is_match: number % 2 == 1,
            });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_letter_is_no_word() {
        assert_eq!(words("* a\0b:c \" -- \0"), ["a", "b:c"]);
        assert!(words("* \" -- \0").is_empty());
    }

    #[test]
    fn snippets_come_in_pieces() {
        let piece = |text: &str, is_match| Piece {
            text: text.to_owned(),
            is_match,
        };
        let found = pieces("one \u{2}two\u{3}\u{2}three\u{3}");
        let expected = [
            piece("one ", false),
            piece("two", true),
            piece("three", true),
        ];
        assert_eq!(found, expected);
        assert_eq!(pieces(&plain("a\u{2}b\u{3}")), [piece("a b ", false)]);
    }
}
