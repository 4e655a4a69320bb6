//! A log's folder, read without its keys, beside a writer.

use std::path::PathBuf;

use privacy::accountant::{Delta, Rho};
use producer::{LogReader, Noise, PrivacyPlan, Weighed};
use pyo3::prelude::*;
use serde_json::Value as Json;
use trail::verify::Question;
use trail::{Event, EventType};
use weight_digest::cpu::Cpu;

use crate::failure::{Done, Failure};

/// The report of a log's verification, as JSON. No key is chosen: it says whether the log agrees with itself.
#[pyfunction]
pub fn verify_log(py: Python<'_>, dir: PathBuf) -> PyResult<String> {
    let report = || -> Done<String> {
        let report = LogReader::open(&dir)?.verify(&Question::default())?;
        serde_json::to_string(&report).map_err(Failure::recording)
    };
    Ok(py.detach(report)?)
}

/// The events of these types, or of all, in the JSON view without proofs, as a JSON array.
#[pyfunction]
pub fn read_events(py: Python<'_>, dir: PathBuf, kinds: Vec<String>) -> PyResult<String> {
    let kinds: Vec<EventType> = kinds.iter().map(|kind| EventType::from(kind.as_str())).collect();
    let events = || -> Done<String> {
        let reader = LogReader::open(&dir)?;
        let mut events: Vec<Json> = Vec::new();
        for (index, entry) in (0..).zip(reader.entries(0..reader.size())) {
            let event = Event::decode(&entry?).map_err(|e| {
                Failure::recording(format!("{}: entry {index}: {e}", dir.display()))
            })?;
            if kinds.is_empty() || kinds.contains(&event.kind) {
                events.push(trail::view::entry(index, &event, None));
            }
        }
        Ok(Json::Array(events).to_string())
    };
    Ok(py.detach(events)?)
}

/// The report on a log's privacy, as JSON and in words.
#[pyfunction]
pub fn privacy_report(py: Python<'_>, dir: PathBuf) -> PyResult<(String, String)> {
    let (json, text) = py.detach(|| producer::privacy_report(&dir)).map_err(Failure::from)?;
    Ok((json.to_string(), text))
}

/// What a training would cost, as JSON and in words. Of the noise multiplier and the ε to be met, one is given.
#[pyfunction]
pub fn privacy_plan(
    py: Python<'_>,
    noise_multiplier: Option<f64>,
    target_epsilon: Option<f64>,
    rate: f64,
    steps: u32,
    delta: f64,
) -> PyResult<(String, String)> {
    let noise = match (noise_multiplier, target_epsilon) {
        (Some(multiplier), None) => Noise::Multiplier(multiplier),
        (None, Some(epsilon)) => Noise::ForEpsilon(epsilon),
        _ => return Err(Failure::input("give the noise multiplier or the epsilon to meet").into()),
    };
    let plan = py.detach(|| PrivacyPlan::new(noise, rate, steps, delta)).map_err(Failure::from)?;
    Ok((plan.json().to_string(), plan.text()))
}

/// The ε, at this δ, of a round whose noise is this many times what one annotator can move.
#[pyfunction]
pub fn round_epsilon(noise_multiplier: f64, delta: f64) -> PyResult<f64> {
    let delta = Delta::new(delta).map_err(Failure::input)?;
    let rho = Rho::new(0.5 / (noise_multiplier * noise_multiplier)).filter(|rho| rho.get() > 0.0);
    let rho = rho.ok_or_else(|| Failure::input("noise_multiplier must be above 0"))?;
    Ok(rho.epsilon(delta))
}

/// The root of a saved checkpoint, hex.
#[pyfunction]
pub fn weigh_saved(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let weights = py.detach(|| Weighed::saved(&path, &Cpu, &|_| ())).map_err(Failure::from)?;
    Ok(hex::encode(weights.digest.root))
}
