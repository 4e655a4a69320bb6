//! `rlhf-audit log`

use std::path::Path;
use std::process::ExitCode;

use producer::{Audit, Imported, Logged, Phase, Progress, Round, RoundRequest};
use serde_json::json;
use trail::EventType;

use super::{open, update};
use crate::args::{Log, LogDocument};
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &Log, output: &Output) -> Done {
    match args {
        Log::Annotations { dir, file, keep_going, unlock } => {
            let mut audit = open(dir, unlock)?;
            let imported = import(&mut audit, file, *keep_going, output)?;
            report_import(&imported, output);
            Ok(ExitCode::SUCCESS)
        }
        Log::Round { dir, id, entries, unlock } => {
            let request = RoundRequest { id: id.clone(), entries: entries.clone() };
            let mut audit = open(dir, unlock)?;
            let round = audit.release_round(&request)?;
            report_round(&round, audit.size(), output);
            Ok(ExitCode::SUCCESS)
        }
        Log::Update(args) => update::log_update(args, output),
        Log::Checkpoint(args) => update::log_checkpoint(args, output),
        Log::Guideline(document) => log_document(document, EventType::Guideline, output),
        Log::Evaluation(document) => log_document(document, EventType::Evaluation, output),
        Log::Incident(document) => log_document(document, EventType::Incident, output),
    }
}

fn report_round(round: &Round, size: u64, output: &Output) {
    let Round { id, index, entries, count, sum, mean, deviation, rho, .. } = round;
    output.result(
        &json!({
            "logged": 1,
            "first_index": index,
            "size": size,
            "id": id,
            "entries": [entries.start, entries.end],
            "count": count,
            "sum": sum,
            "mean": mean,
            "deviation": deviation,
            "rho": rho,
        }),
        format_args!(
            "Released as entry {index}: mean reward {mean:.4} of {count} ratings, with noise of standard deviation \
             {deviation:.4}. It cost each of their annotators rho {rho:.3e}."
        ),
    );
}

fn log_document(args: &LogDocument, kind: EventType, output: &Output) -> Done {
    let logged = open(&args.dir, &args.unlock)?.log_document(kind, &args.file)?;
    let Logged { logged, first_index, size } = logged;
    output.result(
        &json!({"logged": logged, "first_index": first_index, "size": size}),
        format_args!("Logged as entry {first_index}; the log has {size} entries."),
    );
    Ok(ExitCode::SUCCESS)
}

/// Imports annotations with a progress bar.
pub fn import(
    audit: &mut Audit,
    file: &Path,
    keep_going: bool,
    output: &Output,
) -> Result<Imported, Failure> {
    let bar = output.progress(0, "");
    let imported = audit.log_annotations(file, keep_going, &mut |progress: Progress| {
        bar.set_message(match progress.phase {
            Phase::Checking => "Checking",
            Phase::Logging => "Logging",
            _ => "Finishing",
        });
        bar.set_length(progress.of);
        bar.set_position(progress.bytes);
    });
    bar.finish_and_clear();
    Ok(imported?)
}

fn report_import(imported: &Imported, output: &Output) {
    let Logged { logged, first_index, size } = imported.logged;
    let left_out: Vec<_> = imported
        .left_out
        .iter()
        .map(|left| json!({"line": left.line, "reason": left.fault.to_string()}))
        .collect();
    let mut text = format!(
        "Logged {logged} annotations from entry {first_index} on; the log has {size} entries."
    );
    for left in &imported.left_out {
        text.push_str(&format!("\nLeft out line {}: {}", left.line, left.fault));
    }
    if !imported.ignored_fields.is_empty() {
        let names: Vec<&str> = imported.ignored_fields.iter().map(String::as_str).collect();
        text.push_str(&format!(
            "\nNot logged, since they mean nothing here: the fields {}",
            names.join(", ")
        ));
    }
    output.result(
        &json!({
            "logged": logged,
            "first_index": first_index,
            "size": size,
            "left_out": left_out,
            "ignored_fields": imported.ignored_fields,
        }),
        text,
    );
}
