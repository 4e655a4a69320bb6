//! What the policy asks for. What it requires and the file lacks is a failure.

use std::borrow::Cow;

use super::anchors::Anchors;
use super::heads::Heads;
use super::hybrid;
use super::replay::Replay;
use super::{absent, bytes, count, fail, pass};
use crate::names::Names;
use crate::note::VerifierKey;
use crate::policy::TrustPolicy;
use crate::report::{Check, WitnessReport};
use crate::time::{days_until, to_rfc3339};
use crate::tlog_policy::Cosigned;

const SIGNER: &str = "Signed by a key you chose";
const WITNESSES: &str = "Cosigned by witnesses";
const CHECK: &str = "policy.witnesses";

pub fn check(
    policy: Option<&TrustPolicy>,
    heads: &Heads,
    replay: &Replay,
    anchors: &Anchors,
    checks: &mut Vec<Check>,
) -> Vec<WitnessReport> {
    let Some(policy) = policy else {
        checks.push(absent("policy.signer", SIGNER, "you have chosen no key"));
        checks.push(absent("policy.witnesses", WITNESSES, "you have chosen no witnesses"));
        return Vec::new();
    };
    let required = &policy.requirements;
    checks.push(signer(policy, heads));
    let policy = &*of_today(policy, heads);
    let (cosigned, witnesses) = witnesses(policy, heads);
    checks.push(cosigned);
    if required.complete {
        const TITLE: &str = "Your policy asks for all entries";
        checks.push(if replay.complete {
            pass("policy.complete", TITLE, "they are here and give the signed root")
        } else {
            fail("policy.complete", TITLE, "they are not all here")
        });
    }
    checks.extend(hybrid::check(policy, heads));
    if let Some(days) = required.max_age_days {
        checks.push(age(days, policy, anchors));
    }
    witnesses
}

/// The policy with the keys that have taken over from those of a log's own second signature.
fn of_today<'a>(policy: &'a TrustPolicy, heads: &Heads) -> Cow<'a, TrustPolicy> {
    let size = heads.newest().map_or(0, |head| head.size);
    let today = |key: &VerifierKey| heads.chain.cosigner(key, size).cloned();
    let mut keys = hybrid::keys(policy);
    if keys.all(|key| today(key).as_ref() == Some(key)) {
        return Cow::Borrowed(policy);
    }
    let mut policy = policy.clone();
    for key in policy.tlog.witnesses.values_mut() {
        if let Some(today) = today(key) {
            *key = today;
        }
    }
    Cow::Owned(policy)
}

/// The day from which age is counted is the verifying person's: the core has no clock.
fn age(days: u64, policy: &TrustPolicy, anchors: &Anchors) -> Check {
    const TITLE: &str = "Your policy limits the age of the newest independent date";
    let allowed = count(days, "day", "days");
    let Some(public) = &anchors.public else {
        let reason =
            format!("at most {allowed} are allowed, and no date is independently shown here");
        return fail("policy.max_age_days", TITLE, reason);
    };
    let since = to_rfc3339(public.since);
    match days_until(public.since, policy.today()) {
        None => fail("policy.max_age_days", TITLE, "the day of this verification is not known"),
        Some(age) if age <= days => pass(
            "policy.max_age_days",
            TITLE,
            format!("public since {since}; {allowed} are allowed"),
        ),
        Some(age) => fail(
            "policy.max_age_days",
            TITLE,
            format!(
                "public since {since}, {} ago; {allowed} are allowed",
                count(age, "day", "days")
            ),
        ),
    }
}

fn signer(policy: &TrustPolicy, heads: &Heads) -> Check {
    const SIGNED: &str = "every tree head is signed";
    if heads.chain.is_followed(&heads.chosen_signers) {
        const SUCCESSOR: &str = "by a key you chose, or by one to which it handed over";
        return pass("policy.signer", SIGNER, format!("{SIGNED} {SUCCESSOR}"));
    }
    if let Some(key) = heads.chosen_signers.first() {
        let mut check = pass("policy.signer", SIGNER, format!("{SIGNED} by {}", key.name()));
        check.stands_on.push(bytes("verifier key", key.to_string()));
        return check;
    }
    let same_name = policy.tlog.logs.iter().find(|key| Some(key.name()) == heads.origin());
    match same_name {
        // Somebody signs under the very name for which the person chose another key.
        Some(key) => fail("policy.signer", SIGNER, stranger(heads, key)),
        None => absent("policy.signer", SIGNER, "the keys you chose are of other logs"),
    }
}

/// Why the key that was chosen did not sign: a link is missing between it and the one that signs, or there is none.
fn stranger(heads: &Heads, chosen: &VerifierKey) -> String {
    let name = chosen.name();
    match &heads.chain.broken {
        Some(broken) => format!(
            "the key you chose for {name} does not lead to the one that signs now: {broken}; compare the key that signs now by another channel"
        ),
        None => format!(
            "this names itself {name}, and the key you chose for that name signed {} of its {} (fingerprint of the key you chose: {})",
            match heads.list.iter().filter(|head| head.signed_by.contains(chosen)).count() {
                0 => "none".to_owned(),
                some => some.to_string(),
            },
            count(heads.list.len() as u64, "tree head", "tree heads"),
            chosen.fingerprint_text()
        ),
    }
}

fn witnesses(policy: &TrustPolicy, heads: &Heads) -> (Check, Vec<WitnessReport>) {
    let cosigners = match heads.list.last().map(|head| policy.tlog.cosigners(&head.note)) {
        Some(Ok(cosigners)) => cosigners,
        Some(Err(e)) => return (fail(CHECK, WITNESSES, e.to_string()), Vec::new()),
        None => Names::default(),
    };
    let named = policy.tlog.witnesses.iter();
    let list: Vec<_> = named
        .map(|(name, key)| WitnessReport {
            name: name.to_owned(),
            key: format!("{}+{}", key.name(), key.id_hex()),
            fingerprint: key.fingerprint_hex(),
            at: cosigners.get(name).map(|by| to_rfc3339(by.at.saturating_mul(1_000_000))),
        })
        .collect();
    (quorum(policy, heads, &cosigners), list)
}

fn quorum(policy: &TrustPolicy, heads: &Heads, cosigners: &Names<Cosigned>) -> Check {
    // A log's own second signature may be what a quorum asks for. It shows nobody else to have seen the log.
    let own = |cosigned: &Cosigned| Some(cosigned.key.name()) == heads.origin();
    let others = policy
        .tlog
        .quorum_keys()
        .any(|key| cosigners.values().any(|cosigned| cosigned.key == *key && !own(cosigned)));
    if policy.tlog.wants_witnesses() {
        return if !policy.tlog.quorum_met(cosigners) {
            let reason = format!(
                "your policy's quorum is not met by {}",
                count(cosigners.len() as u64, "cosignature", "cosignatures")
            );
            fail(CHECK, WITNESSES, reason)
        } else if others {
            let names: Vec<String> = cosigners.iter().map(named).collect();
            let reason = format!("your quorum is met by {}, by their own clocks", names.join(", "));
            pass(CHECK, WITNESSES, reason)
        } else {
            let missing = if policy.requirements.witnesses { fail } else { absent };
            let reason = "your quorum is met by the log's own cosignature, and by no witness";
            missing(CHECK, WITNESSES, reason)
        };
    }
    if policy.requirements.witnesses {
        const REASON: &str = "your policy requires witnesses, and its `quorum` line asks for none";
        return fail(CHECK, WITNESSES, REASON);
    }
    absent(CHECK, WITNESSES, "your policy asks for none")
}

/// A cosigner and its time, which it need not state.
fn named((name, cosigned): (&str, &Cosigned)) -> String {
    match cosigned.at {
        0 => name.to_owned(),
        at => format!("{name} at {}", to_rfc3339(at.saturating_mul(1_000_000))),
    }
}
