//! Which annotations an update learned from: those committed since the update before it, as of the moment that it
//! was made. The worker may come to log it when others are there already.
//!
//! A trainer may go over the same ones in several updates. It says where such a batch begins, and whenever it has
//! worked on it: then the next update learned from the batch, whatever the updates before it learned from.

use std::ops::Range;

use producer::{LogReader, Logged};
use trail::{Event, EventType};

use crate::failure::{Done, Failure};

/// What is known of the annotations of the run.
#[derive(Debug, Default)]
pub struct Place {
    /// What no update has learned from begins here.
    fresh: Mark,
    /// The batch that the trainer works on.
    batch: Option<Batch>,
    /// A batch before it, that the trainer worked on since the last update.
    left: Option<Mark>,
    /// The entry after the last annotation.
    end: u64,
    /// How many annotations of the run there are before it.
    annotations: u64,
    /// Whether any weights were seen. The first ones are where an update starts from, and none.
    met: bool,
}

/// An entry, and how many annotations of the run there are before it.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    entry: u64,
    annotations: u64,
}

#[derive(Debug)]
struct Batch {
    first: Mark,
    /// Whether the trainer has worked on it since the last update.
    used: bool,
}

impl Place {
    /// A run that starts behind so many entries.
    pub fn starting(size: u64) -> Self {
        Self { fresh: Mark { entry: size, annotations: 0 }, end: size, ..Self::default() }
    }

    /// Annotations were committed.
    pub fn annotated(&mut self, logged: &Logged) {
        self.end = logged.size;
        self.annotations += logged.logged;
    }

    /// A batch begins, with what no update has learned from yet; the one before it is gone over no more.
    pub fn begin_batch(&mut self) {
        let first = match self.batch.take() {
            // The next update learns from both, those after it from this one alone.
            Some(Batch { first, used: true }) => {
                self.left.get_or_insert(first);
                self.here()
            }
            _ => self.fresh,
        };
        self.batch = Some(Batch { first, used: false });
    }

    /// The trainer has worked on the batch: the next update learns from it.
    pub fn use_batch(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.used = true;
        }
    }

    /// Counts again in the log itself: of what was under way when recording failed, some may be in it.
    pub fn recount(&mut self, log: &LogReader) -> Done<()> {
        let size = log.size();
        let batch = self.batch.as_mut().map(|batch| &mut batch.first);
        let mut marks: Vec<&mut Mark> =
            [Some(&mut self.fresh), batch, self.left.as_mut()].into_iter().flatten().collect();
        for mark in &mut marks {
            **mark = Mark { entry: mark.entry.min(size), annotations: 0 };
        }
        let from = marks.iter().map(|mark| mark.entry).min().unwrap_or(size);
        let mut annotations = 0;
        for (entry, index) in log.entries(from..size).zip(from..) {
            let event = Event::decode(&entry?)
                .map_err(|e| Failure::recording(format!("entry {index} of the log: {e}")))?;
            if event.kind == EventType::Annotation {
                annotations += 1;
                for mark in marks.iter_mut().filter(|mark| index < mark.entry) {
                    mark.annotations += 1;
                }
            }
        }
        (self.end, self.annotations) = (size, annotations);
        Ok(())
    }

    /// What an update made now learned from: the entries, and how many annotations are among them.
    pub fn learn(&mut self) -> (Range<u64>, u64) {
        if !std::mem::replace(&mut self.met, true) {
            return (self.fresh.entry..self.fresh.entry, 0);
        }
        let used = self.batch.as_ref().filter(|batch| batch.used).map(|batch| batch.first);
        let marks = [Some(self.fresh), used, self.left.take()];
        let first = marks.into_iter().flatten().min_by_key(|mark| mark.entry).unwrap_or(self.fresh);
        if let Some(batch) = &mut self.batch {
            batch.used = false;
        }
        self.fresh = self.here();
        (first.entry..self.end, self.annotations.saturating_sub(first.annotations))
    }

    fn here(&self) -> Mark {
        Mark { entry: self.end, annotations: self.annotations }
    }
}
