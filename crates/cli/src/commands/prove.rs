//! `rlhf-audit prove`

use std::path::PathBuf;
use std::process::ExitCode;

use producer::LogReader;
use serde_json::json;

use crate::args::Prove;
use crate::failure::Done;
use crate::output::{Output, write_file};

pub fn run(args: &Prove, output: &Output) -> Done {
    let log = LogReader::open(&args.dir)?;
    let proof = log.prove(args.index)?;
    let path =
        args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.tlog-proof", args.index)));
    write_file(&path, proof.to_string().as_bytes())?;
    output.result(
        &json!({"index": args.index, "size": log.size(), "path": path}),
        format_args!(
            "Proof that entry {} is among {} in {}",
            args.index,
            log.size(),
            path.display()
        ),
    );
    Ok(ExitCode::SUCCESS)
}
