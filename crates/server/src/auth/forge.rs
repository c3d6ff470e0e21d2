//! Tokens that nobody's library would make, for tests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What makes a signature of what it gets.
pub(super) type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A token with this header and payload, signed by `sign`.
pub(super) fn forge(header: &Value, payload: &Value, sign: &Sign) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// Signs as the Ed25519 key of this seed.
pub(super) fn ed25519(seed: [u8; 32]) -> Sign {
    Box::new(move |input| SigningKey::from_bytes(&seed).sign(input).to_vec())
}

/// Does not sign.
pub(super) fn unsigned() -> Sign {
    Box::new(|_| Vec::new())
}

/// HMAC with SHA-256 (RFC 2104) under a key that the server takes for a public one.
pub(super) fn hs256(secret: &[u8]) -> Sign {
    let mut key = [0; 64];
    match secret.len() {
        0..=64 => key[..secret.len()].copy_from_slice(secret),
        _ => key[..32].copy_from_slice(&Sha256::digest(secret)),
    }
    Box::new(move |input| {
        let inner = Sha256::new()
            .chain_update(key.map(|byte| byte ^ 0x36))
            .chain_update(input)
            .finalize();
        Sha256::new()
            .chain_update(key.map(|byte| byte ^ 0x5c))
            .chain_update(inner)
            .finalize()
            .to_vec()
    })
}

/// The same object with these fields in place of its own; null removes one.
pub(super) fn with(object: &Value, fields: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    object.into()
}

/// Every token that differs from `token` in one character of the part `part`.
pub(super) fn tampered(token: &str, part: usize) -> Vec<String> {
    let start = token.split('.').take(part).map(|part| part.len() + 1).sum();
    let len = token.split('.').nth(part).unwrap().len();
    (start..start + len)
        .map(|at| {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            format!("{}{other}{}", &token[..at], &token[at + 1..])
        })
        .collect()
}
