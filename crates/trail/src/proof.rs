//! C2SP tlog-proofs (<https://c2sp.org/tlog-proof>): one entry's inclusion, checked offline.
//!
//! Our proofs carry the entry itself as `extra` data, so that one file suffices; like all extra data
//! it counts only once the proof shows that it is the logged entry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use crate::checkpoint::parse_decimal;
use crate::merkle::Hash;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof that an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Opaque data; in our proofs, the entry.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion path, from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a text is not a tlog-proof.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct LogProofError(&'static str);

impl LogProofError {
    /// Why, in words.
    pub fn reason(&self) -> &'static str {
        self.0
    }
}

impl LogProof {
    /// Whether the text begins like one.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(HEADER.as_bytes())
    }

    /// Reads a proof; nothing is verified yet.
    ///
    /// # Errors
    /// The text is not of that form.
    pub fn parse(text: &str) -> Result<Self, LogProofError> {
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(LogProofError("not a tlog-proof: no blank line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(LogProofError(
                "not a tlog-proof: the first line is not c2sp.org/tlog-proof@v1",
            ));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.map(|line| BASE64.decode(&line["extra ".len()..])).transpose();
        let extra =
            extra.map_err(|_| LogProofError("not a tlog-proof: the extra data is not base64"))?;
        let index = lines.next().and_then(|line| parse_decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(LogProofError("not a tlog-proof: no index line"))?;
        let path =
            lines.map(|line| BASE64.decode(line).ok()?.try_into().ok()).collect::<Option<_>>();
        let path =
            path.ok_or(LogProofError("not a tlog-proof: a hash is not 32 bytes of base64"))?;
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // After the example of c2sp.org/tlog-proof, with its elided signatures completed.
    const EXAMPLE: &str = "c2sp.org/tlog-proof@v1\n\
        extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6\n\
        index 73894\n\
        gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\
        B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\n\
        example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n\
        — example.com/fancylog hI2DJw==\n";

    #[test]
    fn the_form_of_the_specification() {
        let proof = LogProof::parse(EXAMPLE).unwrap();
        assert_eq!((proof.index, proof.path.len()), (73_894, 2));
        assert_eq!(proof.extra.as_deref(), Some(b"age-v1.2.1-darwin-arm64.tar.gz".as_slice()));
        assert!(proof.checkpoint.starts_with("example.com/fancylog\n109482\n"));
        assert_eq!(proof.to_string(), EXAMPLE);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "c2sp.org/tlog-proof@v2\nindex 1\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
            "c2sp.org/tlog-proof@v1\nextra ?\nindex 1\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1",
        ] {
            assert!(LogProof::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again_the_same(head in "(extra [A-D]{0,4}={0,2} ?\n)?index 0?[0-9]{0,3}\n", hashes in 0usize..3, end in "\n?(\n.{0,9}){0,3}") {
            let hash = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n";
            let text = format!("{HEADER}\n{head}{}{end}", hash.repeat(hashes));
            if let Ok(proof) = LogProof::parse(&text) {
                prop_assert_eq!(proof.to_string(), text);
            }
        }
    }
}
