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
        match times.map(|times| times.map(to_rfc3339)) {
            Some([since, until]) => format!("from {since} to {until} (entry {entry})"),
            None => format!("for a while (entry {entry})"),
        }
    }
}

/// Why the check of it is not passed.
pub fn reason(gaps: &[Gap]) -> String {
    let told: Vec<String> = gaps.iter().map(Gap::told).collect();
    format!("by its own word it could record nothing {}", some_of(&told))
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
