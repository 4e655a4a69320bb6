//! Signing configs: every service that is used stands in the file, in a version that is spoken here, and is
//! in service.

use producer::{RekorVersion, Services};
use serde_json::Value as Json;

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(services) = bounded(text.len(), 96, || Services::from_signing_config(text)) else {
        return;
    };
    // It refuses numbers that no f64 holds; where nobody asks for the field, they are allowed.
    let Ok(json) = serde_json::from_str::<Json>(text) else {
        assert!(text.contains(['e', 'E']), "the second reading refuses it");
        return;
    };
    assert_eq!(json["mediaType"], "application/vnd.dev.sigstore.signingconfig.v0.2+json");
    assert!(!services.insecure, "no file asks for that");
    for log in services.logs.iter().flatten() {
        let version = match log.version {
            RekorVersion::V1 => 1,
            RekorVersion::V2 => 2,
        };
        assert!(names(&json["rekorTlogUrls"], &log.url, version), "{log:?}");
    }
    for url in &services.authorities {
        assert!(names(&json["tsaUrls"], url, 1), "{url}");
    }
    let config = &json["rekorTlogConfig"];
    match config["selector"].as_str().unwrap_or_default() {
        "EXACT" => assert_eq!(config["count"], services.logs.len()),
        "ALL" => {}
        "ANY" | "" => assert!(services.logs.len() <= 1),
        other => panic!("{other} is no selector"),
    }
}

/// Whether the list has the service, in a window that has not ended long ago nor begins in a far year.
fn names(list: &Json, url: &str, version: u64) -> bool {
    list.as_array().unwrap().iter().any(|service| {
        let year = |end: &str| {
            service["validFor"][end].as_str().and_then(|time| time.get(..4)?.parse().ok())
        };
        service["url"] == url
            && service["majorApiVersion"] == version
            && year("start").is_none_or(|year: u32| year < 2100)
            && year("end").is_none_or(|year: u32| year > 2024)
    })
}
