//! The one verification function: evidence and a policy in, a report out.
//!
//! The command line, Python and the browser all call [`verify`] (or [`verify_parts`], for a log folder
//! too large to hold in memory) and differ only in how they show the report.
//!
//! | file | subject |
//! |---|---|
//! | `heads` | tree heads: form, signatures, consistency |
//! | `keys` | keys that took over from others, or fell into strangers' hands |
//! | `hybrid` | the post-quantum signature beside a head's own |
//! | `replay` | the entries, read once in order |
//! | `gaps` | when nothing could be recorded, as the producer says |
//! | `claims` | the model card against what the entries give |
//! | `weights` | a model in hand against the weights in the log |
//! | `anchors` | published heads, as one sequence, and their time |
//! | `history` | an earlier record of the log, and whether this one continues it |
//! | `roots`, `places` | the roots that the log had at some of its sizes; places in it where something is looked for |
//! | `requirements` | what the policy asks for |
//! | `scope` | how far a failure reaches |
//! | `summary` | the verdict and the two lists in words |

mod anchors;
mod claims;
mod gaps;
mod heads;
mod history;
mod hybrid;
mod keys;
mod places;
mod replay;
mod requirements;
mod roots;
mod scope;
mod sentences;
mod summary;
mod weights;

use std::borrow::Cow;

use crate::anchor::Anchor;
use crate::commitment::DisclosedOpening;
use crate::evidence::{Entries, Evidence, EvidenceError, HashBytes, Head, ProvenEntry};
use crate::merkle::Hash;
use crate::note::VerifierKey;
use crate::policy::TrustPolicy;
use crate::proof::LogProof;
use crate::report::{Bytes, Check, Outcome, Report};

pub use anchors::MANY_ANCHORS;
pub use history::Earlier;
pub use keys::MAX_CHANGES;
use replay::Wanted;
use summary::Gave;

/// What the verifying person brings along, besides the evidence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// Whose signatures they accept, and what else they require.
    pub policy: Option<&'a TrustPolicy>,
    /// Weights that they hold: are they among those logged?
    pub weights: &'a [HeldWeights],
    /// What they were given of this log before: does the log continue it?
    pub earlier: Option<&'a Earlier>,
}

/// Weights in the verifying person's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldWeights {
    /// Their root.
    pub root: Hash,
    /// The SHA-256 of their sketch, where it was computed.
    pub sketch: Option<Hash>,
    /// Whether nothing is asked of them but their sketch: they were brought and answered before.
    pub answered: bool,
}

impl<'a> Question<'a> {
    /// By this policy, and nothing else.
    pub fn by(policy: Option<&'a TrustPolicy>) -> Self {
        Self { policy, ..Self::default() }
    }
}

/// Verifies an evidence file, or a `.tlog-proof` that carries its entry.
///
/// # Errors
/// The bytes are neither. Everything that can be read gets a report.
pub fn verify(bytes: &[u8], question: &Question<'_>) -> Result<Report, EvidenceError> {
    if LogProof::is_one(bytes) {
        return verify_proof(bytes, question);
    }
    let evidence = Evidence::parse(bytes)?;
    let parts = Parts {
        card: evidence.card.as_ref().map(|card| Cow::Borrowed(card.as_slice())),
        keys: evidence.keys,
        heads: evidence.heads,
        anchors: evidence.anchors,
        openings: evidence.openings,
        older: None,
    };
    Ok(verify_parts(&parts, evidence.entries.stream(), question))
}

fn verify_proof(bytes: &[u8], question: &Question<'_>) -> Result<Report, EvidenceError> {
    let proof = read_proof(bytes)?;
    let entry = proof.extra.ok_or(EvidenceError::Proof(
        "this tlog-proof does not carry its entry as extra data, so there is nothing to compare it with",
    ))?;
    let path = proof.path.iter().map(|hash| HashBytes::new(*hash)).collect();
    let parts = Parts {
        heads: vec![Head { note: proof.checkpoint, proof: Vec::new() }],
        ..Parts::default()
    };
    let entries = [ProvenEntry(proof.index, entry.into(), path)];
    Ok(verify_parts(&parts, EntryStream::Some(&entries), question))
}

fn read_proof(bytes: &[u8]) -> Result<LogProof, EvidenceError> {
    let text =
        str::from_utf8(bytes).map_err(|_| EvidenceError::Proof("not a tlog-proof: not UTF-8"))?;
    LogProof::parse(text).map_err(|e| EvidenceError::Proof(e.reason()))
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
    /// Published heads.
    pub anchors: Vec<Anchor>,
    /// Opened private fields.
    pub openings: Vec<DisclosedOpening>,
    /// What the log was at an earlier size, where the newest head's file does not say it.
    pub older: Option<OlderRoot>,
}

/// A root that a log had before, with the proof that its newest head continues it.
#[derive(Clone, Debug)]
pub struct OlderRoot {
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The RFC 6962 consistency proof from there to the newest head.
    pub proof: Vec<Hash>,
}

/// The entries, as they come.
#[allow(missing_debug_implementations)]
pub enum EntryStream<'a> {
    /// All entries of the newest head, in order. An error ends them and is a failed check.
    All(Box<dyn Iterator<Item = Result<Cow<'a, [u8]>, String>> + 'a>),
    /// Some entries with their inclusion proofs.
    Some(&'a [ProvenEntry]),
}

impl Entries {
    fn stream(&self) -> EntryStream<'_> {
        match self {
            Self::All(all) => {
                EntryStream::All(Box::new(all.iter().map(|e| Ok(Cow::Borrowed(e.as_slice())))))
            }
            Self::Some(some) => EntryStream::Some(some),
        }
    }
}

/// Verifies what need not be one file: a log folder, a log's URL.
pub fn verify_parts(
    parts: &Parts<'_>,
    entries: EntryStream<'_>,
    question: &Question<'_>,
) -> Report {
    let policy = question.policy;
    let mut checks = Vec::new();
    let mut heads = heads::check(parts, policy, &mut checks);
    let earlier = question.earlier;
    let card = claims::read(parts, &mut checks);
    let wanted = Wanted {
        card: card.as_ref(),
        weights: question.weights,
        sizes: heads.sizes().chain(earlier.into_iter().flat_map(Earlier::sizes)).collect(),
    };
    let mut replay = replay::replay(entries, parts, &heads, wanted, &mut checks);
    keys::follow(&mut heads, parts, policy, &replay, &mut checks);
    replay.proven &= heads.readable && !heads.forged;
    let before = earlier.map(|earlier| history::read(earlier, &heads, policy));
    let card = claims::check(card, &heads, &replay, &mut checks);
    let drift = weights::check(question.weights, &replay, &mut checks);
    let place = checks.len();
    let openings = replay.openings(&parts.openings, &mut checks);
    let anchors = anchors::check(parts, policy, &heads, &replay, &mut checks);
    keys::judge(&mut heads, policy, &anchors, &mut checks);
    // Only now is it known which keys lead to which.
    let history = before.map(|before| {
        let (report, check) = history::check(&before, parts, &heads, &replay);
        checks.insert(place, check);
        report
    });
    hybrid::verify(&mut heads, policy);
    let witnesses = requirements::check(policy, &heads, &replay, &anchors, &mut checks);
    let gave = Gave { drift, heads, replay, witnesses, anchors, card, openings, history, checks };
    summary::report(parts, policy, gave)
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

/// A key as a reason names it.
fn by_fingerprint(key: &VerifierKey) -> String {
    format!("the key of {}, fingerprint {}", key.name(), key.fingerprint_text())
}

/// `1 entry`, `2 entries`.
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
