use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use motet_catalog::{Actor, Catalog};
use motet_model::OrganizationId;
use serde_json::{Value, json};

use super::{
    super::{
        forge::{Sign, ed25519, forge, hs256, tampered, unsigned, with},
        keys,
    },
    *,
};

const NOW_MS: u64 = 1_700_000_000_000;
const NOW_S: u64 = NOW_MS / 1_000;
const HOUR_MS: u64 = 3_600_000;
const SEED: [u8; 32] = [7; 32];

fn user() -> UserId {
    UserId::from_bytes([5; 16])
}

fn tokens() -> Tokens {
    Tokens::new(None, Keys::from_seeds(&[(SEED, 0)]))
}

fn kid(tokens: &Tokens) -> String {
    tokens.keys().signing(NOW_MS).id.clone()
}

fn header(tokens: &Tokens) -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid(tokens) })
}

fn payload() -> Value {
    json!({
        "iss": "motet", "sub": user().to_string(), "name": "Ada", "aud": "motet",
        "iat": NOW_S, "exp": NOW_S + 3_600,
    })
}

#[test]
fn a_token_is_remembered_until_it_expires_or_its_key_is_gone() {
    let tokens = tokens();
    let (token, expires_at_ms) = tokens.sign(user(), "Ada", None, NOW_MS, HOUR_MS);
    let claims = tokens.verify(&token, NOW_MS).unwrap();
    assert_eq!(tokens.verified().len(), 1);
    assert_eq!(tokens.verify(&token, expires_at_ms - 1), Ok(claims));
    assert_eq!(
        tokens.verify(&token, expires_at_ms),
        Err(TokenError::Expired)
    );
    for forged in tampered(&token, 2) {
        assert_eq!(tokens.verify(&forged, NOW_MS), Err(TokenError::Invalid));
    }
    assert_eq!(tokens.verified().len(), 1);

    *tokens.keys.write().unwrap() = Arc::new(Keys::from_seeds(&[([8; 32], 0)]));
    assert_eq!(tokens.verify(&token, NOW_MS), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_is_valid_until_it_expires() {
    let (token, expires_at_ms) = tokens().sign(user(), "Ada", Some("sign-in"), NOW_MS + 7, HOUR_MS);
    let claims = Claims {
        user_id: user(),
        name: "Ada".to_owned(),
        family: Some("sign-in".to_owned()),
        key_id: jsonwebtoken::decode_header(&token).unwrap().kid.unwrap(),
        issued_at_ms: NOW_MS + 7,
        expires_at_ms,
    };
    assert_eq!(tokens().verify(&token, NOW_MS + 7), Ok(claims.clone()));
    assert_eq!(tokens().verify(&token, expires_at_ms - 1), Ok(claims));
    for late_ms in [expires_at_ms, u64::MAX] {
        assert_eq!(tokens().verify(&token, late_ms), Err(TokenError::Expired));
    }
}

#[test]
fn tokens_from_before_there_was_an_audience_are_valid() {
    let tokens = tokens();
    let old = with(&payload(), &json!({ "aud": null }));
    let claims = tokens.verify(&forge(&header(&tokens), &old, &ed25519(SEED)), NOW_MS);
    assert_eq!(claims.unwrap().issued_at_ms, NOW_MS);
}

#[test]
fn forged_tokens_are_refused() {
    let tokens = tokens();
    let (header, payload) = (header(&tokens), payload());
    let good = forge(&header, &payload, &ed25519(SEED));
    assert!(tokens.verify(&good, NOW_MS).is_ok(), "the frame is right");

    let public = SigningKey::from_bytes(&SEED).verifying_key().to_bytes();
    let mut der = vec![0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    der.extend(public);
    let pem = base64::engine::general_purpose::STANDARD.encode(&der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(other) });

    // What stands in the header, and who signed.
    let headers: Vec<(&str, Value, Sign)> = vec![
        ("alg none", json!({ "alg": "none" }), unsigned()),
        ("alg None, signed", json!({ "alg": "None" }), ed25519(SEED)),
        ("no alg", json!({ "alg": null }), ed25519(SEED)),
        (
            "HS256 with the public key",
            json!({ "alg": "HS256" }),
            hs256(&public),
        ),
        (
            "HS256 with the public key's DER",
            json!({ "alg": "HS256" }),
            hs256(&der),
        ),
        (
            "HS256 with the public key's PEM",
            json!({ "alg": "HS256" }),
            hs256(pem.as_bytes()),
        ),
        (
            "HS256, not signed so",
            json!({ "alg": "HS256" }),
            ed25519(SEED),
        ),
        ("ES256", json!({ "alg": "ES256" }), ed25519(SEED)),
        ("RS256", json!({ "alg": "RS256" }), ed25519(SEED)),
        ("another key", json!({}), ed25519([8; 32])),
        ("no signature", json!({}), unsigned()),
        ("no kid", json!({ "kid": null }), ed25519(SEED)),
        ("a kid of nobody", json!({ "kid": "other" }), ed25519(SEED)),
        (
            "a kid that is a path",
            json!({ "kid": "../keys/tokens.ed25519" }),
            ed25519(SEED),
        ),
        (
            "a key in the header",
            json!({ "jwk": jwk.clone() }),
            ed25519([8; 32]),
        ),
        (
            "a key in the header, of no kid",
            json!({ "jwk": jwk, "kid": null }),
            ed25519([8; 32]),
        ),
        (
            "the address of a key in the header",
            json!({ "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/keys" }),
            ed25519([8; 32]),
        ),
        (
            "an extension that must be understood",
            json!({ "crit": ["b64"], "b64": false }),
            ed25519(SEED),
        ),
    ];
    for (what, fields, sign) in headers {
        let token = forge(&with(&header, &fields), &payload, &sign);
        let refused = tokens.verify(&token, NOW_MS);
        let expected = match what {
            "a kid of nobody" | "a kid that is a path" => TokenError::UnknownKey,
            _ => TokenError::Invalid,
        };
        assert_eq!(refused, Err(expected), "{what}");
    }

    // What is signed as it should be, and says something else.
    let payloads = [
        ("another issuer", json!({ "iss": "other" })),
        ("no issuer", json!({ "iss": null })),
        ("issuers", json!({ "iss": ["motet"] })),
        ("another audience", json!({ "aud": "other" })),
        ("an audience of another type", json!({ "aud": 1 })),
        ("no subject", json!({ "sub": null })),
        ("a subject that is no user", json!({ "sub": "ada" })),
        ("no expiry", json!({ "exp": null })),
        ("an expiry that is no number", json!({ "exp": "never" })),
        ("an expiry below zero", json!({ "exp": -1 })),
        ("not valid yet", json!({ "nbf": NOW_S + 61 })),
        ("issued in the future", json!({ "iat": NOW_S + 61 })),
        (
            "issued so, by a ms",
            json!({ "iat": NOW_S as f64 + 60.001 }),
        ),
        ("issued beyond all time", json!({ "iat": 1e300 })),
        ("issued nobody knows when", json!({ "iat": null })),
        ("a start beyond all time", json!({ "nbf": u64::MAX })),
        ("too long", json!({ "name": "x".repeat(TOKEN_BYTES_MAX) })),
    ];
    for (what, fields) in payloads {
        let token = forge(&header, &with(&payload, &fields), &ed25519(SEED));
        let refused = tokens.verify(&token, NOW_MS);
        assert_eq!(refused, Err(TokenError::Invalid), "{what}");
    }
    let ahead = json!({ "nbf": NOW_S + 60, "iat": NOW_S + 60 });
    let ahead = forge(&header, &with(&payload, &ahead), &ed25519(SEED));
    assert!(tokens.verify(&ahead, NOW_MS).is_ok(), "clocks differ");

    for part in 0..3 {
        for token in tampered(&good, part) {
            let refused = tokens.verify(&token, NOW_MS).unwrap_err();
            assert_ne!(refused, TokenError::Expired, "{token}");
        }
    }
    let parts: Vec<&str> = good.split('.').collect();
    let shapes = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        parts[..2].join("."),
        format!("{}.", parts[..2].join(".")),
        format!("{good}."),
        format!("{good}.{}", parts[2]),
        format!(".{good}"),
        format!(" {good}"),
        format!("{good}="),
        parts[2].to_owned(),
    ];
    for token in shapes {
        let refused = tokens.verify(&token, NOW_MS);
        assert_eq!(refused, Err(TokenError::Invalid), "{token}");
    }
}

/// A data directory, its catalog, and two nodes that use it.
async fn nodes() -> (tempfile::TempDir, Catalog, Tokens, Tokens) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    let catalog = Catalog::open_sqlite(&file).await.unwrap();
    let a = Tokens::open(&catalog, folder.path()).await.unwrap();
    let b = Tokens::open(&catalog, folder.path()).await.unwrap();
    (folder, catalog, a, b)
}

fn operator() -> Actor {
    Actor {
        user: None,
        organization: OrganizationId::DEFAULT,
        address: String::new(),
        nonce: [0; 16],
        at_ms: NOW_MS,
    }
}

#[tokio::test]
async fn running_nodes_follow_rotations() {
    let (_folder, catalog, ours, theirs) = nodes().await;
    let first = kid(&ours);
    let (old, _) = ours.sign(user(), "Ada", None, NOW_MS, HOUR_MS);
    assert!(theirs.verify(&old, NOW_MS).is_ok());

    let starts_ms = NOW_MS + 600_000;
    let second = keys::rotate(&catalog, &operator(), starts_ms)
        .await
        .unwrap();
    ours.read_again().await.unwrap();
    let public = serde_json::to_value(ours.public_keys()).unwrap();
    let ids = [&public["keys"][0]["kid"], &public["keys"][1]["kid"]];
    assert_eq!(ids, [&first, &second], "published before it signs");
    assert_eq!(public["keys"][1]["kty"], "OKP");
    assert_eq!(public["keys"][1]["crv"], "Ed25519");
    assert_eq!(public["keys"][1]["use"], "sig");
    assert_eq!(public["keys"][1]["alg"], "EdDSA");

    let kid_of = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let (token, _) = ours.sign(user(), "Ada", None, starts_ms - 1, HOUR_MS);
    assert_eq!(kid_of(&token), first);
    let (token, _) = ours.sign(user(), "Ada", None, starts_ms, HOUR_MS);
    assert_eq!(kid_of(&token), second);
    let unknown = theirs.verify(&token, starts_ms);
    assert_eq!(unknown, Err(TokenError::UnknownKey));
    theirs.seek(starts_ms).await;
    for token in [&token, &old] {
        assert!(theirs.verify(token, starts_ms).is_ok(), "both verify");
    }

    keys::remove(&catalog, &operator(), &first, starts_ms)
        .await
        .unwrap();
    theirs.read_again().await.unwrap();
    let refused = theirs.verify(&old, starts_ms);
    assert_eq!(refused, Err(TokenError::UnknownKey));
    assert!(theirs.verify(&token, starts_ms).is_ok());
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_at_most_once_a_second() {
    let (_folder, catalog, tokens, other) = nodes().await;
    tokens.seek(NOW_MS).await;
    keys::rotate(&catalog, &operator(), NOW_MS).await.unwrap();
    other.read_again().await.unwrap();
    let (token, _) = other.sign(user(), "Ada", None, NOW_MS, HOUR_MS);
    let soon_ms = NOW_MS + REREAD_FOR_UNKNOWN_MS;
    tokens.seek(soon_ms - 1).await;
    let too_soon = tokens.verify(&token, soon_ms);
    assert_eq!(too_soon, Err(TokenError::UnknownKey));
    tokens.seek(soon_ms).await;
    assert!(tokens.verify(&token, soon_ms).is_ok());

    // What cannot be read changes nothing.
    catalog.close().await;
    assert!(tokens.read_again().await.is_err());
    assert!(tokens.verify(&token, soon_ms).is_ok());
}
