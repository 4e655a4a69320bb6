//! `rlhf-audit verify`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use trail::report::{Bytes, Check, Outcome, Report, Scope, Verdict};
use trail::verify::{HeldWeights, Question};
use trail::view::hex;

use super::weight_proof::{self, Shown};
use super::{device, digest};
use crate::args::{Device, Verify};
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::report_text::ReportText;
use crate::{earlier, policy, target};

pub fn run(args: &Verify, output: &Output) -> Done {
    let policy = args.policy.as_deref().map(policy::read).transpose()?;
    let weights = weights(&args.weights, args.tensor.as_deref(), args.device, output)?;
    let earlier = args.earlier.as_deref().map(earlier::read).transpose()?;
    let held = weights.held();
    let question = Question { policy: policy.as_ref(), weights: &held, earlier: earlier.as_ref() };
    let mut report = target::verify(&args.target, &question)?;
    let Weights::Shown(shown) = weights else {
        let json = serde_json::to_value(&report).map_err(Failure::input)?;
        output.result(&json, ReportText(&report));
        return Ok(exit_code(&report));
    };
    if !shown.holds() {
        fail(&mut report, &shown);
    }
    let mut json = serde_json::to_value(&report).map_err(Failure::input)?;
    json["weight_proof"] = shown.json();
    output.result(&json, format_args!("{}\n\n{}", shown.text(), ReportText(&report)));
    Ok(exit_code(&report))
}

/// A proof that does not hold is a failure whatever the log says: what is held may well lead to another
/// root that is in it.
fn fail(report: &mut Report, shown: &Shown) {
    report.verdict = Verdict::Failed;
    report.verdict_text = Verdict::Failed.text(None);
    report.meets_policy = report.meets_policy.map(|_| false);
    report.scope.get_or_insert_with(|| Scope {
        log_holds: true,
        text: "No check of the log failed. What failed: what you hold is not what the .weight-proof is about."
            .to_owned(),
    });
    report.checks.push(Check {
        name: "weights",
        title: "What you hold belongs to weights in the log",
        result: Outcome::Fail,
        reason: "it is not what the .weight-proof is about".to_owned(),
        stands_on: vec![Bytes {
            what: "root that what you hold leads to".to_owned(),
            bytes: hex(&shown.leads_to),
        }],
    });
}

/// What the person holds of the model.
enum Weights {
    /// All of it, or of several.
    Whole(Vec<HeldWeights>),
    /// A proof, and perhaps the tensor it is about.
    Shown(Box<Shown>),
}

impl Weights {
    /// What is to be found in the log.
    fn held(&self) -> Vec<HeldWeights> {
        match self {
            Self::Whole(all) => all.clone(),
            Self::Shown(shown) if shown.holds() => {
                vec![HeldWeights { root: shown.leads_to, sketch: None, answered: false }]
            }
            Self::Shown(_) => Vec::new(),
        }
    }
}

fn weights(
    paths: &[PathBuf],
    tensor: Option<&Path>,
    device: Device,
    output: &Output,
) -> Result<Weights, Failure> {
    let wrong = |path: &Path, why| Failure::input(format!("{}: {why}", path.display()));
    for path in paths {
        match (weight_proof::is_one(path)?, paths.len()) {
            (true, 1) => {
                return Shown::new(path, tensor).map(|shown| Weights::Shown(Box::new(shown)));
            }
            (true, _) => {
                return Err(wrong(
                    path,
                    "a .weight-proof is checked alone; name no other --weights",
                ));
            }
            (false, _) if tensor.is_some() => {
                return Err(wrong(path, "not a .weight-proof; --tensor goes with one"));
            }
            (false, _) => {}
        }
    }
    let held = paths.iter().map(|path| {
        let choice = device::for_weights(device, path)?;
        let (digest, sketch) = digest::sketched(path, choice.engine.as_ref(), output)?;
        Ok(HeldWeights { root: digest.root, sketch: Some(sketch.digest()), answered: false })
    });
    held.collect::<Result<_, _>>().map(Weights::Whole)
}

/// 0 verified and policy met, 1 failed or policy not met, 4 consistent with itself but no policy given.
pub fn exit_code(report: &Report) -> ExitCode {
    ExitCode::from(match (report.verdict, report.meets_policy) {
        (Verdict::Failed, _) | (_, Some(false)) => 1,
        (_, Some(true)) => 0,
        (_, None) => 4,
    })
}
