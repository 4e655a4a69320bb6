//! Whatever fails at whatever step: what was released was charged, and a round has one answer.

use std::collections::BTreeMap;
use std::fs;

use trail::{EventType, cbor};

use super::lives::{self, Seen};
use super::settings::tests::settings;
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::{Annotation, Audit, InitOptions, Round, RoundRequest};

/// Three people have rated; `ann` was first and has slot 0.
fn rated() -> Snapshot {
    let options =
        InitOptions { model: "test".into(), privacy: Some(settings()), ..InitOptions::default() };
    let world = Snapshot::of(&options);
    let mut audit = world.open().unwrap();
    rate(&mut audit, &["ann"]).unwrap();
    rate(&mut audit, &["bob", "eve", "ann"]).unwrap();
    world
}

fn rate(audit: &mut Audit, people: &[&str]) -> Result<()> {
    let mut transaction = audit.begin()?;
    for annotator in people {
        transaction.annotate(Annotation::Rating {
            annotator: (*annotator).into(),
            prompt: "prompt".into(),
            response: "response".into(),
            reward: 4.0,
        })?;
    }
    transaction.commit().map(drop)
}

fn named(id: &str) -> RoundRequest {
    RoundRequest { id: Some(id.into()), ..RoundRequest::default() }
}

fn is_refusal(result: &Result<Round>) -> bool {
    matches!(result, Err(Error::Round(why)) if why.contains("never answered"))
}

/// In what the caller heard and in the log, a round is the same.
fn hear(world: &Snapshot, seen: &Seen<Round>, round: Round) {
    seen.hear(world, &round.id.clone(), round);
}

/// A life that releases a round and then another one.
fn release(world: &Snapshot, seen: &Seen<Round>) -> Result<()> {
    let mut audit = world.open()?;
    hear(world, seen, audit.release_round(&named("one"))?);
    rate(&mut audit, &["ann", "bob"])?;
    hear(world, seen, audit.release_round(&named("two"))?);
    Ok(())
}

/// The next life asks again, and under another name where it is refused.
fn go_on(world: &Snapshot, seen: &Seen<Round>) -> Result<()> {
    let mut audit = world.open()?;
    for id in ["one", "two"] {
        rate(&mut audit, &["ann"])?;
        match audit.release_round(&named(id)) {
            Ok(round) => hear(world, seen, round),
            refused if is_refusal(&refused) => {
                hear(world, seen, audit.release_round(&named(&format!("{id}, again")))?);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn examine(world: &Snapshot, seen: &Seen<Round>, what: &str) {
    let mut audit = world.open().unwrap_or_else(|e| panic!("{what}: {e}"));
    let reader = audit.reader();
    let entries = (0..audit.size()).zip(reader.entries(0..audit.size()));
    let events =
        entries.map(|(index, entry)| (index, audit.decode(index, &entry.unwrap()).unwrap()));
    let logged: Vec<_> =
        events.filter(|(_, event)| event.kind == EventType::PrivacyRound).collect();

    // What is in the log is in the ledger, with the same answer at the same place, each once.
    let ledger = &audit.privacy.as_ref().unwrap().ledger;
    let released = ledger.rounds().iter().filter(|round| round.index.is_some());
    let by_index: BTreeMap<u64, _> = released.map(|round| (round.index.unwrap(), round)).collect();
    assert_eq!(logged.len(), by_index.len(), "{what}");
    let mut rho = 0.0;
    for (index, event) in &logged {
        let round = by_index[index];
        let data = cbor::encode(&event.data).unwrap();
        assert_eq!(ledger.answer_of(round).unwrap().unwrap(), data, "{what}");
        let read = Round::read(round.id.clone(), *index, &data).unwrap();
        rho += read.rho;
        hear(world, seen, read);
    }
    // `ann` is in every round.
    assert!(ledger.spent_by(0) >= rho, "{what}: released and not charged");

    let heard = seen.of(world);
    assert_eq!(heard.len(), logged.len(), "{what}: an answer was forgotten");
    for id in ["one", "two"] {
        if ledger_knows(&audit, id) || heard.contains_key(id) {
            let again = audit.release_round(&named(id));
            match heard.get(id) {
                Some(round) => assert_eq!(again.unwrap(), *round, "{what}"),
                None => assert!(is_refusal(&again), "{what}: {again:?}"),
            }
        }
    }
}

fn ledger_knows(audit: &Audit, id: &str) -> bool {
    audit.privacy.as_ref().unwrap().ledger.find(id).is_some()
}

/// Returns how often a process was ended.
fn kill_everywhere(stride: u64) -> u64 {
    lives::kill_everywhere(&rated(), stride, [release, go_on], examine)
}

#[test]
fn no_kill_around_a_release_makes_a_second_answer_or_saves_a_charge() {
    assert!(kill_everywhere(1000) >= 100);
}

#[test]
#[ignore = "soak"]
fn soak_no_kill_around_a_release_makes_a_second_answer_or_saves_a_charge() {
    assert!(kill_everywhere(11) >= 1000);
}

/// A disk that refuses one step, and the same process afterwards.
#[test]
fn a_failing_step_stops_the_writer_or_leaves_the_round_uncharged() {
    use crate::faults::Plan;
    for step in 1.. {
        let world = rated();
        let faults = world.disk.faults.clone().unwrap();
        let mut audit = world.open().unwrap();
        faults.begin(Plan::Fail(step));
        let result = audit.release_round(&named("one"));
        let struck = faults.has_struck();
        faults.begin(Plan::Nothing);
        if result.is_ok() {
            return assert!(!struck && step > 5);
        }
        assert!(audit.stopped && matches!(audit.release_round(&named("one")), Err(Error::Stopped)));
        drop(audit);
        let seen = Seen::default();
        examine(&world, &seen, &format!("step {step}"));
        go_on(&world, &seen).unwrap();
        examine(&world, &seen, &format!("step {step}, and on"));
    }
}

#[test]
fn a_ledger_that_was_restored_is_refused_and_left_as_it_is() {
    let world = rated();
    let ledger = world.log.join("private/privacy/ledger");
    let mut versions = vec![fs::read(&ledger).unwrap()];
    for id in ["one", "two"] {
        let mut audit = world.open().unwrap();
        audit.release_round(&named(id)).unwrap();
        rate(&mut audit, &["ann"]).unwrap();
        versions.push(fs::read(&ledger).unwrap());
    }
    let newest = versions.pop().unwrap();
    for older in versions {
        fs::write(&ledger, &older).unwrap();
        let why = world.open().unwrap_err().to_string();
        assert!(why.contains("ledger") && why.contains("restored"), "{why}");
        assert_eq!(fs::read(&ledger).unwrap(), older);
    }
    // Cut off anywhere, and any bit of it changed: refused, or nothing but the note that it was logged is lost.
    for len in (0..newest.len()).step_by(11) {
        let mut torn = newest[..len].to_vec();
        for flip in [false, true] {
            if flip {
                torn = newest.clone();
                torn[len] ^= 1;
            }
            fs::write(&ledger, &torn).unwrap();
            match world.open() {
                Ok(_) => assert_eq!(fs::read(&ledger).unwrap(), newest, "at {len}"),
                Err(_) => assert_eq!(fs::read(&ledger).unwrap(), torn, "at {len}"),
            }
        }
    }
    fs::remove_file(&ledger).unwrap();
    assert!(matches!(world.open(), Err(Error::Missing(_))));
}

#[test]
fn a_ledger_of_another_log_or_of_a_later_time_is_refused() {
    let (world, other) = (rated(), rated());
    other.open().unwrap().release_round(&named("one")).unwrap();
    let ledger = |world: &Snapshot| world.log.join("private/privacy/ledger");
    let own = fs::read(ledger(&world)).unwrap();
    fs::copy(ledger(&other), ledger(&world)).unwrap();
    // Its frames do not follow from this log's name: there is nothing in it.
    world.open().unwrap().release_round(&named("one")).unwrap();
    let later = fs::read(ledger(&world)).unwrap();
    assert_ne!(own, later);

    // The log as it was before the release, with the ledger as it is after it.
    let earlier = rated();
    let mut audit = earlier.open().unwrap();
    let before = earlier.beside("before");
    crate::snapshot::copy_folder(&earlier.log, &before);
    audit.release_round(&named("one")).unwrap();
    drop(audit);
    let newest = fs::read(ledger(&earlier)).unwrap();
    fs::remove_dir_all(&earlier.log).unwrap();
    fs::rename(&before, &earlier.log).unwrap();
    fs::write(ledger(&earlier), newest).unwrap();
    let why = earlier.open().unwrap_err().to_string();
    assert!(why.contains("the log was restored"), "{why}");
}
