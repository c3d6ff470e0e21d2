//! The index in PostgreSQL: values of `tsvector`, with what [`tokens`](super::tokens) takes for words.
//!
//! A `tsvector` holds up to a MiB and 16,383 places, so a content is cut into parts. Part 0 is the title,
//! which whoever changes a document puts there in the same transaction ([`keep_title`]); what is deleted
//! goes with the document, by foreign keys. Until `VACUUM` it is in the database's files still.

use std::collections::{BTreeMap, HashMap};

use motet_model::DocumentId;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::{
    Piece, Question, SNIPPET_WORDS,
    excerpt::{Phrase, excerpt, phrases},
    parts::parts,
    pieces, plain,
    tokens::{Token, tokens},
};
use crate::{
    CatalogError,
    database::{Database, postgres_text},
    parsed,
};

/// Counts up with every change below, of `tokens`, and when a migration makes the table `documents` anew.
pub(super) const FORMAT: i64 = 1;

/// Places of one word in one `tsvector`; PostgreSQL keeps no more.
const PLACES_MAX: usize = 255;

/// Titles that one statement adds.
const TITLES: usize = 200;

const MAKE: &[&str] = &[
    "DROP TABLE IF EXISTS search_parts",
    "DROP TABLE IF EXISTS search_documents",
    "CREATE TABLE search_documents (
         document_id TEXT   NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
         revision    BIGINT NOT NULL
     )",
    "CREATE TABLE search_parts (
         document_id TEXT     NOT NULL REFERENCES search_documents (document_id) ON DELETE CASCADE,
         part        BIGINT   NOT NULL,
         content     TEXT     NOT NULL,
         words       TSVECTOR NOT NULL,
         PRIMARY KEY (document_id, part)
     )",
    "CREATE INDEX search_parts_words ON search_parts USING gin (words)",
    // Nobody adds or renames one meanwhile.
    "LOCK TABLE documents IN SHARE ROW EXCLUSIVE MODE",
    "INSERT INTO search_documents (document_id, revision) SELECT id, 0 FROM documents",
];

pub(super) async fn make(connection: &mut AnyConnection) -> Result<(), CatalogError> {
    for statement in MAKE {
        sqlx::query(AssertSqlSafe(postgres_text(statement)))
            .execute(&mut *connection)
            .await?;
    }
    let mut after = String::new();
    loop {
        let rows =
            sqlx::query("SELECT id, title FROM documents WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(&after)
                .bind(i64::try_from(TITLES).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await?;
        let mut titles = Vec::with_capacity(rows.len());
        for row in &rows {
            titles.push((row.try_get("id")?, row.try_get::<String, _>("title")?));
        }
        add_titles(connection, &titles).await?;
        match titles.pop() {
            Some((last, _)) => after = last,
            None => return Ok(()),
        }
    }
}

async fn add_titles(
    connection: &mut AnyConnection,
    titles: &[(String, String)],
) -> Result<(), CatalogError> {
    if titles.is_empty() {
        return Ok(());
    }
    let places = (0..titles.len()).map(|row| {
        let (id, words) = (2 * row + 1, 2 * row + 2);
        format!("(${id}, 0, '', CAST(${words} AS tsvector))")
    });
    let places = places.collect::<Vec<_>>().join(", ");
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO search_parts (document_id, part, content, words) VALUES {places}
         ON CONFLICT (document_id, part) DO UPDATE SET words = excluded.words"
    )));
    for (id, title) in titles {
        query = query
            .bind(id)
            .bind(vector(&tokens(title).collect::<Vec<_>>()));
    }
    query.execute(connection).await?;
    Ok(())
}

/// Says how a document is called, from now on or anew, in the transaction that does so. In SQLite
/// triggers do.
pub(crate) async fn keep_title(
    connection: &mut AnyConnection,
    id: DocumentId,
    title: &str,
) -> Result<(), CatalogError> {
    if Database::of(connection) == Database::Sqlite {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO search_documents (document_id, revision) VALUES ($1, 0)
         ON CONFLICT (document_id) DO NOTHING",
    )
    .bind(id.to_string())
    .execute(&mut *connection)
    .await?;
    add_titles(connection, &[(id.to_string(), title.to_owned())]).await
}

pub(super) async fn write(
    connection: &mut AnyConnection,
    id: DocumentId,
    content: &str,
) -> Result<(), CatalogError> {
    let content = plain(content);
    let mut number = 0;
    for part in parts(&content) {
        number += 1;
        // Mostly all parts before the one that was written in are what they were.
        sqlx::query(
            "INSERT INTO search_parts AS old (document_id, part, content, words)
             VALUES ($1, $2, $3, CAST($4 AS tsvector))
             ON CONFLICT (document_id, part) DO UPDATE
             SET content = excluded.content, words = excluded.words
             WHERE old.content <> excluded.content OR old.words <> excluded.words",
        )
        .bind(id.to_string())
        .bind(number)
        .bind(part.text)
        .bind(vector(&part.tokens))
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("DELETE FROM search_parts WHERE document_id = $1 AND part > $2")
        .bind(id.to_string())
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

/// What is asked for with these words: each somewhere in the title or in a part.
pub(super) fn question(words: &[&str]) -> Question {
    let has = |condition: &str, value: usize| {
        format!(
            "EXISTS (SELECT 1 FROM search_parts p WHERE p.document_id = d.id{condition}
                     AND p.words @@ CAST(${value} AS tsquery))"
        )
    };
    let mut values: Vec<_> = phrases(words).iter().map(query).collect();
    let each = (0..values.len()).map(|number| has("", 8 + number));
    let condition = each.collect::<Vec<_>>().join(" AND ");
    values.insert(0, values.join(" & "));
    Question {
        tables: "",
        condition,
        in_title: has(" AND p.part = 0", 7),
        values,
    }
}

/// A snippet of each of these documents.
pub(super) async fn snippets(
    connection: &mut AnyConnection,
    words: &[&str],
    ids: &[DocumentId],
) -> Result<Vec<Vec<Piece>>, CatalogError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let phrases = phrases(words);
    let places = |from: usize, count: usize| (from..from + count).map(|at| format!("${at}"));
    let matches = places(1, phrases.len())
        .map(|at| format!("CASE WHEN p.words @@ CAST({at} AS tsquery) THEN 1 ELSE 0 END"));
    // The first of the parts in which the most of what was looked for is.
    let mut query_parts = sqlx::query(AssertSqlSafe(format!(
        "SELECT document_id, part, parts, content FROM (
             SELECT p.document_id, p.part, p.content,
                    COUNT(*) OVER (PARTITION BY p.document_id) AS parts,
                    ROW_NUMBER() OVER (PARTITION BY p.document_id
                                       ORDER BY {matches} DESC, p.part) AS place
             FROM search_parts p WHERE p.part > 0 AND p.document_id IN ({ids})
         ) AS ordered WHERE place = 1",
        matches = matches.collect::<Vec<_>>().join(" + "),
        ids = places(1 + phrases.len(), ids.len())
            .collect::<Vec<_>>()
            .join(", "),
    )))
    .persistent(false);
    for phrase in &phrases {
        query_parts = query_parts.bind(query(phrase));
    }
    for id in ids {
        query_parts = query_parts.bind(id.to_string());
    }
    let mut snippets = HashMap::new();
    for row in query_parts.fetch_all(connection).await? {
        let id: DocumentId = parsed(&row, "document_id")?;
        let (number, count): (i64, i64) = (row.try_get("part")?, row.try_get("parts")?);
        let text: String = row.try_get("content")?;
        let ends = [number == 1, number == count];
        snippets.insert(id, pieces(&excerpt(&text, ends, &phrases, SNIPPET_WORDS)));
    }
    // One without a content, or that was deleted a moment ago, has none.
    let each = ids.iter().map(|id| snippets.remove(id).unwrap_or_default());
    Ok(each.collect())
}

/// The `tsquery` of a phrase. Words have only letters and digits, so nothing in it is an operator.
fn query(phrase: &Phrase) -> String {
    let words: Vec<_> = phrase.tokens.iter().map(|it| format!("'{it}'")).collect();
    let begun = if phrase.begun { ":*" } else { "" };
    format!("({}{begun})", words.join(" <-> "))
}

/// The `tsvector` of words with their places.
fn vector(tokens: &[Token]) -> String {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (number, token) in tokens.iter().enumerate() {
        let places = places.entry(&token.folded).or_default();
        if places.len() < PLACES_MAX {
            places.push((number + 1).to_string());
        }
    }
    let words = places
        .iter()
        .map(|(word, places)| format!("'{word}':{}", places.join(",")));
    words.collect::<Vec<_>>().join(" ")
}
