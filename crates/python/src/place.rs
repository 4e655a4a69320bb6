//! Which annotations an update learned from: those committed since the update before it, as of the moment that it
//! was made. The worker may come to log it when others are there already.

use std::ops::Range;

use producer::{LogReader, Logged};
use trail::{Event, EventType};

use crate::failure::{Done, Failure};

/// What is known of the annotations of the run.
#[derive(Debug, Default)]
pub struct Place {
    /// The entries that the last update learned from end here.
    learned: u64,
    /// The entry after the last annotation.
    end: u64,
    /// Annotations since the last update.
    annotations: u64,
    /// Whether any weights were seen. The first ones are where an update starts from, and none.
    met: bool,
}

impl Place {
    /// A run that starts behind so many entries.
    pub fn starting(size: u64) -> Self {
        Self { learned: size, end: size, ..Self::default() }
    }

    /// Annotations were committed.
    pub fn annotated(&mut self, logged: &Logged) {
        self.end = logged.size;
        self.annotations += logged.logged;
    }

    /// Counts again in the log itself: of what was under way when recording failed, some may be in it.
    pub fn recount(&mut self, log: &LogReader) -> Done<()> {
        let size = log.size();
        let mut annotations = 0;
        for (entry, index) in log.entries(self.learned.min(size)..size).zip(self.learned..) {
            let event = Event::decode(&entry?)
                .map_err(|e| Failure::recording(format!("entry {index} of the log: {e}")))?;
            annotations += u64::from(event.kind == EventType::Annotation);
        }
        (self.end, self.annotations) = (size, annotations);
        Ok(())
    }

    /// What an update made now learned from: the entries, and how many annotations are among them.
    pub fn learn(&mut self) -> (Range<u64>, u64) {
        if !std::mem::replace(&mut self.met, true) {
            return (self.learned..self.learned, 0);
        }
        let entries = self.learned..self.end;
        self.learned = self.end;
        (entries, std::mem::take(&mut self.annotations))
    }
}
