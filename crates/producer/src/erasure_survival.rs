//! Whatever fails at whatever step of an erasure: all of it happened or none, nothing that was erased opens or is
//! left in any file, and nothing else is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use trail::{Event, EventType};

use crate::erasure::Scope;
use crate::error::{Error, Result};
use crate::faults::Plan;
use crate::snapshot::Snapshot;
use crate::subjects::Who;
use crate::vault::split_record;
use crate::{Annotation, Audit, Erased};

const PEOPLE: [&str; 3] = ["ann", "bob", "eve"];

/// Who rated, what, and in how many runs.
fn filled() -> Snapshot {
    let world = Snapshot::of_new_log(false);
    let mut audit = world.open().unwrap();
    for _ in 0..2 {
        let mut transaction = audit.begin().unwrap();
        for who in PEOPLE {
            for prompt in ["first", "second"] {
                transaction.annotate(rating(who, &format!("{prompt} of {who}"))).unwrap();
            }
            transaction.annotate(rating(who, "of all")).unwrap();
        }
        let (chosen, rejected) = ("yes".into(), "no".into());
        let prompt = Some("of all".into());
        let nobodys = Annotation::Preference { annotator: None, prompt, chosen, rejected };
        transaction.annotate(nobodys).unwrap();
        transaction.commit().unwrap();
        audit.end_run("completed").unwrap();
    }
    drop(audit);
    world
}

fn rating(annotator: &str, prompt: &str) -> Annotation {
    let (annotator, prompt) = (annotator.to_owned(), prompt.to_owned());
    Annotation::Rating { annotator, prompt, response: "response".into(), reward: 4.0 }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The prompts that can be read, by entry, and the pseudonyms of those entries.
type Readable = BTreeMap<u64, (String, Option<Vec<u8>>)>;

fn readable(audit: &Audit) -> Readable {
    let prompt = |index| {
        let openings = audit.openings(index).unwrap();
        let event = audit.event(index).unwrap();
        for opening in &openings {
            let commitment = opening.commitment(&event.run, event.seq).unwrap();
            assert_eq!(event.get(&opening.field).unwrap().as_bytes().unwrap(), &commitment);
        }
        let prompt = openings.iter().find(|opening| opening.field == "prompt")?;
        let pseudonym = event.get("annotator").map(|value| value.as_bytes().unwrap().clone());
        Some((index, (prompt.content.as_text().unwrap().to_owned(), pseudonym)))
    };
    (0..audit.size()).filter_map(prompt).collect()
}

fn erasures(audit: &Audit) -> Vec<Event> {
    let events = (0..audit.size()).map(|index| audit.event(index).unwrap());
    events.filter(|event| event.kind == EventType::Erasure).collect()
}

/// What must be in no file afterwards: pieces of the sealed records that go, of the pseudonyms of the people that
/// go, and all that is in the slots.
fn traces(audit: &Audit, records: &dyn Fn(&str) -> bool, slots: &[u32]) -> Vec<Vec<u8>> {
    let mut traces = Vec::new();
    let prompts = readable(audit);
    audit
        .vault
        .each_record(|index, record| {
            if records(&prompts[&index].0) {
                traces.push(split_record(record).unwrap().1[..24].to_vec());
            }
            Ok(())
        })
        .unwrap();
    audit
        .vault
        .each_pseudonym(|slot, _, sealed| {
            if slots.contains(&slot) {
                traces.push(sealed[..24].to_vec());
            }
            Ok(())
        })
        .unwrap();
    let keys = fs::read(audit.folder().subjects()).unwrap();
    for slot in slots {
        traces.push(keys[*slot as usize * 104 + 32..][..72].to_vec());
    }
    traces
}

fn found_below(path: &Path, traces: &[Vec<u8>]) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.flat_map(|path| found_below(&path, traces)).collect();
    }
    let bytes = fs::read(path).unwrap();
    let held = |trace: &Vec<u8>| bytes.windows(trace.len()).any(|window| window == trace);
    if traces.iter().any(held) { vec![path.display().to_string()] } else { vec![] }
}

type Goes = Box<dyn Fn(&str) -> bool>;
type Erase = Box<dyn Fn(&mut Audit) -> Result<Erased>>;

/// What an erasure is to do, and what was there before.
struct Case {
    before: Readable,
    goes: Goes,
    erase: Erase,
    slot: u32,
    traces: Vec<Vec<u8>>,
}

impl Case {
    fn annotator(world: &Snapshot) -> Self {
        let goes = |prompt: &str| prompt.ends_with(" ann");
        let erase = |audit: &mut Audit| audit.erase_annotators(&["ann".into()]);
        let mut case = Self::of(world, Who::Id("ann"), Box::new(goes), Box::new(erase));
        // By this whoever guesses the id, and has the vault's key, would find the slot.
        let keys = fs::read(world.log.join("private/subjects")).unwrap();
        case.traces.push(keys[case.slot as usize * 104..][..32].to_vec());
        case
    }

    fn prompt(world: &Snapshot) -> Self {
        let goes = |prompt: &str| prompt == "first of bob";
        let erase = |audit: &mut Audit| audit.erase_prompt(&sha256("first of bob"));
        Self::of(world, Who::Id("bob"), Box::new(goes), Box::new(erase))
    }

    fn of(world: &Snapshot, who: Who<'_>, goes: Goes, erase: Erase) -> Self {
        let audit = world.open().unwrap();
        let slot = audit.vault.subjects.find(who).unwrap();
        let traces = traces(&audit, &*goes, &[slot]);
        assert!(traces.len() > 2 && !found_below(&world.log, &traces).is_empty());
        Self { before: readable(&audit), goes, erase, slot, traces }
    }

    /// All of it happened, or none. Which?
    fn examine(&self, world: &Snapshot, what: &str, pseudonyms: &[Vec<u8>]) -> bool {
        let mut audit = world.open().unwrap_or_else(|e| panic!("{what}: {e}"));
        for left in ["vault.next", "erasure.json", "erasure.json.tmp"] {
            let path = audit.folder().private().join(left);
            assert!(!path.exists() || left.ends_with("tmp"), "{what}: {left}");
        }
        let (now, logged) = (readable(&audit), erasures(&audit));
        let gone = |entry: &u64| {
            let (prompt, pseudonym) = &self.before[entry];
            let theirs = pseudonym.as_ref().is_some_and(|own| pseudonyms.contains(own));
            (self.goes)(prompt) || theirs
        };
        let done = !logged.is_empty();
        let expected = self.before.iter().filter(|(index, _)| !done || !gone(index));
        assert!(now.iter().eq(expected), "{what}: done: {done}");
        if done {
            assert_eq!(logged.len(), 1, "{what}");
            assert_eq!(found_below(&world.log, &self.traces), [""; 0], "{what}");
            assert!(audit.vault.subjects.key(self.slot).unwrap().is_none());
        }
        // The log goes on, and keeps what comes.
        let mut transaction = audit.begin().unwrap();
        PEOPLE.iter().for_each(|who| transaction.annotate(rating(who, "later")).unwrap());
        transaction.commit().unwrap();
        drop(audit);
        let later = readable(&world.open().unwrap());
        assert_eq!(later.values().filter(|(prompt, _)| prompt == "later").count(), PEOPLE.len());
        done
    }
}

fn pseudonyms_of(before: &Readable, who: &str) -> Vec<Vec<u8>> {
    let own = before.values().filter(|(prompt, _)| prompt.ends_with(&format!(" {who}")));
    own.filter_map(|(_, pseudonym)| pseudonym.clone()).collect()
}

fn dies_at_each_step(world: &Snapshot, case: &Case, pseudonyms: &[Vec<u8>], stride: u64) {
    let (done, undone) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let steps = world.die_twice(
        stride,
        |world| (case.erase)(&mut world.open()?).map(drop),
        |world| world.open().map(drop),
        |world, what| {
            let count = if case.examine(world, what, pseudonyms) { &done } else { &undone };
            count.set(count.get() + 1);
        },
    );
    assert!(steps > 40 && done.get() > 10 && undone.get() > 10, "{steps} {done:?} {undone:?}");
}

#[test]
fn an_erasure_of_a_person_happens_whole_or_not_at_all() {
    let world = filled();
    let case = Case::annotator(&world);
    dies_at_each_step(&world, &case, &pseudonyms_of(&case.before, "ann"), 29);
}

#[test]
fn an_erasure_of_a_prompt_happens_whole_or_not_at_all() {
    let world = filled();
    dies_at_each_step(&world, &Case::prompt(&world), &[], 53);
}

#[test]
fn an_erasure_that_fails_in_the_middle_is_finished_or_never_was() {
    let filled = filled();
    let case = Case::annotator(&filled);
    let pseudonyms = pseudonyms_of(&case.before, "ann");
    let mut unfinished = 0;
    for step in (1..).step_by(3) {
        let world = filled.again(step);
        let mut audit = world.open().unwrap();
        world.faults.begin(Plan::Fail(step));
        let result = (case.erase)(&mut audit);
        let struck = world.faults.has_struck();
        world.faults.begin(Plan::Nothing);
        match result {
            Ok(_) if !struck => break,
            Err(Error::ErasureUnfinished { .. }) => {
                unfinished += 1;
                assert!(matches!(audit.begin(), Err(Error::Stopped)));
            }
            Err(_) if !audit.stopped => assert_eq!(readable(&audit), case.before, "step {step}"),
            _ => {}
        }
        drop(audit);
        case.examine(&world, &format!("step {step} fails"), &pseudonyms);
    }
    assert!(unfinished > 3);
}

#[test]
fn a_person_is_erased_and_may_come_back_as_another() {
    let world = filled();
    let case = Case::annotator(&world);
    let pseudonyms = pseudonyms_of(&case.before, "ann");
    let mut audit = world.open().unwrap();
    let entries: Vec<_> = (0..audit.size()).map(|i| audit.reader().entry(i).unwrap()).collect();
    let size = audit.size();
    let erased = (case.erase)(&mut audit).unwrap();
    assert_eq!(
        erased,
        Erased {
            scope: Scope::Annotator,
            erasures: 1,
            first_index: size,
            size: size + 1,
            records: 6,
            keys_destroyed: 1,
            disclosed_to: BTreeSet::new(),
            // Bob's, Eve's, and nobody's in two runs.
            keys_tried: 4,
        }
    );
    // It says what happened, and nothing of whom it happened to.
    let data = trail::cbor::map([("scope", "annotator".into())]);
    assert_eq!(erasures(&audit)[0].data, data);
    let still: Vec<_> = (0..size).map(|i| audit.reader().entry(i).unwrap()).collect();
    assert_eq!(still, entries);
    assert!(matches!((case.erase)(&mut audit), Err(Error::UnknownAnnotator(_))));
    drop(audit);
    assert!(case.examine(&world, "no fault", &pseudonyms));
    let audit = world.open().unwrap();
    let back = readable(&audit).into_values().filter(|(prompt, _)| prompt == "later");
    assert!(back.into_iter().all(|(_, own)| !pseudonyms.contains(&own.unwrap())));
}

#[test]
fn a_prompt_is_erased_for_all_who_gave_something_on_it_and_only_that() {
    let world = filled();
    let mut audit = world.open().unwrap();
    let before = readable(&audit);
    let slots: Vec<u32> =
        PEOPLE.iter().map(|who| audit.vault.subjects.find(Who::Id(who)).unwrap()).collect();
    let traces = traces(&audit, &|prompt| prompt == "of all", &slots);
    let erased = audit.erase_prompt(&sha256("of all")).unwrap();
    assert_eq!((erased.scope, erased.erasures, erased.records), (Scope::Prompt, 1, 8));
    assert_eq!((erased.keys_destroyed, erased.keys_tried), (5, 25));
    let now = readable(&audit);
    assert!(now.iter().eq(before.iter().filter(|(_, (prompt, _))| prompt != "of all")));
    assert_eq!(found_below(&world.log, &traces), [""; 0]);
    assert!(matches!(audit.erase_prompt(&sha256("of all")), Err(Error::UnknownPrompt(_))));
    assert!(matches!(audit.erase_prompt(&sha256("of nobody")), Err(Error::UnknownPrompt(_))));
    // Who stays keeps the pseudonym in the run that is open.
    audit.start_run().unwrap();
    let pseudonym = |audit: &mut Audit| {
        let mut transaction = audit.begin().unwrap();
        transaction.annotate(rating("bob", "again")).unwrap();
        let index = transaction.commit().unwrap().first_index;
        audit.event(index).unwrap().get("annotator").unwrap().clone()
    };
    let first = pseudonym(&mut audit);
    audit.erase_prompt(&sha256("second of bob")).unwrap();
    assert_eq!(pseudonym(&mut audit), first);
    drop(audit);
    assert_eq!(pseudonym(&mut world.open().unwrap()), first);
    // And the person can be erased still.
    assert_eq!(world.open().unwrap().erase_annotators(&["bob".into()]).unwrap().records, 5);
}

#[test]
fn of_several_people_one_of_whom_is_unknown_none_is_erased() {
    let world = filled();
    let mut audit = world.open().unwrap();
    let before = readable(&audit);
    for ids in [vec!["ann".into(), "nobody".into()], vec![String::new()], vec![]] {
        let error = audit.erase_annotators(&ids).unwrap_err();
        assert!(matches!(error, Error::UnknownAnnotator(_)));
        let text = format!("{error} {error:?}");
        assert!(!text.contains("ann\"") && !text.contains("nobody\""));
    }
    assert_eq!(readable(&audit), before);
    let both = audit.erase_annotators(&["eve".into(), "ann".into(), "eve".into()]).unwrap();
    assert_eq!((both.erasures, both.records, both.keys_destroyed), (2, 12, 2));
    assert_eq!(erasures(&audit).len(), 2);
}
