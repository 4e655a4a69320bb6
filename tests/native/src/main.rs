//! `sigstore-verify` as it comes, with its own cryptography (aws-lc): what our verification is compared
//! with.
//!
//! `native-sigstore TRUSTED_ROOT SHA256 KEY` or `… SHA256 IDENTITY ISSUER` reads bundles from standard
//! input, one a line in base64, and answers each with `accepted` or the reason for refusing it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::env;
use std::fs;
use std::io::{self, BufRead as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, DerPublicKey, Sha256Hash};
use sigstore_verify::{Policy, PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (root, digest, policy): (_, _, Box<dyn Policy>) = match arguments.as_slice() {
        [root, digest, key] => {
            let key = DerPublicKey::from_pem(fs::read_to_string(key).unwrap().trim()).unwrap();
            (root, digest, Box::new(PublicKeyVerificationPolicy::new(key)))
        }
        [root, digest, identity, issuer] => {
            (root, digest, Box::new(VerificationPolicy::new(identity.as_str(), issuer.as_str())))
        }
        _ => panic!("usage: native-sigstore TRUSTED_ROOT SHA256 KEY | IDENTITY ISSUER"),
    };
    let root = TrustedRoot::from_json(&fs::read_to_string(root).unwrap()).unwrap();
    let verifier = Verifier::new(&root).unwrap();
    let digest = Sha256Hash::from_hex(digest).unwrap();
    for line in io::stdin().lock().lines() {
        let bundle = STANDARD.decode(line.unwrap()).unwrap();
        match verify(&verifier, &bundle, digest, policy.as_ref()) {
            Ok(()) => println!("accepted"),
            Err(reason) => println!("{}", reason.replace('\n', " ")),
        }
    }
}

fn verify(
    verifier: &Verifier,
    bundle: &[u8],
    digest: Sha256Hash,
    policy: &dyn Policy,
) -> Result<(), String> {
    let text = str::from_utf8(bundle).map_err(|e| e.to_string())?;
    let bundle = Bundle::from_json(text).map_err(|e| e.to_string())?;
    verifier.verify(digest, &bundle, policy).map(drop).map_err(|e| e.to_string())
}
