//! The report: the verdict, and what the checks gave.

use super::anchors::Anchors;
use super::claims::{CheckedCard, claim_counts};
use super::gaps;
use super::heads::Heads;
use super::hybrid;
use super::replay::Replay;
use super::sentences::Sentences;
use super::{Parts, scope};
use crate::drift::State;
use crate::note::VerifierKey;
#[cfg(feature = "anchors")]
use crate::note::in_groups;
use crate::policy::TrustPolicy;
use crate::report::{
    Check, EntriesReport, HeadReport, HistoryReport, Key, NOT_PROVEN, OpeningReport, Outcome,
    Report, RunReport, Verdict, WitnessReport,
};
use crate::time::to_rfc3339;

/// What the checks gave.
pub struct Gave {
    pub drift: Vec<State>,
    pub heads: Heads,
    pub replay: Replay,
    pub witnesses: Vec<WitnessReport>,
    pub anchors: Anchors,
    pub card: Option<CheckedCard>,
    pub openings: Vec<OpeningReport>,
    pub history: Option<HistoryReport>,
    pub checks: Vec<Check>,
}

pub fn report(parts: &Parts<'_>, policy: Option<&TrustPolicy>, gave: Gave) -> Report {
    let Gave { drift, heads, replay, witnesses, anchors, card, openings, history, checks } = gave;
    let verdict = verdict(&heads, &replay, &anchors, &checks);
    let since = anchors.public.as_ref().map(|public| to_rfc3339(public.since));
    let newest = heads.newest();
    let said = Sentences {
        parts,
        policy,
        heads: &heads,
        replay: &replay,
        anchors: &anchors,
        card: card.as_ref(),
        history: history.as_ref(),
        openings: &openings,
        checks: &checks,
    };
    let (established, not_established) = (said.established(), said.not_established());
    let scope = scope::of_failure(&said);
    Report {
        v: 1,
        verdict,
        verdict_text: verdict_text(verdict, since.as_deref(), &heads, &replay),
        scope,
        meets_policy: policy.map(|_| verdict >= Verdict::Signed),
        key_source: key_source(policy, &heads),
        keys: keys(policy, &heads),
        handovers: heads.chain.handovers().into_iter().chain(anchors.handovers).collect(),
        compromised: heads.chain.compromised(),
        publication: anchors.publication,
        origin: heads.origin().map(str::to_owned),
        size: newest.map_or(0, |head| head.size),
        root: newest.map(|head| hex::encode(head.root)).unwrap_or_default(),
        established,
        not_established,
        not_proven: NOT_PROVEN,
        claim_counts: claim_counts(card.as_ref()),
        heads: heads.list.iter().map(head_report).collect(),
        witnesses,
        anchors: anchors.list,
        runs: replay.runs.iter().map(run_report).collect(),
        weights: replay.weights.into(),
        drift,
        openings,
        history,
        entries: EntriesReport {
            present: replay.present,
            of: newest.map_or(0, |head| head.size),
            complete: replay.complete,
            types: replay.builder.types().clone(),
        },
        card: card.map(|card| card.report),
        checks,
    }
}

fn verdict_text(verdict: Verdict, since: Option<&str>, heads: &Heads, replay: &Replay) -> String {
    let mut text = verdict.text(since);
    if verdict == Verdict::Signed && !replay.gaps.is_empty() {
        // It may be public all the same, and is no less signed for it.
        let dated = if since.is_some() { Verdict::Public } else { verdict };
        text = dated.text(since) + gaps::IN_VERDICT;
    }
    if heads.chain.is_followed(&heads.chosen_signers) {
        return text.replacen("by the key", "by a successor of the key", 1);
    }
    text
}

fn verdict(heads: &Heads, replay: &Replay, anchors: &Anchors, checks: &[Check]) -> Verdict {
    if !heads.readable || checks.iter().any(|check| check.result == Outcome::Fail) {
        Verdict::Failed
    } else if heads.chosen_signers.is_empty() {
        Verdict::SelfConsistent
    } else if anchors.public.is_none() || !replay.gaps.is_empty() {
        Verdict::Signed
    } else {
        Verdict::Public
    }
}

fn key_source(policy: Option<&TrustPolicy>, heads: &Heads) -> String {
    let Some(policy) = policy else {
        return "No keys chosen: the file names its own key, and anyone can make one.".into();
    };
    let used =
        if heads.chosen_signers.is_empty() { &policy.tlog.logs } else { &heads.chosen_signers };
    let second = hybrid::keys(policy).filter(|key| heads.cosigned_any(key));
    let fingerprints: Vec<String> =
        used.iter().chain(second).map(VerifierKey::fingerprint_text).collect();
    let chosen_on = if policy.chosen_on.is_empty() { "an unknown day" } else { &policy.chosen_on };
    let mut text = format!(
        "Keys: from {}, chosen by you on {chosen_on}, fingerprint {}{}. We cannot know whose key this is; \
         compare it by another channel.",
        policy.label,
        or_none(&fingerprints.join(", ")),
        publishing(policy),
    );
    if !policy.source.is_empty() {
        text.push_str(&format!(" Source, as you noted it: {}", policy.source));
    }
    text
}

fn or_none(list: &str) -> &str {
    if list.is_empty() { "none" } else { list }
}

/// Whose publications the policy counts.
#[cfg(feature = "anchors")]
fn publishing(policy: &TrustPolicy) -> String {
    policy.anchors.as_ref().map_or_else(String::new, |trust| {
        let fingerprints: Vec<String> =
            trust.fingerprints().iter().map(|key| in_groups(key)).collect();
        format!(
            "; publishing key: fingerprint {}; trusted root: logs {}, time-stamping authorities {}",
            fingerprints.join(", "),
            or_none(&trust.log_names().join(", ")),
            or_none(&trust.clock_names().join(", ")),
        )
    })
}

#[cfg(not(feature = "anchors"))]
fn publishing(_: &TrustPolicy) -> &'static str {
    ""
}

fn keys(policy: Option<&TrustPolicy>, heads: &Heads) -> Vec<Key> {
    let chosen = policy.map(|policy| policy.tlog.logs.as_slice()).unwrap_or_default();
    let others = heads.signers.iter().filter(|key| !chosen.contains(key));
    let of_log = chosen.iter().chain(others);
    let mut keys: Vec<Key> = of_log
        .map(|key| described(key, chosen.contains(key), heads.signers.contains(key)))
        .collect();
    let second = policy.into_iter().flat_map(hybrid::keys);
    keys.extend(second.map(|key| described(key, true, heads.cosigned_all(key))));
    keys
}

fn described(key: &VerifierKey, chosen: bool, signed: bool) -> Key {
    Key {
        name: key.name().to_owned(),
        key_id: key.id_hex(),
        algorithm: key.kind().algorithm(),
        fingerprint: key.fingerprint_hex(),
        chosen,
        signed,
    }
}

fn head_report(head: &super::heads::SignedHead) -> HeadReport {
    HeadReport {
        size: head.checkpoint.size,
        root: hex::encode(head.checkpoint.root),
        signed_by: head
            .signed_by
            .iter()
            .chain(&head.cosigned_by)
            .map(|key| format!("{}+{}", key.name(), key.id_hex()))
            .collect(),
    }
}

fn run_report(run: &super::replay::RunState) -> RunReport {
    RunReport {
        run: run.id.to_string(),
        started: run.started.map(to_rfc3339),
        ended: run.ended.map(to_rfc3339),
        events: run.events,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cbor;
    use crate::event::tests::run;
    use crate::event::{Event, EventType};
    use crate::note::KeyKind;
    use crate::verify::anchors::Public;
    use crate::verify::gaps::Gap;

    #[test]
    fn what_is_public_with_a_gap_in_it_is_signed_and_says_both() {
        // The base point of the curve (RFC 8032).
        let mut point = [0x66; 32];
        point[0] = 0x58;
        let key = VerifierKey::new("log.example", KeyKind::Ed25519, &point).unwrap();
        let heads = Heads { chosen_signers: vec![key], readable: true, ..Heads::default() };
        let public = Public { size: 1, since: 0, by: "a clock".into() };
        let anchors = Anchors { public: Some(public), ..Anchors::default() };
        let mut replay = Replay::default();
        assert_eq!(verdict(&heads, &replay, &anchors, &[]), Verdict::Public);
        let data = cbor::map([("gap", true.into())]);
        let event = Event { time: 0, run: run(1), seq: 1, kind: EventType::Incident, data };
        replay.gaps.extend(Gap::read(1, &event));
        let verdict = verdict(&heads, &replay, &anchors, &[]);
        assert_eq!(verdict, Verdict::Signed);
        let text = verdict_text(verdict, Some("T"), &heads, &replay);
        assert_eq!(text, "Signed by the key you chose; public since T; with a gap in the record");
    }
}
