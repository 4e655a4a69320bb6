//! What training with DP-SGD cost, by what trainers have logged of it (`dp_sgd` in `transparency/event.md`). It protects
//! a training example, not what an annotator said in all, so it is no part of anybody's budget.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ciborium::Value;
use privacy::accountant::{Accountant, Delta, Steps, rdp_of_all};
use serde_json::{Value as Json, json};
use trail::event::RunId;
use trail::{Event, EventType, cbor};

use crate::error::{Error, Result};
use crate::printable::printable;
use crate::reader::LogReader;

/// So many phases there are at most.
const MOST_PHASES: usize = 64;

/// δ where the log promises none.
const DELTA: f64 = 1e-5;

/// Whose figures these are, and what follows from them.
const SAID: &str = "the producer's word: noise, rate and steps cannot be checked from the log; epsilon follows from them";

const SCOPE: &str = "one training example, whoever judged it; who is in several is protected less, and it counts against no annotator's budget";

const SAMPLING: &str = "each example in each step independently, with probability `rate` (Poisson); shuffled batches are not covered. Where no \
    rate is known, or batches were seen to be drawn otherwise, 1 is counted with";

const SEVERAL_RUNS: &str = "runs that trained the same weights one after the other cost together more than each of them, where the later ones do not \
    count the steps of the earlier ones";

/// What a run last said of the steps of DP-SGD that its weights have seen.
#[derive(Clone, Debug)]
pub(super) struct Training {
    entry: u64,
    run: RunId,
    said: Value,
    phases: Option<Vec<Phase>>,
}

/// Steps of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Phase {
    noise: f64,
    /// Not known to the producer where it is none.
    rate: Option<f64>,
    count: u64,
}

/// How batches were drawn, where it was seen that it was not by Poisson sampling.
const OTHERWISE: &str = "other";

/// What steps cost.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    rdp: Option<f64>,
    pld: Option<f64>,
}

impl Training {
    /// What the runs of a log say, in the order in which they first did.
    pub(super) fn read(dir: &Path) -> Result<Vec<Self>> {
        let reader = LogReader::open(dir)?;
        let mut found: Vec<Self> = Vec::new();
        let mut places: BTreeMap<[u8; 16], usize> = BTreeMap::new();
        for (entry, bytes) in (0..).zip(reader.entries(0..reader.size())) {
            let event = Event::decode(&bytes?).map_err(Error::Event)?;
            if event.kind != EventType::Metric {
                continue;
            }
            let Some(said) = event.get("dp_sgd").filter(|said| said.is_map()) else { continue };
            let phases = cbor::get(said, "phases").and_then(phases);
            let training = Self { entry, run: event.run, said: said.clone(), phases };
            match places.get(event.run.as_bytes()) {
                Some(&place) => found[place] = training,
                None => {
                    places.insert(*event.run.as_bytes(), found.len());
                    found.push(training);
                }
            }
        }
        Ok(found)
    }

    fn steps(&self) -> Option<u64> {
        self.phases.as_ref()?.iter().try_fold(0_u64, |sum, phase| sum.checked_add(phase.count))
    }

    /// By each accountant; none where it has no bound.
    fn costs(&self, delta: Delta) -> Costs {
        let Some(phases) = &self.phases else { return Costs::default() };
        let sampling = cbor::get(&self.said, "sampling").and_then(Value::as_text);
        let mut kinds: Vec<Phase> = Vec::new();
        for phase in phases.iter().filter(|phase| phase.count > 0) {
            // An example that takes part in every step is protected least.
            let rate = phase.rate.filter(|_| sampling != Some(OTHERWISE));
            let phase = &Phase { rate, ..*phase };
            let alike = |kind: &&mut Phase| (kind.noise, kind.rate) == (phase.noise, phase.rate);
            match kinds.iter_mut().find(alike) {
                Some(kind) => kind.count = kind.count.saturating_add(phase.count),
                None => kinds.push(*phase),
            }
        }
        let steps = |kind: &Phase| {
            let count = u32::try_from(kind.count).ok()?;
            Steps::new(kind.noise, kind.rate.unwrap_or(1.0), count).ok()
        };
        let Some(steps) = kinds.iter().map(steps).collect::<Option<Vec<Steps>>>() else {
            return Costs::default();
        };
        Costs {
            rdp: Some(rdp_of_all(&steps, delta)),
            // Of steps of one kind alone.
            pld: if let [one] = &steps[..] { Accountant::Pld.epsilon(one, delta) } else { None },
        }
    }

    fn json(&self, costs: &Costs, delta: Delta) -> Json {
        json!({
            "entry": self.entry,
            "run": self.run.to_string(),
            "unit": cbor::get(&self.said, "unit").map(cbor::to_json),
            "mechanism": cbor::get(&self.said, "mechanism").map(cbor::to_json),
            "clip": cbor::get(&self.said, "clip").map(cbor::to_json),
            "secure_noise": cbor::get(&self.said, "secure_noise").map(cbor::to_json),
            "drawn": cbor::get(&self.said, "sampling").map(cbor::to_json),
            "phases": cbor::get(&self.said, "phases").map(cbor::to_json),
            "steps": self.steps(),
            "epsilon": costs.stated().map(|(_, epsilon)| epsilon),
            "delta": delta.get(),
            "accountant": costs.stated().map(|(accountant, _)| accountant.name()),
            "by_accountant": {"pld": costs.pld, "rdp": costs.rdp},
            "kind": "asserted",
            "said": SAID,
            "scope": SCOPE,
            "sampling": SAMPLING,
        })
    }

    fn text(&self, costs: &Costs, delta: Delta) -> String {
        let of = |key: &str| {
            cbor::get(&self.said, key).map_or_else(
                || "unknown".to_owned(),
                |value| printable(&cbor::to_json(value).to_string()),
            )
        };
        let mut text = format!(
            "Training of run {} with DP-SGD, as entry {} says: per {}, gradients cut to norm {}\n",
            self.run,
            self.entry,
            of("unit").trim_matches('"'),
            of("clip"),
        );
        // A String takes everything.
        for phase in self.phases.iter().flatten() {
            let rate = phase.rate.map_or_else(|| "unknown".to_owned(), |rate| rate.to_string());
            let _ = writeln!(
                text,
                "  {} steps: noise multiplier {}, rate {rate}",
                phase.count, phase.noise
            );
        }
        if cbor::get(&self.said, "sampling").and_then(Value::as_text) == Some(OTHERWISE) {
            text.push_str(
                "  Batches were not drawn by Poisson sampling, so 1 is counted with for the rate\n",
            );
        }
        match costs.stated() {
            Some((accountant, epsilon)) => {
                let _ = writeln!(
                    text,
                    "  Epsilon {epsilon:.4} at delta {:e}, by {}",
                    delta.get(),
                    accountant.name()
                );
                for (accountant, epsilon) in costs.each() {
                    let _ = writeln!(
                        text,
                        "    {:<9}{epsilon:>12.4}  {}",
                        accountant.name(),
                        accountant.subject()
                    );
                }
            }
            None => {
                text.push_str("  No epsilon follows from what is said: there is no privacy in it\n")
            }
        }
        text
    }
}

impl Costs {
    fn each(&self) -> impl Iterator<Item = (Accountant, f64)> {
        let pld = self.pld.map(|epsilon| (Accountant::Pld, epsilon));
        pld.into_iter().chain(self.rdp.map(|epsilon| (Accountant::Rdp, epsilon)))
    }

    /// The smaller one: each of them is a bound.
    fn stated(&self) -> Option<(Accountant, f64)> {
        self.each().min_by(|(_, one), (_, other)| one.total_cmp(other))
    }
}

/// The part of a log's privacy report that is about training: as JSON, and in words where there is any.
pub(super) fn shown(trainings: &[Training], delta: Option<f64>) -> Result<(Json, String)> {
    let delta = Delta::new(delta.unwrap_or(DELTA));
    let delta = delta.map_err(|e| Error::PrivacySettings(e.to_string()))?;
    let (mut json, mut text) = (Vec::new(), String::new());
    for training in trainings {
        let costs = training.costs(delta);
        json.push(training.json(&costs, delta));
        text.push_str(&training.text(&costs, delta));
    }
    if !trainings.is_empty() {
        let _ = writeln!(text, "  It is {SAID}.\n  Protected: {SCOPE}.\n  Sampling: {SAMPLING}.");
    }
    if trainings.len() > 1 {
        let _ = writeln!(text, "  Not added up: {SEVERAL_RUNS}.");
    }
    Ok((json.into(), text))
}

fn phases(value: &Value) -> Option<Vec<Phase>> {
    let phases = value.as_array().filter(|phases| phases.len() <= MOST_PHASES)?;
    phases.iter().map(phase).collect()
}

fn phase(value: &Value) -> Option<Phase> {
    let noise = cbor::get(value, "noise_multiplier")?.as_float()?;
    let rate = match cbor::get(value, "rate") {
        Some(rate) => Some(rate.as_float()?),
        None => None,
    };
    Some(Phase { noise, rate, count: cbor::as_u64(cbor::get(value, "steps")?)? })
}
