//! One anchor against the keys the verifying person chose.
//!
//! `sigstore-verify` does what every Sigstore client does. On top of it come the checks that it leaves to
//! its caller: which log, which kind of entry, and a time that does not rest on the producer.

use std::fmt;

use serde_json::Value as Json;
use sigstore_verify::trust_root::{TransparencyLog, TrustedRoot};
use sigstore_verify::tsa::{Error as TsaError, verify_timestamp_for_authority};
use sigstore_verify::types::bundle::{
    MediaType, TransparencyLogEntry, VerificationMaterialContent,
};
use sigstore_verify::types::{
    Artifact, Bundle, DerPublicKey, KindVersion, Sha256Hash, SignatureBytes, SignatureContent,
    TimestampToken, TsaAuthority,
};
use sigstore_verify::{PublicKeyVerificationPolicy, Verifier};

use super::der::lengths_fit;
use super::{Anchor, AnchorError, LogPosition, PAYLOAD_TYPE, PublishedHead, crypto};
use crate::handover::P256_SPKI;
use crate::merkle::{Hash, sha256};
use crate::note::{KeyKind, Note, VerifierKey};

/// A bundle or a stamp larger than this is refused unread, in bytes. Real ones have 5 KB.
const MAX_PART: usize = 128 << 10;

/// Whom the verifying person trusts to publish and to tell the time.
pub struct AnchorTrust {
    publishers: Vec<DerPublicKey>,
    root: TrustedRoot,
    authorities: Vec<(TsaAuthority, String)>,
}

/// What an anchor that verified says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAnchor {
    /// The head it publishes.
    pub head: PublishedHead,
    /// SHA-256 of the checkpoint it is about, as [`super::subject`] writes it.
    pub subject: Hash,
    /// The signed statement.
    pub statement: Vec<u8>,
    /// SHA-256 of the publishing key's SubjectPublicKeyInfo.
    pub publisher: Hash,
    /// The public log's name: the origin of its checkpoints.
    pub log: String,
    /// Where in that log.
    pub position: LogPosition,
    /// The checkpoint of the public log, a signed note.
    pub log_checkpoint: String,
    /// When a clock that is not the producer's saw the signature.
    pub signed: Option<Clock>,
    /// When such a clock saw it in the public log.
    pub public: Option<Clock>,
}

/// A public log of the trusted root.
#[derive(Clone, Debug)]
pub struct PublicLog {
    /// Its id in the trusted root, lower-case hex.
    pub id: String,
    /// Its name, the first line of its checkpoints.
    pub origin: String,
    /// Its base URL.
    pub url: String,
    /// The key of its checkpoints, if they are signed with Ed25519 under its name, as Rekor v2 does.
    pub key: Option<VerifierKey>,
}

/// A time and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    /// Microseconds since 1970.
    pub at: u64,
    /// Who says so.
    pub by: String,
}

impl fmt::Debug for AnchorTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AnchorTrust {{ {} publishing keys, {} logs, {} clocks }}",
            self.publishers.len(),
            self.root.tlogs.len(),
            self.authorities.len()
        )
    }
}

impl AnchorTrust {
    /// Reads `publisher.pub` (PEM, one or several ECDSA P-256 keys) and `trusted_root.json`
    /// (<https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>).
    ///
    /// # Errors
    /// One of them is not what it must be.
    pub fn new(publisher: &str, trusted_root: &str) -> Result<Self, AnchorError> {
        crypto::install();
        let publishers = pem_blocks(publisher)
            .map(|pem| match DerPublicKey::from_pem(pem) {
                Ok(key) if is_p256(key.as_bytes()) => Ok(key),
                _ => Err(AnchorError::new("publisher.pub: not an ECDSA P-256 public key in PEM")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if publishers.is_empty() {
            return Err(AnchorError::new("publisher.pub: no `-----BEGIN PUBLIC KEY-----` in it"));
        }
        let root = |e: &dyn fmt::Display| AnchorError(format!("trusted_root.json: {e}"));
        let trusted = TrustedRoot::from_json(trusted_root).map_err(|e| root(&e))?;
        Verifier::new(&trusted).map_err(|e| root(&e))?;
        let authorities = authorities(&trusted);
        Ok(Self { publishers, root: trusted, authorities })
    }

    /// Fingerprints of the publishing keys: SHA-256 of each SubjectPublicKeyInfo, hex.
    pub fn fingerprints(&self) -> Vec<String> {
        self.publishers.iter().map(|key| hex::encode(sha256(key.as_bytes()))).collect()
    }

    /// The public logs that the trusted root names.
    pub fn log_names(&self) -> Vec<&str> {
        distinct(self.root.tlogs.iter().map(|log| host(&log.base_url)))
    }

    /// The time-stamping authorities that the trusted root names.
    pub fn clock_names(&self) -> Vec<&str> {
        distinct(self.authorities.iter().map(|(_, name)| name.as_str()))
    }

    /// The publishing keys, as SubjectPublicKeyInfo.
    pub fn publishers(&self) -> impl Iterator<Item = &[u8]> {
        self.publishers.iter().map(DerPublicKey::as_bytes)
    }

    /// The public logs of the trusted root.
    pub fn public_logs(&self) -> Vec<PublicLog> {
        let public = |log: &TransparencyLog| PublicLog {
            id: hex::encode(log.log_id.key_id.as_bytes()),
            origin: host(&log.base_url).to_owned(),
            url: log.base_url.clone(),
            key: note_key(log),
        };
        self.root.tlogs.iter().map(public).collect()
    }

    /// Verifies an anchor.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check(&self, anchor: &Anchor) -> Result<VerifiedAnchor, AnchorError> {
        let publishers: Vec<Vec<u8>> = self.publishers().map(<[u8]>::to_vec).collect();
        self.check_under(anchor, &publishers)
    }

    /// Verifies an anchor under one of these publishing keys, each a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check_under(
        &self,
        anchor: &Anchor,
        publishers: &[Vec<u8>],
    ) -> Result<VerifiedAnchor, AnchorError> {
        let bundle = read_bundle(&anchor.bundle)?;
        check_material(&bundle)?;
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(AnchorError::new("the bundle holds no DSSE envelope"));
        };
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(AnchorError::new("the envelope's payload is no in-toto statement"));
        }
        let statement = envelope.payload.as_bytes().to_vec();
        let (head, subject) = PublishedHead::parse(&statement)?;
        let entry = only_entry(&bundle)?;
        let log = self.log(entry)?;
        let log_checkpoint = log_checkpoint(entry, log)?;
        let publisher = self.verify_bundle(&bundle, &subject, log, publishers)?;
        let signed = self.signature_time(&bundle, &envelope.signature.sig)?;
        let public = self.public_time(anchor, entry, log, &log_checkpoint)?;
        if let (Some(signed), Some(public)) = (&signed, &public)
            && signed.at > public.at.saturating_add(CLOCK_SKEW)
        {
            return Err(AnchorError::new(
                "the stamp over the signature is later than the one over the log's checkpoint",
            ));
        }
        Ok(VerifiedAnchor {
            position: LogPosition {
                log_id: hex::encode(entry.log_id.key_id.as_bytes()),
                index: entry.log_index.get(),
            },
            log: origin_of(&log_checkpoint),
            head,
            subject,
            statement,
            publisher,
            log_checkpoint,
            signed,
            public,
        })
    }

    /// Verifies a time stamp over these bytes by an authority of the trusted root.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check_stamp(&self, stamp: &[u8], over: &[u8]) -> Result<Clock, AnchorError> {
        if stamp.len() > MAX_PART {
            return Err(AnchorError::new("the time stamp is larger than any real one"));
        }
        let token = TimestampToken::new(stamp.to_vec());
        self.stamped(&token, &SignatureBytes::new(over.to_vec()))
    }

    /// The log of the trusted root that the entry names.
    fn log(&self, entry: &TransparencyLogEntry) -> Result<&TransparencyLog, AnchorError> {
        log_of(entry, &self.root)
    }

    /// What `sigstore-verify` checks, with no log but the one that the entry names: else the key of one
    /// log could vouch for the checkpoint of another.
    fn verify_bundle(
        &self,
        bundle: &Bundle,
        subject: &Hash,
        log: &TransparencyLog,
        publishers: &[Vec<u8>],
    ) -> Result<Hash, AnchorError> {
        let mut root = self.root.clone();
        root.tlogs = vec![log.clone()];
        let verifier = Verifier::new(&root).map_err(|e| AnchorError(e.to_string()))?;
        let mut reason = String::new();
        for key in publishers {
            let key = DerPublicKey::new(key.clone());
            let artifact = Artifact::from(Sha256Hash::new(*subject));
            let policy = PublicKeyVerificationPolicy::new(key.clone());
            match verifier.verify(artifact, bundle, &policy) {
                Ok(_) => return Ok(sha256(key.as_bytes())),
                Err(e) => reason = e.to_string(),
            }
        }
        Err(AnchorError(format!("it does not verify under the publishing key you chose: {reason}")))
    }

    /// The earliest stamp over the signature by an authority of the trusted root.
    fn signature_time(
        &self,
        bundle: &Bundle,
        signature: &SignatureBytes,
    ) -> Result<Option<Clock>, AnchorError> {
        let stamps = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        let clocks = stamps
            .iter()
            .map(|stamp| self.stamped(&stamp.signed_timestamp, signature))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(clocks.into_iter().min())
    }

    /// Since when the entry is public: by a stamp over the log's checkpoint, or for Rekor v1 by the
    /// time that the log signed with its promise.
    fn public_time(
        &self,
        anchor: &Anchor,
        entry: &TransparencyLogEntry,
        log: &TransparencyLog,
        log_checkpoint: &str,
    ) -> Result<Option<Clock>, AnchorError> {
        let mut clocks = Vec::new();
        if let Some(stamp) = &anchor.stamp {
            clocks.push(self.check_stamp(stamp, log_checkpoint.as_bytes())?);
        }
        // In v2 the field is free for anybody to fill; in v1 the promise signs it.
        if entry.kind_version == KindVersion::DsseV001
            && entry.inclusion_promise.is_some()
            && let Some(at) = entry.integrated_time
        {
            let at = u64::try_from(at.as_microsecond())
                .map_err(|_| AnchorError::new("the log's time is before 1970"))?;
            clocks.push(Clock { at, by: origin_of(log_checkpoint) });
        }
        let Some(clock) = clocks.into_iter().min() else { return Ok(None) };
        let in_force = log.public_key.valid_for.is_none_or(|window| {
            window.start.as_microsecond() <= at(&clock)
                && window.end.is_none_or(|end| at(&clock) <= end.as_microsecond())
        });
        if in_force {
            Ok(Some(clock))
        } else {
            Err(AnchorError::new(
                "the transparency log's key was not in force at that time, by your trusted root",
            ))
        }
    }

    /// The time of a stamp over these bytes.
    fn stamped(&self, token: &TimestampToken, over: &SignatureBytes) -> Result<Clock, AnchorError> {
        check_lengths(token)?;
        let mut reason = "your trusted root names no time-stamping authority".to_owned();
        for (authority, name) in &self.authorities {
            match verify_timestamp_for_authority(token, over, authority) {
                Ok(time) => {
                    let at = u64::try_from(time.as_microsecond())
                        .map_err(|_| AnchorError::new("a time stamp is before 1970"))?;
                    return Ok(Clock { at, by: name.clone() });
                }
                // This one signed it, and was not in force: more to the point than what others say.
                Err(e @ TsaError::TimestampOutsideValidity { .. }) => {
                    reason = e.to_string();
                    break;
                }
                Err(e) => reason = e.to_string(),
            }
        }
        Err(AnchorError(format!("a time stamp does not verify: {reason}")))
    }
}

/// The two stamps come from clocks that need not agree to the second.
const CLOCK_SKEW: u64 = 60_000_000;

fn at(clock: &Clock) -> i64 {
    i64::try_from(clock.at).unwrap_or(i64::MAX)
}

fn pem_blocks(pem: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END PUBLIC KEY-----";
    pem.split_inclusive(END).filter(|block| block.contains(END)).map(str::trim)
}

/// Whether a SubjectPublicKeyInfo is that of an uncompressed P-256 point (RFC 5480).
fn is_p256(spki: &[u8]) -> bool {
    spki.len() == P256_SPKI.len() + 64
        && spki.starts_with(&P256_SPKI)
        && p256::ecdsa::VerifyingKey::from_sec1_bytes(&spki[P256_SPKI.len() - 1..]).is_ok()
}

fn authorities(root: &TrustedRoot) -> Vec<(TsaAuthority, String)> {
    let mut list = Vec::new();
    for (position, tsa) in root.timestamp_authorities.iter().enumerate() {
        let mut single = root.clone();
        single.timestamp_authorities = vec![tsa.clone()];
        let subject = &tsa.subject;
        let name = [&subject.common_name, &subject.organization, &tsa.uri]
            .into_iter()
            .find_map(|name| name.clone().filter(|name| !name.is_empty()))
            .unwrap_or_else(|| format!("time-stamping authority {}", position + 1));
        list.extend(
            single.tsa_authorities().into_iter().map(|authority| (authority, name.clone())),
        );
    }
    list
}

fn read_bundle(json: &[u8]) -> Result<Bundle, AnchorError> {
    if json.len() > MAX_PART {
        return Err(AnchorError::new("the bundle is larger than any real one"));
    }
    let text =
        str::from_utf8(json).map_err(|_| AnchorError::new("the bundle is not UTF-8 text"))?;
    match Bundle::from_json(text) {
        Ok(bundle) if bundle.media_type() == MediaType::Bundle0_3 => Ok(bundle),
        Ok(_) => Err(AnchorError::new("the bundle is not of version 0.3")),
        Err(e) => Err(AnchorError(match unknown_version(text) {
            Some(media) => format!("the bundle is of the unknown version {}", cut(&media)),
            None => format!("the bundle cannot be read: {}", cut(&e.to_string())),
        })),
    }
}

/// What the library is about to read as DER: stamps whose lengths fit, and no certificate, since an anchor is
/// signed with a key.
fn check_material(bundle: &Bundle) -> Result<(), AnchorError> {
    let material = &bundle.verification_material;
    if !matches!(material.content, VerificationMaterialContent::PublicKey(_)) {
        return Err(AnchorError::new("the bundle is signed with a certificate, not with a key"));
    }
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    stamps.iter().try_for_each(|stamp| check_lengths(&stamp.signed_timestamp))
}

fn check_lengths(stamp: &TimestampToken) -> Result<(), AnchorError> {
    if lengths_fit(stamp.as_bytes()) {
        Ok(())
    } else {
        Err(AnchorError::new("a time stamp is cut short or damaged"))
    }
}

fn unknown_version(text: &str) -> Option<String> {
    const KNOWN: [&str; 2] = [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
    ];
    let media = serde_json::from_str::<Json>(text).ok()?.get("mediaType")?.as_str()?.to_owned();
    (!KNOWN.contains(&media.as_str())).then_some(media)
}

/// A stranger decides how long it is.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// One signature, one entry: with several, each client would pick another.
fn only_entry(bundle: &Bundle) -> Result<&TransparencyLogEntry, AnchorError> {
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        return Err(AnchorError::new("the bundle must hold one log entry"));
    };
    match entry.kind_version {
        KindVersion::HashedRekordV002 | KindVersion::DsseV001 => Ok(entry),
        other => Err(AnchorError(format!(
            "the log entry is of the kind {} {}; hashedrekord 0.0.2 and dsse 0.0.1 are known here",
            other.kind(),
            other.version()
        ))),
    }
}

fn log_of<'a>(
    entry: &TransparencyLogEntry,
    root: &'a TrustedRoot,
) -> Result<&'a TransparencyLog, AnchorError> {
    root.tlogs.iter().find(|log| log.log_id.key_id == entry.log_id.key_id).ok_or_else(|| {
        AnchorError::new("it is in a transparency log that your trusted root does not name")
    })
}

/// The trusted root with no logs but those that the entries of a bundle name, if each entry is proven in
/// a checkpoint of the log it names: what `sigstore-verify` leaves to its callers.
///
/// # Errors
/// An entry names an unknown log, or its checkpoint is another log's.
pub fn named_logs(bundle: &Bundle, root: &TrustedRoot) -> Result<TrustedRoot, AnchorError> {
    let mut logs: Vec<TransparencyLog> = Vec::new();
    for entry in &bundle.verification_material.tlog_entries {
        let log = log_of(entry, root)?;
        if entry.inclusion_proof.is_some() {
            log_checkpoint(entry, log)?;
        }
        if logs.iter().all(|have| have.log_id.key_id != log.log_id.key_id) {
            logs.push(log.clone());
        }
    }
    let mut root = root.clone();
    root.tlogs = logs;
    Ok(root)
}

/// The signed checkpoint that the entry is proven in, if it is of that log. `sigstore-verify` accepts
/// any origin under a right signature.
fn log_checkpoint(
    entry: &TransparencyLogEntry,
    log: &TransparencyLog,
) -> Result<String, AnchorError> {
    let proof = entry
        .inclusion_proof
        .as_ref()
        .ok_or_else(|| AnchorError::new("there is no proof that the log holds it"))?;
    let envelope = proof.checkpoint.envelope();
    let note =
        Note::parse(envelope).map_err(|e| AnchorError(format!("the log's checkpoint: {e}")))?;
    let host = host(&log.base_url);
    let origin = origin_of(&note.text);
    // v1 adds the tree's number to its name: `rekor.sigstore.dev - 1193050959916656506`.
    let named = match entry.kind_version {
        KindVersion::HashedRekordV002 => origin == host,
        _ => origin.split(" - ").next() == Some(host),
    };
    if !named {
        return Err(AnchorError(format!(
            "the checkpoint is of the log “{}”, and the key is that of {host}",
            cut(&origin)
        )));
    }
    // A log signs in its own name (c2sp.org/tlog-checkpoint); the library looks at the key's id alone, which
    // is the start of the log's id in both versions.
    let of_log = |id: &[u8; 4]| log.log_id.key_id.as_bytes().starts_with(id);
    match note.signatures.iter().find(|line| of_log(&line.key_id) && line.name != host) {
        None => Ok(envelope.to_owned()),
        Some(line) => Err(AnchorError(format!(
            "the log's checkpoint is signed in the name of “{}”, and the key is that of {host}",
            cut(&line.name)
        ))),
    }
}

/// A log's name is its address without the scheme
/// (<https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md>).
fn host(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// The key of a log whose id is that of the Ed25519 key in C2SP signed notes.
fn note_key(log: &TransparencyLog) -> Option<VerifierKey> {
    /// SubjectPublicKeyInfo up to the key (RFC 8410 §4).
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let raw = log.public_key.raw_bytes.as_bytes().strip_prefix(&ED25519)?;
    let key = VerifierKey::new(host(&log.base_url), KeyKind::Ed25519, raw).ok()?;
    log.log_id.key_id.as_bytes().starts_with(&key.id()).then_some(key)
}

/// A trusted root lists a log or an authority once for each of its keys.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut list: Vec<&str> = Vec::new();
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
    list
}

fn origin_of(checkpoint: &str) -> String {
    checkpoint.lines().next().unwrap_or_default().to_owned()
}
