//! What the person was given of this log before: is the smaller of the two logs a prefix of the larger?
//!
//! Two heads that one key signed and that exclude each other are evidence against whoever holds the key,
//! to everyone who has the key: so both are shown whole. Nothing is said of heads that no common key
//! signed, because anybody can make a file that contradicts another.

use super::heads::{self, Heads, SignedHead};
use super::replay::{self, Replay, Wanted};
use super::roots::Roots;
use super::{Parts, anchors, bytes, count, cut, keys, pass, read_proof};
use crate::checkpoint::Checkpoint;
use crate::evidence::{Entries, Evidence, EvidenceError, Head, MAGIC};
use crate::merkle::{self, Hash, empty_root};
use crate::note::{Note, VerifierKey};
use crate::policy::TrustPolicy;
use crate::proof::LogProof;
use crate::report::{Check, HistoryHead, HistoryReport, Outcome};

const TITLE: &str = "The log continues what you were given of it before";

/// An earlier record of a log, read and not yet verified.
#[derive(Debug)]
pub struct Earlier {
    parts: Parts<'static>,
    entries: Entries,
}

impl Earlier {
    /// Reads an evidence file, a `.tlog-proof` or a signed checkpoint.
    ///
    /// # Errors
    /// The bytes are none of these.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.starts_with(&MAGIC) {
            let Evidence { keys, heads, anchors, entries, .. } = Evidence::parse(bytes)?;
            return Ok(Self { parts: Parts { keys, heads, anchors, ..Parts::default() }, entries });
        }
        let note = if LogProof::is_one(bytes) {
            read_proof(bytes)?.checkpoint
        } else {
            str::from_utf8(bytes).map_err(|_| EvidenceError::NoHead)?.to_owned()
        };
        let parsed = Note::parse(&note).map_err(|_| EvidenceError::NoHead)?;
        Checkpoint::parse(&parsed.text).map_err(|_| EvidenceError::NoHead)?;
        let heads = vec![Head { note, proof: Vec::new() }];
        Ok(Self { parts: Parts { heads, ..Parts::default() }, entries: Entries::Some(Vec::new()) })
    }

    /// The sizes of its heads, as far as they can be read.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> {
        let read = |head: &Head| Checkpoint::parse(&Note::parse(&head.note).ok()?.text).ok();
        self.parts.heads.iter().filter_map(read).map(|head| head.size)
    }

    /// The newest head in it: the signed note, and what it says.
    pub fn newest(&self) -> Option<(&str, Checkpoint)> {
        let note = &self.parts.heads.last()?.note;
        Some((note, Checkpoint::parse(&Note::parse(note).ok()?.text).ok()?))
    }
}

/// What the earlier record amounts to on its own.
#[derive(Debug)]
pub struct Before {
    heads: Heads,
    replay: Replay,
    /// Why it counts for nothing.
    bad: Option<String>,
}

/// Reads the earlier record, and verifies it where it is of the log that it is held against.
pub fn read(earlier: &Earlier, here: &Heads, policy: Option<&TrustPolicy>) -> Before {
    let (heads, bad) = match heads::read(&earlier.parts.heads) {
        Ok(list) => (Heads { list, readable: true, ..Heads::default() }, None),
        Err(reason) => (Heads::default(), Some(reason)),
    };
    if bad.is_none() && heads.origin() == here.origin() {
        return earlier.verify(here, policy);
    }
    Before { heads, replay: Replay::default(), bad }
}

impl Earlier {
    /// As any other record: by the keys chosen and those it names, followed through its own handovers. A
    /// checkpoint and a proof name no key; those of the log that it is held against are tried.
    fn verify(&self, here: &Heads, policy: Option<&TrustPolicy>) -> Before {
        let Parts { keys, heads, anchors, .. } = &self.parts;
        let policy = policy.filter(|_| !keys.is_empty());
        let keys = if keys.is_empty() { self.keys_of(here) } else { keys.clone() };
        let (heads, anchors) = (heads.clone(), anchors.clone());
        let parts = Parts { keys, heads, anchors, ..Parts::default() };
        let mut checks = Vec::new();
        let mut heads = heads::check(&parts, policy, &mut checks);
        let sizes = here.sizes().chain(heads.sizes()).collect();
        let wanted = Wanted { card: None, weights: &[], sizes };
        let mut replay = replay::replay(self.entries.stream(), &parts, &heads, wanted, &mut checks);
        keys::follow(&mut heads, &parts, policy, &replay, &mut checks);
        replay.proven &= !heads.forged;
        let anchors = anchors::check(&parts, policy, &heads, &replay, &mut checks);
        let signers = heads.signers.clone();
        keys::judge(&mut heads, policy, &anchors, &mut checks);
        // They did sign, whatever it counts for.
        heads.signers = signers;
        // Neither what its events say nor who published it takes anything from a head that was signed.
        let bad = checks.into_iter().find(|check| {
            let of_tree = ["heads.", "entries."].iter().any(|part| check.name.starts_with(part));
            of_tree && check.result == Outcome::Fail
        });
        Before { heads, replay, bad: bad.map(|check| check.reason) }
    }

    /// The keys of the log that signed here.
    fn keys_of(&self, log: &Heads) -> Vec<String> {
        let line = &log.chain.log;
        let known = log.signers.iter().filter(|key| !line.has(key)).chain(line.keys());
        let signed =
            |key: &&VerifierKey| self.parts.heads.iter().any(|head| is_signed(&head.note, key));
        known.filter(signed).map(ToString::to_string).collect()
    }
}

/// Whether there is a signature of this key, be it a wrong one.
fn is_signed(note: &str, key: &VerifierKey) -> bool {
    Note::parse(note).is_ok_and(|note| !matches!(note.verify(key), Ok(None)))
}

/// Compares, and says what came of it.
pub fn check(
    before: &Before,
    parts: &Parts<'_>,
    here: &Heads,
    replay: &Replay,
) -> (HistoryReport, Check) {
    let now = Side::new(here, replay, parts);
    let nothing = Parts::default();
    let then = Side::new(&before.heads, &before.replay, &nothing);
    let found = compare(&then, &now, before.bad.as_deref());
    let (mut earlier, mut later) = (found.then, found.now);
    let size = |head: Option<&SignedHead>| head.map(|head| head.checkpoint.size);
    let reversed = later.is_some() && size(earlier) > size(later);
    if reversed {
        (earlier, later) = (later, earlier);
    }
    let report = HistoryReport {
        result: found.result,
        reason: found.reason,
        contradiction: found.contradiction,
        reversed,
        earlier: earlier.map(|head| head_report(head, found.key.as_ref())),
        later: later.map(|head| head_report(head, found.key.as_ref())),
    };
    let mut check = Check { result: report.result, ..pass("history", TITLE, &report.reason) };
    for head in report.earlier.iter().chain(&report.later) {
        check.stands_on.push(bytes(format!("tree head of size {}", head.size), &head.note));
    }
    let line = [&before.heads, here].map(|heads| heads.chain.log.keys()).into_iter().flatten();
    let mut keys: Vec<&VerifierKey> = Vec::new();
    for key in found.key.iter().chain(line.filter(|_| found.key.is_some())) {
        if !keys.contains(&key) {
            keys.push(key);
            check.stands_on.push(bytes("verifier key", key.to_string()));
        }
    }
    (report, check)
}

fn head_report(head: &SignedHead, key: Option<&VerifierKey>) -> HistoryHead {
    let other = key.filter(|key| {
        !head.signed_by.contains(key) && matches!(head.note.verify(key), Ok(Some(_)))
    });
    let signed_by = head.signed_by.iter().chain(other);
    HistoryHead {
        size: head.checkpoint.size,
        root: hex::encode(head.checkpoint.root),
        signed_by: signed_by.map(|key| format!("{}+{}", key.name(), key.id_hex())).collect(),
        note: head.note.to_string(),
    }
}

/// What the comparison gave.
struct Found<'a> {
    result: Outcome,
    reason: String,
    contradiction: bool,
    /// The head to show of each.
    then: Option<&'a SignedHead>,
    now: Option<&'a SignedHead>,
    /// The key that signed both.
    key: Option<VerifierKey>,
}

fn compare<'a>(then: &Side<'a>, now: &Side<'a>, bad: Option<&str>) -> Found<'a> {
    let mut found = Found {
        result: Outcome::Absent,
        reason: String::new(),
        contradiction: false,
        then: then.heads.list.last(),
        now: now.heads.list.last(),
        key: None,
    };
    (found.result, found.reason) = if now.heads.origin().is_none() || now.heads.forged {
        (Outcome::Absent, "the tree heads here do not hold up themselves".into())
    } else if then.heads.readable && then.heads.origin() != now.heads.origin() {
        let name = |side: &Side<'_>| cut(side.heads.origin().unwrap_or_default());
        let (then, now) = (name(then), name(now));
        (Outcome::Fail, format!("it is another log: before it was {then}, and here it is {now}"))
    } else if let Some(bad) = bad {
        (Outcome::Absent, format!("what you were given before does not hold up itself: {bad}"))
    } else if let Some(key) = common_key(then.heads, now.heads) {
        found.key = Some(key);
        if let Some(split) = contradiction(then, now) {
            found.contradiction = true;
            (found.then, found.now) = (Some(split.then.head), Some(split.now.head));
            (Outcome::Fail, split.reason())
        } else {
            prefix(then, now)
        }
    } else if then.heads.signers.is_empty() {
        (Outcome::Absent, "no key known here signed what you were given before".into())
    } else {
        let reason = "the log has the same name, but what you were given before is signed with another key: \
            no key contradicts itself, and one of the two may be anybody's";
        (Outcome::Fail, reason.into())
    };
    found
}

/// A key that signed all heads of both, itself or by its successors: where a chosen one signed this log, that
/// one, or one that led to it.
fn common_key(then: &Heads, now: &Heads) -> Option<VerifierKey> {
    let of_now = [&now.chosen_signers, &now.signers].into_iter().find(|keys| !keys.is_empty());
    let keys = of_now.unwrap_or(&then.signers);
    let line = &now.chain.log;
    let before = line.keys().filter(|_| keys.iter().any(|key| line.has(key)));
    let mut all = keys.iter().chain(before);
    all.find(|key| then.all_signed_by(key) && now.all_signed_by(key)).cloned()
}

/// One of the two records.
struct Side<'a> {
    heads: &'a Heads,
    /// The roots that its entries give, where all are there.
    roots: Option<&'a Roots>,
    parts: &'a Parts<'a>,
}

/// The root that a record had at some size, and the head that commits it to that.
struct Known<'a> {
    root: Hash,
    head: &'a SignedHead,
}

impl<'a> Side<'a> {
    fn new(heads: &'a Heads, replay: &'a Replay, parts: &'a Parts<'a>) -> Self {
        Self { heads, roots: Some(&replay.roots).filter(|_| replay.complete), parts }
    }

    fn size(&self) -> u64 {
        self.heads.newest().map_or(0, |head| head.size)
    }

    fn head_of(&self, size: u64) -> Option<&'a SignedHead> {
        self.heads.list.iter().find(|head| head.checkpoint.size == size)
    }

    /// A head says it, the entries give it, or a consistency proof leads from it.
    fn at(&self, size: u64) -> Option<Known<'a>> {
        if let Some(head) = self.head_of(size) {
            return Some(Known { root: head.checkpoint.root, head });
        }
        let head = self.heads.list.last()?;
        let newest = &head.checkpoint;
        let none = (size == 0).then(empty_root);
        let proven = || {
            let older = self.parts.older.as_ref().filter(|older| older.size == size)?;
            let (old, new) = ((older.size, &older.root), (newest.size, &newest.root));
            merkle::verify_consistency(old.0, old.1, new.0, new.1, &older.proof).ok()?;
            Some(older.root)
        };
        let root = none.or_else(|| self.roots?.get(size)).or_else(proven)?;
        Some(Known { root, head })
    }
}

/// Two different roots for one size.
struct Split<'a> {
    size: u64,
    then: Known<'a>,
    now: Known<'a>,
}

/// Where the two exclude each other: two heads of one size before all, for everyone sees it at a glance, and
/// newer ones before older ones.
fn contradiction<'a>(then: &Side<'a>, now: &Side<'a>) -> Option<Split<'a>> {
    let of_both = then.heads.list.iter().chain(&now.heads.list);
    of_both
        .filter_map(|head| {
            let size = head.checkpoint.size;
            let split = Split { size, then: then.at(size)?, now: now.at(size)? };
            (split.then.root != split.now.root).then_some(split)
        })
        .max_by_key(|split| (split.then.size() == split.now.size(), split.size))
}

impl Known<'_> {
    fn size(&self) -> u64 {
        self.head.checkpoint.size
    }
}

impl Split<'_> {
    fn reason(&self) -> String {
        format!(
            "history was rewritten: the first {} had the root {} before and have {} here, and one key, or its successor, signed both",
            count(self.size, "entry", "entries"),
            hex::encode(self.then.root),
            hex::encode(self.now.root)
        )
    }
}

/// Nothing contradicts: is it shown that the smaller continues in the larger?
fn prefix(then: &Side<'_>, now: &Side<'_>) -> (Outcome, String) {
    let (small, large) = if then.size() > now.size() { (now, then) } else { (then, now) };
    let size = small.size();
    let entries = count(size, "entry", "entries");
    let pass = |how| (Outcome::Pass, format!("{how} the root that was signed over {entries}"));
    let older = large.parts.older.as_ref().filter(|older| older.size == size);
    if size == large.size() {
        pass("both have")
    } else if size == 0 {
        (Outcome::Pass, "every log continues an empty one".into())
    } else if large.roots.is_some() {
        pass("the entries of the larger log give")
    } else if large.head_of(size).is_some() && large.heads.chained {
        pass("the tree heads of the larger log lead on from")
    } else if older.is_some() && large.at(size).is_some() {
        pass("a consistency proof leads on from")
    } else if large.head_of(size).is_some() || older.is_some() {
        (Outcome::Fail, format!("the proof that leads on from {entries} does not hold"))
    } else {
        let ask = "ask the producer for evidence made with `rlhf-audit evidence --since` and the smaller of the two";
        (Outcome::Absent, format!("nothing here leads on from a log of {entries}; {ask}"))
    }
}

/// For the list of what is established.
pub fn established(history: &HistoryReport) -> Option<String> {
    let (earlier, later) = (history.earlier.as_ref()?.size, history.later.as_ref()?.size);
    (history.result == Outcome::Pass).then(|| {
        if earlier == later {
            format!("The log you were given before is this one, at the same size ({earlier}).")
        } else if history.reversed {
            format!(
                "This log (size {earlier}) is a prefix of the one you compared it with (size {later}), which is the \
                 later of the two: nothing in it was changed or removed."
            )
        } else {
            format!(
                "The log of the earlier file (size {earlier}) is a prefix of this one: nothing in it was changed or removed."
            )
        }
    })
}

/// For the list of what is not.
pub fn not_established(history: &HistoryReport) -> Option<String> {
    (history.result == Outcome::Absent).then(|| {
        format!("That this log continues the one you were given before: {}.", history.reason)
    })
}
