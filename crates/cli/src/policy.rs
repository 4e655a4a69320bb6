//! The trust policy from the verifying person's own files.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use time::OffsetDateTime;
use trail::note::VerifierKey;
use trail::policy::{Requirements, TrustPolicy, anchor_trust};
use trail::tlog_policy::TlogPolicy;

use crate::failure::Failure;

/// Reads a policy folder, a tlog-policy file, or a file with one verifier key. Naming it on the command
/// line is choosing it.
pub fn read(path: &Path) -> Result<TrustPolicy, Failure> {
    let folder = path.is_dir();
    let file = if folder { path.join("policy") } else { path.to_owned() };
    let text = read_text(&file).map_err(|e| Failure::file(&file, "read the policy", &e))?;
    let tlog = parse(&text).map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
    let mut policy = TrustPolicy {
        tlog,
        requirements: Requirements { version: 1, ..Requirements::default() },
        source: String::new(),
        label: path.display().to_string(),
        chosen_on: OffsetDateTime::now_utc().date().to_string(),
        today: String::new(),
        anchors: None,
    };
    if folder {
        refuse_unknown(path)?;
        let file = path.join("requirements.json");
        if let Some(json) = optional(&file)? {
            policy.requirements = Requirements::parse(&json)
                .map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
        }
        let publisher = optional(&path.join("publisher.pub"))?;
        let root = optional(&path.join("trusted_root.json"))?;
        policy.anchors = anchor_trust(publisher.as_deref(), root.as_deref())
            .map_err(|e| Failure::input(format!("{}: {e}", path.display())))?;
        policy.source = optional(&path.join("source"))?.unwrap_or_default().trim().to_owned();
    }
    Ok(policy)
}

/// A misspelt `requirement.json` must not pass for no requirements.
fn refuse_unknown(dir: &Path) -> Result<(), Failure> {
    const KNOWN: [&str; 5] =
        ["policy", "requirements.json", "source", "trusted_root.json", "publisher.pub"];
    let entries = fs::read_dir(dir).map_err(|e| Failure::file(dir, "read the policy", &e))?;
    for entry in entries {
        let name = entry.map_err(|e| Failure::file(dir, "read the policy", &e))?.file_name();
        let name = name.to_string_lossy();
        if !KNOWN.contains(&name.as_ref()) && !name.starts_with('.') {
            return Err(Failure::input(format!(
                "{}: no part of a policy; a policy folder holds {}",
                dir.join(name.as_ref()).display(),
                KNOWN.join(", ")
            )));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<TlogPolicy, String> {
    if let Ok(key) = VerifierKey::parse(text.trim()) {
        return TlogPolicy::parse(&format!("log {key}\nquorum none\n")).map_err(|e| e.to_string());
    }
    TlogPolicy::parse(text).map_err(|e| e.to_string())
}

fn optional(file: &Path) -> Result<Option<String>, Failure> {
    match read_text(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::file(file, "read the policy", &e)),
    }
}

/// A policy is a few lines; whatever is larger is something else.
fn read_text(file: &Path) -> io::Result<String> {
    const LIMIT: u64 = 1 << 20;
    let mut text = String::new();
    fs::File::open(file)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::other("larger than 1 MiB, so no policy"));
    }
    Ok(text)
}
