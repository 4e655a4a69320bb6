//! The log and the witness whose secret keys the fuzzer does not have and the targets do: the published
//! ones of RFC 8032 section 7.1, with which the vectors in `transparency/vectors` are signed.
//!
//! Ed25519 signatures are deterministic (RFC 8032 section 5.1.6), so a signature by these keys counts
//! only where it is the one that the secret key gives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use trail::note::{KeyKind, VerifierKey};

use crate::tree::Hash;

pub const ORIGIN: &str = "rlhf-audit.example/vectors";
const WITNESS: &str = "witness.example";

/// A key with its secret.
pub struct Signer {
    secret: SigningKey,
    public: VerifierKey,
}

/// The log's key: TEST 1 of RFC 8032.
pub fn log() -> Signer {
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    Signer::new(secret, ORIGIN, KeyKind::Ed25519)
}

/// The witness's key: TEST 3 of RFC 8032.
pub fn witness() -> Signer {
    let secret = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
    Signer::new(secret, WITNESS, KeyKind::Cosignature)
}

impl Signer {
    fn new(secret: &str, name: &str, kind: KeyKind) -> Self {
        let secret: [u8; 32] = hex::decode(secret).unwrap().try_into().unwrap();
        let secret = SigningKey::from_bytes(&secret);
        let public = VerifierKey::new(name, kind, &secret.verifying_key().to_bytes()).unwrap();
        Self { secret, public }
    }

    pub fn key(&self) -> &VerifierKey {
        &self.public
    }

    /// The one signature over a note's text; a cosignature is given the time it names.
    pub fn sign(&self, text: &str, time: u64) -> Vec<u8> {
        match self.public.kind() {
            KeyKind::Ed25519 => self.secret.sign(text.as_bytes()).to_bytes().to_vec(),
            KeyKind::MlDsa44 => unreachable!("there is no such signer here"),
            KeyKind::Cosignature => {
                let message = format!("cosignature/v1\ntime {time}\n{text}");
                let signature = self.secret.sign(message.as_bytes()).to_bytes();
                [time.to_be_bytes().as_slice(), &signature].concat()
            }
        }
    }

    /// The signature line over a note's text, without its newline.
    pub fn line(&self, text: &str) -> String {
        let signature = [self.public.id().as_slice(), &self.sign(text, 0)].concat();
        format!("— {} {}", self.public.name(), BASE64.encode(signature))
    }

    /// A signed tree head.
    pub fn head(&self, size: usize, root: &Hash) -> String {
        let text = format!("{}\n{size}\n{}\n", self.public.name(), BASE64.encode(root));
        format!("{text}\n{}\n", self.line(&text))
    }

    /// Whether the note carries this key's signature, read from its text alone.
    pub fn signed(&self, note: &str) -> bool {
        let Some(split) = note.rfind("\n\n") else { return false };
        let line = self.line(&note[..=split]);
        note[split + 2..].split('\n').any(|other| other == line)
    }
}
