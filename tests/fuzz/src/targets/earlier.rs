//! Earlier records of a log, as `verify --earlier` reads them: evidence, a tlog-proof or a checkpoint, held
//! against each of the later records in the vectors.

use std::cell::LazyCell;
use std::fs;
use std::path::Path;

use trail::checkpoint::Checkpoint;
use trail::evidence::{Entries, Evidence, MAGIC};
use trail::note::Note;
use trail::proof::LogProof;
use trail::report::{HistoryHead, HistoryReport, Outcome};
use trail::verify::{Earlier, Question, verify};

use crate::claims;
use crate::handovers;
use crate::memory::bounded;
use crate::reports::{self, Asked, size_and_root};
use crate::signer;
use crate::tree::{self, Hash};

/// Records that lead on from an earlier one by their entries, by their heads, and not at all.
const LATER: [&str; 3] = ["large", "large-since-small", "large-without-entries"];

struct Later {
    bytes: Vec<u8>,
    evidence: Evidence,
}

thread_local! {
    static RECORDS: LazyCell<Vec<Later>> = LazyCell::new(|| LATER.map(Later::open).into());
    /// Of all entries of the log in the vectors.
    static LEAVES: LazyCell<Vec<Hash>> =
        LazyCell::new(|| leaves(&Later::open("large").evidence).unwrap());
}

pub fn run(input: &[u8]) {
    let read = bounded(input.len(), 8, || Earlier::parse(input));
    assert_eq!(read.is_ok(), is_record(input), "two readers disagree");
    let Ok(earlier) = read else { return };
    let newest = earlier.newest();
    if let Some((note, head)) = &newest {
        assert_eq!(size_and_root(note), (head.size, head.root));
        assert!(note.starts_with(&format!("{}\n", head.origin)));
    }
    let record = Evidence::parse(input).ok();
    let entries = record.as_ref().and_then(leaves);
    RECORDS.with(|records| {
        for later in records.iter() {
            let question = Question { earlier: Some(&earlier), ..Question::default() };
            let call = || verify(&later.bytes, &question);
            let length = input.len() + later.bytes.len();
            let report = bounded(length, 512, call).unwrap();
            reports::assert_sound(&report, &later.evidence, Asked::default());
            let history = report.history.as_ref().unwrap();
            assert_history(history, entries.as_deref(), record.as_ref());
        }
    });
}

fn is_record(input: &[u8]) -> bool {
    if input.starts_with(&MAGIC) {
        return Evidence::parse(input).is_ok();
    }
    let Ok(text) = str::from_utf8(input) else { return false };
    let head = |note: &str| Note::parse(note).is_ok_and(|n| Checkpoint::parse(&n.text).is_ok());
    match LogProof::is_one(input) {
        true => LogProof::parse(text).is_ok_and(|proof| head(&proof.checkpoint)),
        false => head(text),
    }
}

fn assert_history(history: &HistoryReport, entries: Option<&[Hash]>, record: Option<&Evidence>) {
    let said = (history.earlier.as_ref(), history.later.as_ref());
    if history.contradiction {
        assert_eq!(history.result, Outcome::Fail);
    }
    if history.result == Outcome::Pass || history.contradiction {
        let (Some(earlier), Some(later)) = said else { panic!("both heads are shown") };
        let handed_over = record.is_some_and(|evidence| {
            handovers::signed_by_the_log(evidence, &claims::read(evidence))
        });
        assert_signed(earlier, handed_over);
        assert_signed(later, handed_over);
        assert!(earlier.size <= later.size || history.contradiction);
        if history.result == Outcome::Pass {
            assert_prefix(history, entries);
        } else {
            assert_contradiction(earlier, later);
        }
    }
}

/// By the secret key of the log, or of the one that it has handed over to, and says what the report says.
fn assert_signed(head: &HistoryHead, handed_over: bool) {
    let by_successor = handed_over && signer::successor().signed(&head.note);
    assert!(signer::log().signed(&head.note) || by_successor, "a forged head is shown");
    let (size, root) = size_and_root(&head.note);
    assert_eq!((size, hex::encode(root)), (head.size, head.root.clone()));
    assert!(!head.signed_by.is_empty());
}

/// What is called a prefix is one.
fn assert_prefix(history: &HistoryReport, entries: Option<&[Hash]>) {
    let earlier = history.earlier.as_ref().unwrap();
    let (size, root) = size_and_root(&earlier.note);
    let leaves = LEAVES.with(|leaves| leaves.to_vec());
    let larger = if history.reversed { entries.unwrap_or(&leaves) } else { &leaves };
    assert_eq!(tree::root(&larger[..size as usize]), root, "it is no prefix");
}

/// What the vectors' key signed of the log is in the entries; what contradicts it is not.
fn assert_contradiction(earlier: &HistoryHead, later: &HistoryHead) {
    let agrees = |head: &HistoryHead| {
        LEAVES.with(|leaves| {
            let first = leaves.get(..head.size as usize).map(tree::root);
            first.is_some_and(|root| hex::encode(root) == head.root)
        })
    };
    assert!(!agrees(earlier) || !agrees(later), "two heads of one log contradict nothing");
}

fn leaves(evidence: &Evidence) -> Option<Vec<Hash>> {
    match &evidence.entries {
        Entries::All(all) => Some(all.iter().map(|entry| tree::leaf(entry)).collect()),
        Entries::Some(_) => None,
    }
}

impl Later {
    fn open(name: &str) -> Self {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../transparency/vectors");
        let bytes = fs::read(vectors.join(format!("histories/{name}.evidence"))).unwrap();
        Self { evidence: Evidence::parse(&bytes).unwrap(), bytes }
    }
}
