//! A log that training writes to. Annotations are durable when the call that logs them returns; numbers and weights
//! are left to the worker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use producer::{
    Annotated, Annotation, Audit, EntryChoice, InitOptions, Judgement, Logged, LoggedCard,
    Passphrase, PrivacyMode, PrivacyReport, PrivacySettings, Released, ReleasedValue, RoundRequest,
    Weighed, write_whole,
};
use pyo3::prelude::*;
use serde_json::{Value as Json, json};
use trail::report::Outcome;
use trail::verify::{Question, verify};
use trail::{EventType, cbor};
use weight_digest::cpu::Cpu;

use crate::cards::{self, OnCard};
use crate::failure::{Done, Failure};
use crate::open_log::{OpenLog, Shared, closed, lock};
use crate::outbox::Outbox;
use crate::place::Place;
use crate::reads::What;
use crate::report::{self, Written};
use crate::tensors::{InMemory, Tensors};
use crate::worker::{Job, Step, Trouble, Worker};

/// What a run says that ended without saying how, when the next one finds it.
const UNKNOWN_END: &str = "unknown: the process ended without saying how";

/// Whenever so many events wait, the worker commits them.
const MANY: usize = 256;

/// With so many, who logs has to wait until they are committed.
const TOO_MANY: usize = 64 * MANY;

/// With so many bytes committed, the worker carries them into the log's files. The engine does it by itself, while who
/// logs waits, with more.
const CARRY: u64 = 2 << 20;

/// How long closing waits for what is being published.
const PATIENCE: Duration = Duration::from_secs(5);

/// The mode, ε, ε per round, δ, lowest and highest reward, grid steps a unit, ratings of one annotator that count in a
/// round.
type Budget = (String, f64, f64, f64, f64, f64, u32, u32);

/// What was logged: the first entry, how many, what was released of each, and the name of the batch.
type Told<V> = (u64, u64, Vec<V>, Option<String>);

/// A log, open for writing by this process alone.
#[pyclass(frozen, module = "rlhf_audit_trail._engine")]
pub struct Recorder {
    log: Shared,
    /// Where events wait that need not be durable at once.
    outbox: Arc<Outbox>,
    /// What has gone wrong in the worker.
    trouble: Trouble,
    worker: Mutex<Worker>,
    place: Mutex<Place>,
    /// The log's unique name: another one that has taken its folder is not gone on with.
    origin: String,
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
            let privacy = budget.map(settings).transpose()?;
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
            let origin = audit.origin().to_owned();
            let outbox = Arc::new(Outbox::default());
            let open = OpenLog::new(audit, Arc::clone(&outbox));
            let log: Shared = Arc::new(Mutex::new(Some(open)));
            let worker = Worker::start(Arc::clone(&log), Arc::clone(&outbox))?;
            Ok(Self {
                trouble: worker.trouble(),
                worker: Mutex::new(worker),
                log,
                outbox,
                place: Mutex::default(),
                origin,
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

    /// Logs ratings: all of them, durably, or none. Of each the reward that was released is told, where one was.
    fn rate(
        &self,
        py: Python<'_>,
        prompts: Vec<String>,
        responses: Vec<String>,
        annotators: Vec<String>,
        rewards: Vec<f64>,
        batch: Option<String>,
    ) -> PyResult<Told<f64>> {
        let ratings = prompts.into_iter().zip(responses).zip(annotators).zip(rewards).map(
            |(((prompt, response), annotator), reward)| Annotation::Rating {
                annotator,
                prompt,
                response,
                reward,
            },
        );
        let told = py.detach(|| self.annotate(ratings, batch.as_deref()))?;
        Ok(told_as(told, |value| match value {
            ReleasedValue::Reward(reward) => Some(reward),
            ReleasedValue::Preference { .. } => None,
        }))
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
            .collect();
        let judged = || self.judged(judge, judgements);
        let logged = py.detach(judged)?;
        Ok((logged.first_index, logged.logged))
    }

    /// Logs preferences: all of them, durably, or none. Of each is told whether the vote was released as it was given,
    /// where it was.
    fn prefer(
        &self,
        py: Python<'_>,
        prompts: Vec<Option<String>>,
        chosen: Vec<String>,
        rejected: Vec<String>,
        annotators: Vec<Option<String>>,
        batch: Option<String>,
    ) -> PyResult<Told<bool>> {
        let preferences = prompts.into_iter().zip(chosen).zip(rejected).zip(annotators).map(
            |(((prompt, chosen), rejected), annotator)| Annotation::Preference {
                annotator,
                prompt,
                chosen,
                rejected,
            },
        );
        let told = py.detach(|| self.annotate(preferences, batch.as_deref()))?;
        Ok(told_as(told, |value| match value {
            ReleasedValue::Preference { as_given, .. } => Some(as_given),
            ReleasedValue::Reward(_) => None,
        }))
    }

    /// Has an event logged whose data is public, with the next commit. `data` is a JSON object.
    fn event(&self, py: Python<'_>, kind: &str, data: &str) -> PyResult<()> {
        let data: Json = serde_json::from_str(data).map_err(Failure::input)?;
        let (kind, data) = (EventType::from(kind), cbor::from_json(&data));
        Ok(self.note(py, kind, data)?)
    }

    /// Has the numbers of a step logged, with the next commit: those of another rank under its own.
    #[pyo3(signature = (step, metrics, policy, rank=None))]
    fn numbers(
        &self,
        py: Python<'_>,
        step: u64,
        metrics: BTreeMap<String, f64>,
        policy: &str,
        rank: Option<u32>,
    ) -> PyResult<()> {
        let metrics =
            metrics.iter().map(|(name, value)| (name.as_str(), ciborium::Value::Float(*value)));
        let mut data = vec![
            ("step", step.into()),
            ("weights", policy.into()),
            ("metrics", cbor::map(metrics)),
        ];
        data.extend(rank.map(|rank| ("rank", rank.into())));
        Ok(self.note(py, EventType::Metric, cbor::map(data))?)
    }

    /// Makes durable what waits for the next commit.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            self.worker()?.check()?;
            lock(&self.log).as_mut().ok_or_else(closed)?.flush()
        })?;
        Ok(())
    }

    /// A trainer begins with a batch: what is judged from here on, and what no update has learned from yet.
    fn begin_batch(&self) {
        self.place().begin_batch();
    }

    /// A trainer has worked on the batch: the next update learns from it.
    fn use_batch(&self) {
        self.place().use_batch();
    }

    /// Has weights digested and logged, by the worker. Their memory stays as it is until `join` returns. `from_released`
    /// says that they learned from values released with noise only.
    #[pyo3(signature = (memory, step, metrics, policy, from_released=false))]
    fn weights(
        &self,
        py: Python<'_>,
        memory: InMemory,
        step: u64,
        metrics: BTreeMap<String, f64>,
        policy: String,
        from_released: bool,
    ) -> PyResult<()> {
        let tensors = Tensors::new(memory)?;
        if tensors.is_empty() {
            return Err(no_weights().into());
        }
        py.detach(|| {
            let learned_from = self.place().learn();
            let step = Step { step, metrics, learned_from, from_released, policy };
            self.worker()?.give(Job::Weights(tensors, step))
        })?;
        Ok(())
    }

    /// Has a saved checkpoint digested and logged, by the worker, when it has read the one before: that may go then.
    fn saved(
        &self,
        py: Python<'_>,
        name: String,
        path: PathBuf,
        metrics: BTreeMap<String, f64>,
    ) -> PyResult<()> {
        py.detach(|| {
            let worker = self.worker()?;
            worker.wait_for(What::Saved)?;
            worker.give(Job::Saved { name, path, metrics })
        })?;
        Ok(())
    }

    /// Digests weights and logs them as a checkpoint: those in memory, and those `on_cards` where they lie. Returns the entry
    /// and their root, hex.
    fn checkpoint(
        &self,
        py: Python<'_>,
        name: &str,
        memory: InMemory,
        on_cards: Vec<OnCard>,
        metrics: BTreeMap<String, f64>,
    ) -> PyResult<(u64, String)> {
        let tensors = Tensors::new(memory)?;
        if tensors.is_empty() && on_cards.is_empty() {
            return Err(no_weights().into());
        }
        let weigh = || -> Done<_> {
            let mut all = cards::weigh(&on_cards)?;
            all.push(Weighed::in_memory(&tensors.held()?, &Cpu)?);
            Ok(Weighed::together(all))
        };
        let weighed = py.detach(weigh);
        cards::tell(py)?;
        let weights = weighed?;
        let log =
            || self.settled(|audit| Ok(audit.log_weighed_checkpoint(name, &weights, &metrics)?));
        Ok((py.detach(log)?.first_index, hex::encode(weights.digest.root)))
    }

    /// Waits until the worker has read the weights that it was given: they may change then.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.worker()?.wait_for(What::Weights))?;
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

    /// The regulatory report on a period, both ends in it, in microseconds since 1970. No sections are all.
    fn report(
        &self,
        py: Python<'_>,
        start: u64,
        end: u64,
        sections: Option<Vec<String>>,
    ) -> PyResult<Written> {
        let (period, sections) = report::question(start, end, sections.as_deref())?;
        let report = || self.settled(|audit| Ok(report::write(audit.report(period, &sections)?)));
        Ok(py.detach(report)?)
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

    /// Opens the same log again after it could not be written, and goes on in the same run. Returns how many events
    /// that waited for the next commit are lost.
    fn reopen(&self, py: Python<'_>, dir: PathBuf, passphrase: Option<String>) -> PyResult<u64> {
        let passphrase = passphrase.map(Passphrase::new);
        Ok(py.detach(|| self.open_again(&dir, passphrase.as_ref()))?)
    }

    /// Ends everything, and gives the folder back.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let stopped = self.worker()?.stop();
            let Some(log) = lock(&self.log).take() else { return stopped };
            self.outbox.close();
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
        self.refuse_child()?;
        Ok(self.worker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refuse_child(&self) -> Done<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(Failure::recording(
            "this process is a child of the one that writes to the log; log from the parent",
        ))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the log when everything given to the worker is done and in the log's files.
    fn settled<T>(&self, work: impl FnOnce(&mut Audit) -> Done<T>) -> Done<T> {
        self.worker()?.join()?;
        work(lock(&self.log).as_mut().ok_or_else(closed)?.settled()?)
    }

    /// Leaves an event to the worker. The interpreter's lock is kept: to get it back could take longer than this.
    fn note(&self, py: Python<'_>, kind: EventType, data: ciborium::Value) -> Done<()> {
        self.refuse_child()?;
        self.trouble.check()?;
        let waiting = self.outbox.put(kind, data)?;
        if waiting >= TOO_MANY {
            return py.detach(|| lock(&self.log).as_mut().ok_or_else(closed)?.flush());
        }
        if waiting.is_multiple_of(MANY) {
            self.wake(Job::Flush);
        }
        Ok(())
    }

    /// Wakes the worker, where that can be done without waiting.
    fn wake(&self, job: Job) {
        if let Ok(worker) = self.worker.try_lock() {
            worker.wake(job);
        }
    }

    fn annotate(
        &self,
        annotations: impl Iterator<Item = Annotation>,
        batch: Option<&str>,
    ) -> Done<Annotated> {
        // Not by a child, either.
        self.refuse_child()?;
        let annotations = annotations.collect();
        // Several threads log: who has committed notes it before the next one commits.
        let mut log = lock(&self.log);
        let open = log.as_mut().ok_or_else(closed)?;
        let (told, is_new) = open.annotate(annotations, batch)?;
        let carries = open.waiting_bytes() >= CARRY;
        if is_new {
            self.place().annotated(&told.logged);
        }
        drop(log);
        if carries {
            self.wake(Job::CatchUp);
        }
        Ok(told)
    }

    fn judged(&self, judge: &str, judgements: Vec<Judgement>) -> Done<Logged> {
        self.refuse_child()?;
        let mut log = lock(&self.log);
        let logged = log.as_mut().ok_or_else(closed)?.judge(judge, judgements)?;
        self.place().annotated(&logged);
        Ok(logged)
    }

    fn open_again(&self, dir: &Path, passphrase: Option<&Passphrase>) -> Done<u64> {
        let worker = self.worker()?;
        let mut log = lock(&self.log);
        // The folder is this process's, until the old writer is gone.
        drop(log.take());
        let audit = Audit::open(dir, passphrase)?;
        if audit.origin() != self.origin {
            return Err(Failure::recording(format!(
                "{}: another log is here now; put the one of this run back",
                dir.display()
            )));
        }
        if audit.run().is_none() {
            return Err(Failure::recording(format!(
                "{}: the run is not open any more",
                dir.display()
            )));
        }
        self.place().recount(&audit.reader())?;
        // Some may be in the log already: they were under way.
        let lost = self.outbox.take().len() as u64;
        *log = Some(OpenLog::new(audit, Arc::clone(&self.outbox)));
        drop(log);
        // How the weights moved meanwhile is not known step by step.
        let _ = worker.check();
        worker.give(Job::Forget)?;
        Ok(lost)
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

fn settings(
    (mode, epsilon, epsilon_per_round, delta, low, high, steps_a_unit, cap): Budget,
) -> Done<PrivacySettings> {
    let modes = [PrivacyMode::Strong, PrivacyMode::Moderate];
    let mode = modes.into_iter().find(|known| known.as_str() == mode);
    let mode = mode.ok_or_else(|| Failure::input("no such annotator_privacy_mode"))?;
    let clip = [low, high];
    Ok(PrivacySettings { mode, epsilon, epsilon_per_round, delta, clip, steps_a_unit, cap })
}

/// What was logged, with each value that was released as Python takes it.
fn told_as<V>(told: Annotated, value: impl Fn(ReleasedValue) -> Option<V>) -> Told<V> {
    let Annotated { logged, released, batch } = told;
    let released = released.iter().filter_map(|Released { value: of, .. }| value(*of)).collect();
    (logged.first_index, logged.logged, released, batch)
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

fn no_weights() -> Failure {
    Failure::input("the model has no weights to digest")
}
