//! The attack that `annotator_privacy` is about, on real training: who knows the texts and the sketch of one update
//! learns the votes and the ratings (`transparency/privacy.md`), unless the model learned from what was released of
//! them.

#![allow(clippy::unwrap_used)]

mod ratings;
mod votes;

use std::fs;
use std::path::{Path, PathBuf};

use producer::{
    Annotation, Audit, InitOptions, LogReader, PrivacyMode, PrivacySettings, Released,
    UpdateOptions,
};
use trail::sketch::{Buckets, Sketch};
use trail::{Event, EventType};
use weight_digest::dtype::Dtype;
use weight_digest::sketch::Elements;

use crate::bigram::Bigram;

const PEOPLE: usize = 60;

/// What a log promises whose values are released one by one.
fn moderate(clip: [f64; 2]) -> PrivacySettings {
    PrivacySettings {
        mode: PrivacyMode::Moderate,
        epsilon: 1.0,
        epsilon_per_round: 1.0,
        delta: 1e-5,
        clip,
        steps_a_unit: 1,
        cap: 1,
    }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        // Knuth's.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }

    fn text(&mut self) -> String {
        (0..16).map(|_| char::from(33 + (self.next() % 94) as u8)).collect()
    }
}

/// A log in a folder, with the weights before and after its only update beside it.
struct Run {
    folder: tempfile::TempDir,
    audit: Audit,
}

impl Run {
    fn new(privacy: Option<PrivacySettings>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let options = InitOptions { model: "m".into(), privacy, ..InitOptions::default() };
        Audit::init(&log, &options).unwrap();
        Self { audit: Audit::open(&log, None).unwrap(), folder }
    }

    fn annotate(&mut self, given: Vec<Annotation>) -> Vec<Released> {
        self.audit.annotate(given, None).unwrap().released
    }

    /// Has a fresh policy take one step, and logs where it came from and where it went.
    fn train(&mut self, from_released: bool, step: impl FnOnce(&mut Bigram)) {
        let mut policy = Bigram::uniform();
        let base = self.save("base", &policy);
        self.audit.log_checkpoint("base", &base, &Default::default(), &|_| ()).unwrap();
        step(&mut policy);
        let next = self.save("next", &policy);
        let options =
            UpdateOptions { whole_sketch: true, from_released, ..UpdateOptions::default() };
        self.audit.log_update(&base, &next, &options, &|_| ()).unwrap();
    }

    fn save(&self, name: &str, policy: &Bigram) -> PathBuf {
        let path = self.folder.path().join(name).with_extension("safetensors");
        fs::write(&path, policy.to_safetensors().unwrap()).unwrap();
        path
    }

    /// What an attacker gets to see.
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Whether the card says that what is public of the training costs no privacy.
    fn says_harmless(&mut self) -> bool {
        self.says("privacy.training")
    }

    fn says(&mut self, id: &str) -> bool {
        self.audit.card().unwrap().card.claims.iter().any(|claim| claim.id == id)
    }
}

/// From the public log and what one annotation alone would have done to the weights: the factors with which the
/// update took them. It is their sum, and sketches are linear, so the factors are the least squares solution over them.
fn attack(log: &Path, alone: &[Buckets]) -> Vec<f64> {
    let moved = moved(log);
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for one in alone {
        let mut row: Vec<f64> = alone.iter().map(|other| one.dot(other)).collect();
        row.push(one.dot(&moved));
        rows.push(row);
    }
    solve(rows)
}

/// The sketch of how far the weights moved, from the public log.
fn moved(log: &Path) -> Buckets {
    let reader = LogReader::open(log).unwrap();
    let mut sketches = Vec::new();
    for entry in reader.entries(0..reader.size()) {
        let event = Event::decode(&entry.unwrap()).unwrap();
        let key = match event.kind {
            EventType::Checkpoint => "sketch",
            EventType::PolicyUpdate => "sketch_after",
            _ => continue,
        };
        let bytes = event.get(key).unwrap().as_bytes().unwrap();
        sketches.push(Sketch::parse(bytes).unwrap().buckets);
    }
    sketches[1].minus(&sketches[0])
}

/// The sketch of what one step does to a fresh policy, whose weights are all 0.
fn direction(step: impl FnOnce(&mut Bigram)) -> Buckets {
    let mut policy = Bigram::uniform();
    step(&mut policy);
    let file = policy.to_safetensors().unwrap();
    let (length, rest) = file.split_first_chunk().unwrap();
    let weights = &rest[u64::from_le_bytes(*length) as usize..];
    let (mut sketch, mut elements) =
        (Sketch::default(), Elements::new("bigram.logits", Dtype::F32));
    elements.update(&mut sketch, weights);
    elements.finish(&mut sketch);
    sketch.buckets
}

/// Solves linear equations by elimination; the last of each row is its right side.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for at in 0..n {
        let largest =
            (at..n).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs())).unwrap();
        rows.swap(at, largest);
        let pivot = rows[at].clone();
        for row in rows.iter_mut().enumerate().filter(|(other, _)| *other != at).map(|(_, row)| row)
        {
            let factor = row[at] / pivot[at];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    (0..n).map(|at| rows[at][n] / rows[at][at]).collect()
}

fn agree<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one == other).count()
}
