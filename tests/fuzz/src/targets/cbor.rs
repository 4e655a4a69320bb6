//! Deterministic CBOR: what is read is written again the same.

use ciborium::Value;
use trail::cbor;

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    // A list of small numbers takes 32 bytes for each byte, twice: as read, and sorted to be compared.
    let Ok(value) = bounded(input.len(), 160, || cbor::decode(input)) else { return };
    assert_eq!(cbor::encode(&value).unwrap(), input, "one spelling only");
    assert_sorted(&value);
    let json = cbor::to_json(&value).to_string();
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON that can be read");
}

/// RFC 8949 section 4.2.1: no tag, and keys in the bytewise order of their encodings, each once.
fn assert_sorted(value: &Value) {
    match value {
        Value::Array(items) => items.iter().for_each(assert_sorted),
        Value::Map(pairs) => {
            let keys: Vec<Vec<u8>> = pairs
                .iter()
                .map(|(key, _)| {
                    let mut bytes = Vec::new();
                    ciborium::into_writer(key, &mut bytes).unwrap();
                    bytes
                })
                .collect();
            assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "keys in order");
            pairs.iter().for_each(|(key, item)| {
                assert_sorted(key);
                assert_sorted(item);
            });
        }
        Value::Tag(..) => panic!("a tag was let through"),
        _ => {}
    }
}
