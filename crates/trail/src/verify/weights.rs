//! Models in the verifying person's hands against the weights in the log, and the sketches of weights against
//! each other.

use std::collections::BTreeMap;

use super::replay::Replay;
use super::{HeldWeights, bytes, fail, pass, some_of};
use crate::drift::State;
use crate::report::{Check, Outcome};
use crate::weights::WeightsEvent;

const TITLE: &str = "The weights you hold are in the log";
const SKETCHES: &str = "The sketches of weights do not contradict each other";
const REDERIVED: &str = "The sketches of the weights you hold are those in the log";

/// Nothing is checked where there are neither weights nor sketches. Returns the states whose drift is known.
pub fn check(held: &[HeldWeights], replay: &Replay, checks: &mut Vec<Check>) -> Vec<State> {
    let asked: Vec<HeldWeights> = held.iter().filter(|held| !held.answered).copied().collect();
    if !asked.is_empty() {
        checks.push(are_logged(&asked, replay));
    }
    if !replay.proven {
        return Vec::new();
    }
    checks.extend(agree(replay));
    let mut states: Vec<State> = replay.builder.drift().states().cloned().collect();
    checks.extend(rederived(held, replay, &mut states));
    states
}

/// Of several, the worst that is found of one.
fn are_logged(held: &[HeldWeights], replay: &Replay) -> Check {
    let found: Vec<(Outcome, String)> = held.iter().map(|held| is_logged(held, replay)).collect();
    let all = |wanted| found.iter().filter(move |(result, _)| *result == wanted);
    let worst = [Outcome::Fail, Outcome::Absent, Outcome::Pass]
        .into_iter()
        .find(|outcome| all(*outcome).next().is_some())
        .unwrap_or(Outcome::Absent);
    let reasons: Vec<String> = all(worst).map(|(_, reason)| reason.clone()).collect();
    let last = if worst == Outcome::Pass { not_the_last(held, replay) } else { String::new() };
    let mut check = Check { result: worst, ..pass("weights", TITLE, some_of(&reasons) + &last) };
    check.stands_on =
        held.iter().map(|held| bytes("root of the weights", hex::encode(held.root))).collect();
    check
}

fn is_logged(held: &HeldWeights, replay: &Replay) -> (Outcome, String) {
    if !replay.proven {
        return (Outcome::Absent, "the entries are not shown to be in the log".into());
    }
    let root = hex::encode(held.root);
    let mut found: Vec<String> = logged_as(&root, replay).map(describe).collect();
    if let Some(entry) = replay.started_from.get(&root).filter(|_| found.is_empty()) {
        found.push(format!("they are what an update started from (entry {entry})"));
    }
    if !found.is_empty() {
        (Outcome::Pass, some_of(&found))
    } else if replay.complete {
        (Outcome::Fail, "no checkpoint or update in the log has their root".into())
    } else {
        let reason = "no checkpoint or update in this file has their root, and not all are here";
        (Outcome::Absent, reason.into())
    }
}

fn logged_as<'a>(root: &'a str, replay: &'a Replay) -> impl Iterator<Item = &'a WeightsEvent> {
    replay.found_weights.iter().filter(move |event| event.root == root)
}

/// Someone who asks for the final model must not be content with an earlier one.
fn not_the_last(held: &[HeldWeights], replay: &Replay) -> String {
    let is_held = |root: &str| held.iter().any(|held| hex::encode(held.root) == root);
    let Some(last) = replay.weights.back().filter(|last| !is_held(&last.root)) else {
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
        (None, Some(step)) => {
            format!("the weights after the update of step {step} (entry {entry})")
        }
        (None, None) => format!("the weights after an update (entry {entry})"),
    }
}

/// The sketches that an event names, each with the root beside it.
fn sketches(event: &WeightsEvent) -> impl Iterator<Item = (&str, &str)> {
    let after = event.sketch.as_deref().map(|sketch| (event.root.as_str(), sketch));
    let before = event.root_before.as_deref().zip(event.sketch_before.as_deref());
    before.into_iter().chain(after)
}

/// One root has one sketch, and an estimate is the one that the two sketches give.
fn agree(replay: &Replay) -> Option<Check> {
    let mut of_root: BTreeMap<String, String> = BTreeMap::new();
    for event in &replay.weights {
        for (root, sketch) in sketches(event) {
            let known = of_root.entry(root.to_owned()).or_insert_with(|| sketch.to_owned());
            if known != sketch {
                let reason = format!("entry {} gives other weights' sketch to a root", event.entry);
                return Some(fail("sketches", SKETCHES, reason));
            }
        }
        let two = event.sketch_before.as_ref().zip(event.sketch.as_ref());
        if let Some(((before, after), norm)) = two.zip(event.sketch_delta_l2)
            && replay.builder.drift().contradicts(before, after, norm)
        {
            let reason = format!("the two sketches of entry {} give another norm", event.entry);
            return Some(fail("sketches", SKETCHES, reason));
        }
    }
    let reason = "they are the producer's: nothing here binds them to the weights";
    (!of_root.is_empty()).then(|| pass("sketches", SKETCHES, reason))
}

/// The sketches of weights in hand, computed again, against the logged ones of the same root.
fn rederived(held: &[HeldWeights], replay: &Replay, states: &mut [State]) -> Option<Check> {
    let (mut same, mut wrong) = (0_u64, None);
    for (root, sketch) in held.iter().filter_map(|held| Some((held.root, held.sketch?))) {
        let (root, sketch) = (hex::encode(root), hex::encode(sketch));
        for event in &replay.weights {
            for (_, logged) in sketches(event).filter(|(logged, _)| *logged == root) {
                if logged == sketch {
                    same += 1;
                } else {
                    wrong.get_or_insert(event.entry);
                }
            }
        }
        let here = states.iter_mut().filter(|state| state.root == root && state.sketch == sketch);
        here.for_each(|state| state.rederived = true);
    }
    match wrong {
        Some(entry) => {
            let reason = format!("entry {entry} gives these weights another sketch than theirs");
            Some(fail("weights.sketch", REDERIVED, reason))
        }
        None => (same > 0).then(|| {
            pass("weights.sketch", REDERIVED, "computed again from the weights, and the same")
        }),
    }
}
