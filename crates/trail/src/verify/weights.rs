//! A model in the verifying person's hands against the weights in the log.

use super::replay::Replay;
use super::{absent, bytes, fail, pass, some_of};
use crate::merkle::Hash;
use crate::report::Check;
use crate::weights::WeightsEvent;

const TITLE: &str = "The weights you hold are in the log";

/// Nothing is checked where no weights were brought.
pub fn check(root: Option<Hash>, replay: &Replay, checks: &mut Vec<Check>) {
    let Some(root) = root else { return };
    let mut found: Vec<String> = replay.found_weights.iter().map(describe).collect();
    if let Some(entry) = replay.started_from.filter(|_| found.is_empty()) {
        found.push(format!("they are what an update started from (entry {entry})"));
    }
    let mut check = if !replay.proven {
        absent("weights", TITLE, "the entries are not shown to be in the log")
    } else if !found.is_empty() {
        pass("weights", TITLE, some_of(&found) + &not_the_last(root, replay))
    } else if replay.complete {
        fail("weights", TITLE, "no checkpoint or update in the log has their root")
    } else {
        absent(
            "weights",
            TITLE,
            "no checkpoint or update in this file has their root, and not all are here",
        )
    };
    check.stands_on.push(bytes("root of the weights", hex::encode(root)));
    checks.push(check);
}

/// Someone who asks for the final model must not be content with an earlier one.
fn not_the_last(root: Hash, replay: &Replay) -> String {
    let root = hex::encode(root);
    let Some(last) = replay.weights.back().filter(|last| last.root != root) else {
        return String::new();
    };
    let whole = if replay.complete { "log" } else { "file" };
    format!("; but NOT the last weights in this {whole}: those are {}", named(last))
}

fn describe(event: &WeightsEvent) -> String {
    format!("they are {}", named(event))
}

fn named(event: &WeightsEvent) -> String {
    let entry = event.entry;
    match (&event.name, event.step) {
        (Some(name), _) => format!("the checkpoint {name} (entry {entry})"),
        (None, Some(step)) => format!("what the update of step {step} left (entry {entry})"),
        (None, None) => format!("what an update left (entry {entry})"),
    }
}
