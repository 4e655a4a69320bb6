//! `rlhf-audit run`

use std::process::ExitCode;

use producer::Logged;
use serde_json::json;

use super::open;
use crate::args::Run;
use crate::failure::Done;
use crate::output::Output;

pub fn run(args: &Run, output: &Output) -> Done {
    let (logged, done) = match args {
        Run::Start { dir, unlock } => (open(dir, unlock)?.start_run()?, "started"),
        Run::End { dir, outcome, unlock } => (open(dir, unlock)?.end_run(outcome)?, "ended"),
    };
    let Logged { logged, first_index, size } = logged;
    output.result(
        &json!({"logged": logged, "first_index": first_index, "size": size}),
        format_args!("The run has {done}: entry {first_index}."),
    );
    Ok(ExitCode::SUCCESS)
}
