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
    Ok(ExitCode::from(asked.status()))
}
