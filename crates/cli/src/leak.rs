//! The attack that `annotator_privacy` is about, on real training: who knows the texts and the sketch of one update
//! learns the votes (`transparency/privacy.md`), unless the model learned from what was released of them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use producer::{
    Annotation, Audit, InitOptions, LogReader, PrivacyMode, PrivacySettings, ReleasedValue,
    UpdateOptions,
};
use trail::sketch::{Buckets, Sketch};
use trail::{Event, EventType};
use weight_digest::dtype::Dtype;
use weight_digest::sketch::Elements;

use crate::bigram::{Bigram, Pair};

const PEOPLE: usize = 60;

/// Two texts, and whether the first of them is preferred, which only its annotator knows.
struct Vote {
    texts: [String; 2],
    first: bool,
}

fn votes() -> Vec<Vote> {
    let mut state = 7_u64;
    let mut next = || {
        // Knuth's, which repeats itself.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    let mut votes = Vec::new();
    for _ in 0..PEOPLE {
        let mut text = || (0..16).map(|_| char::from(33 + (next() % 94) as u8)).collect();
        let texts = [text(), text()];
        votes.push(Vote { texts, first: next() & 1 == 0 });
    }
    votes
}

fn pair([one, other]: &[String; 2], first: bool) -> Pair {
    let (chosen, rejected) = if first { (one, other) } else { (other, one) };
    Pair { chosen: chosen.as_bytes().to_vec(), rejected: rejected.as_bytes().to_vec() }
}

/// Logs the votes, learns one step from them, from what was released where something is, and logs what moved.
/// Returns what it learned from: of each pair, whether the first.
fn train(dir: &Path, votes: &[Vote], privacy: Option<PrivacySettings>) -> Vec<bool> {
    let log = dir.join("log");
    let options = InitOptions { model: "m".into(), privacy, ..InitOptions::default() };
    Audit::init(&log, &options).unwrap();
    let mut audit = Audit::open(&log, None).unwrap();
    let given = votes.iter().zip(0..).map(|(vote, who)| {
        let Pair { chosen, rejected } = pair(&vote.texts, vote.first);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (chosen, rejected) = (text(chosen), text(rejected));
        Annotation::Preference { annotator: Some(format!("{who}")), prompt: None, chosen, rejected }
    });
    let released = audit.annotate(given.collect(), None).unwrap().released;
    let as_given = |at: usize| match released.get(at).map(|released| released.value) {
        Some(ReleasedValue::Preference { as_given, .. }) => as_given,
        _ => true,
    };
    let learned: Vec<bool> =
        votes.iter().enumerate().map(|(at, vote)| vote.first == as_given(at)).collect();

    let mut policy = Bigram::uniform();
    let (base, next) = (dir.join("base.safetensors"), dir.join("next.safetensors"));
    fs::write(&base, policy.to_safetensors().unwrap()).unwrap();
    audit.log_checkpoint("base", &base, &Default::default(), &|_| ()).unwrap();
    let pairs = votes.iter().zip(&learned).map(|(vote, first)| pair(&vote.texts, *first));
    policy.step(&pairs.collect::<Vec<_>>());
    fs::write(&next, policy.to_safetensors().unwrap()).unwrap();
    let from_released = !released.is_empty();
    let options = UpdateOptions { whole_sketch: true, from_released, ..UpdateOptions::default() };
    audit.log_update(&base, &next, &options, &|_| ()).unwrap();
    learned
}

/// From the public log and the texts: of each pair, whether the first was preferred.
fn attack(log: &Path, votes: &[Vote]) -> Vec<bool> {
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
    let moved = sketches[1].minus(&sketches[0]);
    // The update is the mean of what each pair alone would have done, with the sign of its vote. Sketches are linear,
    // so the signs are the least squares solution over them.
    let alone: Vec<Buckets> = votes.iter().map(|vote| direction(&vote.texts)).collect();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for one in &alone {
        let mut row: Vec<f64> = alone.iter().map(|other| one.dot(other)).collect();
        row.push(one.dot(&moved));
        rows.push(row);
    }
    solve(rows).into_iter().map(|vote| vote > 0.0).collect()
}

/// The sketch of what learning from one pair does, if the first is preferred.
fn direction(texts: &[String; 2]) -> Buckets {
    let mut policy = Bigram::uniform();
    policy.step(&[pair(texts, true)]);
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

fn agree(one: &[bool], other: &[bool]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one == other).count()
}

#[test]
fn one_update_gives_every_vote_away_unless_it_learned_from_what_was_released() {
    let votes = votes();
    let truth: Vec<bool> = votes.iter().map(|vote| vote.first).collect();

    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &votes, None);
    assert_eq!(attack(&folder.path().join("log"), &votes), truth, "the attack works");

    let folder = tempfile::tempdir().unwrap();
    let moderate = PrivacySettings {
        mode: PrivacyMode::Moderate,
        epsilon: 1.0,
        epsilon_per_round: 1.0,
        delta: 1e-5,
        clip: [0.0, 1.0],
        steps_a_unit: 1,
        cap: 1,
    };
    let released = train(folder.path(), &votes, Some(moderate));
    let found = attack(&folder.path().join("log"), &votes);
    // It finds what the log says anyway, and of the votes what chance told of them: 55% are told truly, and six
    // standard deviations above that, 93%, are not all.
    assert_eq!(found, released, "no more than was released");
    assert!(agree(&found, &truth) <= PEOPLE * 93 / 100, "{}", agree(&found, &truth));
}
