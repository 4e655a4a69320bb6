//! The entries, read once in order: they must rebuild the signed root, be well-formed events, and be
//! numbered without a gap; on the way the card's claims are derived again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use ciborium::Value;

use super::gaps::Gap;
use super::heads::Heads;
use super::keys::MAX_CHANGES;
use super::places::Places;
use super::roots::Roots;
use super::{
    EntryStream, HeldWeights, Parts, absent, bytes, count, fail, gaps, hashes, pass, some_of,
};
use crate::card::{AsOf, Card, CardBuilder, PRIVATE_FIELDS, Pointer};
use crate::cbor;
use crate::commitment::{self, DisclosedOpening};
use crate::event::{Event, EventType, RunId};
use crate::evidence::{HashBytes, ProvenEntry};
use crate::handover::KeyChange;
use crate::merkle::{self, Hash};
use crate::released::Accounting;
use crate::report::{Check, OpeningReport, Outcome};
use crate::schema;
use crate::time::MINUTE;
use crate::weights::WeightsEvent;

const COMPLETE: &str = "All entries are here and give the signed root";
const INCLUSION: &str = "The entries here are in the log";
const FORM: &str = "Every entry is a well-formed event";
const SEQUENCE: &str = "Every run's events are numbered without a gap";
const UPDATES: &str = "Updates name the judgements they learned from";
const RELEASED: &str = "Released values are accounted for by rounds that say what they cost";
const GAPS: &str = "The record goes on without a gap";
const TIME: &str = "Event times do not run backwards";
const OPENINGS: &str = "Opened fields match what was committed";

/// How many updates and checkpoints a report lists.
const WEIGHTS_SHOWN: usize = 5_000;

/// What reading the entries gave.
#[derive(Debug, Default)]
pub struct Replay {
    /// Whether all entries of the newest head are there and rebuild its root.
    pub complete: bool,
    /// Whether every entry there is shown to be in the log; nothing follows from one that is not.
    pub proven: bool,
    /// How many entries are there.
    pub present: u64,
    /// Derives the card; after the replay it stands at the newest head.
    pub builder: CardBuilder,
    /// Accounts for values released one by one.
    released: Accounting,
    /// The card that the entries before the card's own head give.
    pub derived: Option<Card>,
    /// The entry that holds the card's digest.
    pub card_entry: Option<u64>,
    /// The entries that the card's claims point at, noted when they are there.
    pub pointed_at: Places<()>,
    /// The runs, in order of appearance.
    pub runs: Vec<RunState>,
    /// Updates and checkpoints; of more than [`WEIGHTS_SHOWN`], the newest.
    pub weights: VecDeque<WeightsEvent>,
    /// The entries that log the weights asked for.
    pub found_weights: Vec<WeightsEvent>,
    /// Of the weights asked for, the first update that started from them.
    pub started_from: BTreeMap<String, u64>,
    /// The roots that the entries give at the sizes of all heads, the card's and those asked for.
    pub roots: Roots,
    /// What the entries say of keys; no more than are followed, and one.
    pub key_changes: Vec<(u64, KeyChange)>,
    /// The incidents by which the producer says that for a while nothing could be recorded.
    pub gaps: Vec<Gap>,
    wanted_weights: Vec<String>,
    /// The newest unbroken row of entries that only note a publication.
    notices: Range<u64>,
    run_positions: HashMap<RunId, usize>,
    opened: Places<Event>,
    card_digest: Option<Hash>,
    bad_event: Option<String>,
    bad_sequence: Option<String>,
    backwards: Option<u64>,
    latest: u64,
}

/// What is known of a run.
#[derive(Debug)]
pub struct RunState {
    pub id: RunId,
    pub started: Option<u64>,
    pub ended: Option<u64>,
    pub events: u64,
    /// The index of its first event here.
    pub first: u64,
    /// The index of its `run.end`.
    pub last: Option<u64>,
    next_seq: u64,
}

/// What is looked for while reading.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub card: Option<&'a (Card, Hash)>,
    pub weights: &'a [HeldWeights],
    /// Sizes at which the root is wanted.
    pub sizes: Vec<u64>,
}

pub fn replay(
    entries: EntryStream<'_>,
    parts: &Parts<'_>,
    heads: &Heads,
    wanted: Wanted<'_>,
    checks: &mut Vec<Check>,
) -> Replay {
    let card = wanted.card;
    let as_of = card.map(|(card, _)| card.as_of.clone());
    let sizes = wanted.sizes.into_iter().chain(as_of.as_ref().map(|as_of| as_of.size));
    let claims = card.iter().flat_map(|(card, _)| &card.claims);
    let pointers = claims.flat_map(|claim| &claim.evidence);
    let mut replay = Replay {
        pointed_at: Places::new(pointers.filter_map(Pointer::entry)),
        opened: Places::new(parts.openings.iter().map(|opening| opening.index)),
        card_digest: card.map(|(_, digest)| *digest),
        wanted_weights: wanted.weights.iter().map(|held| hex::encode(held.root)).collect(),
        roots: Roots::at(sizes),
        ..Replay::default()
    };
    match entries {
        EntryStream::All(all) => replay.all(all, heads, as_of.as_ref(), checks),
        EntryStream::Some(some) => replay.some(some, heads, as_of.as_ref(), checks),
    }
    replay.event_checks(checks);
    replay
}

impl Replay {
    fn all<'a>(
        &mut self,
        entries: impl Iterator<Item = Result<std::borrow::Cow<'a, [u8]>, String>>,
        heads: &Heads,
        as_of: Option<&AsOf>,
        checks: &mut Vec<Check>,
    ) {
        let mut unreadable = None;
        self.derive_at(0, as_of);
        for (index, entry) in (0u64..).zip(entries) {
            match entry {
                Ok(entry) => {
                    self.roots.push(&entry);
                    self.event(index, &entry);
                    self.present += 1;
                    self.derive_at(index + 1, as_of);
                }
                Err(reason) => {
                    unreadable = Some(reason);
                    break;
                }
            }
        }
        let outcome = unreadable.map_or_else(|| self.compare_roots(heads), Err);
        self.complete = outcome.is_ok();
        self.proven = self.complete;
        let mut check = match outcome {
            Ok(reason) => pass("entries.complete", COMPLETE, reason),
            Err(reason) => fail("entries.complete", COMPLETE, reason),
        };
        check.stands_on.push(bytes("root over the entries", hex::encode(self.roots.root())));
        checks.push(check);
    }

    /// Derives the card of the log when it had `size` entries, if that is the one to compare with.
    fn derive_at(&mut self, size: u64, as_of: Option<&AsOf>) {
        if let Some(as_of) = as_of.filter(|as_of| as_of.size == size) {
            self.derived = Some(self.builder.finish(as_of.clone()));
        }
    }

    fn compare_roots(&self, heads: &Heads) -> Result<String, String> {
        let newest = heads.newest().ok_or("there is no tree head to compare the entries with")?;
        if self.present != newest.size {
            return Err(format!(
                "the newest tree head names {} entries and {} are here",
                newest.size, self.present
            ));
        }
        for head in heads.list.iter().map(|head| &head.checkpoint) {
            if self.roots.get(head.size) != Some(head.root) {
                return Err(format!(
                    "the first {} give another root than the one signed, {}",
                    count(head.size, "entry", "entries"),
                    hex::encode(head.root)
                ));
            }
        }
        Ok(format!(
            "{} give the root {}",
            count(newest.size, "entry", "entries"),
            hex::encode(newest.root)
        ))
    }

    fn some(
        &mut self,
        entries: &[ProvenEntry],
        heads: &Heads,
        as_of: Option<&AsOf>,
        checks: &mut Vec<Check>,
    ) {
        let mut wrong = None;
        let mut derived = false;
        let mut after = 0;
        for ProvenEntry(index, entry, path) in entries {
            let result = match included(*index, entry, path, heads) {
                Ok(()) if *index < after => {
                    Err(format!("entry {index} is out of order or there twice"))
                }
                result => result,
            };
            self.present += 1;
            if let Err(reason) = result {
                // Nothing is taken from an entry that may be anybody's.
                wrong.get_or_insert(reason);
                continue;
            }
            after = index + 1;
            if let Some(as_of) = as_of.filter(|as_of| !derived && *index >= as_of.size) {
                self.derived = Some(self.builder.finish(as_of.clone()));
                derived = true;
            }
            self.event(*index, entry);
        }
        self.proven = wrong.is_none();
        if let Some(as_of) = as_of.filter(|_| !derived) {
            self.derived = Some(self.builder.finish(as_of.clone()));
        }
        checks.push(match wrong {
            Some(reason) => fail("entries.inclusion", INCLUSION, reason),
            None if entries.is_empty() => {
                absent("entries.inclusion", INCLUSION, "there are no entries in the file")
            }
            None => pass(
                "entries.inclusion",
                INCLUSION,
                format!(
                    "{} with a proof of inclusion in the newest tree head",
                    count(self.present, "entry", "entries")
                ),
            ),
        });
        let size = heads.newest().map_or(0, |head| head.size);
        checks.push(absent(
            "entries.complete",
            COMPLETE,
            format!(
                "{} of {size} entries are in the file, so counts and “none” cannot be redone",
                self.present
            ),
        ));
    }

    fn event(&mut self, index: u64, entry: &[u8]) {
        self.pointed_at.note(index, || ());
        let event = match Event::decode(entry) {
            Ok(event) => event,
            Err(e) => {
                self.bad_event.get_or_insert(format!("entry {index}: {e}"));
                return;
            }
        };
        if let Err(reason) = schema::check(&event) {
            self.bad_event.get_or_insert(format!("entry {index}: {reason}"));
        }
        self.builder.add(index, &event);
        self.released.add(index, &event);
        if self.key_changes.len() <= MAX_CHANGES
            && let Ok(Some(change)) = KeyChange::read(&event)
        {
            self.key_changes.push((index, change));
        }
        self.number(index, &event);
        self.clock(index, &event);
        self.notice(index, &event);
        if let Some(weights) = WeightsEvent::read(index, &event) {
            self.weigh(weights);
        }
        self.gaps.extend(Gap::read(index, &event));
        if event.kind == EventType::Card {
            let digest = event.get("sha256").and_then(cbor::as_array::<32>);
            if digest.is_some() && digest == self.card_digest {
                self.card_entry.get_or_insert(index);
            }
        }
        self.opened.note(index, || event);
    }

    fn notice(&mut self, index: u64, event: &Event) {
        let is_notice = event.kind == EventType::HeadPublished;
        let from = if is_notice && self.notices.end == index { self.notices.start } else { index };
        self.notices = if is_notice { from..index + 1 } else { index + 1..index + 1 };
    }

    /// How many entries there are before those at the end of the log that only note a publication.
    pub fn notices_from(&self, size: u64) -> u64 {
        if self.notices.end == size { self.notices.start } else { size }
    }

    fn weigh(&mut self, weights: WeightsEvent) {
        if self.wanted_weights.contains(&weights.root) {
            self.found_weights.push(weights.clone());
        }
        if let Some(root) = weights.root_before.as_ref().filter(|r| self.wanted_weights.contains(r))
        {
            self.started_from.entry(root.clone()).or_insert(weights.entry);
        }
        if self.weights.len() == WEIGHTS_SHOWN {
            self.weights.pop_front();
        }
        self.weights.push_back(weights);
    }

    /// A run begins with `run.start` as number 0, goes on without a gap, and ends with `run.end`.
    fn number(&mut self, index: u64, event: &Event) {
        let position = *self.run_positions.entry(event.run).or_insert_with(|| {
            let id = event.run;
            self.runs.push(RunState {
                id,
                started: None,
                ended: None,
                events: 0,
                first: index,
                last: None,
                next_seq: 0,
            });
            self.runs.len() - 1
        });
        let run = &mut self.runs[position];
        let problem = if event.seq != run.next_seq {
            Some(format!("has number {} where {} was due", event.seq, run.next_seq))
        } else if (event.kind == EventType::RunStart) != (event.seq == 0) {
            Some("is a run.start out of place, or the run begins without one".into())
        } else if run.ended.is_some() && !event.kind.may_follow_end() {
            Some("comes after the run's end".into())
        } else {
            None
        };
        if let Some(problem) = problem {
            self.bad_sequence.get_or_insert(format!("entry {index} of run {} {problem}", run.id));
        }
        run.next_seq = event.seq.saturating_add(1);
        run.events += 1;
        match event.kind {
            EventType::RunStart => run.started = Some(event.time),
            EventType::RunEnd => {
                run.ended = Some(event.time);
                run.last = Some(index);
            }
            _ => {}
        }
    }

    fn clock(&mut self, index: u64, event: &Event) {
        // The times of annotations are rounded down to the minute.
        if self.latest.saturating_sub(event.time) >= MINUTE {
            self.backwards.get_or_insert(index);
        }
        self.latest = self.latest.max(event.time);
    }

    fn event_checks(&mut self, checks: &mut Vec<Check>) {
        let unknown: Vec<String> =
            self.builder.unknown_types().map(|(name, n)| format!("{n} × {name}")).collect();
        checks.push(match (&self.bad_event, unknown.is_empty()) {
            (Some(reason), _) => fail("events.form", FORM, reason.clone()),
            (None, true) => pass(
                "events.form",
                FORM,
                format!("{} read", count(self.present, "event", "events")),
            ),
            (None, false) => pass(
                "events.form",
                FORM,
                format!(
                    "all read; of types that this version does not know: {}",
                    some_of(&unknown)
                ),
            ),
        });
        checks.push(match &self.bad_sequence {
            _ if !self.complete => absent("events.sequence", SEQUENCE, "not all entries are here"),
            Some(reason) => fail("events.sequence", SEQUENCE, reason.clone()),
            None => pass("events.sequence", SEQUENCE, count(self.runs.len() as u64, "run", "runs")),
        });
        if self.builder.types().contains_key(EventType::PolicyUpdate.as_str()) {
            checks.push(match self.builder.wrong_update() {
                _ if !self.complete => absent("updates", UPDATES, "not all entries are here"),
                Some(reason) => fail("updates", UPDATES, reason),
                None => pass(
                    "updates",
                    UPDATES,
                    "the annotations are where the updates say, before them",
                ),
            });
        }
        if !self.released.is_empty() {
            checks.push(match self.released.wrong() {
                _ if !self.complete => {
                    absent("events.released", RELEASED, "not all entries are here")
                }
                Some(reason) => fail("events.released", RELEASED, reason),
                None => pass("events.released", RELEASED, values(self.released.released())),
            });
        }
        if !self.gaps.is_empty() {
            checks.push(absent("events.gaps", GAPS, gaps::reason(&self.gaps)));
        }
        checks.push(match self.backwards {
            Some(index) => absent(
                "events.time",
                TIME,
                format!("at entry {index} the producer's clock runs back by a minute or more"),
            ),
            None => pass(
                "events.time",
                TIME,
                "they never go back by a minute or more; that they are true is not shown",
            ),
        });
    }

    /// Checks the openings against the commitments of the entries they name.
    pub fn openings(
        &self,
        openings: &[DisclosedOpening],
        checks: &mut Vec<Check>,
    ) -> Vec<OpeningReport> {
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut wrong = Vec::new();
        let reports: Vec<OpeningReport> = openings
            .iter()
            .map(|opening| {
                let opened = self.open(opening);
                let place = format!("{} {}", opening.index, opening.field);
                let twice = seen.insert(place, 1).is_some();
                let result = match (&opened, twice) {
                    (Ok(_), false) => Outcome::Pass,
                    _ => Outcome::Fail,
                };
                if result == Outcome::Fail {
                    let why = opened.as_ref().err().copied().unwrap_or("it is there twice");
                    let (index, field) = (opening.index, &opening.field);
                    wrong.push(format!("`{field}` of entry {index}: {why}"));
                }
                OpeningReport {
                    entry: opening.index,
                    field: opening.field.clone(),
                    value: opened.unwrap_or_default(),
                    result,
                }
            })
            .collect();
        if !wrong.is_empty() {
            let (failed, all) = (wrong.len(), openings.len());
            let reason = format!("{failed} of {all} failed: {}", some_of(&wrong));
            checks.push(fail("openings", OPENINGS, reason));
        } else if !openings.is_empty() {
            let n = count(openings.len() as u64, "field", "fields");
            checks.push(pass("openings", OPENINGS, format!("{n} opened")));
        }
        reports
    }

    fn open(&self, opening: &DisclosedOpening) -> Result<serde_json::Value, &'static str> {
        if !self.proven {
            return Err("the entries are not shown to be in the log");
        }
        let event = self.opened.get(opening.index);
        let event = event.ok_or("the entry is not in the file")?;
        if event.kind != EventType::Annotation || !PRIVATE_FIELDS.contains(&opening.field.as_str())
        {
            return Err("it is no private field of an annotation");
        }
        let committed = event.get(&opening.field).and_then(cbor::as_array::<32>);
        let committed = committed.ok_or("the entry has no such commitment")?;
        let blind =
            opening.r.as_slice().try_into().map_err(|_| "its blinding value is not 32 bytes")?;
        let given =
            commitment::commit(&event.run, event.seq, &opening.field, blind, &opening.content);
        if given != committed {
            return Err("it does not match the commitment");
        }
        // The contents are texts and numbers; anything else is not taken apart.
        match cbor::decode(&opening.content) {
            Ok(content @ (Value::Text(_) | Value::Float(_))) => Ok(cbor::to_json(&content)),
            _ => Err("its content is neither a text nor a float"),
        }
    }
}

fn values([ratings, preferences]: [u64; 2]) -> String {
    format!(
        "{} and {}",
        count(ratings, "noised rating", "noised ratings"),
        count(preferences, "preference told by chance", "preferences told by chance")
    )
}

fn included(index: u64, entry: &[u8], path: &[HashBytes], heads: &Heads) -> Result<(), String> {
    let newest = heads.newest().ok_or("there is no tree head to prove inclusion in")?;
    let path = hashes(path);
    merkle::verify_inclusion(entry, index, newest.size, &newest.root, &path)
        .map_err(|e| format!("entry {index}: {e}"))
}
