//! `rlhf-audit demo`: a whole run through the same code as every other command. Feedback comes in
//! batch by batch, a small policy learns from it, and every judgement, update and checkpoint is logged.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

use producer::{Audit, EntryChoice, ImportOptions, InitOptions, UpdateOptions};
use serde_json::{Value as Json, json};
use server::Options;
use time::OffsetDateTime;
use trail::EventType;
use trail::verify::Question;

use super::{log, serve, verify};
use crate::args::Demo;
use crate::bigram::{Bigram, Measured, Pair};
use crate::failure::{Done, Failure};
use crate::output::{Output, write_file};
use crate::report_text::ReportText;
use crate::{policy, target};

/// Three dozen preference pairs and the instructions by which they were judged, written for this demo.
const ANNOTATIONS: &str = include_str!("../../demo/annotations.jsonl");
const GUIDELINE: &str = include_str!("../../demo/guideline.json");

/// In how many batches the feedback comes, and how often training goes over all of it.
const BATCHES: usize = 3;
const EPOCHS: usize = 4;

pub fn run(args: &Demo, output: &Output) -> Done {
    let dir = folder(args)?;
    let log_dir = dir.join("log");
    let options = InitOptions { model: "demo-bigram".into(), ..InitOptions::default() };
    let vkey = Audit::init(&log_dir, &options)?.vkey;
    output.say(format_args!("Made keys and a log in {}\n  {vkey}", log_dir.display()));

    let mut audit = Audit::open(&log_dir, None)?;
    let guideline = dir.join("guideline.json");
    write_file(&guideline, GUIDELINE.as_bytes())?;
    audit.log_document(EventType::Guideline, &guideline)?;
    let batches = feedback(args.annotations.as_deref())?;
    Training::new(&mut audit, &dir, output)?.run(&batches)?;
    audit.end_run("completed")?;

    let card = audit.card()?;
    let evidence =
        audit.reader().evidence(&card, audit.vkey(), EntryChoice::All, Vec::new(), &[])?;
    let file = dir.join("demo.evidence");
    let bytes = evidence.to_bytes().map_err(|e| Failure::file(&file, "write the evidence", &e))?;
    write_file(&file, &bytes)?;
    output.say(format_args!(
        "Wrote a card with {} claims, and evidence for {} entries ({} bytes)",
        card.card.claims.len(),
        audit.size(),
        bytes.len()
    ));
    drop(audit);

    let policy_dir = log_dir.join("policy");
    let policy = policy::read(&policy_dir)?;
    let report = target::verify(&file.display().to_string(), &Question::by(Some(&policy)))?;
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
                 Drop the trained model on the page: {}\n\
                 Stop with Ctrl-C.",
                vkey.name(),
                policy_dir.join("policy").display(),
                dir.join("weights").join(format!("epoch_{EPOCHS}.safetensors")).display()
            ),
        );
    })?;
    Ok(verdict)
}

/// Training, with its log.
struct Training<'a> {
    audit: &'a mut Audit,
    output: &'a Output,
    inputs: PathBuf,
    weights: PathBuf,
    policy: Bigram,
    step: u64,
}

impl<'a> Training<'a> {
    fn new(audit: &'a mut Audit, dir: &Path, output: &'a Output) -> Result<Self, Failure> {
        let (inputs, weights) = (dir.join("inputs"), dir.join("weights"));
        for dir in [&inputs, &weights] {
            fs::create_dir(dir).map_err(|e| Failure::file(dir, "create the folder", &e))?;
        }
        let training = Self { audit, output, inputs, weights, policy: Bigram::uniform(), step: 0 };
        training.save("step_0")?;
        Ok(training)
    }

    fn run(mut self, batches: &[Batch]) -> Result<(), Failure> {
        let all: Vec<Pair> = batches.iter().flat_map(|batch| batch.pairs.clone()).collect();
        let mut logged = Vec::new();
        for epoch in 1..=EPOCHS {
            for (number, batch) in batches.iter().enumerate() {
                if epoch == 1 {
                    logged.push(self.log_feedback(number, batch)?);
                }
                self.update(&batch.pairs, logged[number].clone())?;
            }
            let measured = self.policy.measure(&all);
            self.checkpoint(&format!("epoch_{epoch}"), measured)?;
            self.output.say(format_args!(
                "Epoch {epoch}: loss {:.4}, {:.0}% of preferences followed",
                measured.loss,
                100.0 * measured.accuracy
            ));
        }
        Ok(())
    }

    /// Logs a batch of judgements as a user would, from a file; returns where they are.
    fn log_feedback(&mut self, number: usize, batch: &Batch) -> Result<Range<u64>, Failure> {
        let file = self.inputs.join(format!("annotations-{}.jsonl", number + 1));
        write_file(&file, batch.lines.as_bytes())?;
        let logged = log::import(self.audit, &file, &ImportOptions::default(), self.output)?.logged;
        Ok(logged.first_index..logged.size)
    }

    fn update(&mut self, pairs: &[Pair], learned_from: Range<u64>) -> Result<(), Failure> {
        let base = self.path(&format!("step_{}", self.step));
        let measured = self.policy.step(pairs);
        self.step += 1;
        let next = self.save(&format!("step_{}", self.step))?;
        let options = UpdateOptions {
            step: Some(self.step),
            learned_from: Some(learned_from),
            metrics: BTreeMap::from([("loss".to_owned(), measured.loss)]),
            ..UpdateOptions::default()
        };
        self.audit.log_update(&base, &next, &options, &|_| ())?;
        Ok(())
    }

    fn checkpoint(&mut self, name: &str, measured: Measured) -> Result<(), Failure> {
        let file = self.save(name)?;
        let metrics = BTreeMap::from([
            ("loss".to_owned(), measured.loss),
            ("accuracy".to_owned(), measured.accuracy),
        ]);
        self.audit.log_checkpoint(name, &file, &metrics, &|_| ())?;
        Ok(())
    }

    fn save(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        write_file(&path, &self.policy.to_safetensors().map_err(Failure::input)?)?;
        Ok(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.weights.join(format!("{name}.safetensors"))
    }
}

/// A batch of judgements: as lines to log, and as pairs to learn from.
#[derive(Default)]
struct Batch {
    lines: String,
    pairs: Vec<Pair>,
}

/// The example's feedback or the user's, in batches.
fn feedback(file: Option<&Path>) -> Result<Vec<Batch>, Failure> {
    let Some(path) = file else {
        return split(ANNOTATIONS.lines().map(|line| Ok(line.to_owned())), "the example");
    };
    let open = fs::File::open(path).map_err(|e| Failure::file(path, "read the annotations", &e))?;
    let lines = BufReader::new(open).lines();
    split(
        lines.map(|line| line.map_err(|e| Failure::file(path, "read the annotations", &e))),
        &path.display().to_string(),
    )
}

fn split(
    lines: impl Iterator<Item = Result<String, Failure>>,
    name: &str,
) -> Result<Vec<Batch>, Failure> {
    let lines = lines.filter(|line| !matches!(line, Ok(line) if line.trim().is_empty()));
    let lines = lines.collect::<Result<Vec<String>, _>>()?;
    if lines.is_empty() {
        return Err(Failure::input(format!("{name}: there is no annotation in it")));
    }
    let mut batches = Vec::new();
    for (number, lines) in lines.chunks(lines.len().div_ceil(BATCHES)).enumerate() {
        let mut batch = Batch::default();
        for line in lines {
            let pair = pair(line).ok_or_else(|| {
                Failure::input(format!(
                    "{name}, batch {}: the demo learns from preference pairs, and a line has no texts `chosen` and \
                     `rejected`; other annotations go through `rlhf-audit log annotations`",
                    number + 1
                ))
            })?;
            batch.pairs.push(pair);
            batch.lines.push_str(line);
            batch.lines.push('\n');
        }
        batches.push(batch);
    }
    Ok(batches)
}

fn pair(line: &str) -> Option<Pair> {
    let json: Json = serde_json::from_str(line).ok()?;
    let text = |key: &str| Some(json.get(key)?.as_str()?.as_bytes().to_vec());
    Some(Pair { chosen: text("chosen")?, rejected: text("rejected")? })
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
