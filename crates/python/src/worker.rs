//! The thread that does what training need not wait for: it digests weights between one optimizer step and the next,
//! and keeps the log's files up to date. What it is given it does in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ciborium::Value;
use producer::{Copied, Moved, Weighed};
use trail::{EventType, cbor};
use weight_digest::cpu::Cpu;

use crate::failure::{Done, Failure};
use crate::open_log::{OpenLog, Shared, closed, lock};
use crate::tensors::Tensors;

/// When nothing has come for so long, the log's files catch up with what is committed.
const IDLE: Duration = Duration::from_secs(1);

/// What there is to do.
pub enum Job {
    /// Digests weights as they are now; what is logged is how they moved since the last time.
    Weights(Tensors, Step),
    /// Digests a checkpoint that is saved, and logs it under a name.
    Saved { name: String, path: PathBuf, metrics: BTreeMap<String, f64> },
    /// Answers when all before it is done.
    Join(Sender<()>),
}

/// An optimizer step.
pub struct Step {
    pub step: u64,
    pub metrics: BTreeMap<String, f64>,
    /// The annotations it learned from: the entries they are among, and how many.
    pub learned_from: (Range<u64>, u64),
    /// Whether from their released values only.
    pub from_released: bool,
    pub policy: String,
}

/// The thread, seen from outside.
#[derive(Debug)]
pub struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Option<Failure>>>,
}

impl Worker {
    pub fn start(log: Shared) -> Done<Self> {
        let (jobs, inbox) = mpsc::channel();
        let trouble = Arc::new(Mutex::new(None));
        let mut bench =
            Bench { log, trouble: Arc::clone(&trouble), copied: Copied::default(), last: None };
        let thread = thread::Builder::new().name("rlhf-audit".to_owned());
        let thread = thread.spawn(move || bench.work(&inbox)).map_err(Failure::recording)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), trouble })
    }

    /// A worker that is none.
    pub fn ended() -> Self {
        Self { jobs: None, thread: None, trouble: Arc::default() }
    }

    /// Has something done, unless something before it has failed.
    pub fn give(&self, job: Job) -> Done<()> {
        self.check()?;
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(closed()) }
    }

    /// Waits until everything given is done.
    pub fn join(&self) -> Done<()> {
        let (done, answer) = mpsc::channel();
        self.give(Job::Join(done))?;
        answer.recv().map_err(|_| closed())?;
        self.check()
    }

    /// Waits until everything given is done, and ends the thread.
    pub fn stop(&mut self) -> Done<()> {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| closed())?;
        }
        self.check()
    }

    /// The first failure is told once.
    pub fn check(&self) -> Done<()> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// What the thread works with.
struct Bench {
    log: Shared,
    trouble: Arc<Mutex<Option<Failure>>>,
    /// The weights as they were digested the last time.
    copied: Copied,
    last: Option<Before>,
}

/// Weights as they were.
struct Before {
    weighed: Weighed,
    /// Whether an update from them on is the first of the run.
    first: bool,
}

impl Bench {
    fn work(&mut self, inbox: &Receiver<Job>) {
        loop {
            let result = match inbox.recv_timeout(IDLE) {
                Ok(Job::Join(done)) => {
                    // Who asked may have given up.
                    let _ = done.send(());
                    continue;
                }
                Ok(job) => self.guarded(|bench| bench.run(job)),
                Err(RecvTimeoutError::Timeout) => self.guarded(Self::catch_up),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(failure) = result {
                let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                trouble.get_or_insert(failure);
            }
        }
    }

    /// A bug must not end the thread in silence.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Done<()>) -> Done<()> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            Err(Failure::recording("a bug of this package stopped the recording"))
        })
    }

    fn run(&mut self, job: Job) -> Done<()> {
        match job {
            Job::Weights(tensors, step) => self.weights(&tensors, &step)?,
            Job::Saved { name, path, metrics } => {
                let weights = Weighed::saved(&path, &Cpu, &|_| ())?;
                let mut log = lock(&self.log);
                let audit = log.as_mut().ok_or_else(closed)?.settled()?;
                audit.log_weighed_checkpoint(&name, &weights, &metrics)?;
            }
            Job::Join(_) => {}
        }
        Ok(())
    }

    fn weights(&mut self, tensors: &Tensors, step: &Step) -> Done<()> {
        let held = tensors.held();
        let after = Weighed::in_memory(&held, &Cpu)?;
        let (delta, structure_changes) = self.copied.replace(&held);
        let Some(before) = self.last.take() else {
            self.first_seen(&after, step)?;
            self.last = Some(Before { weighed: after, first: true });
            return Ok(());
        };
        let moved = Moved {
            before: &before.weighed,
            after: &after,
            delta: &delta,
            structure_changes,
            learned_from: step.learned_from.clone(),
            from_released: step.from_released,
            // From the first weights of the run on, drift can be counted.
            whole: [before.first, false],
            step: Some(step.step),
            metrics: &step.metrics,
            policy: Some(&step.policy),
        };
        self.note(EventType::PolicyUpdate, moved.event())?;
        self.last = Some(Before { weighed: after, first: false });
        Ok(())
    }

    /// Of the first weights it is known what they are, and not from where they moved.
    fn first_seen(&self, weights: &Weighed, step: &Step) -> Done<()> {
        let metrics =
            step.metrics.iter().map(|(name, value)| (name.as_str(), Value::Float(*value)));
        let data = cbor::map([
            ("step", Value::from(step.step)),
            ("weights", Value::from(step.policy.as_str())),
            ("root", Value::Bytes(weights.digest.root.to_vec())),
            ("metrics", cbor::map(metrics)),
        ]);
        self.note(EventType::Metric, data)
    }

    fn note(&self, kind: EventType, data: Value) -> Done<()> {
        lock(&self.log).as_mut().ok_or_else(closed)?.note(kind, data)
    }

    fn catch_up(&mut self) -> Done<()> {
        lock(&self.log).as_mut().map_or(Ok(()), OpenLog::catch_up)
    }
}
