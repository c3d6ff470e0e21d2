//! What has to hold of PostgreSQL beyond what every database does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_catalog::{AuditAction, Catalog, CatalogError, DocumentFilter, Entry};
use sqlx::Connection;
use support::{NOW, Store, actor, create, document, user, with_users};

/// Lists have one order wherever the database is, also with texts that a locale would put elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn texts_are_compared_by_their_bytes() {
    let store = Store::postgres().await;
    let catalog = store.open().await;
    let by_locale = store.number(
        "SELECT COUNT(*) FROM information_schema.columns
         WHERE table_schema = current_schema() AND data_type = 'text'
           AND table_name NOT IN ('catalog_migrations', 'document_roles')
           AND collation_name IS DISTINCT FROM 'C'",
    );
    assert_eq!(by_locale.await, 0);
    let by_bytes = store.number(
        "SELECT COUNT(*) FROM information_schema.columns
         WHERE table_schema = current_schema() AND collation_name = 'C'",
    );
    assert!(by_bytes.await > 50);
    catalog.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_start_at_once() {
    let store = Store::postgres().await;
    // The log keeps its own in the same database.
    store
        .execute(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY);
             INSERT INTO _sqlx_migrations (version) VALUES (1), (99)",
        )
        .await;
    let location = store.location();
    let starts = (0..6).map(|_| {
        let location = location.clone();
        tokio::spawn(async move { Catalog::open(&location).await })
    });
    for start in starts.collect::<Vec<_>>() {
        let catalog = start.await.unwrap().unwrap();
        catalog.verify_audit().await.unwrap();
        catalog.close().await;
    }
    let migrations = store.number("SELECT COUNT(*) FROM catalog_migrations");
    assert!(migrations.await >= 3);
}

/// As when the database was restarted: all its connections are gone.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_a_restart_of_the_database() {
    let store = Store::postgres().await;
    let catalog = with_users(&store, 1).await;
    create(&catalog, 1, 1).await;
    let reads = (0..8).map(|_| {
        let catalog = catalog.clone();
        tokio::spawn(async move { catalog.verify_audit().await })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap().unwrap();
    }
    // Tests name their connections by their schema.
    let ended = store.number(
        "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                               WHERE application_name = current_schema()) AS ended",
    );
    assert!(ended.await > 0);
    let one = actor(1);
    let renamed = catalog.rename_document(&one, document(1), "Another");
    renamed.await.unwrap();
    let read = Entry::new(AuditAction::DocumentRead);
    catalog.note(&[(one, read)]).await.unwrap();
}

/// A node that vanishes within an act keeps nobody waiting for long.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_lock_gives_up() {
    let store = Store::postgres().await;
    let catalog = with_users(&store, 1).await;
    let mut other = store.connection().await;
    let mut held = other.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM audit_head FOR UPDATE")
        .execute(&mut *held)
        .await
        .unwrap();
    let read = Entry::new(AuditAction::DocumentRead);
    let acts = [(actor(1), read)];
    let noted = catalog.note(&acts).await;
    assert!(matches!(noted, Err(CatalogError::Unavailable(_))));
    held.rollback().await.unwrap();
    catalog.note(&acts).await.unwrap();
}

/// U+0000, which PostgreSQL has in no text, is found nowhere, and is no failure of the database.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_text_can_have_is_not_found() {
    let store = Store::postgres().await;
    let catalog = with_users(&store, 1).await;
    create(&catalog, 1, 1).await;
    let id = user(1).id;
    assert_eq!(catalog.user_by_email("a\0@b").await.unwrap(), None);
    assert!(catalog.users(None, "\0", 9, "").await.unwrap().is_empty());
    let found = catalog.search(id, "Tit\0le", DocumentFilter::All, 9, None, NOW);
    assert!(found.await.unwrap().is_empty());
    let missing = |error| matches!(error, CatalogError::NotFound { .. });
    assert!(missing(catalog.link("\0", NOW).await.unwrap_err()));
    assert!(missing(catalog.avatar("\0").await.unwrap_err()));
}
