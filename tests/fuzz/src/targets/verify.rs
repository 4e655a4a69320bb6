//! Verification of whole files: whatever a report says is there has been found again another way.

use std::sync::LazyLock;

use serde_bytes::ByteBuf;
use trail::evidence::{Entries, Evidence, HashBytes, Head, ProvenEntry};
use trail::policy::TrustPolicy;
use trail::proof::LogProof;
use trail::report::Report;
use trail::verify::{HeldWeights, Question, verify};

use crate::claims;
use crate::memory::bounded;
use crate::reports::{Asked, assert_sound};
use crate::signer;

static CHOSEN: LazyLock<TrustPolicy> = LazyLock::new(|| policy("quorum none", "null"));
static STRICT: LazyLock<TrustPolicy> = LazyLock::new(|| {
    policy(
        &format!("witness W {}\\nquorum W", signer::witness().key()),
        r#"{"v":1,"complete":true,"witnesses":true}"#,
    )
});

/// By whose policy a file is verified.
#[derive(Clone, Copy, PartialEq)]
pub enum By {
    Nobody,
    Chosen,
    Strict,
}

pub fn run(input: &[u8]) {
    // A claim's value takes serde_json up to 90 bytes for each, and the report repeats it.
    let Ok(report) = bounded(input.len(), 512, || verify(input, &Question::default())) else {
        return;
    };
    let evidence = read(input);
    assert_sound(&report, &evidence, Asked::default());
    ask(input, &evidence, By::Chosen);
    ask(input, &evidence, By::Strict);
}

/// Verifies what is of the right form. Who has a policy asks for the first weights in the log as well.
pub fn ask(input: &[u8], evidence: &Evidence, by: By) -> Report {
    let policy = match by {
        By::Nobody => None,
        By::Chosen => Some(&*CHOSEN),
        By::Strict => Some(&*STRICT),
    };
    let weights = policy.and_then(|_| claims::logged_root(evidence));
    let held: Vec<HeldWeights> = weights
        .map(|root| HeldWeights { root, sketch: Some(root), answered: false })
        .into_iter()
        .collect();
    let question = Question { policy, weights: &held, earlier: None };
    let report = bounded(input.len(), 512, || verify(input, &question));
    let report = report.expect("a file of the right form");
    let asked = Asked { chosen: policy.is_some(), strict: by == By::Strict, weights };
    assert_sound(&report, evidence, asked);
    report
}

fn policy(quorum: &str, requirements: &str) -> TrustPolicy {
    let key = signer::log().key().to_string();
    let json = format!(r#"{{"policy":"log {key}\n{quorum}\n","requirements":{requirements}}}"#);
    TrustPolicy::from_json(&json).unwrap()
}

/// What is verified, as an evidence file would hold it.
fn read(input: &[u8]) -> Evidence {
    if !LogProof::is_one(input) {
        return Evidence::parse(input).unwrap();
    }
    let proof = LogProof::parse(str::from_utf8(input).unwrap()).unwrap();
    let path = proof.path.iter().map(|hash| HashBytes::new(*hash)).collect();
    let entry = ByteBuf::from(proof.extra.unwrap());
    Evidence {
        v: 1,
        card: None,
        keys: Vec::new(),
        heads: vec![Head { note: proof.checkpoint, proof: Vec::new() }],
        anchors: Vec::new(),
        entries: Entries::Some(vec![ProvenEntry(proof.index, entry, path)]),
        openings: Vec::new(),
    }
}
