//! `rlhf-audit log`

use std::path::Path;
use std::process::ExitCode;

use producer::{
    Audit, ImportOptions, Imported, Logged, Phase, Progress, Released, ReleasedValue, Round,
    RoundRequest,
};
use serde_json::{Value as Json, json};
use trail::EventType;

use super::{open, update};
use crate::args::{Log, LogDocument};
use crate::failure::{Done, Failure};
use crate::output::{Output, printable};

pub fn run(args: &Log, output: &Output) -> Done {
    match args {
        Log::Annotations { dir, file, keep_going, batch, released, unlock } => {
            let mut audit = open(dir, unlock)?;
            let options = ImportOptions {
                keep_going: *keep_going,
                batch: batch.clone(),
                released: released.clone(),
            };
            let imported = import(&mut audit, file, &options, output)?;
            report_import(&imported, released.as_deref(), output);
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
    options: &ImportOptions,
    output: &Output,
) -> Result<Imported, Failure> {
    let bar = output.progress(0, "");
    let imported = audit.import(file, options, &mut |progress: Progress| {
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

fn report_import(imported: &Imported, written: Option<&Path>, output: &Output) {
    let Logged { logged, first_index, size } = imported.logged;
    let left_out: Vec<_> = imported
        .left_out
        .iter()
        .map(|left| json!({"line": left.line, "reason": left.fault.to_string()}))
        .collect();
    let mut text = format!(
        "Logged {logged} annotations from entry {first_index} on; the log has {size} entries."
    );
    if let Some(batch) = &imported.batch {
        text.push_str(&format!(
            "\nReleased each with noise, as the batch `{}`. {}",
            printable(batch),
            match written {
                Some(path) => format!(
                    "Train on {}, and on nothing else that depends on ratings.",
                    path.display()
                ),
                None => format!(
                    "With --batch '{}' --released FILE the same command writes what to train on.",
                    printable(batch)
                ),
            }
        ));
    }
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
    let mut json = json!({
        "logged": logged,
        "first_index": first_index,
        "size": size,
        "left_out": left_out,
        "ignored_fields": imported.ignored_fields,
    });
    if let Some(batch) = &imported.batch {
        json["batch"] = batch.as_str().into();
        // As the log has them. Whether a preference was told as it was given would give away the vote.
        json["released"] = imported.released.iter().map(released_json).collect();
    }
    output.result(&json, text);
}

fn released_json(released: &Released) -> Json {
    match released.value {
        ReleasedValue::Reward(reward) => json!({"index": released.index, "reward": reward}),
        ReleasedValue::Preference { told, .. } => {
            json!({"index": released.index, "preference": told.to_string()})
        }
    }
}
