//! The thread that does what training need not wait for: it digests weights between one optimizer step and the next,
//! and keeps the log's files up to date. What it is given it does in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ciborium::Value;
use producer::{Copied, Moved, Weighed};
use trail::{EventType, cbor};
use weight_digest::cpu::Cpu;
use weight_digest::delta::Delta;
use weight_digest::part::Held;

use crate::failure::{Done, Failure};
use crate::open_log::{OpenLog, Shared, closed, lock};
use crate::outbox::Outbox;
use crate::reads::{Reads, What};
use crate::tensors::Tensors;

/// When nothing was logged for so long, the log's files catch up with what is committed. Who logs meanwhile has to wait.
const IDLE: Duration = Duration::from_secs(1);

/// So old they may become where something is logged all the time.
const STALE: Duration = Duration::from_secs(10);

/// So often a wait asks whether the thread is still there.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many bytes of weights are copied before they are digested, and the optimizer need not wait for that: adapters.
const COPIED: usize = 8 << 20;

/// What there is to do.
pub enum Job {
    /// Digests weights as they are now; what is logged is how they moved since the last time.
    Weights(Tensors, Step),
    /// Digests a checkpoint that is saved, and logs it under a name.
    Saved { name: String, path: PathBuf, metrics: BTreeMap<String, f64> },
    /// Forgets the weights of the last time: nothing says how they moved since.
    Forget,
    /// Commits what waits in the outbox.
    Flush,
    /// Brings the log's files up to date.
    CatchUp,
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
    trouble: Trouble,
    reads: Arc<Reads>,
}

/// What went wrong in the thread, until it is told.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<Failure>>>);

impl Trouble {
    /// The first failure is told once.
    pub fn check(&self) -> Done<()> {
        self.held().take().map_or(Ok(()), Err)
    }

    fn note(&self, failure: Failure) {
        self.held().get_or_insert(failure);
    }

    fn held(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    pub fn start(log: Shared, outbox: Arc<Outbox>) -> Done<Self> {
        let (jobs, inbox) = mpsc::channel();
        let (trouble, reads) = (Trouble::default(), Arc::new(Reads::default()));
        let mut bench = Bench {
            log,
            outbox,
            trouble: trouble.clone(),
            reads: Arc::clone(&reads),
            caught_up: Instant::now(),
            copied: Copied::default(),
            last: None,
        };
        let thread = thread::Builder::new().name("rlhf-audit".to_owned());
        let thread = thread.spawn(move || bench.work(&inbox)).map_err(Failure::recording)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), trouble, reads })
    }

    /// A worker that is none.
    pub fn ended() -> Self {
        Self { jobs: None, thread: None, trouble: Trouble::default(), reads: Arc::default() }
    }

    /// What goes wrong in it, for who must not wait for it.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Has something done, unless something before it has failed.
    pub fn give(&self, job: Job) -> Done<()> {
        self.check()?;
        let read = job.reads();
        if let Some(what) = read {
            self.reads.add(what);
        }
        if self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()) {
            return Ok(());
        }
        if let Some(what) = read {
            self.reads.take(what);
        }
        Err(closed())
    }

    /// Has something done now that would be done later anyway. What has failed is told to who asks next.
    pub fn wake(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// Waits until what was given of it is read, and may change or go.
    pub fn wait_for(&self, what: What) -> Done<()> {
        while !self.reads.wait(what, PATIENCE) {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(closed());
            }
        }
        self.check()
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
        self.trouble.check()
    }
}

impl Job {
    /// What it reads that others may change.
    fn reads(&self) -> Option<What> {
        match self {
            Self::Weights(..) => Some(What::Weights),
            Self::Saved { .. } => Some(What::Saved),
            _ => None,
        }
    }
}

/// What the thread works with.
struct Bench {
    log: Shared,
    outbox: Arc<Outbox>,
    trouble: Trouble,
    reads: Arc<Reads>,
    /// When the log's files were up to date.
    caught_up: Instant,
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
                Err(RecvTimeoutError::Timeout) if self.outbox.quiet() >= IDLE => {
                    self.guarded(Self::catch_up)
                }
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(failure) = result {
                self.trouble.note(failure);
            }
            if self.caught_up.elapsed() >= STALE
                && let Err(failure) = self.guarded(Self::catch_up)
            {
                self.trouble.note(failure);
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
        let reads = Arc::clone(&self.reads);
        let read = Read(&reads, job.reads());
        match job {
            Job::Weights(tensors, step) => self.weights(&tensors, &step, read)?,
            Job::Flush => lock(&self.log).as_mut().ok_or_else(closed)?.flush()?,
            Job::CatchUp => self.catch_up()?,
            Job::Saved { name, path, metrics } => {
                let weights = Weighed::saved(&path, &Cpu, &|_| ())?;
                drop(read);
                let mut log = lock(&self.log);
                let audit = log.as_mut().ok_or_else(closed)?.settled()?;
                audit.log_weighed_checkpoint(&name, &weights, &metrics)?;
            }
            Job::Forget => self.last = None,
            Job::Join(_) => {}
        }
        Ok(())
    }

    fn weights(&mut self, tensors: &Tensors, step: &Step, read: Read<'_>) -> Done<()> {
        let weighed = tensors.held().and_then(|held| self.weigh(&held, read));
        // What was copied may be of other weights than the last that were digested.
        let (after, (delta, structure_changes)) = weighed.inspect_err(|_| self.last = None)?;
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

    /// Digests weights, and compares them with those before. They may change as soon as `read` is dropped.
    fn weigh(&mut self, held: &[Held<'_>], read: Read<'_>) -> Done<(Weighed, (Delta, u64))> {
        if held.iter().map(|tensor| tensor.bytes.len()).sum::<usize>() > COPIED {
            let weighed = Weighed::in_memory(held, &Cpu)?;
            return Ok((weighed, self.copied.replace(held)));
        }
        self.copied.take(held);
        drop(read);
        let weighed = Weighed::in_memory(&self.copied.held(), &Cpu)?;
        Ok((weighed, self.copied.moved()))
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
        self.outbox.put(kind, data).map(drop)
    }

    fn catch_up(&mut self) -> Done<()> {
        self.caught_up = Instant::now();
        lock(&self.log).as_mut().map_or(Ok(()), OpenLog::catch_up)
    }
}

/// Something that is being read. However that ends, nobody waits for it any more.
struct Read<'a>(&'a Reads, Option<What>);

impl Drop for Read<'_> {
    fn drop(&mut self) {
        if let Some(what) = self.1 {
            self.0.take(what);
        }
    }
}
