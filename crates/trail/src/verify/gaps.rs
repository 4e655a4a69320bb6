//! Times of which the producer says that nothing could be recorded. Nothing shows what happened then, so no verdict
//! over them is the best one. The specification is `transparency/event.md`.

use super::{count, some_of};
use crate::cbor;
use crate::event::{Event, EventType};
use crate::time::to_rfc3339;

/// An incident that says so. Whatever stands under `gap` makes it one: what is not understood is no excuse.
#[derive(Debug)]
pub struct Gap {
    entry: u64,
    /// From when to when, by the producer's clock, where it says so.
    times: Option<[u64; 2]>,
}

impl Gap {
    /// The gap that an event tells of.
    pub fn read(entry: u64, event: &Event) -> Option<Self> {
        let gap = event.get("gap").filter(|_| event.kind == EventType::Incident)?;
        let time = |key| cbor::get(gap, key).and_then(cbor::as_u64);
        let times = time("since").zip(time("until")).map(|(since, until)| [since, until]);
        Some(Self { entry, times })
    }

    fn told(&self) -> String {
        let Self { entry, times } = self;
        let Some([since, until]) = times else { return format!("for a while (entry {entry})") };
        let length = length(until.saturating_sub(*since));
        let [since, until] = [since, until].map(|time| to_rfc3339(*time));
        format!("for {length}, from {since} to {until} by its clock (entry {entry})")
    }
}

/// Microseconds, for people.
fn length(micros: u64) -> String {
    let seconds = micros as f64 / 1e6;
    if seconds < 120.0 {
        format!("{seconds:.1} seconds")
    } else if seconds < 7200.0 {
        format!("{:.0} minutes", seconds / 60.0)
    } else {
        format!("{:.0} hours", seconds / 3600.0)
    }
}

/// Why the check of it is not passed.
pub fn reason(gaps: &[Gap]) -> String {
    let told: Vec<String> = gaps.iter().map(Gap::told).collect();
    format!("the producer says that it could record nothing {}", some_of(&told))
}

/// What a verdict says of it besides.
pub const IN_VERDICT: &str = "; with a gap in the record";

/// For the list of what is not established.
pub fn not_established(gaps: &[Gap]) -> Option<String> {
    (!gaps.is_empty()).then(|| {
        format!(
            "What happened during {}: {}.",
            count(gaps.len() as u64, "gap in the record", "gaps in the record"),
            reason(gaps)
        )
    })
}
