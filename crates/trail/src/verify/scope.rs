//! How far a failure reaches: whether the log itself stands, and what beside it does not.

use super::sentences::Sentences;
use crate::report::{Check, OpeningReport, Outcome, Scope};

/// `None` where nothing failed.
pub fn of_failure(said: &Sentences<'_>) -> Option<Scope> {
    let failed = |check: &&Check| check.result == Outcome::Fail;
    let failed: Vec<&str> = said.checks.iter().filter(failed).map(|check| check.name).collect();
    if failed.is_empty() {
        return None;
    }
    let broken = |text: &str| Some(Scope { log_holds: false, text: text.to_owned() });
    if failed.iter().any(|name| is_of_log(name))
        || !said.replay.proven
        || said.heads.signers.is_empty()
    {
        return broken("The log itself does not hold, and nothing that rests on it does.");
    }
    if failed.contains(&"policy.signer") {
        return broken(
            "The log agrees with itself, but not with the key you chose for its name: nothing here is shown to \
             be the word of that key's holder.",
        );
    }
    if said.history.is_some_and(|history| history.contradiction) {
        return broken(
            "The log agrees with itself, but contradicts the earlier record you brought: one key signed both.",
        );
    }
    let mut beside: Vec<String> = failed.iter().map(|name| what(name, said.openings)).collect();
    beside.dedup();
    let signer = if said.heads.chosen_signers.is_empty() {
        "a key you did not choose"
    } else {
        "the key you chose"
    };
    let text = format!(
        "The log itself holds: its tree heads are signed with {signer} and continue each other, and the \
         entries here are theirs. What failed: {}.",
        beside.join("; ")
    );
    Some(Scope { log_holds: true, text })
}

fn is_of_log(name: &str) -> bool {
    ["heads.", "entries.", "events.", "updates"].iter().any(|part| name.starts_with(part))
}

/// What a check beside the log is about.
fn what(name: &str, openings: &[OpeningReport]) -> String {
    match name.split('.').next().unwrap_or_default() {
        "openings" => {
            let wrong = openings.iter().filter(|opening| opening.result == Outcome::Fail).count();
            return format!("{wrong} of the {} values opened here", openings.len());
        }
        "card" => "the model card",
        "weights" => "the model you brought is not in it",
        "history" => "the earlier record you brought is not of it",
        "anchors" => "what shows its publication",
        _ => "what your policy requires besides",
    }
    .to_owned()
}
