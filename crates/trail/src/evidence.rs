//! The evidence file: everything a verification needs, in one file that opens without a network.
//!
//! Deterministic CBOR under the self-described tag 55799 (RFC 8949 §3.4.6), so a file is recognised by
//! its first bytes `d9 d9 f7`. The specification is `transparency/evidence.md`.

use std::fmt;
use std::io;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::anchor::Anchor;
use crate::commitment::DisclosedOpening;
use crate::event::{MAX_ENCODED, MIN_ENCODED};

/// The encoding of the tag 55799.
pub const MAGIC: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// The format version this module reads and writes.
pub const VERSION: u64 = 1;

/// At most so many keys, and so many heads: each key is tried on each head.
const MAX_KEYS: usize = 16;
const MAX_HEADS: usize = 1_000;
/// At most so many anchors, which otherwise could be empty ones by the million.
pub(crate) const MAX_ANCHORS: usize = 1_000;

/// All that is said of what CBOR cannot be: its words differ where integers have 32 bits, and must not
/// repeat a stranger's text.
const UNREADABLE: &str = "it cannot be read to its end";

/// The content of an evidence file. The fields stand in the order of their deterministic encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Format version: 1.
    pub v: u64,
    /// The model card, RFC 8785 JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<ByteBuf>,
    /// The verifier keys that the producer says it signs with. They show that the file agrees with
    /// itself; they never count as chosen.
    #[serde(deserialize_with = "list::<MAX_KEYS, String, _, _>")]
    pub keys: Vec<String>,
    /// Signed tree heads, oldest first.
    pub heads: Vec<Head>,
    /// Published heads, by sequence number.
    #[serde(deserialize_with = "list::<MAX_ANCHORS, Anchor, _, _>")]
    pub anchors: Vec<Anchor>,
    /// The entries.
    pub entries: Entries,
    /// Private fields that the producer chose to open.
    pub openings: Vec<DisclosedOpening>,
}

/// A signed tree head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The signed note: a C2SP checkpoint.
    pub note: String,
    /// The RFC 6962 consistency proof from the head before it in the file; empty for the first.
    pub proof: Vec<HashBytes>,
}

/// Which entries are in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entries {
    /// All entries of the newest head, in order.
    #[serde(deserialize_with = "list::<{ usize::MAX }, EntryBytes, _, _>")]
    All(Vec<ByteBuf>),
    /// Some entries, by increasing index, each with its inclusion proof in the newest head.
    Some(Vec<ProvenEntry>),
}

/// An entry with its inclusion proof: `[index, entry, [hash, …]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEntry(
    /// The index.
    pub u64,
    /// The entry.
    #[serde(deserialize_with = "entry")]
    pub ByteBuf,
    /// The inclusion path, from the leaf's sibling up.
    pub Vec<HashBytes>,
);

/// A hash, written as a byte string.
pub type HashBytes = serde_bytes::ByteArray<32>;

/// Why a file cannot be read as evidence.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Something else altogether.
    #[error(
        "this is not an evidence file, which would begin with the bytes d9 d9 f7. Ask the producer for the .evidence file"
    )]
    Foreign,
    /// It begins like one and breaks off, or is damaged.
    #[error("this evidence file is cut short or damaged: {0}. Ask for it again")]
    Damaged(String),
    /// It decodes, but is not written the one way it must be.
    #[error(
        "this evidence file is not deterministic CBOR, as the format demands. Ask the producer for it again"
    )]
    NotDeterministic,
    /// It begins like a tlog-proof and is none that can be verified alone.
    #[error("{0}")]
    Proof(&'static str),
    /// Nothing that holds a signed head.
    #[error(
        "this holds no signed tree head; bring an evidence file, a .tlog-proof or a log's signed checkpoint"
    )]
    NoHead,
    /// Of a later version.
    #[error(
        "this evidence file is of version {0} and this program reads version {VERSION}. Use a newer verifier"
    )]
    Version(u64),
}

impl Evidence {
    /// The bytes of the file.
    ///
    /// # Errors
    /// None in practice: every field can be written.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The writer's.
    pub fn write<W: io::Write>(&self, mut out: W) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        ciborium::into_writer(self, out).map_err(|e| match e {
            ciborium::ser::Error::Io(e) => e,
            ciborium::ser::Error::Value(e) => io::Error::other(e),
        })
    }

    /// Reads a file; nothing is verified yet.
    ///
    /// # Errors
    /// It is not an evidence file of this version, whole and deterministically encoded.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(EvidenceError::Foreign)?;
        let evidence: Self = ciborium::de::from_reader_with_recursion_limit(body, 16).map_err(
            |_| match version(body) {
                Some(v) if v != VERSION => EvidenceError::Version(v),
                _ => EvidenceError::Damaged(UNREADABLE.into()),
            },
        )?;
        if evidence.v != VERSION {
            return Err(EvidenceError::Version(evidence.v));
        }
        if evidence.keys.is_empty() {
            return Err(EvidenceError::Damaged("it names no key".into()));
        }
        if evidence.heads.len() > MAX_HEADS {
            return Err(EvidenceError::Damaged(format!(
                "it holds more than {MAX_HEADS} tree heads"
            )));
        }
        let mut same = Compare { rest: bytes };
        match evidence.write(&mut same) {
            Ok(()) if same.rest.is_empty() => Ok(evidence),
            Ok(()) => Err(EvidenceError::Damaged("there are bytes after its end".into())),
            Err(_) => Err(EvidenceError::NotDeterministic),
        }
    }
}

/// The version field of what may be a later version of the format.
fn version(body: &[u8]) -> Option<u64> {
    // `v` is the shortest key and so the first: map head, 61 76, then the number.
    let after_head = body.get(1..)?.strip_prefix(&[0x61, b'v'])?;
    ciborium::from_reader(after_head).ok()
}

/// A byte string that could be an event. Millions of tiny ones would take far more memory than the file.
struct EntryBytes(ByteBuf);

impl<'de> Deserialize<'de> for EntryBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        if (MIN_ENCODED..=MAX_ENCODED).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(D::Error::custom("an entry of a size that no event has"))
        }
    }
}

impl From<EntryBytes> for ByteBuf {
    fn from(EntryBytes(bytes): EntryBytes) -> Self {
        bytes
    }
}

fn entry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteBuf, D::Error> {
    EntryBytes::deserialize(deserializer).map(Into::into)
}

/// A list of at most `MAX` items, each read as a `T`. No memory is taken for more of them than there are,
/// whatever the list says of its length.
fn list<'de, const MAX: usize, T, U, D>(deserializer: D) -> Result<Vec<U>, D::Error>
where
    T: Deserialize<'de> + Into<U>,
    D: Deserializer<'de>,
{
    struct Items<const MAX: usize, T, U>(PhantomData<(T, U)>);

    impl<'de, const MAX: usize, T, U> Visitor<'de> for Items<MAX, T, U>
    where
        T: Deserialize<'de> + Into<U>,
    {
        type Value = Vec<U>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<U>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = sequence.next_element::<T>()? {
                if items.len() == MAX {
                    return Err(A::Error::custom("too many items"));
                }
                items.push(item.into());
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items::<MAX, T, U>(PhantomData))
}

/// A writer that compares instead of keeping: deterministic means that writing it again gives the
/// same bytes, and this shows it without a second copy in memory.
struct Compare<'a> {
    rest: &'a [u8],
}

impl io::Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cbor;
    use proptest::prelude::*;

    fn sample() -> Evidence {
        Evidence {
            v: VERSION,
            card: Some(ByteBuf::from(*b"{}")),
            keys: vec!["key".into()],
            heads: vec![Head { note: "note".into(), proof: vec![HashBytes::new([1; 32])] }],
            anchors: vec![],
            entries: Entries::Some(vec![ProvenEntry(0, ByteBuf::from([7; MIN_ENCODED]), vec![])]),
            openings: vec![DisclosedOpening {
                r: vec![1; 32],
                field: "reward".into(),
                index: 0,
                content: vec![3],
            }],
        }
    }

    #[test]
    fn what_serde_writes_is_deterministic_cbor() {
        for entries in [sample().entries, Entries::All(vec![ByteBuf::from([7; MIN_ENCODED])])] {
            for card in [None, sample().card] {
                let bytes =
                    Evidence { entries: entries.clone(), card, ..sample() }.to_bytes().unwrap();
                cbor::decode(&bytes[MAGIC.len()..]).unwrap();
            }
        }
    }

    #[test]
    fn survives_the_round_trip() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(Evidence::parse(&bytes).unwrap(), sample());
    }

    #[test]
    fn foreign_truncated_longer_and_later_files_are_told_apart() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(Evidence::parse(b"%PDF-1.7"), Err(EvidenceError::Foreign));
        assert_eq!(Evidence::parse(b""), Err(EvidenceError::Foreign));
        for cut in MAGIC.len()..bytes.len() {
            let error = Evidence::parse(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, EvidenceError::Damaged(_)), "cut at {cut}: {error}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(Evidence::parse(&longer), Err(EvidenceError::Damaged(_))));
        let later = Evidence { v: 2, ..sample() }.to_bytes().unwrap();
        assert_eq!(Evidence::parse(&later), Err(EvidenceError::Version(2)));
        let mut value = cbor::decode(&bytes[MAGIC.len()..]).unwrap();
        if let ciborium::Value::Map(pairs) = &mut value {
            pairs[0].1 = 3.into();
            pairs.push(("new".into(), 1.into()));
        }
        let later = [MAGIC.as_slice(), &cbor::encode(&value).unwrap()].concat();
        assert_eq!(Evidence::parse(&later), Err(EvidenceError::Version(3)));
    }

    #[test]
    fn many_tiny_items_are_refused_before_they_take_memory() {
        let empty = Anchor { stamp: None, bundle: ByteBuf::new() };
        let anchors = Evidence { anchors: vec![empty.clone(); MAX_ANCHORS + 1], ..sample() };
        let keys = Evidence { keys: vec![String::new(); MAX_KEYS + 1], ..sample() };
        for evidence in [anchors, keys] {
            let error = Evidence::parse(&evidence.to_bytes().unwrap()).unwrap_err();
            assert!(matches!(error, EvidenceError::Damaged(_)), "{error}");
        }
        let most = Evidence { anchors: vec![empty.clone(); MAX_ANCHORS], ..sample() };
        assert_eq!(Evidence::parse(&most.to_bytes().unwrap()).unwrap(), most);
    }

    proptest! {
        #[test]
        fn strangers_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Evidence::parse(&[MAGIC.as_slice(), &body].concat());
        }
    }
}
