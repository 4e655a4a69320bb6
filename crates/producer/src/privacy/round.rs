//! One round: the noised sum of the ratings since the last one.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use ciborium::Value;
use privacy::mechanism::MechanismError;
use sha2::{Digest as _, Sha256};
use trail::event::EventError;
use trail::{Event, cbor};
use zeroize::Zeroizing;

use super::ledger::{Charge, Permit};
use super::settings::{Plan, PrivacyMode, PrivacySettings};
use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::reader::LogReader;

/// Fewer entries than this are not worth a thread.
const THREAD_SHARE: u64 = 4096;

/// The slot of a person and a reward that they gave, of each rating.
type Rewards = Zeroizing<Vec<(u32, f64)>>;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct RoundRequest {
    /// A name for the round: one line of text, at most 200 bytes. Asked for again under the same name, it is answered
    /// with what was released the first time. Without a name, the round is named after its entries.
    pub id: Option<String>,
    /// The entries whose ratings are meant; all since the last round, where none are given.
    pub entries: Option<Range<u64>>,
}

/// What was released.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Its name.
    pub id: String,
    /// The entry that says so.
    pub index: u64,
    /// The entries whose ratings it is about.
    pub entries: Range<u64>,
    /// How many ratings are in the sum; those of one annotator beyond the cap are not.
    pub count: u64,
    /// The sum with its noise, in steps of the grid.
    pub sum: i64,
    /// What follows from it: the mean reward. It may lie outside the bounds.
    pub mean: f64,
    /// The standard deviation of the noise in the mean.
    pub deviation: f64,
    /// What it cost each who took part, in zCDP.
    pub rho: f64,
}

/// The ratings of a round, not noised yet.
struct Ratings {
    /// How many ratings of each person, by slot.
    people: BTreeMap<u32, u32>,
    rewards: Zeroizing<Vec<f64>>,
}

impl Audit {
    /// Releases the noised sum of the ratings since the last round, and logs it.
    ///
    /// # Errors
    /// The log has no privacy settings, there are no ratings, one of the annotators has too little budget left, the
    /// name stands for another request, or an earlier process died before it was answered: nothing was drawn then. Or
    /// a file cannot be written: what was charged stays charged, and the next start finishes what was answered.
    pub fn release_round(&mut self, request: &RoundRequest) -> Result<Round> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let (privacy, entries) = (self.privacy()?, self.entries_of(request)?);
        let id = request.id.clone();
        let id = id.unwrap_or_else(|| format!("entries {}..{}", entries.start, entries.end));
        if privacy.settings.mode != PrivacyMode::Strong {
            return Err(refused(
                "in this log values are released one by one, when they are logged; rounds of sums are for `strong` ones",
            ));
        }
        check_name(&id)?;
        let digest = digest(&privacy.settings, &id, request)?;
        if let Some(known) = privacy.ledger.find(&id) {
            if known.request != digest {
                return Err(refused("another round has this name; nothing was charged"));
            }
            let (Some(index), Some(answer)) = (known.index, privacy.ledger.answer_of(known)?)
            else {
                return Err(refused(
                    "a round of this name was charged and never answered; the charge stays, and another name makes \
                     another round",
                ));
            };
            return Round::read(id, index, &answer).ok_or_else(|| self.unreadable());
        }
        if self.run().is_none() {
            return Err(refused(
                "no run is open; a round is released before its run ends, or in the next one",
            ));
        }
        let ratings = self.ratings(&entries, privacy.settings.cap)?;
        self.check_budget(&ratings)?;

        let rho = self.privacy()?.plan.charge.get();
        let people = ratings.people.keys().copied().collect();
        let charge = Charge {
            id: id.clone(),
            request: digest,
            rho,
            entries: entries.clone(),
            people,
            items: None,
        };
        let permit = self.or_stop(|audit| audit.privacy_mut()?.ledger.charge(charge))?;
        let privacy = self.privacy()?;
        let sum = noised_sum(&privacy.plan, &ratings.rewards, permit)?;
        let data = event_data(privacy, &entries, ratings.rewards.len(), sum);
        let answer = cbor::encode(&data).map_err(EventError::from)?;
        self.or_stop(|audit| audit.privacy_mut()?.ledger.answer(&answer))?;
        let index = self.or_stop(|audit| audit.log_answer(&answer))?;
        Round::read(id, index, &answer).ok_or_else(|| self.unreadable())
    }

    pub(super) fn privacy(&self) -> Result<&super::Privacy> {
        self.privacy.as_ref().ok_or_else(no_settings)
    }

    pub(super) fn privacy_mut(&mut self) -> Result<&mut super::Privacy> {
        self.privacy.as_mut().ok_or_else(no_settings)
    }

    /// After an error in the middle, memory and disk may differ: only a fresh start brings them together.
    pub(crate) fn or_stop<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let result = step(self);
        self.stopped |= result.is_err();
        result
    }

    fn entries_of(&self, request: &RoundRequest) -> Result<Range<u64>> {
        let size = self.size();
        match &request.entries {
            None => {
                let last = self.privacy()?.ledger.last_answered();
                Ok(last.map_or(0, |round| round.entries.end)..size)
            }
            Some(entries) if entries.start <= entries.end && entries.end <= size => {
                Ok(entries.clone())
            }
            Some(Range { start, end }) => {
                Err(Error::NoSuchRange { first: *start, end: *end, size })
            }
        }
    }

    /// The ratings among these entries, of each person the first ones only. In the log they stand in random order.
    fn ratings(&self, entries: &Range<u64>, cap: u32) -> Result<Ratings> {
        let mut people = BTreeMap::new();
        let mut rewards = Zeroizing::new(Vec::new());
        for (slot, reward) in self.rewards_among(entries)?.iter().flat_map(|share| share.iter()) {
            let counted: &mut u32 = people.entry(*slot).or_default();
            if *counted < cap {
                *counted += 1;
                rewards.push(*reward);
            }
        }
        if rewards.is_empty() {
            return Err(refused("there are no ratings to release a sum of"));
        }
        Ok(Ratings { people, rewards })
    }

    /// Whose and what each rating among these entries is, in their order, in shares: all processors open them.
    fn rewards_among(&self, entries: &Range<u64>) -> Result<Vec<Rewards>> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let share = (entries.end - entries.start).div_ceil(processors).max(THREAD_SHARE);
        let vault = &self.vault;
        let read = |reader: LogReader, share: Range<u64>| {
            let events = reader.entries(share.clone()).zip(share).map(|(entry, index)| {
                let event = Event::decode(&entry?).map_err(|e| reader.damaged_entry(index, &e))?;
                Ok((index, event))
            });
            // What a program thought is nobody's to protect, and no person's opinion.
            let by_people = |found: &Result<(u64, Event)>| {
                found.as_ref().map_or(true, |(_, event)| event.get("judge").is_none())
            };
            let events = events.filter(by_people);
            vault.rewards(events).map(Zeroizing::new)
        };
        thread::scope(|scope| {
            let mut workers = Vec::new();
            let mut first = entries.start;
            while first < entries.end {
                let (reader, next) = (self.reader(), entries.end.min(first + share));
                workers.push(scope.spawn(move || read(reader, first..next)));
                first = next;
            }
            let read = workers.into_iter();
            read.map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    fn check_budget(&self, ratings: &Ratings) -> Result<()> {
        let super::Privacy { settings, plan, ledger } = self.privacy()?;
        let (budget, cost) = (plan.budget.get(), plan.charge.get());
        let spent = || ratings.people.keys().map(|slot| ledger.spent_by(*slot));
        let exhausted = spent().filter(|spent| (spent + cost).next_up() > budget).count();
        if exhausted == 0 {
            return Ok(());
        }
        Err(Error::Budget {
            epsilon: settings.epsilon,
            delta: settings.delta,
            people: exhausted as u64,
            places: Vec::new(),
            cost,
            left: budget - spent().fold(0.0, f64::max),
        })
    }

    fn unreadable(&self) -> Error {
        Error::damaged(&self.folder.privacy_ledger(), "an answer in it is not that of a round")
    }
}

/// What was asked for, so that another request under the same name is noticed.
fn digest(settings: &PrivacySettings, id: &str, request: &RoundRequest) -> Result<[u8; 32]> {
    let entries = match &request.entries {
        Some(range) => Value::Array(vec![range.start.into(), range.end.into()]),
        None => Value::Null,
    };
    let asked =
        cbor::map([("id", id.into()), ("entries", entries), ("settings", settings.of_a_round())]);
    Ok(Sha256::digest(cbor::encode(&asked).map_err(EventError::from)?).into())
}

fn noised_sum(plan: &Plan, rewards: &[f64], _: Permit) -> Result<i64> {
    // How many were clipped depends on the ratings and is not told.
    let steps = Zeroizing::new(plan.grid.clip(rewards)?.steps);
    let sum = steps.iter().try_fold(0_i64, |sum, step| sum.checked_add(*step));
    let sum = sum.ok_or(Error::Noise(MechanismError::Overflow))?;
    let noised = plan.noise.add(&[sum])?;
    noised.first().copied().ok_or(Error::Noise(MechanismError::Overflow))
}

/// What the log says of a round.
fn event_data(privacy: &super::Privacy, entries: &Range<u64>, count: usize, sum: i64) -> Value {
    let super::Privacy { settings, plan, .. } = privacy;
    let [low, high] = plan.grid.bounds();
    cbor::map([
        ("mechanism", "discrete-gaussian".into()),
        ("released", "sum".into()),
        ("first", entries.start.into()),
        ("end", entries.end.into()),
        ("count", (count as u64).into()),
        ("sum", sum.into()),
        ("low", low.into()),
        ("high", high.into()),
        ("steps_a_unit", plan.grid.steps_a_unit().into()),
        ("cap", settings.cap.into()),
        ("variance", plan.noise.variance().into()),
        ("rho", Value::Float(plan.charge.get())),
    ])
}

impl Round {
    /// Reads a stored answer.
    pub(super) fn read(id: String, index: u64, answer: &[u8]) -> Option<Self> {
        let data = cbor::decode(answer).ok()?;
        let number = |key| cbor::get(&data, key).and_then(cbor::as_u64);
        let sum = i64::try_from(cbor::get(&data, "sum")?.as_integer()?).ok()?;
        let (count, steps) = (number("count")?, number("steps_a_unit")? as f64);
        let in_mean = |steps_in_sum: f64| steps_in_sum / steps / count as f64;
        Some(Self {
            id,
            index,
            entries: number("first")?..number("end")?,
            count,
            sum,
            mean: in_mean(sum as f64),
            deviation: in_mean((number("variance")? as f64).sqrt()),
            rho: cbor::get(&data, "rho")?.as_float()?,
        })
    }
}

/// A name for what is released, by which it can be asked for again.
pub(super) fn check_name(id: &str) -> Result<()> {
    if id.trim().is_empty() || id.len() > 200 || id.contains(char::is_control) {
        return Err(refused("a round's name must be one line of text of at most 200 bytes"));
    }
    Ok(())
}

pub(super) fn refused(why: &str) -> Error {
    Error::Round(why.to_owned())
}

pub(super) fn no_settings() -> Error {
    refused(
        "this log has no privacy settings: nothing is noised in it, so no round can be released",
    )
}
