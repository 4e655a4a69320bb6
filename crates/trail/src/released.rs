//! Values released one by one, with noise: each is accounted for by a round that stands before it and says what it
//! cost. The specification is `transparency/event.md`.

use std::collections::BTreeMap;

use ciborium::Value;

use crate::cbor;
use crate::event::{Event, EventType, RunId};

/// The mechanisms of values released one by one: of ratings the one, of preferences the other.
pub const MECHANISM: &str = "discrete-gaussian+randomised-response";

/// What a round that says `items` releases: the annotations right after it, each by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ItemRound {
    /// What ties it to the producer's ledger.
    pub charge: [u8; 32],
    /// The entries it is about, the first of them and the one after the last.
    pub entries: [u64; 2],
    /// How many of them are ratings and how many preferences.
    pub kinds: [u64; 2],
    /// The largest number of them under one pseudonym.
    pub most: u64,
    /// Grid steps in a unit of reward.
    pub steps_a_unit: u64,
    /// What each of them costs its annotator, in zCDP.
    pub rho_item: f64,
    /// The cost to the one with the most of them.
    pub rho: f64,
}

/// Whether the event releases values one by one.
pub fn is_of_items(event: &Event) -> bool {
    let says = |key| event.get(key).and_then(Value::as_text);
    event.kind == EventType::PrivacyRound
        && (says("mechanism"), says("released")) == (Some(MECHANISM), Some("items"))
}

impl ItemRound {
    /// Reads a round of items.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence; for example that it says it cost less than its noise comes to.
    pub fn read(event: &Event) -> Result<Self, &'static str> {
        let number = |key| event.get(key).and_then(cbor::as_u64);
        let positive = |key| number(key).filter(|n| *n > 0).ok_or("the round lacks a number");
        let float = |key| event.get(key).and_then(Value::as_float).filter(|f| f.is_finite());
        let steps =
            |key| event.get(key).and_then(Value::as_integer).and_then(|n| i64::try_from(n).ok());
        let charge = event.get("charge").and_then(cbor::as_array::<32>);
        let (Some(first), Some(end), Some(ratings), Some(preferences), Some(charge)) =
            (number("first"), number("end"), number("ratings"), number("preferences"), charge)
        else {
            return Err("the round does not say which values it releases");
        };
        if first.checked_add(ratings).and_then(|n| n.checked_add(preferences)) != Some(end)
            || first == end
        {
            return Err("the round releases other values than it counts");
        }
        let (most, cap) = (positive("most")?, positive("cap")?);
        if most > cap {
            return Err("the round releases more of one annotator than may count");
        }
        let (Some(low), Some(high), Some(rho_item), Some(rho)) =
            (steps("low"), steps("high"), float("rho_item"), float("rho"))
        else {
            return Err("the round lacks its bounds or its costs");
        };
        let (variance, steps_a_unit) = (positive("variance")?, positive("steps_a_unit")?);
        let (truth, of) = (positive("truth")?, positive("truth_of")?);
        if low >= high || truth >= of || of - truth >= truth {
            return Err("the round bounds nothing");
        }
        let span = high.abs_diff(low) as f64;
        let response = (truth as f64 / (of - truth) as f64).ln();
        // Logarithms of different makers differ in their last bits.
        let cheap = rho_item < span * span / (2.0 * variance as f64)
            || rho_item < response * response / 2.0 * (1.0 - 1e-12);
        if cheap || rho < most as f64 * rho_item {
            return Err("the round says that it cost less than its noise comes to");
        }
        let (entries, kinds) = ([first, end], [ratings, preferences]);
        Ok(Self { charge, entries, kinds, most, steps_a_unit, rho_item, rho })
    }
}

/// Of an annotation, what was released of it fits its kind, and there is a pseudonym that it was charged to.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check_value(event: &Event) -> Result<(), &'static str> {
    let Some(value) = event.get("released") else { return Ok(()) };
    let fits = match event.get("kind").and_then(Value::as_text) {
        Some("rating") => value.as_float().is_some_and(f64::is_finite),
        _ => matches!(value.as_text(), Some("a" | "b")),
    };
    match event.get("annotator") {
        _ if !fits => Err("what was released of the annotation is not of its kind"),
        None => Err("what was released of the annotation is charged to nobody"),
        Some(_) => Ok(()),
    }
}

/// Follows the entries in order, and finds released values that no round accounts for, and rounds that say other
/// than what follows them.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    open: Option<Open>,
    ratings: u64,
    preferences: u64,
    rounds: u64,
    wrong: Option<String>,
}

/// A round some of whose values are still to come.
#[derive(Clone, Debug)]
struct Open {
    entry: u64,
    run: RunId,
    round: ItemRound,
    next: u64,
    left: [u64; 2],
    people: BTreeMap<Vec<u8>, u64>,
}

impl Accounting {
    /// Takes in the event at `index`, which is the one after the last.
    pub fn add(&mut self, index: u64, event: &Event) {
        let found = match self.open.take() {
            Some(open) => self.go_on(open, index, event),
            None => self.begin(index, event),
        };
        if let Err(why) = found {
            self.wrong.get_or_insert(why);
        }
    }

    fn begin(&mut self, index: u64, event: &Event) -> Result<(), String> {
        if event.kind == EventType::Annotation && event.get("released").is_some() {
            self.count(event);
            return Err(format!("entry {index} holds a released value that no round accounts for"));
        }
        if !is_of_items(event) {
            return Ok(());
        }
        self.rounds += 1;
        let round = ItemRound::read(event).map_err(|why| format!("entry {index}: {why}"))?;
        if index.checked_add(1) != Some(round.entries[0]) {
            return Err(format!("the round in entry {index} is not about the entries after it"));
        }
        let (run, next, left) = (event.run, round.entries[0], round.kinds);
        self.open = Some(Open { entry: index, run, round, next, left, people: BTreeMap::new() });
        Ok(())
    }

    fn go_on(&mut self, mut open: Open, index: u64, event: &Event) -> Result<(), String> {
        let entry = open.entry;
        let kind = usize::from(event.get("kind").and_then(Value::as_text) != Some("rating"));
        let value = event.get("released");
        let is_next = event.kind == EventType::Annotation
            && (event.run, index) == (open.run, open.next)
            && value.is_some()
            && open.left[kind] > 0;
        if !is_next {
            let why =
                format!("entry {index} is not what the round in entry {entry} says comes there");
            // It may be a round itself. What is wrong with it as well is not needed.
            let _ = self.begin(index, event);
            return Err(why);
        }
        self.count(event);
        open.next += 1;
        open.left[kind] -= 1;
        let whose = event.get("annotator").and_then(Value::as_bytes).cloned().unwrap_or_default();
        let theirs = open.people.entry(whose).or_default();
        *theirs += 1;
        let too_many = *theirs > open.round.most;
        let steps = open.round.steps_a_unit as f64;
        let on_grid = |reward: f64| (reward * steps).round() / steps == reward;
        let off_grid = kind == 0 && !value.and_then(Value::as_float).is_some_and(on_grid);
        if open.next < open.round.entries[1] {
            self.open = Some(open);
        }
        if too_many {
            return Err(format!(
                "the round in entry {entry} releases more of one annotator than it says"
            ));
        }
        if off_grid {
            return Err(format!(
                "entry {index} holds a released value that is not on its round's grid"
            ));
        }
        Ok(())
    }

    fn count(&mut self, event: &Event) {
        match event.get("kind").and_then(Value::as_text) {
            Some("rating") => self.ratings += 1,
            _ => self.preferences += 1,
        }
    }

    /// How many values were released: of ratings, and of preferences.
    pub fn released(&self) -> [u64; 2] {
        [self.ratings, self.preferences]
    }

    /// Whether there is anything to account for.
    pub fn is_empty(&self) -> bool {
        self.rounds + self.ratings + self.preferences == 0
    }

    /// What is wrong, after the last entry.
    pub fn wrong(&self) -> Option<String> {
        let unfinished = self.open.as_ref().map(|open| {
            format!(
                "the log ends before the values that the round in entry {} releases",
                open.entry
            )
        });
        self.wrong.clone().or(unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::run;

    fn round(change: &[(&'static str, Value)]) -> Event {
        let mut data: BTreeMap<&str, Value> = BTreeMap::from([
            ("mechanism", MECHANISM.into()),
            ("released", "items".into()),
            ("charge", Value::Bytes(vec![7; 32])),
            ("first", 2.into()),
            ("end", 5.into()),
            ("ratings", 2.into()),
            ("preferences", 1.into()),
            ("most", 2.into()),
            ("cap", 3.into()),
            ("low", 10.into()),
            ("high", 50.into()),
            ("steps_a_unit", 10.into()),
            ("variance", 800.into()),
            ("truth", 3.into()),
            ("truth_of", 4.into()),
            ("rho_item", Value::Float(1.0)),
            ("rho", Value::Float(2.0)),
        ]);
        data.extend(change.iter().cloned());
        event(EventType::PrivacyRound, data.into_iter().collect())
    }

    fn event(kind: EventType, data: Vec<(&str, Value)>) -> Event {
        Event { time: 0, run: run(1), seq: 0, kind, data: cbor::map(data) }
    }

    fn value(kind: &str, who: u8, released: Value) -> Event {
        let data = vec![
            ("kind", kind.into()),
            ("annotator", Value::Bytes(vec![who; 16])),
            ("released", released),
        ];
        event(EventType::Annotation, data)
    }

    fn rating(who: u8, reward: f64) -> Event {
        value("rating", who, Value::Float(reward))
    }

    fn wrong(events: &[Event]) -> Option<String> {
        let mut accounting = Accounting::default();
        (1..).zip(events).for_each(|(index, event)| accounting.add(index, event));
        accounting.wrong()
    }

    #[test]
    fn a_round_of_items_costs_what_its_noise_comes_to() {
        let cost = |change: &[(&'static str, Value)]| ItemRound::read(&round(change));
        // 40² / 1600 is 1, and ln² 3 / 2 is 0.603.
        assert!(cost(&[]).is_ok());
        assert!(cost(&[("rho_item", Value::Float(1.0_f64.next_down()))]).is_err());
        assert!(cost(&[("rho", Value::Float(1.9))]).is_err());
        assert!(cost(&[("variance", 799.into())]).is_err());
        let ln_5 = 5_f64.ln();
        let five = [("truth", 5.into()), ("truth_of", 6.into()), ("rho", Value::Float(9.0))];
        let at = |rho: f64| cost(&[five.as_slice(), &[("rho_item", Value::Float(rho))]].concat());
        assert!(at(ln_5 * ln_5 / 2.0).is_ok() && at(ln_5 * ln_5 / 2.0 * (1.0 - 1e-9)).is_err());
        for change in [
            ("truth", 2.into()),
            ("truth", 4.into()),
            ("most", 4.into()),
            ("end", 6.into()),
            ("ratings", 0.into()),
            ("high", 10.into()),
            ("variance", 0.into()),
            ("charge", Value::Bytes(vec![7; 31])),
            ("rho", Value::Float(f64::INFINITY)),
        ] {
            assert!(cost(std::slice::from_ref(&change)).is_err(), "{change:?}");
        }
    }

    #[test]
    fn every_released_value_is_in_a_round_and_every_round_is_followed_by_its_values() {
        let vote = || value("preference", 1, "a".into());
        let all = [round(&[]), rating(1, 3.5), vote(), rating(2, -7.1)];
        assert_eq!(wrong(&all), None);
        let says = |events: &[Event], words: &str| {
            let why = wrong(events).unwrap_or_default();
            assert!(why.contains(words), "{why}");
        };
        says(&all[..3], "the log ends before");
        says(&all[1..], "no round accounts for");
        says(&[&all[..], &[rating(3, 1.0)]].concat(), "no round accounts for");
        says(&[round(&[]), rating(1, 3.5), vote(), rating(1, 3.5)], "more of one annotator");
        says(&[round(&[]), rating(1, 3.5), vote(), vote()], "not what the round");
        says(&[round(&[]), rating(1, 3.55), vote(), rating(2, 1.0)], "not on its round's grid");
        says(&[round(&[("first", 3.into()), ("end", 6.into())])], "not about the entries after it");
        let silent = event(EventType::Annotation, vec![("kind", "rating".into())]);
        says(&[round(&[]), silent, vote(), rating(2, 1.0)], "not what the round");
        says(&[round(&[]), round(&[])], "not what the round");
        let elsewhere = Event { run: run(2), ..rating(1, 1.0) };
        says(&[round(&[]), elsewhere], "not what the round");
    }

    #[test]
    fn a_released_value_is_of_its_annotation_s_kind_and_charged_to_somebody() {
        assert_eq!(check_value(&rating(1, 3.5)), Ok(()));
        assert_eq!(check_value(&value("preference", 1, "b".into())), Ok(()));
        for wrong in [
            value("rating", 1, 3.into()),
            value("rating", 1, Value::Float(f64::NAN)),
            value("rating", 1, "a".into()),
            value("preference", 1, "c".into()),
            event(
                EventType::Annotation,
                vec![("kind", "rating".into()), ("released", Value::Float(1.0))],
            ),
        ] {
            assert!(check_value(&wrong).is_err(), "{wrong:?}");
        }
    }
}
