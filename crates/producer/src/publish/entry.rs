//! An entry of a public log with its proof, in the words of a bundle's `TransparencyLogEntry`
//! (<https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use trail::merkle::Hash;

/// What a log says of an entry. Nothing of it is verified before it stands in a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its index in the log: on Rekor v1 that over all shards.
    pub index: u64,
    /// The log's id.
    pub log_id: Vec<u8>,
    /// `hashedrekord` or `dsse`, and the version.
    pub kind: (&'static str, &'static str),
    /// The entry as it is in the tree.
    pub body: Vec<u8>,
    /// The index in the tree.
    pub tree_index: u64,
    /// The tree's size and root.
    pub size: u64,
    pub root: Hash,
    /// The path from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The checkpoint that the proof leads to.
    pub checkpoint: String,
    /// The time and promise that Rekor v1 signs.
    pub promise: Option<(u64, Vec<u8>)>,
}

impl Entry {
    pub fn json(&self) -> Json {
        let mut entry = json!({
            "logIndex": self.index.to_string(),
            "logId": { "keyId": STANDARD.encode(&self.log_id) },
            "kindVersion": { "kind": self.kind.0, "version": self.kind.1 },
            "integratedTime": "0",
            "inclusionProof": {
                "logIndex": self.tree_index.to_string(),
                "rootHash": STANDARD.encode(self.root),
                "treeSize": self.size.to_string(),
                "hashes": self.path.iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>(),
                "checkpoint": { "envelope": self.checkpoint },
            },
            "canonicalizedBody": STANDARD.encode(&self.body),
        });
        if let Some((time, promise)) = &self.promise {
            entry["integratedTime"] = time.to_string().into();
            entry["inclusionPromise"] = json!({ "signedEntryTimestamp": STANDARD.encode(promise) });
        }
        entry
    }
}

/// A JSON member of a stranger's answer.
pub(crate) fn text<'a>(json: &'a Json, pointer: &str) -> Option<&'a str> {
    json.pointer(pointer)?.as_str()
}

/// Base64 in it.
pub(crate) fn base64(json: &Json, pointer: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text(json, pointer)?).ok()
}

/// A number in it, which protobuf's JSON writes as text.
pub(crate) fn number(json: &Json, pointer: &str) -> Option<u64> {
    let value = json.pointer(pointer)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Hashes in it.
pub(crate) fn hashes(
    json: &Json,
    pointer: &str,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) -> Option<Vec<Hash>> {
    let hashes = json.pointer(pointer)?.as_array()?;
    hashes.iter().map(|hash| decode(hash.as_str()?)?.try_into().ok()).collect()
}
