//! The one verification function: evidence and a policy in, a report out.
//!
//! The command line, Python and the browser all call [`verify`] (or [`verify_parts`], for a log folder
//! too large to hold in memory) and differ only in how they show the report.
//!
//! | file | subject |
//! |---|---|
//! | `heads` | tree heads: form, signatures, consistency |
//! | `hybrid` | the post-quantum signature beside a head's own |
//! | `replay` | the entries, read once in order |
//! | `claims` | the model card against what the entries give |
//! | `weights` | a model in hand against the weights in the log |
//! | `requirements` | what the policy asks for |
//! | `summary` | the verdict and the two lists in words |

mod claims;
mod heads;
mod hybrid;
mod replay;
mod requirements;
mod summary;
mod weights;

use std::borrow::Cow;

use crate::commitment::DisclosedOpening;
use crate::evidence::{Entries, Evidence, EvidenceError, HashBytes, Head, ProvenEntry};
use crate::merkle::Hash;
use crate::policy::TrustPolicy;
use crate::proof::LogProof;
use crate::report::{Bytes, Check, Outcome, Report};

/// Verifies an evidence file, or a `.tlog-proof` that carries its entry, by a policy if the verifying
/// person has one.
///
/// # Errors
/// The bytes are neither. Everything that can be read gets a report.
pub fn verify(bytes: &[u8], policy: Option<&TrustPolicy>) -> Result<Report, EvidenceError> {
    verify_with_weights(bytes, policy, None)
}

/// As [`verify`], and checks that weights with this root are among those logged.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_with_weights(
    bytes: &[u8],
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, EvidenceError> {
    if LogProof::is_one(bytes) {
        return verify_proof(bytes, policy, weights);
    }
    let evidence = Evidence::parse(bytes)?;
    let parts = Parts {
        card: evidence.card.as_ref().map(|card| Cow::Borrowed(card.as_slice())),
        keys: evidence.keys,
        heads: evidence.heads,
        anchors: evidence.anchors.len(),
        weights,
        openings: evidence.openings,
    };
    let entries = match &evidence.entries {
        Entries::All(all) => {
            EntryStream::All(Box::new(all.iter().map(|e| Ok(Cow::Borrowed(e.as_slice())))))
        }
        Entries::Some(some) => EntryStream::Some(some),
    };
    Ok(verify_parts(&parts, entries, policy))
}

fn verify_proof(
    bytes: &[u8],
    policy: Option<&TrustPolicy>,
    weights: Option<Hash>,
) -> Result<Report, EvidenceError> {
    let text =
        str::from_utf8(bytes).map_err(|_| EvidenceError::Proof("not a tlog-proof: not UTF-8"))?;
    let proof = LogProof::parse(text).map_err(|e| EvidenceError::Proof(e.reason()))?;
    let entry = proof.extra.ok_or(EvidenceError::Proof(
        "this tlog-proof does not carry its entry as extra data, so there is nothing to compare it with",
    ))?;
    let path = proof.path.iter().map(|hash| HashBytes::new(*hash)).collect();
    let parts = Parts {
        heads: vec![Head { note: proof.checkpoint, proof: Vec::new() }],
        weights,
        ..Parts::default()
    };
    let entries = [ProvenEntry(proof.index, entry.into(), path)];
    Ok(verify_parts(&parts, EntryStream::Some(&entries), policy))
}

/// What is verified, besides the entries.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    /// The model card.
    pub card: Option<Cow<'a, [u8]>>,
    /// The verifier keys that the producer says it signs with.
    pub keys: Vec<String>,
    /// Signed tree heads, oldest first.
    pub heads: Vec<Head>,
    /// How many anchors there are.
    pub anchors: usize,
    /// The weight root of a model that the verifying person holds.
    pub weights: Option<Hash>,
    /// Opened private fields.
    pub openings: Vec<DisclosedOpening>,
}

/// The entries, as they come.
#[allow(missing_debug_implementations)]
pub enum EntryStream<'a> {
    /// All entries of the newest head, in order. An error ends them and is a failed check.
    All(Box<dyn Iterator<Item = Result<Cow<'a, [u8]>, String>> + 'a>),
    /// Some entries with their inclusion proofs.
    Some(&'a [ProvenEntry]),
}

/// Verifies what need not be one file: a log folder, a log's URL.
pub fn verify_parts(
    parts: &Parts<'_>,
    entries: EntryStream<'_>,
    policy: Option<&TrustPolicy>,
) -> Report {
    let mut checks = Vec::new();
    let mut heads = heads::check(parts, policy, &mut checks);
    hybrid::verify(&mut heads, policy);
    let card = claims::read(parts, &mut checks);
    let mut replay = replay::replay(entries, parts, &heads, card.as_ref(), &mut checks);
    replay.proven &= heads.readable && !heads.forged;
    let card = claims::check(card, &heads, &replay, &mut checks);
    weights::check(parts, &replay, &mut checks);
    let openings = replay.openings(&parts.openings, &mut checks);
    requirements::check(parts, policy, &heads, &replay, &mut checks);
    summary::report(parts, policy, heads, replay, card, openings, checks)
}

fn pass(name: &'static str, title: &'static str, reason: impl Into<String>) -> Check {
    Check { name, title, result: Outcome::Pass, reason: reason.into(), stands_on: Vec::new() }
}

fn fail(name: &'static str, title: &'static str, reason: impl Into<String>) -> Check {
    Check { result: Outcome::Fail, ..pass(name, title, reason) }
}

fn absent(name: &'static str, title: &'static str, reason: impl Into<String>) -> Check {
    Check { result: Outcome::Absent, ..pass(name, title, reason) }
}

fn bytes(what: impl Into<String>, bytes: impl Into<String>) -> Bytes {
    Bytes { what: what.into(), bytes: bytes.into() }
}

fn hashes(list: &[HashBytes]) -> Vec<Hash> {
    list.iter().map(|hash| **hash).collect()
}

/// A few of many reasons, each cut to what a person reads: a stranger decides how long and how many.
fn some_of(reasons: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = reasons.iter().take(SHOWN).map(|r| cut(r)).collect::<Vec<_>>().join("; ");
    if reasons.len() > SHOWN {
        text.push_str(&format!("; and {} more", reasons.len() - SHOWN));
    }
    text
}

fn cut(text: &str) -> String {
    const LENGTH: usize = 300;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `1 entry`, `2 entries`.
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
