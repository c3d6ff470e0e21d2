//! Several nodes on one database write at once: two catalogs, as two processes would have them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{future::Future, sync::Arc};

use motet_catalog::{
    Actor, Answer, ApiKey, AuditAction, Avatar, Catalog, CatalogError, Entry, Failures, Identity,
    Kind, NewDocument, NewLink, NewUser, Node, Organization, ProviderAttempt, RefreshToken, Role,
    Rotation, SigningKey, Turn, Verification,
};
use motet_model::{ApiKeyId, GroupId, LinkId, NodeId, OrganizationId};
use serde_json::Value;
use support::{
    LATER, NOW, Store, actor, create, document, group, link, on_each_store, user, with_users,
};
use tokio::sync::Barrier;

on_each_store! {
    the_audit_trail_is_one_chain,
    one_administrator_remains,
    an_heir_is_not_erased_meanwhile,
    one_of_all_who_present_a_refresh_token_gets_on,
    whoever_is_signed_out_stays_so,
    limits_hold,
    a_link_takes_no_more_guests_than_it_may,
    whom_the_owner_takes_out_stays_out,
    erasures_of_a_guest_wait_in_no_circle,
    one_request_has_its_turn,
    every_failure_counts,
    one_account_for_an_identity,
    a_sign_in_at_a_provider_is_taken_once,
    nothing_is_given_to_whom_is_erased,
    an_address_that_was_erased_does_not_come_back,
    an_account_has_one_picture,
    whatever_goes_at_once_waits_in_no_circle,
    the_latest_content_is_indexed,
    one_node_has_a_job,
    a_node_is_there_as_long_as_it_says_so,
    an_erasure_waits_for_other_acts_in_no_circle,
    forward,
    every_node_has_the_same_keys,
    what_one_node_does_the_others_learn,
}

/// Two nodes, with so many accounts.
async fn nodes(store: &Store, users: u8) -> [Catalog; 2] {
    [with_users(store, users).await, store.open().await]
}

/// Does it so many times at once, on both nodes in turn.
async fn at_once<T, F>(nodes: &[Catalog; 2], times: u8, act: impl Fn(Catalog, u8) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(times.into()));
    let begun = (0..times).map(|n| {
        let (barrier, act) = (
            barrier.clone(),
            act(nodes[usize::from(n % 2)].clone(), n + 1),
        );
        tokio::spawn(async move {
            barrier.wait().await;
            act.await
        })
    });
    let mut results = Vec::new();
    for act in begun.collect::<Vec<_>>() {
        results.push(act.await.unwrap());
    }
    results
}

fn count<T>(results: &[T], is: impl Fn(&T) -> bool) -> usize {
    results.iter().filter(|result| is(result)).count()
}

async fn the_audit_trail_is_one_chain(store: &Store) {
    let nodes = nodes(store, 1).await;
    create(&nodes[0], 1, 1).await;
    let done = at_once(&nodes, 60, |node, n| async move {
        let one = actor(1);
        match n % 3 {
            0 => {
                let read = Entry::new(AuditAction::DocumentRead).document(document(1));
                let acts = vec![(one, read); usize::from(n)];
                node.note(&acts).await
            }
            1 => node.rename_document(&one, document(1), "Another").await,
            _ => {
                let new = NewDocument {
                    id: document(n),
                    title: "New".to_owned(),
                    owner: user(1).id,
                };
                node.create_document(&one, &new).await
            }
        }
    });
    for done in done.await {
        done.unwrap();
    }
    let noted: u64 = (1..=60).map(|n| if n % 3 == 0 { n } else { 1 }).sum();
    for node in &nodes {
        match node.verify_audit().await.unwrap() {
            Verification::Intact { rows, .. } => assert_eq!(rows, 2 + noted),
            broken @ Verification::Broken { .. } => panic!("{broken:?}"),
        }
        assert_eq!(node.audit_seq().await.unwrap(), 2 + noted);
    }
}

async fn one_administrator_remains(store: &Store) {
    let nodes = nodes(store, 3).await;
    for _ in 0..8 {
        for n in [1, 2] {
            let by = actor(3);
            let administrator = nodes[0].set_administrator(&by, user(n).id, true);
            administrator.await.unwrap();
            let by = actor(3);
            let enabled = nodes[0].set_disabled(&by, user(n).id, false);
            enabled.await.unwrap();
        }
        let done = at_once(&nodes, 4, |node, n| async move {
            let (by, who) = (actor(3), user(1 + n % 2).id);
            if n > 2 {
                node.set_administrator(&by, who, false).await
            } else {
                node.set_disabled(&by, who, true).await
            }
        });
        let done = done.await;
        let refused = |done: &Result<_, _>| matches!(done, Err(CatalogError::LastAdministrator));
        assert_eq!(count(&done, Result::is_ok) + count(&done, refused), 4);
        let mut left = 0;
        for n in [1, 2] {
            let user = nodes[1].user(user(n).id).await.unwrap().unwrap();
            left += usize::from(user.administrator && user.is_active());
        }
        assert_eq!(left, 1);
    }
}

async fn an_heir_is_not_erased_meanwhile(store: &Store) {
    let nodes = nodes(store, 12).await;
    for pair in 0..6 {
        let done = at_once(&nodes, 2, |node, n| async move {
            let (whose, heir) = (user(2 * pair + n).id, user(2 * pair + 3 - n).id);
            node.begin_erasure(&actor(1), whose, Some(heir), true).await
        });
        let done = done.await;
        assert_eq!(count(&done, Result::is_ok), 1, "{done:?}");
        let refused = |done: &Result<_, _>| matches!(done, Err(CatalogError::NotFound { .. }));
        assert_eq!(count(&done, refused), 1, "{done:?}");
    }
}

async fn sign_in(node: &Catalog, hash: &str) {
    let token = RefreshToken {
        hash: hash.to_owned(),
        family: format!("family of {hash}"),
        user: user(1).id,
        expires_at_ms: LATER,
    };
    let by = actor(1);
    let signed_in = node.sign_in(&by, &token, None, Value::Null);
    signed_in.await.unwrap();
}

async fn rotate(node: &Catalog, hash: &str, next: &str) -> Rotation {
    let rotated = node.rotate_refresh_token(hash, next, LATER, NOW);
    rotated.await.unwrap()
}

async fn one_of_all_who_present_a_refresh_token_gets_on(store: &Store) {
    let nodes = nodes(store, 1).await;
    sign_in(&nodes[0], "first").await;
    let presented = at_once(&nodes, 12, |node, n| async move {
        rotate(&node, "first", &format!("next {n}")).await
    });
    // As long as the next one is unused, the answer may have been lost.
    let rotated = |hash: &str| Rotation::Rotated {
        user: user(1).id,
        family: format!("family of {hash}"),
    };
    assert_eq!(presented.await, vec![rotated("first"); 12]);
    let tokens = store.number("SELECT COUNT(*) FROM refresh_tokens WHERE used_at_ms = 0");
    assert_eq!(tokens.await, 1, "what was given out before is void");
    let mut good = 0;
    for n in 1..=12 {
        let next = rotate(&nodes[1], &format!("next {n}"), &format!("after {n}")).await;
        good += usize::from(next == rotated("first"));
    }
    assert_eq!(good, 1);

    // Much later all but one are found to have a copy.
    sign_in(&nodes[0], "second").await;
    assert_eq!(
        rotate(&nodes[0], "second", "third").await,
        rotated("second")
    );
    assert_eq!(
        rotate(&nodes[0], "third", "fourth").await,
        rotated("second")
    );
    let presented = at_once(&nodes, 6, |node, n| async move {
        rotate(&node, "second", &format!("copy {n}")).await
    });
    let presented = presented.await;
    let reused = Rotation::Reused(user(1).id);
    assert_eq!(count(&presented, |it| *it == reused), 1);
    assert_eq!(count(&presented, |it| *it == Rotation::Invalid), 5);
    assert_eq!(rotate(&nodes[0], "fourth", "x").await, Rotation::Invalid);
}

async fn whoever_is_signed_out_stays_so(store: &Store) {
    let nodes = nodes(store, 1).await;
    for round in 0..10 {
        let old = format!("old {round}");
        sign_in(&nodes[0], &old).await;
        at_once(&nodes, 4, |node, n| {
            let old = old.clone();
            async move {
                match (n, round % 2) {
                    (1, 0) => {
                        let out = node.revoke_refresh_token(&old).await.unwrap();
                        assert_eq!(out, Some(user(1).id));
                    }
                    (1, _) => {
                        let one = actor(1);
                        let changed = node.change_password(&one, user(1).id, "another");
                        changed.await.unwrap();
                    }
                    _ => {
                        rotate(&node, &old, &format!("{old}, next {n}")).await;
                    }
                }
            }
        })
        .await;
        let tokens = store.number("SELECT COUNT(*) FROM refresh_tokens").await;
        assert_eq!(tokens, 0, "round {round}");
    }
}

async fn limits_hold(store: &Store) {
    let nodes = nodes(store, 1).await;
    create(&nodes[0], 1, 1).await;
    let is_too_many = |made: &Result<(), _>| matches!(made, Err(CatalogError::TooMany { .. }));
    let made = at_once(&nodes, 12, |node, n| async move {
        let new = NewLink {
            id: LinkId::from_bytes([n; 16]),
            document: document(1),
            token: format!("token {n}"),
            role: Role::Viewer,
            password_hash: None,
            expires_at_ms: None,
        };
        node.create_link(&actor(1), &new, 5).await
    });
    let made = made.await;
    assert_eq!(
        (count(&made, Result::is_ok), count(&made, is_too_many)),
        (5, 7)
    );
    let made = at_once(&nodes, 12, |node, n| async move {
        let key = ApiKey {
            id: ApiKeyId::from_bytes([n; 16]),
            user: user(1).id,
            name: "Key".to_owned(),
            hash: "hash".to_owned(),
            scopes: String::new(),
            created_at_ms: NOW,
            expires_at_ms: None,
            last_used_at_ms: None,
        };
        node.create_api_key(&actor(1), &key, 3).await
    });
    let made = made.await;
    assert_eq!(
        (count(&made, Result::is_ok), count(&made, is_too_many)),
        (3, 9)
    );
}

fn guest(n: u8) -> NewUser {
    NewUser {
        kind: Kind::Guest,
        email: None,
        password_hash: None,
        ..user(n)
    }
}

async fn a_link_takes_no_more_guests_than_it_may(store: &Store) {
    let nodes = nodes(store, 1).await;
    create(&nodes[0], 1, 1).await;
    let link = link(&nodes[0], 1, Role::Viewer, None).await;
    let entered = at_once(&nodes, 12, |node, n| {
        let (link, guest) = (link.clone(), guest(100 + n));
        async move {
            node.open_link(&actor(1), &link, guest.id, Some(&guest), 5)
                .await
        }
    });
    let entered = entered.await;
    let is_full = |it: &Result<(), _>| matches!(it, Err(CatalogError::LinkFull { max: 5 }));
    assert_eq!(
        (count(&entered, Result::is_ok), count(&entered, is_full)),
        (5, 7)
    );
    let guests = "SELECT COUNT(*) FROM users WHERE kind = 'guest'";
    assert_eq!(store.number(guests).await, 5);
}

async fn whom_the_owner_takes_out_stays_out(store: &Store) {
    let nodes = nodes(store, 12).await;
    create(&nodes[0], 1, 1).await;
    let link = link(&nodes[0], 1, Role::Viewer, None).await;
    for n in 2..=12 {
        let (one, id) = (actor(1), user(n).id);
        let granted = nodes[0].grant(&one, document(1), id, Role::Viewer);
        granted.await.unwrap();
        let done = at_once(&nodes, 4, |node, at| {
            let link = link.clone();
            async move {
                if at == 1 {
                    node.revoke(&actor(1), document(1), id).await
                } else {
                    node.open_link(&actor(n), &link, id, None, 0).await
                }
            }
        });
        for done in done.await {
            assert!(matches!(done, Ok(()) | Err(CatalogError::LinkDenied)));
        }
        let rights = nodes[1].rights(id, document(1), NOW).await.unwrap();
        assert_eq!(rights, None, "user {n}");
    }
}

async fn erasures_of_a_guest_wait_in_no_circle(store: &Store) {
    let nodes = nodes(store, 1).await;
    create(&nodes[0], 1, 1).await;
    let link = link(&nodes[0], 1, Role::Viewer, None).await;
    for n in 2..=12 {
        let (one, id) = (actor(1), user(n).id);
        let (guest, action) = (guest(n), AuditAction::AccountRegistered);
        let made = nodes[0].create_user(&one, &guest, action);
        made.await.unwrap();
        let done = at_once(&nodes, 4, |node, at| {
            let link = link.clone();
            async move {
                let one = actor(1);
                match at {
                    1 => node
                        .open_link(&one, &link, id, None, 0)
                        .await
                        .map(|()| false),
                    2 => node
                        .begin_erasure(&one, id, None, true)
                        .await
                        .map(|()| false),
                    _ => node.begin_guest_erasure(&one, id).await,
                }
            }
        });
        let done = done.await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let finished = nodes[0].finish_erasure(&one, id);
        finished.await.unwrap();
    }
    let left = "SELECT (SELECT COUNT(*) FROM link_users) + (SELECT COUNT(*) FROM link_removals)";
    assert_eq!(store.number(left).await, 0);
}

async fn one_request_has_its_turn(store: &Store) {
    let nodes = nodes(store, 1).await;
    // Also where there is an answer that is too old.
    for now_ms in [NOW, NOW + 200_000] {
        let turns = at_once(&nodes, 12, |node, _| async move {
            let turn = node.begin_answer(user(1).id, "key", "request", now_ms - 100_000, now_ms);
            turn.await.unwrap()
        });
        let turns = turns.await;
        assert_eq!(count(&turns, |turn| *turn == Turn::First), 1, "{turns:?}");
        assert_eq!(count(&turns, |turn| *turn == Turn::UnderWay), 11);
        let answer = Answer {
            status: 201,
            body: Some("{}".to_owned()),
        };
        let kept = nodes[0].keep_answer(user(1).id, "key", &answer);
        kept.await.unwrap();
        let turn = nodes[1].begin_answer(user(1).id, "key", "request", 0, now_ms);
        assert_eq!(turn.await.unwrap(), Turn::Answered(answer));
    }
}

async fn every_failure_counts(store: &Store) {
    let nodes = nodes(store, 0).await;
    at_once(&nodes, 12, |node, _| async move {
        loop {
            let before = node.failures("key").await.unwrap();
            let after = Failures {
                count: before.count + 1,
                last_at_ms: NOW + before.count,
            };
            if node.count_failure("key", before, after).await.unwrap() {
                break;
            }
        }
    })
    .await;
    assert_eq!(nodes[1].failures("key").await.unwrap().count, 12);
}

async fn one_account_for_an_identity(store: &Store) {
    let nodes = nodes(store, 0).await;
    for email in [None, Some("ada@example.com".to_owned())] {
        let identity = Identity {
            issuer: "https://issuer.example".to_owned(),
            subject: format!("{email:?}"),
        };
        let accounts = at_once(&nodes, 10, |node, n| {
            let (identity, email) = (identity.clone(), email.clone());
            async move {
                let offset = if email.is_some() { 100 } else { 0 };
                let new = NewUser {
                    email,
                    ..user(offset + n)
                };
                let by = actor(1);
                let provisioned = node.provision_user(&by, &identity, &new);
                provisioned.await.unwrap()
            }
        });
        let accounts = accounts.await;
        assert_eq!(accounts, [accounts[0]; 10]);
    }
    let organizations = at_once(&nodes, 10, |node, n| async move {
        let new = Organization {
            id: OrganizationId::from_bytes([n; 16]),
            name: "Other".to_owned(),
        };
        let by = actor(1);
        let found = node.organization_by_identity(&by, "https://issuer.example", &new);
        found.await.unwrap()
    });
    let organizations = organizations.await;
    assert_eq!(organizations, [organizations[0]; 10]);
}

async fn a_sign_in_at_a_provider_is_taken_once(store: &Store) {
    let nodes = nodes(store, 0).await;
    let attempt = ProviderAttempt {
        state_hash: "state".to_owned(),
        provider: "provider".to_owned(),
        nonce: "nonce".to_owned(),
        pkce_verifier: "verifier".to_owned(),
        redirect_uri: "https://example.com".to_owned(),
        expires_at_ms: LATER,
    };
    let begun = nodes[0].begin_provider_attempt(&attempt, NOW);
    begun.await.unwrap();
    let taken = at_once(&nodes, 8, |node, _| async move {
        node.take_provider_attempt("provider", "state", NOW).await
    });
    assert_eq!(count(&taken.await, Result::is_ok), 1);
}

async fn nothing_is_given_to_whom_is_erased(store: &Store) {
    let nodes = nodes(store, 6).await;
    create(&nodes[0], 100, 1).await;
    let link = link(&nodes[0], 100, Role::Viewer, None).await;
    let group = group(&nodes[0], 1).await;
    for n in 2..=6 {
        let by = actor(1);
        let begun = nodes[0].begin_erasure(&by, user(n).id, None, true);
        begun.await.unwrap();
        let done = at_once(&nodes, 6, |node, at| {
            let link = link.clone();
            async move {
                let (one, who) = (actor(1), user(n).id);
                match at {
                    1 => node.finish_erasure(&one, who).await,
                    2 => node.grant(&one, document(100), who, Role::Viewer).await,
                    3 => node.join_group(&one, group, who).await,
                    4 => node.open_link(&one, &link, who, None, 0).await,
                    5 => {
                        let token = RefreshToken {
                            hash: format!("token {n}"),
                            family: "family".to_owned(),
                            user: who,
                            expires_at_ms: LATER,
                        };
                        node.sign_in(&one, &token, None, Value::Null).await
                    }
                    _ => {
                        let new = NewDocument {
                            id: document(n),
                            title: "Too late".to_owned(),
                            owner: who,
                        };
                        node.create_document(&one, &new).await
                    }
                }
            }
        });
        let done = done.await;
        let unavailable = |done: &Result<_, _>| matches!(done, Err(CatalogError::Unavailable(_)));
        assert_eq!(count(&done, unavailable), 0, "{done:?}");
        // Either the document was there first, or there is none of an account that is erased.
        assert!(done[0].is_ok() != done[5].is_ok(), "{done:?}");
    }
    let left = "SELECT (SELECT COUNT(*) FROM documents d JOIN users u ON u.id = d.owner_id
                        WHERE u.kind = 'erased')
                     + (SELECT COUNT(*) FROM grants g JOIN users u ON u.id = g.user_id
                        WHERE u.kind = 'erased')
                     + (SELECT COUNT(*) FROM group_members m JOIN users u ON u.id = m.user_id
                        WHERE u.kind = 'erased')
                     + (SELECT COUNT(*) FROM refresh_tokens t JOIN users u ON u.id = t.user_id
                        WHERE u.kind = 'erased')";
    assert_eq!(store.number(left).await, 0);
}

async fn an_address_that_was_erased_does_not_come_back(store: &Store) {
    let nodes = nodes(store, 8).await;
    for n in 2..=8 {
        let by = actor(1);
        let begun = nodes[0].begin_erasure(&by, user(n).id, None, true);
        begun.await.unwrap();
        let done = at_once(&nodes, 6, |node, at| async move {
            let entry = Entry::new(AuditAction::SignInFailed).user(user(n).id);
            match at {
                1 => node.finish_erasure(&actor(1), user(n).id).await,
                2 => {
                    let nobody = Actor {
                        user: None,
                        ..actor(n)
                    };
                    node.note(&[(nobody, entry)]).await
                }
                _ => node.note(&[(actor(n), entry)]).await,
            }
        });
        for done in done.await {
            done.unwrap();
        }
        let addresses = nodes[0].audit_addresses(user(n).id).await.unwrap();
        assert!(addresses.is_empty(), "{addresses:?}");
    }
}

async fn an_account_has_one_picture(store: &Store) {
    let nodes = nodes(store, 1).await;
    at_once(&nodes, 8, |node, n| async move {
        let avatar = Avatar {
            id: format!("avatar {n}"),
            media_type: "image/png".to_owned(),
            image: String::new(),
        };
        let (one, id) = (actor(1), user(1).id);
        node.change_avatar(&one, id, Some(&avatar)).await.unwrap();
    })
    .await;
    assert_eq!(store.number("SELECT COUNT(*) FROM avatars").await, 1);
    let account = nodes[1].user(user(1).id).await.unwrap().unwrap();
    nodes[1].avatar(&account.avatar.unwrap()).await.unwrap();
}

/// Everything that removes rows of others with its own, in every order.
async fn whatever_goes_at_once_waits_in_no_circle(store: &Store) {
    let nodes = nodes(store, 8).await;
    let mut links = Vec::new();
    for n in 1..=4 {
        create(&nodes[0], n, 1).await;
        links.push(link(&nodes[0], n, Role::Viewer, None).await);
        group(&nodes[0], n).await;
    }
    for n in 2..=8 {
        for at in 1..=4_u8 {
            let (one, id) = (actor(1), user(n).id);
            let link = &links[usize::from(at) - 1];
            nodes[0].open_link(&one, link, id, None, 0).await.unwrap();
            let group = GroupId::from_bytes([at; 16]);
            nodes[0].join_group(&one, group, id).await.unwrap();
            let granted = nodes[0].grant(&one, document(at), id, Role::Viewer);
            granted.await.unwrap();
        }
        if n > 4 {
            let by = actor(1);
            let begun = nodes[0].begin_erasure(&by, user(n).id, None, true);
            begun.await.unwrap();
        }
    }
    let links = Arc::new(links);
    let done = at_once(&nodes, 16, |node, n| {
        let links = links.clone();
        async move {
            let (one, at) = (actor(1), 1 + n % 4);
            match n {
                1..=4 => node.finish_erasure(&one, user(4 + n).id).await,
                5..=8 => {
                    let group = GroupId::from_bytes([at; 16]);
                    node.delete_group(&one, group).await
                }
                9..=10 => {
                    let id = links[usize::from(at) - 1].id;
                    node.revoke_link(&one, document(at), id).await
                }
                11..=12 => node.delete_document(&one, document(at)).await,
                13 => {
                    let from = user(1).id;
                    node.transfer_document(&one, document(1), from, user(2).id)
                        .await
                }
                14 => node.revoke(&one, document(2), user(2).id).await,
                15 => node.change_password(&one, user(2).id, "hash").await,
                _ => {
                    let group = GroupId::from_bytes([1; 16]);
                    node.leave_group(&one, group, user(3).id).await
                }
            }
        }
    });
    for done in done.await {
        assert!(
            !matches!(done, Err(CatalogError::Unavailable(_))),
            "{done:?}"
        );
    }
    let intact = nodes[0].verify_audit().await.unwrap();
    assert!(matches!(intact, Verification::Intact { .. }));
}

async fn the_latest_content_is_indexed(store: &Store) {
    let nodes = nodes(store, 1).await;
    create(&nodes[0], 1, 1).await;
    at_once(&nodes, 10, |node, n| async move {
        // Longer ones have more parts.
        let content = format!("word{n} ").repeat(3_000 * usize::from(1 + n % 3));
        let revision = motet_model::Revision::new(n.into());
        let indexed = node.index_content(document(1), revision, &content);
        indexed.await.unwrap();
    })
    .await;
    for n in 1..=10 {
        let text = format!("word{n} word{n}");
        let found = nodes[1].search(
            user(1).id,
            &text,
            motet_catalog::DocumentFilter::All,
            9,
            None,
            NOW,
        );
        assert_eq!(found.await.unwrap().len(), usize::from(n == 10), "{n}");
    }
}

/// What was told of the trail, whoever told it how late.
async fn forward(store: &Store) {
    let nodes = nodes(store, 2).await;
    let rows = nodes[0].trail_after(0, 100).await.unwrap();
    let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
    assert!(seqs.len() >= 2);
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64));
    assert_eq!(nodes[1].trail_after(0, 1).await.unwrap(), rows[..1]);
    assert_eq!(nodes[1].trail_after(1, 100).await.unwrap(), rows[1..]);
    let hash = nodes[0].audit_hash(1).await.unwrap();
    assert_eq!(hash.as_ref(), Some(&rows[0].hash));

    assert_eq!(nodes[0].event_cursor("a", 5).await.unwrap(), 5);
    assert_eq!(nodes[1].event_cursor("a", 9).await.unwrap(), 5);
    assert_eq!(nodes[1].event_cursor("b", 0).await.unwrap(), 0);
    for (node, seq, then) in [(0, 7, 7), (1, 6, 7), (1, 8, 8), (0, 1, 8)] {
        nodes[node].advance_event_cursor("a", seq).await.unwrap();
        assert_eq!(nodes[0].event_cursor("a", 0).await.unwrap(), then);
    }
    assert_eq!(nodes[0].event_cursor("b", 3).await.unwrap(), 0);
}

async fn one_node_has_a_job(store: &Store) {
    let nodes = nodes(store, 1).await;
    let [a, b] = [1, 2].map(|n| NodeId::from_bytes([n; 16]));
    let claim = |catalog: &Catalog, node| {
        let catalog = catalog.clone();
        async move { catalog.claim("a job", node, 60_000).await.unwrap() }
    };
    assert!(claim(&nodes[0], a).await);
    assert!(claim(&nodes[0], a).await, "it keeps what it has");
    if matches!(store, Store::Sqlite(_)) {
        // There is one node.
        return;
    }
    nodes[1].forget_claims().await.unwrap();
    assert!(!claim(&nodes[1], b).await);
    store
        .execute("UPDATE claims SET until_ms = until_ms - 60000")
        .await;
    assert!(claim(&nodes[1], b).await, "it is over");
    nodes[0].release("a job", a).await.unwrap();
    assert!(!claim(&nodes[0], a).await, "only its own is released");
    store
        .execute("UPDATE claims SET until_ms = until_ms - 60000")
        .await;
    nodes[0].forget_claims().await.unwrap();
    let mut connection = store.connection().await;
    let left = sqlx::query("SELECT job FROM claims");
    assert!(left.fetch_all(&mut connection).await.unwrap().is_empty());

    let claimed = at_once(&nodes, 16, |catalog, n| async move {
        let node = NodeId::from_bytes([n; 16]);
        catalog.claim("another job", node, 60_000).await.unwrap()
    });
    let claimed = claimed.await;
    assert_eq!(claimed.iter().filter(|claimed| **claimed).count(), 1);
}

async fn an_erasure_waits_for_other_acts_in_no_circle(store: &Store) {
    const LINKS: u8 = 12;
    let nodes = nodes(store, 9).await;
    for n in 2..9 {
        let (by, guest, guest_id) = (actor(1), actor(n), user(n).id);
        create(&nodes[0], n, 1).await;
        let mut links = Vec::new();
        for k in 0..LINKS {
            let new = NewLink {
                id: LinkId::from_bytes([n * LINKS + k; 16]),
                document: document(n),
                token: format!("token {n} {k}"),
                role: Role::Viewer,
                password_hash: None,
                expires_at_ms: None,
            };
            nodes[0].create_link(&actor(1), &new, 100).await.unwrap();
            links.push(nodes[0].link(&new.token, NOW).await.unwrap());
        }
        // Whoever looks for what the person has finds it in another order than who looks for the document's.
        for link in links.iter().rev() {
            let opened = nodes[0].open_link(&guest, link, guest_id, None, 0).await;
            opened.unwrap();
        }
        let begun = nodes[0].begin_erasure(&by, guest_id, None, true).await;
        begun.unwrap();
        let done = at_once(&nodes, 2, move |node, which| async move {
            match (which, n % 2) {
                (1, _) => node.finish_erasure(&actor(1), user(n).id).await,
                (_, 0) => node.delete_document(&actor(1), document(n)).await,
                _ => {
                    let (from, to) = (user(1).id, user(9).id);
                    node.transfer_document(&actor(1), document(n), from, to)
                        .await
                }
            }
        });
        let done = done.await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }
}

async fn a_node_is_there_as_long_as_it_says_so(store: &Store) {
    let nodes = nodes(store, 1).await;
    let [a, b] = [1, 2].map(|n| Node {
        id: NodeId::from_bytes([n; 16]),
        url: format!("http://10.0.0.{n}:8080"),
    });
    nodes[0].announce_node(&a).await.unwrap();
    nodes[1].announce_node(&b).await.unwrap();
    store
        .execute("UPDATE nodes SET seen_ms = seen_ms - 60000 WHERE url LIKE '%.1:8080'")
        .await;
    assert_eq!(
        nodes[0].nodes(30_000).await.unwrap(),
        std::slice::from_ref(&b)
    );
    assert_eq!(nodes[0].nodes(90_000).await.unwrap(), [a, b.clone()]);
    nodes[0].forget_nodes(30_000).await.unwrap();
    assert_eq!(nodes[0].nodes(90_000).await.unwrap(), [b]);
}

async fn every_node_has_the_same_keys(store: &Store) {
    let nodes = nodes(store, 1).await;
    let key = |n| SigningKey {
        starts_ms: 0,
        seed: [n; 32],
    };
    at_once(&nodes, 8, |catalog, n| async move {
        catalog.add_first_signing_keys(&[key(n)]).await.unwrap();
    })
    .await;
    let keys = nodes[0].signing_keys().await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(nodes[1].signing_keys().await.unwrap(), keys);

    let later = SigningKey {
        starts_ms: NOW,
        ..key(9)
    };
    let add = |node: usize| {
        let (catalog, key) = (nodes[node].clone(), later.clone());
        async move { catalog.add_signing_key(&actor(1), &key, "nine").await }
    };
    assert!(add(0).await.unwrap());
    assert!(!add(1).await.unwrap(), "two never start at once");
    let both = [keys[0].clone(), later];
    assert_eq!(nodes[1].signing_keys().await.unwrap(), both);
    nodes[1]
        .remove_signing_key(&actor(1), 0, "first")
        .await
        .unwrap();
    assert_eq!(nodes[0].signing_keys().await.unwrap(), both[1..]);
}

async fn what_one_node_does_the_others_learn(store: &Store) {
    let nodes = nodes(store, 3).await;
    create(&nodes[0], 1, 1).await;
    let seen = nodes[1].audit_seq().await.unwrap();
    let acts = [AuditAction::DocumentShared, AuditAction::AccountDisabled];
    at_once(&nodes, 2, |catalog, n| async move {
        let by = actor(1);
        let granted = catalog.grant(&by, document(1), user(n + 1).id, Role::Editor);
        granted.await.unwrap();
    })
    .await;
    nodes[0]
        .set_disabled(&actor(1), user(3).id, true)
        .await
        .unwrap();
    let (learned, seq) = nodes[1].acts_after(seen, &acts).await.unwrap();
    let mut shared: Vec<_> = learned[..2].iter().map(|act| act.user).collect();
    shared.sort();
    assert_eq!(shared, [Some(user(2).id), Some(user(3).id)]);
    assert_eq!(learned[0].document, Some(document(1)));
    assert_eq!(learned[0].actor, Some(user(1).id));
    assert_eq!(learned[2].action, AuditAction::AccountDisabled);
    assert_eq!(learned.len(), 3);
    let (nothing, same) = nodes[1].acts_after(seq, &acts).await.unwrap();
    assert_eq!((nothing.len(), same), (0, seq));
}
