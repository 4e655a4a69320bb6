//! What a client that publishes has: a key, and statements it signs. Made by `openssl`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use end_to_end::services::{Key, Rekor, Reply, openssl, post};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const KIND: &str = "application/vnd.in-toto+json";

pub struct Publisher {
    home: TempDir,
    key: Key,
}

/// A DSSE envelope's parts.
pub struct Signed {
    payload: String,
    digest: Vec<u8>,
    pub signature: Vec<u8>,
    key: Vec<u8>,
}

impl Publisher {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = Key::p256(home.path().join("publisher.pem"));
        Self { home, key }
    }

    /// Signs the payload's PAE (<https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md>).
    pub fn sign(&self, payload: &str) -> Signed {
        let pae = format!("DSSEv1 {} {KIND} {} {payload}", KIND.len(), payload.len());
        let digest = ["dgst", "-sha256", "-binary"];
        Signed {
            payload: payload.to_owned(),
            digest: openssl(self.home.path(), &digest, pae.as_bytes()),
            signature: self.key.sign(pae.as_bytes()),
            key: self.key.public(),
        }
    }

    /// A file with the public key, in PEM.
    pub fn public_key(&self) -> PathBuf {
        let file = self.home.path().join("publisher.pub");
        let public = ["pkey", "-in", "publisher.pem", "-pubout"];
        std::fs::write(&file, openssl(self.home.path(), &public, b"")).unwrap();
        file
    }
}

impl Signed {
    /// What is sent to a log.
    pub fn request(&self) -> Json {
        json!({ "hashedRekordRequestV002": {
            "digest": STANDARD.encode(&self.digest),
            "signature": {
                "content": STANDARD.encode(&self.signature),
                "verifier": {
                    "publicKey": { "rawBytes": STANDARD.encode(&self.key) },
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        }})
    }

    /// The envelope with a log's answer and a stamp over the signature, as a Sigstore bundle.
    /// <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>
    pub fn bundle(&self, entry: &Json, stamp: &[u8]) -> Json {
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": { "hint": "publisher" },
                "tlogEntries": [entry],
                "timestampVerificationData": {
                    "rfc3161Timestamps": [{ "signedTimestamp": STANDARD.encode(stamp) }],
                },
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&self.payload),
                "payloadType": KIND,
                "signatures": [{ "sig": STANDARD.encode(&self.signature) }],
            },
        })
    }
}

/// Sends a request to a log.
pub fn submit(rekor: &Rekor, request: &Json) -> Reply {
    let url = format!("{}/api/v2/log/entries", rekor.url());
    post(&url, "application/json", request.to_string().as_bytes()).unwrap()
}
