//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use producer::{Audit, InitOptions, Initialised, LogReader, Progress};
use trail::note::{Note, VerifierKey};
use trail::tile::CheckedEntries;
use trail::{Event, EventType};

/// A fresh log in a folder of its own.
pub struct Fresh {
    pub folder: tempfile::TempDir,
    pub made: Initialised,
}

impl Fresh {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = InitOptions { model: "test model".into(), ..InitOptions::default() };
        let made = Audit::init(&folder.path().join("log"), &options).unwrap();
        Self { folder, made }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn open(&self) -> producer::Result<Audit> {
        Audit::open(&self.dir(), None)
    }

    /// Writes a file beside the log.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Reads a log as a stranger would: the head is signed, the tiles are those of the entries.
pub fn read_checked(dir: &Path, vkey: &VerifierKey) -> Vec<Event> {
    let reader = LogReader::open(dir).unwrap();
    let note = Note::parse(&reader.head().note).unwrap();
    assert!(note.verify(vkey).unwrap().is_some());
    let entries: Vec<Vec<u8>> =
        CheckedEntries::new(&reader, reader.size()).collect::<Result<_, _>>().unwrap();
    let mut frontier = trail::merkle::Frontier::default();
    entries.iter().for_each(|entry| frontier.push(trail::merkle::leaf_hash(entry)));
    assert_eq!(frontier.root(), reader.head().checkpoint.root);
    entries.iter().map(|entry| Event::decode(entry).unwrap()).collect()
}

/// Every private field of an entry opens to what the event commits to.
pub fn check_openings(audit: &Audit, index: u64, event: &Event) -> Vec<trail::commitment::Opening> {
    let openings = audit.openings(index).unwrap();
    for opening in &openings {
        let commitment = opening.commitment(&event.run, event.seq).unwrap();
        assert_eq!(event.get(&opening.field).unwrap().as_bytes().unwrap(), &commitment);
    }
    openings
}

pub fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

pub fn count(events: &[Event], kind: EventType) -> usize {
    events.iter().filter(|event| event.kind == kind).count()
}

/// For those who want no progress.
pub fn quiet(_: Progress) {}

/// `n` ratings by `annotators` people, one a line.
pub fn ratings(n: usize, annotators: usize) -> String {
    let line = |i: usize| {
        let (who, reward) = (i % annotators, i % 5 + 1);
        format!(
            r#"{{"prompt":"prompt {i}","response":"response {i}","annotator_id":"person {who}","reward":{reward}}}"#
        )
    };
    (0..n).map(|i| line(i) + "\n").collect()
}
