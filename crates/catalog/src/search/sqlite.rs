//! The index in SQLite: a table of FTS5. Triggers keep titles, and remove what is deleted, in the
//! transaction that changes the document.
//!
//! # Invariants
//!
//! - **erased**: what is deleted is no longer in the file (`secure-delete`, and the catalog's
//!   `PRAGMA secure_delete`).

use motet_model::DocumentId;
use sqlx::{AnyConnection, Row};

use super::{
    Piece, Question, SNIPPET_WORDS,
    excerpt::{excerpt, phrases},
    parts::best,
    pieces, plain,
};
use crate::CatalogError;

/// Counts up with every change below, and when a migration makes the table `documents` anew.
pub(super) const FORMAT: i64 = 1;

const DROP: &[&str] = &[
    "DROP TRIGGER IF EXISTS search_document_added",
    "DROP TRIGGER IF EXISTS search_document_renamed",
    "DROP TRIGGER IF EXISTS search_document_deleted",
    "DROP TABLE IF EXISTS search_texts",
    "DROP TABLE IF EXISTS search_documents",
];

const MAKE: &[&str] = &[
    // `number` is the row in `search_texts`; no number comes twice.
    "CREATE TABLE search_documents (
         number      INTEGER PRIMARY KEY AUTOINCREMENT,
         document_id TEXT    NOT NULL UNIQUE REFERENCES documents (id) ON DELETE CASCADE,
         revision    BIGINT  NOT NULL
     )",
    "CREATE VIRTUAL TABLE search_texts USING fts5 (
         title, content, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
     )",
    "INSERT INTO search_texts (search_texts, rank) VALUES ('secure-delete', 1)",
    "CREATE TRIGGER search_document_added AFTER INSERT ON documents BEGIN
         INSERT INTO search_documents (document_id, revision) VALUES (new.id, 0);
         INSERT INTO search_texts (rowid, title, content)
         SELECT number, new.title, '' FROM search_documents WHERE document_id = new.id;
     END",
    "CREATE TRIGGER search_document_renamed AFTER UPDATE OF title ON documents BEGIN
         UPDATE search_texts SET title = new.title
         WHERE rowid = (SELECT number FROM search_documents WHERE document_id = new.id);
     END",
    "CREATE TRIGGER search_document_deleted BEFORE DELETE ON documents BEGIN
         DELETE FROM search_texts
         WHERE rowid = (SELECT number FROM search_documents WHERE document_id = old.id);
     END",
    "INSERT INTO search_documents (document_id, revision) SELECT id, 0 FROM documents",
    "INSERT INTO search_texts (rowid, title, content)
     SELECT s.number, d.title, '' FROM search_documents s JOIN documents d ON d.id = s.document_id",
];

pub(super) async fn make(connection: &mut AnyConnection) -> Result<(), CatalogError> {
    for statement in DROP.iter().chain(MAKE) {
        sqlx::query(*statement).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn write(
    connection: &mut AnyConnection,
    id: DocumentId,
    content: &str,
) -> Result<(), CatalogError> {
    sqlx::query(
        "UPDATE search_texts SET content = $2
         WHERE rowid = (SELECT number FROM search_documents WHERE document_id = $1)",
    )
    .bind(id.to_string())
    .bind(plain(content))
    .execute(connection)
    .await?;
    Ok(())
}

/// What is asked for with these words.
pub(super) fn question(words: &[&str]) -> Question {
    let wanted = query(words);
    Question {
        tables: "JOIN search_documents s ON s.document_id = d.id
                 JOIN search_texts ON search_texts.rowid = s.number",
        condition: "search_texts MATCH $7".to_owned(),
        in_title: "s.number IN (SELECT rowid FROM search_texts WHERE search_texts MATCH $8)"
            .to_owned(),
        values: vec![wanted.clone(), format!("title : ({wanted})")],
    }
}

/// A snippet of each of these documents.
pub(super) async fn snippets(
    connection: &mut AnyConnection,
    words: &[&str],
    ids: &[DocumentId],
) -> Result<Vec<Vec<Piece>>, CatalogError> {
    let phrases = phrases(words);
    let mut snippets = Vec::with_capacity(ids.len());
    // One at a time: contents may be long.
    for id in ids {
        let row = sqlx::query(
            "SELECT content FROM search_texts
             WHERE rowid = (SELECT number FROM search_documents WHERE document_id = $1)",
        )
        .bind(id.to_string())
        .fetch_optional(&mut *connection)
        .await?;
        // It may have been deleted a moment ago.
        let content = row.map(|row| row.try_get::<String, _>("content"));
        let content = content.transpose()?.unwrap_or_default();
        let snippet = best(&content, &phrases).map(|part| {
            let ends = [part.is_first, part.is_last];
            pieces(&excerpt(part.text, ends, &phrases, SNIPPET_WORDS))
        });
        snippets.push(snippet.unwrap_or_default());
    }
    Ok(snippets)
}

/// The query of FTS5 for all these words.
fn query(words: &[&str]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")));
    // Words side by side must all be there. With the star, whatever begins so.
    format!("{} *", quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::words;
    use super::*;

    #[test]
    fn plain_words_are_never_a_query() {
        let query = |text| query(&words(text));
        assert_eq!(query("a b"), "\"a\" \"b\" *");
        assert_eq!(query("title:x"), "\"title:x\" *");
        assert_eq!(
            query("\"a\" NEAR(b c, 2)"),
            "\"\"\"a\"\"\" \"NEAR(b\" \"c,\" \"2)\" *"
        );
        assert_eq!(query("a\0b"), "\"a\" \"b\" *");
    }
}
