//! Which tables there are, as the database itself says, and what they look like.

use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};

use super::{CopyError, rows::Value};
use crate::{
    CatalogError,
    audit::places,
    database::{Database, POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS},
};

/// Tables that are not copied. All others are.
const SKIPPED: [&str; 14] = [
    // How far the tables are; the target has its own.
    SQLITE_MIGRATIONS,
    POSTGRES_MIGRATIONS,
    // The index of search, which is made from documents and logs.
    "search_format",
    "search_documents",
    "search_texts",
    "search_parts",
    // Which nodes there are and what they do: those of the source do nothing any more.
    "claims",
    "nodes",
    // How far others were told by streams, which do not move with it.
    "event_cursors",
    // The log of documents, which may be in the same database.
    "log_documents",
    "log_appends",
    "log_checkpoints",
    "log_migrations",
    "log_outbox",
];
/// Tables that SQLite makes behind those: its own, and those of FTS5.
const SKIPPED_PREFIXES: [&str; 2] = ["sqlite_", "search_texts_"];

/// What may stand in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Text,
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Column {
    pub(super) name: String,
    /// As the database calls it.
    kind: String,
    /// The database gives it a value of its own making.
    made: bool,
}

impl Column {
    fn kind(&self) -> Option<Kind> {
        match self.kind.to_ascii_lowercase().as_str() {
            _ if self.made => None,
            "bigint" => Some(Kind::Integer),
            "text" => Some(Kind::Text),
            "bytea" | "blob" => Some(Kind::Bytes),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// In the order of their names.
    columns: Vec<(String, Kind)>,
    /// By what its rows are told apart.
    key: Vec<String>,
    /// Tables that must be there before.
    parents: Vec<String>,
}

/// The names of all tables.
pub(super) async fn names(connection: &mut AnyConnection) -> Result<Vec<String>, CatalogError> {
    let query = match Database::of(connection) {
        Database::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
        Database::Postgres => {
            "SELECT CAST(relname AS TEXT) AS name FROM pg_class
             WHERE relkind IN ('r', 'p') AND relnamespace =
                   (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
             ORDER BY 1"
        }
    };
    let rows = sqlx::query(query).fetch_all(connection).await?;
    let names = rows.iter().map(|row| Ok(row.try_get("name")?));
    names.collect()
}

/// All tables that are not skipped.
pub(super) async fn tables(connection: &mut AnyConnection) -> Result<Vec<Table>, CopyError> {
    let mut tables = Vec::new();
    for name in names(connection).await? {
        let skipped = SKIPPED.contains(&name.as_str())
            || SKIPPED_PREFIXES.iter().any(|it| name.starts_with(it));
        if !skipped {
            tables.push(table(connection, name).await?);
        }
    }
    Ok(tables)
}

async fn table(connection: &mut AnyConnection, name: String) -> Result<Table, CopyError> {
    let [columns, keys, parents] = match Database::of(connection) {
        Database::Sqlite => [
            "SELECT name, type AS kind, CAST(hidden AS BIGINT) AS made FROM pragma_table_xinfo($1)",
            "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk",
            "SELECT DISTINCT \"table\" AS name FROM pragma_foreign_key_list($1)",
        ],
        Database::Postgres => [
            "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind,
                    CAST(CASE WHEN is_identity = 'YES' OR is_generated <> 'NEVER'
                                OR column_default LIKE 'nextval(%'
                              THEN 1 ELSE 0 END AS BIGINT) AS made
             FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1",
            "SELECT CAST(a.attname AS TEXT) AS name
             FROM pg_index i
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = to_regclass(quote_ident($1)) AND i.indisprimary
             ORDER BY array_position(CAST(i.indkey AS SMALLINT[]), a.attnum)",
            "SELECT DISTINCT CAST(p.relname AS TEXT) AS name
             FROM pg_constraint c JOIN pg_class p ON p.oid = c.confrelid
             WHERE c.contype = 'f' AND c.conrelid = to_regclass(quote_ident($1))",
        ],
    };
    let mut all = Vec::new();
    for query in [columns, keys, parents] {
        let rows = sqlx::query(query).bind(&name);
        all.push(rows.fetch_all(&mut *connection).await?);
    }
    let text = |row: &AnyRow| row.try_get::<String, _>("name");
    let column = |row: &AnyRow| -> Result<_, sqlx::Error> {
        Ok(Column {
            name: text(row)?,
            kind: row.try_get("kind")?,
            made: row.try_get::<i64, _>("made")? != 0,
        })
    };
    let columns: Result<Vec<_>, _> = all[0].iter().map(column).collect();
    let key: Result<Vec<_>, _> = all[1].iter().map(text).collect();
    let parents: Result<Vec<_>, _> = all[2].iter().map(text).collect();
    Table::new(name, columns?, key?, parents?)
}

/// **whole**: both have the same tables, and these the same columns.
pub(super) fn compare(source: &[Table], target: &[Table]) -> Result<(), CopyError> {
    for (tables, others, side) in [(source, target, "target"), (target, source, "source")] {
        for table in tables {
            let other = others.iter().find(|other| other.name == table.name);
            let why = match other {
                None => format!("the {side} has none"),
                Some(other) if (&other.columns, &other.key) == (&table.columns, &table.key) => {
                    continue;
                }
                Some(_) => format!("the {side} has it with other columns"),
            };
            let table = table.name.clone();
            return Err(CopyError::Table { table, why });
        }
    }
    Ok(())
}

/// Each after those that it refers to.
pub(super) fn in_order(mut tables: Vec<Table>) -> Result<Vec<Table>, CopyError> {
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let free = tables.iter().position(|table| {
            let mut parents = table.parents.iter();
            parents.all(|parent| ordered.iter().any(|there| there.name == *parent))
        });
        let Some(free) = free else {
            let table = tables.swap_remove(0);
            let why = "it refers to itself in the end, or to a table that is skipped".to_owned();
            return Err(CopyError::Table {
                table: table.name,
                why,
            });
        };
        ordered.push(tables.remove(free));
    }
    Ok(ordered)
}

impl Table {
    fn new(
        name: String,
        mut columns: Vec<Column>,
        key: Vec<String>,
        parents: Vec<String>,
    ) -> Result<Self, CopyError> {
        columns.sort_unstable();
        let kinds = columns.into_iter().map(|column| match column.kind() {
            Some(kind) => Ok((column.name, kind)),
            None => Err(CopyError::Table {
                table: name.clone(),
                why: format!("its column {} is a {}", column.name, column.kind),
            }),
        });
        let columns: Vec<_> = kinds.collect::<Result<_, _>>()?;
        let key = match key.is_empty() {
            true => columns.iter().map(|(column, _)| column.clone()).collect(),
            false => key,
        };
        Ok(Self {
            name,
            columns,
            key,
            parents,
        })
    }

    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// All rows, in the order of their keys, which is that of bytes in every database.
    pub(super) fn select(&self, database: Database) -> String {
        let columns = self.columns.iter().map(|(column, kind)| {
            let column = quoted(column);
            match (kind, database) {
                // It may be declared by a name that is only known to PostgreSQL.
                (Kind::Bytes, Database::Sqlite) => format!("CAST({column} AS BLOB)"),
                _ => column,
            }
        });
        format!(
            "SELECT {} FROM {} ORDER BY {}",
            columns.collect::<Vec<_>>().join(", "),
            self.quoted(),
            self.key
                .iter()
                .map(|it| quoted(it))
                .collect::<Vec<_>>()
                .join(", ")
        )
    }

    /// Adds so many rows.
    pub(super) fn insert(&self, rows: usize) -> String {
        let columns = self.columns.iter().map(|(column, _)| quoted(column));
        format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.quoted(),
            columns.collect::<Vec<_>>().join(", "),
            places(rows, self.columns.len())
        )
    }

    /// What [`select`](Self::select) gives, and [`insert`](Self::insert) takes.
    pub(super) fn values(&self, row: &AnyRow) -> Result<Vec<Value>, CatalogError> {
        let columns = self.columns.iter().enumerate();
        let values = columns.map(|(index, (_, kind))| Value::read(row, index, *kind));
        values.collect()
    }

    /// Whether all texts are such as PostgreSQL takes; the table is one of SQLite.
    pub(super) async fn check_texts(&self, from: &mut AnyConnection) -> Result<(), CopyError> {
        let texts = self.columns.iter().filter(|(_, kind)| *kind == Kind::Text);
        let texts: Vec<_> = texts.map(|(column, _)| column).collect();
        if texts.is_empty() {
            return Ok(());
        }
        let has = |column: &&String| format!("instr({}, char(0)) > 0", quoted(column));
        let cases = texts.iter().enumerate();
        let cases = cases.map(|(index, column)| format!("WHEN {} THEN {index}", has(column)));
        let query = format!(
            "SELECT CASE {} END AS place FROM {} WHERE {} LIMIT 1",
            cases.collect::<Vec<_>>().join(" "),
            self.quoted(),
            texts.iter().map(has).collect::<Vec<_>>().join(" OR "),
        );
        let found = sqlx::query(AssertSqlSafe(query)).fetch_optional(from);
        let Some(row) = found.await? else {
            return Ok(());
        };
        let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or_default();
        Err(CopyError::Text {
            table: self.name.clone(),
            column: texts
                .get(place)
                .map_or_else(String::new, |it| (*it).clone()),
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            made: false,
        }
    }

    fn table(name: &str, parents: &[&str]) -> Table {
        let parents = parents.iter().map(|it| (*it).to_owned()).collect();
        let columns = vec![column("id", "TEXT"), column("a", "BYTEA")];
        Table::new(name.to_owned(), columns, Vec::new(), parents).unwrap()
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let tables = vec![table("c", &["b", "a"]), table("b", &["a"]), table("a", &[])];
        let ordered = in_order(tables).unwrap();
        let names: Vec<_> = ordered.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        for circle in [vec![table("a", &["a"])], vec![table("a", &["claims"])]] {
            assert!(matches!(in_order(circle), Err(CopyError::Table { .. })));
        }
    }

    #[test]
    fn whole() {
        let (a, b) = (table("a", &[]), table("b", &[]));
        compare(&[a.clone(), b.clone()], &[b.clone(), a.clone()]).unwrap();
        let other = Table::new("b".to_owned(), vec![column("id", "TEXT")], vec![], vec![]);
        let other = other.unwrap();
        for (source, target) in [
            (vec![a.clone()], vec![a.clone(), b.clone()]),
            (vec![a.clone(), b.clone()], vec![a.clone()]),
            (vec![a.clone(), b], vec![a, other]),
        ] {
            let different = compare(&source, &target);
            assert!(
                matches!(&different, Err(CopyError::Table { table, .. }) if table == "b"),
                "{different:?}"
            );
        }
    }

    #[test]
    fn only_known_kinds_are_copied() {
        for (kind, made) in [("TIMESTAMP", false), ("REAL", false), ("bigint", true)] {
            let odd = Column {
                made,
                ..column("odd", kind)
            };
            let table = Table::new("a".to_owned(), vec![odd], vec![], vec![]);
            assert!(matches!(table, Err(CopyError::Table { .. })), "{kind}");
        }
    }
}
