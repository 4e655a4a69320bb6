//! What is to be verified: an evidence file, a proof, a log's folder or a log's URL.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use producer::LogReader;
use trail::Event;
use trail::checkpoint::Checkpoint;
use trail::evidence::{HashBytes, Head};
use trail::merkle::{self, Hash};
use trail::note::Note;
use trail::policy::TrustPolicy;
use trail::report::Report;
use trail::tile::{CheckedEntries, TileTree};
use trail::verify::{self, EntryStream, Parts};

use crate::failure::Failure;
use crate::remote::RemoteLog;

/// Verifies whatever `target` names.
pub fn verify(
    target: &str,
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, Failure> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return remote(target, policy, weights);
    }
    let path = Path::new(target);
    if path.is_dir() { folder(path, policy, weights) } else { file(path, policy, weights) }
}

fn file(
    path: &Path,
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, Failure> {
    let bytes = fs::read(path).map_err(|e| Failure::file(path, "read the file", &e))?;
    verify::verify_with_weights(&bytes, policy, weights)
        .map_err(|e| Failure::input(format!("{}: {e}", path.display())))
}

/// A folder is read entry by entry, whatever its size. Its card is verified when it is the newest thing
/// in the log.
fn folder(
    dir: &Path,
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, Failure> {
    let log = LogReader::open(dir)?;
    let mut parts = Parts { heads: vec![head(&log.head().note, &[])], weights, ..Parts::default() };
    if let Some(card) = log.current_card()? {
        let tree = TileTree::new(&log, log.size());
        let path = merkle::consistency_path(card.card.as_of.size, log.size(), &tree);
        let path = path.map_err(|e| Failure::input(format!("{}: {e}", dir.display())))?;
        parts.heads = vec![head(&card.head.note, &[]), head(&log.head().note, &path)];
        parts.card = Some(Cow::Owned(card.bytes));
    }
    parts.keys = keys_beside(dir);
    let entries = CheckedEntries::new(&log, log.size()).map(|entry| entry.map(Cow::Owned));
    Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), policy))
}

fn remote(
    url: &str,
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, Failure> {
    let log = RemoteLog::new(url)?;
    let note = log.checkpoint()?;
    let parsed =
        Note::parse(&note).map_err(|e| Failure::input(format!("{url}/checkpoint: {e}")))?;
    let size = Checkpoint::parse(&parsed.text)
        .map_err(|e| Failure::input(format!("{url}/checkpoint: {e}")))?
        .size;
    let parts = Parts { heads: vec![head(&note, &[])], weights, ..Parts::default() };
    // The head first: what is not signed as the person wants is not worth fetching.
    let head_only = verify::verify_parts(&parts, EntryStream::Some(&[]), policy);
    if policy.is_some() && !head_only.keys.iter().any(|key| key.chosen && key.signed) {
        return Ok(head_only);
    }
    if log.opens_entries(size)? {
        let entries = CheckedEntries::new(&log, size).map(|entry| only_events(entry?));
        return Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), policy));
    }
    Ok(head_only)
}

/// Ends the fetching at the first entry that is no event, from a server that has no end of them.
fn only_events(entry: Vec<u8>) -> Result<Cow<'static, [u8]>, String> {
    Event::decode(&entry).map_err(|e| e.to_string())?;
    Ok(Cow::Owned(entry))
}

fn head(note: &str, path: &[Hash]) -> Head {
    let proof = path.iter().map(|hash| HashBytes::new(*hash)).collect();
    Head { note: note.to_owned(), proof }
}

/// The key that the producer wrote beside the log: it shows that the folder agrees with itself, and
/// never counts as chosen.
fn keys_beside(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("policy").join("policy")).unwrap_or_default();
    let keys = text.lines().filter_map(|line| line.strip_prefix("log ")?.split_whitespace().next());
    keys.map(str::to_owned).collect()
}
