//! The trust policy from the verifying person's own files.

use std::fs;
use std::io;
use std::path::Path;

use time::OffsetDateTime;
use trail::note::VerifierKey;
use trail::policy::{Requirements, TrustPolicy};
use trail::tlog_policy::TlogPolicy;

use crate::failure::Failure;

/// Reads a policy folder, a tlog-policy file, or a file with one verifier key. Naming it on the command
/// line is choosing it.
pub fn read(path: &Path) -> Result<TrustPolicy, Failure> {
    let folder = path.is_dir();
    let file = if folder { path.join("policy") } else { path.to_owned() };
    let text =
        fs::read_to_string(&file).map_err(|e| Failure::file(&file, "read the policy", &e))?;
    let tlog = parse(&text).map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
    let mut policy = TrustPolicy {
        tlog,
        requirements: Requirements { version: 1, ..Requirements::default() },
        source: String::new(),
        label: path.display().to_string(),
        chosen_on: OffsetDateTime::now_utc().date().to_string(),
    };
    if folder {
        let file = path.join("requirements.json");
        if let Some(json) = optional(&file)? {
            policy.requirements = Requirements::parse(&json)
                .map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
        }
        policy.source = optional(&path.join("source"))?.unwrap_or_default().trim().to_owned();
    }
    Ok(policy)
}

fn parse(text: &str) -> Result<TlogPolicy, String> {
    if let Ok(key) = VerifierKey::parse(text.trim()) {
        return TlogPolicy::parse(&format!("log {key}\nquorum none\n")).map_err(|e| e.to_string());
    }
    TlogPolicy::parse(text).map_err(|e| e.to_string())
}

fn optional(file: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::file(file, "read the policy", &e)),
    }
}
