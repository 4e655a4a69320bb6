//! A model in the verifying person's hands against the weights in the log.

use super::replay::Replay;
use super::{Parts, bytes, fail, pass};
use crate::report::Check;
use crate::weights::WeightsEvent;

const TITLE: &str = "The weights you hold are in the log";

/// Nothing is checked where no weights were brought.
pub fn check(parts: &Parts<'_>, replay: &Replay, checks: &mut Vec<Check>) {
    let Some(root) = parts.weights else { return };
    let mut check = match replay.found_weights.as_slice() {
        [] => fail("weights", TITLE, "no checkpoint or update in this file has their root"),
        found => pass("weights", TITLE, found.iter().map(describe).collect::<Vec<_>>().join("; ")),
    };
    check.stands_on.push(bytes("root of the weights", hex::encode(root)));
    checks.push(check);
}

fn describe(event: &WeightsEvent) -> String {
    match (&event.name, event.step) {
        (Some(name), _) => format!("they are the checkpoint {name} (entry {})", event.entry),
        (None, Some(step)) => {
            format!("they are what the update of step {step} left (entry {})", event.entry)
        }
        (None, None) => format!("they are what an update left (entry {})", event.entry),
    }
}
