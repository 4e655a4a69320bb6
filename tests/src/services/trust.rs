//! What tells a Sigstore client whom to trust and where to send things: `trusted_root.json` and
//! `signing_config.v0.2.json`.
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::rekor::Rekor;
use super::rekor_v1::RekorV1;
use super::tsa::Tsa;

/// When a key or a service is valid, in RFC 3339.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// From when.
    pub start: &'a str,
    /// Until when, if it ends.
    pub end: Option<&'a str>,
}

impl Window<'_> {
    /// Valid now and on.
    pub const OPEN: Self = Window { start: "2020-01-01T00:00:00Z", end: None };
    /// Over.
    pub const PAST: Self =
        Window { start: "2020-01-01T00:00:00Z", end: Some("2021-01-01T00:00:00Z") };
    /// Not begun.
    pub const FUTURE: Self = Window { start: "2199-01-01T00:00:00Z", end: None };

    fn json(self) -> Json {
        let mut window = json!({ "start": self.start });
        if let Some(end) = self.end {
            window["end"] = end.into();
        }
        window
    }
}

/// The keys of logs and of time-stamping authorities.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoot {
    logs: Vec<Json>,
    authorities: Vec<Json>,
}

impl TrustedRoot {
    /// With this log as well.
    #[must_use]
    pub fn log(mut self, rekor: &Rekor, window: Window<'_>) -> Self {
        let id = json!({ "keyId": STANDARD.encode(rekor.key_id()) });
        self.logs.push(json!({
            "baseUrl": format!("https://{}", rekor.origin()),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(rekor.public_key()),
                "keyDetails": "PKIX_ED25519",
                "validFor": window.json(),
            },
            "logId": id,
            "checkpointKeyId": id,
            "operator": "localhost",
        }));
        self
    }

    /// With this log of version 1 as well.
    #[must_use]
    pub fn log_v1(mut self, rekor: &RekorV1, window: Window<'_>) -> Self {
        let id = json!({ "keyId": STANDARD.encode(rekor.key_id()) });
        self.logs.push(json!({
            "baseUrl": format!("https://{}", rekor.host()),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(rekor.public_key()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": window.json(),
            },
            "logId": id,
            "operator": "localhost",
        }));
        self
    }

    /// With this authority as well.
    #[must_use]
    pub fn tsa(self, tsa: &Tsa, window: Window<'_>) -> Self {
        self.chain(&tsa.chain(), &tsa.url(), window)
    }

    /// With an authority of this chain: the certificate that signs first, the root last.
    #[must_use]
    pub fn chain(mut self, chain: &[Vec<u8>], url: &str, window: Window<'_>) -> Self {
        let certificates: Vec<Json> =
            chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
        self.authorities.push(json!({
            "subject": { "organization": "Test", "commonName": "Test time stamps, root" },
            "uri": url,
            "certChain": { "certificates": certificates },
            "validFor": window.json(),
            "operator": "localhost",
        }));
        self
    }

    /// The file's content.
    pub fn json(&self) -> Json {
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": self.logs,
            "certificateAuthorities": [],
            "ctlogs": [],
            "timestampAuthorities": self.authorities,
        })
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.json().to_string()).unwrap();
    }
}

/// The URLs of the services a client uses.
#[derive(Clone, Debug, Default)]
pub struct SigningConfig {
    logs: Vec<Json>,
    authorities: Vec<Json>,
}

impl SigningConfig {
    /// With a log at this URL as well, that speaks this major version of Rekor's interface.
    #[must_use]
    pub fn log(mut self, url: &str, version: u32, window: Window<'_>) -> Self {
        self.logs.push(service(url, version, window));
        self
    }

    /// With a time-stamping authority at this URL as well.
    #[must_use]
    pub fn tsa(mut self, url: &str, window: Window<'_>) -> Self {
        self.authorities.push(service(url, 1, window));
        self
    }

    /// The file's content.
    pub fn json(&self) -> Json {
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [],
            "oidcUrls": [],
            "rekorTlogUrls": self.logs,
            "rekorTlogConfig": { "selector": "ANY" },
            "tsaUrls": self.authorities,
            "tsaConfig": { "selector": "ANY" },
        })
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.json().to_string()).unwrap();
    }
}

fn service(url: &str, version: u32, window: Window<'_>) -> Json {
    json!({
        "url": url,
        "majorApiVersion": version,
        "validFor": window.json(),
        "operator": "localhost",
    })
}
