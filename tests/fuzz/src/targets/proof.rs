//! tlog-proofs: what is read is written again the same.

use trail::proof::LogProof;

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(proof) = bounded(text.len(), 8, || LogProof::parse(text)) else { return };
    assert_eq!(proof.to_string(), text, "one spelling only");
    assert!(LogProof::is_one(input));
    assert!(text.ends_with(&proof.checkpoint));
}
