//! The model card against what the entries give.

use std::collections::BTreeMap;

use super::heads::Heads;
use super::replay::Replay;
use super::{Parts, absent, bytes, count, fail, pass};
use crate::card::{self, Card, Claim, ClaimKind, Pointer};
use crate::merkle::{Hash, sha256};
use crate::report::{CardReport, Check, ClaimReport, ClaimStatus};

const FORM: &str = "The model card is well-formed";
const LOGGED: &str = "The model card's digest is in the log";
const HEAD: &str = "The model card speaks of a signed tree head";
const CLAIMS: &str = "The model card says what the log says";

/// Reads the card, if there is one, with its digest.
pub fn read(parts: &Parts<'_>, checks: &mut Vec<Check>) -> Option<(Card, Hash)> {
    let bytes = parts.card.as_ref()?;
    match Card::parse(bytes) {
        Ok(card) => Some((card, sha256(bytes))),
        Err(e) => {
            checks.push(fail("card.form", FORM, e.to_string()));
            None
        }
    }
}

/// What came of the card.
#[derive(Debug)]
pub struct CheckedCard {
    pub report: CardReport,
    /// Claims that the log gives and the card leaves out.
    pub left_out: Vec<String>,
}

pub fn check(
    card: Option<(Card, Hash)>,
    heads: &Heads,
    replay: &Replay,
    checks: &mut Vec<Check>,
) -> Option<CheckedCard> {
    let (card, digest) = card?;
    checks.push(logged(&card, &digest, replay));
    checks.push(speaks_of_a_head(&card, heads, replay));
    let derived = derived_claims(replay);
    let claims: Vec<ClaimReport> =
        card.claims.iter().map(|claim| standing(claim, derived.get(&claim.id), replay)).collect();
    checks.push(summary(&claims));
    let stated = |id: &String| card.claims.iter().any(|claim| claim.id == *id);
    let left_out = derived.keys().filter(|id| replay.complete && !stated(id)).cloned().collect();
    let report = CardReport { sha256: hex::encode(digest), as_of: card.as_of, claims };
    Some(CheckedCard { report, left_out })
}

fn logged(card: &Card, digest: &Hash, replay: &Replay) -> Check {
    let mut check = match replay.card_entry {
        Some(entry) if entry >= card.as_of.size => {
            pass("card.logged", LOGGED, format!("entry {entry} holds it"))
        }
        Some(entry) => fail(
            "card.logged",
            LOGGED,
            format!(
                "entry {entry} holds it, before the {} entries the card speaks of",
                card.as_of.size
            ),
        ),
        // A card that nothing here binds to the log could be anybody's, so it is not let through as
        // merely unproven.
        None => fail("card.logged", LOGGED, "no entry in the file holds the digest of this card"),
    };
    check.stands_on.push(bytes("SHA-256 of the card", hex::encode(digest)));
    check
}

fn speaks_of_a_head(card: &Card, heads: &Heads, replay: &Replay) -> Check {
    let as_of = &card.as_of;
    if Some(as_of.origin.as_str()) != heads.origin() {
        return fail("card.head", HEAD, format!("it speaks of another log, {}", as_of.origin));
    }
    if replay.root_at_card.is_some_and(|root| hex::encode(root) != as_of.root) {
        return fail(
            "card.head",
            HEAD,
            format!("the first {} entries give another root than the card's", as_of.size),
        );
    }
    let mut same_size =
        heads.list.iter().filter(|head| head.checkpoint.size == as_of.size).peekable();
    if same_size.peek().is_none() {
        let size = as_of.size;
        return absent(
            "card.head",
            HEAD,
            format!("the signed tree head of size {size} is not in the file"),
        );
    }
    if same_size.all(|head| hex::encode(head.checkpoint.root) == as_of.root) {
        pass("card.head", HEAD, format!("the tree head of size {}", as_of.size))
    } else {
        fail(
            "card.head",
            HEAD,
            format!("the signed tree head of size {} has another root", as_of.size),
        )
    }
}

/// The claims that the entries give, by id, in the spelling of RFC 8785, so that 3.0 and 3 agree.
fn derived_claims(replay: &Replay) -> BTreeMap<String, Claim> {
    let card = replay.derived.as_ref().and_then(|card| Card::parse(&card.to_bytes().ok()?).ok());
    card.map(|card| card.claims.into_iter().map(|c| (c.id.clone(), c)).collect())
        .unwrap_or_default()
}

fn standing(claim: &Claim, derived: Option<&Claim>, replay: &Replay) -> ClaimReport {
    let (status, reason) = match derived {
        Some(d)
            if (&d.value, d.kind, &d.evidence) == (&claim.value, claim.kind, &claim.evidence) =>
        {
            agreeing(claim, replay)
        }
        Some(d) if replay.complete || all_here(claim, replay) => {
            (ClaimStatus::Failed, format!("the log gives {} ({})", d.value, kind_name(d.kind)))
        }
        _ if claim.kind == ClaimKind::Asserted => {
            (ClaimStatus::Stated, "said in the card; no event in the file repeats it".to_owned())
        }
        Some(_) => not_all_here(),
        None if !replay.complete => not_all_here(),
        None if card::title(&claim.id) == claim.id => {
            (ClaimStatus::NotEstablished, "this version does not know how to check it".to_owned())
        }
        None => (ClaimStatus::Failed, "nothing in the log gives it".to_owned()),
    };
    ClaimReport {
        title: card::title(&claim.id).to_owned(),
        id: claim.id.clone(),
        value: claim.value.clone(),
        kind: claim.kind,
        status,
        reason,
        eu: claim.eu.clone(),
        nist: claim.nist.clone(),
        evidence: claim.evidence.clone(),
    }
}

fn agreeing(claim: &Claim, replay: &Replay) -> (ClaimStatus, String) {
    match claim.kind {
        ClaimKind::Asserted => {
            (ClaimStatus::Stated, "said by the producer in a signed event".into())
        }
        _ if needs_all_entries(claim) && !replay.complete => not_all_here(),
        ClaimKind::Committed => (ClaimStatus::Established, "its digest is in the log".into()),
        ClaimKind::Recomputed => (ClaimStatus::Established, "redone from the logged events".into()),
    }
}

fn not_all_here() -> (ClaimStatus, String) {
    (ClaimStatus::NotEstablished, "not established here: not all entries are in the file".into())
}

/// A claim that points at single entries can be checked by them; every other one needs all.
fn needs_all_entries(claim: &Claim) -> bool {
    claim.kind == ClaimKind::Recomputed
        || claim.evidence.iter().any(|pointer| matches!(pointer, Pointer::Entries { .. }))
}

/// Whether every entry that the claim needs is in the file.
fn all_here(claim: &Claim, replay: &Replay) -> bool {
    let here = |pointer: &Pointer| pointer.entry().is_none_or(|at| !replay.missing.contains(&at));
    !needs_all_entries(claim) && claim.evidence.iter().all(here)
}

fn kind_name(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Recomputed => "recomputed",
        ClaimKind::Committed => "committed",
        ClaimKind::Asserted => "asserted",
    }
}

fn summary(claims: &[ClaimReport]) -> Check {
    let with = |status| claims.iter().filter(move |claim| claim.status == status);
    let wrong: Vec<String> = with(ClaimStatus::Failed)
        .map(|claim| format!("{} ({}): {}", claim.title, claim.id, claim.reason))
        .collect();
    let open = with(ClaimStatus::NotEstablished).count() as u64;
    if !wrong.is_empty() {
        return fail("card.claims", CLAIMS, wrong.join("; "));
    }
    if open > 0 {
        let reason = format!("{} cannot be checked with this file", count(open, "claim", "claims"));
        return absent("card.claims", CLAIMS, reason);
    }
    pass(
        "card.claims",
        CLAIMS,
        format!("{} compared", count(claims.len() as u64, "claim", "claims")),
    )
}
