//! Batches of annotations whose values are released one by one.
//!
//! A batch is charged, durably, before any of it is drawn. What is drawn enters the log in the transaction that logs
//! the annotations, whose commit is what makes it durable, and is handed out after that. A crash in between leaves a
//! charge that bought nothing. Of a batch that was logged, the log is the memory: the same values are told again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use ciborium::Value;
use trail::released::MECHANISM;
use trail::{EventType, cbor};

use super::Privacy;
use super::ledger::{Charge, Permit};
use super::round::refused;
use super::settings::{Items, TRUTH_OF};
use super::value::{Draws, Released};
use crate::annotation::Annotation;
use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::transaction::Transaction;

/// How many places of people an error names.
const PLACES: usize = 1000;

/// Who gave how much of a batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    people: HashMap<String, Share>,
    ratings: u64,
    preferences: u64,
}

/// One annotator's part in a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    values: u32,
    /// The line or annotation where they come first.
    place: u64,
}

impl Tally {
    /// Counts what was given at a place, a line's or an annotation's number.
    pub fn add(&mut self, annotation: &Annotation, place: u64) {
        let Some(annotator) = annotation.annotator() else { return };
        match annotation {
            Annotation::Rating { .. } => self.ratings += 1,
            Annotation::Preference { .. } => self.preferences += 1,
        }
        match self.people.get_mut(annotator) {
            Some(share) => share.values = share.values.saturating_add(1),
            None => drop(self.people.insert(annotator.to_owned(), Share { values: 1, place })),
        }
    }

    fn values(&self) -> u64 {
        self.ratings + self.preferences
    }
}

/// The batches of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// The name of the next one, where it has one.
    pub name: Option<String>,
    /// Those charged.
    pub charged: Vec<Charged>,
    /// That the newest of them is.
    pub permit: Option<Permit>,
    /// What may still be drawn of the newest, by slot.
    left: HashMap<u32, u32>,
    /// What was released, in the order in which the annotations were given.
    pub released: Vec<Released>,
}

/// A batch that has been charged: its number and name in the ledger, and the entry that says so.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub round: usize,
    pub name: String,
    pub entry: u64,
}

impl Batches {
    /// Whether there is something charged that has not been drawn.
    pub fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// Takes one value of the person in this slot from what was charged.
    pub fn take(&mut self, slot: u32) -> Result<()> {
        let changed = || refused("other annotations came than were charged; nothing was released");
        let left = self.left.get_mut(&slot).ok_or_else(changed)?;
        *left -= 1;
        if *left == 0 {
            self.left.remove(&slot);
        }
        Ok(())
    }
}

impl Transaction<'_> {
    /// Charges a batch, before anything of it is drawn, and says in the log what it costs. Its annotations come next.
    pub(crate) fn charge(&mut self, tally: &Tally) -> Result<()> {
        self.ensure_run(&EventType::Annotation)?;
        let mut people = BTreeMap::new();
        for (annotator, share) in &tally.people {
            people.insert(self.slot(annotator)?, *share);
        }
        let entry = self.next_index();
        let entries = entry + 1..entry + 1 + tally.values();
        let name = self.batches.name.take();
        let (charged, request, permit) = self.audit.charge_batch(name, entries.clone(), &people)?;
        let most = people.values().map(|share| share.values).max().unwrap_or_default();
        self.batches.left = people.iter().map(|(slot, share)| (*slot, share.values)).collect();
        self.batches.charged.push(charged);
        self.batches.permit = Some(permit);
        let data = self.audit.privacy()?.batch_event(&request, &entries, tally, most)?;
        self.push_round(data)
    }
}

impl Audit {
    /// How values are drawn, where they are released one by one.
    pub(crate) fn draws(&self) -> Option<Draws> {
        Draws::by(&self.privacy.as_ref()?.plan)
    }

    /// Notes that a batch is in the log.
    pub(crate) fn note_release(&mut self, round: usize, entry: u64) -> Result<()> {
        self.or_stop(|audit| audit.privacy_mut()?.ledger.release(round, entry))
    }

    fn charge_batch(
        &mut self,
        name: Option<String>,
        entries: Range<u64>,
        people: &BTreeMap<u32, Share>,
    ) -> Result<(Charged, [u8; 32], Permit)> {
        // Right before them.
        let entry = entries.start.saturating_sub(1);
        let privacy = self.privacy()?;
        privacy.check_batch(people)?;
        let items = privacy.items()?;
        let round = privacy.ledger.rounds().len();
        let request: [u8; 32] = crate::keys::random()?;
        let name = name.unwrap_or_else(|| format!("batch {}", hex::encode(&request[..8])));
        let charge = Charge {
            id: name.clone(),
            request,
            rho: items.cost,
            entries,
            people: people.keys().copied().collect(),
            items: Some(people.values().map(|share| share.values).collect()),
        };
        let permit = self.or_stop(|audit| audit.privacy_mut()?.ledger.charge(charge))?;
        Ok((Charged { round, name, entry }, request, permit))
    }
}

impl Privacy {
    fn items(&self) -> Result<Items> {
        self.plan.items.ok_or_else(|| refused("in this log no values are released one by one"))
    }

    /// Nobody gave more than a round may cost, or than is left to them.
    fn check_batch(&self, people: &BTreeMap<u32, Share>) -> Result<()> {
        let Self { settings, plan, ledger } = self;
        let over: Vec<&Share> =
            people.values().filter(|share| share.values > settings.cap).collect();
        if let Some(most) = over.iter().map(|share| share.values).max() {
            return Err(Error::BatchBudget {
                epsilon: settings.epsilon_per_round,
                cap: settings.cap,
                people: over.len() as u64,
                most,
                places: places(&over),
            });
        }
        let budget = plan.budget.get();
        let exhausted: Vec<(f64, &Share)> = people
            .iter()
            .map(|(slot, share)| (ledger.spent_by(*slot), share))
            .filter(|(spent, share)| (spent + plan.cost_of(share.values)).next_up() > budget)
            .collect();
        if exhausted.is_empty() {
            return Ok(());
        }
        let shares: Vec<&Share> = exhausted.iter().map(|(_, share)| *share).collect();
        let cost = shares.iter().map(|share| plan.cost_of(share.values)).fold(0.0, f64::max);
        Err(Error::Budget {
            epsilon: settings.epsilon,
            delta: settings.delta,
            people: exhausted.len() as u64,
            places: places(&shares),
            cost,
            left: budget - exhausted.iter().map(|(spent, _)| *spent).fold(0.0, f64::max),
        })
    }

    /// What the log says of a batch (`transparency/event.md`).
    fn batch_event(
        &self,
        request: &[u8; 32],
        entries: &Range<u64>,
        tally: &Tally,
        most: u32,
    ) -> Result<Value> {
        let (items, plan) = (self.items()?, &self.plan);
        let [low, high] = plan.grid.bounds();
        Ok(cbor::map([
            ("mechanism", MECHANISM.into()),
            ("released", "items".into()),
            ("charge", Value::Bytes(request.to_vec())),
            ("first", entries.start.into()),
            ("end", entries.end.into()),
            ("ratings", tally.ratings.into()),
            ("preferences", tally.preferences.into()),
            ("most", most.into()),
            ("cap", self.settings.cap.into()),
            ("low", low.into()),
            ("high", high.into()),
            ("steps_a_unit", plan.grid.steps_a_unit().into()),
            ("variance", plan.noise.variance().into()),
            ("truth", items.truth.into()),
            ("truth_of", TRUTH_OF.into()),
            ("rho_item", Value::Float(items.cost)),
            ("rho", Value::Float(plan.cost_of(most))),
        ]))
    }
}

fn places(shares: &[&Share]) -> Vec<u64> {
    let mut places: Vec<u64> = shares.iter().map(|share| share.place).collect();
    places.sort_unstable();
    places.truncate(PLACES);
    places
}
