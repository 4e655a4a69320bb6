//! Whom a person trusts to publish and to tell the time: every key that counts stands in the files, each kind
//! as its specification writes it.
//!
//! The input is `publisher.pub` after its length in two bytes, then `trusted_root.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use serde_json::Value as Json;
use trail::anchor::{AnchorTrust, PublicLog};

use crate::memory::bounded;
use crate::tree;

pub fn run(input: &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<2>() else { return };
    let (publisher, root) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
    let (Ok(publisher), Ok(root)) = (str::from_utf8(publisher), str::from_utf8(root)) else {
        return;
    };
    let read = || AnchorTrust::new(publisher, root);
    let Ok(trust) = bounded(input.len(), 512, read) else { return };
    assert_publishers(publisher, &trust);
    // It refuses numbers that no f64 holds; where nobody asks for the field, they are allowed.
    let Ok(json) = serde_json::from_str::<Json>(root) else {
        assert!(root.contains(['e', 'E']), "the second reading refuses it");
        return;
    };
    let none = Vec::new();
    let list = |name: &str| json[name].as_array().unwrap_or(&none);
    let logs = trust.public_logs();
    assert_eq!(logs.len(), list("tlogs").len(), "no log is skipped");
    logs.iter().zip(list("tlogs")).for_each(|(log, json)| assert_log(log, json));
    let urls: Vec<&str> =
        list("tlogs").iter().map(|log| log["baseUrl"].as_str().unwrap_or_default()).collect();
    let names = trust.log_names();
    assert!(names.iter().all(|name| urls.iter().any(|url| url.contains(name))), "{names:?}");
    assert!(trust.clock_names().len() <= list("timestampAuthorities").len());
}

fn assert_publishers(pem: &str, trust: &AnchorTrust) {
    let blocks = pem.matches("-----END PUBLIC KEY-----").count();
    assert!(blocks > 0);
    assert_eq!(trust.publishers().count(), blocks, "no key is skipped");
    for (spki, fingerprint) in trust.publishers().zip(trust.fingerprints()) {
        let key = p256::PublicKey::from_public_key_der(spki).expect("a point of P-256");
        assert_eq!(key.to_public_key_der().unwrap().as_bytes(), spki, "one spelling only");
        assert_eq!(fingerprint, hex::encode(tree::sha256(&[spki])));
        // White space aside, the PEM is its base64.
        let text: String = pem.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(text.contains(&BASE64.encode(spki)), "the key is not in the file");
    }
}

fn assert_log(log: &PublicLog, json: &Json) {
    assert_eq!(log.url, json["baseUrl"].as_str().unwrap_or_default());
    assert!(log.url.contains(&log.origin));
    let id = hex::decode(&log.id).unwrap();
    let Some(key) = &log.key else { return };
    assert_eq!(key.name(), log.origin);
    assert!(id.starts_with(&key.id()), "the id is not that of the key");
    let raw = json["publicKey"]["rawBytes"].as_str().unwrap();
    let bytes = BASE64.decode(raw).unwrap();
    assert!(
        bytes.len() == 44 && bytes.ends_with(key.public_key()),
        "SubjectPublicKeyInfo (RFC 8410)"
    );
}
