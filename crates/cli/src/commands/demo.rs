//! `rlhf-audit demo`: a whole run, through the same code as every other command.

use std::fs;
use std::path::{Path, PathBuf};

use producer::{Audit, EntryChoice, InitOptions};
use serde_json::json;
use server::Options;
use time::OffsetDateTime;
use trail::EventType;

use super::{log, serve, verify};
use crate::args::Demo;
use crate::failure::{Done, Failure};
use crate::output::{Output, write_file};
use crate::report_text::ReportText;
use crate::{policy, target};

/// Three dozen preference pairs and the instructions by which they were judged, written for this demo.
const ANNOTATIONS: &str = include_str!("../../demo/annotations.jsonl");
const GUIDELINE: &str = include_str!("../../demo/guideline.json");

pub fn run(args: &Demo, output: &Output) -> Done {
    let dir = folder(args)?;
    let inputs = dir.join("inputs");
    let made = Inputs::write(&inputs, args.annotations.as_deref())?;

    let log_dir = dir.join("log");
    let vkey = Audit::init(
        &log_dir,
        &InitOptions { model: "demo-policy".into(), ..InitOptions::default() },
    )?
    .vkey;
    output.say(format_args!("Made keys and a log in {}\n  {vkey}", log_dir.display()));

    let mut audit = Audit::open(&log_dir, None)?;
    audit.log_document(EventType::Guideline, &made.guideline)?;
    let imported = log::import(&mut audit, &made.annotations, false, output)?;
    audit.end_run("completed")?;
    output.say(format_args!(
        "Logged {} annotations; the log has {} entries",
        imported.logged.logged,
        audit.size()
    ));

    let card = audit.card()?;
    let evidence = audit.reader().evidence(&card, audit.vkey(), EntryChoice::All, Vec::new())?;
    let file = dir.join("demo.evidence");
    let bytes = evidence.to_bytes().map_err(|e| Failure::file(&file, "write the evidence", &e))?;
    write_file(&file, &bytes)?;
    output.say(format_args!(
        "Wrote card ({} claims) and evidence ({} bytes)",
        card.card.claims.len(),
        bytes.len()
    ));
    drop(audit);

    let policy_dir = log_dir.join("policy");
    let report =
        target::verify(&file.display().to_string(), Some(&policy::read(&policy_dir)?), None)?;
    output.say(format_args!("\n{}\n", ReportText(&report)));
    let verdict = verify::exit_code(&report);
    if args.no_serve {
        output.result(&json!({"dir": dir, "evidence": file, "policy": policy_dir}), "");
        return Ok(verdict);
    }

    let options = Options {
        log: Some(log_dir),
        evidence: vec![file.clone()],
        port: args.port,
        open_entries: false,
    };
    serve::serve(options, |_, pages| {
        let page = pages.first().map_or("", String::as_str);
        output.result(
            &json!({"dir": dir, "evidence": file, "policy": policy_dir, "url": page}),
            format_args!(
                "See it in a browser: {page}\n\
                 There, choose the key: paste the line above that begins with `{}+`, or open {}.\n\
                 Stop with Ctrl-C.",
                vkey.name(),
                policy_dir.join("policy").display()
            ),
        );
    })?;
    Ok(verdict)
}

/// The folder named, or a new one among the temporary files.
fn folder(args: &Demo) -> Result<PathBuf, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        std::env::temp_dir().join(format!("rlhf-audit-demo-{now}-{}", std::process::id()))
    });
    let empty = match fs::read_dir(&dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => true,
    };
    if !empty {
        return Err(Failure::input(format!(
            "{}: the folder is not empty; choose a new one",
            dir.display()
        )));
    }
    fs::create_dir_all(&dir).map_err(|e| Failure::file(&dir, "create the folder", &e))?;
    Ok(dir)
}

/// The files that the commands are given.
struct Inputs {
    annotations: PathBuf,
    guideline: PathBuf,
}

impl Inputs {
    fn write(dir: &Path, annotations: Option<&Path>) -> Result<Self, Failure> {
        fs::create_dir(dir).map_err(|e| Failure::file(dir, "create the folder", &e))?;
        let file = |name: &str, content: &str| {
            let path = dir.join(name);
            write_file(&path, content.as_bytes()).map(|()| path)
        };
        Ok(Self {
            annotations: match annotations {
                Some(own) => own.to_owned(),
                None => file("annotations.jsonl", ANNOTATIONS)?,
            },
            guideline: file("guideline.json", GUIDELINE)?,
        })
    }
}
