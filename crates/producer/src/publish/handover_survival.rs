//! Whatever dies at whatever step while a new publishing key is announced or takes over: one of the two keys
//! signs, the new one only when the old has published who it is, and neither is lost.

use std::fs;

use end_to_end::services::TrustedRoot;
use trail::handover::{Key, Reason, Role};
use trail::{EventType, cbor};

use super::{LogUrl, Publication, PublishOptions, Publisher, Queue, RekorVersion, Services};
use crate::LogReader;
use crate::error::Result;
use crate::folder::Folder;
use crate::key_list::{KeyState, State};
use crate::snapshot::Snapshot;

/// So that it takes seconds.
const STRIDE: u64 = 53;

/// A log that is set up for publishing.
fn published_log() -> Snapshot {
    let log = Snapshot::of_new_log(false);
    TrustedRoot::default().write(&log.beside("root.json"));
    let mut audit = log.open().unwrap();
    audit.log_event(EventType::Incident, cbor::map([("what", "something".into())])).unwrap();
    drop(audit);
    publisher(&log).unwrap();
    log
}

/// Who publishes. What is examined here asks no service.
fn publisher(log: &Snapshot) -> Result<Publisher> {
    let nowhere = "http://127.0.0.1:1".to_owned();
    let options = PublishOptions {
        services: Services {
            logs: vec![vec![LogUrl { url: nowhere.clone(), version: RekorVersion::V2 }]],
            authorities: vec![nowhere],
            insecure: false,
        },
        trusted_root: Some(log.beside("root.json")),
    };
    Publisher::open_on(&log.disk, &log.log, None, &options)
}

fn announce(log: &Snapshot) -> Result<()> {
    log.open()?.rotate_publishing_key(None).map(drop)
}

/// The queue as the publication of the newest head leaves it.
fn publish(log: &Snapshot) {
    let head = LogReader::open(&log.log).unwrap().head().checkpoint.clone();
    let (size, root) = (head.size, hex::encode(head.root));
    let publication = Publication { sequence: 0, size, root, published: vec![] };
    let queue = Queue::open(&log.disk, &Folder::new(&log.log)).unwrap();
    queue.finish(&publication, &[]).unwrap();
}

fn keys(log: &Snapshot) -> Vec<KeyState> {
    let mut keys = LogReader::open(&log.log).unwrap().keys().unwrap();
    keys.retain(|key| key.role == Role::Publisher);
    keys
}

fn states(log: &Snapshot) -> Vec<State> {
    keys(log).iter().map(|key| key.state).collect()
}

fn signs(publisher: &Publisher) -> Key {
    Key::Publisher(publisher.key.spki().to_vec())
}

/// The new key signs, and the old one can be retired.
fn check_handed_over(log: &Snapshot, place: &str) {
    let publisher = publisher(log).unwrap_or_else(|e| panic!("{place}: {e}"));
    let [old, new] = keys(log).try_into().unwrap();
    assert_eq!(signs(&publisher), new.key, "{place}");
    assert_eq!((old.state, new.state), (State::Superseded, State::Active), "{place}");
    let public = fs::read_to_string(log.log.join("policy/publisher.pub")).unwrap();
    assert_eq!(public.matches("BEGIN PUBLIC KEY").count(), 2, "{place}");
    let former = || fs::read_dir(log.log.join("private/former")).unwrap().count();
    let next = || fs::read_dir(log.log.join("private/next")).unwrap().count();
    assert_eq!((former(), next()), (1, 0), "{place}");
    log.open().unwrap().retire_key(&old.key.short(), Reason::Superseded).unwrap();
    assert_eq!(former(), 0, "{place}");
    assert_eq!(states(log), [State::Retired, State::Active], "{place}");
}

#[test]
fn every_step_of_an_announcement_can_be_the_last() {
    let log = published_log();
    let old = signs(&publisher(&log).unwrap());
    let steps = log.die_twice(
        STRIDE,
        announce,
        |log| log.open().map(drop),
        |log, place| {
            drop(log.open().unwrap_or_else(|e| panic!("{place}: {e}")));
            if keys(log).len() == 1 {
                announce(log).unwrap_or_else(|e| panic!("{place}: {e}"));
            }
            assert_eq!(states(log), [State::Active, State::Pending], "{place}");
            // Nothing is signed with the new key before the old one has published who it is.
            assert_eq!(signs(&publisher(log).unwrap()), old, "{place}");
            publish(log);
            check_handed_over(log, place);
        },
    );
    assert!(steps > 40, "{steps} steps");
}

#[test]
fn every_step_of_taking_over_can_be_the_last() {
    let log = published_log();
    announce(&log).unwrap();
    publish(&log);
    let take_over = |log: &Snapshot| publisher(log).map(drop);
    let steps = log.die_twice(1, take_over, take_over, check_handed_over);
    assert!(steps > 15, "{steps} steps");
}

/// The process that announced the key died before it was done, and the one that publishes went on.
#[test]
fn a_key_that_has_taken_over_does_not_wait_again() {
    let log = published_log();
    let intent = log.log.join("private/key-change.json");
    announce(&log).unwrap();
    publish(&log);
    publisher(&log).unwrap();
    let entry = keys(&log)[1].since.unwrap();
    fs::write(intent, format!(r#"{{"v":1,"first":{entry}}}"#)).unwrap();
    drop(log.open().unwrap());
    assert_eq!(states(&log), [State::Superseded, State::Active]);
    announce(&log).unwrap();
}
