//! `rlhf-audit evidence`

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use producer::{Audit, NotPast, SignedHead};
use serde_json::{Value as Json, json};
use trail::checkpoint::Checkpoint;
use trail::commitment::DisclosedOpening;
use trail::report::Outcome;
use trail::verify::{Question, verify};
use trail::view::hex;

use super::open;
use crate::args::{EntryChoice, Evidence};
use crate::earlier;
use crate::failure::{Done, Failure};
use crate::output::{Output, indented, printable, write_file};

pub fn run(args: &Evidence, output: &Output) -> Done {
    let fields = args.open.iter().map(|field| parse_field(field)).collect::<Result<Vec<_>, _>>()?;
    let mut audit = open(&args.dir, &args.unlock)?;
    // Before the card is logged: what is refused changes nothing.
    let since = match past_heads(&args.since, &audit)? {
        Ok(since) => since,
        Err(not_past) => return Ok(refuse(&not_past, output)),
    };
    let openings = fields
        .iter()
        .map(|(index, field)| Ok(audit.disclose(*index, field)?))
        .collect::<Result<Vec<DisclosedOpening>, Failure>>()?;
    let written = write(&mut audit, &args.dir, &args.output, args.entries, openings, &since)?;
    output.result(&written.json(), written);
    Ok(ExitCode::SUCCESS)
}

/// An evidence file that was written.
pub struct Written {
    path: PathBuf,
    bytes: usize,
    size: u64,
    openings: usize,
    heads: usize,
}

impl Written {
    pub fn json(&self) -> Json {
        let Self { path, bytes, size, openings, heads } = self;
        json!({
            "path": path,
            "bytes": bytes,
            "size": size,
            "openings": openings,
            "heads": heads,
        })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, bytes, size, .. } = self;
        write!(f, "Evidence for {size} entries in {}, {bytes} bytes.", path.display())
    }
}

/// Writes evidence for the newest card of a log.
pub fn write(
    audit: &mut Audit,
    dir: &Path,
    path: &Path,
    choice: EntryChoice,
    openings: Vec<DisclosedOpening>,
    since: &[SignedHead],
) -> Result<Written, Failure> {
    let card = audit.card()?;
    let choice = match choice {
        EntryChoice::All => producer::EntryChoice::All,
        EntryChoice::Claims => producer::EntryChoice::Claims,
    };
    let evidence = audit.reader().evidence(&card, audit.vkey(), choice, openings, since)?;
    let bytes = evidence.to_bytes().map_err(|e| Failure::file(path, "write the evidence", &e))?;
    check(dir, &bytes)?;
    write_file(path, &bytes)?;
    Ok(Written {
        path: path.to_owned(),
        bytes: bytes.len(),
        size: audit.size(),
        openings: evidence.openings.len(),
        heads: evidence.heads.len(),
    })
}

/// The newest head of each file, each shown to be of this log's history.
fn past_heads(
    files: &[PathBuf],
    audit: &Audit,
) -> Result<Result<Vec<SignedHead>, Box<NotPast>>, Failure> {
    let mut heads = Vec::new();
    for file in files {
        let earlier = earlier::read(file)?;
        let (note, _) = earlier.newest().ok_or_else(|| {
            Failure::input(format!("{}: there is no tree head in it", file.display()))
        })?;
        match audit.reader().past_head(note, audit.vkey()) {
            Ok(head) => heads.push(head),
            Err(producer::Error::NotPast(not_past)) => return Ok(Err(not_past)),
            Err(e) => return Err(Failure::input(format!("{}: {e}", file.display()))),
        }
    }
    Ok(Ok(heads))
}

/// Both heads in full: whoever holds them can show what happened.
fn refuse(not_past: &NotPast, output: &Output) -> ExitCode {
    let NotPast { why, earlier, here } = not_past;
    let json = |head: &SignedHead| {
        let Checkpoint { size, root, .. } = &head.checkpoint;
        json!({"size": size, "root": hex(root), "note": head.note})
    };
    output.result(
        &json!({"path": null, "reason": why, "earlier": json(earlier), "here": json(here)}),
        format_args!(
            "No evidence was written: the head that was given away before is not of this log's history: {}.\n\n\
             Given away before:\n\n{}\nIn this log:\n\n{}",
            printable(why),
            indented(&earlier.note),
            indented(&here.note)
        ),
    );
    ExitCode::from(1)
}

/// Evidence of a damaged log would look like a forgery to whoever gets it, so none is written.
fn check(dir: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let report = verify(bytes, &Question::default()).map_err(Failure::input)?;
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
