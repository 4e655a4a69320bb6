//! A log that training writes to. Annotations are durable when the call that logs them returns; numbers and weights
//! are left to the worker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use producer::{
    Annotation, Audit, EntryChoice, InitOptions, Judgement, LoggedCard, Passphrase, PrivacyMode,
    PrivacyReport, PrivacySettings, RoundRequest, Transaction, Weighed, write_whole,
};
use pyo3::prelude::*;
use serde_json::{Value as Json, json};
use trail::report::Outcome;
use trail::verify::{Question, verify};
use trail::{EventType, cbor};
use weight_digest::cpu::Cpu;

use crate::failure::{Done, Failure};
use crate::open_log::{OpenLog, Shared, closed, lock};
use crate::place::Place;
use crate::tensors::{Described, Tensors};
use crate::worker::{Job, Step, Worker};

/// What a run says that ended without saying how, when the next one finds it.
const UNKNOWN_END: &str = "unknown: the process ended without saying how";

/// How long closing waits for what is being published.
const PATIENCE: Duration = Duration::from_secs(5);

/// ε, ε per round, δ, lowest and highest reward, grid steps a unit, ratings of one annotator that count in a round.
type Budget = (f64, f64, f64, f64, f64, u32, u32);

/// A log, open for writing by this process alone.
#[pyclass(frozen, module = "rlhf_audit_trail._engine")]
pub struct Recorder {
    log: Shared,
    worker: Mutex<Worker>,
    place: Mutex<Place>,
    /// The process it belongs to. A forked child has a copy, and not the thread.
    process: u32,
}

#[pymethods]
impl Recorder {
    /// Opens the log in a folder, or makes one there.
    #[new]
    #[pyo3(signature = (dir, model, budget=None, passphrase=None))]
    fn new(
        py: Python<'_>,
        dir: PathBuf,
        model: String,
        budget: Option<Budget>,
        passphrase: Option<String>,
    ) -> PyResult<Self> {
        let open = || -> Done<Self> {
            let passphrase = passphrase.map(Passphrase::new);
            let privacy = budget.map(settings);
            if !dir.join("private").join("log.json").is_file() {
                let passphrase = passphrase.clone();
                let options = InitOptions {
                    model: model.clone(),
                    passphrase,
                    privacy: privacy.clone(),
                    ..InitOptions::default()
                };
                Audit::init(&dir, &options)?;
            }
            let audit = Audit::open(&dir, passphrase.as_ref())?;
            check_same(&dir, &audit, &model, privacy.as_ref())?;
            let log: Shared = Arc::new(Mutex::new(Some(OpenLog::new(audit))));
            Ok(Self {
                worker: Mutex::new(Worker::start(Arc::clone(&log))?),
                log,
                place: Mutex::default(),
                process: std::process::id(),
            })
        };
        Ok(py.detach(open)?)
    }

    /// Starts a run. One that was left open is ended first. `details` is a JSON object.
    fn start_run(&self, py: Python<'_>, details: &str) -> PyResult<()> {
        let details: Json = serde_json::from_str(details).map_err(Failure::input)?;
        let details = details.as_object().ok_or_else(|| Failure::input("not an object"))?;
        py.detach(|| {
            self.settled(|audit| {
                if audit.run().is_some() {
                    audit.end_run(UNKNOWN_END)?;
                }
                let mut transaction = audit.begin()?;
                let details =
                    details.iter().map(|(key, value)| (key.as_str(), cbor::from_json(value)));
                transaction.start_run_with(details.collect())?;
                *self.place() = Place::starting(transaction.commit()?.size);
                Ok(())
            })
        })?;
        Ok(())
    }

    /// Ends the run.
    fn end_run(&self, py: Python<'_>, outcome: &str) -> PyResult<()> {
        py.detach(|| self.settled(|audit| Ok(audit.end_run(outcome).map(drop)?)))?;
        Ok(())
    }

    /// Logs ratings: all of them, durably, or none. Returns the first entry and how many.
    fn rate(
        &self,
        py: Python<'_>,
        prompts: Vec<String>,
        responses: Vec<String>,
        annotators: Vec<String>,
        rewards: Vec<f64>,
    ) -> PyResult<(u64, u64)> {
        let ratings = prompts.into_iter().zip(responses).zip(annotators).zip(rewards).map(
            |(((prompt, response), annotator), reward)| Annotation::Rating {
                annotator,
                prompt,
                response,
                reward,
            },
        );
        Ok(py.detach(|| self.annotate(each(ratings)))?)
    }

    /// Logs what a program thought of responses: all of it, durably, or none. Returns the first entry and how many.
    fn judge(
        &self,
        py: Python<'_>,
        judge: &str,
        prompts: Vec<String>,
        responses: Vec<String>,
        rewards: Vec<f64>,
    ) -> PyResult<(u64, u64)> {
        let judgements = prompts.into_iter().zip(responses).zip(rewards);
        let judgements = judgements
            .map(|((prompt, response), reward)| Judgement { prompt, response, reward })
            .collect::<Vec<_>>();
        Ok(py.detach(|| {
            self.annotate(|transaction| {
                judgements.into_iter().try_for_each(|one| transaction.judge(judge, one))
            })
        })?)
    }

    /// Logs preferences: all of them, durably, or none. Returns the first entry and how many.
    fn prefer(
        &self,
        py: Python<'_>,
        prompts: Vec<Option<String>>,
        chosen: Vec<String>,
        rejected: Vec<String>,
        annotators: Vec<Option<String>>,
    ) -> PyResult<(u64, u64)> {
        let preferences = prompts.into_iter().zip(chosen).zip(rejected).zip(annotators).map(
            |(((prompt, chosen), rejected), annotator)| Annotation::Preference {
                annotator,
                prompt,
                chosen,
                rejected,
            },
        );
        Ok(py.detach(|| self.annotate(each(preferences)))?)
    }

    /// Has an event logged whose data is public, with the next commit. `data` is a JSON object.
    fn event(&self, py: Python<'_>, kind: &str, data: &str) -> PyResult<()> {
        let data: Json = serde_json::from_str(data).map_err(Failure::input)?;
        let (kind, data) = (EventType::from(kind), cbor::from_json(&data));
        py.detach(|| self.note(kind, data))?;
        Ok(())
    }

    /// Has the numbers of a step logged, with the next commit.
    fn numbers(
        &self,
        py: Python<'_>,
        step: u64,
        metrics: BTreeMap<String, f64>,
        policy: &str,
    ) -> PyResult<()> {
        let metrics =
            metrics.iter().map(|(name, value)| (name.as_str(), ciborium::Value::Float(*value)));
        let data = cbor::map([
            ("step", step.into()),
            ("weights", policy.into()),
            ("metrics", cbor::map(metrics)),
        ]);
        py.detach(|| self.note(EventType::Metric, data))?;
        Ok(())
    }

    /// Has weights digested and logged, by the worker. `owners` keeps their memory, which stays as it is until
    /// `join` returns.
    fn weights(
        &self,
        py: Python<'_>,
        tensors: Described,
        owners: Py<PyAny>,
        step: u64,
        metrics: BTreeMap<String, f64>,
        policy: String,
    ) -> PyResult<()> {
        let tensors = Tensors::new(tensors, owners)?;
        py.detach(|| {
            let learned_from = self.place().learn();
            self.worker()?.give(Job::Weights(tensors, Step { step, metrics, learned_from, policy }))
        })?;
        Ok(())
    }

    /// Has a saved checkpoint digested and logged, by the worker.
    fn saved(
        &self,
        py: Python<'_>,
        name: String,
        path: PathBuf,
        metrics: BTreeMap<String, f64>,
    ) -> PyResult<()> {
        py.detach(|| self.worker()?.give(Job::Saved { name, path, metrics }))?;
        Ok(())
    }

    /// Digests weights in memory and logs them as a checkpoint. Returns the entry and their root, hex.
    fn checkpoint(
        &self,
        py: Python<'_>,
        name: &str,
        tensors: Described,
        owners: Py<PyAny>,
        metrics: BTreeMap<String, f64>,
    ) -> PyResult<(u64, String)> {
        let tensors = Tensors::new(tensors, owners)?;
        let log = || -> Done<_> {
            let weights = Weighed::in_memory(&tensors.held(), &Cpu)?;
            let logged =
                self.settled(|audit| Ok(audit.log_weighed_checkpoint(name, &weights, &metrics)?))?;
            Ok((logged.first_index, hex::encode(weights.digest.root)))
        };
        Ok(py.detach(log)?)
    }

    /// Waits until the worker has done everything.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.worker()?.join())?;
        Ok(())
    }

    /// Brings the log's files up to date with everything logged.
    fn settle(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(py.detach(|| self.settled(|audit| Ok(audit.size())))?)
    }

    /// The current model card, derived and logged where something has happened since the last one, and its entry.
    fn card(&self, py: Python<'_>) -> PyResult<(Vec<u8>, u64)> {
        let LoggedCard { bytes, entry, .. } =
            py.detach(|| self.settled(|audit| Ok(audit.card()?)))?;
        Ok((bytes, entry))
    }

    /// Writes an evidence file with all entries. Evidence that would fail its own verification is not written.
    fn evidence(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.settled(|audit| write_evidence(audit, &path)))?;
        Ok(())
    }

    /// Releases the noised mean of the ratings since the last round, as JSON.
    fn release_round(&self, py: Python<'_>, id: Option<String>) -> PyResult<String> {
        let request = RoundRequest { id, entries: None };
        let round = py.detach(|| self.settled(|audit| Ok(audit.release_round(&request)?)))?;
        let json = json!({
            "id": round.id, "entry": round.index, "count": round.count, "mean": round.mean,
            "standard_deviation": round.deviation,
        });
        Ok(json.to_string())
    }

    /// Ends everything, and gives the folder back.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let stopped = self.worker()?.stop();
            let Some(log) = lock(&self.log).take() else { return stopped };
            let settled = match log.into_deferred() {
                Ok(Some(log)) => log.close(PATIENCE).map(drop).map_err(Failure::from),
                Ok(None) => Ok(()),
                Err(failure) => Err(failure),
            };
            stopped.and(settled)
        })?;
        Ok(())
    }
}

impl Recorder {
    fn worker(&self) -> Done<MutexGuard<'_, Worker>> {
        if self.process != std::process::id() {
            return Err(Failure::recording(
                "this process is a child of the one that writes to the log; log from the parent",
            ));
        }
        Ok(self.worker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the log when everything given to the worker is done and in the log's files.
    fn settled<T>(&self, work: impl FnOnce(&mut Audit) -> Done<T>) -> Done<T> {
        self.worker()?.join()?;
        work(lock(&self.log).as_mut().ok_or_else(closed)?.settled()?)
    }

    fn note(&self, kind: EventType, data: ciborium::Value) -> Done<()> {
        self.worker()?.check()?;
        lock(&self.log).as_mut().ok_or_else(closed)?.note(kind, data)
    }

    fn annotate(
        &self,
        annotations: impl FnOnce(&mut Transaction<'_>) -> producer::Result<()>,
    ) -> Done<(u64, u64)> {
        // Not by a child, either.
        drop(self.worker()?);
        let logged = lock(&self.log).as_mut().ok_or_else(closed)?.annotate(annotations)?;
        self.place().annotated(&logged);
        Ok((logged.first_index, logged.logged))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A forked child must not give back its parent's lock, nor wait for a thread that it has not.
        if self.process != std::process::id() {
            std::mem::forget(lock(&self.log).take());
            std::mem::forget(std::mem::replace(&mut self.worker, Mutex::new(Worker::ended())));
        }
    }
}

/// Has annotations logged one by one.
fn each(
    annotations: impl Iterator<Item = Annotation>,
) -> impl FnOnce(&mut Transaction<'_>) -> producer::Result<()> {
    move |transaction| {
        let mut annotations = annotations;
        annotations.try_for_each(|annotation| transaction.annotate(annotation))
    }
}

fn settings(
    (epsilon, epsilon_per_round, delta, low, high, steps_a_unit, cap): Budget,
) -> PrivacySettings {
    let mode = PrivacyMode::Strong;
    PrivacySettings {
        mode,
        epsilon,
        epsilon_per_round,
        delta,
        clip: [low, high],
        steps_a_unit,
        cap,
    }
}

/// A log is about one model, and promises its annotators one thing.
fn check_same(
    dir: &Path,
    audit: &Audit,
    model: &str,
    privacy: Option<&PrivacySettings>,
) -> Done<()> {
    if audit.model() != model {
        return Err(Failure::input(format!(
            "{}: this log is about the model `{}`, not `{model}`; choose another experiment_name",
            dir.display(),
            audit.model(),
        )));
    }
    let promised = PrivacyReport::read(dir)?.map(|report| report.settings);
    if promised.as_ref() != privacy {
        return Err(Failure::input(format!(
            "{}: this log promises its annotators something else than this privacy_config; give the one it was made \
             with, or choose another experiment_name",
            dir.display()
        )));
    }
    Ok(())
}

fn write_evidence(audit: &mut Audit, path: &Path) -> Done<()> {
    let card = audit.card()?;
    let evidence =
        audit.reader().evidence(&card, audit.vkey(), EntryChoice::All, Vec::new(), &[])?;
    let bytes = evidence.to_bytes().map_err(Failure::recording)?;
    let report = verify(&bytes, &Question::default()).map_err(Failure::recording)?;
    if let Some(failed) = report.checks.iter().find(|check| check.result == Outcome::Fail) {
        return Err(Failure::recording(format!(
            "the log is damaged, and no evidence was written: {}; restore the whole folder from a backup",
            failed.reason
        )));
    }
    Ok(write_whole(path, &bytes)?)
}
