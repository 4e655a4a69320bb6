//! Events that are in no commit yet. Who trains puts them here and goes on: the lock is held for a moment only, and
//! never while something is written, so it may be taken with the interpreter's lock in hand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ciborium::Value;
use trail::{EventType, cbor};

use crate::failure::{Done, Failure};
use crate::open_log::closed;

/// What of an event's 65,535 bytes its data may take.
const MAX_DATA: usize = 65_000;

/// An event, and when it was put here.
#[derive(Debug)]
pub struct Noted {
    pub kind: EventType,
    pub data: Value,
    pub at: SystemTime,
}

/// The events, in order.
#[derive(Debug)]
pub struct Outbox(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    noted: Vec<Noted>,
    /// When something was logged the last time.
    touched: Instant,
    /// Whether no commit will come any more.
    closed: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self(Mutex::new(Inside { noted: Vec::new(), touched: Instant::now(), closed: false }))
    }
}

impl Outbox {
    /// Takes an event, which the next commit makes durable. Returns how many wait with it.
    pub fn put(&self, kind: EventType, data: Value) -> Done<usize> {
        let length = cbor::encode(&data).map_err(Failure::input)?.len();
        if length > MAX_DATA {
            return Err(Failure::input(format!(
                "an event holds at most {MAX_DATA} bytes, and this would be {length}: log less, or a digest of it"
            )));
        }
        let mut inside = self.inside();
        if inside.closed {
            return Err(closed());
        }
        inside.touched = Instant::now();
        inside.noted.push(Noted { kind, data, at: SystemTime::now() });
        Ok(inside.noted.len())
    }

    /// Refuses events from now on.
    pub fn close(&self) {
        self.inside().closed = true;
    }

    /// Notes that something was logged.
    pub fn touch(&self) {
        self.inside().touched = Instant::now();
    }

    /// For how long nothing was logged.
    pub fn quiet(&self) -> Duration {
        self.inside().touched.elapsed()
    }

    /// All that is here, for a commit.
    pub fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut self.inside().noted)
    }

    /// Puts back what could not be committed, before what has come since.
    pub fn put_back(&self, mut taken: Vec<Noted>) {
        let mut inside = self.inside();
        taken.append(&mut inside.noted);
        inside.noted = taken;
    }

    pub fn len(&self) -> usize {
        self.inside().noted.len()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
