//! Public keys of others: from a JWK set (RFC 7517) or a PEM file.
//!
//! # Invariants
//!
//! **bound**: a key verifies the algorithms of its kind only, whatever a token's header says. No key is ever a
//! shared secret, so a public key never becomes one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, Document},
};

use super::super::cached::FetchError;

/// How tokens may be signed: with a private key.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const RSA: &[Algorithm] = ALGORITHMS.split_at(3).1;
/// RSA keys below 2048 bits can be broken, those above 4096 cost too much.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// More keys of one issuer are not looked at.
const KEYS_MAX: usize = 100;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key.
pub(super) struct VerifyingKey {
    /// Its name in tokens.
    pub(super) id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// Public keys of one issuer.
pub(super) struct KeySet(Vec<VerifyingKey>);

impl VerifyingKey {
    /// Whether it may verify such signatures.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// From `-----BEGIN PUBLIC KEY-----` (RFC 7468, RFC 5280).
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let (label, document) =
            Document::from_pem(pem).map_err(|_| "it is no PEM file of one public key")?;
        if label != "PUBLIC KEY" {
            return Err("it must begin with -----BEGIN PUBLIC KEY-----");
        }
        let broken = "its content is broken";
        let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|_| broken)?;
        let bits = info.subject_public_key.as_bytes().ok_or(broken)?;
        let curve = || info.algorithm.parameters_oid().ok();
        let (algorithms, decoding) = match info.algorithm.oid {
            RSA_ENCRYPTION => {
                let len = rsa_modulus_len(bits).ok_or(broken)?;
                if !RSA_MODULUS_BYTES.contains(&len) {
                    return Err("an RSA key must have 2048 to 4096 bits");
                }
                (RSA, DecodingKey::from_rsa_der(bits))
            }
            EC_PUBLIC_KEY if curve() == Some(P_256) => {
                (&[Algorithm::ES256][..], DecodingKey::from_ec_der(bits))
            }
            EC_PUBLIC_KEY if curve() == Some(P_384) => {
                (&[Algorithm::ES384][..], DecodingKey::from_ec_der(bits))
            }
            ED25519 if is_ed25519(bits) => {
                (&[Algorithm::EdDSA][..], DecodingKey::from_ed_der(bits))
            }
            _ => return Err("it must be an Ed25519, P-256, P-384 or RSA key"),
        };
        Ok(Self {
            id: None,
            algorithms: algorithms.to_vec(),
            decoding,
        })
    }

    /// None for a key that is not for signatures, or of no kind that is taken.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|r#use| *r#use == PublicKeyUse::Signature)
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) => {
                let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
                let len = modulus.iter().skip_while(|byte| **byte == 0).count();
                RSA_MODULUS_BYTES.contains(&len).then_some(RSA)?
            }
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) => {
                let fits = key.curve == EllipticCurve::Ed25519
                    && is_ed25519(&URL_SAFE_NO_PAD.decode(&key.x).ok()?);
                fits.then_some(&[Algorithm::EdDSA])?
            }
            _ => return None,
        };
        let says = common.key_algorithm.map(|says| says.to_string());
        let algorithms: Vec<_> = kind
            .iter()
            .copied()
            .filter(|algorithm| {
                says.as_ref()
                    .is_none_or(|says| *says == format!("{algorithm:?}"))
            })
            .collect();
        (for_signatures && !algorithms.is_empty()).then_some(Self {
            id: common.key_id.clone(),
            algorithms,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

impl KeySet {
    /// Reads a JWK set; keys that cannot be used are passed over, as RFC 7517 wants.
    ///
    /// # Errors
    ///
    /// `Malformed`: it is no JWK set.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, FetchError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json)
            .map_err(|error| FetchError::Malformed(format!("no JWK set: {error}")))?;
        let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| {
            let key: Jwk = serde_json::from_value(key).ok()?;
            VerifyingKey::from_jwk(&key)
        });
        Ok(Self(keys.collect()))
    }

    pub(super) fn of(key: VerifyingKey) -> Self {
        Self(vec![key])
    }

    /// The key that is meant by a token's `kid` and `alg`. A token without a `kid` means the only key that
    /// there can be.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut fitting = self.0.iter().filter(|key| {
            key.takes(algorithm) && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        });
        let found = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }
}

/// The library panics when it verifies with a key of another length.
fn is_ed25519(public: &[u8]) -> bool {
    let key = ed25519_dalek::VerifyingKey::try_from(public);
    key.is_ok_and(|key| !key.is_weak())
}

/// The length of `n` in an `RSAPublicKey` (RFC 8017), without leading zeros.
fn rsa_modulus_len(der: &[u8]) -> Option<usize> {
    use spki::der::{Reader, SliceReader, asn1::UintRef};
    let mut reader = SliceReader::new(der).ok()?;
    let modulus: UintRef<'_> = reader
        .sequence(|reader| {
            let modulus = UintRef::decode(reader)?;
            UintRef::decode(reader)?;
            Ok(modulus)
        })
        .ok()?;
    Some(modulus.as_bytes().len())
}
