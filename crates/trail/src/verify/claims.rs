//! The model card against what the entries give.

use std::mem::replace;

use super::heads::Heads;
use super::replay::Replay;
use super::{Parts, absent, bytes, count, cut, fail, pass, some_of};
use crate::card::{self, Card, Claim, ClaimKind, Pointer};
use crate::merkle::{Hash, sha256};
use crate::report::{CardReport, Check, ClaimCounts, ClaimReport, ClaimStatus};

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
            checks.push(fail("card.form", FORM, cut(&e.to_string())));
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
    let mut named = vec![false; derived.len()];
    let claims: Vec<ClaimReport> = card
        .claims
        .iter()
        .map(|claim| {
            // A second claim of the same id has nothing to stand on.
            let found = derived.binary_search_by(|derived| derived.id.cmp(&claim.id)).ok();
            let derived = found.filter(|at| !replace(&mut named[*at], true)).map(|at| &derived[at]);
            let standing = Standing { claim, derived, heads, replay };
            standing.report()
        })
        .collect();
    checks.push(summary(&claims));
    // Of a file with some entries, only what single entries give is known to be left out.
    let left_out = derived.iter().zip(named).filter(|(_, named)| !named).map(|(claim, _)| claim);
    let left_out = left_out.filter(|claim| replay.complete || from_one_entry(&claim.id));
    let left_out = left_out.map(|claim| claim.id.clone()).collect();
    let report = CardReport { sha256: hex::encode(digest), as_of: card.as_of, claims };
    Some(CheckedCard { report, left_out })
}

fn logged(card: &Card, digest: &Hash, replay: &Replay) -> Check {
    let mut check = match replay.card_entry {
        _ if !replay.proven => {
            absent("card.logged", LOGGED, "the entries are not shown to be in the log")
        }
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
        return fail(
            "card.head",
            HEAD,
            format!("it speaks of another log, {}", cut(&as_of.origin)),
        );
    }
    if replay.roots.get(as_of.size).is_some_and(|root| hex::encode(root) != as_of.root) {
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

/// The claims that the entries give, sorted by id, in the spelling of RFC 8785, so that 3.0 and 3 agree.
fn derived_claims(replay: &Replay) -> Vec<Claim> {
    let card = replay.derived.as_ref().and_then(|card| Card::parse(&card.to_bytes().ok()?).ok());
    card.map(|card| card.claims).unwrap_or_default()
}

/// One claim of the card, and what the entries give for its id.
struct Standing<'a> {
    claim: &'a Claim,
    derived: Option<&'a Claim>,
    heads: &'a Heads,
    replay: &'a Replay,
}

impl Standing<'_> {
    fn report(&self) -> ClaimReport {
        let claim = self.claim;
        let (status, reason) = self.status();
        let title = card::known(&claim.id).map_or(claim.id.as_str(), |(_, title)| title);
        // Which provisions ask for a claim is ours to say, not the card's.
        let asked_by = self.derived.map(|derived| (derived.eu.clone(), derived.nist.clone()));
        let (eu, nist) = asked_by.unwrap_or_default();
        ClaimReport {
            title: title.to_owned(),
            id: claim.id.clone(),
            value: claim.value.clone(),
            kind: claim.kind,
            status,
            reason,
            eu,
            nist,
            evidence: claim.evidence.clone(),
        }
    }

    /// What kind of claim it is, and what it takes, follow from its id and not from what it says of
    /// itself.
    fn status(&self) -> (ClaimStatus, String) {
        if !self.replay.proven {
            let reason = "not established here: the entries are not shown to be in the log";
            return (ClaimStatus::NotEstablished, reason.into());
        }
        let Some((kind, _)) = card::known(&self.claim.id) else { return self.unknown() };
        if kind != self.claim.kind {
            let (is, says) = (kind_name(kind), kind_name(self.claim.kind));
            return (
                ClaimStatus::Failed,
                format!("it says it is {says}, and claims of this id are {is}"),
            );
        }
        let one = from_one_entry(&self.claim.id);
        match self.derived {
            Some(derived) if self.agrees_with(derived) => self.agreeing(kind, one),
            Some(derived) if self.replay.complete || (one && self.evidence_is_here()) => {
                let gives = cut(&derived.value.to_string());
                (ClaimStatus::Failed, format!("the log gives {gives}"))
            }
            None if self.replay.complete => {
                (ClaimStatus::Failed, "nothing in the log gives it".to_owned())
            }
            _ => not_all_here(),
        }
    }

    /// A claim of a later version, or of the producer's own.
    fn unknown(&self) -> (ClaimStatus, String) {
        match self.claim.kind {
            ClaimKind::Asserted => {
                (ClaimStatus::Stated, "said in the card; no event gives it".to_owned())
            }
            _ => (
                ClaimStatus::NotEstablished,
                "this version does not know how to check it".to_owned(),
            ),
        }
    }

    fn agrees_with(&self, derived: &Claim) -> bool {
        (&derived.value, &derived.evidence) == (&self.claim.value, &self.claim.evidence)
    }

    fn agreeing(&self, kind: ClaimKind, one: bool) -> (ClaimStatus, String) {
        if !self.replay.complete && !one {
            return not_all_here();
        }
        match kind {
            ClaimKind::Asserted if self.heads.signers.is_empty() => {
                (ClaimStatus::Stated, "said in an event; nobody's signature was checked".into())
            }
            ClaimKind::Asserted => {
                (ClaimStatus::Stated, "said in an event of the signed log".into())
            }
            ClaimKind::Committed => (ClaimStatus::Established, "committed to in the log".into()),
            ClaimKind::Recomputed => {
                (ClaimStatus::Established, "redone from the logged events".into())
            }
        }
    }

    /// What is derived points at entries that are here anyway.
    fn evidence_is_here(&self) -> bool {
        let here = |at| self.replay.pointed_at.get(at).is_some();
        self.claim.evidence.iter().filter_map(Pointer::entry).all(here)
    }
}

fn not_all_here() -> (ClaimStatus, String) {
    (ClaimStatus::NotEstablished, "not established here: not all entries are in the file".into())
}

/// A claim whose id ends with an entry's index is given by single entries, and so is the model's name.
fn from_one_entry(id: &str) -> bool {
    id == "model.name" || id.ends_with(|c: char| c.is_ascii_digit())
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
        return fail("card.claims", CLAIMS, some_of(&wrong));
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

/// Claims of each kind, those left out that this file does not establish.
pub fn claim_counts(card: Option<&CheckedCard>) -> ClaimCounts {
    let mut counts = ClaimCounts::default();
    for claim in card.iter().flat_map(|card| &card.report.claims) {
        match (claim.status, claim.kind) {
            (ClaimStatus::NotEstablished | ClaimStatus::Failed, _) => {}
            (_, ClaimKind::Recomputed) => counts.recomputed += 1,
            (_, ClaimKind::Committed) => counts.committed += 1,
            (_, ClaimKind::Asserted) => counts.asserted += 1,
        }
    }
    counts
}
