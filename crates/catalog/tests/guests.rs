//! Who comes by a link, who may not come back, and who goes when there is nothing left to do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_catalog::{Actor, Catalog, CatalogError, Kind, Link, NewLink, NewUser, Role};
use motet_model::LinkId;
use support::{
    LATER, NOW, Store, actor, create, document, link, on_each_store, role_of, user, with_users,
};

on_each_store! {
    whom_the_owner_takes_out_stays_out,
    a_link_takes_so_many_guests,
    guests_without_any_right_are_found,
}

/// Another link of the first document.
async fn another_link(catalog: &Catalog, n: u8) -> Link {
    let new = NewLink {
        id: LinkId::from_bytes([n; 16]),
        document: document(1),
        token: format!("token {n}"),
        role: Role::Viewer,
        password_hash: None,
        expires_at_ms: None,
    };
    catalog.create_link(&actor(1), &new, 100).await.unwrap();
    catalog.link(&new.token, NOW).await.unwrap()
}

fn guest(n: u8) -> NewUser {
    NewUser {
        kind: Kind::Guest,
        email: None,
        password_hash: None,
        ..user(n)
    }
}

async fn enter(catalog: &Catalog, link: &Link, n: u8, guests_max: u32) -> Result<(), CatalogError> {
    let (id, guest) = (user(n).id, guest(n));
    catalog
        .open_link(&actor(n), link, id, Some(&guest), guests_max)
        .await
}

async fn whom_the_owner_takes_out_stays_out(store: &Store) {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    let link = link(&catalog, 1, Role::Editor, Some(LATER)).await;
    let ben = user(2).id;
    let open = async |link| catalog.open_link(&actor(2), link, ben, None, 0).await;
    let removed = async |now_ms| {
        let removed = catalog.removed(document(1), now_ms).await.unwrap();
        removed.iter().map(|it| it.user).collect::<Vec<_>>()
    };
    let revoke = async |by| catalog.revoke(&actor(by), document(1), ben).await.unwrap();

    open(&link).await.unwrap();
    assert!(removed(NOW).await.is_empty());
    revoke(1).await;
    assert!(matches!(open(&link).await, Err(CatalogError::LinkDenied)));
    assert_eq!(role_of(&catalog, 2, 1).await, None);
    assert_eq!(removed(NOW).await, [ben]);
    assert!(removed(LATER).await.is_empty(), "it lets nobody in");

    let newer = another_link(&catalog, 2).await;
    open(&newer).await.unwrap();
    assert_eq!(role_of(&catalog, 2, 1).await, Some(Role::Viewer));
    assert!(matches!(open(&link).await, Err(CatalogError::LinkDenied)));
    revoke(1).await;
    assert!(matches!(open(&newer).await, Err(CatalogError::LinkDenied)));

    let ada = actor(1);
    let granted = catalog.grant(&ada, document(1), ben, Role::Viewer);
    granted.await.unwrap();
    assert!(removed(NOW).await.is_empty());
    open(&link).await.unwrap();
    assert_eq!(role_of(&catalog, 2, 1).await, Some(Role::Editor));
    // Who leaves may come back.
    revoke(2).await;
    assert_eq!(role_of(&catalog, 2, 1).await, None);
    open(&link).await.unwrap();
    revoke(1).await;
    for gone in [link, newer] {
        let revoked = catalog.revoke_link(&ada, document(1), gone.id);
        revoked.await.unwrap();
    }
    assert!(removed(NOW).await.is_empty());
}

async fn a_link_takes_so_many_guests(store: &Store) {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    let link = link(&catalog, 1, Role::Viewer, None).await;
    enter(&catalog, &link, 3, 2).await.unwrap();
    enter(&catalog, &link, 4, 2).await.unwrap();
    let full = enter(&catalog, &link, 5, 2).await;
    assert!(matches!(full, Err(CatalogError::LinkFull { max: 2 })));
    assert_eq!(catalog.user(user(5).id).await.unwrap(), None);
    for n in [2, 3] {
        let opened = catalog
            .open_link(&actor(n), &link, user(n).id, None, 2)
            .await;
        opened.unwrap();
    }
    // Whoever is taken out leaves their place to another.
    let revoked = catalog.revoke(&actor(1), document(1), user(3).id).await;
    revoked.unwrap();
    enter(&catalog, &link, 5, 2).await.unwrap();
    enter(&catalog, &link, 6, 0).await.unwrap();
}

async fn guests_without_any_right_are_found(store: &Store) {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    let link = link(&catalog, 1, Role::Viewer, Some(LATER)).await;
    for n in [3, 4, 5] {
        enter(&catalog, &link, n, 0).await.unwrap();
    }
    let ids = |ns: &[u8]| ns.iter().map(|n| user(*n).id).collect::<Vec<_>>();
    let idle = async |before_ms| {
        let idle = catalog.idle_guests(before_ms, 9).await.unwrap();
        idle.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let note = async |now_ms| catalog.note_idle_guests(now_ms).await.unwrap();
    note(NOW).await;
    assert!(idle(u64::MAX).await.is_empty());

    // The link's time is over for three, one has another, and one is disabled.
    let other = another_link(&catalog, 2).await;
    let open = async |n| {
        let guest = actor(n);
        let opened = catalog.open_link(&guest, &other, user(n).id, None, 0);
        opened.await.unwrap();
    };
    open(4).await;
    let ada = actor(1);
    let disabled = catalog.set_disabled(&ada, user(5).id, true);
    disabled.await.unwrap();
    note(LATER).await;
    assert_eq!(idle(LATER).await, ids(&[3]));
    assert!(idle(LATER - 1).await.is_empty());

    // What is in the trash may come back, and what was over may begin again.
    let trashed = catalog.trash_document(&ada, document(1), true);
    trashed.await.unwrap();
    open(3).await;
    let later = Actor {
        user: None,
        at_ms: LATER,
        ..actor(1)
    };
    let begun = catalog.begin_guest_erasure(&later, user(3).id).await;
    assert!(!begun.unwrap(), "it was noted before");
    note(LATER + 1).await;
    assert!(idle(u64::MAX).await.is_empty());

    catalog.doom_document(document(1)).await.unwrap();
    let deleted = catalog.delete_document(&ada, document(1));
    deleted.await.unwrap();
    note(LATER + 2).await;
    assert_eq!(idle(LATER + 2).await, ids(&[3, 4]));
    for id in ids(&[2, 5]) {
        let begun = catalog.begin_guest_erasure(&later, id).await;
        assert!(!begun.unwrap(), "it is none");
    }
    assert!(
        catalog
            .begin_guest_erasure(&later, user(3).id)
            .await
            .unwrap()
    );
    assert_eq!(idle(LATER + 2).await, ids(&[4]));
    let erasures = catalog.erasures().await.unwrap();
    let [erasure] = &erasures[..] else {
        panic!("{erasures:?}");
    };
    assert_eq!((erasure.user, erasure.actor), (user(3).id, None));
    assert!(erasure.patient && !erasure.erased);
    catalog.finish_erasure(&later, user(3).id).await.unwrap();
    note(LATER + 3).await;
    assert_eq!(idle(u64::MAX).await, ids(&[4]));
}
