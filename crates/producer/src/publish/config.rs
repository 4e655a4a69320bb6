//! Where to publish: a Sigstore signing config, or addresses given one by one; and when the logs of a
//! trusted root are in force. No address stands in the code.
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trail::object::Object;

use crate::error::{Error, Result};
use crate::http::check_url;
use crate::sequencer::now;

/// A version of Rekor's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RekorVersion {
    /// `dsse` 0.0.1 at `/api/v1`.
    V1,
    /// `hashedrekord` 0.0.2 at `/api/v2`.
    V2,
}

/// A public log's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogUrl {
    /// Without `/api/…`.
    pub url: String,
    /// What it speaks.
    pub version: RekorVersion,
}

/// The services that heads are published with.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// The logs that each head is entered in. Of each, the addresses in the order in which they are tried: the
    /// next one when a shard is frozen.
    pub logs: Vec<Vec<LogUrl>>,
    /// The time-stamping authorities, in the order in which they are tried.
    pub authorities: Vec<String>,
    /// Lets `http://` be used beyond this machine.
    pub insecure: bool,
}

impl Services {
    /// Reads a signing config of version 0.2: the services that are valid now, chosen as it says.
    ///
    /// # Errors
    /// It is none, or of another version.
    pub fn from_signing_config(json: &str) -> Result<Self> {
        const MEDIA: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
        let refuse = |why: String| Error::Publish(format!("the signing config: {why}"));
        let Object(config): Object<SigningConfig> =
            serde_json::from_str(json).map_err(|e| refuse(e.to_string()))?;
        if config.media_type != MEDIA {
            let media: String = config.media_type.chars().take(100).collect();
            return Err(refuse(format!("it is of the unknown version {media}; {MEDIA} is known")));
        }
        let known = |service: &Service| service.major_api_version <= 2;
        let logs = by_operator(config.rekor_tlog_urls, known);
        let logs =
            choose(logs, &config.rekor_tlog_config.0).map_err(|e| refuse(format!("logs: {e}")))?;
        let authorities = by_operator(config.tsa_urls, |service| service.major_api_version == 1);
        let several = match config.tsa_config.0.selector.as_str() {
            "ALL" => authorities.len() > 1,
            "EXACT" => config.tsa_config.0.count != 1,
            _ => false,
        };
        if several {
            return Err(refuse(
                "it wants several time stamps over one signature; this program takes one".into(),
            ));
        }
        Ok(Self {
            logs: logs
                .into_iter()
                .map(|services| services.into_iter().filter_map(Service::log).collect())
                .collect(),
            authorities: authorities.into_iter().flatten().map(|service| service.url).collect(),
            insecure: false,
        })
    }

    /// Checks that heads can be published with these.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let none = |what: &str| {
            Error::Publish(format!(
                "{what}; heads are published with both a public log \
             (--rekor) and a time-stamping authority (--tsa), or a --signing-config that names them"
            ))
        };
        if self.logs.iter().all(Vec::is_empty) {
            return Err(none("no public log is named that is in service"));
        }
        let timeless = |log: &LogUrl| log.version == RekorVersion::V2;
        if self.authorities.is_empty() && self.logs.iter().flatten().any(timeless) {
            return Err(none(
                "no time-stamping authority is named, and Rekor v2 has no time of its own",
            ));
        }
        for log in self.logs.iter_mut().flatten() {
            log.url = check_url(&log.url, self.insecure)?;
        }
        for url in &mut self.authorities {
            *url = check_url(url, self.insecure)?;
        }
        Ok(self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigningConfig {
    media_type: String,
    #[serde(default)]
    rekor_tlog_urls: Vec<Object<Service>>,
    #[serde(default)]
    rekor_tlog_config: Object<ServiceConfig>,
    #[serde(default)]
    tsa_urls: Vec<Object<Service>>,
    #[serde(default)]
    tsa_config: Object<ServiceConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    url: String,
    #[serde(default)]
    major_api_version: u32,
    valid_for: Option<Object<Window>>,
    #[serde(default)]
    operator: String,
}

impl Service {
    fn log(self) -> Option<LogUrl> {
        let version = match self.major_api_version {
            1 => RekorVersion::V1,
            2 => RekorVersion::V2,
            _ => return None,
        };
        Some(LogUrl { url: self.url, version })
    }
}

#[derive(Default, Deserialize)]
struct ServiceConfig {
    #[serde(default)]
    selector: String,
    #[serde(default)]
    count: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct Window {
    start: Option<String>,
    end: Option<String>,
}

impl Window {
    fn holds(&self, at: OffsetDateTime) -> bool {
        let time = |text: &String| OffsetDateTime::parse(text, &Rfc3339).ok();
        // What cannot be read is no window that holds.
        let started = self.start.as_ref().is_none_or(|start| time(start).is_some_and(|s| s <= at));
        started && self.end.as_ref().is_none_or(|end| time(end).is_some_and(|end| at <= end))
    }
}

fn this_moment() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(now()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The services that are valid now, of each operator the newest first.
fn by_operator(
    services: Vec<Object<Service>>,
    known: impl Fn(&Service) -> bool,
) -> Vec<Vec<Service>> {
    let at = this_moment();
    let mut services: Vec<_> = services
        .into_iter()
        .map(|Object(service)| service)
        .filter(|s| known(s) && s.valid_for.as_ref().is_none_or(|Object(window)| window.holds(at)))
        .collect();
    let start = |s: &Service| s.valid_for.as_ref().and_then(|Object(window)| window.start.clone());
    services.sort_by_key(|service| Reverse((service.major_api_version, start(service))));
    let mut operators: Vec<Vec<Service>> = Vec::new();
    for service in services {
        match operators.iter_mut().find(|group| group[0].operator == service.operator) {
            Some(group) => group.push(service),
            None => operators.push(vec![service]),
        }
    }
    operators
}

fn choose(
    mut operators: Vec<Vec<Service>>,
    config: &ServiceConfig,
) -> std::result::Result<Vec<Vec<Service>>, String> {
    match config.selector.as_str() {
        "ALL" => {}
        "EXACT" if operators.len() < config.count || config.count == 0 => {
            return Err(format!("{} are wanted, {} are in service", config.count, operators.len()));
        }
        "EXACT" => operators.truncate(config.count),
        "ANY" | "" => operators.truncate(1),
        other => {
            return Err(format!("unknown selector {}", other.chars().take(40).collect::<String>()));
        }
    }
    Ok(operators)
}

/// A log of the trusted root.
#[derive(Clone, Debug)]
pub(crate) struct TrustedLog {
    id: Vec<u8>,
    window: Option<Window>,
}

impl TrustedLog {
    /// The logs of a `trusted_root.json`, which `AnchorTrust` has accepted.
    pub fn all(json: &str) -> Vec<Self> {
        let root: TrustedRoot = serde_json::from_str(json).unwrap_or_default();
        let log = |log: TrustedTlog| {
            let id = STANDARD.decode(log.log_id.key_id).ok()?;
            Some(Self { id, window: log.public_key.valid_for.map(|Object(window)| window) })
        };
        root.tlogs.into_iter().filter_map(log).collect()
    }

    /// The id that begins so: a checkpoint's signature line names only four bytes.
    pub fn id(logs: &[Self], start: &[u8]) -> Option<Vec<u8>> {
        logs.iter().find(|log| log.id.starts_with(start)).map(|log| log.id.clone())
    }

    /// Whether the log's key is in force now.
    pub fn in_force(logs: &[Self], id: &[u8]) -> bool {
        let at = this_moment();
        logs.iter()
            .filter(|log| log.id == id)
            .any(|log| log.window.as_ref().is_none_or(|window| window.holds(at)))
    }
}

#[derive(Default, Deserialize)]
struct TrustedRoot {
    #[serde(default)]
    tlogs: Vec<TrustedTlog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustedTlog {
    public_key: PublicKey,
    log_id: LogId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    valid_for: Option<Object<Window>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(
        url: &str,
        version: u32,
        start: &str,
        end: Option<&str>,
        operator: &str,
    ) -> serde_json::Value {
        json!({"url": url, "majorApiVersion": version, "operator": operator,
            "validFor": {"start": start, "end": end}})
    }

    fn config(selector: serde_json::Value) -> String {
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "rekorTlogUrls": [
                service("https://one.example", 1, "2021-01-01T00:00:00Z", None, "one"),
                service("https://old.example", 2, "2025-01-01T00:00:00Z", None, "one"),
                service("https://new.example", 2, "2026-01-01T00:00:00Z", None, "one"),
                service("https://over.example", 2, "2020-01-01T00:00:00Z", Some("2021-01-01T00:00:00Z"), "one"),
                service("https://next.example", 2, "2199-01-01T00:00:00Z", None, "one"),
                service("https://v9.example", 9, "2020-01-01T00:00:00Z", None, "one"),
                service("https://two.example", 2, "2020-01-01T00:00:00Z", None, "two"),
            ],
            "rekorTlogConfig": selector,
            "tsaUrls": [service("https://tsa.example/stamp", 1, "2020-01-01T00:00:00Z", None, "one")],
            "tsaConfig": {"selector": "ANY"},
        })
        .to_string()
    }

    fn urls(services: &Services) -> Vec<Vec<&str>> {
        services.logs.iter().map(|log| log.iter().map(|url| url.url.as_str()).collect()).collect()
    }

    #[test]
    fn the_newest_log_in_service_comes_first_and_the_older_are_what_is_left_when_it_is_frozen() {
        let one = vec!["https://new.example", "https://old.example", "https://one.example"];
        let any = Services::from_signing_config(&config(json!({"selector": "ANY"}))).unwrap();
        assert_eq!(urls(&any), std::slice::from_ref(&one));
        assert_eq!(any.authorities, ["https://tsa.example/stamp"]);
        for selector in [json!({"selector": "ALL"}), json!({"selector": "EXACT", "count": 2})] {
            let all = Services::from_signing_config(&config(selector)).unwrap();
            assert_eq!(urls(&all), [one.clone(), vec!["https://two.example"]]);
        }
    }

    #[test]
    fn other_configs_are_refused() {
        for selector in [json!({"selector": "EXACT", "count": 3}), json!({"selector": "SOME"})] {
            assert!(Services::from_signing_config(&config(selector)).is_err());
        }
        let stamps =
            |wanted: &str| config(json!({})).replace(r#""tsaConfig":{"selector":"ANY"}"#, wanted);
        let wants = |wanted: &str| Services::from_signing_config(&stamps(wanted));
        assert!(wants(r#""tsaConfig":{"selector":"EXACT","count":1}"#).is_ok());
        assert!(wants(r#""tsaConfig":{"selector":"ALL"}"#).is_ok());
        let two = wants(r#""tsaConfig":{"selector":"EXACT","count":2}"#).unwrap_err().to_string();
        assert!(two.contains("several time stamps"), "{two}");
        let later = config(json!({})).replace("v0.2", "v0.9");
        let error = Services::from_signing_config(&later).unwrap_err().to_string();
        assert!(error.contains("unknown version") && error.contains("v0.9"), "{error}");
        assert!(Services::from_signing_config("{}").is_err());
        let list = r#"["application/vnd.dev.sigstore.signingconfig.v0.2+json"]"#;
        assert!(Services::from_signing_config(list).is_err(), "fields in order");
        assert!(Services::default().checked().is_err());
    }
}
