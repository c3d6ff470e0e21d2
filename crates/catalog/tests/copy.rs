//! A catalog in another database: all of it but what is named, and nothing where something cannot be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicU64,
};

use motet_catalog::{AuditAction, Catalog, CatalogError, CopyError};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use support::{Store, actor, create, user, with_users};

/// Tables that stay where they are. Whoever adds one here says why in `copy/tables.rs`.
fn stays(table: &str) -> bool {
    ["_sqlx_migrations", "claims", "event_cursors", "nodes"].contains(&table)
        || table.starts_with("search_")
        || table.starts_with("sqlite_")
}

/// A column: its name, its type, and the table and column that it refers to.
type Column = (String, String, Option<(String, String)>);

/// All tables of a fresh catalog that are to be copied, as SQLite tells of them.
async fn tables() -> BTreeMap<String, Vec<Column>> {
    let store = Store::sqlite();
    store.open().await.close().await;
    let mut connection = store.connection().await;
    let names = rows(
        &mut connection,
        "SELECT name FROM sqlite_schema WHERE type = 'table'",
    );
    let mut tables = BTreeMap::new();
    for name in names.await {
        let name = &name[0];
        if stays(name) {
            continue;
        }
        let columns = format!("SELECT name, type FROM pragma_table_info('{name}')");
        let refers =
            format!("SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list('{name}')");
        let refers = rows(&mut connection, &refers).await;
        let columns = rows(&mut connection, &columns).await.into_iter();
        let columns = columns.map(|column| {
            let to = refers.iter().find(|it| it[0] == column[0]);
            let to = to.map(|it| (it[1].clone(), it[2].clone()));
            (column[0].clone(), column[1].clone(), to)
        });
        tables.insert(name.clone(), columns.collect());
    }
    tables
}

/// What a query gives, as text.
async fn rows(connection: &mut AnyConnection, query: &str) -> Vec<Vec<String>> {
    let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap();
    let text = |row: &sqlx::any::AnyRow, index| {
        row.try_get::<String, _>(index)
            .or_else(|_| row.try_get::<i64, _>(index).map(|it| it.to_string()))
            .or_else(|_| row.try_get::<Vec<u8>, _>(index).map(|it| format!("{it:?}")))
            .unwrap()
    };
    let row = |row: &sqlx::any::AnyRow| (0..row.len()).map(|index| text(row, index)).collect();
    rows.iter().map(row).collect()
}

/// Puts three rows into every table that is to be copied.
async fn fill(store: &Store, tables: &BTreeMap<String, Vec<Column>>) {
    let mut connection = store.connection().await;
    let mut filled = BTreeSet::new();
    while filled.len() < tables.len() {
        let before = filled.len();
        for (table, columns) in tables {
            let parents = columns.iter().filter_map(|(.., to)| to.as_ref());
            let mut parents = parents.map(|(parent, _)| parent);
            if filled.contains(table) || !parents.all(|parent| filled.contains(parent)) {
                continue;
            }
            filled.insert(table.clone());
            for n in 0..3 {
                let values = columns.iter().map(|(column, kind, to)| {
                    let (table, column) = match to {
                        Some((table, column)) => (table, column),
                        None => (table, column),
                    };
                    match kind.as_str() {
                        "BIGINT" => [i64::MAX, -7, 1_000][n].to_string(),
                        "TEXT" => {
                            let odd = ["", "Ä\u{1f600}%\n", "''\"\\"][n];
                            format!("'{table} {column} {n} {odd}'")
                        }
                        other => panic!("{table}.{column} is a {other}: say here what is in it"),
                    }
                });
                let names = columns.iter().map(|(column, ..)| format!("\"{column}\""));
                let insert = format!(
                    "INSERT INTO \"{table}\" ({}) VALUES ({})",
                    names.collect::<Vec<_>>().join(", "),
                    values.collect::<Vec<_>>().join(", ")
                );
                let inserted = sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut connection);
                inserted.await.unwrap();
            }
        }
        assert!(
            filled.len() > before,
            "tables refer to each other in a circle"
        );
    }
    connection.close().await.unwrap();
}

/// Everything in these tables.
async fn content(
    store: &Store,
    tables: &BTreeMap<String, Vec<Column>>,
) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut connection = store.connection().await;
    let mut content = BTreeMap::new();
    for (table, columns) in tables {
        let names = columns.iter().map(|(column, ..)| format!("\"{column}\""));
        let names = names.collect::<Vec<_>>().join(", ");
        let query = format!("SELECT {names} FROM \"{table}\"");
        let mut found = rows(&mut connection, &query).await;
        found.sort_unstable();
        content.insert(table.clone(), found);
    }
    content
}

async fn copy(from: &Store, to: &Store) -> Result<Vec<(String, u64)>, CopyError> {
    let source = Catalog::open_to_read(&from.location()).await.unwrap();
    let target = to.open().await;
    let copied = match source.check_copy_to(&target).await {
        Ok(()) => source.copy_to(&target, &AtomicU64::new(0)).await,
        Err(error) => Err(error),
    };
    source.close().await;
    target.close().await;
    let copied = copied?.into_iter();
    Ok(copied.map(|table| (table.name, table.rows)).collect())
}

/// **whole**: a table that a migration adds is copied, or is named as one that is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole() {
    let tables = tables().await;
    assert!(tables.len() > 20, "{tables:?}");
    let stores = [
        Store::sqlite(),
        Store::postgres().await,
        Store::postgres().await,
        Store::sqlite(),
        Store::sqlite(),
    ];
    stores[0].open().await.close().await;
    fill(&stores[0], &tables).await;
    let before = content(&stores[0], &tables).await;
    for pair in stores.windows(2) {
        let copied: BTreeMap<_, _> = copy(&pair[0], &pair[1])
            .await
            .unwrap()
            .into_iter()
            .collect();
        let expected = before.iter();
        let expected = expected.map(|(table, rows)| (table.clone(), rows.len() as u64));
        assert_eq!(copied, expected.collect());
        assert!(content(&pair[1], &tables).await == before, "all the same");
    }
}

/// What no table has today, and the next one may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_and_nothing_at_all() {
    let stores = [Store::sqlite(), Store::postgres().await, Store::sqlite()];
    for store in &stores {
        store.open().await.close().await;
        let make = "CREATE TABLE extra (id TEXT NOT NULL PRIMARY KEY, image BYTEA, note TEXT)";
        store.execute(make).await;
    }
    let fill = "INSERT INTO extra VALUES ('a', x'00ff27', 'n'), ('b', x'', ''), ('c', NULL, NULL)";
    stores[0].execute(fill).await;
    for pair in stores.windows(2) {
        let copied = copy(&pair[0], &pair[1]).await.unwrap();
        assert!(copied.contains(&("extra".to_owned(), 3)), "{copied:?}");
    }
    let in_hexadecimal = ["hex(image)", "upper(encode(image, 'hex'))", "hex(image)"];
    for (store, hex) in stores.iter().zip(in_hexadecimal) {
        let query = format!(
            "SELECT id, CASE WHEN image IS NULL THEN 'none' ELSE {hex} END AS image,
                    COALESCE(note, 'none') AS note FROM extra ORDER BY id"
        );
        let mut connection = store.connection().await;
        let found = rows(&mut connection, &query).await;
        let expected = [["a", "00FF27", "n"], ["b", "", ""], ["c", "none", "none"]];
        assert_eq!(found, expected);
    }
}

/// **into nothing**
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn into_nothing() {
    let from = Store::sqlite();
    with_users(&from, 1).await.close().await;
    for to in [Store::sqlite(), Store::postgres().await] {
        assert_eq!(Catalog::used_at(&to.location()).await.unwrap(), None);
        with_users(&to, 2).await.close().await;
        let used = Catalog::used_at(&to.location()).await.unwrap();
        assert_eq!(used, Some("accounts"));
        let refused = copy(&from, &to).await;
        assert!(matches!(refused, Err(CopyError::Used { what: "accounts" })));
        assert_eq!(to.number("SELECT COUNT(*) FROM users").await, 2);
        to.execute("DELETE FROM users").await;
        let refused = copy(&from, &to).await;
        let what = "an audit trail";
        assert!(matches!(refused, Err(CopyError::Used { what: of }) if of == what));
    }
}

/// **all or none**: where something cannot be stored, nothing is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_none() {
    let (from, to) = (Store::sqlite(), Store::postgres().await);
    let catalog = with_users(&from, 3).await;
    create(&catalog, 1, 1).await;
    catalog.close().await;
    from.execute("UPDATE documents SET title = 'a' || char(0) || 'b'")
        .await;
    let source = Catalog::open_to_read(&from.location()).await.unwrap();
    let target = to.open().await;
    match source.check_copy_to(&target).await.unwrap_err() {
        CopyError::Text { table, column } => {
            assert_eq!((&*table, &*column), ("documents", "title"))
        }
        error => panic!("{error}"),
    }
    // Without asking before: it fails at the title, after the accounts.
    let failed = source.copy_to(&target, &AtomicU64::new(0)).await;
    assert!(matches!(failed, Err(CopyError::Catalog(_))), "{failed:?}");
    assert_eq!(Catalog::used_at(&to.location()).await.unwrap(), None);
    assert_eq!(to.number("SELECT COUNT(*) FROM organizations").await, 1);
    source.close().await;
    target.close().await;
    // A file takes it.
    copy(&from, &Store::sqlite()).await.unwrap();
    from.execute("UPDATE documents SET title = 'ab'").await;
    copy(&from, &to).await.unwrap();
    assert_eq!(to.number("SELECT COUNT(*) FROM users").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_is_not_passed_over() {
    for to_postgres in [false, true] {
        for (in_source, what) in [
            (true, "CREATE TABLE extra (id TEXT NOT NULL PRIMARY KEY)"),
            (false, "CREATE TABLE extra (id TEXT NOT NULL PRIMARY KEY)"),
            (true, "ALTER TABLE users ADD COLUMN odd REAL"),
            (true, "ALTER TABLE users ADD COLUMN odd TEXT"),
        ] {
            let from = Store::sqlite();
            let to = match to_postgres {
                true => Store::postgres().await,
                false => Store::sqlite(),
            };
            with_users(&from, 1).await.close().await;
            to.open().await.close().await;
            if in_source { &from } else { &to }.execute(what).await;
            let refused = copy(&from, &to).await;
            assert!(
                matches!(refused, Err(CopyError::Table { .. })),
                "{what}: {refused:?}"
            );
            assert_eq!(Catalog::used_at(&to.location()).await.unwrap(), None);
        }
    }
}

/// What is found by its title at once, and by its content when a server has told it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_made_anew() {
    use motet_catalog::DocumentFilter;
    use motet_model::Revision;
    let stores = [Store::sqlite(), Store::postgres().await, Store::sqlite()];
    let catalog = with_users(&stores[0], 1).await;
    create(&catalog, 1, 1).await;
    let id = support::document(1);
    let indexed = catalog.index_content(id, Revision::new(3), "kumquats");
    indexed.await.unwrap();
    catalog.close().await;
    for pair in stores.windows(2) {
        copy(&pair[0], &pair[1]).await.unwrap();
        let catalog = pair[1].open().await;
        let find = async |text| {
            let all = DocumentFilter::All;
            let hits = catalog.search(user(1).id, text, all, 10, None, support::NOW);
            hits.await.unwrap().len()
        };
        assert_eq!((find("title").await, find("kumquats").await), (1, 0));
        // What the sweep goes by.
        let known = catalog.indexed(None, 10).await.unwrap();
        assert_eq!(known, [(id, Revision::ZERO)]);
        let indexed = catalog.index_content(id, Revision::new(3), "kumquats");
        indexed.await.unwrap();
        assert_eq!(find("kumquats").await, 1);
        catalog.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_read_only() {
    for store in [Store::sqlite(), Store::postgres().await] {
        let missing = Catalog::open_to_read(&store.location()).await;
        assert!(matches!(missing, Err(CatalogError::NotFound { .. })));
        with_users(&store, 1).await.close().await;
        let catalog = Catalog::open_to_read(&store.location()).await.unwrap();
        let found = catalog.user(user(1).id).await.unwrap();
        assert!(found.is_some());
        let (by, new) = (actor(2), user(2));
        let made = catalog.create_user(&by, &new, AuditAction::AccountRegistered);
        assert!(matches!(made.await, Err(CatalogError::Unavailable(_))));
        catalog.close().await;
        let table = match &store {
            Store::Sqlite(_) => "_sqlx_migrations",
            Store::Postgres(_) => "catalog_migrations",
        };
        let mut connection = store.connection().await;
        for (change, outdated) in [
            ("INSERT INTO {} SELECT 99, description, installed_on, success, checksum, execution_time
              FROM {} WHERE version = 1", false),
            ("DELETE FROM {} WHERE version > 3", true),
        ] {
            let change = change.replace("{}", table);
            let done = sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut connection);
            done.await.unwrap();
            let refused = Catalog::open_to_read(&store.location()).await;
            match refused.unwrap_err() {
                CatalogError::Outdated => assert!(outdated),
                CatalogError::Unavailable(_) => assert!(!outdated),
                error => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_seen() {
    let store = Store::postgres().await;
    let location = store.location();
    assert!(Catalog::others_at(&location).await.unwrap().is_empty());
    // In the same database, and not in the same place.
    let neighbour = Store::postgres().await;
    let next_door = neighbour.open().await;
    let copier = Catalog::open(&Catalog::location_to_copy(&location))
        .await
        .unwrap();
    assert!(Catalog::others_at(&location).await.unwrap().is_empty());
    let catalog = store.open().await;
    let others = Catalog::others_at(&location).await.unwrap();
    assert_eq!(others.len(), 1, "{others:?}");
    catalog.close().await;
    copier.close().await;
    next_door.close().await;
    let file = Store::sqlite();
    let catalog = file.open().await;
    assert!(
        Catalog::others_at(&file.location())
            .await
            .unwrap()
            .is_empty()
    );
    catalog.close().await;
}
