//! `rlhf-audit evidence`

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use trail::commitment::DisclosedOpening;
use trail::report::Outcome;

use super::open;
use crate::args::{EntryChoice, Evidence};
use crate::failure::{Done, Failure};
use crate::output::{Output, write_file};

pub fn run(args: &Evidence, output: &Output) -> Done {
    let fields = args.open.iter().map(|field| parse_field(field)).collect::<Result<Vec<_>, _>>()?;
    let mut audit = open(&args.dir, &args.unlock)?;
    let openings = fields
        .iter()
        .map(|(index, field)| Ok(audit.disclose(*index, field)?))
        .collect::<Result<Vec<DisclosedOpening>, Failure>>()?;
    let card = audit.card()?;
    let choice = match args.entries {
        EntryChoice::All => producer::EntryChoice::All,
        EntryChoice::Claims => producer::EntryChoice::Claims,
    };
    let evidence = audit.reader().evidence(&card, audit.vkey(), choice, openings)?;
    let bytes =
        evidence.to_bytes().map_err(|e| Failure::file(&args.output, "write the evidence", &e))?;
    check(&args.dir, &bytes)?;
    write_file(&args.output, &bytes)?;
    output.result(
        &json!({
            "path": args.output,
            "bytes": bytes.len(),
            "size": audit.size(),
            "openings": evidence.openings.len(),
        }),
        format_args!(
            "Evidence for {} entries in {}, {} bytes.",
            audit.size(),
            args.output.display(),
            bytes.len()
        ),
    );
    Ok(ExitCode::SUCCESS)
}

/// Evidence of a damaged log would look like a forgery to whoever gets it, so none is written.
fn check(dir: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let report = trail::verify::verify(bytes, None).map_err(Failure::input)?;
    let failed = report.checks.iter().find(|check| check.result == Outcome::Fail);
    failed.map_or(Ok(()), |check| {
        Err(Failure::input(format!(
            "{}: the log is damaged, and no evidence was written: {}; restore the whole folder from a backup",
            dir.display(),
            check.reason
        )))
    })
}

fn parse_field(text: &str) -> Result<(u64, &str), Failure> {
    let parsed = text.split_once(':').and_then(|(index, field)| Some((index.parse().ok()?, field)));
    parsed.ok_or_else(|| {
        Failure::input(format!(
            "--open {text}: give the entry's index and the field, for example 12:reward"
        ))
    })
}
