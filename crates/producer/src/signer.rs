//! Who signs the heads: a key in a file today, a key management service behind the same trait later.

use std::fmt;
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};
use trail::checkpoint::Checkpoint;
use trail::note::{KeyKind, Note, SignatureLine, VerifierKey};

use crate::cosigner::Cosigner;
use crate::error::{Error, Result};
use crate::keys::{self, Passphrase};

/// Holds an Ed25519 key and signs with it.
pub trait Signer: fmt::Debug + Send {
    /// The key's name: the log's origin.
    fn name(&self) -> &str;

    /// The public key.
    fn public_key(&self) -> [u8; 32];

    /// Signs a message.
    ///
    /// # Errors
    /// The key cannot be used now: [`Error::Signer`].
    fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;
}

/// A signing key read from a file.
pub struct FileSigner {
    name: String,
    key: SigningKey,
}

impl FileSigner {
    /// Reads a PKCS#8 PEM file, which nobody but the owner may be able to read.
    ///
    /// # Errors
    /// The file is missing, readable by others, no such key, or under another passphrase.
    pub fn open(path: &Path, name: &str, passphrase: Option<&Passphrase>) -> Result<Self> {
        Ok(Self::new(name, keys::read_signing_key(path, passphrase)?))
    }

    pub(crate) fn new(name: &str, key: SigningKey) -> Self {
        Self { name: name.to_owned(), key }
    }
}

impl Signer for FileSigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSigner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All that sign a log's heads: its own key and, in a hybrid log, a second one.
#[derive(Debug)]
pub(crate) struct Signers {
    pub first: Box<dyn Signer>,
    pub second: Option<Cosigner>,
}

/// The verifier keys that belong to [`Signers`].
#[derive(Clone, Debug)]
pub(crate) struct LogKeys {
    pub own: VerifierKey,
    pub second: Option<VerifierKey>,
}

impl LogKeys {
    pub fn iter(&self) -> impl Iterator<Item = &VerifierKey> {
        std::iter::once(&self.own).chain(&self.second)
    }
}

impl Signers {
    /// Their verifier keys.
    pub fn keys(&self) -> Result<LogKeys> {
        let second = self.second.as_ref().map(|cosigner| cosigner.vkey().clone());
        Ok(LogKeys { own: verifier_key(&*self.first)?, second })
    }

    /// Signs a head, at a POSIX time in seconds.
    pub fn sign(&self, head: &Checkpoint, time: u64) -> Result<Note> {
        let mut note = sign_note(&*self.first, head.to_string())?;
        if let Some(cosigner) = &self.second {
            note.signatures.push(cosigner.cosign(head, time)?);
            check(&note, cosigner.vkey())?;
        }
        Ok(note)
    }
}

/// The verifier key that belongs to a signer.
pub(crate) fn verifier_key(signer: &dyn Signer) -> Result<VerifierKey> {
    VerifierKey::new(signer.name(), KeyKind::Ed25519, &signer.public_key())
        .map_err(|e| Error::Signer(e.to_string()))
}

/// Signs a text as a note.
fn sign_note(signer: &dyn Signer, text: String) -> Result<Note> {
    let key = verifier_key(signer)?;
    let signature = signer.sign(text.as_bytes())?.to_vec();
    let line = SignatureLine { name: key.name().to_owned(), key_id: key.id(), signature };
    let note = Note { text, signatures: vec![line] };
    check(&note, &key)?;
    Ok(note)
}

/// A faulty key store must not get to publish a head that nobody can verify.
fn check(note: &Note, key: &VerifierKey) -> Result<()> {
    match note.verify(key) {
        Ok(Some(_)) => Ok(()),
        _ => Err(Error::Signer("the signature made does not verify under its own key".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_note_verifies_and_debug_shows_no_key() {
        let signer = FileSigner::new("example.org/log", SigningKey::from_bytes(&[7; 32]));
        let note = sign_note(&signer, "example.org/log\n0\n".into()).unwrap();
        let key = verifier_key(&signer).unwrap();
        assert!(Note::parse(&note.to_string()).unwrap().verify(&key).unwrap().is_some());
        assert_eq!(format!("{signer:?}"), r#"FileSigner { name: "example.org/log", .. }"#);
    }

    #[test]
    fn a_signer_that_signs_something_else_is_caught() {
        #[derive(Debug)]
        struct Faulty(FileSigner);
        impl Signer for Faulty {
            fn name(&self) -> &str {
                self.0.name()
            }
            fn public_key(&self) -> [u8; 32] {
                self.0.public_key()
            }
            fn sign(&self, _: &[u8]) -> Result<[u8; 64]> {
                self.0.sign(b"something else")
            }
        }
        let faulty = Faulty(FileSigner::new("o", SigningKey::from_bytes(&[7; 32])));
        assert!(matches!(sign_note(&faulty, "o\n0\n".into()), Err(Error::Signer(_))));
    }
}
