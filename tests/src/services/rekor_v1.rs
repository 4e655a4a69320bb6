//! A log that speaks Rekor's interface of version 1 for entries of the kind `dsse` 0.0.1, in its documented
//! shapes: it signs its promises and checkpoints and proves what it holds, and keeps all in memory.
//! <https://github.com/sigstore/rekor/blob/v1.5.3/openapi.yaml>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::exchange::{Reply, Request};
use super::front::Front;
use super::openssl::Key;

/// The number of the tree, which stands in the checkpoint's origin and in the entries' names.
const TREE: u64 = 1_193_050_959_916_656_506;

/// Entries of earlier shards: an entry's index in the log is not that in the tree.
const BEFORE: usize = 1000;

const PATH: &str = "/api/v1/log/entries";

/// A log that starts empty and lives as long as this value.
#[derive(Debug)]
pub struct RekorV1 {
    front: Front,
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    host: String,
    key: Key,
    public: Vec<u8>,
    entries: Mutex<Vec<(Vec<u8>, u64)>>,
    _home: TempDir,
}

impl RekorV1 {
    /// Starts a log at a host of this name.
    pub fn start(host: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = Key::p256(home.path().join("log.pem"));
        let public = key.public();
        let log = Log { host: host.into(), key, public, entries: Mutex::default(), _home: home };
        let log = Arc::new(log);
        let answering = Arc::clone(&log);
        Self { front: Front::start(move |request| answering.answer(request)), log }
    }

    /// The log's base URL.
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// What stands between it and its clients.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Its host's name, which signs the checkpoints.
    pub fn host(&self) -> &str {
        &self.log.host
    }

    /// Its public key, `SubjectPublicKeyInfo` in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.log.public
    }

    /// SHA-256 of it.
    pub fn key_id(&self) -> [u8; 32] {
        Sha256::digest(&self.log.public).into()
    }
}

impl Log {
    fn answer(&self, request: &Request) -> Reply {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if request.method == "GET" {
            let id = request.path.strip_prefix(PATH).unwrap_or_default().trim_start_matches('/');
            let found = entries.iter().position(|(body, _)| entry_id(body) == id);
            return found.map_or_else(not_found, |at| self.entry(&entries, at, 200));
        }
        let body = match serde_json::from_slice(&request.body).ok().as_ref().and_then(body) {
            Some(body) if request.path == PATH => body,
            _ => {
                return Reply::new(400, "application/json", r#"{"code":400,"message":"no entry"}"#);
            }
        };
        if entries.iter().any(|(there, _)| *there == body) {
            let id = entry_id(&body);
            let message = format!(
                "an equivalent entry already exists in the transparency log with UUID {id}"
            );
            let json = json!({"code": 409, "message": message}).to_string();
            let mut reply = Reply::new(409, "application/json", json);
            reply.headers.push(("location".into(), format!("{PATH}/{id}")));
            return reply;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        entries.push((body, now));
        self.entry(&entries, entries.len() - 1, 201)
    }

    fn entry(&self, entries: &[(Vec<u8>, u64)], at: usize, status: u16) -> Reply {
        let leaves: Vec<[u8; 32]> = entries.iter().map(|(body, _)| leaf(body)).collect();
        let (body, time) = &entries[at];
        let mut entry = json!({
            "body": STANDARD.encode(body),
            "integratedTime": time,
            "logID": hex(&Sha256::digest(&self.public)),
            "logIndex": at + BEFORE,
        });
        // A map of `serde_json` is sorted, and these members have no others to be written differently.
        let promise = self.key.sign(entry.to_string().as_bytes());
        entry["verification"] = json!({
            "inclusionProof": {
                "checkpoint": self.checkpoint(&leaves),
                "hashes": path(&leaves, at).iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
                "logIndex": at,
                "rootHash": hex(&root(&leaves)),
                "treeSize": leaves.len(),
            },
            "signedEntryTimestamp": STANDARD.encode(promise),
        });
        Reply::new(status, "application/json", json!({ entry_id(body): entry }).to_string())
    }

    fn checkpoint(&self, leaves: &[[u8; 32]]) -> String {
        let (host, root) = (&self.host, STANDARD.encode(root(leaves)));
        let text = format!("{host} - {TREE}\n{}\n{root}\n", leaves.len());
        let id = Sha256::digest(&self.public);
        let signature = [&id[..4], &self.key.sign(text.as_bytes())].concat();
        format!("{text}\n\u{2014} {host} {}\n", STANDARD.encode(signature))
    }
}

fn not_found() -> Reply {
    Reply::new(404, "application/json", r#"{"code":404,"message":"entry not found"}"#)
}

/// What is logged of a request
/// (<https://github.com/sigstore/rekor/blob/v1.5.3/pkg/types/dsse/v0.0.1/entry.go>).
fn body(request: &Json) -> Option<Vec<u8>> {
    let proposed = request.pointer("/spec/proposedContent")?;
    let text = proposed.get("envelope")?.as_str()?;
    let envelope: Json = serde_json::from_str(text).ok()?;
    let payload = STANDARD.decode(envelope.get("payload")?.as_str()?).ok()?;
    let digest =
        |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex(&Sha256::digest(bytes))});
    let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": digest(text.as_bytes()),
        "payloadHash": digest(&payload),
        "signatures": [{
            "signature": envelope.pointer("/signatures/0/sig")?,
            "verifier": proposed.pointer("/verifiers/0")?,
        }],
    }});
    Some(body.to_string().into_bytes())
}

fn entry_id(body: &[u8]) -> String {
    format!("{TREE:016x}{}", hex(&leaf(body)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 6962, section 2.1.
fn leaf(body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update([0]).chain_update(body).finalize().into()
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let node = Sha256::new().chain_update([1]).chain_update(root(left));
    node.chain_update(root(right)).finalize().into()
}

fn path(leaves: &[[u8; 32]], at: usize) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, sibling) = if at < middle {
        (path(left, at), root(right))
    } else {
        (path(right, at - middle), root(left))
    };
    path.push(sibling);
    path
}

/// The largest power of two below n.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}
