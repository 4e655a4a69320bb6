//! `rlhf-audit privacy`: a log's budget, or a plan

use std::fmt::Write as _;
use std::process::ExitCode;

use privacy::accountant::{self, ACCOUNTANTS, Delta, Steps, StepsError};
use producer::{Cost, MIN_GROUP, PrivacyMode, PrivacyReport};
use serde_json::{Map, Value as Json, json};
use trail::card::PRIVACY_SCOPE;

use crate::args::Privacy;
use crate::failure::{Done, Failure};
use crate::output::{Output, printable};

pub fn run(args: &Privacy, output: &Output) -> Done {
    let (json, text) = match &args.dir {
        Some(dir) => match PrivacyReport::read(dir)? {
            Some(report) => (report_json(&report), report_text(&report)),
            None => (nothing_json(), NOTHING_NOISED.to_owned()),
        },
        None => plan(args).map_err(Failure::input)?,
    };
    output.result(&json, text.trim_end());
    Ok(ExitCode::SUCCESS)
}

const NOTHING_NOISED: &str = "Nothing is noised in this log: no value in it that follows from ratings is private. Ratings are committed to, \
    not shown; what follows from them (norms, losses, weights) can give them away.";

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

fn nothing_json() -> Json {
    json!({
        "epsilon": null, "delta": null, "remaining": null, "mode": "minimal", "mechanism": null,
        "not_protected": [NOTHING_NOISED],
    })
}

fn report_json(report: &PrivacyReport) -> Json {
    let cost = |cost: &Cost| json!({"rho": cost.rho, "epsilon": cost.epsilon});
    let rounds = report.rounds.iter().map(|round| {
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
        "epsilon": report.settings.epsilon,
        "delta": report.settings.delta,
        "remaining": report.remaining(),
        "remaining_rho": report.remaining_rho,
        "remaining_rounds": report.remaining_rounds,
        "mode": report.settings.mode.as_str(),
        "epsilon_per_round": report.settings.epsilon_per_round,
        "cap": report.settings.cap,
        "rho_of_a_value": report.item_rho,
        "budget": cost(&report.budget),
        "spent": cost(&report.most),
        "spent_if_in_every_round": cost(&report.everyone),
        "annotators": report.annotators,
        "distribution": report.distribution,
        "min_group": MIN_GROUP,
        "rounds": rounds.collect::<Vec<_>>(),
        "mechanism": mechanism(report.settings.mode),
        "adjacency": ADJACENCY,
        "assumptions": ASSUMPTIONS,
        "not_protected": not_protected(report.settings.mode),
    })
}

fn report_text(report: &PrivacyReport) -> String {
    let PrivacyReport { settings, rounds, most, everyone, .. } = report;
    let mut text = format!(
        "Promised to each annotator: epsilon {} at delta {:e} over everything released, {} a round\n\
         Spent at most:              epsilon {:.4}, on one of {} annotators\n\
         Left to that one:           epsilon {:.4}, {} rounds with everybody in them\n\
         As the log shows it:        epsilon {:.4}, as if somebody took part in every round released\n",
        settings.epsilon,
        settings.delta,
        settings.epsilon_per_round,
        most.epsilon,
        report.annotators,
        report.remaining(),
        report.remaining_rounds,
        everyone.epsilon,
    );
    // A String takes everything.
    for (share, count) in
        ["a quarter", "a half", "three quarters", "all"].iter().zip(report.distribution)
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

fn plan(args: &Privacy) -> Result<(Json, String), StepsError> {
    let delta = Delta::new(args.delta)?;
    let noise = match (args.noise_multiplier, args.target_epsilon) {
        (Some(noise), _) => noise,
        (None, target) => {
            // The parser demands one of the two; no target is refused as one that is not a number.
            let target = target.unwrap_or(f64::NAN);
            accountant::noise_for(target, args.rate, args.steps, delta)?
        }
    };
    let steps = Steps::new(noise, args.rate, args.steps)?;
    let (stated, epsilon) = accountant::stated(&steps, delta);
    let all = ACCOUNTANTS.map(|accountant| (accountant, accountant.epsilon(&steps, delta)));
    let by_accountant: Map<String, Json> = all
        .iter()
        .map(|(accountant, epsilon)| (accountant.name().into(), json!(epsilon)))
        .collect();
    let json = json!({
        "epsilon": epsilon,
        "delta": args.delta,
        "accountant": stated.name(),
        "by_accountant": by_accountant,
        "noise_multiplier": noise,
        "rate": args.rate,
        "steps": args.steps,
        "adjacency": adjacency(args.rate),
        "sampling": sampling(args.rate),
    });
    let mut text = format!(
        "Noise multiplier {noise}, rate {}, steps {}\nEpsilon {epsilon:.4} at delta {:e}, by {}\n",
        args.rate,
        args.steps,
        args.delta,
        stated.name()
    );
    for (accountant, epsilon) in all {
        let figure = epsilon.map_or_else(|| "–".to_owned(), |epsilon| format!("{epsilon:.4}"));
        // A String takes everything.
        let _ = writeln!(text, "  {:<9}{figure:>12}  {}", accountant.name(), accountant.subject());
    }
    let _ =
        writeln!(text, "Neighbours: {}. Sampling: {}.", adjacency(args.rate), sampling(args.rate));
    Ok((json, text))
}

fn adjacency(rate: f64) -> &'static str {
    if rate == 1.0 {
        "one record changed so that a step's sum moves by at most the sensitivity"
    } else {
        "one record added or removed"
    }
}

fn sampling(rate: f64) -> &'static str {
    if rate == 1.0 {
        "none, every record in every step"
    } else {
        "each record in each step independently (Poisson); shuffled batches are not covered"
    }
}
