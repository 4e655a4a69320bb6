//! What a build without the feature `hybrid` makes of hybrid heads: never a silent pass.
//! `cargo test -p trail --no-default-features --test without_hybrid`
#![cfg(not(feature = "hybrid"))]
#![allow(clippy::unwrap_used)]

use trail::policy::TrustPolicy;
use trail::report::{Outcome, Report, Verdict};
use trail::verify::{Question, verify};

const VECTORS: &str = include_str!("../../../transparency/vectors/evidence.json");

fn report(file: &[u8], policy: &str) -> Report {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let policy = TrustPolicy::from_json(&vectors["policies"][policy].to_string()).unwrap();
    verify(file, &Question::by(Some(&policy))).unwrap()
}

fn check(report: &Report, name: &str) -> Option<(Outcome, String)> {
    let check = report.checks.iter().find(|check| check.name == name);
    check.map(|check| (check.result, check.reason.clone()))
}

#[test]
fn what_it_cannot_verify_it_says() {
    let cannot = "this build cannot verify ML-DSA-44 signatures".to_owned();
    let hybrid = include_bytes!("../../../transparency/vectors/evidence/hybrid.evidence");
    let cosigned =
        include_bytes!("../../../transparency/vectors/evidence/hybrid-cosigned.evidence");

    let demanded = report(hybrid, "hybrid");
    assert_eq!(demanded.verdict, Verdict::Failed);
    assert_eq!(check(&demanded, "policy.hybrid"), Some((Outcome::Fail, cannot.clone())));
    // The quorum rests on that key alone, so it is not met.
    let quorum = report(hybrid, "second");
    assert_eq!(quorum.verdict, Verdict::Failed);
    assert_eq!(check(&quorum, "policy.hybrid"), Some((Outcome::Absent, cannot.clone())));
    assert_eq!(check(&quorum, "policy.witnesses").unwrap().0, Outcome::Fail);
    // A witness meets the quorum in its place; the demand for both stays unmet.
    let either = report(cosigned, "hybrid_any");
    assert_eq!(check(&either, "policy.witnesses").unwrap().0, Outcome::Pass);
    assert_eq!(check(&either, "policy.hybrid"), Some((Outcome::Fail, cannot)));
    assert!(demanded.keys.iter().all(|key| !key.signed || key.algorithm == "Ed25519"));
    // Who chose the Ed25519 key alone needs nothing more.
    assert_eq!(report(hybrid, "chosen").verdict, Verdict::Signed);
}
