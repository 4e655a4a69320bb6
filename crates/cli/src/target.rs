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
use trail::report::Report;
use trail::tile::{CheckedEntries, TileError, TileTree};
use trail::verify::{self, Earlier, EntryStream, OlderRoot, Parts, Question};

use crate::failure::Failure;
use crate::remote::RemoteLog;

/// Verifies whatever `target` names.
pub fn verify(target: &str, question: &Question<'_>) -> Result<Report, Failure> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return remote(target, question);
    }
    let path = Path::new(target);
    if path.is_dir() { folder(path, question) } else { file(path, question) }
}

fn file(path: &Path, question: &Question<'_>) -> Result<Report, Failure> {
    let bytes = fs::read(path).map_err(|e| Failure::file(path, "read the file", &e))?;
    verify::verify(&bytes, question).map_err(|e| Failure::input(format!("{}: {e}", path.display())))
}

/// A folder is read entry by entry, whatever its size. Its card is verified when it is the newest thing
/// in the log.
fn folder(dir: &Path, question: &Question<'_>) -> Result<Report, Failure> {
    let log = LogReader::open(dir)?;
    let mut parts = Parts { heads: vec![head(&log.head().note, &[])], ..Parts::default() };
    if let Some(card) = log.current_card()? {
        let tree = TileTree::new(&log, log.size());
        let path = merkle::consistency_path(card.card.as_of.size, log.size(), &tree);
        let path = path.map_err(|e| Failure::input(format!("{}: {e}", dir.display())))?;
        parts.heads = vec![head(&card.head.note, &[]), head(&log.head().note, &path)];
        parts.card = Some(Cow::Owned(card.bytes));
    }
    parts.keys = keys_beside(dir);
    let entries = CheckedEntries::new(&log, log.size()).map(|entry| entry.map(Cow::Owned));
    Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), question))
}

fn remote(url: &str, question: &Question<'_>) -> Result<Report, Failure> {
    let log = RemoteLog::new(url)?;
    let note = log.checkpoint()?;
    let parsed =
        Note::parse(&note).map_err(|e| Failure::input(format!("{url}/checkpoint: {e}")))?;
    let size = Checkpoint::parse(&parsed.text)
        .map_err(|e| Failure::input(format!("{url}/checkpoint: {e}")))?
        .size;
    let mut parts = Parts { heads: vec![head(&note, &[])], ..Parts::default() };
    // The head first: what is not signed as the person wants is not worth fetching.
    let head_only = verify::verify_parts(&parts, EntryStream::Some(&[]), question);
    if question.policy.is_some() && !head_only.keys.iter().any(|key| key.chosen && key.signed) {
        return Ok(head_only);
    }
    if log.opens_entries(size)? {
        let entries = CheckedEntries::new(&log, size).map(|entry| only_events(entry?));
        return Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), question));
    }
    parts.older =
        older_root(&log, size, question).map_err(|e| Failure::Outside(format!("{url}: {e}")))?;
    if parts.older.is_none() {
        return Ok(head_only);
    }
    Ok(verify::verify_parts(&parts, EntryStream::Some(&[]), question))
}

/// What a log that shows its tree and no entries was at the size of the earlier record.
fn older_root(
    log: &RemoteLog,
    size: u64,
    question: &Question<'_>,
) -> Result<Option<OlderRoot>, TileError<String>> {
    let earlier = question.earlier.and_then(Earlier::newest);
    let Some((_, earlier)) = earlier.filter(|(_, earlier)| (1..size).contains(&earlier.size))
    else {
        return Ok(None);
    };
    let tree = TileTree::new(log, size);
    Ok(Some(OlderRoot {
        size: earlier.size,
        root: merkle::root(earlier.size, &tree)?,
        proof: merkle::consistency_path(earlier.size, size, &tree)?,
    }))
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
