//! `rlhf-audit privacy`: a log's budget, or a plan

use std::process::ExitCode;

use producer::{Noise, PrivacyPlan};

use crate::args::Privacy;
use crate::failure::Done;
use crate::output::Output;

pub fn run(args: &Privacy, output: &Output) -> Done {
    let (json, text) = match &args.dir {
        Some(dir) => producer::privacy_report(dir)?,
        None => {
            let plan = PrivacyPlan::new(noise(args), args.rate, args.steps, args.delta)?;
            (plan.json(), plan.text())
        }
    };
    output.result(&json, text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The parser demands one of the two; no target is refused as one that is not a number.
fn noise(args: &Privacy) -> Noise {
    let target = args.target_epsilon.unwrap_or(f64::NAN);
    args.noise_multiplier.map_or(Noise::ForEpsilon(target), Noise::Multiplier)
}
