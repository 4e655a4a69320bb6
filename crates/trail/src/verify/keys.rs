//! Keys that took over from others, and keys that may have been in strangers' hands.
//!
//! A handover is an entry that names both keys and that the new one has signed, and a tree head over it that
//! both have signed. So a person who chose the first key of a log is led to the last, whoever brings the
//! file. Of a key that may have been in strangers' hands only that counts which was public before.

use super::anchors::Anchors;
use super::heads::{self, Heads, SignedHead};
use super::replay::Replay;
use super::{Parts, absent, bytes, fail, pass};
use crate::handover::{Key, KeyChange, Reason, Retirement, Role, Rotation};
use crate::note::VerifierKey;
use crate::policy::TrustPolicy;
use crate::report::{Check, CompromisedKey, Handover};
use crate::time::to_rfc3339;

const NAME: &str = "keys";
const TITLE: &str = "Keys handed over to their successors";

/// So many changes of keys are followed; each costs signatures to verify.
pub const MAX_CHANGES: usize = 100;

/// One key takes over from another.
#[derive(Debug)]
pub struct Link {
    pub entry: u64,
    pub old: VerifierKey,
    pub new: VerifierKey,
    /// The size of the first tree head over the entry that both signed.
    head: Option<u64>,
    /// Since when that head is public.
    public: Option<u64>,
    /// Whether the new key counts for the old one.
    holds: bool,
}

/// The keys of one kind that the log had, one after the other.
#[derive(Debug, Default)]
pub struct Line(Vec<Link>);

/// A key that may have been in strangers' hands.
#[derive(Debug)]
struct Suspect {
    fingerprint: String,
    since: u64,
    said_by: String,
}

/// What the log's changes of keys amount to.
#[derive(Debug, Default)]
pub struct Chain {
    /// The keys that sign heads.
    pub log: Line,
    cosigner: Line,
    /// The publishing keys, one after the other.
    publishers: Vec<Vec<u8>>,
    suspects: Vec<Suspect>,
    /// Fingerprints of those whose newest signatures are not shown to be older than the suspicion.
    late: Vec<String>,
    fault: Option<String>,
    /// Why a key that was chosen does not lead to the newest one.
    pub broken: Option<String>,
}

impl Line {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Oldest first.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> {
        let first = self.0.first().map(|link| &link.old);
        first.into_iter().chain(self.0.iter().map(|link| &link.new))
    }

    fn position(&self, key: &VerifierKey) -> Option<usize> {
        self.keys().position(|other| other == key)
    }

    pub fn has(&self, key: &VerifierKey) -> bool {
        self.position(key).is_some()
    }

    /// The handover that was the last when the log had this size, and the key since.
    fn at(&self, size: u64) -> Option<(&VerifierKey, Option<&Link>)> {
        let last = self.0.iter().rfind(|link| link.entry < size);
        last.map(|link| (&link.new, Some(link))).or(self.0.first().map(|link| (&link.old, None)))
    }

    /// The handovers that lead from this key to the newest.
    fn from(&self, key: &VerifierKey) -> &[Link] {
        self.position(key).map_or(&[], |at| &self.0[at..])
    }
}

impl Chain {
    fn is_late(&self, key: &VerifierKey) -> bool {
        !self.late.is_empty() && self.late.contains(&key.fingerprint_hex())
    }

    /// Whether this key, or the newest of those that it leads to, may speak for the log.
    fn counts(&self, line: &Line, key: &VerifierKey) -> bool {
        let links = line.from(key);
        let newest = links.last().map_or(key, |link| &link.new);
        links.iter().all(|link| link.holds) && !self.is_late(newest)
    }

    /// Whether the newest head is signed by this key or by one that it leads to; then all heads before are
    /// of its log as well.
    pub fn leads_on(&self, key: &VerifierKey) -> bool {
        self.log.has(key) && self.counts(&self.log, key)
    }

    /// The keys that may, and the one that must have signed a head of this size.
    pub fn signers_at(&self, size: u64) -> (Option<&VerifierKey>, Option<&VerifierKey>) {
        let (must, link) = self.log.at(size).unzip();
        (link.flatten().map(|link| &link.old), must)
    }

    /// The ML-DSA-44 key that stands for this one in a head of this size.
    pub fn cosigner<'a>(&'a self, key: &'a VerifierKey, size: u64) -> Option<&'a VerifierKey> {
        let stands = self.cosigner.at(size).filter(|_| self.cosigner.has(key));
        let stands = stands.map_or(key, |(stands, _)| stands);
        self.counts(&self.cosigner, key).then_some(stands)
    }

    /// Whether the chosen key is followed to another.
    pub fn is_followed(&self, chosen: &[VerifierKey]) -> bool {
        chosen.first().is_some_and(|key| !self.log.from(key).is_empty())
    }

    /// Reads what the entries say of keys, as far as they are shown to be in the log.
    fn read(heads: &Heads, policy: Option<&TrustPolicy>, replay: &Replay) -> Self {
        let mut chain = Self { suspects: suspects(policy, replay), ..Self::default() };
        for (entry, change) in proven(replay) {
            if let KeyChange::Rotate(rotation) = change
                && let Err(reason) = chain.add(*entry, rotation, heads)
            {
                chain.fault.get_or_insert(format!("entry {entry}: {reason}"));
            }
        }
        if replay.key_changes.len() > MAX_CHANGES {
            chain.fault.get_or_insert(format!("there are more than {MAX_CHANGES} changes of keys"));
        }
        chain.log.find_heads(&heads.list);
        chain.cosigner.find_heads(&heads.list);
        chain
    }

    fn add(&mut self, entry: u64, rotation: &Rotation, heads: &Heads) -> Result<(), String> {
        let Rotation { role, old, new, .. } = rotation;
        if !can_verify(new) {
            return Ok(());
        }
        let name = new.short();
        if !rotation.is_proven(heads.origin().unwrap_or_default()) {
            return Err(format!("{name} has not signed that it takes over in this log"));
        }
        let (follows, was_before) = match (old, new) {
            (Key::Publisher(old), Key::Publisher(new)) => {
                let last = self.publishers.last();
                (last.is_none_or(|last| last == old), self.publishers.contains(new))
            }
            (Key::Note(old), Key::Note(new)) => {
                let line = self.line(*role);
                (line.0.last().is_none_or(|last| last.new == *old), line.has(new))
            }
            _ => return Ok(()),
        };
        if !follows {
            return Err(format!("{} was not the log's key when it handed over", old.short()));
        }
        if was_before {
            return Err(format!("{name} was the log's key before"));
        }
        match (old.clone(), new.clone()) {
            (Key::Note(old), Key::Note(new)) => {
                let link = Link { entry, old, new, head: None, public: None, holds: false };
                self.line(*role).0.push(link);
            }
            (Key::Publisher(old), Key::Publisher(new)) if self.publishers.is_empty() => {
                self.publishers.extend([old, new]);
            }
            (_, Key::Publisher(new)) => self.publishers.push(new),
            _ => {}
        }
        Ok(())
    }

    fn line(&mut self, role: Role) -> &mut Line {
        if role == Role::Log { &mut self.log } else { &mut self.cosigner }
    }
}

impl Line {
    /// The old key signs the new: both have signed a head over the entry, before the next handover.
    fn find_heads(&mut self, list: &[SignedHead]) {
        let mut until = u64::MAX;
        for link in self.0.iter_mut().rev() {
            let covers =
                |head: &&SignedHead| (link.entry + 1..=until).contains(&head.checkpoint.size);
            let signed = |head: &SignedHead, key| matches!(head.note.verify(key), Ok(Some(_)));
            let both = |head: &&SignedHead| signed(head, &link.old) && signed(head, &link.new);
            let head = list.iter().filter(covers).find(both);
            link.head = head.map(|head| head.checkpoint.size);
            link.holds = link.head.is_some();
            until = link.entry;
        }
    }
}

/// What the log says of keys; nothing that is not shown to be in it.
fn proven(replay: &Replay) -> impl Iterator<Item = &(u64, KeyChange)> {
    replay.key_changes.iter().take(MAX_CHANGES).filter(|_| replay.proven)
}

/// Publishing keys are followed by whoever has the code for them, and likewise ML-DSA-44 keys.
fn can_verify(key: &Key) -> bool {
    match key {
        Key::Note(key) => key.kind().is_supported(),
        Key::Publisher(_) => cfg!(feature = "anchors"),
    }
}

fn suspects(policy: Option<&TrustPolicy>, replay: &Replay) -> Vec<Suspect> {
    let chosen = policy.into_iter().flat_map(|policy| &policy.requirements.compromised);
    let mut list: Vec<Suspect> = chosen
        .map(|of| Suspect {
            fingerprint: of.key.clone(),
            since: of.since(),
            said_by: "your policy".into(),
        })
        .collect();
    for (entry, change) in proven(replay) {
        if let KeyChange::Retire(Retirement { key, reason: Reason::Compromised(since), .. }) =
            change
        {
            let fingerprint = hex::encode(key.fingerprint());
            list.push(Suspect { fingerprint, since: *since, said_by: format!("entry {entry}") });
        }
    }
    // Of one key the earliest suspicion counts.
    list.sort_by(|a, b| (&a.fingerprint, a.since).cmp(&(&b.fingerprint, b.since)));
    list.dedup_by(|later, first| later.fingerprint == first.fingerprint);
    list
}

impl Chain {
    fn suspect(&self, fingerprint: &str) -> Option<&Suspect> {
        self.suspects.iter().find(|suspect| suspect.fingerprint == fingerprint)
    }

    /// Whether what this key signed counts, if it is public since then.
    pub fn is_in_time(&self, fingerprint: &str, public: Option<u64>) -> bool {
        self.suspect(fingerprint).is_none_or(|suspect| public.is_some_and(|at| at < suspect.since))
    }

    pub fn compromised(&self) -> Vec<CompromisedKey> {
        let report = |suspect: &Suspect| CompromisedKey {
            fingerprint: suspect.fingerprint.clone(),
            since: to_rfc3339(suspect.since),
            said_by: suspect.said_by.clone(),
        };
        self.suspects.iter().map(report).collect()
    }

    pub fn handovers(&self) -> Vec<Handover> {
        let report = |role: Role, link: &Link| Handover {
            role: role.as_str(),
            entry: link.entry,
            old: short(&link.old),
            new: short(&link.new),
            new_fingerprint: link.new.fingerprint_hex(),
            head: link.head,
            public: link.public.map(to_rfc3339),
            holds: link.holds,
        };
        let log = self.log.0.iter().map(|link| report(Role::Log, link));
        log.chain(self.cosigner.0.iter().map(|link| report(Role::Cosigner, link))).collect()
    }

    /// For the list of what is established: how the chosen key leads to the one that signs now.
    pub fn established(&self, chosen: &VerifierKey, list: &mut Vec<String>) {
        for link in self.log.from(chosen) {
            let old = if link.old == *chosen { "the key you chose" } else { "its successor" };
            let public = link
                .public
                .map_or_else(String::new, |at| format!(", public since {}", to_rfc3339(at)));
            list.push(format!(
                "Signed by the key {}, to which {old} ({}) handed over in entry {} (head of size {}{public}).",
                short(&link.new),
                short(&link.old),
                link.entry,
                link.head.unwrap_or_default(),
            ));
        }
    }
}

/// Follows the handovers that the entries show, and judges the heads' signatures again by them.
pub fn follow(
    heads: &mut Heads,
    parts: &Parts<'_>,
    policy: Option<&TrustPolicy>,
    replay: &Replay,
    checks: &mut [Check],
) {
    heads.chain = Chain::read(heads, policy, replay);
    if heads.chain.log.is_empty() {
        return;
    }
    let check = heads::signature_check(heads, &parts.keys, policy);
    if let Some(before) = checks.iter_mut().find(|before| before.name == check.name) {
        *before = check;
    }
}

/// What is left of the keys that signed, once it is known what was public when.
pub fn judge(
    heads: &mut Heads,
    policy: Option<&TrustPolicy>,
    anchors: &Anchors,
    checks: &mut Vec<Check>,
) {
    let mut chain = std::mem::take(&mut heads.chain);
    let public = |size| {
        let of_size = anchors.list.iter().filter(|anchor| Some(anchor.size) == size);
        of_size.filter_map(|anchor| anchor.public_at).min()
    };
    let (mut reasons, mut missing) = (Vec::new(), Vec::new());
    for at in 0..chain.log.0.len() + chain.cosigner.0.len() {
        let link = chain.link(at);
        let (old, new, entry) = (short(&link.old), short(&link.new), link.entry);
        let since = public(link.head);
        let in_time = chain.is_in_time(&link.old.fingerprint_hex(), since);
        let reason = match link.head {
            None => format!(
                "no tree head here that covers entry {entry}, in which {old} hands over to {new}, is signed by both"
            ),
            Some(size) if !in_time => format!(
                "{}, and the tree head of size {size}, in which it hands over to {new}, is not shown to have been public before",
                chain.suspicion(&link.old.fingerprint_hex())
            ),
            Some(size) => format!(
                "{old} handed over to {new} in entry {entry}, and both signed the tree head of size {size}"
            ),
        };
        let link = chain.link_mut(at);
        link.public = since;
        link.holds &= in_time;
        let list = if link.holds { &mut reasons } else { &mut missing };
        list.push(reason);
    }
    chain.find_late(heads, policy, anchors.public.as_ref().map(|public| public.since));
    for key in &chain.late {
        missing.push(format!(
            "{}, and the newest tree head is not shown to have been public before",
            chain.suspicion(key)
        ));
    }
    let stands_on =
        chain.log.0.iter().map(|link| bytes("verifier key", link.new.to_string())).collect();
    let check = match &chain.fault {
        Some(fault) => Some(fail(NAME, TITLE, fault)),
        None if !missing.is_empty() => {
            let reason = super::some_of(&missing);
            chain.broken = Some(reason.clone());
            Some(absent(NAME, TITLE, reason))
        }
        None if reasons.is_empty() => None,
        None => Some(pass(NAME, TITLE, super::some_of(&reasons))),
    };
    checks.extend(check.map(|check| Check { stands_on, ..check }));
    let counts = |key: &VerifierKey| chain.counts(&chain.log, key);
    heads.chosen_signers.retain(counts);
    heads.signers.retain(counts);
    heads.chain = chain;
}

impl Chain {
    fn link(&self, at: usize) -> &Link {
        let log = self.log.0.len();
        if at < log { &self.log.0[at] } else { &self.cosigner.0[at - log] }
    }

    fn link_mut(&mut self, at: usize) -> &mut Link {
        let log = self.log.0.len();
        if at < log { &mut self.log.0[at] } else { &mut self.cosigner.0[at - log] }
    }

    /// The newest key of each kind, and the chosen ones: what they signed last must be older than the suspicion.
    fn find_late(&mut self, heads: &Heads, policy: Option<&TrustPolicy>, public: Option<u64>) {
        let newest = [&self.log, &self.cosigner].map(|line| line.0.last().map(|link| &link.new));
        let chosen = policy.into_iter().flat_map(super::hybrid::keys);
        let keys = newest.into_iter().flatten().chain(&heads.signers).chain(chosen);
        // A key that has handed over signs no more.
        let in_use =
            keys.filter(|key| self.log.from(key).is_empty() && self.cosigner.from(key).is_empty());
        let mut late: Vec<String> = in_use.map(VerifierKey::fingerprint_hex).collect();
        late.retain(|key| !self.is_in_time(key, public));
        late.sort();
        late.dedup();
        self.late = late;
    }

    fn suspicion(&self, fingerprint: &str) -> String {
        let suspect = self.suspect(fingerprint);
        let (since, by) = suspect.map_or((0, ""), |suspect| (suspect.since, &*suspect.said_by));
        let since = to_rfc3339(since);
        format!("the key {fingerprint} may have been in strangers' hands since {since}, by {by}")
    }
}

/// The next publishing key that one of these has handed over to: by an entry that it has signed, and an anchor
/// under the old key of a head over that entry.
#[cfg(feature = "anchors")]
pub fn next_publisher(
    known: &[Vec<u8>],
    list: &[crate::report::AnchorReport],
    heads: &Heads,
    replay: &Replay,
) -> Option<(Handover, Vec<u8>)> {
    let origin = heads.origin().unwrap_or_default();
    proven(replay).find_map(|(entry, change)| {
        let KeyChange::Rotate(rotation) = change else { return None };
        let (Key::Publisher(old), Key::Publisher(new)) = (&rotation.old, &rotation.new) else {
            return None;
        };
        let (by, next) = (rotation.old.short(), rotation.new.short());
        if !known.contains(old) || known.contains(new) || !rotation.is_proven(origin) {
            return None;
        }
        let covers = list.iter().filter(|anchor| anchor.publisher == by && anchor.size > *entry);
        let in_time =
            |anchor: &&crate::report::AnchorReport| heads.chain.is_in_time(&by, anchor.public_at);
        let anchor = covers.filter(in_time).min_by_key(|anchor| (anchor.size, anchor.public_at))?;
        let handover = Handover {
            role: Role::Publisher.as_str(),
            entry: *entry,
            old: by,
            new: next.clone(),
            new_fingerprint: next,
            head: Some(anchor.size),
            public: anchor.public.clone(),
            holds: true,
        };
        Some((handover, new.clone()))
    })
}

fn short(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), key.id_hex())
}
