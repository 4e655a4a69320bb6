//! The secrets of a log as files: its Ed25519 signing key and, in a hybrid log, its ML-DSA-44 one (PKCS#8
//! PEM, RFC 8410 and RFC 9881, which OpenSSL reads and writes as well), the ECDSA P-256 key that its
//! published heads are signed with, and the master key of its vault. All can be under a passphrase.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ml_dsa::MlDsa44;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::disk::{Disk, PRIVATE};
use crate::error::{Error, IoContext as _, Result};
use crate::seal::{KEY_LEN, Key, NONCE_LEN};

/// A passphrase, wiped from memory when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes over a passphrase.
    pub fn new(passphrase: String) -> Self {
        Self(Zeroizing::new(passphrase))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Bytes from the operating system's random number generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::from)
        .at(Path::new("the system's random number generator"), "draw from it")?;
    Ok(bytes)
}

/// Makes a signing key and writes its file.
pub(crate) fn create_signing_key(
    disk: &Disk,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<SigningKey> {
    let seed = Zeroizing::new(random::<KEY_LEN>()?);
    let key = SigningKey::from_bytes(&seed);
    // Without the public key, as RFC 8410 has it: OpenSSL refuses version 2 of PKCS#8.
    write_private_key(
        disk,
        path,
        &KeypairBytes { secret_key: *seed, public_key: None },
        passphrase,
    )?;
    Ok(key)
}

/// Makes a cosigning key and writes its file: the seed alone, from which all else follows.
pub(crate) fn create_cosigning_key(
    disk: &Disk,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<ml_dsa::SigningKey<MlDsa44>> {
    let mut seed = random::<KEY_LEN>()?.into();
    let key = ml_dsa::SigningKey::from_seed(&seed);
    seed.zeroize();
    write_private_key(disk, path, &key, passphrase)?;
    Ok(key)
}

fn write_private_key(
    disk: &Disk,
    path: &Path,
    key: &impl EncodePrivateKey,
    passphrase: Option<&Passphrase>,
) -> Result<()> {
    let pem = match passphrase {
        None => key.to_pkcs8_pem(LineEnding::LF),
        Some(passphrase) => key.to_pkcs8_encrypted_pem(passphrase.as_bytes(), LineEnding::LF),
    };
    let pem = pem.map_err(|e| Error::damaged(path, format!("the key cannot be encoded: {e}")))?;
    disk.create_new(path, pem.as_bytes(), PRIVATE)?;
    Ok(())
}

/// Reads a signing key.
pub(crate) fn read_signing_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<SigningKey> {
    read_private_key(path, passphrase, "not an Ed25519 private key in PKCS#8 PEM")
}

/// Reads a cosigning key.
pub(crate) fn read_cosigning_key(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<ml_dsa::SigningKey<MlDsa44>> {
    read_private_key(path, passphrase, "not an ML-DSA-44 private key, as its seed, in PKCS#8 PEM")
}

fn read_private_key<K: DecodePrivateKey>(
    path: &Path,
    passphrase: Option<&Passphrase>,
    otherwise: &'static str,
) -> Result<K> {
    let pem = read_secret(path)?;
    let not_one = || Error::damaged(path, otherwise);
    let pem = std::str::from_utf8(&pem).map_err(|_| not_one())?;
    if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        let passphrase = passphrase.ok_or_else(|| Error::PassphraseNeeded(path.to_owned()))?;
        K::from_pkcs8_encrypted_pem(pem, passphrase.as_bytes())
            .map_err(|_| Error::PassphraseWrong(path.to_owned()))
    } else {
        K::from_pkcs8_pem(pem).map_err(|_| not_one())
    }
}

/// Makes a publishing key and writes its file.
pub(crate) fn create_publishing_key(
    disk: &Disk,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<p256::SecretKey> {
    let key = loop {
        let scalar = Zeroizing::new(random::<KEY_LEN>()?);
        // One number in 2^32 is above the curve's order.
        if let Ok(key) = p256::SecretKey::from_slice(scalar.as_slice()) {
            break key;
        }
    };
    write_private_key(disk, path, &key, passphrase)?;
    Ok(key)
}

/// Reads a publishing key.
pub(crate) fn read_publishing_key(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<p256::SecretKey> {
    read_private_key(path, passphrase, "not an ECDSA P-256 private key in PKCS#8 PEM")
}

/// The file of the master key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MasterKeyFile {
    v: u32,
    /// The key in hex: plain, or sealed under the passphrase.
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrypt: Option<Scrypt>,
}

impl Drop for MasterKeyFile {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// How the passphrase becomes a key (RFC 7914).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
    salt: String,
}

/// Costs beyond these are refused: a file must not be able to exhaust the machine's memory.
const MAX_LOG_N: u8 = 20;

const MASTER_KEY_CONTEXT: &[u8] = b"rlhf-audit-trail/vault-key/v1";

/// Makes a master key and writes its file.
pub(crate) fn create_master_key(
    disk: &Disk,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Key> {
    let key = Key::new(Zeroizing::new(random()?));
    let file = match passphrase {
        None => MasterKeyFile { v: 1, key: hex::encode(key.as_bytes()), scrypt: None },
        Some(passphrase) => {
            let scrypt = Scrypt { log_n: 17, r: 8, p: 1, salt: hex::encode(random::<16>()?) };
            let wrapping = stretch(path, &scrypt, passphrase)?;
            let sealed = wrapping.seal(&random::<NONCE_LEN>()?, MASTER_KEY_CONTEXT, key.as_bytes());
            MasterKeyFile { v: 1, key: hex::encode(sealed), scrypt: Some(scrypt) }
        }
    };
    let json = serde_json::to_vec(&file).map(Zeroizing::new);
    let json = json.map_err(|_| Error::damaged(path, "the key cannot be encoded"))?;
    disk.create_new(path, &json, PRIVATE)?;
    Ok(key)
}

/// Reads a master key.
pub(crate) fn read_master_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<Key> {
    // Whatever the parser says is left out: it could quote the key.
    let not_one = || Error::damaged(path, "not a vault key written by this program");
    let file: MasterKeyFile = serde_json::from_slice(&read_secret(path)?).map_err(|_| not_one())?;
    if file.v != 1 {
        return Err(Error::damaged(path, "written by a later version of this program"));
    }
    let bytes = Zeroizing::new(hex::decode(&file.key).map_err(|_| not_one())?);
    match &file.scrypt {
        None => Key::from_slice(&bytes).ok_or_else(not_one),
        Some(scrypt) => {
            let passphrase = passphrase.ok_or_else(|| Error::PassphraseNeeded(path.to_owned()))?;
            let key = stretch(path, scrypt, passphrase)?.open(MASTER_KEY_CONTEXT, &bytes);
            let key = key.ok_or_else(|| Error::PassphraseWrong(path.to_owned()))?;
            Key::from_slice(&key).ok_or_else(not_one)
        }
    }
}

fn stretch(path: &Path, scrypt: &Scrypt, passphrase: &Passphrase) -> Result<Key> {
    let unusable = || Error::damaged(path, "the scrypt parameters are not usable");
    let salt = hex::decode(&scrypt.salt).map_err(|_| unusable())?;
    if scrypt.log_n > MAX_LOG_N || scrypt.r > 16 || scrypt.p > 4 {
        return Err(unusable());
    }
    let params = scrypt::Params::new(scrypt.log_n, scrypt.r, scrypt.p).map_err(|_| unusable())?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    scrypt::scrypt(passphrase.as_bytes(), &salt, &params, key.as_mut_slice())
        .map_err(|_| unusable())?;
    Ok(Key::new(key))
}

/// Reads a secret file, refusing one that others may read.
fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing(path.to_owned()));
        }
        opened => opened.at(path, "open the key")?,
    };
    let mode = file.metadata().at(path, "look at the key")?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyMode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.read_to_end(&mut bytes).at(path, "read the key")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn make_both(passphrase: Option<&str>) -> (tempfile::TempDir, SigningKey, Key) {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = passphrase.map(|p| Passphrase::new(p.to_owned()));
        let disk = Disk::default();
        let signing =
            create_signing_key(&disk, &dir.path().join("log.key"), passphrase.as_ref()).unwrap();
        let master =
            create_master_key(&disk, &dir.path().join("vault.key"), passphrase.as_ref()).unwrap();
        (dir, signing, master)
    }

    #[test]
    fn keys_survive_the_round_trip() {
        for passphrase in [None, Some("correct horse")] {
            let (dir, signing, master) = make_both(passphrase);
            let passphrase = passphrase.map(|p| Passphrase::new(p.to_owned()));
            let read = read_signing_key(&dir.path().join("log.key"), passphrase.as_ref()).unwrap();
            assert_eq!(read.to_bytes(), signing.to_bytes());
            let read = read_master_key(&dir.path().join("vault.key"), passphrase.as_ref()).unwrap();
            assert_eq!(read.as_bytes(), master.as_bytes());
        }
    }

    #[test]
    fn a_cosigning_key_survives_the_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        for passphrase in [None, Some(Passphrase::new("correct horse".into()))] {
            let path = dir.path().join(if passphrase.is_some() { "sealed" } else { "plain" });
            let made = create_cosigning_key(&Disk::default(), &path, passphrase.as_ref()).unwrap();
            assert!(made == read_cosigning_key(&path, passphrase.as_ref()).unwrap());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            // One kind of key does not pass for the other.
            let error = read_signing_key(&path, passphrase.as_ref()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. } | Error::PassphraseWrong(_)), "{error}");
        }
        let wrong = Passphrase::new("battery staple".into());
        let sealed = dir.path().join("sealed");
        assert!(matches!(read_cosigning_key(&sealed, None), Err(Error::PassphraseNeeded(_))));
        assert!(matches!(
            read_cosigning_key(&sealed, Some(&wrong)),
            Err(Error::PassphraseWrong(_))
        ));
    }

    #[test]
    fn a_missing_or_wrong_passphrase_is_said() {
        let (dir, ..) = make_both(Some("correct horse"));
        let wrong = Passphrase::new("battery staple".into());
        let (log, vault) = (dir.path().join("log.key"), dir.path().join("vault.key"));
        assert!(matches!(read_signing_key(&log, None), Err(Error::PassphraseNeeded(_))));
        assert!(matches!(read_signing_key(&log, Some(&wrong)), Err(Error::PassphraseWrong(_))));
        assert!(matches!(read_master_key(&vault, None), Err(Error::PassphraseNeeded(_))));
        assert!(matches!(read_master_key(&vault, Some(&wrong)), Err(Error::PassphraseWrong(_))));
    }

    #[test]
    fn key_files_are_the_owners_alone() {
        let (dir, ..) = make_both(None);
        for name in ["log.key", "vault.key"] {
            let path = dir.path().join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let error = read_signing_key(&dir.path().join("log.key"), None).unwrap_err();
        assert!(matches!(error, Error::KeyMode { mode: 0o640, .. }));
        assert!(error.to_string().contains("chmod 600"));
        assert!(read_master_key(&dir.path().join("vault.key"), None).is_err());
    }

    #[test]
    fn no_key_file_is_overwritten() {
        let (dir, ..) = make_both(None);
        assert!(create_signing_key(&Disk::default(), &dir.path().join("log.key"), None).is_err());
    }

    #[test]
    fn broken_key_files_are_refused_without_quoting_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for content in [
            "",
            "c2VjcmV0",
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n",
            r#"{"v":1,"key":"c2VjcmV0"}"#,
            r#"{"v":1,"key":"73656372"}"#,
            r#"{"v":9,"key":"73656372"}"#,
            r#"{"v":1,"key":"73656372","c2VjcmV0":1}"#,
            r#"{"v":1,"key":"73656372","scrypt":{"log_n":60,"r":8,"p":1,"salt":"00"}}"#,
        ] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let passphrase = Passphrase::new("p".into());
            for error in [
                read_signing_key(&path, Some(&passphrase)).unwrap_err(),
                read_cosigning_key(&path, Some(&passphrase)).map(drop).unwrap_err(),
                read_master_key(&path, Some(&passphrase)).unwrap_err(),
            ] {
                assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error:?}");
            }
        }
    }
}
