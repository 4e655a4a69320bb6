//! `rlhf-audit disclose`

use std::process::ExitCode;

use serde_json::json;
use trail::commitment::DisclosedOpening;

use super::{evidence, open};
use crate::args::Disclose;
use crate::failure::{Done, Failure};
use crate::output::{Output, printable};

pub fn run(args: &Disclose, output: &Output) -> Done {
    // The log says that something was opened before the file is there: a typing error must not end up in it.
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if args.output.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        let path = args.output.display();
        return Err(Failure::input(format!(
            "{path}: no file can be written here; nothing was opened"
        )));
    }
    let mut audit = open(&args.dir, &args.unlock)?;
    let entries = args.event.iter().copied().collect();
    let fields = args.field.iter().cloned().collect();
    let disclosed = audit.disclose_to(&args.to, &entries, &fields)?;
    let opened: Vec<_> = disclosed.openings.iter().map(describe).collect();
    let written = evidence::write(
        &mut audit,
        &args.dir,
        &args.output,
        args.entries,
        disclosed.openings,
        &[],
    )?;
    let mut json = written.json();
    json["auditor"] = args.to.as_str().into();
    json["opened"] = opened.into();
    json["entry"] = disclosed.entry.into();
    output.result(
        &json,
        format_args!(
            "{written}\nIt opens {} private fields, to everyone who gets it. Entry {} of the log says that they were \
             opened for {}.",
            json["openings"],
            disclosed.entry,
            printable(&args.to),
        ),
    );
    Ok(ExitCode::SUCCESS)
}

/// Which field of which entry; never its content.
fn describe(opening: &DisclosedOpening) -> serde_json::Value {
    json!({"entry": opening.index, "field": opening.field})
}
