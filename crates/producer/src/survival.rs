//! Whatever fails at whatever step: what was acknowledged is in the log whole, what was not is there
//! whole or not at all, and no two heads of one size ever differ.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use ciborium::Value;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use trail::commitment::Opening;
use trail::merkle::{Frontier, Hash, leaf_hash};
use trail::note::Note;
use trail::{Event, EventType, RunId, cbor};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::faults::{Faults, Plan};
use crate::head::SignedHead;
use crate::signer::LogKeys;
use crate::{Annotation, Audit, Deferred, InitOptions, LogReader, Transaction};

/// What is known about a transaction from the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was acknowledged, or said to be safe.
    There,
    /// It was refused.
    Absent,
    /// The process died in the middle of it, or could not tell.
    Open,
}

/// A log on a simulated disk, and what the world knows about it.
struct World {
    dir: tempfile::TempDir,
    disk: Disk,
    faults: Arc<Faults>,
    rng: StdRng,
    keys: LogKeys,
    /// For each transaction, how many events it has and how it went.
    transactions: Vec<(u64, Outcome)>,
    /// Every head anybody may have seen.
    heads: BTreeMap<u64, Hash>,
}

impl World {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let faults = Faults::new(&log, seed);
        let disk = Disk { faults: Some(faults.clone()) };
        // Every other log is hybrid: its heads differ from one signing to the next.
        let hybrid = seed % 2 == 1;
        let options = InitOptions { model: "test".into(), hybrid, ..InitOptions::default() };
        let made = Audit::init_on(&disk, &log, &options).unwrap();
        let keys = LogKeys { own: made.vkey, second: made.second_vkey };
        let rng = StdRng::seed_from_u64(seed);
        let (transactions, heads) = (Vec::new(), BTreeMap::new());
        Self { dir, disk, faults, rng, keys, transactions, heads }
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn open(&self) -> Audit {
        Audit::open_on(&self.disk, &self.log(), None).unwrap()
    }

    /// One life of a process: it opens the log and writes until something goes wrong or it has enough. In every
    /// other life the log's files follow later, sometimes not before the next start.
    fn live(&mut self) -> Result<()> {
        let mut log = Deferred::new(Audit::open_on(&self.disk, &self.log(), None)?);
        let defers = self.rng.random();
        for _ in 0..self.rng.random_range(1..if defers { 8 } else { 4 }) {
            let id = self.transactions.len() as u64;
            let events = *[1, 2, 5, 40, 300].get(self.rng.random_range(0..5)).unwrap();
            let settle = !defers || self.rng.random_ratio(1, 4);
            let begun = if settle { log.settled()?.begin() } else { log.begin() };
            self.transactions.push((events, Outcome::Open));
            let result = begun.and_then(|begun| write(begun, id, events, &mut self.rng));
            self.transactions[id as usize].1 = match &result {
                Ok(()) | Err(Error::Unfinished { .. }) => Outcome::There,
                Err(Error::Undecided { .. }) => Outcome::Open,
                Err(_) => Outcome::Absent,
            };
            // Not every error ends the writer; if this one did, it says so from now on.
            if let Err(error) = result
                && log.has_stopped()
            {
                assert!(matches!(log.begin(), Err(Error::Stopped)));
                return Err(error);
            }
            self.see_heads();
        }
        Ok(())
    }

    fn see_heads(&mut self) {
        for name in ["checkpoint", "private/head"] {
            let head = SignedHead::read_ours(&self.log().join(name), &self.keys).unwrap();
            let Checked { size, root } = Checked::of(&head);
            assert_eq!(*self.heads.entry(size).or_insert(root), root, "two heads of size {size}");
        }
    }

    /// Opens the log on a sound disk and compares it with everything known about it.
    fn examine(&mut self) {
        self.faults.begin(Plan::Nothing);
        let audit = self.open();
        self.see_heads();
        let entries = check_log(&self.log(), &self.keys);
        let size = entries.len() as u64;
        let mut frontier = Frontier::default();
        for (entry, at) in entries.iter().zip(0..) {
            if let Some(root) = self.heads.get(&at) {
                assert_eq!(frontier.root(), *root, "the head of size {at} is of another log");
            }
            frontier.push(leaf_hash(entry));
        }
        assert!(self.heads.keys().all(|seen| *seen <= size), "a head was forgotten");

        let mut found: HashMap<u64, u64> = HashMap::new();
        for (entry, index) in entries.iter().zip(0..) {
            let event = Event::decode(entry).unwrap();
            let openings = audit.vault.openings(index, &event).unwrap();
            check_openings(&event, &openings);
            let id = match event.kind {
                EventType::Metric => cbor::as_u64(event.get("id").unwrap()).unwrap(),
                EventType::Annotation => {
                    let prompt = openings.iter().find(|opening| opening.field == "prompt").unwrap();
                    prompt.content.as_text().unwrap().parse().unwrap()
                }
                _ => continue,
            };
            *found.entry(id).or_default() += 1;
        }
        for ((events, outcome), id) in self.transactions.iter().zip(0..) {
            let count = found.get(&id).copied().unwrap_or(0);
            match outcome {
                Outcome::There => assert_eq!(count, *events, "transaction {id} was acknowledged"),
                Outcome::Absent => assert_eq!(count, 0, "transaction {id} was refused"),
                Outcome::Open => {
                    assert!(count == 0 || count == *events, "part of transaction {id}")
                }
            }
        }
        // What is now known stays true.
        for ((events, outcome), id) in self.transactions.iter_mut().zip(0..) {
            let there = found.get(&id) == Some(&*events);
            *outcome = if there { Outcome::There } else { Outcome::Absent };
        }
    }
}

struct Checked {
    size: u64,
    root: Hash,
}

impl Checked {
    fn of(head: &SignedHead) -> Self {
        Self { size: head.checkpoint.size, root: head.checkpoint.root }
    }
}

/// Writes one transaction: metrics and annotations that name it.
fn write(mut transaction: Transaction<'_>, id: u64, events: u64, rng: &mut StdRng) -> Result<()> {
    let annotations = rng.random();
    for i in 0..events {
        if annotations && i % 7 != 3 {
            let annotator = format!("annotator {}", rng.random_range(0..30));
            transaction.annotate(rating(id, annotator))?;
        } else {
            transaction.event(EventType::Metric, cbor::map([("id", Value::from(id))]))?;
        }
    }
    transaction.commit().map(drop)
}

/// Writes one transaction of ratings by these people.
fn rate(audit: &mut Audit, id: u64, people: &[String]) -> Result<()> {
    let mut transaction = audit.begin()?;
    for annotator in people {
        transaction.annotate(rating(id, annotator.clone()))?;
    }
    transaction.commit().map(drop)
}

fn rating(id: u64, annotator: String) -> Annotation {
    let (prompt, response) = (id.to_string(), "response".into());
    Annotation::Rating { annotator, prompt, response, reward: 4.0 }
}

/// Reads a log as a stranger would, and returns its entries.
fn check_log(log: &Path, keys: &LogKeys) -> Vec<Vec<u8>> {
    let reader = LogReader::open(log).unwrap();
    let note = Note::parse(&reader.head().note).unwrap();
    assert!(keys.iter().all(|key| note.verify(key).unwrap().is_some()));
    let entries: Vec<_> = trail::tile::CheckedEntries::new(&reader, reader.size())
        .collect::<std::result::Result<_, _>>()
        .unwrap();
    let mut frontier = Frontier::default();
    let mut next: Option<(RunId, u64)> = None;
    for entry in &entries {
        frontier.push(leaf_hash(entry));
        let event = Event::decode(entry).unwrap();
        let expected = next.unwrap_or((event.run, 0));
        assert_eq!((event.run, event.seq), expected);
        assert_eq!(event.kind == EventType::RunStart, event.seq == 0);
        next = Some((event.run, event.seq + 1));
    }
    assert_eq!(frontier.root(), reader.head().checkpoint.root);
    entries
}

/// Every private field of an event opens, and nothing else does.
fn check_openings(event: &Event, openings: &[Opening]) {
    let private = if event.kind == EventType::Annotation { 3 } else { 0 };
    assert_eq!(openings.len(), private);
    for opening in openings {
        let commitment = opening.commitment(&event.run, event.seq).unwrap();
        assert_eq!(event.get(&opening.field).unwrap().as_bytes().unwrap(), &commitment);
    }
}

/// A few lives with faults, and examinations between them. Returns how many faults struck.
fn survive(seed: u64) -> usize {
    let mut world = World::new(seed);
    let mut struck = 0;
    for _ in 0..4 {
        // Up to three lives in a row, so that faults also hit what repairs the last one.
        for _ in 0..world.rng.random_range(1..4) {
            // Log-uniform: the steps of opening are few and as interesting as those of a large batch.
            let step = 1u64 << world.rng.random_range(0..7);
            let step = step + world.rng.random_range(0..step);
            let plan = match world.rng.random_range(0..4) {
                0 => Plan::Fail(step),
                1 => Plan::Full(step),
                2 => Plan::Kill(step),
                _ => Plan::PowerCut(step),
            };
            world.faults.begin(plan);
            let result = world.live();
            struck += usize::from(world.faults.has_struck());
            // The dead tell nothing: what the last transaction returned was never heard.
            if let (true, Err(_), Some(last)) =
                (world.faults.is_dead(), result, world.transactions.last_mut())
                && last.1 == Outcome::Absent
            {
                last.1 = Outcome::Open;
            }
            if matches!(plan, Plan::PowerCut(_)) {
                world.faults.cut_power(&world.log());
            }
        }
        world.examine();
    }
    struck
}

#[test]
fn a_sound_disk_loses_nothing() {
    let mut world = World::new(1);
    world.live().unwrap();
    world.live().unwrap();
    world.examine();
}

#[test]
fn two_hundred_seeded_faults_lose_nothing() {
    faults_lose_nothing(wanted_faults());
}

#[test]
#[ignore = "soak"]
fn soak_four_thousand_seeded_faults_lose_nothing() {
    faults_lose_nothing(4_000);
}

fn faults_lose_nothing(wanted: usize) {
    let only = std::env::var("SURVIVAL_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..u64::MAX, |seed| seed..seed + 1);
    let mut struck = 0;
    for seed in seeds {
        match std::panic::catch_unwind(|| survive(seed)) {
            Ok(more) => struck += more,
            Err(panic) => {
                eprintln!("to run this one alone: SURVIVAL_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        if struck >= wanted {
            return;
        }
    }
}

/// 200 as a rule; more for whoever has the time.
fn wanted_faults() -> usize {
    std::env::var("SURVIVAL_FAULTS").map_or(200, |faults| faults.parse().unwrap())
}

/// A process dies around the sync of its commit, and the power goes while the next one takes it up.
#[test]
fn a_power_cut_while_a_dead_processs_commit_is_taken_up_loses_nothing() {
    for kill in 3..7 {
        for cut in (1..55).step_by(2) {
            let mut world = World::new(kill * 100 + cut);
            let mut audit = world.open();
            rate(&mut audit, 0, &["ann".into()]).unwrap();
            world.faults.begin(Plan::Kill(kill));
            rate(&mut audit, 1, &["bob".into(), "ann".into()]).unwrap_err();
            drop(audit);
            world.faults.begin(Plan::PowerCut(cut));
            drop(Audit::open_on(&world.disk, &world.log(), None));
            world.faults.cut_power(&world.log());
            world.transactions = vec![(1, Outcome::There), (2, Outcome::Open)];
            world.examine();
            // Where the ratings may have been there are now events with nothing private. Were records of
            // a commit that was lost still in the vault, it would show.
            let mut audit = world.open();
            let mut transaction = audit.begin().unwrap();
            for _ in 0..3 {
                let data = cbor::map([("id", Value::from(2))]);
                transaction.event(EventType::Metric, data).unwrap();
            }
            transaction.commit().unwrap();
            drop(audit);
            world.transactions.push((3, Outcome::There));
            world.examine();
        }
    }
}

/// A transaction of which something could not be written cannot be committed without it.
#[test]
fn a_transaction_with_a_hole_is_not_committed() {
    let world = World::new(0);
    let mut audit = world.open();
    let large = || cbor::map([("x", Value::Bytes(vec![0; 60_000]))]);
    world.faults.begin(Plan::Fail(1));
    let mut transaction = audit.begin().unwrap();
    let results: Vec<_> = (0..30).map(|_| transaction.event(EventType::Metric, large())).collect();
    let failed = results.iter().position(Result::is_err).unwrap();
    assert!(matches!(results[failed], Err(Error::Io { .. })));
    assert!(results[failed + 1..].iter().all(|later| matches!(later, Err(Error::Stopped))));
    assert!(matches!(transaction.commit(), Err(Error::Stopped)));
    assert_eq!(audit.log_event(EventType::Metric, large()).unwrap().size, 2);
}

/// Who has a pseudonym in a commit that waits keeps it, whatever is taken back meanwhile.
#[test]
fn one_person_has_one_pseudonym_in_commits_that_wait() {
    let world = World::new(0);
    let mut log = Deferred::new(world.open());
    let mut rate = |taken_back: bool| {
        let mut transaction = log.begin().unwrap();
        transaction.annotate(rating(0, "ann".into())).unwrap();
        if !taken_back {
            transaction.commit().unwrap();
        }
    };
    [false, false, true, false, true, false].into_iter().for_each(&mut rate);
    log.log_event(EventType::Metric, cbor::map([("id", Value::from(1))])).unwrap();
    assert!(log.is_waiting());
    assert!(LogReader::open(&world.log()).unwrap().size() < log.size());
    drop(log);
    drop(world.open());
    let entries = check_log(&world.log(), &world.keys);
    let events: Vec<_> = entries.iter().map(|entry| Event::decode(entry).unwrap()).collect();
    let mut pseudonyms = events.iter().filter_map(|event| event.get("annotator"));
    let first = pseudonyms.next().unwrap();
    assert_eq!((pseudonyms.clone().count(), events.len()), (3, 6));
    assert!(pseudonyms.all(|pseudonym| pseudonym == first));
}

/// The log's files follow by themselves once much waits.
#[test]
fn not_much_waits() {
    let world = World::new(0);
    let mut log = Deferred::new(world.open());
    let large = || cbor::map([("x", Value::Bytes(vec![0; 60_000]))]);
    // More than sixteen mebibytes.
    for _ in 0..300 {
        log.log_event(EventType::Metric, large()).unwrap();
    }
    let waiting = log.size() - LogReader::open(&world.log()).unwrap().size();
    assert!((1..290).contains(&waiting), "{waiting}");
    assert_eq!(log.settled().unwrap().size(), 301);
    assert_eq!(check_log(&world.log(), &world.keys).len(), 301);
}

/// What a refused transaction made for itself is gone, and the next one does without.
#[test]
fn a_refused_transaction_leaves_nothing_to_stumble_over() {
    for fail in 1.. {
        let mut world = World::new(fail);
        let mut audit = world.open();
        rate(&mut audit, 0, &["ann".into()]).unwrap();
        world.faults.begin(Plan::Fail(fail));
        let result = rate(&mut audit, 1, &["bob".into(), "eve".into()]);
        world.faults.begin(Plan::Nothing);
        match result {
            Err(Error::Io { .. }) => {
                let keys = std::fs::metadata(world.log().join("private/subjects")).unwrap();
                assert_eq!(keys.len(), 104, "ann's key alone");
                rate(&mut audit, 2, &["eve".into(), "bob".into(), "ann".into()]).unwrap();
                world.transactions =
                    vec![(1, Outcome::There), (2, Outcome::Absent), (3, Outcome::There)];
                drop(audit);
                world.examine();
            }
            Err(Error::Undecided { .. } | Error::Unfinished { .. }) => assert!(audit.stopped),
            Err(other) => panic!("{other}"),
            Ok(()) => return assert!(fail > 10),
        }
    }
}

#[test]
fn an_init_that_fails_leaves_nothing_behind() {
    for step in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let faults = Faults::new(&log, 0);
        faults.begin(Plan::Full(step));
        let disk = Disk { faults: Some(faults.clone()) };
        let options = InitOptions { model: "test".into(), hybrid: true, ..InitOptions::default() };
        let result = Audit::init_on(&disk, &log, &options);
        if !faults.has_struck() {
            assert!(step > 10 && result.is_ok());
            return;
        }
        if result.is_err() {
            assert_eq!(std::fs::read_dir(&log).unwrap().count(), 0, "step {step}");
        }
    }
}
