//! Keys of the vault, and sealing with them: XChaCha20-Poly1305 under random nonces.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a key.
pub(crate) const KEY_LEN: usize = 32;

/// Length of a nonce: long enough to be drawn at random for every message.
pub(crate) const NONCE_LEN: usize = 24;

/// What sealing adds to a message: the nonce before it and the tag behind it.
pub(crate) const OVERHEAD: usize = NONCE_LEN + 16;

/// A secret key. However often it is cloned or moved, it is in memory once, and wiped with the last clone.
#[derive(Clone)]
pub(crate) struct Key(Arc<Zeroizing<[u8; KEY_LEN]>>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Takes over a key.
    pub fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        // Copied, not moved: what is moved leaves its bytes behind, and what is dropped here is wiped.
        Self::copy(&bytes)
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::copy)
    }

    fn copy(bytes: &[u8; KEY_LEN]) -> Self {
        let mut key = Arc::new(Zeroizing::new([0; KEY_LEN]));
        // Nobody else has it yet.
        if let Some(place) = Arc::get_mut(&mut key) {
            place.copy_from_slice(bytes);
        }
        Self(key)
    }

    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A key for one purpose, from which neither this key nor the others can be computed.
    pub fn derive(&self, purpose: &str) -> Self {
        Self::new(Zeroizing::new(self.mac(&[purpose.as_bytes()])))
    }

    /// HMAC-SHA256 of the parts one after the other; the caller makes their borders unambiguous.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC fills a short key up to the block with zeros (RFC 2104).
        let mut block = Zeroizing::new([0; 64]);
        block[..KEY_LEN].copy_from_slice(self.as_bytes());
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new((&*block).into());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Seals a message under a nonce that is never used again: nonce ‖ ciphertext ‖ tag.
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], context: &[u8], message: &[u8]) -> Vec<u8> {
        let cipher = XChaCha20Poly1305::new(self.as_bytes().into());
        let mut sealed = Vec::with_capacity(message.len() + OVERHEAD);
        sealed.extend(nonce);
        // It fails only for messages beyond 256 GiB; nothing sealed is then nothing that opens.
        let payload = Payload { msg: message, aad: context };
        sealed.extend(cipher.encrypt(&XNonce::from(*nonce), payload).unwrap_or_default());
        sealed
    }

    /// Opens what [`Key::seal`] made, if it was made under this key for this context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let cipher = XChaCha20Poly1305::new(self.as_bytes().into());
        let payload = Payload { msg: ciphertext, aad: context };
        cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_under_the_same_key_and_context() {
        let key = Key::new(Zeroizing::new([1; KEY_LEN]));
        let sealed = key.seal(&[9; NONCE_LEN], b"context", b"message");
        assert_eq!(sealed.len(), b"message".len() + OVERHEAD);
        assert_eq!(key.open(b"context", &sealed).unwrap().as_slice(), b"message");
        assert!(key.open(b"contexT", &sealed).is_none());
        assert!(key.derive("other").open(b"context", &sealed).is_none());
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(key.open(b"context", &changed).is_none(), "byte {i}");
        }
        assert!(key.open(b"context", &[]).is_none());
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Key::new(Zeroizing::new([0xAB; KEY_LEN]))), "Key(..)");
    }
}
