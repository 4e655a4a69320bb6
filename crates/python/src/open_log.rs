//! A log as training writes to it: annotations are committed, and with them the numbers that came before. Numbers by
//! themselves wait for the next commit, so that they cost no sync of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ciborium::Value;
use producer::{Audit, Deferred, Logged, Transaction};
use trail::{EventType, cbor};

use crate::failure::{Done, Failure};

/// So many events wait at most.
const MANY: usize = 256;

/// What of an event's 65,535 bytes its data may take.
const MAX_DATA: usize = 65_000;

/// The log, shared by the thread that trains and the worker; none once it is closed.
pub type Shared = Arc<Mutex<Option<OpenLog>>>;

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
    /// Events that are in no commit yet, in order.
    waiting: Vec<(EventType, Value)>,
}

impl OpenLog {
    pub fn new(audit: Audit) -> Self {
        Self { log: Deferred::new(audit), waiting: Vec::new() }
    }

    /// Takes an event, which the next commit makes durable.
    pub fn note(&mut self, kind: EventType, data: Value) -> Done<()> {
        let length = cbor::encode(&data).map_err(Failure::input)?.len();
        if length > MAX_DATA {
            return Err(Failure::input(format!(
                "an event holds at most {MAX_DATA} bytes, and this would be {length}: log less, or a digest of it"
            )));
        }
        self.waiting.push((kind, data));
        if self.waiting.len() >= MANY { self.flush() } else { Ok(()) }
    }

    /// Logs annotations, durably, behind everything that waits.
    pub fn annotate(
        &mut self,
        annotations: impl FnOnce(&mut Transaction<'_>) -> producer::Result<()>,
    ) -> Done<Logged> {
        let before = self.waiting.len() as u64;
        let mut transaction = self.begin()?;
        annotations(&mut transaction)?;
        let Logged { logged, first_index, size } = transaction.commit()?;
        self.waiting.clear();
        Ok(Logged { logged: logged - before, first_index: first_index + before, size })
    }

    /// Makes durable what waits.
    pub fn flush(&mut self) -> Done<()> {
        if !self.waiting.is_empty() {
            self.begin()?.commit()?;
            self.waiting.clear();
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
        let waits = self.log.is_waiting() || !self.waiting.is_empty();
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

    /// A transaction that begins with what waits.
    fn begin(&mut self) -> Done<Transaction<'_>> {
        let mut transaction = self.log.begin()?;
        for (kind, data) in &self.waiting {
            transaction.event(kind.clone(), data.clone())?;
        }
        Ok(transaction)
    }
}
