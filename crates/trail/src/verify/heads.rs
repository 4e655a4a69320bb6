//! Tree heads: their form, who signed them, and that each continues the one before.

use super::keys::Chain;
use super::{Parts, absent, by_fingerprint, bytes, fail, hashes, pass};
use crate::checkpoint::Checkpoint;
use crate::evidence::Head;
use crate::merkle;
use crate::note::{KeyKind, Note, VerifierKey};
use crate::policy::TrustPolicy;
use crate::report::Check;

const FORM: &str = "Tree heads are well-formed and of one log";
const SIGNATURE: &str = "Every tree head is signed with the key that the file names as the log's";
const CONSISTENCY: &str = "Every tree head continues the one before it";

/// What the heads amount to.
#[derive(Debug, Default)]
pub struct Heads {
    /// The heads that could be read, oldest first.
    pub list: Vec<SignedHead>,
    /// Whether all could be read.
    pub readable: bool,
    /// Whether a signature that should be there is missing or wrong.
    pub forged: bool,
    /// Whether each continues the one before it.
    pub chained: bool,
    /// Keys that signed every head, whether chosen or named by the file.
    pub signers: Vec<VerifierKey>,
    /// Chosen keys among them, or that lead to those that signed.
    pub chosen_signers: Vec<VerifierKey>,
    /// What is wrong with a post-quantum cosignature that a chosen key is said to have made.
    pub cosignature_fault: Option<String>,
    /// The keys that took over from others.
    pub chain: Chain,
}

/// A head that could be read.
#[derive(Debug)]
pub struct SignedHead {
    pub checkpoint: Checkpoint,
    pub note: Note,
    /// The keys whose signature verified.
    pub signed_by: Vec<VerifierKey>,
    /// The ML-DSA-44 keys of the policy's quorum whose cosignature verified.
    pub cosigned_by: Vec<VerifierKey>,
}

impl Heads {
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.list.iter().map(|head| head.checkpoint.size)
    }

    pub fn newest(&self) -> Option<&Checkpoint> {
        self.list.last().map(|head| &head.checkpoint)
    }

    /// Whether this key, or those that it leads to, signed every head.
    pub fn all_signed_by(&self, key: &VerifierKey) -> bool {
        if self.chain.log.has(key) {
            return !self.forged && self.chain.leads_on(key);
        }
        self.list.iter().all(|head| matches!(head.note.verify(key), Ok(Some(_))))
    }

    fn signers_of_all(&self) -> Vec<VerifierKey> {
        let mut keys: Vec<VerifierKey> = Vec::new();
        for key in self.list.iter().flat_map(|head| &head.signed_by) {
            let of_all = if self.chain.log.has(key) {
                // A key leads on only by signatures that are all there.
                !self.forged && self.chain.leads_on(key)
            } else {
                self.list.iter().all(|head| head.signed_by.contains(key))
            };
            if of_all && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// Whether this ML-DSA-44 key cosigned any head.
    pub fn cosigned_any(&self, key: &VerifierKey) -> bool {
        self.list.iter().any(|head| head.cosigned_by.contains(key))
    }

    /// Whether this ML-DSA-44 key cosigned every head.
    pub fn cosigned_all(&self, key: &VerifierKey) -> bool {
        !self.list.is_empty() && self.list.iter().all(|head| head.cosigned_by.contains(key))
    }

    pub fn origin(&self) -> Option<&str> {
        self.newest().map(|head| head.origin.as_str())
    }
}

pub fn check(parts: &Parts<'_>, policy: Option<&TrustPolicy>, checks: &mut Vec<Check>) -> Heads {
    let mut heads = match read(&parts.heads) {
        Ok(list) => Heads { list, readable: true, ..Heads::default() },
        Err(reason) => {
            checks.push(fail("heads.form", FORM, reason));
            return Heads::default();
        }
    };
    let newest = heads.newest().map(ToString::to_string).unwrap_or_default();
    checks.push(with(pass("heads.form", FORM, readable(&heads)), "newest tree head", newest));
    checks.push(signature_check(&mut heads, &parts.keys, policy));
    checks.push(match consistency(&heads.list, &parts.heads) {
        Ok(reason) => {
            heads.chained = true;
            pass("heads.consistency", CONSISTENCY, reason)
        }
        Err(reason) => fail("heads.consistency", CONSISTENCY, reason),
    });
    heads
}

/// Who signed the heads, by the keys that are known so far.
pub fn signature_check(heads: &mut Heads, named: &[String], policy: Option<&TrustPolicy>) -> Check {
    let result = signatures(heads, named, policy);
    heads.forged = result.is_err();
    match result {
        // A proof or a URL names no key, so without a chosen one there is nothing to check with.
        Ok(()) if heads.signers.is_empty() => absent(
            "heads.signature",
            SIGNATURE,
            "neither you nor the file names a key of this log to check the signatures with",
        ),
        Ok(()) => signed_check(heads),
        Err(reason) => fail("heads.signature", SIGNATURE, reason),
    }
}

fn with(mut check: Check, what: &str, content: String) -> Check {
    check.stands_on.push(bytes(what, content));
    check
}

fn readable(heads: &Heads) -> String {
    let newest = heads.newest();
    format!(
        "{} of the log {}; the newest names {} entries",
        super::count(heads.list.len() as u64, "tree head", "tree heads"),
        newest.map_or("", |head| &head.origin),
        newest.map_or(0, |head| head.size)
    )
}

pub fn read(heads: &[Head]) -> Result<Vec<SignedHead>, String> {
    let mut list: Vec<SignedHead> = Vec::new();
    for (position, head) in heads.iter().enumerate() {
        let number = position + 1;
        let note = Note::parse(&head.note).map_err(|e| format!("tree head {number}: {e}"))?;
        let checkpoint =
            Checkpoint::parse(&note.text).map_err(|e| format!("tree head {number}: {e}"))?;
        if let Some(before) = list.last().map(|head| &head.checkpoint) {
            if before.origin != checkpoint.origin {
                return Err(format!(
                    "tree head {number} is of the log {} and the one before it of {}",
                    checkpoint.origin, before.origin
                ));
            }
            if before.size > checkpoint.size {
                return Err(format!("tree head {number} is smaller than the one before it"));
            }
        }
        list.push(SignedHead { checkpoint, note, signed_by: Vec::new(), cosigned_by: Vec::new() });
    }
    if list.is_empty() { Err("there is no tree head in the file".into()) } else { Ok(list) }
}

/// Verifies the signatures by every key there is: those that were chosen, and those the file names.
pub fn signatures(
    heads: &mut Heads,
    named: &[String],
    policy: Option<&TrustPolicy>,
) -> Result<(), String> {
    let origin = heads.origin().unwrap_or_default().to_owned();
    // A log's key signs under the log's name (c2sp.org/tlog-checkpoint).
    let of_log = |key: &VerifierKey| key.kind() == KeyKind::Ed25519 && key.name() == origin;
    heads.list.iter_mut().for_each(|head| head.signed_by.clear());
    let mut result = Ok(());
    let chosen: Vec<VerifierKey> =
        policy.iter().flat_map(|policy| &policy.tlog.logs).cloned().collect();
    for key in chosen.iter().filter(|key| of_log(key)) {
        if result.is_ok() {
            result = sign_off(heads, key);
        }
    }
    result = result.and_then(|()| sign_off_chain(heads));
    heads.forged = result.is_err();
    heads.chosen_signers = heads.signers_of_all();
    heads.chosen_signers.retain(|key| chosen.contains(key));
    // What the file names must hold as well: a key that signs nothing has no place in it.
    for vkey in named {
        if result.is_err() {
            break;
        }
        result = match VerifierKey::parse(vkey) {
            Err(e) => Err(format!("the file names a key that is {e}")),
            Ok(key) if !of_log(&key) => Err("the file names a key that is not of its log".into()),
            Ok(key) => {
                // The chosen ones have had their turn.
                let signed = if chosen.contains(&key) { Ok(()) } else { sign_off(heads, &key) };
                let all = heads.chain.log.has(&key)
                    || heads.list.iter().all(|head| head.signed_by.contains(&key));
                signed.and(if all {
                    Ok(())
                } else {
                    Err("a key that the file names did not sign every tree head".into())
                })
            }
        };
    }
    heads.forged = result.is_err();
    heads.signers = heads.signers_of_all();
    if result.is_ok() && named.is_empty() && policy.is_some() && heads.chosen_signers.is_empty() {
        return Err("none of the keys you chose signed every tree head".into());
    }
    result
}

/// Notes the heads that this key signed.
pub fn sign_off(heads: &mut Heads, key: &VerifierKey) -> Result<(), String> {
    for head in &mut heads.list {
        let size = head.checkpoint.size;
        let signed = head.note.verify(key);
        let signed = signed.map_err(|e| format!("the tree head of size {size}: {e}"))?;
        if signed.is_some() && !head.signed_by.contains(key) {
            head.signed_by.push(key.clone());
        }
    }
    Ok(())
}

/// Notes who of the keys that took over from others signed what: each head the one of its time.
fn sign_off_chain(heads: &mut Heads) -> Result<(), String> {
    let Heads { chain, list, .. } = heads;
    for head in list {
        let size = head.checkpoint.size;
        let (may, must) = chain.signers_at(size);
        for key in may.into_iter().chain(must) {
            let signed = head.note.verify(key);
            let signed = signed.map_err(|e| format!("the tree head of size {size}: {e}"))?;
            if signed.is_some() && !head.signed_by.contains(key) {
                head.signed_by.push(key.clone());
            }
        }
        if must.is_some_and(|key| !head.signed_by.contains(key)) {
            return Err(format!(
                "the tree head of size {size} is not signed by the key that was the log's then, by its entries"
            ));
        }
    }
    Ok(())
}

fn signed_check(heads: &Heads) -> Check {
    let names: Vec<String> = heads.signers.iter().map(by_fingerprint).collect();
    let mut check = pass(
        "heads.signature",
        SIGNATURE,
        format!("Ed25519 signatures verified under {}", names.join(", ")),
    );
    for head in &heads.list {
        let what = format!("signed text of the tree head of size {}", head.checkpoint.size);
        check.stands_on.push(bytes(what, &head.note.text));
    }
    for key in &heads.signers {
        check.stands_on.push(bytes("public key", hex::encode(key.public_key())));
    }
    check
}

pub fn consistency(list: &[SignedHead], heads: &[Head]) -> Result<String, String> {
    if heads.first().is_some_and(|head| !head.proof.is_empty()) {
        return Err(
            "the first tree head has a consistency proof, and nothing to be consistent with".into(),
        );
    }
    for (pair, head) in list.windows(2).zip(&heads[1..]) {
        let (old, new) = (&pair[0].checkpoint, &pair[1].checkpoint);
        let path = hashes(&head.proof);
        merkle::verify_consistency(old.size, &old.root, new.size, &new.root, &path).map_err(|e| {
            format!(
                "the tree head of size {} (root {}) is not shown to continue the one of size {} (root {}): {e}",
                new.size,
                hex::encode(new.root),
                old.size,
                hex::encode(old.root)
            )
        })?;
    }
    Ok(match list.len() {
        1 => "there is one tree head, and none to contradict it".into(),
        n => format!(
            "{n} tree heads, each with a proof that nothing before it was changed or removed"
        ),
    })
}
