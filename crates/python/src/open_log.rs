//! A log as training writes to it: annotations are committed, and with them the numbers that came before. Numbers by
//! themselves wait for the next commit, so that they cost no sync of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ciborium::Value;
use producer::{Annotation, Audit, Deferred, Logged, Transaction};
use trail::{EventType, cbor};

use crate::failure::{Done, Failure};

/// So many events wait at most.
const MANY: usize = 256;

/// What of an event's 65,535 bytes its data may take.
const MAX_DATA: usize = 65_000;

/// The log, shared by the thread that trains, the worker, and those that log for other ranks; none once it is closed.
pub type Shared = Arc<Mutex<Option<OpenLog>>>;

/// Events that no commit has taken up yet, in order. Who adds one does not wait for a commit that others make.
pub type Waiting = Arc<Mutex<Vec<(EventType, Value)>>>;

/// Takes the log for a moment. A panic while it was taken has left a transaction that never happened.
pub fn lock(log: &Shared) -> MutexGuard<'_, Option<OpenLog>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That nothing can be logged any more.
pub fn closed() -> Failure {
    Failure::recording("the log is closed; open it again with track_training")
}

/// A log that is written to.
#[derive(Debug)]
pub struct OpenLog {
    log: Deferred,
    waiting: Waiting,
    /// Those that a commit has taken up and that are not committed yet, in order.
    taken: Vec<(EventType, Value)>,
}

/// Takes an event, which the next commit makes durable. Whether so many wait that it is time for one.
pub fn note(waiting: &Waiting, kind: EventType, data: Value) -> Done<bool> {
    let length = cbor::encode(&data).map_err(Failure::input)?.len();
    if length > MAX_DATA {
        return Err(Failure::input(format!(
            "an event holds at most {MAX_DATA} bytes, and this would be {length}: log less, or a digest of it"
        )));
    }
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.push((kind, data));
    Ok(waiting.len() >= MANY)
}

impl OpenLog {
    pub fn new(audit: Audit, waiting: Waiting) -> Self {
        Self { log: Deferred::new(audit), waiting, taken: Vec::new() }
    }

    /// How many events are in no commit yet.
    pub fn waiting(&mut self) -> u64 {
        self.take_up();
        self.taken.len() as u64
    }

    /// Logs annotations, durably, behind everything that waits.
    pub fn annotate(&mut self, annotations: impl Iterator<Item = Annotation>) -> Done<Logged> {
        let (mut transaction, before) = self.begin()?;
        for annotation in annotations {
            transaction.annotate(annotation)?;
        }
        let Logged { logged, first_index, size } = transaction.commit()?;
        self.taken.clear();
        Ok(Logged { logged: logged - before, first_index: first_index + before, size })
    }

    /// Makes durable what waits.
    pub fn flush(&mut self) -> Done<()> {
        if self.waiting() > 0 {
            self.begin()?.0.commit()?;
            self.taken.clear();
        }
        Ok(())
    }

    /// The log with everything in its files.
    pub fn settled(&mut self) -> Done<&mut Audit> {
        self.flush()?;
        Ok(self.log.settled()?)
    }

    /// Brings the log's files up to date where something is missing in them.
    pub fn catch_up(&mut self) -> Done<()> {
        let waits = self.log.is_waiting() || self.waiting() > 0;
        if waits && !self.log.has_stopped() { self.settled().map(drop) } else { Ok(()) }
    }

    /// Everything is in the log's files, or an error before has stopped the writer: the log by itself.
    pub fn into_deferred(mut self) -> Done<Option<Deferred>> {
        if self.log.has_stopped() {
            return Ok(None);
        }
        self.flush()?;
        Ok(Some(self.log))
    }

    /// A transaction that begins with what waits, and how many events that is.
    fn begin(&mut self) -> Done<(Transaction<'_>, u64)> {
        self.take_up();
        let mut transaction = self.log.begin()?;
        for (kind, data) in &self.taken {
            transaction.event(kind.clone(), data.clone())?;
        }
        Ok((transaction, self.taken.len() as u64))
    }

    fn take_up(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.taken.append(&mut waiting);
    }
}
