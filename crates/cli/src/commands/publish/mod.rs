//! `rlhf-audit publish`

mod witnesses;

use std::process::ExitCode;

use serde_json::json;

use crate::args::Publish;
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &Publish, output: &Output) -> Done {
    let Some(asked) = witnesses::ask(args)? else {
        return Err(Failure::input(
            "there is nobody to publish to: the policy has no line `witness NAME VKEY URL`; add one for each \
             witness of this log",
        ));
    };
    let mut json = asked.to_json();
    json["published"] = json!([]);
    output.result(&json, &asked);
    // The answer says what was reached, and standard error why that is not enough.
    if asked.is_refused() {
        Ok(ExitCode::from(1))
    } else {
        asked.enough().map(|()| ExitCode::SUCCESS)
    }
}
