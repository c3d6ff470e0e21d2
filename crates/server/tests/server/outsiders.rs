//! People for whom others vouch: sign-in with a real OpenID Connect provider, and tokens of an application
//! that has its own users.

use std::path::Path;

use crate::support::{Account, Peer, Server, provider};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

fn configured(folder: &Path, toml: &str) -> Server {
    let file = folder.join("motet.toml");
    std::fs::write(&file, toml).unwrap();
    Server::start(folder, &["--config", file.to_str().unwrap()])
}

#[tokio::test]
async fn people_sign_in_with_a_provider() {
    let folder = TempDir::new().unwrap();
    let process = provider::Process::start();
    let mut server = configured(
        folder.path(),
        &format!(
            "[[providers]]\nid = \"acme\"\nname = \"Acme\"\nissuer = \"{}\"\nclient_id = \"motet\"\n\
             client_secret = \"a secret of the client\"\n",
            process.issuer
        ),
    );
    let post = |path: &str, body: Value| server.call("POST", path, None, Some(&body));
    let (_, offered) = server.call("GET", "/api/v1/auth/providers", None, None);
    let expected = json!({
        "providers": [{ "providerId": "acme", "name": "Acme" }], "registration": true,
    });
    assert_eq!(offered, expected);
    let begin = || post("/api/v1/auth/providers/acme/begin", json!({}));
    let finish = |code: &str, state: &str| {
        let body = json!({ "code": code, "state": state });
        post("/api/v1/auth/providers/acme/finish", body)
    };
    let mut seen = None;
    for _ in 0..2 {
        let (status, begun) = begin();
        assert_eq!(status, 200, "{begun}");
        let (secret, state) = provider::sign_in(begun["url"].as_str().unwrap(), "grace").await;
        assert_eq!(state, begun["state"].as_str().unwrap());
        let (status, answer) = finish(&secret, &state);
        assert_eq!(status, 200, "{answer}");
        let account = Account::of(&answer);
        let (_, me) = server.call("GET", "/api/v1/auth/validate", Some(&account.token), None);
        assert_eq!(
            (&me["name"], &me["email"]),
            (&json!("Grace"), &json!("grace@example.com"))
        );
        assert_eq!(me["hasPassword"], false);
        server.create(&account);
        let first = seen.get_or_insert(account.id.clone());
        assert_eq!(*first, account.id, "the same person, the same account");
        let (status, answer) = finish(&secret, &state);
        assert_eq!(
            (status, code(&answer)),
            (401, "sign_in_refused"),
            "it works once"
        );
    }

    // Whoever registered with an address need not be who the provider means.
    server.register("ada");
    let (_, begun) = begin();
    let (secret, state) = provider::sign_in(begun["url"].as_str().unwrap(), "ada").await;
    let (status, answer) = finish(&secret, &state);
    assert_eq!((status, code(&answer)), (409, "email_taken"));

    let (_, begun) = begin();
    let state = begun["state"].as_str().unwrap();
    let (status, answer) = finish("guess", state);
    assert_eq!((status, code(&answer)), (401, "sign_in_refused"));
    let (status, answer) = finish("guess", "guess");
    assert_eq!((status, code(&answer)), (401, "sign_in_refused"));
    let (status, _) = post("/api/v1/auth/providers/other/begin", json!({}));
    assert_eq!(status, 404);
    let other = "/api/v1/auth/providers/other/finish";
    let (status, _) = post(other, json!({ "code": "guess", "state": "guess" }));
    assert_eq!(status, 401);
    server.terminate();
    let listed = crate::support::motet(folder.path(), &["audit", "list", "--limit", "1000"]);
    let failed = |line: &&str| line.contains("account.sign_in_failed");
    let failed: Vec<_> = listed.lines().filter(failed).collect();
    for reason in ["too_late", "email_taken", "refused"] {
        let is_told = |line: &&str| line.contains("provider acme") && line.contains(reason);
        assert!(failed.iter().any(is_told), "{reason}: {listed}");
    }
    assert!(!listed.contains("provider other"), "{listed}");
}

/// An application with users of its own.
struct Application(SigningKey);

impl Application {
    /// In PEM (RFC 8410).
    fn public_key(&self) -> String {
        let algorithm = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let key = [algorithm.as_slice(), self.0.verifying_key().as_bytes()].concat();
        let key = STANDARD.encode(key);
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    }

    fn token(&self, claims: &Value) -> String {
        use ed25519_dalek::Signer;
        let header = r#"{"alg":"EdDSA","typ":"JWT"}"#;
        let mut payload = json!({
            "iss": "https://app.example.com", "aud": "motet", "exp": 4_000_000_000_u64,
        });
        let claims = claims.as_object().unwrap().clone();
        payload.as_object_mut().unwrap().extend(claims);
        let [header, payload] =
            [header.to_owned(), payload.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let input = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(input.as_bytes()).to_bytes());
        format!("{input}.{signature}")
    }
}

/// A server that takes the application's tokens, all for one organization.
fn with_issuer(folder: &Path, application: &Application) -> Server {
    let key = folder.join("app.pem");
    std::fs::write(&key, application.public_key()).unwrap();
    let issuer = format!(
        "[[issuers]]\nissuer = \"https://app.example.com\"\naudience = \"motet\"\n\
         public_key = \"{}\"\n",
        key.display()
    );
    configured(folder, &issuer)
}

#[tokio::test]
async fn an_application_brings_its_own_users() {
    let folder = TempDir::new().unwrap();
    let application = Application(SigningKey::from_bytes(&[9; 32]));
    let key = folder.path().join("app.pem");
    std::fs::write(&key, application.public_key()).unwrap();
    let server = configured(
        folder.path(),
        &format!(
            "[[issuers]]\nissuer = \"https://app.example.com\"\naudience = \"motet\"\n\
             public_key = \"{}\"\nclaims = {{ organization = \"tenant\" }}\n",
            key.display()
        ),
    );
    let user = |subject: &str, tenant: &str| {
        let claims = json!({ "sub": subject, "name": subject, "tenant": tenant });
        let token = application.token(&claims);
        let (status, me) = server.call("GET", "/api/v1/auth/validate", Some(&token), None);
        assert_eq!(status, 200, "{me}");
        let id = me["userId"].as_str().unwrap().to_owned();
        let refresh = String::new();
        (Account { id, token, refresh }, me)
    };
    let (ann, me) = user("ann", "Red");
    assert_eq!(
        (&me["name"], &me["organizationName"]),
        (&json!("ann"), &json!("Red"))
    );
    assert_eq!(user("ann", "Red").0.id, ann.id);
    let (bea, _) = user("bea", "Red");
    let (cid, me) = user("cid", "Main");
    let default = server.register("ada");
    assert_ne!(
        me["organizationId"], default.id,
        "a name that is claimed is not believed"
    );

    let document = server.create(&ann);
    let grants = format!("/api/v1/documents/{document}/grants");
    let share = |with: &Account| {
        let body = json!({ "userId": with.id, "role": "editor" });
        server
            .call("POST", &grants, Some(&ann.token), Some(&body))
            .0
    };
    assert_eq!((share(&bea), share(&cid), share(&default)), (201, 404, 404));
    let (mut client, state) = server.join(&bea, &document, "b").await;
    assert_eq!(state["role"], "editor");
    client.submit(1, 0, json!([{ "insert": "Hi" }])).await;
    client.expect("ack").await;

    let moved = application.token(&json!({ "sub": "ann", "tenant": "Blue" }));
    let (status, _) = server.call("GET", "/api/v1/documents", Some(&moved), None);
    assert_eq!(status, 401, "an account does not change its organization");
    let stranger = Application(SigningKey::from_bytes(&[8; 32]));
    let forged = stranger.token(&json!({ "sub": "ann", "tenant": "Red" }));
    let (status, _) = server.call("GET", "/api/v1/documents", Some(&forged), None);
    assert_eq!(status, 401);
}

/// Tokens that may be from before the account's sign-ins were ended have to say that they are not.
#[test]
fn what_was_issued_before_sign_ins_were_ended_is_void() {
    let folder = TempDir::new().unwrap();
    let application = Application(SigningKey::from_bytes(&[9; 32]));
    let server = with_issuer(folder.path(), &application);
    let now_s = || {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        since.as_secs()
    };
    let ask = |fields: Value| {
        let mut claims = json!({ "sub": "ann", "email": "ann@example.com" });
        let fields = fields.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(fields);
        let token = application.token(&claims);
        let (status, answer) = server.call("GET", "/api/v1/auth/validate", Some(&token), None);
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        (status, message.to_owned())
    };
    let before = now_s();
    for fields in [
        json!({}),
        json!({ "iat": before }),
        json!({ "nbf": before }),
    ] {
        assert_eq!(ask(fields).0, 200);
    }
    for act in ["disable", "enable"] {
        crate::support::motet(folder.path(), &["user", act, "ann@example.com"]);
    }
    assert_eq!(ask(json!({ "iat": before })).0, 401);
    assert_eq!(ask(json!({ "nbf": before })).0, 401);
    let (status, message) = ask(json!({}));
    assert!(status == 401 && message.contains("add iat"), "{message}");
    // What is ahead of the server's clock by less than the leeway is taken.
    let after = now_s() + 2;
    assert_eq!(ask(json!({ "iat": after })).0, 200);
    assert_eq!(ask(json!({ "nbf": after })).0, 200);
    assert_eq!(ask(json!({ "iat": before, "nbf": after })).0, 401);
}

#[test]
fn nobody_looks_like_another_by_what_an_issuer_calls_them() {
    let folder = TempDir::new().unwrap();
    let application = Application(SigningKey::from_bytes(&[9; 32]));
    let server = with_issuer(folder.path(), &application);
    for (number, (claims, name)) in [
        (json!({ "name": "\u{202e}adA\u{202c}" }), "adA"),
        (json!({ "name": "x".repeat(300) }), &"x".repeat(200)),
        (
            json!({ "name": "\u{2067}", "email": "eve@example.com" }),
            "eve",
        ),
        (json!({ "email": "\u{202e}ada@example.com" }), "Somebody"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut claims = claims;
        claims["sub"] = json!(number);
        let token = application.token(&claims);
        let (status, me) = server.call("GET", "/api/v1/auth/validate", Some(&token), None);
        assert_eq!(status, 200, "{me}");
        assert_eq!(me["name"], name);
    }
}
