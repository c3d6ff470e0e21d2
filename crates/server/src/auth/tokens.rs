use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use motet_model::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entropy;

/// Who signs.
const ISSUER: &str = "motet";
/// PKCS #8 (RFC 8410) of an Ed25519 key, up to the 32 bytes of the key itself.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// Signs and verifies access tokens: JWTs (RFC 7519) with Ed25519 signatures.
pub struct Tokens {
    key_id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user_id: UserId,
    /// The name that others see.
    pub name: String,
    /// When its time is over.
    pub expires_at_ms: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is malformed, forged, another issuer's, or signed in another way.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once. Refresh it.
    #[error("the token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    name: String,
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// Takes the signing key from the folder `keys`, and makes both if they are not there.
    ///
    /// # Errors
    ///
    /// The folder or the key cannot be read or written.
    pub fn open(keys: &Path) -> io::Result<Self> {
        let path = keys.join("tokens.ed25519");
        let seed = match fs::read_to_string(&path) {
            Ok(text) => decode(&text).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{} is no key", path.display()),
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(keys, &path)?,
            Err(error) => return Err(error),
        };
        Ok(Self::from_seed(seed))
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let key_id = URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..9]);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The time is an argument here, and the library would ask the system.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            key_id,
            signing: EncodingKey::from_ed_der(&[PKCS8_PREFIX.as_slice(), &seed].concat()),
            verifying: DecodingKey::from_ed_der(&public),
            validation,
        }
    }

    /// A token for `user` that is valid for `lifetime_ms` from `now_ms`.
    ///
    /// # Panics
    ///
    /// Never: the key is of the right kind.
    #[must_use]
    pub fn sign(&self, user: UserId, name: &str, now_ms: u64, lifetime_ms: u64) -> (String, u64) {
        let expires_at_ms = (now_ms + lifetime_ms) / 1_000 * 1_000;
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: user.to_string(),
            name: name.to_owned(),
            iat: now_ms / 1_000,
            exp: expires_at_ms / 1_000,
        };
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &payload, &self.signing);
        (token.expect("an Ed25519 key signs"), expires_at_ms)
    }

    /// What the token says, if it is genuine and its time is not over.
    ///
    /// # Errors
    ///
    /// `Invalid`, `Expired`.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        let invalid = |_| TokenError::Invalid;
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        if header.kid.as_ref() != Some(&self.key_id) {
            return Err(TokenError::Invalid);
        }
        let decoded = jsonwebtoken::decode::<Payload>(token, &self.verifying, &self.validation);
        let Payload { sub, name, exp, .. } = decoded.map_err(invalid)?.claims;
        let user_id = sub.parse().map_err(|_| TokenError::Invalid)?;
        let expires_at_ms = exp.saturating_mul(1_000);
        if expires_at_ms <= now_ms {
            return Err(TokenError::Expired);
        }
        Ok(Claims {
            user_id,
            name,
            expires_at_ms,
        })
    }
}

fn decode(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text.trim()).ok()?.try_into().ok()
}

/// Only the server's own user may read a key.
fn make_key(keys: &Path, path: &PathBuf) -> io::Result<[u8; 32]> {
    use std::{
        io::Write,
        os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(keys)?;
    let seed = entropy::bytes::<32>();
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", URL_SAFE_NO_PAD.encode(seed))?;
    file.sync_all()?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn user() -> UserId {
        UserId::from_bytes([5; 16])
    }

    fn tokens() -> Tokens {
        Tokens::from_seed([7; 32])
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let (token, expires_at_ms) = tokens().sign(user(), "Ada", NOW_MS, HOUR_MS);
        let claims = Claims {
            user_id: user(),
            name: "Ada".to_owned(),
            expires_at_ms,
        };
        assert_eq!(tokens().verify(&token, NOW_MS), Ok(claims.clone()));
        assert_eq!(tokens().verify(&token, expires_at_ms - 1), Ok(claims));
        assert_eq!(
            tokens().verify(&token, expires_at_ms),
            Err(TokenError::Expired)
        );
    }

    /// A token with another header or payload, signed by `sign`.
    fn forge(header: &str, payload: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    #[test]
    fn forged_tokens_are_refused() {
        use ed25519_dalek::Signer;
        let tokens = tokens();
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = |input: &[u8]| key.sign(input).to_vec();
        let kid = &tokens.key_id;
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#);
        let payload = format!(
            r#"{{"iss":"motet","sub":"{}","name":"x","iat":0,"exp":2000000000}}"#,
            user()
        );
        assert!(
            tokens
                .verify(&forge(&header, &payload, good), NOW_MS)
                .is_ok(),
            "the frame is right"
        );

        let other = |input: &[u8]| SigningKey::from_bytes(&[8; 32]).sign(input).to_vec();
        let none = format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#);
        let hs256 = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#);
        let refused = [
            ("alg none", forge(&none, &payload, |_| Vec::new())),
            ("HS256", forge(&hs256, &payload, good)),
            ("another key", forge(&header, &payload, other)),
            (
                "another kid",
                forge(&header.replace(kid, "other"), &payload, good),
            ),
            (
                "another issuer",
                forge(&header, &payload.replace("motet", "other"), good),
            ),
            (
                "no subject",
                forge(&header, &payload.replace("sub", "bus"), good),
            ),
            (
                "no expiry",
                forge(&header, &payload.replace("exp", "pex"), good),
            ),
            ("nonsense", "a.b.c".to_owned()),
            ("nothing", String::new()),
        ];
        for (what, token) in refused {
            assert_eq!(
                tokens.verify(&token, NOW_MS),
                Err(TokenError::Invalid),
                "{what}"
            );
        }
        let (token, _) = tokens.sign(user(), "Ada", NOW_MS, HOUR_MS);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (head, _) = input.split_once('.').unwrap();
        let tampered = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(&payload));
        assert_eq!(
            tokens.verify(&tampered, NOW_MS),
            Err(TokenError::Invalid),
            "tampered"
        );
    }
}
