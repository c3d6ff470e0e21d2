//! The server's own signing keys: Ed25519, kept in the catalog, so that every node has the same.
//!
//! A key signs from a time on; the first one from 0. Its name, the `kid`, comes from its public key. Data
//! directories from before had a file for each, `keys/tokens-STARTS.ed25519`, and are read once.
//!
//! # Invariants
//!
//! **one signs**: of the keys that have started the newest, or where none has, the one that starts first.
//! All verify, also those that have not started: whoever caches the public keys has time to learn of a key
//! before the first token that it signs.

use std::{fs, io, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use motet_catalog::{Actor, Catalog, CatalogError, SigningKey as Stored};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::entropy;

/// PKCS #8 (RFC 8410) of an Ed25519 key, up to the 32 bytes of the key itself.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];
/// A key file holds 43 characters and the end of the line.
const FILE_BYTES_MAX: u64 = 128;

/// One key.
pub(crate) struct Key {
    /// Its name in tokens, from the public key.
    pub(crate) id: String,
    /// When it begins to sign.
    pub(crate) starts_ms: u64,
    public: [u8; 32],
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
}

/// The keys as they were when they were read, the one that starts first in front.
pub(crate) struct Keys(Vec<Key>);

/// Why the keys cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is none of this name.
    #[error("there is no key {0}")]
    Unknown(String),
    /// It signs.
    #[error("the key {0} signs new tokens: rotate first, and remove it when another signs")]
    Signs(String),
    /// Another key starts in the same ms.
    #[error("another key starts at the same time")]
    Taken,
    /// Those of a data directory from before cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The public keys as others take them: a JWK set (RFC 7517, RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicKeys {
    keys: Vec<PublicKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    r#use: &'static str,
    alg: &'static str,
    kid: String,
    x: String,
}

impl Key {
    fn new(&Stored { starts_ms, seed }: &Stored) -> Self {
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        Self {
            id: URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..9]),
            starts_ms,
            public,
            signing: EncodingKey::from_ed_der(&[PKCS8_PREFIX.as_slice(), &seed].concat()),
            verifying: DecodingKey::from_ed_der(&public),
        }
    }
}

impl Keys {
    /// Reads the keys; if there are none at all, makes the first, or takes those of the `folder` where they
    /// were kept before.
    ///
    /// # Errors
    ///
    /// `Io`, `Catalog`.
    pub(crate) async fn open(catalog: &Catalog, folder: &Path) -> Result<Self, KeysError> {
        if let Some(keys) = Self::read(catalog).await? {
            return Ok(keys);
        }
        let mut first = in_folder(folder)?;
        if first.is_empty() {
            first.push(fresh(0));
        }
        catalog.add_first_signing_keys(&first).await?;
        let keys = Self::read(catalog).await?;
        Ok(keys.expect("keys were added, and the one that signs is not removed"))
    }

    /// Reads the keys as they are now, if there are any.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(super) async fn read(catalog: &Catalog) -> Result<Option<Self>, CatalogError> {
        let stored = catalog.signing_keys().await?;
        Ok((!stored.is_empty()).then(|| Self(stored.iter().map(Key::new).collect())))
    }

    #[cfg(test)]
    pub(super) fn from_seeds(seeds: &[([u8; 32], u64)]) -> Self {
        let key = |&(seed, starts_ms): &_| Key::new(&Stored { starts_ms, seed });
        Self(seeds.iter().map(key).collect())
    }

    /// The key that signs at `now_ms`.
    pub(crate) fn signing(&self, now_ms: u64) -> &Key {
        let started = self.0.iter().rev().find(|key| key.starts_ms <= now_ms);
        started.unwrap_or(&self.0[0])
    }

    /// The key of this name.
    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// All keys, the one that starts first in front.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// All public keys.
    pub(super) fn public(&self) -> PublicKeys {
        let public = |key: &Key| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            r#use: "sig",
            alg: "EdDSA",
            kid: key.id.clone(),
            x: URL_SAFE_NO_PAD.encode(key.public),
        };
        PublicKeys {
            keys: self.iter().map(public).collect(),
        }
    }
}

/// Adds a key that signs from `starts_ms` on; returns its name.
///
/// # Errors
///
/// `Taken`, `Catalog`.
pub(crate) async fn rotate(
    catalog: &Catalog,
    actor: &Actor,
    starts_ms: u64,
) -> Result<String, KeysError> {
    let stored = fresh(starts_ms);
    let id = Key::new(&stored).id;
    if !catalog.add_signing_key(actor, &stored, &id).await? {
        return Err(KeysError::Taken);
    }
    Ok(id)
}

/// Removes the key `id`: nothing that it signed is valid any more.
///
/// # Errors
///
/// `Unknown`, `Signs`, `Catalog`.
pub(crate) async fn remove(
    catalog: &Catalog,
    actor: &Actor,
    id: &str,
    now_ms: u64,
) -> Result<(), KeysError> {
    let keys = Keys::read(catalog).await?;
    let unknown = || KeysError::Unknown(id.to_owned());
    let keys = keys.ok_or_else(unknown)?;
    let key = keys.get(id).ok_or_else(unknown)?;
    if keys.signing(now_ms).id == id {
        return Err(KeysError::Signs(id.to_owned()));
    }
    Ok(catalog.remove_signing_key(actor, key.starts_ms, id).await?)
}

fn fresh(starts_ms: u64) -> Stored {
    let seed = entropy::bytes();
    Stored { starts_ms, seed }
}

/// The keys in a folder of a data directory from before; none if there is no folder.
fn in_folder(folder: &Path) -> io::Result<Vec<Stored>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(starts_ms) = name.and_then(starts_ms) {
            let seed = read_seed(&path)?;
            keys.push(Stored { starts_ms, seed });
        }
    }
    Ok(keys)
}

/// When the key in the file of this name starts; none if it is no key's name.
fn starts_ms(name: &str) -> Option<u64> {
    match name.strip_prefix("tokens")?.strip_suffix(".ed25519")? {
        "" => Some(0),
        starts => starts.strip_prefix('-')?.parse().ok(),
    }
}

fn read_seed(path: &Path) -> io::Result<[u8; 32]> {
    use io::Read;
    let mut text = String::new();
    fs::File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    let seed = URL_SAFE_NO_PAD.decode(text.trim()).ok();
    seed.and_then(|seed| seed.try_into().ok()).ok_or_else(|| {
        let what = format!("{} is no key", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn ids(keys: &Keys) -> Vec<String> {
        keys.iter().map(|key| key.id.clone()).collect()
    }

    fn operator() -> Actor {
        Actor {
            user: None,
            organization: motet_model::OrganizationId::DEFAULT,
            address: String::new(),
            nonce: [0; 16],
            at_ms: NOW_MS,
        }
    }

    /// An empty data directory and its catalog.
    async fn catalog() -> (TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        (folder, catalog)
    }

    #[tokio::test]
    async fn one_signs() {
        let (folder, catalog) = catalog().await;
        let keys = Keys::open(&catalog, folder.path()).await.unwrap();
        let first = keys.signing(0).id.clone();
        let second = rotate(&catalog, &operator(), NOW_MS).await.unwrap();
        let keys = Keys::open(&catalog, folder.path()).await.unwrap();
        assert_eq!(ids(&keys), [first.clone(), second.clone()]);
        assert_eq!(keys.signing(NOW_MS - 1).id, first);
        assert_eq!(keys.signing(NOW_MS).id, second);
        assert_ne!(first, second);
        let again = rotate(&catalog, &operator(), NOW_MS).await;
        assert!(matches!(again, Err(KeysError::Taken)));

        remove(&catalog, &operator(), &first, NOW_MS).await.unwrap();
        let alone = Keys::open(&catalog, folder.path()).await.unwrap();
        assert_eq!(alone.signing(0).id, second, "one signs in any case");
    }

    #[tokio::test]
    async fn the_key_that_signs_is_not_removed() {
        let (folder, catalog) = catalog().await;
        let keys = Keys::open(&catalog, folder.path()).await.unwrap();
        let first = keys.signing(0).id.clone();
        let second = rotate(&catalog, &operator(), NOW_MS).await.unwrap();
        let removing = [(&first, NOW_MS - 1), (&second, NOW_MS)];
        for (signing, now_ms) in removing {
            let refused = remove(&catalog, &operator(), signing, now_ms).await;
            assert!(matches!(refused, Err(KeysError::Signs(_))));
        }
        let refused = remove(&catalog, &operator(), "other", NOW_MS).await;
        assert!(matches!(refused, Err(KeysError::Unknown(_))));
        let keys = Keys::open(&catalog, folder.path()).await.unwrap();
        assert_eq!(ids(&keys), [first, second]);
    }

    #[tokio::test]
    async fn nodes_that_start_at_once_have_the_same_keys() {
        let (folder, catalog) = catalog().await;
        let open = || Keys::open(&catalog, folder.path());
        let (a, b, c) = tokio::join!(open(), open(), open());
        let all = [a.unwrap(), b.unwrap(), c.unwrap()].map(|keys| ids(&keys));
        assert_eq!(all[0].len(), 1);
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
    }

    #[tokio::test]
    async fn keys_in_files_are_taken_over_once() {
        let (folder, catalog) = catalog().await;
        let folder = folder.path().join("keys");
        fs::create_dir(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("tokens.ed25519", &URL_SAFE_NO_PAD.encode([1; 32]));
        write("tokens-7.ed25519", &URL_SAFE_NO_PAD.encode([2; 32]));
        for name in [".a.unfinished", "tokens-x.ed25519", "tokens-8.ed25519~"] {
            write(name, "not a key");
        }
        let keys = Keys::open(&catalog, &folder).await.unwrap();
        assert_eq!(
            ids(&keys),
            ids(&Keys::from_seeds(&[([1; 32], 0), ([2; 32], 7)]))
        );
        // What the folder holds from here on does not count.
        write("tokens-9.ed25519", "not a key");
        let again = Keys::open(&catalog, &folder).await.unwrap();
        assert_eq!(ids(&again), ids(&keys));
    }

    #[tokio::test]
    async fn a_broken_key_in_a_file_is_not_passed_over() {
        let (folder, catalog) = catalog().await;
        fs::write(folder.path().join("tokens-7.ed25519"), "not a key").unwrap();
        let Err(KeysError::Io(error)) = Keys::open(&catalog, folder.path()).await else {
            panic!("it was opened");
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
