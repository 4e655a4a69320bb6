//! A log as training writes to it: annotations are committed, and with them the numbers that came before. Numbers by
//! themselves wait in the outbox for the next commit, so that they cost no sync of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use producer::{Annotated, Annotation, Audit, Deferred, Judgement, Logged, Transaction};

use crate::failure::{Done, Failure};
use crate::outbox::Outbox;

/// The log, shared by the thread that trains, the worker, and those that log for other ranks; none once it is closed.
pub type Shared = Arc<Mutex<Option<OpenLog>>>;

/// Takes the log, for as long as it takes to write. A panic while it was taken has left a transaction that never
/// happened.
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
    /// Events that are in no commit yet.
    outbox: Arc<Outbox>,
}

impl OpenLog {
    pub fn new(audit: Audit, outbox: Arc<Outbox>) -> Self {
        Self { log: Deferred::new(audit), outbox }
    }

    /// Logs annotations, durably, behind everything that waits; whether they are new. A batch that was logged under
    /// this name before is told again.
    pub fn annotate(
        &mut self,
        annotations: Vec<Annotation>,
        batch: Option<&str>,
    ) -> Done<(Annotated, bool)> {
        self.outbox.touch();
        if let Some(name) = batch
            && let Some(told) = self.settled()?.told_before(&annotations, name)?
        {
            return Ok((told, false));
        }
        let (mut told, before) = self.commit(|transaction| {
            if let Some(name) = batch {
                transaction.name_batch(name)?;
            }
            annotations.into_iter().try_for_each(|annotation| transaction.annotate(annotation))
        })?;
        let Logged { logged, first_index, size } = told.logged;
        // Between what waited and values that are released stands the round that accounts for them.
        let first = told.released.iter().map(|released| released.index).min();
        let first_index = first.unwrap_or(first_index + before);
        told.logged = Logged { logged: logged - before, first_index, size };
        Ok((told, true))
    }

    /// Logs what a program thought, durably, behind everything that waits.
    pub fn judge(&mut self, judge: &str, judgements: Vec<Judgement>) -> Done<Logged> {
        self.outbox.touch();
        let (told, before) = self.commit(|transaction| {
            judgements.into_iter().try_for_each(|one| transaction.judge(judge, one))
        })?;
        let Logged { logged, first_index, size } = told.logged;
        Ok(Logged { logged: logged - before, first_index: first_index + before, size })
    }

    /// Makes durable what waits.
    pub fn flush(&mut self) -> Done<()> {
        if self.outbox.len() == 0 { Ok(()) } else { self.commit(|_| Ok(())).map(drop) }
    }

    /// The log with everything in its files.
    pub fn settled(&mut self) -> Done<&mut Audit> {
        self.flush()?;
        Ok(self.log.settled()?)
    }

    /// The bytes that are committed and not in the log's files.
    pub fn waiting_bytes(&self) -> u64 {
        self.log.waiting_bytes()
    }

    /// Brings the log's files up to date where something is missing in them.
    pub fn catch_up(&mut self) -> Done<()> {
        let waits = self.log.is_waiting() || self.outbox.len() > 0;
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

    /// Commits what waits, and more. Returns what is told of all of it, and how many waited.
    fn commit(
        &mut self,
        more: impl FnOnce(&mut Transaction<'_>) -> producer::Result<()>,
    ) -> Done<(Annotated, u64)> {
        let waiting = self.outbox.take();
        let committed = self.log.begin().and_then(|mut transaction| {
            for noted in &waiting {
                transaction.event_at(noted.kind.clone(), noted.data.clone(), noted.at)?;
            }
            more(&mut transaction)?;
            transaction.commit_released()
        });
        match committed {
            Ok(told) => Ok((told, waiting.len() as u64)),
            Err(error) => {
                self.outbox.put_back(waiting);
                Err(error.into())
            }
        }
    }
}
