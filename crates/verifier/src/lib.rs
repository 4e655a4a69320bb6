//! The WebAssembly face of the verifier: bytes and strings in, JSON out.
//!
//! Everything is decided in [`trail`]; here is only the way across. Errors become JavaScript errors
//! with one sentence in them; nothing panics.

use serde_json::json;
use trail::evidence::Evidence;
use trail::policy::TrustPolicy;
use trail::tlog_policy::TlogPolicy;
use wasm_bindgen::prelude::*;

/// Verifies an evidence file or a `.tlog-proof`, by the policy in `policy_json` if there is one,
/// and returns the report as JSON. The forms of both are in `transparency/`.
///
/// # Errors
/// The bytes are no evidence file, or the policy is none.
#[wasm_bindgen]
pub fn verify(bytes: &[u8], policy_json: Option<String>) -> Result<String, JsError> {
    let policy = policy_json.as_deref().map(TrustPolicy::from_json).transpose().map_err(said)?;
    let report = trail::verify::verify(bytes, policy.as_ref()).map_err(said)?;
    Ok(report.to_json())
}

/// Whether [`verify`] could use this policy.
///
/// # Errors
/// It could not; the message says why.
#[wasm_bindgen]
pub fn check_policy(policy_json: &str) -> Result<(), JsError> {
    TrustPolicy::from_json(policy_json).map(drop).map_err(said)
}

/// The keys in a C2SP tlog-policy, as a JSON array, for a person to compare before choosing them.
///
/// # Errors
/// The text is not a tlog-policy; the message names the line.
#[wasm_bindgen]
pub fn describe_keys(policy: &str) -> Result<String, JsError> {
    let policy = TlogPolicy::parse(policy).map_err(said)?;
    let logs = policy.logs.iter().map(|key| ("log", key));
    let witnesses = policy.witnesses.values().map(|key| ("witness", key));
    let keys: Vec<_> = logs
        .chain(witnesses)
        .map(|(kind, key)| {
            json!({
                "kind": kind,
                "name": key.name(),
                "key_id": key.id_hex(),
                "algorithm": key.kind().algorithm(),
                "fingerprint": key.fingerprint_hex(),
            })
        })
        .collect();
    Ok(json!(keys).to_string())
}

/// The JSON view of the entry at `index`, with its inclusion proof.
///
/// # Errors
/// The bytes are no evidence file, or the entry is not in it.
#[wasm_bindgen]
pub fn entry(bytes: &[u8], index: f64) -> Result<String, JsError> {
    let evidence = Evidence::parse(bytes).map_err(said)?;
    // Saturating: what is no index of an entry is no entry of the file.
    let view = trail::view::entry_of(&evidence, index as u64).map_err(said)?;
    Ok(view.to_string())
}

fn said(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}
