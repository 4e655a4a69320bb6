//! Which run, number and time the next event gets. All of it follows from the last entry of the log, so
//! there is no other state to keep in step with it.

use std::time::{SystemTime, UNIX_EPOCH};

use trail::{Event, EventType, RunId};

/// The coarse time of annotations: a minute, in microseconds.
const MINUTE: u64 = 60_000_000;

/// The place of the next event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequencer {
    /// The newest run, and the next number in it.
    run: Option<(RunId, u64)>,
    /// Whether that run has ended.
    ended: bool,
    /// The latest time given out.
    time: u64,
}

impl Sequencer {
    /// Continues after the last event of the log; `ended` says whether its run has.
    pub fn after(last: &Event, ended: bool) -> Self {
        Self { run: Some((last.run, last.seq + 1)), ended, time: last.time }
    }

    /// The open run.
    pub fn run(&self) -> Option<RunId> {
        self.run.filter(|_| !self.ended).map(|(run, _)| run)
    }

    /// Whether an event of this type needs a new run to be in.
    pub fn needs_run(&self, kind: &EventType) -> bool {
        self.run.is_none() || (self.ended && !kind.may_follow_end())
    }

    /// Opens a new run.
    pub fn start_run(&mut self, run: RunId) {
        (self.run, self.ended) = (Some((run, 0)), false);
    }

    /// Ends the run.
    pub fn end_run(&mut self) {
        self.ended = true;
    }

    /// The next number in the newest run.
    pub fn next(&mut self) -> Option<(RunId, u64)> {
        let (run, next) = self.run.as_mut()?;
        let seq = *next;
        *next += 1;
        Some((*run, seq))
    }

    /// The time of an event that happens at `now`: never before an earlier event, whatever the clock does.
    pub fn exact_time(&mut self, now: u64) -> u64 {
        self.time = self.time.max(now);
        self.time
    }

    /// The time of annotations made at `now`: rounded down to the minute, so that it tells less about
    /// who made them. It may lie up to a minute before the preceding event.
    pub fn coarse_time(&mut self, now: u64) -> u64 {
        let time = self.time.max(now);
        let coarse = time - time % MINUTE;
        self.time = self.time.max(coarse);
        coarse
    }
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    micros(SystemTime::now())
}

/// Microseconds between 1970 and then.
pub(crate) fn micros(then: SystemTime) -> u64 {
    let since = then.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_never_run_backwards_to_the_minute() {
        let mut sequencer = Sequencer::default();
        assert_eq!(sequencer.exact_time(5 * MINUTE + 7), 5 * MINUTE + 7);
        assert_eq!(sequencer.coarse_time(3 * MINUTE), 5 * MINUTE);
        assert_eq!(sequencer.exact_time(0), 5 * MINUTE + 7);
        assert_eq!(sequencer.coarse_time(6 * MINUTE + 1), 6 * MINUTE);
        assert_eq!(sequencer.exact_time(0), 6 * MINUTE);
    }

    #[test]
    fn an_ended_run_takes_only_what_is_done_about_it() {
        let run = RunId::from_bytes(*uuid::Uuid::now_v7().as_bytes()).unwrap();
        let data = trail::cbor::map([]);
        let last = Event { time: 9, run, seq: 4, kind: EventType::RunEnd, data };
        let mut sequencer = Sequencer::after(&last, true);
        assert_eq!(sequencer.run(), None);
        assert!(sequencer.needs_run(&EventType::Annotation));
        assert!(!sequencer.needs_run(&EventType::Card));
        assert_eq!(sequencer.next(), Some((run, 5)));
        assert!(!Sequencer::after(&last, false).needs_run(&EventType::Annotation));
        assert!(Sequencer::default().needs_run(&EventType::Card));
    }
}
