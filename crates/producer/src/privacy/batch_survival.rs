//! Whatever fails at whatever step: what was released one by one was charged, and a batch has one set of values.

use std::collections::BTreeMap;
use std::fs;

use trail::EventType;
use trail::released::{Accounting, ItemRound};

use super::lives::{self, Seen};
use super::settings::tests::settings;
use super::{PrivacyMode, PrivacySettings};
use crate::error::{Error, Result};
use crate::faults::Plan;
use crate::snapshot::Snapshot;
use crate::{Annotated, Annotation, InitOptions, Released};

/// `ann` has slot 0.
fn rated() -> Snapshot {
    let privacy = PrivacySettings {
        mode: PrivacyMode::Moderate,
        epsilon: 1000.0,
        epsilon_per_round: 10.0,
        ..settings()
    };
    let options =
        InitOptions { model: "test".into(), privacy: Some(privacy), ..InitOptions::default() };
    let world = Snapshot::of(&options);
    world.open().unwrap().annotate(given(&["ann"]), None).unwrap();
    world
}

/// A rating and a vote of each of these.
fn given(people: &[&str]) -> Vec<Annotation> {
    let of = |annotator: &&str| {
        let annotator = (*annotator).to_owned();
        let rating = Annotation::Rating {
            annotator: annotator.clone(),
            prompt: "prompt".into(),
            response: "response".into(),
            reward: 4.0,
        };
        let vote = Annotation::Preference {
            annotator: Some(annotator),
            prompt: None,
            chosen: "better".into(),
            rejected: "worse".into(),
        };
        [rating, vote]
    };
    people.iter().flat_map(of).collect()
}

/// What was released of each batch.
type Heard = Seen<Vec<Released>>;

const BATCHES: [(&str, &[&str]); 2] = [("one", &["ann", "bob"]), ("two", &["eve", "ann"])];

/// A life that logs two batches, with people who are new.
fn release(world: &Snapshot, seen: &Heard) -> Result<()> {
    let mut audit = world.open()?;
    for (name, people) in BATCHES {
        seen.hear(world, name, audit.annotate(given(people), Some(name))?.released);
    }
    Ok(())
}

fn is_refusal(result: &Result<Annotated>) -> bool {
    matches!(result, Err(Error::Round(why)) if why.contains("never logged"))
}

/// The next life asks again, and under another name where it is refused.
fn go_on(world: &Snapshot, seen: &Heard) -> Result<()> {
    let mut audit = world.open()?;
    for (name, people) in BATCHES {
        match audit.annotate(given(people), Some(name)) {
            Ok(told) => seen.hear(world, name, told.released),
            refused if is_refusal(&refused) => {
                let name = format!("{name}, again");
                seen.hear(world, &name, audit.annotate(given(people), Some(&name))?.released);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn examine(world: &Snapshot, seen: &Heard, what: &str) {
    let mut audit = world.open().unwrap_or_else(|e| panic!("{what}: {e}"));
    let reader = audit.reader();
    let entries = (0..audit.size()).zip(reader.entries(0..audit.size()));
    let events: Vec<_> =
        entries.map(|(index, entry)| audit.decode(index, &entry.unwrap()).unwrap()).collect();

    // The log accounts for itself, and the ledger knows each batch at its place.
    let mut accounting = Accounting::default();
    (0..).zip(&events).for_each(|(index, event)| accounting.add(index, event));
    assert_eq!(accounting.wrong(), None, "{what}");
    let ledger = &audit.privacy.as_ref().unwrap().ledger;
    let rounds = events.iter().zip(0_u64..).filter(|(e, _)| e.kind == EventType::PrivacyRound);
    let rounds: BTreeMap<u64, ItemRound> =
        rounds.map(|(event, index)| (index, ItemRound::read(event).unwrap())).collect();
    let released = ledger.rounds().iter().filter_map(|round| Some((round.index?, round.request)));
    let logged: BTreeMap<u64, _> =
        rounds.iter().map(|(index, round)| (*index, round.charge)).collect();
    assert_eq!(released.collect::<BTreeMap<_, _>>(), logged, "{what}");

    // What `ann` was charged covers what is in the log of her.
    let mut rho = 0.0;
    for (index, event) in (0..).zip(&events) {
        let whose = audit.vault.annotation(index, event).unwrap();
        let whose = whose.and_then(|(given, _)| given.annotator().map(str::to_owned));
        if whose.as_deref() == Some("ann") {
            let (_, round) = rounds.range(..index).next_back().unwrap();
            rho += round.rho_item;
        }
    }
    assert!(ledger.spent_by(0) >= rho, "{what}: released and not charged");

    // What was heard is in the log, and is told again.
    let heard = seen.of(world);
    for (_, released) in heard.iter().flat_map(|(name, told)| told.iter().map(move |r| (name, r))) {
        let logged = events[released.index as usize].get("released").cloned();
        assert_eq!(logged, Some(released.value.logged()), "{what}");
    }
    for (name, people) in BATCHES {
        let known = audit.privacy.as_ref().unwrap().ledger.find(name).map(|round| round.index);
        let size = audit.size();
        match (known, heard.get(name)) {
            (None, heard) => assert!(heard.is_none(), "{what}: an answer was forgotten"),
            (Some(None), heard) => {
                assert!(heard.is_none(), "{what}: an answer was forgotten");
                assert!(is_refusal(&audit.annotate(given(people), Some(name))), "{what}");
            }
            (Some(Some(_)), heard) => {
                let again = audit.annotate(given(people), Some(name)).unwrap().released;
                assert!(heard.is_none_or(|heard| *heard == again), "{what}");
            }
        }
        assert_eq!(audit.size(), size, "{what}: asking again has logged something");
    }
}

/// Returns how often a process was ended.
fn kill_everywhere(stride: u64) -> u64 {
    lives::kill_everywhere(&rated(), stride, [release, go_on], examine)
}

#[test]
fn no_kill_around_a_batch_makes_a_second_answer_or_saves_a_charge() {
    assert!(kill_everywhere(1000) >= 100);
}

#[test]
#[ignore = "soak"]
fn soak_no_kill_around_a_batch_makes_a_second_answer_or_saves_a_charge() {
    assert!(kill_everywhere(11) >= 1000);
}

/// A disk that refuses one step, and the same process afterwards.
#[test]
fn a_failing_step_leaves_nothing_that_was_heard_and_not_charged() {
    for step in 1.. {
        let world = rated();
        let faults = world.disk.faults.clone().unwrap();
        let mut audit = world.open().unwrap();
        faults.begin(Plan::Fail(step));
        let result = audit.annotate(given(&["ann", "bob"]), Some("one"));
        let struck = faults.has_struck();
        faults.begin(Plan::Nothing);
        let seen = Heard::default();
        if let Ok(told) = result {
            assert!(!struck && step > 5);
            return seen.hear(&world, "one", told.released);
        }
        drop(audit);
        examine(&world, &seen, &format!("step {step}"));
        go_on(&world, &seen).unwrap();
        examine(&world, &seen, &format!("step {step}, and on"));
    }
}

#[test]
fn a_ledger_from_before_a_batch_is_refused_and_left_as_it_is() {
    let world = rated();
    let ledger = world.log.join("private/privacy/ledger");
    let older = fs::read(&ledger).unwrap();
    world.open().unwrap().annotate(given(&["ann"]), Some("one")).unwrap();
    let newest = fs::read(&ledger).unwrap();
    for len in 0..newest.len() {
        fs::write(&ledger, &newest[..len]).unwrap();
        match world.open() {
            // Nothing but the note that it was logged was lost.
            Ok(_) => assert_eq!(fs::read(&ledger).unwrap(), newest, "at {len}"),
            Err(why) => {
                assert!(why.to_string().contains("restored"), "{why}");
                assert_eq!(fs::read(&ledger).unwrap(), newest[..len], "at {len}");
            }
        }
    }
    fs::write(&ledger, older).unwrap();
    assert!(world.open().is_err());
}
