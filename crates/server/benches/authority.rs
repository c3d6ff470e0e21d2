//! What it costs to know who asks, and what they may do: on a catalog in a file, as a server has it.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use motet_catalog::{
    Actor, ApiKey, AuditAction, Catalog, Kind, NewDocument, NewUser, RefreshToken, Role,
};
use motet_model::{Clock, DocumentId, OrganizationId, UserId};
use motet_server::auth::{Action, Authority, Issuers, Tokens};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NOW_MS: u64 = 1_700_000_000_000;
const OWNER: UserId = UserId::from_bytes([1; 16]);

struct Standing;

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}

fn actor() -> Actor {
    Actor {
        user: Some(OWNER),
        organization: OrganizationId::DEFAULT,
        address: String::new(),
        nonce: [0; 16],
        at_ms: NOW_MS,
    }
}

async fn add_user(catalog: &Catalog, id: UserId) {
    let user = NewUser {
        id,
        organization: OrganizationId::DEFAULT,
        kind: Kind::Member,
        email: Some(format!("{id}@example.com")),
        name: "Somebody".to_owned(),
        password_hash: None,
        administrator: false,
    };
    let actor = actor();
    let added = catalog.create_user(&actor, &user, AuditAction::AccountCreated);
    added.await.expect("a new account");
}

/// A document on which as many others have a grant; and the last of them.
async fn add_document(catalog: &Catalog, n: u8, grants: u64) -> (DocumentId, UserId) {
    let id = DocumentId::from_bytes([n; 16]);
    let title = "A document".to_owned();
    let owner = OWNER;
    let document = NewDocument { id, title, owner };
    let added = catalog.create_document(&actor(), &document).await;
    added.expect("a new document");
    let mut last = OWNER;
    for grant in 0..grants {
        last = UserId::new(NOW_MS + grant, [n; 10]);
        add_user(catalog, last).await;
        let granted = catalog.grant(&actor(), id, last, Role::Editor).await;
        granted.expect("a grant");
    }
    (id, last)
}

fn authority(c: &mut Criterion) {
    let folder = TempDir::new().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let (authority, catalog, tokens) = runtime.block_on(async {
        let path = folder.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&path).await.expect("a catalog");
        add_user(&catalog, OWNER).await;
        let issuers = Arc::new(Issuers::default());
        let tokens = Tokens::open(&catalog, folder.path()).await;
        let tokens = Arc::new(tokens.expect("a key"));
        let clock = Arc::new(Standing);
        let authority = Authority::new(catalog.clone(), Arc::clone(&tokens), issuers, clock);
        (authority, catalog, tokens)
    });

    let mut group = c.benchmark_group("authenticate");
    let stored = RefreshToken {
        hash: "hash".to_owned(),
        family: "family".to_owned(),
        user: OWNER,
        expires_at_ms: NOW_MS + 3_600_000,
    };
    let by = actor();
    let signed_in = catalog.sign_in(&by, &stored, None, serde_json::Value::Null);
    runtime.block_on(signed_in).expect("a sign-in");
    let family = Some(stored.family.as_str());
    let (token, _) = tokens.sign(OWNER, "Somebody", family, NOW_MS, 3_600_000);
    group.bench_function("signature alone", |b| {
        b.iter(|| {
            tokens
                .verify(black_box(&token), NOW_MS)
                .expect("it is valid")
        });
    });
    group.bench_function("access token", |b| {
        let ask = || async { authority.authenticate(&token).await.expect("it is valid") };
        b.to_async(&runtime).iter(ask);
    });
    let minted = authority.mint_key();
    let key = ApiKey {
        id: minted.id,
        user: OWNER,
        name: "Bench".to_owned(),
        hash: minted.hash,
        scopes: "read write".to_owned(),
        created_at_ms: NOW_MS,
        expires_at_ms: None,
        last_used_at_ms: None,
    };
    let created = runtime.block_on(catalog.create_api_key(&actor(), &key, 100));
    created.expect("a key");
    group.bench_function("API key", |b| {
        let ask = || async {
            authority
                .authenticate(&minted.text)
                .await
                .expect("it is valid")
        };
        b.to_async(&runtime).iter(ask);
    });
    group.finish();

    let mut group = c.benchmark_group("authorize");
    for (n, grants) in [(1, 1), (2, 1_000)] {
        let (document, last) = runtime.block_on(add_document(&catalog, n, grants));
        let (token, _) = tokens.sign(last, "Somebody", None, NOW_MS, 3_600_000);
        let admitted = runtime.block_on(authority.authenticate(&token));
        let principal = admitted.expect("it is valid");
        group.bench_function(format!("{grants} grants"), |b| {
            b.to_async(&runtime).iter(|| async {
                let rights = authority.authorize(&principal, Action::Edit, document);
                rights.await.expect("an editor")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, authority);
criterion_main!(benches);
