//! C2SP tlog-checkpoints (<https://c2sp.org/tlog-checkpoint>): the text of a signed tree head.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use crate::merkle::{Hash, MAX_SIZE, empty_root};

/// A tree head: which log, how many entries, which root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
}

/// Why a note's text is not a checkpoint.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a checkpoint: {0}")]
pub struct CheckpointError(&'static str);

impl Checkpoint {
    /// Reads a note's text. Extension lines are refused: our logs write none, and what no monitor
    /// can audit should not ride along.
    ///
    /// # Errors
    /// The text is not a checkpoint of at most 2⁵³ − 1 entries.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines =
            text.strip_suffix('\n').ok_or(CheckpointError("no final newline"))?.split('\n');
        let mut line =
            |missing| lines.next().filter(|l| !l.is_empty()).ok_or(CheckpointError(missing));
        let origin = line("no origin")?.to_owned();
        let size = parse_decimal(line("no tree size")?)
            .ok_or(CheckpointError("the tree size is not a number"))?;
        let root = line("no root hash")?;
        let root = BASE64.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        let root = root.ok_or(CheckpointError("the root hash is not 32 bytes of base64"))?;
        if lines.next().is_some() {
            return Err(CheckpointError("it has extension lines"));
        }
        if size > MAX_SIZE {
            return Err(CheckpointError("the tree size is above 2^53 - 1"));
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError("the root of an empty tree is SHA-256 of nothing"));
        }
        Ok(Self { origin, size, root })
    }
}

/// The note text, with its final newline.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root))
    }
}

/// A decimal number without sign and without leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The example of c2sp.org/tlog-checkpoint.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification() {
        let head = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((head.origin.as_str(), head.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(head.to_string(), EXAMPLE);
    }

    #[test]
    fn anything_else_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            String::new(),
            "o\n1\n".into(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n9007199254740992\n{root}\n"),
            format!("o\n99999999999999999999\n{root}\n"),
            format!("o\n1\n{root}\nextension\n"),
            format!("o\n0\n{root}\n"),
            "o\n1\nCsUYapGGPo4=\n".into(),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again_the_same(text in "[a-z\n ]{0,9}\n[0-9+]{0,3}\n(CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2[A-Z]=)\n?[a-z]{0,2}\n?") {
            if let Ok(head) = Checkpoint::parse(&text) {
                prop_assert_eq!(head.to_string(), text);
            }
        }
    }
}
