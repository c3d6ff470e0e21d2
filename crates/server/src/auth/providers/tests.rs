#[path = "../../../tests/server/support/provider.rs"]
mod provider;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use motet_model::Clock;
use serde_json::{Value, json};

use super::{
    super::{
        cached::RETRY_MS,
        forge::{Sign, ed25519, forge, hs256, tampered, unsigned, with},
        site::Site,
    },
    *,
};
use crate::clock::SystemClock;

const NOW_S: u64 = 1_700_000_000;
const NOW_MS: u64 = NOW_S * 1_000;
const SEED: [u8; 32] = [7; 32];
const SECRET: &str = "a secret of the client";
const REDIRECT: &str = "http://127.0.0.1:8080/sign-in/callback";

fn settings(issuer: &str, fields: &Value) -> ProviderSettings {
    let settings = json!({
        "id": "acme", "name": "Acme", "issuer": issuer, "client_id": "motet",
        "client_secret": SECRET,
    });
    serde_json::from_value(with(&settings, fields)).unwrap()
}

fn providers(settings: ProviderSettings) -> Providers {
    Providers::new(&[settings], &Outgoing::new().unwrap()).unwrap()
}

#[tokio::test]
async fn people_sign_in_with_a_real_provider() {
    let process = provider::Process::start();
    let public = json!({ "client_id": "motet-public", "client_secret": null });
    let now_ms = SystemClock.now_ms();
    for fields in [json!({ "organization": "Acme" }), public] {
        let organization = fields["organization"].as_str().map(str::to_owned);
        let organization = ExternalOrganization::configured(organization.as_ref());
        let providers = providers(settings(&process.issuer, &fields));
        assert_eq!(providers.iter().collect::<Vec<_>>(), [("acme", "Acme")]);
        for (login, email) in [("ada", Some("ada@example.com")), ("unverified-eve", None)] {
            let attempt = providers.begin("acme", REDIRECT, now_ms).await.unwrap();
            let (code, state) = provider::sign_in(&attempt.url, login).await;
            assert_eq!(state, attempt.state);
            let returned = Return {
                code: &code,
                nonce: &attempt.nonce,
                pkce_verifier: &attempt.pkce_verifier,
                redirect_uri: REDIRECT,
            };
            let claims = providers.finish("acme", returned, now_ms).await.unwrap();
            assert_eq!(claims.issuer, process.issuer);
            assert_eq!(claims.subject, login);
            assert_eq!(claims.email.as_deref(), email);
            assert_eq!(claims.organization, organization);
            let name = claims.name.unwrap();
            assert!(name.eq_ignore_ascii_case(login), "{name}");

            let again = providers.finish("acme", returned, now_ms).await;
            let refused = ProviderError::Refused("invalid_grant".to_owned());
            assert_eq!(again, Err(refused), "a code works once");
        }
    }
}

#[tokio::test]
async fn a_code_alone_is_worth_nothing() {
    let process = provider::Process::start();
    let providers = providers(settings(&process.issuer, &json!({})));
    let now_ms = SystemClock.now_ms();
    let invalid = |error| matches!(error, Err(ProviderError::Invalid(_)));
    let refused = |error| matches!(error, Err(ProviderError::Refused(_)));
    let attempt = async || {
        let attempt = providers.begin("acme", REDIRECT, now_ms).await.unwrap();
        let (code, _) = provider::sign_in(&attempt.url, "ada").await;
        (attempt, code)
    };
    let (attempt_, code) = attempt().await;
    let stolen = Return {
        code: &code,
        nonce: &attempt_.nonce,
        pkce_verifier: &entropy::token::<32>(),
        redirect_uri: REDIRECT,
    };
    let error = providers.finish("acme", stolen, now_ms).await;
    assert!(refused(error), "another attempt's verifier");

    let (attempt_, code) = attempt().await;
    let elsewhere = Return {
        code: &code,
        nonce: &attempt_.nonce,
        pkce_verifier: &attempt_.pkce_verifier,
        redirect_uri: "http://127.0.0.1:8081/sign-in/callback",
    };
    let error = providers.finish("acme", elsewhere, now_ms).await;
    assert!(refused(error), "another address");

    let (attempt_, code) = attempt().await;
    let swapped = Return {
        code: &code,
        nonce: "another attempt's",
        pkce_verifier: &attempt_.pkce_verifier,
        redirect_uri: REDIRECT,
    };
    let error = providers.finish("acme", swapped, now_ms).await;
    assert!(invalid(error), "another attempt's nonce");

    let (attempt_, code) = attempt().await;
    let late = Return {
        code: &code,
        nonce: &attempt_.nonce,
        pkce_verifier: &attempt_.pkce_verifier,
        redirect_uri: REDIRECT,
    };
    let day_ms = 24 * 3_600_000;
    let error = providers.finish("acme", late, now_ms + day_ms).await;
    assert!(invalid(error), "an ID token whose time is over");
    let unknown = providers.begin("other", REDIRECT, now_ms).await;
    assert_eq!(unknown, Err(ProviderError::Unknown));
}

/// What a provider at this site says of itself.
fn metadata(site: &Site) -> Value {
    json!({
        "issuer": site.url(""),
        "authorization_endpoint": site.url("/auth"),
        "token_endpoint": site.url("/token"),
        "jwks_uri": site.url("/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none", "RS256"],
    })
}

fn jwk(seed: [u8; 32], kid: &str) -> Value {
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn publish(site: &Site, fields: &Value) {
    site.answer(DISCOVERY, 200, with(&metadata(site), fields));
    site.answer("/keys", 200, json!({ "keys": [jwk(SEED, "ed")] }));
}

fn answer_token(site: &Site, token: &str) {
    let answer = json!({ "access_token": "a", "token_type": "Bearer", "id_token": token });
    site.answer("/token", 200, answer);
}

async fn finish(providers: &Providers, now_ms: u64) -> Result<ExternalClaims, ProviderError> {
    let returned = Return {
        code: "code",
        nonce: "nonce",
        pkce_verifier: &"v".repeat(43),
        redirect_uri: REDIRECT,
    };
    providers.finish("acme", returned, now_ms).await
}

#[tokio::test]
async fn forged_id_tokens_are_refused() {
    let site = Site::start().await;
    publish(&site, &json!({}));
    let providers = providers(settings(&site.url(""), &json!({})));
    let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "ed" });
    let payload = json!({
        "iss": site.url(""), "aud": "motet", "sub": "ada", "nonce": "nonce",
        "iat": NOW_S, "exp": NOW_S + 60,
    });
    let good = forge(&header, &payload, &ed25519(SEED));
    answer_token(&site, &good);
    let claims = finish(&providers, NOW_MS).await.unwrap();
    assert_eq!(claims.subject, "ada", "the frame is right");
    assert_eq!(claims.email, None);

    let x = jwk(SEED, "ed")["x"].to_string();
    let headers: Vec<(Value, Sign)> = vec![
        (json!({ "alg": "none" }), unsigned()),
        (json!({ "alg": "HS256" }), hs256(SECRET.as_bytes())),
        (json!({ "alg": "HS256" }), hs256(x.as_bytes())),
        (json!({ "alg": "RS256" }), ed25519(SEED)),
        (json!({}), ed25519([8; 32])),
        (json!({}), unsigned()),
        (json!({ "kid": "other" }), ed25519(SEED)),
        (json!({ "jwk": jwk([8; 32], "ed") }), ed25519([8; 32])),
        (json!({ "crit": ["b64"], "b64": false }), ed25519(SEED)),
    ];
    let headers = headers
        .into_iter()
        .map(|(fields, sign)| forge(&with(&header, &fields), &payload, &sign));
    let payloads = [
        json!({ "iss": "https://other.example.com" }),
        json!({ "aud": "other" }),
        json!({ "aud": ["motet", "other"] }),
        json!({ "nonce": "other" }),
        json!({ "nonce": null }),
        json!({ "exp": NOW_S - 1 }),
        json!({ "exp": null }),
        json!({ "iat": NOW_S + 61 }),
        json!({ "sub": null }),
    ];
    let payloads = payloads.map(|fields| forge(&header, &with(&payload, &fields), &ed25519(SEED)));
    let signatures = tampered(&good, 2).into_iter().step_by(20);
    for token in headers.chain(payloads).chain(signatures) {
        answer_token(&site, &token);
        assert!(finish(&providers, NOW_MS).await.is_err(), "{token}");
    }
    site.answer(
        "/token",
        200,
        json!({ "access_token": "a", "token_type": "Bearer" }),
    );
    let none = finish(&providers, NOW_MS).await;
    assert!(matches!(none, Err(ProviderError::Invalid(_))), "{none:?}");

    // The provider's key changes.
    site.answer("/keys", 200, json!({ "keys": [jwk([8; 32], "new")] }));
    let header = json!({ "alg": "EdDSA", "kid": "new" });
    answer_token(&site, &forge(&header, &payload, &ed25519([8; 32])));
    assert!(finish(&providers, NOW_MS + RETRY_MS).await.is_ok());
}

#[tokio::test]
async fn an_address_counts_only_if_it_is_verified_and_of_the_same_person() {
    let site = Site::start().await;
    publish(&site, &json!({ "userinfo_endpoint": site.url("/me") }));
    let providers = providers(settings(&site.url(""), &json!({})));
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let payload = json!({
        "iss": site.url(""), "aud": "motet", "sub": "ada", "nonce": "nonce",
        "iat": NOW_S, "exp": NOW_S + 60,
    });
    let me = json!({ "sub": "ada", "name": "Ada", "email": "a@b.c", "email_verified": true });
    let here = json!({ "email": "a@b.c" });
    let nothing = json!({});
    let cases = [
        (&nothing, &me, Some("a@b.c")),
        (
            &nothing,
            &with(&me, &json!({ "email_verified": false })),
            None,
        ),
        (
            &nothing,
            &with(&me, &json!({ "email_verified": null })),
            None,
        ),
        (&nothing, &with(&me, &json!({ "sub": "eve" })), None),
        (&nothing, &with(&me, &json!({ "sub": null })), None),
        (&here, &json!("nonsense"), None),
        (
            &with(&here, &json!({ "email_verified": true })),
            &json!("nonsense"),
            Some("a@b.c"),
        ),
        // What one says of its own address proves nothing of the other's.
        (
            &with(&here, &json!({ "email_verified": false })),
            &with(
                &me,
                &json!({ "email": "other@b.c", "email_verified": false }),
            ),
            None,
        ),
    ];
    for (says, more, email) in cases {
        answer_token(
            &site,
            &forge(&header, &with(&payload, says), &ed25519(SEED)),
        );
        site.answer("/me", 200, more);
        let claims = finish(&providers, NOW_MS).await.unwrap();
        assert_eq!(claims.email.as_deref(), email, "{says} {more}");
        assert_eq!(claims.subject, "ada");
    }
}

#[tokio::test]
async fn a_provider_does_not_lead_inside() {
    let (site, inside) = (Site::start().await, Site::start().await);
    let elsewhere = [
        inside.url("/secret"),
        inside.url("/secret").replace("http:", "https:"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::1]/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
    ];
    for aim in elsewhere {
        for endpoint in [
            "jwks_uri",
            "token_endpoint",
            "userinfo_endpoint",
            "authorization_endpoint",
        ] {
            publish(&site, &json!({ endpoint: aim }));
            let providers = providers(settings(&site.url(""), &json!({})));
            let begun = providers.begin("acme", REDIRECT, NOW_MS).await;
            assert_eq!(begun, Err(ProviderError::Unavailable), "{endpoint} {aim}");
        }
    }
    let wrong = [
        (302, json!(inside.url("/secret"))),
        (
            200,
            with(
                &metadata(&site),
                &json!({ "issuer": "https://other.example.com" }),
            ),
        ),
        (200, json!({})),
        (500, metadata(&site)),
    ];
    for (status, says) in wrong {
        publish(&site, &json!({}));
        let says = says.as_str().map_or(says.to_string(), str::to_owned);
        site.answer(DISCOVERY, status, says);
        let providers = providers(settings(&site.url(""), &json!({})));
        let begun = providers.begin("acme", REDIRECT, NOW_MS).await;
        assert_eq!(begun, Err(ProviderError::Unavailable), "{status}");
    }
    assert_eq!(inside.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_endpoint_that_moves_is_not_followed() {
    let (site, inside) = (Site::start().await, Site::start().await);
    publish(&site, &json!({}));
    site.answer("/token", 307, inside.url("/secret"));
    let providers = providers(settings(&site.url(""), &json!({})));
    assert!(finish(&providers, NOW_MS).await.is_err());
    assert_eq!(inside.asked(), Vec::<String>::new(), "nobody gets the code");
}

#[test]
fn settings_say_what_is_wrong_and_keep_secrets() {
    let issuer = "https://id.example.com";
    let wrong = [
        (json!({ "id": "A b" }), "id must be"),
        (json!({ "id": "" }), "id must be"),
        (json!({ "name": " " }), "must not be empty"),
        (json!({ "client_id": "" }), "must not be empty"),
        (json!({ "client_secret": "" }), "must not be empty"),
        (
            json!({ "issuer": "http://id.example.com" }),
            "must be https",
        ),
        (json!({ "client_secret_file": "x" }), "not both"),
        (
            json!({ "client_secret": null, "client_secret_file": "/nowhere/x" }),
            "No such file",
        ),
    ];
    for (fields, expected) in wrong {
        let error = ProviderSettings::check_all(&[settings(issuer, &fields)]).unwrap_err();
        assert!(error.contains(expected), "{fields}: {error}");
    }
    let good = settings(issuer, &json!({}));
    assert_eq!(
        ProviderSettings::check_all(std::slice::from_ref(&good)),
        Ok(())
    );
    let shown = format!("{good:?} {}", serde_json::to_string(&good).unwrap());
    assert!(!shown.contains(SECRET), "{shown}");
    assert_eq!(good.scopes, ["email", "profile"]);
    let number = json!({ "id": "a", "name": "a", "issuer": issuer, "client_id": "a",
        "client_secret": 31_415_926 });
    let error = serde_json::from_value::<ProviderSettings>(number).unwrap_err();
    assert!(!error.to_string().contains("31415926"), "{error}");
    let twice = ProviderSettings::check_all(&[good.clone(), good]).unwrap_err();
    assert!(twice.contains("twice"), "{twice}");
}
