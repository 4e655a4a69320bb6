//! A log that is written to often and in small pieces, as training does: what is committed is safe in the
//! write-ahead log when the call returns, after one sync; tiles, vault and head follow for many commits at once.
//!
//! What follows later is what a start after a crash does: the write-ahead log holds several commits, and all of
//! them are carried over. Until then no head covers them and no reader sees them. So the type keeps the log from
//! everybody who reads it, and gives it away only when it is [settled](Deferred::settled).

use std::time::Duration;

use ciborium::Value;
use trail::{EventType, RunId};

use crate::audit::Audit;
use crate::error::Result;
use crate::publish::Waiting;
use crate::transaction::{Logged, Transaction};

/// A log whose files follow later.
#[derive(Debug)]
pub struct Deferred(Audit);

impl Deferred {
    /// Takes over a log.
    pub fn new(audit: Audit) -> Self {
        Self(audit)
    }

    /// Begins a transaction. Once it is committed, its events survive whatever the disk survives, and are in the
    /// log's files when it is settled, or opened the next time. About sixteen mebibytes of them at most wait.
    ///
    /// # Errors
    /// An earlier error has stopped this writer.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.0.begin_either(true)
    }

    /// Logs one event whose data is public.
    ///
    /// # Errors
    /// Those of [`Transaction::event`] and [`Transaction::commit`].
    pub fn log_event(&mut self, kind: EventType, data: Value) -> Result<Logged> {
        let mut transaction = self.begin()?;
        transaction.event(kind, data)?;
        transaction.commit()
    }

    /// The number of entries, with those that wait.
    pub fn size(&self) -> u64 {
        self.0.committed_size()
    }

    /// The bytes of what waits.
    pub fn waiting_bytes(&self) -> u64 {
        self.0.wal.len()
    }

    /// Whether anything waits.
    pub fn is_waiting(&self) -> bool {
        self.0.wal.last_commit().is_some()
    }

    /// Whether an earlier error has stopped this writer: the log is to be opened again.
    pub fn has_stopped(&self) -> bool {
        self.0.stopped
    }

    /// The open run, if there is one.
    pub fn run(&self) -> Option<RunId> {
        self.0.run()
    }

    /// The log with everything that was committed in its files, under a signed head.
    ///
    /// # Errors
    /// [`Error::Unfinished`](crate::Error::Unfinished): what was committed is safe, and the next start carries it
    /// over; this writer has stopped.
    pub fn settled(&mut self) -> Result<&mut Audit> {
        self.0.finish()?;
        Ok(&mut self.0)
    }

    /// Settles the log, and ends it as [`Audit::close`] does.
    ///
    /// # Errors
    /// Those of [`Deferred::settled`] and [`Audit::close`].
    pub fn close(mut self, patience: Duration) -> Result<Waiting> {
        self.settled()?;
        self.0.close(patience)
    }
}
