//! What the worker has yet to read: weights that must not change, and saved files that must not go, until it has.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Weights in memory.
    Weights,
    /// A saved checkpoint.
    Saved,
}

/// How many of each were given, and are not read yet.
#[derive(Debug, Default)]
pub struct Reads {
    pending: Mutex<[u64; 2]>,
    fewer: Condvar,
}

impl Reads {
    /// Something was given to be read.
    pub fn add(&self, what: What) {
        self.pending()[what as usize] += 1;
    }

    /// Something is read, or never will be.
    pub fn take(&self, what: What) {
        let count = &mut self.pending()[what as usize];
        *count = count.saturating_sub(1);
        self.fewer.notify_all();
    }

    /// Waits until nothing of it is to be read, for a moment. Says whether that is so.
    pub fn wait(&self, what: What, patience: Duration) -> bool {
        let pending = self.pending();
        let pending_of = |counts: &mut [u64; 2]| counts[what as usize] > 0;
        let waited = self.fewer.wait_timeout_while(pending, patience, pending_of);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn pending(&self) -> MutexGuard<'_, [u64; 2]> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
