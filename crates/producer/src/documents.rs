//! Guidelines, evaluations and incidents: JSON documents logged whole, or, when they are too large for
//! an event, kept beside the log under their SHA-256.

use std::fs;
use std::path::{Path, PathBuf};

use ciborium::Value;
use serde_json::Value as Json;
use trail::merkle::sha256;
use trail::{EventType, cbor};

use crate::audit::Audit;
use crate::error::{Error, IoContext as _, Result};
use crate::transaction::Logged;

/// What of an event's 65,535 bytes a document may take.
const MAX_INLINE: usize = 60_000;

/// A larger document is not read: it belongs elsewhere, with its digest in a small one.
const MAX_DOCUMENT: u64 = 64 << 20;

impl Audit {
    /// Logs a file that holds one JSON object, as an event of this type. Documents are public.
    ///
    /// # Errors
    /// The file cannot be read or is no JSON object, or those of [`Audit::log_event`].
    pub fn log_document(&mut self, kind: EventType, path: &Path) -> Result<Logged> {
        let length = fs::metadata(path).at(path, "read the file")?.len();
        if length > MAX_DOCUMENT {
            return Err(Error::damaged(
                path,
                "larger than 64 MiB: log a small document that names its SHA-256",
            ));
        }
        let bytes = fs::read(path).at(path, "read the file")?;
        // Line and column, but not the content around them.
        let json: Json = serde_json::from_slice(&bytes).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            Error::damaged(
                path,
                format!("not JSON: something is wrong at line {line}, column {column}"),
            )
        })?;
        if !json.is_object() {
            return Err(Error::damaged(path, "not a JSON object: put the document into { … }"));
        }
        if let Some(place) = not_in_cards(&json) {
            return Err(Error::damaged(
                path,
                format!(
                    "the integer at {place} is beyond 2^53 - 1, which JSON readers would change; write it as text"
                ),
            ));
        }
        let data = self.document_data(&bytes, &json)?;
        self.log_event(kind, data)
    }

    fn document_data(&self, bytes: &[u8], json: &Json) -> Result<Value> {
        let digest = sha256(bytes);
        let mut data = vec![
            ("sha256", Value::Bytes(digest.to_vec())),
            ("bytes", Value::from(bytes.len() as u64)),
        ];
        let title = ["title", "name"].iter().find_map(|key| json[*key].as_str());
        data.extend(
            title.map(|title| ("title", Value::from(title.chars().take(200).collect::<String>()))),
        );
        let document = cbor::from_json(json);
        let encoded = cbor::encode(&document).map_err(|e| Error::Event(e.into()))?;
        if encoded.len() <= MAX_INLINE {
            data.push(("document", document));
        } else {
            self.keep(&self.document_path(&digest), bytes)?;
        }
        Ok(cbor::map(data))
    }

    fn document_path(&self, digest: &[u8; 32]) -> PathBuf {
        self.root().join("documents").join(hex::encode(digest))
    }
}

/// The place of an integer that RFC 8785 cannot carry, as a JSON pointer.
fn not_in_cards(json: &Json) -> Option<String> {
    const LIMIT: u64 = (1 << 53) - 1;
    match json {
        Json::Number(n) => {
            let size = n.as_u64().or_else(|| n.as_i64().map(i64::unsigned_abs))?;
            (size > LIMIT).then(String::new)
        }
        Json::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, item)| not_in_cards(item).map(|place| format!("/{i}{place}"))),
        Json::Object(pairs) => pairs
            .iter()
            .find_map(|(key, item)| not_in_cards(item).map(|place| format!("/{key}{place}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_beyond_53_bits_are_found() {
        assert_eq!(
            not_in_cards(&json!({"a": [1, {"b": 9_007_199_254_740_992_u64}]})).unwrap(),
            "/a/1/b"
        );
        assert_eq!(not_in_cards(&json!({"a": -9_007_199_254_740_991_i64, "b": 1e300})), None);
    }
}
