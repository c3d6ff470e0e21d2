use std::{path::Path, sync::LazyLock};

use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::{pkcs1::EncodeRsaPrivateKey, traits::PublicKeyParts};
use serde_json::json;

use super::{
    super::{
        cached::RETRY_MS,
        forge::{Sign, ed25519, forge, hs256, tampered, unsigned, with},
        site::Site,
    },
    *,
};

const NOW_S: u64 = 1_700_000_000;
const NOW_MS: u64 = NOW_S * 1_000;
const SEED: [u8; 32] = [7; 32];

/// Someone's key of each kind.
struct Signer {
    algorithm: &'static str,
    jwk: Value,
    pem: String,
    sign: Sign,
}

fn signing(key: EncodingKey, algorithm: Algorithm) -> Sign {
    Box::new(move |input| {
        let signature = jsonwebtoken::crypto::sign(input, &key, algorithm).unwrap();
        URL_SAFE_NO_PAD.decode(signature).unwrap()
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

fn ed(seed: [u8; 32]) -> Signer {
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    Signer {
        algorithm: "EdDSA",
        jwk: json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(public.as_bytes()),
        }),
        pem: pem("PUBLIC KEY", &[&prefix[..], public.as_bytes()].concat()),
        sign: ed25519(seed),
    }
}

fn ec256() -> Signer {
    let key = p256::SecretKey::from_slice(&[9; 32]).unwrap();
    let public: Value = serde_json::from_str(&key.public_key().to_jwk_string()).unwrap();
    let der = key.to_pkcs8_der().unwrap();
    Signer {
        algorithm: "ES256",
        jwk: with(&public, &json!({ "kid": "p256" })),
        pem: key.public_key().to_public_key_pem(LineEnding::LF).unwrap(),
        sign: signing(EncodingKey::from_ec_der(der.as_bytes()), Algorithm::ES256),
    }
}

fn ec384() -> Signer {
    let key = p384::SecretKey::from_slice(&[9; 48]).unwrap();
    let public: Value = serde_json::from_str(&key.public_key().to_jwk_string()).unwrap();
    let der = key.to_pkcs8_der().unwrap();
    Signer {
        algorithm: "ES384",
        jwk: with(&public, &json!({ "kid": "p384" })),
        pem: key.public_key().to_public_key_pem(LineEnding::LF).unwrap(),
        sign: signing(EncodingKey::from_ec_der(der.as_bytes()), Algorithm::ES384),
    }
}

fn rsa_key(bits: usize) -> rsa::RsaPrivateKey {
    rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap()
}

fn rsa(algorithm: &'static str, bits: usize) -> Signer {
    /// Making one takes most of a second.
    static GOOD: LazyLock<rsa::RsaPrivateKey> = LazyLock::new(|| rsa_key(2_048));
    let key = match bits {
        2_048 => GOOD.clone(),
        bits => rsa_key(bits),
    };
    let number = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let der = key.to_pkcs1_der().unwrap();
    let how = algorithm.parse().unwrap();
    Signer {
        algorithm,
        jwk: json!({ "kty": "RSA", "kid": "rsa", "n": number(key.n()), "e": number(key.e()) }),
        pem: key
            .to_public_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap(),
        sign: signing(EncodingKey::from_rsa_der(der.as_bytes()), how),
    }
}

impl Signer {
    fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.jwk["kid"] })
    }

    fn token(&self, payload: &Value) -> String {
        forge(&self.header(), payload, &self.sign)
    }
}

fn payload(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": "motet", "sub": "ada", "iat": NOW_S, "exp": NOW_S + 60,
        "name": "Ada", "email": "ada@example.com",
    })
}

fn settings(issuer: &str, fields: &Value) -> IssuerSettings {
    let settings = json!({ "issuer": issuer, "audience": "motet" });
    serde_json::from_value(with(&settings, fields)).unwrap()
}

fn issuers(settings: &[IssuerSettings]) -> Issuers {
    Issuers::new(settings, &Outgoing::new().unwrap()).unwrap()
}

/// An issuer at `site` with these keys.
fn published(site: &Site, keys: &[&Signer]) -> IssuerSettings {
    let keys: Vec<&Value> = keys.iter().map(|key| &key.jwk).collect();
    site.answer("/keys", 200, json!({ "keys": keys }));
    settings(&site.url("/"), &json!({ "jwks_url": site.url("/keys") }))
}

async fn refused(issuers: &Issuers, token: &str) -> IssuerError {
    issuers.verify(token, NOW_MS).await.unwrap_err()
}

#[tokio::test]
async fn each_kind_of_key_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let signers = [
        ed(SEED),
        ec256(),
        ec384(),
        rsa("RS256", 2_048),
        rsa("RS384", 2_048),
        rsa("RS512", 2_048),
        rsa("PS256", 2_048),
        rsa("PS384", 2_048),
        rsa("PS512", 2_048),
    ];
    for signer in signers {
        let by_jwk = published(&site, &[&signer]);
        let token = signer.token(&payload(&by_jwk.issuer));
        let by_url = issuers(std::slice::from_ref(&by_jwk));
        let said = by_url.verify(&token, NOW_MS).await;
        let expected = ExternalClaims {
            issuer: by_jwk.issuer.clone(),
            subject: "ada".to_owned(),
            name: Some("Ada".to_owned()),
            email: Some("ada@example.com".to_owned()),
            organization: ExternalOrganization::Default,
            issued_at_ms: Some(NOW_MS),
            expires_at_ms: NOW_MS + 90_000,
        };
        assert_eq!(said.as_ref(), Ok(&expected), "{}", signer.algorithm);

        let path = folder.path().join("key.pem");
        std::fs::write(&path, &signer.pem).unwrap();
        let by_pem = settings(&by_jwk.issuer, &json!({ "public_key": path }));
        let by_pem = issuers(&[by_pem]);
        let said = by_pem.verify(&token, NOW_MS).await;
        assert_eq!(said, Ok(expected), "{} by PEM", signer.algorithm);

        // HMAC with what everybody can know.
        for secret in [&signer.pem, signer.pem.trim_end(), &signer.jwk.to_string()] {
            for kid in [
                json!({ "alg": "HS256" }),
                json!({ "alg": "HS256", "kid": null }),
            ] {
                let header = with(&signer.header(), &kid);
                let token = forge(&header, &payload(&by_jwk.issuer), &hs256(secret.as_bytes()));
                for issuers in [&by_url, &by_pem] {
                    assert_eq!(refused(issuers, &token).await, IssuerError::Invalid);
                }
            }
        }
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let site = Site::start().await;
    let (ours, curve) = (ed(SEED), ec256());
    let issuer = published(&site, &[&ours, &curve]);
    let issuers = issuers(std::slice::from_ref(&issuer));
    let payload = payload(&issuer.issuer);
    let good = ours.token(&payload);
    assert!(issuers.verify(&good, NOW_MS).await.is_ok(), "the frame");
    assert!(issuers.concerns(&good));

    let theirs = Site::start().await;
    theirs.answer("/keys", 200, json!({ "keys": [ed([8; 32]).jwk] }));
    let jku = theirs.url("/keys");
    let headers: Vec<(&str, Value, Sign)> = vec![
        ("alg none", json!({ "alg": "none" }), unsigned()),
        ("alg nOnE", json!({ "alg": "nOnE" }), unsigned()),
        ("no alg", json!({ "alg": null }), ed25519(SEED)),
        ("no signature", json!({}), unsigned()),
        ("another key", json!({}), ed25519([8; 32])),
        (
            "ES256, signed by EdDSA",
            json!({ "alg": "ES256" }),
            ed25519(SEED),
        ),
        (
            "ES384 for a P-256 key",
            json!({ "alg": "ES384", "kid": "p256" }),
            ec384().sign,
        ),
        (
            "RS256 for an EdDSA key",
            json!({ "alg": "RS256" }),
            ed25519(SEED),
        ),
        (
            "the kid of another key",
            json!({ "kid": "p256" }),
            ed25519(SEED),
        ),
        ("a kid of nobody", json!({ "kid": "other" }), ed25519(SEED)),
        ("jwk", json!({ "jwk": ed([8; 32]).jwk }), ed25519([8; 32])),
        ("jku", json!({ "jku": jku, "x5u": jku }), ed25519([8; 32])),
        (
            "jku, of no known kid",
            json!({ "jku": jku, "x5u": jku, "kid": "theirs" }),
            ed25519([8; 32]),
        ),
        ("x5c", json!({ "x5c": ["AAAA"] }), ed25519([8; 32])),
        (
            "crit",
            json!({ "crit": ["b64"], "b64": false }),
            ed25519(SEED),
        ),
    ];
    for (what, fields, sign) in headers {
        let token = forge(&with(&ours.header(), &fields), &payload, &sign);
        assert_eq!(
            refused(&issuers, &token).await,
            IssuerError::Invalid,
            "{what}"
        );
    }
    assert_eq!(theirs.asked(), Vec::<String>::new(), "nothing is fetched");

    let payloads = [
        (
            "another issuer",
            json!({ "iss": "https://other.example.com" }),
        ),
        (
            "the issuer and more",
            json!({ "iss": format!("{}a", issuer.issuer) }),
        ),
        ("this server", json!({ "iss": "motet" })),
        ("no issuer", json!({ "iss": null })),
        ("issuers", json!({ "iss": [issuer.issuer] })),
        ("another audience", json!({ "aud": "other" })),
        ("other audiences", json!({ "aud": ["other", 1] })),
        ("no audience", json!({ "aud": null })),
        ("an object as audience", json!({ "aud": { "motet": true } })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("a long subject", json!({ "sub": "x".repeat(256) })),
        ("no expiry", json!({ "exp": null })),
        ("an expiry that is no number", json!({ "exp": "never" })),
        ("an expiry below zero", json!({ "exp": -1 })),
        ("not valid yet", json!({ "nbf": NOW_S + 31 })),
        ("a start that is no number", json!({ "nbf": "now" })),
        ("issued in the future", json!({ "iat": NOW_S + 31 })),
        ("a start beyond all time", json!({ "nbf": 1e300 })),
        ("too long", json!({ "x": "x".repeat(TOKEN_BYTES_MAX) })),
    ];
    for (what, fields) in payloads {
        let token = ours.token(&with(&payload, &fields));
        assert_eq!(
            refused(&issuers, &token).await,
            IssuerError::Invalid,
            "{what}"
        );
    }
    let expired = ours.token(&with(&payload, &json!({ "exp": NOW_S - 30 })));
    assert_eq!(refused(&issuers, &expired).await, IssuerError::Expired);
    let fine = [
        json!({ "exp": NOW_S - 29 }),
        json!({ "exp": NOW_S as f64 + 0.5 }),
        json!({ "nbf": NOW_S + 30, "iat": NOW_S + 30 }),
        json!({ "iat": null }),
        json!({ "aud": ["other", "motet"] }),
        json!({ "sub": 7 }),
    ];
    for fields in fine {
        let token = ours.token(&with(&payload, &fields));
        assert!(issuers.verify(&token, NOW_MS).await.is_ok(), "{fields}");
    }
    for part in 0..3 {
        for token in tampered(&good, part) {
            assert_eq!(
                refused(&issuers, &token).await,
                IssuerError::Invalid,
                "{token}"
            );
        }
    }
}

#[tokio::test]
async fn apart() {
    let (here, there) = (Site::start().await, Site::start().await);
    let (ours, theirs) = (ed([1; 32]), ed([2; 32]));
    let (a, b) = (published(&here, &[&ours]), published(&there, &[&theirs]));
    let issuers = issuers(&[a.clone(), b.clone()]);
    for (issuer, right, wrong) in [(a, &ours, &theirs), (b, &theirs, &ours)] {
        let payload = payload(&issuer.issuer);
        let said = issuers.verify(&right.token(&payload), NOW_MS).await;
        assert_eq!(said.unwrap().issuer, issuer.issuer);
        let mixed = refused(&issuers, &wrong.token(&payload)).await;
        assert_eq!(mixed, IssuerError::Invalid);
    }
}

#[tokio::test]
async fn only_allowed_algorithms() {
    let site = Site::start().await;
    let (ours, curve) = (ed(SEED), ec256());
    let issuer = IssuerSettings {
        algorithms: vec!["ES256".to_owned()],
        ..published(&site, &[&ours, &curve])
    };
    let payload = payload(&issuer.issuer);
    let issuers = issuers(&[issuer]);
    assert!(issuers.verify(&curve.token(&payload), NOW_MS).await.is_ok());
    let other = refused(&issuers, &ours.token(&payload)).await;
    assert_eq!(other, IssuerError::Invalid);
}

#[tokio::test]
async fn keys_that_are_not_for_this_are_passed_over() {
    let site = Site::start().await;
    let good = ed(SEED);
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    let unfit = [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "alg": "RS256" }),
        json!({ "crv": "X25519" }),
        json!({ "x": "AAAA" }),
        json!({ "kty": "oct", "k": secret, "crv": null, "x": null }),
        json!({ "kty": "unheard of" }),
    ];
    for fields in unfit {
        let mut issuer = published(&site, &[&good]);
        site.answer(
            "/keys",
            200,
            json!({ "keys": [with(&good.jwk, &fields), 7, {}] }),
        );
        issuer.claims.name = "name".to_owned();
        let payload = payload(&issuer.issuer);
        let issuers = issuers(&[issuer]);
        for token in [
            good.token(&payload),
            forge(
                &with(&good.header(), &json!({ "alg": "HS256" })),
                &payload,
                &hs256(&[7; 32]),
            ),
        ] {
            assert_eq!(
                refused(&issuers, &token).await,
                IssuerError::Invalid,
                "{fields}"
            );
        }
    }
    let weak = rsa("RS256", 1_024);
    let issuer = published(&site, &[&weak]);
    let token = weak.token(&payload(&issuer.issuer));
    assert_eq!(
        refused(&issuers(&[issuer]), &token).await,
        IssuerError::Invalid
    );
}

#[tokio::test]
async fn a_token_without_a_kid_means_the_only_key() {
    let site = Site::start().await;
    let (ours, other) = (ed(SEED), ed([8; 32]));
    let issuer = published(&site, &[&ours, &ec256()]);
    let payload = payload(&issuer.issuer);
    let nameless = with(&ours.header(), &json!({ "kid": null }));
    let token = forge(&nameless, &payload, &ours.sign);
    let one = issuers(&[issuer]);
    assert!(one.verify(&token, NOW_MS).await.is_ok());

    let other = Signer {
        jwk: with(&other.jwk, &json!({ "kid": "other" })),
        ..other
    };
    let two = issuers(&[published(&site, &[&ours, &other])]);
    assert_eq!(refused(&two, &token).await, IssuerError::Invalid);
}

#[tokio::test]
async fn keys_rotate_and_outlive_their_site() {
    let site = Site::start().await;
    let (old, new) = (ed(SEED), ec256());
    let issuer = published(&site, &[&old]);
    let payload = with(&payload(&issuer.issuer), &json!({ "exp": NOW_S + 9_000 }));
    let (old_token, new_token) = (old.token(&payload), new.token(&payload));
    site.answer("/keys", 500, "broken");
    let issuers = issuers(std::slice::from_ref(&issuer));
    let early = issuers.verify(&old_token, NOW_MS).await;
    assert_eq!(early, Err(IssuerError::Unavailable));

    published(&site, &[&old]);
    let up_ms = NOW_MS + RETRY_MS;
    assert!(issuers.verify(&old_token, up_ms).await.is_ok());
    published(&site, &[&new]);
    let asked = site.asked().len();
    for _ in 0..20 {
        let too_soon = issuers.verify(&new_token, up_ms).await;
        assert_eq!(too_soon, Err(IssuerError::Invalid));
    }
    assert_eq!(site.asked().len(), asked, "not again and again");
    let later_ms = up_ms + RETRY_MS;
    assert!(issuers.verify(&new_token, later_ms).await.is_ok());
    let gone = issuers.verify(&old_token, later_ms).await;
    assert_eq!(gone, Err(IssuerError::Invalid), "its key was withdrawn");

    for (status, body) in [(500, "broken"), (200, "not JSON"), (302, "/elsewhere")] {
        site.answer("/keys", status, body);
        let much_later_ms = later_ms + 3_600_000;
        assert!(issuers.verify(&new_token, much_later_ms).await.is_ok());
    }
    assert!(!site.asked().contains(&"/elsewhere".to_owned()));
}

#[tokio::test]
async fn claims_are_found_under_the_names_of_the_settings() {
    let site = Site::start().await;
    let ours = ed(SEED);
    let names = json!({
        "subject": "user.id", "name": "https://example.com/name", "email": "user.mail",
        "organization": "app.org.slug",
    });
    let issuer = IssuerSettings {
        claims: serde_json::from_value(names).unwrap(),
        ..published(&site, &[&ours])
    };
    let payload = with(
        &payload(&issuer.issuer),
        &json!({
            "user": { "id": 12, "mail": "a@b.c" }, "app": { "org": { "slug": "acme" } },
            "https://example.com/name": "  Ada L. ",
        }),
    );
    let issuers = issuers(&[issuer]);
    let said = issuers.verify(&ours.token(&payload), NOW_MS).await.unwrap();
    assert_eq!(said.subject, "12");
    assert_eq!(said.name.as_deref(), Some("Ada L."));
    assert_eq!(said.email.as_deref(), Some("a@b.c"));
    let acme = ExternalOrganization::Claimed("acme".to_owned());
    assert_eq!(said.organization, acme);

    for unverified in [json!(false), json!("false"), json!(0)] {
        let payload = with(&payload, &json!({ "email_verified": unverified }));
        let said = issuers.verify(&ours.token(&payload), NOW_MS).await.unwrap();
        assert_eq!(said.email, None, "{unverified}");
    }
    let nowhere = with(&payload, &json!({ "app": {} }));
    let refused = refused(&issuers, &ours.token(&nowhere)).await;
    assert_eq!(refused, IssuerError::Invalid, "of no organization");
}

#[test]
fn settings_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let private = p256::SecretKey::from_slice(&[9; 32]).unwrap();
    let private = private.to_pkcs8_pem(LineEnding::LF).unwrap();
    let url = json!({ "jwks_url": "https://id.example.com/keys" });
    let with_key = |path: &Path, fields| with(&json!({ "public_key": path }), &fields);
    let good = file("good.pem", &ec256().pem);
    let wrong = [
        (json!({}), "either jwks_url or public_key"),
        (
            with_key(&good, url.clone()),
            "either jwks_url or public_key",
        ),
        (
            json!({ "jwks_url": "http://id.example.com/keys" }),
            "must be https",
        ),
        (json!({ "jwks_url": "id.example.com" }), "no URL"),
        (with(&url, &json!({ "audience": "" })), "must not be empty"),
        (with(&url, &json!({ "issuer": "motet" })), "own tokens"),
        (
            with(&url, &json!({ "algorithms": ["HS256"] })),
            "\"HS256\" is not one",
        ),
        (
            with(&url, &json!({ "algorithms": ["none"] })),
            "\"none\" is not one",
        ),
        (
            with(&url, &json!({ "leeway_seconds": 3_600 })),
            "at most 300",
        ),
        (
            with(
                &url,
                &json!({ "organization": "a", "claims": { "organization": "b" } }),
            ),
            "not both",
        ),
        (
            with_key(&folder.path().join("none"), json!({})),
            "No such file",
        ),
        (with_key(&file("text", "text"), json!({})), "no PEM file"),
        (
            with_key(&file("private", &private), json!({})),
            "BEGIN PUBLIC KEY",
        ),
        (
            with_key(&file("weak", &rsa("RS256", 1_024).pem), json!({})),
            "2048 to 4096 bits",
        ),
        (
            with_key(&good, json!({ "algorithms": ["RS256"] })),
            "none of the algorithms",
        ),
    ];
    for (fields, expected) in wrong {
        let name = "https://id.example.com".to_owned();
        let settings = settings(&name, &fields);
        let error = IssuerSettings::check_all(&[settings]).unwrap_err();
        assert!(error.contains(expected), "{fields}: {error}");
    }
    let one = settings("https://id.example.com", &url);
    assert_eq!(
        IssuerSettings::check_all(std::slice::from_ref(&one)),
        Ok(())
    );
    let twice = IssuerSettings::check_all(&[one.clone(), one]).unwrap_err();
    assert!(twice.contains("twice"), "{twice}");
}
