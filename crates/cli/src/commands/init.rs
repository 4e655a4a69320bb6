//! `rlhf-audit init`

use std::process::ExitCode;

use producer::{Audit, InitOptions, PrivacySettings};
use serde_json::json;
use trail::note::VerifierKey;

use super::passphrase;
use crate::args::{Init, PrivacyMode};
use crate::failure::{Done, Failure};
use crate::output::Output;

pub fn run(args: &Init, output: &Output) -> Done {
    let options = InitOptions {
        model: args.model.clone(),
        origin: args.origin.clone(),
        passphrase: passphrase(&args.unlock)?,
        hybrid: args.hybrid,
        privacy: privacy(args)?,
    };
    let made = Audit::init(&args.dir, &options)?;
    let vkey = made.vkey.to_string();
    let second = made.second_vkey.as_ref();
    let policy = args.dir.join("policy/policy");
    output.result(
        &json!({
            "origin": made.origin,
            "vkey": vkey,
            "fingerprint": made.vkey.fingerprint_hex(),
            "second": second.map(|key| json!({
                "algorithm": key.kind().algorithm(),
                "vkey": key.to_string(),
                "fingerprint": key.fingerprint_hex(),
            })),
        }),
        format_args!(
            "Log {} in {}\nVerifier key: {vkey}\nFingerprint:  {}\n{}\
             Give key and fingerprint to those who will verify, by two different channels. They compare the \
             fingerprint group by group: one different digit means another key.",
            made.origin,
            args.dir.display(),
            made.vkey.fingerprint_text(),
            second.map(|key| of_second(key, &policy.display())).unwrap_or_default(),
        ),
    );
    Ok(ExitCode::SUCCESS)
}

/// The promise to annotators, whose numbers only the producer can choose.
fn privacy(args: &Init) -> Result<Option<PrivacySettings>, Failure> {
    let Init { privacy, epsilon, epsilon_per_round, delta, clip, grid, cap, .. } = args;
    let (name, mode) = match privacy {
        PrivacyMode::Strong => ("strong", producer::PrivacyMode::Strong),
        PrivacyMode::Moderate => ("moderate", producer::PrivacyMode::Moderate),
        PrivacyMode::Minimal => {
            let given = epsilon.or(*epsilon_per_round).or(*delta).is_some();
            return if given || clip.is_some() || grid.or(*cap).is_some() {
                Err(Failure::input(
                    "a budget, clip, grid or cap has a meaning with --privacy strong or moderate only",
                ))
            } else {
                Ok(None)
            };
        }
    };
    let (Some(epsilon), Some(epsilon_per_round), Some(clip)) = (epsilon, epsilon_per_round, clip)
    else {
        return Err(Failure::input(format!(
            "--privacy {name} needs --epsilon, --epsilon-per-round and --clip, for example --epsilon 4 \
             --epsilon-per-round 1 --clip 1,5"
        )));
    };
    Ok(Some(PrivacySettings {
        mode,
        epsilon: *epsilon,
        epsilon_per_round: *epsilon_per_round,
        delta: delta.unwrap_or(1e-5),
        clip: *clip,
        steps_a_unit: grid.unwrap_or(100),
        cap: cap.unwrap_or(10),
    }))
}

/// The second key is too long to read: only where it lies, and its fingerprint.
fn of_second(key: &VerifierKey, policy: &dyn std::fmt::Display) -> String {
    format!(
        "Second key:   {}+{}+…, ML-DSA-44; whole, and demanded, in {policy}\nFingerprint:  {}\n",
        key.name(),
        key.id_hex(),
        key.fingerprint_text()
    )
}
