//! The trust policy that the verifying person brings: whose signatures count, and what else must be
//! shown. The specification is `transparency/policy.md`.

#[cfg(feature = "anchors")]
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::anchor::AnchorError;
#[cfg(feature = "anchors")]
use crate::anchor::AnchorTrust;
use crate::object::Object;
use crate::time::from_moment;
use crate::tlog_policy::{PolicyError, TlogPolicy};
use crate::view::parse_hash;

/// What a verification rests on, as chosen by a person. Keys that come with the evidence never get here.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    /// Log keys, witness keys, quorum.
    pub tlog: TlogPolicy,
    /// What the evidence must show besides a signature by one of the logs.
    pub requirements: Requirements,
    /// Where the person got the keys, in their words.
    pub source: String,
    /// What the policy is called: a file or folder name.
    pub label: String,
    /// The day it was chosen, `YYYY-MM-DD`.
    pub chosen_on: String,
    /// The day of the verification, `YYYY-MM-DD`; empty when it is the day the policy was chosen.
    pub today: String,
    /// Whose publications count: `publisher.pub` and `trusted_root.json`.
    #[cfg(feature = "anchors")]
    pub anchors: Option<Arc<AnchorTrust>>,
}

/// `requirements.json`. A requirement this version does not know is refused rather than skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Format version: 1.
    #[serde(rename = "v")]
    pub version: u64,
    /// All entries must be there and rebuild the root.
    pub complete: bool,
    /// At least so many public anchors.
    pub anchors: u64,
    /// The quorum of witnesses must be met; adds nothing where the policy's `quorum` line asks for one.
    pub witnesses: bool,
    /// Each head must carry an ML-DSA-44 cosignature by a key of the quorum as well.
    pub hybrid: bool,
    /// The newest independently shown date may be at most so many days old.
    pub max_age_days: Option<u64>,
    /// Keys that may have been in strangers' hands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compromised: Vec<Compromised>,
}

/// A key that counts only for what was public before a moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Compromised {
    /// Its fingerprint: SHA-256 of its SubjectPublicKeyInfo, lower-case hex.
    pub key: String,
    /// From then on it may have been in strangers' hands: `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SSZ`.
    pub since: String,
}

impl Compromised {
    /// The moment, microseconds since 1970.
    pub fn since(&self) -> u64 {
        from_moment(&self.since).unwrap_or_default()
    }
}

impl TryFrom<serde_json::Value> for Compromised {
    type Error = &'static str;

    fn try_from(json: serde_json::Value) -> Result<Self, Self::Error> {
        let text = |key| json.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (key, since) = (text("key").to_owned(), text("since").to_owned());
        let is_fingerprint = parse_hash(&key).is_some_and(|hash| hex::encode(hash) == key);
        if !is_fingerprint || json.as_object().is_none_or(|object| object.len() != 2) {
            return Err("a compromised key is given by `key`, its fingerprint in hex, and `since`");
        }
        if from_moment(&since).is_none() {
            return Err("`since` is a day, YYYY-MM-DD, or a moment, YYYY-MM-DDTHH:MM:SSZ");
        }
        Ok(Self { key, since })
    }
}

/// Why something is not a trust policy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrustPolicyError {
    /// The `policy` file.
    #[error("policy: {0}")]
    Tlog(#[from] PolicyError),
    /// `requirements.json`.
    #[error("requirements.json: {0}")]
    Requirements(String),
    /// `publisher.pub` or `trusted_root.json`.
    #[error("{0}")]
    Anchors(#[from] AnchorError),
    /// One of the two without the other.
    #[error("{0} is there and {1} is not; publications are checked with both or not at all")]
    Lone(&'static str, &'static str),
    /// The JSON in which a page hands over a policy.
    #[error("the policy is not as expected: {0}")]
    Json(String),
}

impl Requirements {
    /// Reads `requirements.json`.
    ///
    /// # Errors
    /// Not JSON of that form, or of another version.
    pub fn parse(json: &str) -> Result<Self, TrustPolicyError> {
        let Object(parsed): Object<Self> = serde_json::from_str(json)
            .map_err(|e| TrustPolicyError::Requirements(e.to_string()))?;
        parsed.check_version()
    }

    fn check_version(self) -> Result<Self, TrustPolicyError> {
        match self.version {
            1 => Ok(self),
            v => Err(TrustPolicyError::Requirements(format!(
                "`v` is {v}; this program reads version 1"
            ))),
        }
    }
}

/// A policy as a page hands it over: the files of the policy folder in one JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyJson {
    policy: String,
    #[serde(default)]
    requirements: Option<Object<Requirements>>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    chosen_on: String,
    #[serde(default)]
    today: String,
    #[serde(default)]
    #[cfg_attr(not(feature = "anchors"), allow(dead_code))]
    publisher: Option<String>,
    #[serde(default)]
    #[cfg_attr(not(feature = "anchors"), allow(dead_code))]
    trusted_root: Option<serde_json::Value>,
}

impl TrustPolicy {
    /// Reads a policy handed over as JSON; see `transparency/policy.md`.
    ///
    /// # Errors
    /// It is not one.
    pub fn from_json(json: &str) -> Result<Self, TrustPolicyError> {
        let Object(parsed): Object<PolicyJson> =
            serde_json::from_str(json).map_err(|e| TrustPolicyError::Json(e.to_string()))?;
        // The page hands over the parsed file or its text.
        #[cfg(feature = "anchors")]
        let trusted_root = parsed.trusted_root.map(|root| match root {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        });
        Ok(Self {
            tlog: TlogPolicy::parse(&parsed.policy)?,
            requirements: parsed
                .requirements
                .map(|Object(requirements)| requirements.check_version())
                .transpose()?
                .unwrap_or_default(),
            source: parsed.source.trim().to_owned(),
            label: if parsed.label.is_empty() { "policy".to_owned() } else { parsed.label },
            chosen_on: parsed.chosen_on,
            today: parsed.today,
            #[cfg(feature = "anchors")]
            anchors: anchor_trust(parsed.publisher.as_deref(), trusted_root.as_deref())?,
        })
    }

    /// The day of the verification.
    pub fn today(&self) -> &str {
        if self.today.is_empty() { &self.chosen_on } else { &self.today }
    }
}

/// Whose publications count, from the texts of `publisher.pub` and `trusted_root.json`.
///
/// # Errors
/// One of them is not what it must be, or is there without the other.
#[cfg(feature = "anchors")]
pub fn anchor_trust(
    publisher: Option<&str>,
    trusted_root: Option<&str>,
) -> Result<Option<Arc<AnchorTrust>>, TrustPolicyError> {
    match (publisher, trusted_root) {
        (None, None) => Ok(None),
        (Some(publisher), Some(root)) => Ok(Some(Arc::new(AnchorTrust::new(publisher, root)?))),
        (Some(_), None) => Err(TrustPolicyError::Lone("publisher.pub", "trusted_root.json")),
        (None, Some(_)) => Err(TrustPolicyError::Lone("trusted_root.json", "publisher.pub")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_requirement_is_refused_not_skipped() {
        assert!(Requirements::parse(r#"{"v":1,"anchors":2}"#).is_ok());
        assert!(Requirements::parse(r#"{"v":1,"moon_phase":"full"}"#).is_err());
        assert!(Requirements::parse(r#"{"v":2}"#).is_err());
        assert!(Requirements::parse(r#"{"complete":true}"#).is_err());
        assert!(Requirements::parse("[]").is_err());
    }

    #[test]
    fn a_compromised_key_has_a_fingerprint_and_a_moment() {
        let read = |key: &str| Requirements::parse(&format!(r#"{{"v":1,"compromised":[{key}]}}"#));
        let key = "a1".repeat(32);
        assert!(read(&format!(r#"{{"key":"{key}","since":"2026-11-23"}}"#)).is_ok());
        for wrong in [
            format!(r#"{{"key":"{key}"}}"#),
            format!(r#"{{"key":"{key}","since":"yesterday"}}"#),
            format!(r#"{{"key":"{}","since":"2026-11-23"}}"#, key.to_uppercase()),
            format!(r#"{{"key":"{key}","since":"2026-11-23","why":"lost"}}"#),
            format!(r#"["{key}","2026-11-23"]"#),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_no_requirements() {
        assert!(Requirements::parse("[1,true,2]").is_err());
        assert!(TrustPolicy::from_json(r#"["quorum none"]"#).is_err());
        assert!(TrustPolicy::from_json(r#"{"policy":"quorum none","requirements":[1]}"#).is_err());
        assert!(TrustPolicy::from_json(r#"{"policy":"quorum none"}"#).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_what_is_read(version in 0u64..3, complete: bool, anchors: u64, days in prop::option::of(any::<u64>()), keys in prop::collection::vec(("[0-9a-f]{64}", "20[0-9]{2}-0[13-9]-[12][0-9](T1[0-9]:0[0-9]:00Z)?"), 0..3)) {
            let compromised = keys.into_iter().map(|(key, since)| Compromised { key, since }).collect();
            let asked = Requirements { version, complete, anchors, max_age_days: days, compromised, ..Requirements::default() };
            match Requirements::parse(&serde_json::to_string(&asked).unwrap()) {
                Ok(read) => prop_assert_eq!(read, asked),
                Err(_) => prop_assert_ne!(version, 1),
            }
        }

        #[test]
        fn strangers_text_never_panics(text in "[\\[{](\"(v|complete|anchors|policy|quorum none)\"[:,]?|[0-9]|true|[,\\[\\]{}]){0,9}[\\]}]") {
            let _ = (Requirements::parse(&text), TrustPolicy::from_json(&text));
        }
    }
}
