//! What is to be verified: an evidence file, a proof, a log's folder or a log's URL.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use producer::{LogReader, LoggedChange, Published, SignedHead};
use trail::Event;
use trail::checkpoint::Checkpoint;
use trail::evidence::{HashBytes, Head, ProvenEntry};
use trail::handover::KeyChange;
use trail::merkle::{self, Hash, NodeReader};
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
    if path.is_dir() { Ok(LogReader::open(path)?.verify(question)?) } else { file(path, question) }
}

fn file(path: &Path, question: &Question<'_>) -> Result<Report, Failure> {
    let bytes = fs::read(path).map_err(|e| Failure::file(path, "read the file", &e))?;
    verify::verify(&bytes, question).map_err(|e| Failure::input(format!("{}: {e}", path.display())))
}

/// The heads by size, one for each, with the proof that each continues the one before it.
fn chain<'a, R: NodeReader>(
    heads: impl Iterator<Item = &'a SignedHead>,
    tree: &R,
) -> Result<Vec<Head>, R::Error> {
    let mut heads: Vec<_> = heads.collect();
    heads.sort_by_key(|head| head.checkpoint.size);
    heads.dedup_by_key(|head| head.checkpoint.size);
    let mut before = 0;
    let chained = heads.into_iter().map(|signed| {
        let size = signed.checkpoint.size;
        let path = merkle::consistency_path(before, size, tree)?;
        before = size;
        Ok(head(&signed.note, &path))
    });
    chained.collect()
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
    let newest = SignedHead::parse(note).map_err(|e| Failure::input(format!("{url}: {e}")))?;
    let handed = handed_over(&log, &newest).map_err(Failure::Outside)?;
    if !handed.entries.is_empty() {
        parts.heads = remote_heads(&log, &handed, &Published::default(), &newest)
            .map_err(|e| Failure::Outside(format!("{url}: {e}")))?;
    }
    // The head first: what is not signed as the person wants is not worth fetching.
    let head_only = verify::verify_parts(&parts, EntryStream::Some(&handed.entries), question);
    if question.policy.is_some() && !head_only.keys.iter().any(|key| key.chosen && key.signed) {
        return Ok(head_only);
    }
    if question.policy.is_some_and(|policy| policy.anchors.is_some()) {
        let published = log.published(size).map_err(Failure::Outside)?;
        parts.heads = remote_heads(&log, &handed, &published, &newest)
            .map_err(|e| Failure::Outside(format!("{url}: {e}")))?;
        parts.anchors = published.anchors();
    }
    if log.opens_entries(size)? {
        let entries = CheckedEntries::new(&log, size).map(|entry| only_events(entry?));
        return Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), question));
    }
    parts.older =
        older_root(&log, size, question).map_err(|e| Failure::Outside(format!("{url}: {e}")))?;
    if parts.older.is_none() && parts.anchors.is_empty() {
        return Ok(head_only);
    }
    Ok(verify::verify_parts(&parts, EntryStream::Some(&handed.entries), question))
}

/// What a log at a URL shows of its keys.
struct HandedOver {
    heads: Vec<SignedHead>,
    entries: Vec<ProvenEntry>,
}

/// The entries about keys, each with its proof in the newest head, and the heads in which they were proven first.
fn handed_over(log: &RemoteLog, newest: &SignedHead) -> Result<HandedOver, String> {
    let size = newest.checkpoint.size;
    let tree = TileTree::new(log, size);
    let mut handed = HandedOver { heads: Vec::new(), entries: Vec::new() };
    for LoggedChange { change, proof } in log.key_changes(size)? {
        let path = merkle::inclusion_path(proof.index, size, &tree).map_err(|e| e.to_string())?;
        let path = path.into_iter().map(HashBytes::new).collect();
        let entry = proof.extra.unwrap_or_default();
        handed.entries.push(ProvenEntry(proof.index, entry.into(), path));
        let head = SignedHead::parse(proof.checkpoint)?;
        if matches!(change, KeyChange::Rotate(_)) && head.checkpoint.size <= size {
            handed.heads.push(head);
        }
    }
    Ok(handed)
}

/// The heads of a log at a URL. They are of one history, or the verification says that they are not.
fn remote_heads(
    log: &RemoteLog,
    handed: &HandedOver,
    published: &Published,
    newest: &SignedHead,
) -> Result<Vec<Head>, String> {
    let tree = TileTree::new(log, newest.checkpoint.size);
    let heads = published.heads().chain(&handed.heads).chain([newest]);
    chain(heads, &tree).map_err(|e| e.to_string())
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
