//! The report on a log's budget, as the command line program and the Python package show it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};
use trail::card::PRIVACY_SCOPE;

use super::report::{Cost, MIN_GROUP, PrivacyReport};
use super::settings::PrivacyMode;
use super::training::{self, Training};
use crate::error::Result;
use crate::printable::printable;

/// What there is to say of a log that promises nothing.
const NOTHING_NOISED: &str = "Nothing is noised of what annotators gave: no value in this log that follows from ratings is private. Ratings are \
    committed to, not shown; what follows from them (norms, losses, weights) can give them away.";

const ONE_BY_ONE: &str = "discrete Gaussian noise on each clipped rating, drawn exactly in integers (Canonne, Kamath and Steinke 2020), and \
    randomised response (Warner 1965) for each preference; accounted for in zCDP";

const MECHANISM: &str = "discrete Gaussian noise, drawn exactly in integers (Canonne, Kamath and Steinke 2020), on the sum of clipped and \
    capped ratings; accounted for in zCDP";

const ADJACENCY: &str = "all rating values of one annotator are replaced; who took part, how often, and when to the minute are public";

const ASSUMPTIONS: [&str; 4] = [
    "each annotator has one id, and two ids are two people",
    "who was erased and comes back counts as another person",
    "the folder's private part and the machine that draws the noise stay with the producer",
    "noise is not made smaller by sampling: none is assumed",
];

const PREFERENCES: &str = "preferences between two responses: committed to, never released";

const NOT_PROTECTED: [&str; 4] = [
    "texts: prompts and responses are committed to, not noised",
    "participation: who took part under a pseudonym, and how many ratings there are",
    "the model and what is logged of its training, unless it learned from released values only",
    PRIVACY_SCOPE,
];

fn mechanism(mode: PrivacyMode) -> &'static str {
    match mode {
        PrivacyMode::Strong => MECHANISM,
        PrivacyMode::Moderate => ONE_BY_ONE,
    }
}

fn not_protected(mode: PrivacyMode) -> Vec<&'static str> {
    let preferences = (mode == PrivacyMode::Strong).then_some(PREFERENCES);
    NOT_PROTECTED.into_iter().chain(preferences).collect()
}

/// The report on the privacy of a log, as JSON and in words: what was promised to annotators and spent of it, and, apart
/// from that, what its trainings with DP-SGD cost. No key is needed and another process may be writing.
///
/// # Errors
/// There is no log, or its files cannot be read.
pub fn privacy_report(dir: &Path) -> Result<(Json, String)> {
    let report = PrivacyReport::read(dir)?;
    let delta = report.as_ref().map(|report| report.settings.delta);
    let (mut json, mut text) =
        report.map_or_else(PrivacyReport::unpromised, |report| (report.json(), report.text()));
    let (training, words) = training::shown(&Training::read(dir)?, delta)?;
    json["training"] = training;
    if !words.is_empty() {
        text = format!("{}\n{words}", text.trim_end());
    }
    Ok((json, text))
}

impl PrivacyReport {
    /// The report of a log that promises nothing, under the same keys as far as it has them, and in words.
    pub fn unpromised() -> (Json, String) {
        let json = json!({
            "epsilon": null, "delta": null, "remaining": null, "mode": "minimal", "mechanism": null,
            "not_protected": [NOTHING_NOISED],
        });
        (json, NOTHING_NOISED.to_owned())
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        let cost = |cost: &Cost| json!({"rho": cost.rho, "epsilon": cost.epsilon});
        let rounds = self.rounds.iter().map(|round| {
            json!({
                "id": round.id,
                "index": round.index,
                "entries": [round.entries.start, round.entries.end],
                "annotators": round.annotators,
                "one_by_one": round.of_items,
                "rho": round.cost.rho,
                "epsilon": round.cost.epsilon,
            })
        });
        json!({
            "epsilon": self.settings.epsilon,
            "delta": self.settings.delta,
            "remaining": self.remaining(),
            "remaining_rho": self.remaining_rho,
            "remaining_rounds": self.remaining_rounds,
            "mode": self.settings.mode.as_str(),
            "epsilon_per_round": self.settings.epsilon_per_round,
            "cap": self.settings.cap,
            "rho_of_a_value": self.item_rho,
            "budget": cost(&self.budget),
            "spent": cost(&self.most),
            "spent_if_in_every_round": cost(&self.everyone),
            "annotators": self.annotators,
            "distribution": self.distribution,
            "min_group": MIN_GROUP,
            "rounds": rounds.collect::<Vec<_>>(),
            "mechanism": mechanism(self.settings.mode),
            "adjacency": ADJACENCY,
            "assumptions": ASSUMPTIONS,
            "not_protected": not_protected(self.settings.mode),
        })
    }

    /// In words, on several lines.
    pub fn text(&self) -> String {
        let PrivacyReport { settings, rounds, most, everyone, .. } = self;
        let mut text = format!(
            "Promised to each annotator: epsilon {} at delta {:e} over everything released, {} a round\n\
             Spent at most:              epsilon {:.4}, on one of {} annotators\n\
             Left to that one:           epsilon {:.4}, {} rounds with everybody in them\n\
             As the log shows it:        epsilon {:.4}, as if somebody took part in every round released\n",
            settings.epsilon,
            settings.delta,
            settings.epsilon_per_round,
            most.epsilon,
            self.annotators,
            self.remaining(),
            self.remaining_rounds,
            everyone.epsilon,
        );
        // A String takes everything.
        for (share, count) in
            ["a quarter", "a half", "three quarters", "all"].iter().zip(self.distribution)
        {
            let count =
                count.map_or_else(|| format!("fewer than {MIN_GROUP}"), |count| count.to_string());
            let _ = writeln!(text, "  up to {share} of it spent on: {count}");
        }
        for round in rounds {
            let state = round.index.map_or_else(
                || "charged, never released".to_owned(),
                |index| format!("released as entry {index}"),
            );
            let _ = writeln!(
                text,
                "Round {}: epsilon {:.4} {} {} annotators, {state}",
                printable(&round.id),
                round.cost.epsilon,
                if round.of_items { "at most, on" } else { "on" },
                round.annotators
            );
        }
        let mode = settings.mode;
        let _ = writeln!(text, "Mechanism: {}.\nNeighbours: {ADJACENCY}.", mechanism(mode));
        let _ = writeln!(text, "Assumed: {}.", ASSUMPTIONS.join("; "));
        let _ = writeln!(text, "Not protected:\n  {}", not_protected(mode).join("\n  "));
        text
    }
}
