//! `rlhf-audit verify`

use std::process::ExitCode;

use trail::report::{Report, Verdict};
use trail::verify::Question;

use super::digest;
use crate::args::Verify;
use crate::failure::{Done, Failure};
use crate::output::Output;
use crate::report_text::ReportText;
use crate::{earlier, policy, target};

pub fn run(args: &Verify, output: &Output) -> Done {
    let policy = args.policy.as_deref().map(policy::read).transpose()?;
    let weights = match &args.weights {
        Some(path) => Some(digest::digest(path, output)?.root),
        None => None,
    };
    let earlier = args.earlier.as_deref().map(earlier::read).transpose()?;
    let question = Question { policy: policy.as_ref(), weights, earlier: earlier.as_ref() };
    let report = target::verify(&args.target, &question)?;
    let json = serde_json::to_value(&report).map_err(Failure::input)?;
    output.result(&json, ReportText(&report));
    Ok(exit_code(&report))
}

/// 0 verified and policy met, 1 failed or policy not met, 4 consistent with itself but no policy given.
pub fn exit_code(report: &Report) -> ExitCode {
    ExitCode::from(match (report.verdict, report.meets_policy) {
        (Verdict::Failed, _) | (_, Some(false)) => 1,
        (_, Some(true)) => 0,
        (_, None) => 4,
    })
}
