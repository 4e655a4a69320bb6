//! The model card: RFC 8785 JSON in which every claim says what kind of claim it is and points at its
//! evidence. The specification is `transparency/card.md`.
//!
//! A card is a function of the logged events, so whoever has the events derives it again and
//! compares. Inclusion proves presence, never absence: counts and "none" follow only from all entries.

use std::collections::{BTreeMap, HashMap};

use ciborium::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::cbor;
use crate::drift::Drift as Sketched;
use crate::event::{Event, EventType, RunId};
use crate::order;
use crate::time::to_rfc3339;
use crate::weights::{LearnedFrom, WeightsEvent};

/// What a claim rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimKind {
    /// Replay the events and get it.
    Recomputed,
    /// Its digest is in the log.
    Committed,
    /// Somebody said so and signed.
    Asserted,
}

/// Where a claim's evidence is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Pointer {
    /// One entry of the log.
    Entry {
        /// Its index.
        entry: u64,
    },
    /// The entries `[first, end)` of the log.
    Entries {
        /// First and end.
        entries: [u64; 2],
    },
    /// Content kept beside the log.
    Digest {
        /// Its SHA-256, hex.
        sha256: String,
    },
}

impl Pointer {
    /// The index, if it points at one entry.
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::Entry { entry } => Some(*entry),
            _ => None,
        }
    }
}

/// One claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// A stable id; what comes from one entry ends with that entry's index.
    pub id: String,
    /// The claimed value.
    pub value: Json,
    /// What it rests on.
    pub kind: ClaimKind,
    /// Provisions of the EU AI Act (Regulation (EU) 2024/1689) that ask for it.
    pub eu: Vec<String>,
    /// Subcategories of the NIST AI RMF 1.0 that ask for it.
    pub nist: Vec<String>,
    /// Where its evidence is.
    pub evidence: Vec<Pointer>,
}

/// The tree head that a card speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsOf {
    /// The log.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root over them, hex.
    pub root: String,
}

/// A model card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Format version: 1.
    pub v: u64,
    /// The head it speaks of.
    pub as_of: AsOf,
    /// The claims, ordered by id.
    pub claims: Vec<Claim>,
}

/// Why bytes are not a card.
#[derive(Debug, Error)]
#[error("not a model card: {0}")]
pub struct CardError(String);

impl Card {
    /// The card as RFC 8785 JSON; its SHA-256 is what a `card` event holds.
    ///
    /// # Errors
    /// A value that JSON cannot hold, which claims derived here never have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CardError> {
        serde_json_canonicalizer::to_vec(self).map_err(|e| CardError(e.to_string()))
    }

    /// Reads a card, which must be in RFC 8785 form.
    ///
    /// # Errors
    /// It is not.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        let text = str::from_utf8(bytes).map_err(|e| CardError(e.to_string()))?;
        let card: Self = serde_json::from_str(text).map_err(|e| CardError(e.to_string()))?;
        if card.v != 1 {
            return Err(CardError(format!("version {} is not known here", card.v)));
        }
        if card.to_bytes()? != bytes {
            return Err(CardError("it is not in RFC 8785 form".into()));
        }
        if !card.claims.is_sorted_by(|a, b| a.id < b.id) {
            return Err(CardError(
                "its claims are not in the order of their ids, each once".into(),
            ));
        }
        Ok(card)
    }
}

/// The claims there are: id (where it ends with a dot, an entry's index follows), kind, subject in words.
const CLAIMS: &[(&str, ClaimKind, &str)] = {
    use ClaimKind::{Asserted, Committed, Recomputed};
    &[
        ("annotations.annotators", Recomputed, "Annotators told apart by pseudonym"),
        ("annotations.by_programs", Recomputed, "Judgements of programs, such as reward functions"),
        ("annotations.content", Committed, "Texts, votes and ratings: committed, not shown"),
        ("annotations.count", Recomputed, "Judgements logged as human"),
        ("annotations.period", Recomputed, "First and last judgement, to the minute"),
        ("annotations.preferences", Recomputed, "Preferences between two responses"),
        ("annotations.ratings", Recomputed, "Ratings of one response"),
        ("auditors.grants", Recomputed, "Grants of access to auditors logged"),
        ("checkpoint.", Committed, "Checkpoint"),
        ("checkpoints.count", Recomputed, "Named checkpoints logged"),
        ("erasures.count", Recomputed, "Erasures logged, on the producer's word"),
        ("evaluation.", Asserted, "Evaluation"),
        ("events.count", Recomputed, "Events in the log"),
        ("events.types", Recomputed, "Events by type"),
        ("guideline.", Committed, "Instructions to annotators"),
        ("incident.", Asserted, "Incident"),
        ("incidents.count", Recomputed, "Incidents logged"),
        ("metrics.", Asserted, "Numbers measured at a checkpoint"),
        ("model.name", Asserted, "Name of the model"),
        ("policy_updates.count", Recomputed, "Updates of the policy's weights logged"),
        (
            "policy_updates.drift",
            Recomputed,
            "How far updates moved the weights, by the producer's norms",
        ),
        (
            "policy_updates.learned_from",
            Recomputed,
            "Judgements that updates say they learned from",
        ),
        (
            "policy_updates.unbroken",
            Recomputed,
            "Every update starts from the weights that the last one left",
        ),
        (
            "privacy.examples.",
            Asserted,
            "Noise on gradients (DP-SGD), which protects a training example",
        ),
        ("privacy.mode", Asserted, "What is released about ratings"),
        ("privacy.promise", Asserted, "Privacy budget of each annotator"),
        ("privacy.released", Recomputed, "Values released one by one, with noise"),
        ("privacy.rounds", Recomputed, "Rounds of differential privacy logged"),
        ("privacy.scope", Asserted, "What privacy covers"),
        (
            "privacy.spent",
            Recomputed,
            "Cost, in zCDP, to someone who took part in every round logged",
        ),
        ("privacy.training", Asserted, "Which values the updates learned from"),
        ("publication.heads", Recomputed, "Publications of tree heads logged"),
        ("run.", Asserted, "Training run"),
        ("runs.count", Recomputed, "Training runs logged"),
        ("weights.drift", Recomputed, "How far the weights moved, from the producer's sketches"),
    ]
};

/// What this version knows of the claims with an id: their kind and their subject in words.
pub fn known(id: &str) -> Option<(ClaimKind, &'static str)> {
    let key = match id.rsplit_once('.') {
        Some((name, n)) if crate::checkpoint::parse_decimal(n).is_some() => &id[..=name.len()],
        _ => id,
    };
    let found = CLAIMS
        .iter()
        .find(|(known, ..)| *known == key && (key.len() < id.len()) == key.ends_with('.'));
    found.map(|(_, kind, title)| (*kind, *title))
}

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

/// What must be said wherever weights or training statistics are public: they give ratings away.
pub const PRIVACY_SCOPE: &str =
    "Privacy covers the released ratings only, not this log's training statistics or the model.";

/// What is said of a run whose updates all say so of themselves.
const RELEASED_ONLY: &str = "By the producer's word, every update learned from released values only; what follows from those costs no privacy.";

/// What a run's `annotator_privacy` says, in plain words.
fn mode_in_words(mode: &str) -> &str {
    match mode {
        "minimal" => {
            "Nothing is noised: ratings are committed to, and what is public and follows from them can give them away."
        }
        "strong" => {
            "Of ratings, noised sums over rounds are released; what else is public and follows from them can give \
             them away."
        }
        "moderate" => {
            "Noised ratings and votes are released one by one, within a budget for each annotator; what else is public \
             and follows from ratings can give them away."
        }
        other => other,
    }
}

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

/// The provisions that ask for a claim: EU AI Act, then NIST AI RMF 1.0.
type AskedBy = (&'static [&'static str], &'static [&'static str]);

const IDENTITY: AskedBy = (&["Annex IV(1)(a)", "Annex XI(1)(1)"], &["MAP 2.1"]);
const RECORDS: AskedBy = (&["Art. 12(1)", "Art. 18"], &["GOVERN 1.4", "MEASURE 2.8"]);
const DATA: AskedBy = (
    &["Art. 10(2)(b)", "Art. 10(2)(c)", "Annex IV(2)(d)", "Annex XI(1)(2)(c)"],
    &["MAP 2.3", "MEASURE 2.1"],
);
const GUIDELINE: AskedBy = (&["Art. 10(2)(c)", "Annex IV(2)(d)"], &["MAP 2.3", "GOVERN 3.2"]);
const TRAINING: AskedBy = (&["Annex IV(2)(b)", "Annex XI(1)(2)(b)"], &["MAP 2.3", "MEASURE 2.9"]);
const EVALUATION: AskedBy =
    (&["Art. 15(3)", "Annex IV(2)(g)", "Annex XI(2)(1)"], &["MEASURE 2.1", "MEASURE 2.3"]);
const INCIDENT: AskedBy = (&["Art. 73", "Art. 55(1)(c)"], &["MANAGE 4.3"]);
const PRIVACY: AskedBy = (&["Art. 10(5)"], &["MEASURE 2.10"]);
const OVERSIGHT: AskedBy = (&["Art. 11(1)", "Art. 21"], &["GOVERN 1.4", "MEASURE 2.8"]);

fn claim(
    id: String,
    value: Json,
    kind: ClaimKind,
    (eu, nist): AskedBy,
    evidence: Vec<Pointer>,
) -> Claim {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Claim { id, value, kind, eu: owned(eu), nist: owned(nist), evidence }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::tests::run;
    use proptest::prelude::*;

    fn card() -> Card {
        let mut builder = CardBuilder::default();
        let start = cbor::map([("model", "m".into())]);
        let vote = cbor::map([
            ("kind", "preference".into()),
            ("annotator", Value::Bytes(vec![1; 16])),
            ("response_a", Value::Bytes(vec![2; 32])),
        ]);
        for (seq, kind, data) in [(0, EventType::RunStart, start), (1, EventType::Annotation, vote)]
        {
            builder.add(seq, &Event { time: 60_000_000 * seq, run: run(1), seq, kind, data });
        }
        builder.finish(AsOf { origin: "o".into(), size: 2, root: "00".into() })
    }

    #[test]
    fn survives_the_round_trip_and_every_claim_has_a_title_and_evidence() {
        let card = card();
        assert_eq!(Card::parse(&card.to_bytes().unwrap()).unwrap(), card);
        for claim in &card.claims {
            let (kind, _) = known(&claim.id).unwrap();
            assert_eq!(kind, claim.kind, "{}", claim.id);
            assert!(!claim.evidence.is_empty(), "{}", claim.id);
        }
        let value = |id: &str| card.claims.iter().find(|c| c.id == id).unwrap().value.clone();
        assert_eq!(value("annotations.count"), 1);
        assert_eq!(value("annotations.content"), json!({"commitments": 1}));
        assert_eq!(value("model.name"), "m");
        assert_eq!(value("incidents.count"), 0);
    }

    #[test]
    fn an_id_with_a_number_on_it_is_another_id() {
        assert!(known("annotations.count").is_some() && known("evaluation.17").is_some());
        for id in [
            "annotations.count1",
            "annotations.count.1",
            "evaluation.",
            "evaluation.017",
            "evaluation",
            "run.x",
        ] {
            assert!(known(id).is_none(), "{id}");
        }
    }

    #[test]
    fn overlaps_are_counted() {
        let stretches = [[1, 4], [6, 7], [9, 20]];
        for (range, expected) in
            [([0, 30], 15), ([2, 7], 3), ([4, 6], 0), ([3, 10], 3), ([12, 12], 0)]
        {
            assert_eq!(overlap(&stretches, range), expected, "{range:?}");
        }
    }

    #[test]
    fn another_spelling_of_the_same_json_is_refused() {
        let bytes = card().to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(Card::parse(text.replacen(':', ": ", 1).as_bytes()).is_err());
        assert!(Card::parse(text.replacen("\"v\":1", "\"v\":2", 1).as_bytes()).is_err());
        assert!(Card::parse(b"{}").is_err());
    }

    proptest! {
        /// One byte changed: another card or none, never the same one spelled otherwise.
        #[test]
        fn what_is_read_is_written_again_the_same(at: prop::sample::Index, byte: u8) {
            let mut bytes = card().to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(card) = Card::parse(&bytes) {
                prop_assert_eq!(card.to_bytes().unwrap(), bytes);
            }
        }
    }
}
