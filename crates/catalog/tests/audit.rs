//! The audit trail is whole, or it is found out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_catalog::{AuditAction, AuditFilter, Catalog, Entry, Role, Verification};
use serde_json::json;
use support::{Store, actor, create, document, on_each_store, user, with_users};

on_each_store! {
    what_is_done_is_noted_in_order,
    an_act_that_fails_leaves_no_row,
    many_at_once_make_one_chain,
    whatever_is_done_to_it_is_found,
    an_address_can_be_erased,
}

/// A trail of five rows.
async fn trail(store: &Store) -> Catalog {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    catalog
        .grant(&actor(1), document(1), user(2).id, Role::Editor)
        .await
        .unwrap();
    let entry = Entry::new(AuditAction::DocumentRead).document(document(1));
    catalog
        .note(&[(actor(2), entry.details(json!({ "revision": 7 })))])
        .await
        .unwrap();
    catalog
}

async fn what_is_done_is_noted_in_order(store: &Store) {
    let catalog = trail(store).await;
    let rows = catalog.audit(&AuditFilter::default(), 9).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "document.read",
            "document.shared",
            "document.created",
            "account.registered",
            "account.registered"
        ]
    );
    assert_eq!(rows[0].seq, 5);
    assert_eq!(rows[0].actor, Some(user(2).id));
    assert_eq!(rows[0].actor_name.as_deref(), Some("User 2"));
    assert_eq!(rows[0].document_title.as_deref(), Some("Title"));
    assert_eq!(rows[0].details, json!({ "revision": 7 }));
    assert_eq!(rows[0].address.as_deref(), Some("192.0.2.7"));
    assert_eq!(rows[1].user, Some(user(2).id));

    let filter = AuditFilter {
        document: Some(document(1)),
        before: Some(5),
        ..AuditFilter::default()
    };
    assert_eq!(catalog.audit(&filter, 9).await.unwrap(), rows[1..3]);
    let filter = AuditFilter {
        action: "account.".to_owned(),
        user: Some(user(1).id),
        ..AuditFilter::default()
    };
    assert_eq!(catalog.audit(&filter, 9).await.unwrap(), rows[4..]);
    assert_eq!(
        catalog.audit(&AuditFilter::default(), 2).await.unwrap(),
        rows[..2]
    );
}

async fn an_act_that_fails_leaves_no_row(store: &Store) {
    let catalog = trail(store).await;
    let missing = catalog.revoke(&actor(1), document(1), user(9).id).await;
    assert!(missing.is_err());
    let intact = catalog.verify_audit().await.unwrap();
    assert!(matches!(intact, Verification::Intact { rows: 5, .. }));
}

async fn many_at_once_make_one_chain(store: &Store) {
    let catalog = trail(store).await;
    let acts = (0..40).map(|_| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let entry = Entry::new(AuditAction::DocumentRead);
            catalog.note(&[(actor(1), entry)]).await.unwrap();
        })
    });
    for act in acts.collect::<Vec<_>>() {
        act.await.unwrap();
    }
    let intact = catalog.verify_audit().await.unwrap();
    assert!(matches!(intact, Verification::Intact { rows: 45, .. }));
}

/// Someone at the database itself.
async fn tampered(store: &Store, with: &'static str) -> Verification {
    let catalog = trail(store).await;
    store.execute(with).await;
    let verified = catalog.verify_audit().await.unwrap();
    catalog.close().await;
    store.empty().await;
    verified
}

async fn whatever_is_done_to_it_is_found(store: &Store) {
    for (with, place) in [
        ("UPDATE audit SET action = 'document.read' WHERE seq = 3", 3),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET details = '' WHERE seq = 5", 5),
        ("UPDATE audit SET actor_id = user_id WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("DELETE FROM audit", 1),
        (
            "UPDATE audit SET seq = 0 WHERE seq = 1; UPDATE audit SET seq = 1 WHERE seq = 2;
             UPDATE audit SET seq = 2 WHERE seq = 0",
            1,
        ),
        (
            "INSERT INTO audit SELECT 6, at_ms, organization_id, actor_id, action, document_id, user_id,
                    details, address_hash, hash FROM audit WHERE seq = 5",
            6,
        ),
        ("UPDATE audit_addresses SET address = '192.0.2.8' WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 5; UPDATE audit_head SET seq = 4", 4),
    ] {
        match tampered(store, with).await {
            Verification::Broken { seq, .. } => assert_eq!(seq, place, "{with}"),
            intact @ Verification::Intact { .. } => panic!("{with}: {intact:?}"),
        }
    }
}

async fn an_address_can_be_erased(store: &Store) {
    let erased = tampered(store, "DELETE FROM audit_addresses WHERE seq = 4").await;
    assert!(matches!(erased, Verification::Intact { rows: 5, .. }));
}
