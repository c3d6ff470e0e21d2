//! What every database under the catalog has to do; today there is SQLite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use motet_catalog::{Catalog, CatalogError, Cursor, RefreshToken, Role, Rotation, User};
use motet_model::{DocumentId, UserId};
use tempfile::TempDir;

const NOW: u64 = 1_700_000_000_000;
const LATER: u64 = NOW + 86_400_000;

async fn open(folder: &TempDir) -> Catalog {
    Catalog::open_sqlite(&folder.path().join("catalog.db"))
        .await
        .unwrap()
}

fn user(n: u8) -> User {
    User {
        id: UserId::from_bytes([n; 16]),
        email: format!("User{n}@Example.com"),
        name: format!("User {n}"),
        password_hash: "hash".to_owned(),
    }
}

fn document(n: u8) -> DocumentId {
    DocumentId::from_bytes([n; 16])
}

async fn with_users(folder: &TempDir, count: u8) -> Catalog {
    let catalog = open(folder).await;
    for n in 1..=count {
        catalog.create_user(&user(n), NOW).await.unwrap();
    }
    catalog
}

#[tokio::test]
async fn one_mailbox_one_account() {
    let folder = TempDir::new().unwrap();
    let catalog = with_users(&folder, 2).await;
    let again = User {
        email: "USER1@example.COM".to_owned(),
        ..user(9)
    };
    assert!(matches!(
        catalog.create_user(&again, NOW).await,
        Err(CatalogError::EmailTaken)
    ));
    assert_eq!(
        catalog.user_by_email("user1@EXAMPLE.com").await.unwrap(),
        Some(user(1))
    );
    assert_eq!(
        catalog.user_by_email("nobody@example.com").await.unwrap(),
        None
    );
    assert_eq!(catalog.user(user(2).id).await.unwrap(), Some(user(2)));
    assert_eq!(catalog.users().await.unwrap(), [user(1), user(2)]);
}

#[tokio::test]
async fn what_is_written_is_there_after_a_reopen() {
    let folder = TempDir::new().unwrap();
    let catalog = with_users(&folder, 1).await;
    catalog
        .create_document(document(1), "Title", user(1).id, NOW)
        .await
        .unwrap();
    catalog.close().await;
    let catalog = open(&folder).await;
    assert_eq!(
        catalog
            .document(user(1).id, document(1))
            .await
            .unwrap()
            .title,
        "Title"
    );
}

#[tokio::test]
async fn rights() {
    let folder = TempDir::new().unwrap();
    let catalog = with_users(&folder, 3).await;
    catalog
        .create_document(document(1), "Title", user(1).id, NOW)
        .await
        .unwrap();
    let role = async |n: u8| catalog.role_of(user(n).id, document(1)).await.unwrap();
    assert_eq!((role(1).await, role(2).await), (Some(Role::Owner), None));
    catalog
        .grant(document(1), user(2).id, Role::Viewer)
        .await
        .unwrap();
    catalog
        .grant(document(1), user(2).id, Role::Editor)
        .await
        .unwrap();
    assert_eq!((role(2).await, role(3).await), (Some(Role::Editor), None));
    let grants = catalog.grants(document(1)).await.unwrap();
    let shown: Vec<_> = grants.iter().map(|it| (it.user, it.role)).collect();
    assert_eq!(
        shown,
        [(user(1).id, Role::Owner), (user(2).id, Role::Editor)]
    );
    catalog.revoke(document(1), user(2).id).await.unwrap();
    assert_eq!(role(2).await, None);
    let none = catalog.revoke(document(1), user(2).id).await;
    assert!(matches!(
        none,
        Err(CatalogError::NotFound { what: "grant" })
    ));

    catalog
        .grant(document(1), user(3).id, Role::Viewer)
        .await
        .unwrap();
    catalog.delete_document(document(1)).await.unwrap();
    assert_eq!((role(1).await, role(3).await), (None, None));
    assert!(
        catalog.grants(document(1)).await.unwrap().is_empty(),
        "grants go with it"
    );
    let gone = catalog.delete_document(document(1)).await;
    assert!(matches!(
        gone,
        Err(CatalogError::NotFound { what: "document" })
    ));
}

#[tokio::test]
async fn lists_are_ordered_and_paged() {
    let folder = TempDir::new().unwrap();
    let catalog = with_users(&folder, 2).await;
    for n in 1..=6 {
        let owner = user(1 + n % 2).id;
        // Two of them at the same time.
        catalog
            .create_document(document(n), "Title", owner, NOW + u64::from(n / 2))
            .await
            .unwrap();
        if n == 1 {
            catalog
                .grant(document(n), user(1).id, Role::Viewer)
                .await
                .unwrap();
        }
    }
    catalog
        .touch_document(document(2), NOW + 100)
        .await
        .unwrap();
    catalog.touch_document(document(2), NOW).await.unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = catalog.documents(user(1).id, 2, cursor).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(Cursor {
            updated_at_ms: last.updated_at_ms,
            id: last.id,
        });
        seen.extend(page.into_iter().map(|it| it.id));
    }
    assert_eq!(seen, [document(2), document(6), document(4), document(1)]);
}

fn token(hash: &str) -> RefreshToken {
    RefreshToken {
        hash: hash.to_owned(),
        family: "family".to_owned(),
        user: user(1).id,
        expires_at_ms: LATER,
    }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_once() {
    let folder = TempDir::new().unwrap();
    let catalog = with_users(&folder, 1).await;
    catalog.add_refresh_token(&token("a")).await.unwrap();
    let rotate = async |hash: &str, next: &str, now_ms: u64| {
        catalog
            .rotate_refresh_token(hash, next, LATER, now_ms)
            .await
            .unwrap()
    };
    let rotated = Rotation::Rotated(user(1).id);
    assert_eq!(rotate("unknown", "x", NOW).await, Rotation::Invalid);
    assert_eq!(rotate("a", "x", LATER).await, Rotation::Invalid, "expired");
    assert_eq!(rotate("a", "b", NOW).await, rotated);
    assert_eq!(
        rotate("a", "c", NOW + 1_000).await,
        rotated,
        "the answer was lost"
    );
    assert_eq!(
        rotate("b", "x", NOW + 2_000).await,
        Rotation::Invalid,
        "void"
    );
    assert_eq!(rotate("c", "d", NOW + 3_000).await, rotated);
    assert_eq!(rotate("a", "x", NOW + 4_000).await, Rotation::Reused);
    assert_eq!(
        rotate("d", "x", NOW + 5_000).await,
        Rotation::Invalid,
        "the family has ended"
    );

    // Much later even the last answer cannot have been lost.
    catalog.add_refresh_token(&token("e")).await.unwrap();
    assert_eq!(rotate("e", "f", NOW).await, rotated);
    assert_eq!(rotate("e", "x", NOW + 3_600_000).await, Rotation::Reused);

    catalog.add_refresh_token(&token("g")).await.unwrap();
    catalog.revoke_refresh_token("g").await.unwrap();
    assert_eq!(rotate("g", "x", NOW).await, Rotation::Invalid);
}
