//! What every database under the catalog has to do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use motet_catalog::{
    AuditAction, CatalogError, Cursor, DocumentFilter, Kind, NewLink, NewUser, ProfileChange,
    RefreshToken, Role, Rotation,
};
use motet_model::{LinkId, OrganizationId};
use support::{
    LATER, NOW, Store, actor, create, document, group, link, on_each_store, role_of, user,
    with_users,
};

on_each_store! {
    one_mailbox_one_account,
    names_are_found_however_they_are_capitalized,
    accounts_without_an_address_do_not_get_in_each_others_way,
    what_is_written_is_there_after_a_reopen,
    rights,
    the_highest_of_all_sources_counts,
    nothing_crosses_from_one_organization_to_another,
    the_trash_is_the_owners,
    lists_are_ordered_and_paged,
    a_refresh_token_is_exchanged_once,
    many_join_a_group_at_once,
    a_sign_in_with_a_password_that_was_changed_meanwhile_is_void,
    of_two_who_give_up_managing_at_once_one_remains,
    no_more_links_than_there_may_be,
}

async fn one_mailbox_one_account(store: &Store) {
    let catalog = with_users(store, 2).await;
    let again = NewUser {
        email: Some("USER1@example.COM".to_owned()),
        ..user(9)
    };
    let nine = actor(9);
    let created = catalog.create_user(&nine, &again, AuditAction::AccountRegistered);
    assert!(matches!(created.await, Err(CatalogError::EmailTaken)));
    let found = catalog.user_by_email("user1@EXAMPLE.com").await.unwrap();
    assert_eq!(found.unwrap().id, user(1).id);
    for nobody in ["nobody@example.com", "", &user(1).id.to_string()] {
        assert_eq!(catalog.user_by_email(nobody).await.unwrap(), None);
    }
    let second = catalog.user(user(2).id).await.unwrap().unwrap();
    assert_eq!(second.email.as_deref(), Some("User2@Example.com"));
    let all = catalog.users(None, "", 10, "").await.unwrap();
    let ids: Vec<_> = all.iter().map(|user| user.id).collect();
    assert_eq!(ids, [user(1).id, user(2).id]);
    let after = catalog.users(None, "", 10, &all[0].email_folded()).await;
    assert_eq!(after.unwrap(), all[1..]);
    let found = catalog.users(None, "USER 2", 10, "").await.unwrap();
    assert_eq!(found, all[1..]);
    assert!(catalog.users(None, "%", 10, "").await.unwrap().is_empty());
}

async fn names_are_found_however_they_are_capitalized(store: &Store) {
    let catalog = with_users(store, 1).await;
    let found = async |part| catalog.users(None, part, 9, "").await.unwrap().len();
    let oezlem = NewUser {
        name: "ÖZLEM Ångström".to_owned(),
        ..user(2)
    };
    let two = actor(2);
    let made = catalog.create_user(&two, &oezlem, AuditAction::AccountRegistered);
    made.await.unwrap();
    for part in ["özlem", "Özlem", "ÅNGSTRÖM", "z"] {
        assert_eq!(found(part).await, 1, "{part}");
    }
    let change = ProfileChange {
        name: Some("Ÿvonne".to_owned()),
        ..ProfileChange::default()
    };
    let changed = catalog.change_profile(&two, user(2).id, &change);
    changed.await.unwrap();
    assert_eq!((found("özlem").await, found("ÿVONNE").await), (0, 1));
    let color = ProfileChange {
        color: Some(Some(3)),
        ..ProfileChange::default()
    };
    let changed = catalog.change_profile(&two, user(2).id, &color);
    changed.await.unwrap();
    assert_eq!(found("ÿVONNE").await, 1);
    catalog.close().await;

    // One from before names were kept so.
    let unfolded = "SELECT COUNT(*) FROM users WHERE name_folded = ''";
    store.execute("UPDATE users SET name_folded = ''").await;
    assert_eq!(store.number(unfolded).await, 2);
    let catalog = store.open().await;
    assert_eq!(store.number(unfolded).await, 0);
    let found = catalog.users(None, "ÿVONNE", 9, "").await.unwrap();
    assert_eq!(found.len(), 1);
}

async fn accounts_without_an_address_do_not_get_in_each_others_way(store: &Store) {
    let catalog = store.open().await;
    for n in [1, 2] {
        let guest = NewUser {
            email: None,
            kind: Kind::Guest,
            ..user(n)
        };
        catalog
            .create_user(&actor(n), &guest, AuditAction::AccountProvisioned)
            .await
            .unwrap();
    }
    let guest = catalog.user(user(2).id).await.unwrap().unwrap();
    assert_eq!((guest.email, guest.kind), (None, Kind::Guest));
}

async fn what_is_written_is_there_after_a_reopen(store: &Store) {
    let catalog = with_users(store, 1).await;
    create(&catalog, 1, 1).await;
    catalog.close().await;
    let catalog = store.open().await;
    let document = catalog.document(user(1).id, document(1), NOW).await;
    assert_eq!(document.unwrap().title, "Title");
}

async fn rights(store: &Store) {
    let catalog = with_users(store, 3).await;
    create(&catalog, 1, 1).await;
    let role = async |n: u8| role_of(&catalog, n, 1).await;
    assert_eq!((role(1).await, role(2).await), (Some(Role::Owner), None));
    for role in [Role::Viewer, Role::Editor] {
        catalog
            .grant(&actor(1), document(1), user(2).id, role)
            .await
            .unwrap();
    }
    assert_eq!((role(2).await, role(3).await), (Some(Role::Editor), None));
    let grants = catalog.grants(document(1), NOW).await.unwrap();
    let shown: Vec<_> = grants.iter().map(|it| (it.user, it.role)).collect();
    assert_eq!(
        shown,
        [(user(1).id, Role::Owner), (user(2).id, Role::Editor)]
    );
    let revoke = async || catalog.revoke(&actor(1), document(1), user(2).id).await;
    revoke().await.unwrap();
    assert_eq!(role(2).await, None);
    assert!(matches!(
        revoke().await,
        Err(CatalogError::NotFound { what: "grant" })
    ));

    catalog
        .grant(&actor(1), document(1), user(3).id, Role::Viewer)
        .await
        .unwrap();
    let delete = async || catalog.delete_document(&actor(1), document(1)).await;
    delete().await.unwrap();
    assert_eq!((role(1).await, role(3).await), (None, None));
    let grants = catalog.grants(document(1), NOW).await.unwrap();
    assert!(grants.is_empty(), "grants go with it");
    assert!(matches!(
        delete().await,
        Err(CatalogError::NotFound { what: "document" })
    ));
}

async fn the_highest_of_all_sources_counts(store: &Store) {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    let role = async || role_of(&catalog, 2, 1).await;

    let open = async |role| {
        catalog
            .open_document(&actor(1), document(1), role)
            .await
            .unwrap();
    };
    open(Some(Role::Viewer)).await;
    assert_eq!(role().await, Some(Role::Viewer));
    let group = group(&catalog, 1).await;
    catalog
        .join_group(&actor(1), group, user(2).id)
        .await
        .unwrap();
    catalog
        .grant_group(&actor(1), document(1), group, Role::Commenter)
        .await
        .unwrap();
    assert_eq!(role().await, Some(Role::Commenter));
    let link = link(&catalog, 1, Role::Editor, Some(LATER)).await;
    catalog
        .open_link(&actor(2), &link, user(2).id, None, 0)
        .await
        .unwrap();
    assert_eq!(role().await, Some(Role::Editor));
    let rights = catalog.rights(user(2).id, document(1), NOW).await.unwrap();
    assert_eq!(rights.unwrap().until_ms, Some(LATER));
    let rights = catalog.rights(user(2).id, document(1), LATER).await;
    let rights = rights.unwrap().unwrap();
    assert_eq!((rights.role, rights.until_ms), (Role::Commenter, None));

    let listed = catalog
        .documents(user(2).id, DocumentFilter::Shared, 9, None, NOW)
        .await
        .unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (it.id, it.role)).collect();
    assert_eq!(listed, [(document(1), Role::Editor)], "once");

    catalog
        .revoke_link(&actor(1), document(1), link.id)
        .await
        .unwrap();
    assert_eq!(role().await, Some(Role::Commenter));
    catalog
        .leave_group(&actor(1), group, user(2).id)
        .await
        .unwrap();
    assert_eq!(role().await, Some(Role::Viewer));
    catalog
        .set_disabled(&actor(1), user(2).id, true)
        .await
        .unwrap();
    assert_eq!(role().await, None);
    catalog
        .set_disabled(&actor(1), user(2).id, false)
        .await
        .unwrap();
    open(None).await;
    assert_eq!(role().await, None);
}

async fn nothing_crosses_from_one_organization_to_another(store: &Store) {
    let catalog = with_users(store, 1).await;
    let other = OrganizationId::from_bytes([7; 16]);
    let organization = motet_catalog::Organization {
        id: other,
        name: "Other".to_owned(),
    };
    catalog
        .create_organization(&actor(1), &organization)
        .await
        .unwrap();
    let stranger = NewUser {
        organization: other,
        ..user(2)
    };
    catalog
        .create_user(&actor(1), &stranger, AuditAction::AccountCreated)
        .await
        .unwrap();
    create(&catalog, 1, 1).await;
    let role = async || role_of(&catalog, 2, 1).await;

    let granted = catalog
        .grant(&actor(1), document(1), user(2).id, Role::Editor)
        .await;
    assert!(matches!(granted, Err(CatalogError::NotFound { .. })));
    let group = group(&catalog, 1).await;
    let joined = catalog.join_group(&actor(1), group, user(2).id).await;
    assert!(matches!(joined, Err(CatalogError::NotFound { .. })));
    catalog
        .open_document(&actor(1), document(1), Some(Role::Editor))
        .await
        .unwrap();
    assert_eq!(role().await, None);
    let link = link(&catalog, 1, Role::Editor, None).await;
    catalog
        .open_link(&actor(2), &link, user(2).id, None, 0)
        .await
        .unwrap();
    assert_eq!(role().await, None, "whoever opened it");
    let listed = catalog
        .documents(user(2).id, DocumentFilter::All, 9, None, NOW)
        .await;
    assert!(listed.unwrap().is_empty());
    let found = catalog.users(Some(other), "", 9, "").await.unwrap();
    assert_eq!(found.len(), 1);
}

async fn the_trash_is_the_owners(store: &Store) {
    let catalog = with_users(store, 2).await;
    create(&catalog, 1, 1).await;
    catalog
        .grant(&actor(1), document(1), user(2).id, Role::Editor)
        .await
        .unwrap();
    let trash = async |trashed| {
        catalog
            .trash_document(&actor(1), document(1), trashed)
            .await
    };
    assert!(trash(false).await.is_err(), "it is not there");
    trash(true).await.unwrap();
    assert!(trash(true).await.is_err(), "it is there already");
    let listed = async |n: u8, filter| {
        let listed = catalog.documents(user(n).id, filter, 9, None, NOW).await;
        listed.unwrap().len()
    };
    assert_eq!(role_of(&catalog, 1, 1).await, None);
    assert_eq!(listed(1, DocumentFilter::All).await, 0);
    assert_eq!(listed(1, DocumentFilter::Trash).await, 1);
    assert_eq!(listed(2, DocumentFilter::Trash).await, 0);
    assert!(catalog.document(user(1).id, document(1), NOW).await.is_ok());
    assert!(
        catalog
            .document(user(2).id, document(1), NOW)
            .await
            .is_err()
    );
    assert_eq!(catalog.trashed_before(NOW, 9).await.unwrap(), []);
    let old = catalog.trashed_before(NOW + 1, 9).await.unwrap();
    assert_eq!(old, [(document(1), OrganizationId::DEFAULT)]);
    trash(false).await.unwrap();
    assert_eq!(role_of(&catalog, 2, 1).await, Some(Role::Editor));
}

async fn lists_are_ordered_and_paged(store: &Store) {
    let catalog = with_users(store, 2).await;
    for n in 1..=6 {
        // Two of them at the same time.
        let at = motet_catalog::Actor {
            at_ms: NOW + u64::from(n / 2),
            ..actor(1 + n % 2)
        };
        support::create_at(&catalog, n, 1 + n % 2, &at).await;
        if n == 1 {
            catalog
                .grant(&at, document(n), user(1).id, Role::Viewer)
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
        let page = catalog
            .documents(user(1).id, DocumentFilter::All, 2, cursor, NOW)
            .await
            .unwrap();
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

async fn a_refresh_token_is_exchanged_once(store: &Store) {
    let catalog = with_users(store, 1).await;
    let sign_in = async |hash: &str| {
        catalog
            .sign_in(&actor(1), &token(hash), None, serde_json::Value::Null)
            .await
            .unwrap();
    };
    sign_in("a").await;
    let rotate = async |hash: &str, next: &str, now_ms: u64| {
        catalog
            .rotate_refresh_token(hash, next, LATER, now_ms)
            .await
            .unwrap()
    };
    let is_signed_in = async |family: &str| {
        let found = catalog.user_signed_in(user(1).id, family).await.unwrap();
        found.unwrap().1
    };
    let rotated_of = |hash: &str| Rotation::Rotated {
        user: user(1).id,
        family: token(hash).family,
    };
    let rotated = rotated_of("a");
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
    assert!(is_signed_in(&token("a").family).await);
    assert_eq!(
        rotate("a", "x", NOW + 4_000).await,
        Rotation::Reused(user(1).id)
    );
    assert_eq!(
        rotate("d", "x", NOW + 5_000).await,
        Rotation::Invalid,
        "the family has ended"
    );
    assert!(!is_signed_in(&token("a").family).await);

    // Much later even the last answer cannot have been lost.
    sign_in("e").await;
    assert_eq!(rotate("e", "f", NOW).await, rotated_of("e"));
    assert_eq!(
        rotate("e", "x", NOW + 3_600_000).await,
        Rotation::Reused(user(1).id)
    );

    sign_in("g").await;
    catalog.revoke_refresh_token("g").await.unwrap();
    assert_eq!(rotate("g", "x", NOW).await, Rotation::Invalid);
    assert!(!is_signed_in(&token("g").family).await);
}

async fn many_join_a_group_at_once(store: &Store) {
    let catalog = with_users(store, 24).await;
    let group = group(&catalog, 1).await;
    let joins = (1..=24).map(|n| {
        let catalog = catalog.clone();
        tokio::spawn(async move { catalog.join_group(&actor(1), group, user(n).id).await })
    });
    for join in joins.collect::<Vec<_>>() {
        join.await.unwrap().unwrap();
    }
    assert_eq!(catalog.group_members(group).await.unwrap().len(), 24);
    let nobody = catalog.join_group(&actor(1), group, user(25).id).await;
    assert!(matches!(
        nobody,
        Err(CatalogError::NotFound { what: "account" })
    ));
    let nowhere = motet_model::GroupId::from_bytes([9; 16]);
    let nowhere = catalog.join_group(&actor(1), nowhere, user(1).id).await;
    assert!(matches!(
        nowhere,
        Err(CatalogError::NotFound { what: "group" })
    ));
}

async fn a_sign_in_with_a_password_that_was_changed_meanwhile_is_void(store: &Store) {
    let catalog = with_users(store, 1).await;
    let sign_in = async |hash: &str, verified: Option<&str>| {
        catalog
            .sign_in(&actor(1), &token(hash), verified, serde_json::Value::Null)
            .await
    };
    sign_in("a", Some("hash")).await.unwrap();
    let one = actor(1);
    let changed = catalog.change_password(&one, user(1).id, "another hash");
    changed.await.unwrap();
    let void = sign_in("b", Some("hash")).await;
    assert!(matches!(void, Err(CatalogError::SignInVoid)));
    sign_in("c", Some("another hash")).await.unwrap();
    sign_in("d", None).await.unwrap();
    let disabled = catalog.set_disabled(&one, user(1).id, true);
    disabled.await.unwrap();
    let void = sign_in("e", None).await;
    assert!(matches!(void, Err(CatalogError::SignInVoid)));
}

async fn of_two_who_give_up_managing_at_once_one_remains(store: &Store) {
    let catalog = with_users(store, 3).await;
    let (one, two) = (actor(1), actor(2));
    for n in [1, 2] {
        let made = catalog.set_administrator(&one, user(n).id, true);
        made.await.unwrap();
    }
    let (first, second) = tokio::join!(
        catalog.set_administrator(&two, user(1).id, false),
        catalog.set_disabled(&one, user(2).id, true),
    );
    let refused = [first, second].map(|it| matches!(it, Err(CatalogError::LastAdministrator)));
    assert_eq!(refused.iter().filter(|refused| **refused).count(), 1);
    let disabled = catalog.set_disabled(&one, user(3).id, true);
    disabled.await.unwrap();
}

async fn no_more_links_than_there_may_be(store: &Store) {
    let catalog = with_users(store, 1).await;
    create(&catalog, 1, 1).await;
    let makes = (1..=12).map(|n| {
        let catalog = catalog.clone();
        let new = NewLink {
            id: LinkId::from_bytes([n; 16]),
            document: document(1),
            token: format!("token {n}"),
            role: Role::Viewer,
            password_hash: None,
            expires_at_ms: None,
        };
        tokio::spawn(async move { catalog.create_link(&actor(1), &new, 5).await })
    });
    let mut refused = 0;
    for make in makes.collect::<Vec<_>>() {
        match make.await.unwrap() {
            Err(CatalogError::TooMany { max: 5, .. }) => refused += 1,
            made => made.unwrap(),
        }
    }
    assert_eq!(refused, 7);
    assert_eq!(catalog.links(document(1)).await.unwrap().len(), 5);
}
