//! The claims there are, what they are about in words, and the provisions that ask for them.

use serde_json::Value as Json;

use super::{Claim, ClaimKind, Pointer};

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

/// What must be said wherever weights or training statistics are public: they give ratings away.
pub const PRIVACY_SCOPE: &str =
    "Privacy covers the released ratings only, not this log's training statistics or the model.";

/// What is said of a run whose updates all say so of themselves.
pub const RELEASED_ONLY: &str = "By the producer's word, every update learned from released values only; what follows from those costs no privacy.";

/// What a run's `annotator_privacy` says, in plain words.
pub fn mode_in_words(mode: &str) -> &str {
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

/// The provisions that ask for a claim: EU AI Act, then NIST AI RMF 1.0.
pub type AskedBy = (&'static [&'static str], &'static [&'static str]);

pub const IDENTITY: AskedBy = (&["Annex IV(1)(a)", "Annex XI(1)(1)"], &["MAP 2.1"]);
pub const RECORDS: AskedBy = (&["Art. 12(1)", "Art. 18"], &["GOVERN 1.4", "MEASURE 2.8"]);
pub const DATA: AskedBy = (
    &["Art. 10(2)(b)", "Art. 10(2)(c)", "Annex IV(2)(d)", "Annex XI(1)(2)(c)"],
    &["MAP 2.3", "MEASURE 2.1"],
);
pub const GUIDELINE: AskedBy = (&["Art. 10(2)(c)", "Annex IV(2)(d)"], &["MAP 2.3", "GOVERN 3.2"]);
pub const TRAINING: AskedBy =
    (&["Annex IV(2)(b)", "Annex XI(1)(2)(b)"], &["MAP 2.3", "MEASURE 2.9"]);
pub const EVALUATION: AskedBy =
    (&["Art. 15(3)", "Annex IV(2)(g)", "Annex XI(2)(1)"], &["MEASURE 2.1", "MEASURE 2.3"]);
pub const INCIDENT: AskedBy = (&["Art. 73", "Art. 55(1)(c)"], &["MANAGE 4.3"]);
pub const PRIVACY: AskedBy = (&["Art. 10(5)"], &["MEASURE 2.10"]);
pub const OVERSIGHT: AskedBy = (&["Art. 11(1)", "Art. 21"], &["GOVERN 1.4", "MEASURE 2.8"]);

pub fn claim(
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
mod tests {
    use super::*;

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
}
