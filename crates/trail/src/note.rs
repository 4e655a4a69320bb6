//! C2SP signed notes (<https://c2sp.org/signed-note>): a text, a blank line, signature lines.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature as Ed25519Signature, VerifyingKey};
use thiserror::Error;

use crate::merkle::{Hash, sha256};

/// Notes larger than this are refused unread, in bytes.
pub const MAX_NOTE: usize = 1 << 20;

/// More signature lines than this are refused; the specification demands at least 16.
const MAX_SIGNATURES: usize = 100;

/// What a key signs, and how (<https://c2sp.org/signed-note#signature-types>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: Ed25519 over the note text.
    Ed25519,
    /// 0x04: a timestamped Ed25519 cosignature (<https://c2sp.org/tlog-cosignature>).
    Cosignature,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    /// The algorithm in words.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Cosignature => "Ed25519 cosignature",
        }
    }
}

/// Why a note or a key cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteError {
    /// Not of the form of a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A verifier key that is none.
    #[error("not a verifier key (NAME+HASH+BASE64): {0}")]
    Key(&'static str),
    /// A known key's signature does not verify.
    #[error("the signature by {0} does not verify")]
    BadSignature(String),
}

/// A public key with its name: `NAME+KEYID+BASE64`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: [u8; 32],
    id: [u8; 4],
}

impl VerifierKey {
    /// A key of this name and kind.
    ///
    /// # Errors
    /// The name is not one, or the bytes are no point on the curve.
    pub fn new(name: &str, kind: KeyKind, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key(
                "the name is empty or holds a space, a plus or a control character",
            ));
        }
        match VerifyingKey::from_bytes(&key) {
            Ok(point) if !point.is_weak() => {
                let hash = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], &key].concat());
                let id = [hash[0], hash[1], hash[2], hash[3]];
                Ok(Self { name: name.to_owned(), kind, key, id })
            }
            _ => Err(NoteError::Key("not an Ed25519 public key")),
        }
    }

    /// Reads `NAME+KEYID+BASE64`.
    ///
    /// # Errors
    /// It is not of that form, the id does not belong to the key, or the type is not known here.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let (name, rest) = vkey.split_once('+').ok_or(NoteError::Key("no `+` in it"))?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::Key("only one `+` in it"))?;
        let bytes = BASE64
            .decode(key)
            .map_err(|_| NoteError::Key("the part after the second `+` is not base64"))?;
        let kind = match bytes.first() {
            Some(0x01) => KeyKind::Ed25519,
            Some(0x04) => KeyKind::Cosignature,
            _ => {
                return Err(NoteError::Key(
                    "of a type not known here; Ed25519 (0x01) and cosignatures (0x04) are",
                ));
            }
        };
        let key =
            bytes[1..].try_into().map_err(|_| NoteError::Key("the key is not 32 bytes long"))?;
        let key = Self::new(name, kind, key)?;
        if key.id_hex() != id {
            return Err(NoteError::Key("the hash in the middle does not belong to the key"));
        }
        Ok(key)
    }

    /// The key's name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key).
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The id as eight hex digits.
    pub fn id_hex(&self) -> String {
        hex::encode(self.id())
    }

    /// What people compare by another channel: SHA-256 of the key's SubjectPublicKeyInfo (RFC 8410),
    /// which `openssl pkey -pubout -outform DER | openssl dgst -sha256` prints as well.
    pub fn fingerprint(&self) -> Hash {
        const SPKI_ED25519: [u8; 12] =
            [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        sha256(&[SPKI_ED25519.as_slice(), &self.key].concat())
    }

    /// The fingerprint as hex.
    pub fn fingerprint_hex(&self) -> String {
        hex::encode(self.fingerprint())
    }

    /// Verifies this key's signature over `text`. For a cosignature, returns its POSIX time in seconds.
    fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature(self.name.clone());
        let key = VerifyingKey::from_bytes(&self.key).map_err(|_| bad())?;
        let (time, message, signature) = match self.kind {
            KeyKind::Ed25519 => (None, text.to_owned(), signature),
            KeyKind::Cosignature => {
                let (time, signature) = signature.split_first_chunk::<8>().ok_or_else(bad)?;
                let time = u64::from_be_bytes(*time);
                (Some(time), format!("cosignature/v1\ntime {time}\n{text}"), signature)
            }
        };
        let signature = Ed25519Signature::from_slice(signature).map_err(|_| bad())?;
        key.verify_strict(message.as_bytes(), &signature).map_err(|_| bad())?;
        Ok(time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([&[self.kind.byte()], self.key.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, self.id_hex())
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Key names are non-empty and hold no Unicode space, no plus and no control character.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control())
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key that is said to have signed.
    pub name: String,
    /// That key's id.
    pub key_id: [u8; 4],
    /// The signature's bytes after the key id.
    pub signature: Vec<u8>,
}

/// A note: text and signatures, none of them verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its final newline.
    pub text: String,
    /// The signature lines in the order of the note.
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// Reads a note. Every note has one spelling, so [`fmt::Display`] gives back the same bytes.
    ///
    /// # Errors
    /// The text is not a signed note.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Malformed("larger than 1 MiB"));
        }
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("it holds a control character"));
        }
        let split = note
            .rfind("\n\n")
            .ok_or(NoteError::Malformed("no blank line before the signatures"))?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("it does not end with a newline"))?;
        let signatures = lines.split('\n').map(parse_signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed("too many signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Verifies the note by one key: `None` when the key has not signed it, else the cosignature's
    /// time if it is one.
    ///
    /// # Errors
    /// A line claims to be by this key and does not verify.
    pub fn verify(&self, key: &VerifierKey) -> Result<Option<Signed>, NoteError> {
        let mut found = None;
        for line in &self.signatures {
            if line.name == key.name() && line.key_id == key.id() {
                found = Some(Signed { cosigned_at: key.verify(&self.text, &line.signature)? });
            }
        }
        Ok(found)
    }
}

/// A signature that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// For a cosignature, its POSIX time in seconds.
    pub cosigned_at: Option<u64>,
}

fn parse_signature(line: &str) -> Result<SignatureLine, NoteError> {
    let malformed = NoteError::Malformed("a signature line is not `— NAME BASE64`");
    let Some((name, encoded)) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' '))
    else {
        return Err(malformed);
    };
    let Ok(bytes) = BASE64.decode(encoded) else { return Err(malformed) };
    match bytes.split_first_chunk::<4>() {
        Some((key_id, signature)) if is_key_name(name) && !signature.is_empty() => {
            Ok(SignatureLine {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            })
        }
        _ => Err(malformed),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let signature = BASE64.encode([line.key_id.as_slice(), &line.signature].concat());
            writeln!(f, "— {} {signature}", line.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // From Go's golang.org/x/mod/sumdb/note documentation and tests.
    const GO_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_signed_by_go_verifies_here() {
        let note = Note::parse(GO_NOTE).unwrap();
        let key = VerifierKey::parse(GO_VKEY).unwrap();
        assert_eq!(note.verify(&key).unwrap(), Some(Signed { cosigned_at: None }));
        assert_eq!(note.to_string(), GO_NOTE);
        assert_eq!(key.to_string(), GO_VKEY);
    }

    #[test]
    fn a_changed_text_or_another_key_of_the_same_name_does_not() {
        let key = VerifierKey::parse(GO_VKEY).unwrap();
        let note = Note::parse(&GO_NOTE.replace("your problem is", "my problem is")).unwrap();
        assert_eq!(note.verify(&key), Err(NoteError::BadSignature("PeterNeumann".into())));
        let other = VerifierKey::new("EnochRoot", KeyKind::Ed25519, *key.public_key()).unwrap();
        assert_eq!(note.verify(&other), Ok(None));
    }

    // The example of c2sp.org/tlog-cosignature has no published key, so only its form is checked.
    #[test]
    fn malformed_notes_and_keys_are_refused() {
        for note in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— name\n",
            "text\n\n— na me AAAAAAA=\n",
            "text\n\n— name AAAA\n",
            "text\n\n- name AAAAAAA=\n",
            "text\n\n— name AAAAAAB=\n",
            "te\txt\n\n— name AAAAAAA=\n",
            "text\n\n— name AAAAAAA=",
        ] {
            assert!(Note::parse(note).is_err(), "{note:?}");
        }
        assert!(Note::parse("text\n\n— name AAAAAAA=\n").is_ok());
        for key in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert!(VerifierKey::parse(key).is_err(), "{key:?}");
        }
        // A key of small order, under which forged signatures verify for any text.
        assert!(VerifierKey::new("weak", KeyKind::Ed25519, [0; 32]).is_err());
    }

    proptest! {
        #[test]
        fn strangers_notes_never_panic_and_have_one_spelling(note in "[ a-z\n—+=A/]{0,80}") {
            if let Ok(parsed) = Note::parse(&note) {
                prop_assert_eq!(parsed.to_string(), note);
            }
        }
    }
}
