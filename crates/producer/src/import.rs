//! Many annotations at once: a file of them, or a list.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use trail::Hash;

use crate::annotation::{Annotation, AnnotationFault};
use crate::annotations::{self, Pass, Phase, Progress};
use crate::audit::Audit;
use crate::disk::{PRIVATE, beside};
use crate::error::{Error, IoContext as _, Result};
use crate::privacy::{Batches, Before, Released, ReleasedValue, Tally};
use crate::transaction::Logged;

/// How a file is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Leave broken lines out, instead of importing nothing.
    pub keep_going: bool,
    /// A name for the batch, where values are released one by one. Given again with the same annotations, it logs
    /// nothing and tells what was released the first time.
    pub batch: Option<String>,
    /// Where to write what was released, for training: the lines of the file with the released values in place of
    /// those given, and without their annotators. It holds prompts and responses, so only its owner may read it.
    pub released: Option<PathBuf>,
}

/// What an import of a file did.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What was logged; with a batch that was logged before, that.
    pub logged: Logged,
    /// Lines that were left out.
    pub left_out: Vec<LeftOut>,
    /// Names of fields that mean nothing here and were not logged.
    pub ignored_fields: BTreeSet<String>,
    /// What was released of each line logged, in their order; empty where values are not released one by one.
    pub released: Vec<Released>,
    /// The name of the batch, where they are.
    pub batch: Option<String>,
}

/// A line of a file that was not logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: AnnotationFault,
}

/// What was logged of a list of annotations.
#[derive(Clone, Debug)]
pub struct Annotated {
    /// Where.
    pub logged: Logged,
    /// What was released of each, in their order; empty where values are not released one by one.
    pub released: Vec<Released>,
    /// The name of the batch, where they are.
    pub batch: Option<String>,
}

impl Audit {
    /// Logs a file of annotations, all of it or nothing; with `keep_going`, all lines that are in order.
    ///
    /// # Errors
    /// Those of [`Audit::import`].
    pub fn log_annotations(
        &mut self,
        path: &Path,
        keep_going: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Imported> {
        self.import(path, &ImportOptions { keep_going, ..ImportOptions::default() }, progress)
    }

    /// Logs a file of annotations, all of it or nothing. Where values are released one by one, it is a batch: charged
    /// before anything is drawn.
    ///
    /// # Errors
    /// A line is broken and is not to be left out, no line is left to log, the file cannot be read or changes
    /// meanwhile, somebody's budget does not cover it, the batch's name stands for another one, or those of
    /// [`crate::Transaction::commit`].
    pub fn import(
        &mut self,
        path: &Path,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Imported> {
        if self.draws().is_none() && options.released.is_some() {
            return Err(Error::Round("in this log no values are released one by one".into()));
        }
        let mut before = self.before(options.batch.as_deref())?;
        let checked = self.check(path, options, progress)?;
        let annotated = match &mut before {
            Some(before) => {
                let mut released = Vec::new();
                again(path, &checked.source(), Phase::Logging, progress, &mut |annotation| {
                    released.push(before.take(&annotation)?);
                    Ok(())
                })?;
                self.repeated(before, released, options.batch.clone())?
            }
            None => self.log_checked(path, &checked, options.batch.clone(), progress)?,
        };
        let Annotated { logged, released, batch } = annotated;
        if let Some(to) = &options.released {
            write_released(path, &checked.source(), &released, to).map_err(|source| {
                let batch = batch.clone().unwrap_or_default();
                Error::ReleasedFile { batch, source: Box::new(source) }
            })?;
        }
        let Checked { left_out, ignored: ignored_fields, .. } = checked;
        Ok(Imported { logged, left_out, ignored_fields, released, batch })
    }

    /// Logs annotations, all of them or none. Where values are released one by one, they are a batch: charged before
    /// anything is drawn.
    ///
    /// # Errors
    /// One of them cannot be logged, somebody's budget does not cover them, the batch's name stands for another one,
    /// or those of [`crate::Transaction::commit`].
    pub fn annotate(
        &mut self,
        annotations: Vec<Annotation>,
        batch: Option<&str>,
    ) -> Result<Annotated> {
        if let Some(name) = batch
            && let Some(told) = self.told_before(&annotations, name)?
        {
            return Ok(told);
        }
        let mut transaction = self.begin()?;
        transaction.batches.name = batch.map(str::to_owned);
        for annotation in annotations {
            transaction.annotate(annotation)?;
        }
        transaction.commit_released()
    }

    /// What was logged and released of a batch of this name, if there is one. Nothing is logged or charged.
    ///
    /// # Errors
    /// It is no name, the batch of this name is another one or never came to be logged, or something of it was erased.
    pub fn told_before(
        &self,
        annotations: &[Annotation],
        batch: &str,
    ) -> Result<Option<Annotated>> {
        let Some(mut before) = self.before(Some(batch))? else { return Ok(None) };
        let released = annotations.iter().map(|annotation| before.take(annotation));
        let released = released.collect::<Result<_>>()?;
        self.repeated(&before, released, Some(batch.to_owned())).map(Some)
    }

    fn before(&self, batch: Option<&str>) -> Result<Option<Before>> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        batch.map_or(Ok(None), |name| self.released_before(name))
    }

    /// What is told of a batch that was logged before.
    fn repeated(
        &self,
        before: &Before,
        released: Vec<Released>,
        batch: Option<String>,
    ) -> Result<Annotated> {
        before.finish()?;
        let logged = released.len() as u64;
        let logged = Logged { logged, first_index: before.entries.start, size: self.size() };
        Ok(Annotated { logged, released, batch })
    }

    /// The first pass over a file: nothing is logged.
    fn check(
        &self,
        path: &Path,
        options: &ImportOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Checked> {
        let draws = self.draws().is_some();
        let (mut left_out, mut others, mut good) = (Vec::new(), 0, 0_u64);
        let mut tally = Tally::default();
        let pass = annotations::read(path, Phase::Checking, progress, &mut |line, found| {
            match found.and_then(|annotation| accountable(annotation, draws)) {
                Ok(annotation) => {
                    good += 1;
                    if draws {
                        tally.add(&annotation, line);
                    }
                }
                Err(fault) if options.keep_going || left_out.is_empty() => {
                    left_out.push(LeftOut { line, fault });
                }
                Err(_) => others += 1,
            }
            Ok(())
        })?;
        if let (false, Some(&LeftOut { line, fault })) = (options.keep_going, left_out.first()) {
            return Err(Error::BrokenLine { path: path.to_owned(), line, fault, others });
        }
        if good == 0 {
            let why = "it holds no annotation that could be logged";
            return Err(Error::Import { path: path.to_owned(), why });
        }
        let Pass { sha256, ignored } = pass;
        Ok(Checked { sha256, ignored, left_out, tally: draws.then_some(tally) })
    }

    fn log_checked(
        &mut self,
        path: &Path,
        checked: &Checked,
        batch: Option<String>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Annotated> {
        let mut transaction = self.begin()?;
        transaction.batches.name = batch;
        if let Some(tally) = &checked.tally {
            transaction.charge(tally)?;
        }
        again(path, &checked.source(), Phase::Logging, progress, &mut |annotation| {
            transaction.annotate(annotation)
        })?;
        progress(Progress { phase: Phase::Finishing, bytes: 0, of: 0 });
        Ok(Annotated::of(transaction.commit_batches()?))
    }
}

/// What the first pass over a file found.
struct Checked {
    sha256: Hash,
    ignored: BTreeSet<String>,
    left_out: Vec<LeftOut>,
    /// Where values are released one by one: what is to be charged.
    tally: Option<Tally>,
}

impl Checked {
    /// The file, as the next pass must find it.
    fn source(&self) -> Source {
        Source { sha256: self.sha256, draws: self.tally.is_some() }
    }
}

/// What a file was when it was checked, and whether lines that nobody can be charged for were left out.
#[derive(Clone, Copy)]
struct Source {
    sha256: Hash,
    draws: bool,
}

impl Annotated {
    pub(crate) fn of((logged, batches): (Logged, Batches)) -> Self {
        let batch = batches.charged.into_iter().next().map(|charged| charged.name);
        Self { logged, released: batches.released, batch }
    }
}

/// Whether there is somebody to charge, where there has to be.
fn accountable(
    annotation: Annotation,
    draws: bool,
) -> std::result::Result<Annotation, AnnotationFault> {
    if draws && annotation.annotator().is_none() {
        return Err(AnnotationFault::Unaccountable);
    }
    Ok(annotation)
}

/// Reads the sound lines of a file again, which must be what it was.
fn again(
    path: &Path,
    source: &Source,
    phase: Phase,
    progress: &mut dyn FnMut(Progress),
    each: &mut dyn FnMut(Annotation) -> Result<()>,
) -> Result<()> {
    let pass = annotations::read(path, phase, progress, &mut |_, found| {
        let sound = found.and_then(|annotation| accountable(annotation, source.draws));
        sound.map_or(Ok(()), &mut *each)
    })?;
    if pass.sha256 != source.sha256 {
        let why = "it has changed while it was read; nothing was logged, try again";
        return Err(Error::Import { path: path.to_owned(), why });
    }
    Ok(())
}

/// Writes what a model may learn from, line by line: whole, or not at all.
fn write_released(from: &Path, source: &Source, released: &[Released], to: &Path) -> Result<()> {
    let part = beside(to);
    let write = || {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&part);
        let mut out = BufWriter::new(file.at(to, "create the file")?);
        let mut released = released.iter();
        again(from, source, Phase::Finishing, &mut |_| (), &mut |annotation| {
            let line = released.next().map(|released| line(annotation, released.value));
            writeln!(out, "{}", line.unwrap_or_default()).at(&part, "write the file")
        })?;
        let file: File =
            out.into_inner().map_err(|e| e.into_error()).at(&part, "write the file")?;
        file.sync_all().at(&part, "write the file")?;
        fs::rename(&part, to).at(to, "write the file")
    };
    let result = write();
    if result.is_err() {
        // It may not have come to a temporary file; the first error is the one to report.
        let _ = fs::remove_file(&part);
    }
    result
}

/// An annotation as it was released: nothing in it tells what was given.
fn line(annotation: Annotation, value: ReleasedValue) -> serde_json::Value {
    match (annotation, value) {
        (Annotation::Rating { prompt, response, .. }, ReleasedValue::Reward(reward)) => {
            json!({"prompt": prompt, "response": response, "reward": reward})
        }
        (
            Annotation::Preference { prompt, chosen, rejected, .. },
            ReleasedValue::Preference { as_given, .. },
        ) => {
            let [chosen, rejected] = if as_given { [chosen, rejected] } else { [rejected, chosen] };
            let mut line = json!({"chosen": chosen, "rejected": rejected});
            if let Some(prompt) = prompt {
                line["prompt"] = prompt.into();
            }
            line
        }
        _ => serde_json::Value::Null,
    }
}
