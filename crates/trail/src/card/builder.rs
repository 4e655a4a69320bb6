//! Derives a card from the events.

use std::collections::{BTreeMap, HashMap};

use ciborium::Value;
use serde_json::{Value as Json, json};

use super::claims::{
    AskedBy, DATA, EVALUATION, GUIDELINE, IDENTITY, INCIDENT, OVERSIGHT, PRIVACY, PRIVACY_SCOPE,
    RECORDS, RELEASED_ONLY, TRAINING, claim, mode_in_words,
};
use super::{AsOf, Card, Claim, ClaimKind, Pointer};
use crate::cbor;
use crate::drift::Drift as Sketched;
use crate::event::{Event, EventType, RunId};
use crate::order;
use crate::time::to_rfc3339;
use crate::weights::{LearnedFrom, WeightsEvent};

/// Derives a card from the events, in order, in memory that grows with what the card says and not
/// with the log.
#[derive(Clone, Debug, Default)]
pub struct CardBuilder {
    types: Tally,
    /// Annotations that say that a program judged.
    by_programs: u64,
    /// From the first entry that is a person's annotation to after the last.
    by_people: Option<[u64; 2]>,
    preferences: u64,
    ratings: u64,
    commitments: u64,
    /// By pseudonym, hex.
    annotators: Tally,
    period: Option<[u64; 2]>,
    /// The stretches of entries that are annotations, in order.
    annotated: Vec<[u64; 2]>,
    model: Option<(u64, Json)>,
    /// What the newest run says of its annotators' privacy, and the budget it promises.
    mode: Option<(u64, String)>,
    promise: Option<(u64, Json)>,
    /// The costs of all rounds, added up.
    rho: f64,
    /// How many ratings and preferences were released one by one, and the stretches of entries that hold them.
    released: [u64; 2],
    released_at: Vec<[u64; 2]>,
    runs: Vec<Run>,
    run_positions: HashMap<RunId, usize>,
    updates: Updates,
    sketched: Sketched,
    single: Vec<Claim>,
}

/// What the updates amount to.
#[derive(Clone, Debug, Default)]
struct Updates {
    breaks: u64,
    drift: Option<Drift>,
    /// The entries whose annotations updates say they learned from.
    learned_from: Vec<[u64; 2]>,
    /// How many say that they learned from released values only.
    from_released: u64,
    /// The first update that says it learned from other than what is there.
    wrong: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Drift {
    largest: f64,
    sum: f64,
    count: u64,
}

/// How often each name occurred. One kind of map for all of them: each kind is compiled again.
type Tally = BTreeMap<String, u64>;

fn tally(counts: &mut Tally, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    /// The weight root that the last update left.
    root: Option<String>,
    start: Option<(u64, u64)>,
    end: Option<(u64, u64)>,
    outcome: Json,
}

/// Documents larger than this, in bytes of CBOR, are in the card by their digest.
const MAX_INLINE: usize = 4096;

/// The fields of an annotation that are commitments.
pub const PRIVATE_FIELDS: [&str; 6] =
    ["prompt", "response", "response_a", "response_b", "preference", "reward"];

impl CardBuilder {
    /// Takes in the event at `index`.
    pub fn add(&mut self, index: u64, event: &Event) {
        tally(&mut self.types, event.kind.as_str());
        self.run(event.run);
        self.sketched.add(index, event);
        match event.kind {
            EventType::Annotation => self.annotation(index, event),
            EventType::RunStart => self.run_start(index, event),
            EventType::RunEnd => self.run_end(index, event),
            EventType::Guideline => self.guideline(index, event),
            EventType::Evaluation => self.document("evaluation", index, event, EVALUATION),
            EventType::PolicyUpdate => self.update(index, event),
            EventType::Checkpoint => self.checkpoint(index, event),
            EventType::Incident => self.document("incident", index, event, INCIDENT),
            EventType::PrivacyRound => self.privacy_round(event),
            EventType::Metric => self.dp_sgd(index, event),
            _ => {}
        }
    }

    /// How many private fields the annotations commit to.
    pub fn commitments(&self) -> u64 {
        self.commitments
    }

    /// The sketches that the entries so far hold, compared.
    pub fn drift(&self) -> &Sketched {
        &self.sketched
    }

    /// How many events of each type.
    pub fn types(&self) -> &BTreeMap<String, u64> {
        &self.types
    }

    /// The types that this version does not know, and how many events of each.
    pub fn unknown_types(&self) -> impl Iterator<Item = (&str, u64)> {
        let counts = self.types.iter().map(|(name, count)| (name.as_str(), *count));
        counts.filter(|(name, _)| !EventType::from(*name).is_known())
    }

    /// What is wrong with what an update says it learned from, where all entries before it were added.
    pub fn wrong_update(&self) -> Option<&str> {
        self.updates.wrong.as_deref()
    }

    fn run(&mut self, id: RunId) -> &mut Run {
        let position = *self.run_positions.entry(id).or_insert_with(|| {
            self.runs.push(Run { id, root: None, start: None, end: None, outcome: Json::Null });
            self.runs.len() - 1
        });
        &mut self.runs[position]
    }

    fn annotation(&mut self, index: u64, event: &Event) {
        let released = u64::from(event.get("released").is_some());
        extend(&mut self.annotated, index);
        if released > 0 {
            extend(&mut self.released_at, index);
        }
        if event.get("judge").is_some() {
            self.by_programs += 1;
            return;
        }
        self.by_people.get_or_insert([index; 2])[1] = index.saturating_add(1);
        match event.get("kind").and_then(Value::as_text) {
            Some("preference") => {
                self.preferences += 1;
                self.released[1] += released;
            }
            Some("rating") => {
                self.ratings += 1;
                self.released[0] += released;
            }
            _ => {}
        }
        if let Some(pseudonym) = event.get("annotator").and_then(Value::as_bytes) {
            tally(&mut self.annotators, &hex::encode(pseudonym));
        }
        let committed = PRIVATE_FIELDS
            .iter()
            .filter(|field| event.get(field).and_then(cbor::as_array::<32>).is_some());
        self.commitments += committed.count() as u64;
        let [first, last] = self.period.get_or_insert([event.time; 2]);
        *first = (*first).min(event.time);
        *last = (*last).max(event.time);
    }

    fn run_start(&mut self, index: u64, event: &Event) {
        self.run(event.run).start = Some((index, event.time));
        if let Some(model) = event.get("model") {
            self.model = Some((index, cbor::to_json(model)));
        }
        if let Some(mode) = event.get("annotator_privacy").and_then(Value::as_text) {
            self.mode = Some((index, mode_in_words(mode).to_owned()));
        }
        if let Some(promise) = event.get("privacy") {
            self.promise = Some((index, cbor::to_json(promise)));
        }
    }

    fn privacy_round(&mut self, event: &Event) {
        let rho = event.get("rho").and_then(Value::as_float);
        self.rho += rho.filter(|rho| rho.is_finite() && *rho >= 0.0).unwrap_or_default();
    }

    fn run_end(&mut self, index: u64, event: &Event) {
        let run = self.run(event.run);
        run.end = Some((index, event.time));
        run.outcome = event.get("outcome").map(cbor::to_json).unwrap_or_default();
    }

    fn guideline(&mut self, index: u64, event: &Event) {
        // An event without a digest commits to nothing; the schema refuses it as well.
        let Some(digest) = event.get("sha256").and_then(cbor::as_array::<32>).map(hex::encode)
        else {
            return;
        };
        let title = event.get("title").map(cbor::to_json);
        let evidence =
            vec![Pointer::Entry { entry: index }, Pointer::Digest { sha256: digest.clone() }];
        self.single.push(claim(
            format!("guideline.{index}"),
            json!({"title": title, "sha256": digest}),
            ClaimKind::Committed,
            GUIDELINE,
            evidence,
        ));
    }

    fn update(&mut self, index: u64, event: &Event) {
        let Some(update) = WeightsEvent::read(index, event) else {
            // Unreadable, so what it left is unknown; the schema refuses it as well.
            self.updates.breaks += 1;
            self.run(event.run).root = None;
            return;
        };
        if let Some(from) = &update.learned_from {
            let values = event.get("learned_from").and_then(|from| cbor::get(from, "values"));
            self.learned_from(index, from, values.and_then(Value::as_text) == Some("released"));
        }
        let left = self.run(event.run).root.replace(update.root);
        let updates = &mut self.updates;
        if left.is_some() && left != update.root_before {
            updates.breaks += 1;
        }
        if let Some(norm) = update.delta_l2 {
            let drift = updates.drift.get_or_insert(Drift { largest: 0.0, sum: 0.0, count: 0 });
            drift.largest = drift.largest.max(norm);
            drift.sum += norm;
            drift.count += 1;
        }
    }

    fn learned_from(&mut self, index: u64, from: &LearnedFrom, released: bool) {
        let range = [from.first, from.end];
        let there = overlap(&self.annotated, range);
        self.updates.from_released += u64::from(released);
        if from.first > from.end || from.end > index {
            let [first, end] = range;
            self.updates.wrong.get_or_insert(format!(
                "the update in entry {index} names entries {first} to {end}, not earlier ones"
            ));
        } else if there != from.annotations {
            self.updates.wrong.get_or_insert(format!(
                "the update in entry {index} says it learned from {} annotations, and {there} are where it says",
                from.annotations
            ));
        } else if released && overlap(&self.released_at, range) != there {
            self.updates.wrong.get_or_insert(format!(
                "the update in entry {index} says it learned from released values, and not all are where it says"
            ));
        }
        self.updates.learned_from.push(range);
    }

    fn checkpoint(&mut self, index: u64, event: &Event) {
        let Some(saved) = WeightsEvent::read(index, event) else { return };
        let evidence = vec![Pointer::Entry { entry: index }];
        let value = json!({"name": saved.name, "root": saved.root});
        self.single.push(claim(
            format!("checkpoint.{index}"),
            value,
            ClaimKind::Committed,
            TRAINING,
            evidence.clone(),
        ));
        if saved.metrics.as_object().is_some_and(|metrics| !metrics.is_empty()) {
            let value = json!({"checkpoint": saved.name, "metrics": saved.metrics});
            let id = format!("metrics.{index}");
            self.single.push(claim(id, value, ClaimKind::Asserted, EVALUATION, evidence));
        }
    }

    fn dp_sgd(&mut self, index: u64, event: &Event) {
        let Some(said) = event.get("dp_sgd").filter(|said| said.is_map()) else { return };
        if cbor::encode(said).is_ok_and(|bytes| bytes.len() <= MAX_INLINE) {
            let evidence = vec![Pointer::Entry { entry: index }];
            let (id, value) = (format!("privacy.examples.{index}"), cbor::to_json(said));
            self.single.push(claim(id, value, ClaimKind::Asserted, PRIVACY, evidence));
        }
    }

    fn document(&mut self, name: &str, index: u64, event: &Event, asked_by: AskedBy) {
        let inline = event
            .get("document")
            .filter(|document| cbor::encode(document).is_ok_and(|bytes| bytes.len() <= MAX_INLINE));
        let value = match inline {
            Some(document) => cbor::to_json(document),
            None => json!({
                "title": event.get("title").map(cbor::to_json),
                "sha256": event.get("sha256").and_then(cbor::as_array::<32>).map(hex::encode),
            }),
        };
        let evidence = vec![Pointer::Entry { entry: index }];
        let id = format!("{name}.{index}");
        self.single.push(claim(id, value, ClaimKind::Asserted, asked_by, evidence));
    }

    /// The card of the events so far, as of this head.
    pub fn finish(&self, as_of: AsOf) -> Card {
        let all = || vec![Pointer::Entries { entries: [0, as_of.size] }];
        let recomputed = |id: &str, value: Json, asked_by: AskedBy, evidence: Vec<Pointer>| {
            claim(id.to_owned(), value, ClaimKind::Recomputed, asked_by, evidence)
        };
        let of_type = |kind: EventType| self.types.get(kind.as_str()).copied().unwrap_or_default();
        let counted = |id: &str, kind: EventType, asked_by: AskedBy| {
            recomputed(id, of_type(kind).into(), asked_by, all())
        };
        let among_annotations =
            vec![Pointer::Entries { entries: self.by_people.unwrap_or_default() }];
        let by_people = of_type(EventType::Annotation).saturating_sub(self.by_programs);
        let events: u64 = self.types.values().sum();

        let mut claims = self.single.clone();
        claims.extend([
            counted("auditors.grants", EventType::AuditorGrant, OVERSIGHT),
            counted("checkpoints.count", EventType::Checkpoint, TRAINING),
            counted("erasures.count", EventType::Erasure, PRIVACY),
            counted("incidents.count", EventType::Incident, INCIDENT),
            counted("policy_updates.count", EventType::PolicyUpdate, TRAINING),
            counted("privacy.rounds", EventType::PrivacyRound, PRIVACY),
            counted("publication.heads", EventType::HeadPublished, RECORDS),
            recomputed("events.count", events.into(), RECORDS, all()),
            recomputed("events.types", json!(self.types()), RECORDS, all()),
            recomputed("runs.count", self.runs.len().into(), RECORDS, all()),
            recomputed("annotations.count", by_people.into(), DATA, all()),
            recomputed("annotations.preferences", self.preferences.into(), DATA, all()),
            recomputed("annotations.ratings", self.ratings.into(), DATA, all()),
            recomputed("annotations.annotators", self.annotators.len().into(), DATA, all()),
        ]);
        if self.by_programs > 0 {
            claims.push(recomputed(
                "annotations.by_programs",
                self.by_programs.into(),
                DATA,
                all(),
            ));
        }
        if let Some([first, last]) = self.period {
            let value = json!([to_rfc3339(first), to_rfc3339(last)]);
            claims.push(recomputed("annotations.period", value, DATA, among_annotations.clone()));
            claims.push(claim(
                "annotations.content".into(),
                json!({"commitments": self.commitments}),
                ClaimKind::Committed,
                DATA,
                among_annotations,
            ));
        }
        if of_type(EventType::PolicyUpdate) > 0 {
            let updates = &self.updates;
            let drift = updates.drift.map(
                |drift| json!({"largest": drift.largest, "mean": drift.sum / drift.count as f64}),
            );
            claims.extend([
                recomputed(
                    "policy_updates.unbroken",
                    (updates.breaks == 0).into(),
                    TRAINING,
                    all(),
                ),
                recomputed("policy_updates.drift", json!(drift), TRAINING, all()),
                recomputed(
                    "policy_updates.learned_from",
                    self.judgements_used().into(),
                    TRAINING,
                    all(),
                ),
            ]);
        }
        if let Some(drift) = self.sketched.claim() {
            claims.push(recomputed("weights.drift", drift, TRAINING, all()));
        }
        if of_type(EventType::PrivacyRound) > 0 {
            claims.push(recomputed("privacy.spent", json!(self.rho), PRIVACY, all()));
            let [ratings, preferences] = self.released;
            let released = json!({"ratings": ratings, "preferences": preferences});
            claims.push(recomputed("privacy.released", released, PRIVACY, all()));
            let asserted = |id: &str, text: &str| {
                claim(id.to_owned(), text.into(), ClaimKind::Asserted, PRIVACY, all())
            };
            if self.says_released_only() {
                claims.push(asserted("privacy.training", RELEASED_ONLY));
            } else if self.shows_weights() {
                claims.push(asserted("privacy.scope", PRIVACY_SCOPE));
            }
        }
        let said = |id: &str, entry: u64, value: Json, asked_by: AskedBy| {
            let evidence = vec![Pointer::Entry { entry }];
            claim(id.to_owned(), value, ClaimKind::Asserted, asked_by, evidence)
        };
        let (model, promise) = (self.model.clone(), self.promise.clone());
        claims.extend(model.map(|(entry, name)| said("model.name", entry, name, IDENTITY)));
        claims.extend(promise.map(|(entry, sum)| said("privacy.promise", entry, sum, PRIVACY)));
        let mode = self.mode.clone();
        claims.extend(mode.map(|(entry, mode)| said("privacy.mode", entry, mode.into(), PRIVACY)));
        claims.extend(self.runs.iter().filter_map(Run::claim));
        order::sort_by(&mut claims, |a, b| a.id.cmp(&b.id));
        Card { v: 1, as_of, claims }
    }
}

impl CardBuilder {
    /// Whether something is public that follows from what the model learned.
    fn shows_weights(&self) -> bool {
        [EventType::PolicyUpdate, EventType::Checkpoint]
            .iter()
            .any(|kind| self.types.contains_key(kind.as_str()))
    }

    /// Whether there are updates and all of them say that they learned from released values only.
    pub fn says_released_only(&self) -> bool {
        let updates = self.types.get(EventType::PolicyUpdate.as_str()).copied().unwrap_or_default();
        updates > 0 && self.updates.from_released == updates
    }

    /// How many annotations at least one update says it learned from.
    fn judgements_used(&self) -> u64 {
        let mut ranges = self.updates.learned_from.clone();
        order::sort_by(&mut ranges, Ord::cmp);
        let (mut used, mut counted_to) = (0, 0);
        for [first, end] in ranges {
            let first = first.max(counted_to);
            if first < end {
                used += overlap(&self.annotated, [first, end]);
                counted_to = end;
            }
        }
        used
    }
}

/// Adds an entry to stretches of entries that are in order.
fn extend(stretches: &mut Vec<[u64; 2]>, index: u64) {
    match stretches.last_mut() {
        Some([_, end]) if *end == index => *end = index.saturating_add(1),
        _ => stretches.push([index, index.saturating_add(1)]),
    }
}

/// How many of the entries in these stretches, which are in order, lie in `[first, end)`.
fn overlap(stretches: &[[u64; 2]], [first, end]: [u64; 2]) -> u64 {
    let after = stretches.partition_point(|[_, stretch_end]| *stretch_end <= first);
    let inside = stretches[after..].iter().take_while(|[stretch_first, _]| *stretch_first < end);
    inside.map(|[a, b]| (*b).min(end).saturating_sub((*a).max(first))).sum()
}

impl Run {
    /// Start and end are the producer's word, so this is an assertion.
    fn claim(&self) -> Option<Claim> {
        let (entry, started) = self.start?;
        let mut evidence = vec![Pointer::Entry { entry }];
        evidence.extend(self.end.map(|(entry, _)| Pointer::Entry { entry }));
        let value = json!({
            "run": self.id.to_string(),
            "started": to_rfc3339(started),
            "ended": self.end.map(|(_, time)| to_rfc3339(time)),
            "outcome": self.outcome,
        });
        Some(claim(format!("run.{entry}"), value, ClaimKind::Asserted, RECORDS, evidence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_counted() {
        let stretches = [[1, 4], [6, 7], [9, 20]];
        for (range, expected) in
            [([0, 30], 15), ([2, 7], 3), ([4, 6], 0), ([3, 10], 3), ([12, 12], 0)]
        {
            assert_eq!(overlap(&stretches, range), expected, "{range:?}");
        }
    }
}
