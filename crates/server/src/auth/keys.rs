//! The server's own signing keys: Ed25519, each a file in the data directory's folder `keys`.
//!
//! A file is `tokens-STARTS.ed25519`, where `STARTS` is the time from which the key signs, in ms since the
//! Unix epoch; `tokens.ed25519` is the first key of a data directory and starts at 0. It holds the 32 bytes
//! of the private key (RFC 8032) in URL-safe base 64. The name of a key, its `kid`, comes from its public key.
//!
//! # Invariants
//!
//! **one signs**: of the keys that have started the newest, or where none has, the one that starts first.
//! All verify, also those that have not started: whoever caches the public keys has time to learn of a key
//! before the first token that it signs.
//!
//! **whole**: a key file appears with all its content, synced, or not at all.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
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
    path: PathBuf,
    public: [u8; 32],
    pub(super) signing: EncodingKey,
    pub(super) verifying: DecodingKey,
}

/// The keys of a folder as it was when it was read, the one that starts first in front.
pub(crate) struct Keys(Vec<Key>);

/// Why a key is not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    /// There is none of this name.
    #[error("there is no key {0}")]
    Unknown(String),
    /// It signs.
    #[error("the key {0} signs new tokens: rotate first, and remove it when another signs")]
    Signs(String),
    /// Its file cannot be removed.
    #[error(transparent)]
    Io(#[from] io::Error),
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
    fn from_seed(seed: [u8; 32], starts_ms: u64, path: PathBuf) -> Self {
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        Self {
            id: URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..9]),
            starts_ms,
            path,
            public,
            signing: EncodingKey::from_ed_der(&[PKCS8_PREFIX.as_slice(), &seed].concat()),
            verifying: DecodingKey::from_ed_der(&public),
        }
    }
}

impl Keys {
    /// Reads the folder, and makes it with a first key if there is none.
    ///
    /// # Errors
    ///
    /// The folder or a key cannot be read or written, or a key's file holds something else.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        match Self::read(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match write(folder, 0) {
                    // Another process was first.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    written => written?,
                }
                Self::read(folder)
            }
            read => read,
        }
    }

    /// Reads the folder as it is now.
    ///
    /// # Errors
    ///
    /// As for [`Keys::open`]; `NotFound` if there is no folder or no key in it.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(starts_ms) = name.and_then(starts_ms) {
                keys.push(read_key(path, starts_ms)?);
            }
        }
        if keys.is_empty() {
            let what = format!("there is no key in {}", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        keys.sort_by(|a, b| (a.starts_ms, &a.id).cmp(&(b.starts_ms, &b.id)));
        Ok(Self(keys))
    }

    #[cfg(test)]
    pub(super) fn from_seeds(seeds: &[([u8; 32], u64)]) -> Self {
        let key = |&(seed, starts_ms): &_| Key::from_seed(seed, starts_ms, PathBuf::new());
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

/// Adds a key to the folder that signs from `starts_ms` on; returns its name.
///
/// # Errors
///
/// The folder cannot be read or written; `AlreadyExists` if another key starts at the same ms.
pub(crate) fn rotate(folder: &Path, starts_ms: u64) -> io::Result<String> {
    write(folder, starts_ms)?;
    Ok(read_key(folder.join(file_name(starts_ms)), starts_ms)?.id)
}

/// Removes the key `id` from the folder: nothing that it signed is valid any more.
///
/// # Errors
///
/// `Unknown`, `Signs`, `Io`.
pub(crate) fn remove(folder: &Path, id: &str, now_ms: u64) -> Result<(), RemoveError> {
    let keys = Keys::read(folder)?;
    let key = keys.get(id);
    let key = key.ok_or_else(|| RemoveError::Unknown(id.to_owned()))?;
    if keys.signing(now_ms).id == id {
        return Err(RemoveError::Signs(id.to_owned()));
    }
    fs::remove_file(&key.path)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

fn file_name(starts_ms: u64) -> String {
    match starts_ms {
        0 => "tokens.ed25519".to_owned(),
        _ => format!("tokens-{starts_ms}.ed25519"),
    }
}

/// When the key in the file of this name starts; none if it is no key's name.
fn starts_ms(name: &str) -> Option<u64> {
    match name.strip_prefix("tokens")?.strip_suffix(".ed25519")? {
        "" => Some(0),
        starts => starts.strip_prefix('-')?.parse().ok(),
    }
}

fn read_key(path: PathBuf, starts_ms: u64) -> io::Result<Key> {
    use io::Read;
    let mut text = String::new();
    fs::File::open(&path)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    let seed = URL_SAFE_NO_PAD.decode(text.trim()).ok();
    let seed = seed.and_then(|seed| seed.try_into().ok()).ok_or_else(|| {
        let what = format!("{} is no key", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(Key::from_seed(seed, starts_ms, path))
}

/// Makes a key in the folder, and the folder. Only the server's own user may read either.
fn write(folder: &Path, starts_ms: u64) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let unfinished = folder.join(format!(".{}.unfinished", entropy::token::<9>()));
    let written = write_as(&unfinished, &folder.join(file_name(starts_ms)));
    let removed = fs::remove_file(&unfinished);
    written?;
    removed?;
    fs::File::open(folder)?.sync_all()
}

fn write_as(unfinished: &Path, path: &Path) -> io::Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(unfinished)?;
    writeln!(file, "{}", URL_SAFE_NO_PAD.encode(entropy::bytes::<32>()))?;
    file.sync_all()?;
    // Unlike a rename, a link never takes the place of a key that is there.
    fs::hard_link(unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn ids(keys: &Keys) -> Vec<String> {
        keys.iter().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn one_signs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let first = Keys::open(&folder).unwrap().signing(0).id.clone();
        let second = rotate(&folder, NOW_MS).unwrap();
        let keys = Keys::open(&folder).unwrap();
        assert_eq!(ids(&keys), [first.clone(), second.clone()]);
        assert_eq!(keys.signing(NOW_MS - 1).id, first);
        assert_eq!(keys.signing(NOW_MS).id, second);
        assert_ne!(first, second);

        fs::remove_file(folder.join("tokens.ed25519")).unwrap();
        let alone = Keys::open(&folder).unwrap();
        assert_eq!(alone.signing(0).id, second, "one signs in any case");
    }

    #[test]
    fn the_key_that_signs_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let first = Keys::open(folder).unwrap().signing(0).id.clone();
        let second = rotate(folder, NOW_MS).unwrap();
        let refused = remove(folder, &first, NOW_MS - 1);
        assert!(matches!(refused, Err(RemoveError::Signs(_))));
        let refused = remove(folder, &second, NOW_MS);
        assert!(matches!(refused, Err(RemoveError::Signs(_))));
        let refused = remove(folder, "other", NOW_MS);
        assert!(matches!(refused, Err(RemoveError::Unknown(_))));
        remove(folder, &first, NOW_MS).unwrap();
        assert_eq!(ids(&Keys::open(folder).unwrap()), [second]);
    }

    #[test]
    fn whole_and_only_for_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        Keys::open(&folder).unwrap();
        rotate(&folder, NOW_MS).unwrap();
        let again = rotate(&folder, NOW_MS).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 2, "nothing unfinished stays: {files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let keys = ids(&Keys::open(folder).unwrap());
        for name in [".a.unfinished", "tokens-x.ed25519", "tokens-7.ed25519~"] {
            fs::write(folder.join(name), "not a key").unwrap();
        }
        assert_eq!(ids(&Keys::open(folder).unwrap()), keys);
        fs::write(folder.join("tokens-7.ed25519"), "not a key").unwrap();
        let Err(error) = Keys::open(folder) else {
            panic!("a broken key is not passed over");
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
