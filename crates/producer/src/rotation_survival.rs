//! Whatever fails at whatever step of a rotation: the log has one key or the other, nobody who chose the first
//! is left behind, and no head is signed by a key that the log does not name.

use std::path::Path;
use std::sync::Arc;

use trail::evidence::{Entries, Evidence, HashBytes, Head};
use trail::handover::Reason;
use trail::merkle;
use trail::note::{Note, VerifierKey};
use trail::policy::TrustPolicy;
use trail::report::{Report, Verdict};
use trail::tile::TileTree;
use trail::verify::{Question, verify};
use trail::{EventType, cbor};

use crate::disk::Disk;
use crate::error::Result;
use crate::faults::{Faults, Plan};
use crate::key_list::{KeyState, State};
use crate::snapshot::Snapshot;
use crate::{Audit, InitOptions, LogReader};

struct World {
    _home: tempfile::TempDir,
    log: std::path::PathBuf,
    disk: Disk,
    faults: Arc<Faults>,
    first: VerifierKey,
    policy: String,
}

impl World {
    fn new(hybrid: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        std::fs::create_dir(&log).unwrap();
        let faults = Faults::new(&log, 7);
        let disk = Disk { faults: Some(faults.clone()) };
        let options = InitOptions { model: "test".into(), hybrid, ..InitOptions::default() };
        let made = Audit::init_on(&disk, &log, &options).unwrap();
        let policy = std::fs::read_to_string(log.join("policy/policy")).unwrap();
        let world = Self { _home: home, log, disk, faults, first: made.vkey, policy };
        grow(&mut world.open().unwrap());
        world
    }

    fn open(&self) -> Result<Audit> {
        Audit::open_on(&self.disk, &self.log, None)
    }

    fn verified(&self) -> Report {
        verified(&self.log, &self.policy)
    }
}

/// The log as a stranger gets it who chose the first key.
fn verified(log: &Path, policy: &str) -> Report {
    let file = evidence(log);
    let hybrid = if policy.contains("witness") { r#"{"v":1,"hybrid":true}"# } else { "null" };
    let policy = serde_json::to_string(policy).unwrap();
    let policy = format!(r#"{{"policy":{policy},"requirements":{hybrid}}}"#);
    let policy = TrustPolicy::from_json(&policy).unwrap();
    verify(&file.to_bytes().unwrap(), &Question::by(Some(&policy))).unwrap()
}

fn grow(audit: &mut Audit) {
    audit.log_event(EventType::Incident, cbor::map([("what", "something".into())])).unwrap();
}

fn evidence(log: &Path) -> Evidence {
    let reader = LogReader::open(log).unwrap();
    let tree = TileTree::new(&reader, reader.size());
    let mut notes = reader.transition_heads().unwrap();
    notes.retain(|head| head.checkpoint.size < reader.size());
    notes.push(reader.head().clone());
    let mut before = 0;
    let heads = notes.iter().map(|head| {
        let size = head.checkpoint.size;
        let proof = merkle::consistency_path(before, size, &tree).unwrap();
        before = size;
        Head { note: head.note.clone(), proof: proof.into_iter().map(HashBytes::new).collect() }
    });
    let keys = reader.keys().unwrap();
    let newest = keys.iter().rfind(|key| key.role == trail::handover::Role::Log).unwrap();
    Evidence {
        v: 1,
        card: None,
        keys: vec![newest.key.to_string()],
        heads: heads.collect(),
        anchors: vec![],
        entries: Entries::All(
            reader.entries(0..reader.size()).map(|e| e.unwrap().into()).collect(),
        ),
        openings: vec![],
    }
}

fn die_at_each_step(hybrid: bool, power: bool) -> u64 {
    let (mut world, mut rotated) = (World::new(hybrid), 0);
    for step in 1.. {
        if rotated > 12 {
            (world, rotated) = (World::new(hybrid), 0);
        }
        let plan = if power { Plan::PowerCut(step) } else { Plan::Kill(step) };
        world.faults.begin(plan);
        let result = world.open().and_then(|mut audit| audit.rotate_log_key(None).map(drop));
        let struck = world.faults.has_struck();
        assert!(struck || result.is_ok(), "step {step}: {result:?}");
        if struck && power {
            world.faults.cut_power(&world.log);
        }
        // Dies again while it takes up what was left.
        world.faults.begin(Plan::Kill(1 + step % 11));
        drop(world.open());
        world.faults.begin(Plan::Nothing);
        let mut audit = world.open().unwrap_or_else(|e| panic!("step {step}: {e}"));
        let log = audit.vkey().clone();
        grow(&mut audit);
        drop(audit);

        let keys = LogReader::open(&world.log).unwrap().keys().unwrap();
        let of_log: Vec<_> =
            keys.iter().filter(|key| key.role == trail::handover::Role::Log).collect();
        assert_eq!(of_log.last().unwrap().key.to_string(), log.to_string(), "step {step}");
        let rotations = of_log.len() - 1;
        assert!(rotations == rotated || rotations == rotated + 1, "step {step}");
        rotated = rotations;
        let report = world.verified();
        assert_eq!(report.verdict, Verdict::Signed, "step {step}: {:#?}", report.checks);
        for left in ["key-change.json", "next/log.key", "next/log-ml-dsa-44.key"] {
            let path = world.log.join("private").join(left);
            // Keys that were never announced may lie there, and are made anew.
            assert!(
                !path.exists() || left.starts_with("next") && rotations < step as usize,
                "{left}"
            );
        }
        if !struck {
            return step;
        }
    }
    0
}

#[test]
fn every_step_of_a_rotation_can_be_the_last() {
    for (hybrid, power) in [(false, false), (false, true), (true, false), (true, true)] {
        let steps = die_at_each_step(hybrid, power);
        assert!(steps > 40, "{steps} steps");
    }
}

/// A log that has grown, and the policy that people took then.
fn grown(hybrid: bool) -> (Snapshot, String) {
    let log = Snapshot::of_new_log(hybrid);
    grow(&mut log.open().unwrap());
    let policy = std::fs::read_to_string(log.log.join("policy/policy")).unwrap();
    (log, policy)
}

fn of_log(log: &Snapshot) -> Vec<KeyState> {
    let mut keys = LogReader::open(&log.log).unwrap().keys().unwrap();
    keys.retain(|key| key.role == trail::handover::Role::Log);
    keys
}

fn die_twice_in_a_rotation(stride: u64, hybrids: &[bool]) {
    for &hybrid in hybrids {
        let (log, policy) = grown(hybrid);
        log.die_twice(
            stride,
            |log| log.open()?.rotate_log_key(None).map(drop),
            |log| log.open().map(drop),
            |log, place| {
                let mut audit = log.open().unwrap_or_else(|e| panic!("{place}: {e}"));
                grow(&mut audit);
                let newest = of_log(log).last().unwrap().key.to_string();
                assert_eq!(newest, audit.vkey().to_string(), "{place}");
                let report = verified(&log.log, &policy);
                assert_eq!(report.verdict, Verdict::Signed, "{place}: {:#?}", report.checks);
                assert!(!log.log.join("private/key-change.json").exists(), "{place}");
            },
        );
    }
}

#[test]
fn a_rotation_that_dies_and_dies_again_is_finished() {
    die_twice_in_a_rotation(53, &[false]);
}

#[test]
#[ignore = "soak: minutes"]
fn soak_a_rotation_that_dies_and_dies_again_is_finished() {
    // Every seventh step as the second: all pairs of steps are many thousands of lives.
    die_twice_in_a_rotation(7, &[false, true]);
}

fn die_twice_in_a_retirement(stride: u64) -> u64 {
    let (log, policy) = grown(false);
    log.open().unwrap().rotate_log_key(None).unwrap();
    let old = of_log(&log)[0].key.short();
    let retire = |log: &Snapshot| {
        log.open()?.retire_key(&hex::encode(of_log(log)[0].key.fingerprint()), Reason::Superseded)
    };
    log.die_twice(
        stride,
        |log| retire(log).map(drop),
        |log| log.open().map(drop),
        |log, place| {
            drop(log.open().unwrap_or_else(|e| panic!("{place}: {e}")));
            let secrets = || std::fs::read_dir(log.log.join("private/former")).unwrap().count();
            if of_log(log)[0].state == State::Superseded {
                assert_eq!(secrets(), 1, "{place}: {old} is gone and in use");
                retire(log).unwrap();
            }
            assert_eq!((of_log(log)[0].state, secrets()), (State::Retired, 0), "{place}");
            assert_eq!(verified(&log.log, &policy).verdict, Verdict::Signed, "{place}");
        },
    )
}

#[test]
fn every_step_of_a_retirement_can_be_the_last() {
    let steps = die_twice_in_a_retirement(29);
    assert!(steps > 25, "{steps} steps");
}

#[test]
fn a_key_is_retired_once_it_has_handed_over_and_its_secret_goes() {
    let world = World::new(false);
    let mut audit = world.open().unwrap();
    let refused = audit.retire_key(&world.first.id_hex(), Reason::Superseded).unwrap_err();
    assert!(refused.to_string().contains("rotate it first"), "{refused}");
    let rotated = audit.rotate_log_key(None).unwrap();
    assert_eq!(rotated.len(), 1);
    let former = world.log.join("private/former");
    let secrets = || std::fs::read_dir(&former).unwrap().count();
    assert_eq!(secrets(), 1);
    let retired = audit.retire_key(&world.first.id_hex(), Reason::Superseded).unwrap();
    assert_eq!((retired.key.state, secrets()), (State::Retired, 0));
    assert!(audit.retire_key(&world.first.id_hex(), Reason::Lost).is_err());
    // That it was stolen comes out later.
    let retired = audit.retire_key(&world.first.id_hex(), Reason::Compromised(5)).unwrap();
    assert_eq!(retired.key.state, State::Compromised);
    drop(audit);
    assert_eq!(world.verified().verdict, Verdict::Failed);
    let transition = LogReader::open(&world.log).unwrap().transition_heads().unwrap();
    let note = Note::parse(&transition[0].note).unwrap();
    assert_eq!(note.signatures.len(), 2);
}
