//! `rlhf-audit person`

use std::process::ExitCode;

use producer::{Annotation, Person, PersonRecord};
use serde_json::{Value as Json, json};
use trail::view;

use super::{erase, open};
use crate::args;
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &args::Person, output: &Output) -> Done {
    // The log says that something was asked for before it is given: a typing error must not end up in it.
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if args.output.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
        let path = args.output.display();
        return Err(Failure::input(format!(
            "{path}: no file can be written here; nothing was opened"
        )));
    }
    let ids = erase::ids(std::slice::from_ref(&args.annotator))?;
    let [id] = ids.as_slice() else {
        return Err(Failure::input("give one annotator's id; a file is for one person"));
    };
    let mut audit = open(&args.dir, &args.unlock)?;
    let person = audit.person(id)?;
    let document = document(&person, id, audit.model(), audit.origin());
    let bytes = format!("{document:#}\n");
    producer::write_private(&args.output, bytes.as_bytes())?;
    let records = person.records.len();
    output.result(
        &json!({
            "records": records,
            "file": args.output,
            "entry": person.entry,
            "disclosed_to": person.disclosed_to,
        }),
        format_args!(
            "Wrote what this person gave, {records} records, to {}, which only you may read. Entry {} of the log says \
             that somebody's records were asked for, not whose.",
            args.output.display(),
            person.entry
        ),
    );
    Ok(ExitCode::SUCCESS)
}

/// For the person: what they gave, what the log holds of it, and who has seen it.
fn document(person: &Person, id: &str, model: &str, origin: &str) -> Json {
    json!({
        "annotator_id": id,
        "model": model,
        "log": origin,
        "records": person.records.iter().map(record).collect::<Vec<_>>(),
        "disclosed_to": person.disclosed_to,
        "disclosed_to_is": "those to whom the log says that something of it was opened; `evidence --open` leaves no \
            trace there",
        "privacy_spent": person.spent.map(|cost| json!({"rho": cost.rho, "epsilon": cost.epsilon})),
    })
}

fn record(record: &PersonRecord) -> Json {
    let PersonRecord { index, event, annotation } = record;
    let given = match annotation {
        Annotation::Rating { prompt, response, reward, .. } => {
            json!({"prompt": prompt, "response": response, "reward": reward})
        }
        Annotation::Preference { prompt, chosen, rejected, .. } => {
            json!({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        }
        _ => Json::Null,
    };
    json!({"given": given, "in_the_log": view::entry(*index, event, None)})
}
