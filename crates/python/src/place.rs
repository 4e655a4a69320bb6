//! Which annotations an update learned from: those committed since the update before it, as of the moment that it
//! was made. The worker may come to log it when others are there already.

use std::ops::Range;

use producer::Logged;

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
