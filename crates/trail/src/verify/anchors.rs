//! Published heads: each anchor for itself, then all of them as one sequence.
//!
//! Publication, sequence and time are separate results: an anchor can be right and its neighbour missing.

use super::heads::Heads;
use super::replay::Replay;
use super::{Parts, absent, count, fail, pass};
#[cfg(feature = "anchors")]
use crate::evidence::MAX_ANCHORS;
use crate::order;
use crate::policy::TrustPolicy;
use crate::report::{AnchorReport, Check, Handover};
use crate::time::to_rfc3339;

const PUBLICATION: &str = "Published in a public transparency log";
const SEQUENCE: &str = "No gap or conflict among the published heads";
const TIME: &str = "A clock that is not the producer's saw it published";

/// A file with so many anchors need not begin with the first: they, the heads that they are about and a
/// hundred other heads fit into it.
pub const MANY_ANCHORS: usize = 900;

/// What the anchors amount to.
#[derive(Debug, Default)]
pub struct Anchors {
    /// Those that verified, by their sequence number.
    pub list: Vec<AnchorReport>,
    /// Since when the newest head is public, and by whose clock. Entries that only note a publication
    /// may follow that head.
    pub public: Option<Public>,
    /// How the publications relate to the runs, in words.
    pub publication: Option<String>,
    /// The publishing keys that took over from the chosen ones.
    pub handovers: Vec<Handover>,
}

/// A head that is public.
#[derive(Debug)]
pub struct Public {
    /// Its size.
    pub size: u64,
    /// Since when, microseconds since 1970.
    pub since: u64,
    /// By whose clock.
    pub by: String,
}

pub fn check(
    parts: &Parts<'_>,
    policy: Option<&TrustPolicy>,
    heads: &Heads,
    replay: &Replay,
    checks: &mut Vec<Check>,
) -> Anchors {
    let required = policy.map_or(0, |policy| policy.requirements.anchors);
    let mut anchors = Anchors::default();
    match verified(parts, policy, heads, replay, &mut anchors.handovers) {
        Ok(list) if list.is_empty() => {
            checks.push(nothing(required, "there is no public anchor here"));
            return anchors;
        }
        Ok(list) => anchors.list = list,
        Err(Unverified::Untold(reason)) => {
            checks.push(nothing(required, reason));
            return anchors;
        }
        Err(Unverified::Wrong(reason)) => {
            checks.push(fail("anchors", PUBLICATION, reason));
            // Which were seen to hold depends on where the wrong one stands.
            anchors.handovers.clear();
            return anchors;
        }
    }
    checks.push(publication(&anchors.list, &anchors.handovers, required));
    checks.push(match sequence(&anchors.list) {
        Ok(reason) => pass("anchors.sequence", SEQUENCE, reason),
        Err(reason) => fail("anchors.sequence", SEQUENCE, reason),
    });
    anchors.public = newest_public(&anchors.list, heads, replay);
    checks.push(time(&anchors));
    anchors.publication = about_runs(&anchors.list, replay);
    anchors
}

/// Why there are no verified anchors.
enum Unverified {
    /// Nothing can be said of them.
    Untold(&'static str),
    /// One of them does not hold.
    #[cfg_attr(not(feature = "anchors"), allow(dead_code))]
    Wrong(String),
}

#[cfg(not(feature = "anchors"))]
fn verified(
    parts: &Parts<'_>,
    _: Option<&TrustPolicy>,
    _: &Heads,
    _: &Replay,
    _: &mut Vec<Handover>,
) -> Result<Vec<AnchorReport>, Unverified> {
    if parts.anchors.is_empty() {
        return Ok(Vec::new());
    }
    Err(Unverified::Untold("this build of the verifier cannot check the anchors that are here"))
}

#[cfg(feature = "anchors")]
fn verified(
    parts: &Parts<'_>,
    policy: Option<&TrustPolicy>,
    heads: &Heads,
    replay: &Replay,
    handovers: &mut Vec<Handover>,
) -> Result<Vec<AnchorReport>, Unverified> {
    if parts.anchors.is_empty() {
        return Ok(Vec::new());
    }
    let Some(trust) = policy.and_then(|policy| policy.anchors.as_ref()) else {
        return Err(Unverified::Untold(
            "you have chosen no publishing key and no Sigstore trusted root to check the anchors here with",
        ));
    };
    if parts.anchors.len() > MAX_ANCHORS {
        return Err(Unverified::Wrong(format!("there are more than {MAX_ANCHORS} anchors")));
    }
    let mut list = Vec::new();
    let mut publishers: Vec<Vec<u8>> = trust.publishers().map(<[u8]>::to_vec).collect();
    let mut waiting: Vec<(usize, &crate::anchor::Anchor)> =
        parts.anchors.iter().enumerate().collect();
    loop {
        let mut refused = None;
        let mut later = Vec::new();
        for (position, anchor) in waiting {
            match trust.check_under(anchor, &publishers).map_err(|e| e.to_string()) {
                Ok(verified) => {
                    list.push(of_a_head(verified, heads).map_err(|e| wrong(position, &e))?)
                }
                Err(reason) => {
                    refused.get_or_insert(wrong(position, &reason));
                    later.push((position, anchor));
                }
            }
        }
        waiting = later;
        let successor = super::keys::next_publisher(&publishers, &list, heads, replay);
        match (refused, successor) {
            (None, None) => break,
            (Some(refused), None) => return Err(refused),
            (_, Some((handover, key))) => {
                handovers.push(handover);
                publishers.push(key);
            }
        }
    }
    order::sort_by(&mut list, |a, b| a.sequence.cmp(&b.sequence));
    for anchor in &mut list {
        // What a stranger may have published is no time.
        if !heads.chain.is_in_time(&anchor.publisher, anchor.public_at) {
            (anchor.public_at, anchor.public, anchor.public_by) = (None, None, None);
        }
    }
    Ok(list)
}

#[cfg(feature = "anchors")]
fn wrong(position: usize, reason: &str) -> Unverified {
    Unverified::Wrong(format!("anchor {}: {reason}", position + 1))
}

/// The head that an anchor is about must be here: else it says nothing about this log.
#[cfg(feature = "anchors")]
fn of_a_head(anchor: crate::anchor::VerifiedAnchor, heads: &Heads) -> Result<AnchorReport, String> {
    use super::bytes;

    let said = &anchor.head;
    let head = heads
        .list
        .iter()
        .find(|head| {
            crate::anchor::subject_digest(&head.note, &head.checkpoint.origin) == anchor.subject
        })
        .ok_or_else(|| {
            format!(
                "it publishes a tree head of {}, root {}, which is not among those here",
                count(said.size, "entry", "entries"),
                said.root
            )
        })?;
    let (size, root) = (head.checkpoint.size, hex::encode(head.checkpoint.root));
    if (&said.origin, said.size, &said.root) != (&head.checkpoint.origin, size, &root) {
        return Err("what it says of the tree head is not what the tree head says".into());
    }
    if !head.signed_by.iter().any(|key| key.to_string() == said.log_key) {
        return Err("it names another key of the log than the one that signed the head".into());
    }
    Ok(AnchorReport {
        sequence: said.sequence,
        size,
        root,
        log: anchor.log,
        log_id: anchor.position.log_id,
        index: anchor.position.index,
        publisher: hex::encode(anchor.publisher),
        signed: anchor.signed.as_ref().map(|clock| to_rfc3339(clock.at)),
        signed_by: anchor.signed.map(|clock| clock.by),
        public: anchor.public.as_ref().map(|clock| to_rfc3339(clock.at)),
        public_by: anchor.public.as_ref().map(|clock| clock.by.clone()),
        stands_on: vec![
            bytes("signed statement", String::from_utf8_lossy(&anchor.statement)),
            bytes("checkpoint of the public log", anchor.log_checkpoint),
        ],
        public_at: anchor.public.map(|clock| clock.at),
        previous: anchor.head.previous,
        statement: anchor.statement,
    })
}

fn nothing(required: u64, here: &str) -> Check {
    if required > 0 {
        let reason =
            format!("your policy requires {}, and {here}", count(required, "anchor", "anchors"));
        return fail("anchors", PUBLICATION, reason);
    }
    absent("anchors", PUBLICATION, here)
}

fn publication(list: &[AnchorReport], handovers: &[Handover], required: u64) -> Check {
    let here = count(list.len() as u64, "anchor", "anchors");
    // Without an independent time an anchor shows a place, and nothing of when it was taken.
    let timed = list.iter().filter(|anchor| anchor.public_at.is_some()).count() as u64;
    if timed < required {
        let reason = format!(
            "your policy requires {} with an independent time, and of {here} here {timed} {} one",
            count(required, "anchor", "anchors"),
            if timed == 1 { "has" } else { "have" },
        );
        return fail("anchors", PUBLICATION, reason);
    }
    let mut logs: Vec<&str> = list.iter().map(|anchor| anchor.log.as_str()).collect();
    order::sort_by(&mut logs, Ord::cmp);
    logs.dedup();
    let whose = if handovers.is_empty() { "" } else { ", or one to which it handed over," };
    let mut check = pass(
        "anchors",
        PUBLICATION,
        format!(
            "{here}, each signed with the publishing key you chose{whose} and shown to be in {}",
            logs.join(", ")
        ),
    );
    check.stands_on = list.last().map(|anchor| anchor.stands_on.clone()).unwrap_or_default();
    check
}

/// From 0 (or, of more than a file holds, from some number on) without a gap, each naming the one before
/// it. A head may stand in several public logs under one number.
fn sequence(list: &[AnchorReport]) -> Result<String, String> {
    let first = list.first().map_or(0, |anchor| anchor.sequence);
    if first > 0 && list.len() < MANY_ANCHORS {
        return Err(format!("the published heads 0 to {} are missing", first - 1));
    }
    for pair in list.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if before.sequence == after.sequence {
            if before.statement != after.statement {
                return Err(format!(
                    "two different statements carry the sequence number {}: heads of {} and of {}",
                    after.sequence,
                    count(before.size, "entry", "entries"),
                    count(after.size, "entry", "entries"),
                ));
            }
            continue;
        }
        if after.sequence != before.sequence + 1 {
            return Err(format!("the published head {} is missing", before.sequence + 1));
        }
        let named = after.previous.as_ref();
        if named.is_none_or(|named| named.size != before.size || named.root != before.root) {
            return Err(format!(
                "the published head {} names another one before it than the one here",
                after.sequence
            ));
        }
        let placed = named.is_some_and(|named| {
            named.published.iter().all(|p| p.log_id != before.log_id || p.index == before.index)
        });
        if !placed {
            return Err(format!(
                "the published head {} names another place of the one before it",
                after.sequence
            ));
        }
    }
    let last = list.last().map_or(0, |anchor| anchor.sequence);
    Ok(format!(
        "the published heads {first} to {last} are here, each naming the one before it; later ones are not excluded"
    ))
}

/// The newest head counts as public when it is, or when nothing but notices of publication follows the
/// head that is: to note a publication in the log makes the log grow.
fn newest_public(list: &[AnchorReport], heads: &Heads, replay: &Replay) -> Option<Public> {
    let newest = heads.newest()?;
    let from = replay.notices_from(newest.size);
    list.iter()
        .filter(|anchor| anchor.size >= from && replay.proven)
        .filter_map(|anchor| {
            let (since, by) = (anchor.public_at?, anchor.public_by.clone()?);
            Some(Public { size: anchor.size, since, by })
        })
        .min_by_key(|public| public.since)
}

fn time(anchors: &Anchors) -> Check {
    if let Some(public) = &anchors.public {
        let since = to_rfc3339(public.since);
        return pass("anchors.time", TIME, format!("public since {since}, by {}", public.by));
    }
    match anchors.list.iter().rfind(|anchor| anchor.public_at.is_some()) {
        Some(anchor) => absent(
            "anchors.time",
            TIME,
            format!(
                "only the first {} are public, since {}",
                count(anchor.size, "entry", "entries"),
                anchor.public.as_deref().unwrap_or_default()
            ),
        ),
        None => absent(
            "anchors.time",
            TIME,
            "no anchor here carries a time stamp over the public log's checkpoint",
        ),
    }
}

/// An anchor that is older than the end of a run pins the events before it while they were new. One that
/// is later shows only that they were not changed since.
fn about_runs(list: &[AnchorReport], replay: &Replay) -> Option<String> {
    let public: Vec<u64> =
        list.iter().filter(|anchor| anchor.public_at.is_some()).map(|anchor| anchor.size).collect();
    let newest = public.iter().max()?;
    let covered = |run: &&super::replay::RunState| run.first < *newest;
    let afterwards = |run: &&super::replay::RunState| {
        !public.iter().any(|size| *size > run.first && run.last.is_none_or(|last| *size <= last))
    };
    let runs = replay.runs.iter().filter(covered).count();
    let late = replay.runs.iter().filter(covered).filter(afterwards).count();
    Some(match (runs, late) {
        (_, 0) => "published while running".into(),
        (n, late) if n == late => {
            "published only afterwards; event times are the producer's word".into()
        }
        (n, late) => format!(
            "{late} of {n} runs published only afterwards; their event times are the producer's word"
        ),
    })
}
