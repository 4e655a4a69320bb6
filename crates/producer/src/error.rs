//! What can go wrong, said so that the reader knows which file, which place in it and what to do.
//!
//! No message repeats the content of a prompt, a response, a rating or a key: errors end up in
//! terminals and bug reports, where private content must not.

use std::io;
use std::path::{Path, PathBuf};

use privacy::mechanism::MechanismError;
use thiserror::Error;
use trail::event::{EventError, EventType};
use trail::regulatory::ReportError;
use weight_digest::checkpoint::CheckpointError;
use weight_digest::compute::StructureChange;
use weight_digest::part::PartError;

use crate::annotation::AnnotationFault;
use crate::past::NotPast;

/// The result of an operation on a log.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a log failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{}: could not {doing}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as in "could not …".
        doing: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The folder holds no log.
    #[error(
        "{}: no log here (private/log.json is missing); make one with `rlhf-audit init`", .0.display()
    )]
    NotALog(PathBuf),
    /// A new log needs a folder of its own.
    #[error("{}: the folder is not empty; choose a new or an empty one", .0.display())]
    NotEmpty(PathBuf),
    /// A file that belongs to the log is not there.
    #[error(
        "{}: the file is missing; restore the whole folder from a backup, never a part of it", .0.display()
    )]
    Missing(PathBuf),
    /// Another process writes to the log.
    #[error(
        "{}: another process{} is writing to this log; wait until it has finished",
        path.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The log's folder.
        path: PathBuf,
        /// The other process, where it is known.
        pid: Option<u32>,
    },
    /// Another process publishes the log's heads.
    #[error(
        "{}: another process{} is publishing the heads of this log; wait until it has finished",
        path.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Publishing {
        /// The log's folder.
        path: PathBuf,
        /// The other process, where it is known.
        pid: Option<u32>,
    },
    /// What is needed for publishing is missing or cannot be used.
    #[error("{0}")]
    Publish(String),
    /// Others than the owner may read a secret.
    #[error(
        "{}: others than the owner may read this key (mode {mode:04o}); run `chmod 600` on it", path.display()
    )]
    KeyMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The keys are under a passphrase and none was given.
    #[error("{}: the key is under a passphrase; give it", .0.display())]
    PassphraseNeeded(PathBuf),
    /// The passphrase does not open the key.
    #[error("{}: this passphrase does not open the key", .0.display())]
    PassphraseWrong(PathBuf),
    /// A file's content is not what it must be.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do where something can be done.
        why: String,
    },
    /// The published head is ahead of the private one.
    #[error(
        "{}: the published head has {published} entries and the private one only {private}: this folder was \
         restored from an older copy. Signing again could contradict a head that others hold; restore the newest \
         copy, or start a new log",
        path.display()
    )]
    RolledBack {
        /// The published checkpoint's file.
        path: PathBuf,
        /// Its size.
        published: u64,
        /// The size of the private head.
        private: u64,
    },
    /// The vault's database failed.
    #[error("{}: {why}", path.display())]
    Vault {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        why: String,
    },
    /// An origin that cannot name a log.
    #[error(
        "`{0}` cannot be a log's origin: use a name like a URL without its scheme, without spaces and plus signs, \
         for example `logs.example.org/reward-model`"
    )]
    Origin(String),
    /// An origin that a hybrid log cannot have.
    #[error(
        "a hybrid log's origin has at most 255 bytes, the longest name that its second signature takes"
    )]
    LongOrigin,
    /// A model name that is empty or not one line of text.
    #[error("the model's name must be one line of text")]
    Model,
    /// An event that cannot be encoded.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A type of event that has its own way into the log.
    #[error("events of type `{0}` are not logged directly: {1}")]
    Reserved(EventType, &'static str),
    /// No run is open.
    #[error("no run is open in this log")]
    NoRun,
    /// A run is open already.
    #[error("a run is open in this log; end it first")]
    RunOpen,
    /// Weights that cannot be digested.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// Weights in memory that cannot be digested.
    #[error(transparent)]
    Held(#[from] PartError),
    /// Two checkpoints that do not hold the same tensors.
    #[error(
        "{} and {} do not hold the same tensors: {}. If that is meant, say --allow-structure-change",
        base.display(),
        next.display(),
        list_changes(changes)
    )]
    Structure {
        /// The checkpoint before.
        base: PathBuf,
        /// The checkpoint after.
        next: PathBuf,
        /// What differs.
        changes: Vec<StructureChange>,
    },
    /// Two whole sketches are larger than an event.
    #[error(
        "the first update of a run holds the whole sketch of {}, from which drift is counted, and has no room for a \
         second one; log the weights before as a checkpoint first: rlhf-audit log checkpoint DIR base --weights {}",
        base.display(),
        base.display()
    )]
    TwoSketches {
        /// The weights before.
        base: PathBuf,
    },
    /// A checkpoint needs a name.
    #[error("a checkpoint's name must be one line of text of at most 200 bytes")]
    CheckpointName,
    /// An update that cannot have learned from released values.
    #[error(
        "the update cannot have learned from released values: the annotation in entry {0} has none (only a log made \
         with `--privacy moderate` releases them)"
    )]
    NotReleased(u64),
    /// A range that names no entries of this log.
    #[error("there are no entries {first}..{end} in this log of {size} entries")]
    NoSuchRange {
        /// Its first entry.
        first: u64,
        /// The entry after its last.
        end: u64,
        /// The number of entries.
        size: u64,
    },
    /// The log cannot grow further.
    #[error("the log is full: it holds 2^53 - 1 entries")]
    Full,
    /// A card that JSON cannot hold.
    #[error("the model card cannot be written: {0}")]
    Card(String),
    /// A regulatory report that cannot be derived.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A field that cannot be opened.
    #[error("entry {index} has no private field `{field}` that could be opened")]
    NoOpening {
        /// The entry.
        index: u64,
        /// The field asked for.
        field: String,
    },
    /// An erasure was under way when something failed.
    #[error(
        "{source}. The erasure was under way: the next command on this log finishes it, or finds that nothing was \
         erased"
    )]
    ErasureUnfinished {
        /// What failed.
        source: Box<Error>,
    },
    /// Fields that were erased, and so cannot be opened.
    #[error("nothing was opened: erased, and not to be opened by anybody any more: {}", list(.0))]
    Erased(Vec<String>),
    /// An auditor needs a name.
    #[error("an auditor's name must be one line of text of at most 200 bytes")]
    AuditorName,
    /// Nobody with this id has given anything that is still there.
    #[error(
        "{}: nothing of this annotator is in this log; give the id exactly as it was logged. What was erased before \
         is not found again", .0.display()
    )]
    UnknownAnnotator(PathBuf),
    /// No private record with this prompt is still there.
    #[error(
        "{}: no private record with this prompt is in this log; give the SHA-256 of the prompt's text in UTF-8, not \
         the `prompt_hash` of an event, which is a commitment. What was erased before is not found again", .0.display()
    )]
    UnknownPrompt(PathBuf),
    /// New keys for people whose privacy budget is kept by their keys.
    #[error(
        "{}: what was given on one prompt cannot be erased in a log with a privacy budget, because what was charged is \
         kept by each person's key, and those would change; erase all that a person gave (--annotator) instead",
        .0.display()
    )]
    PromptInPrivateLog(PathBuf),
    /// A witness has seen another log than the one in this folder.
    #[error(
        "{}: nothing more is signed: {why}. Restore the newest copy of the whole folder, or start a new log; if it \
         is the witness that is wrong, remove this file",
        path.display()
    )]
    Contradicted {
        /// The file that holds the evidence.
        path: PathBuf,
        /// What the witness has seen.
        why: String,
    },
    /// No service can be asked at this address.
    #[error("{url}: {why}")]
    ServiceUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No service can be asked over HTTP.
    #[error("HTTP cannot be used: {0}")]
    Http(String),
    /// Not a signed head at all.
    #[error("{0}")]
    NoHead(String),
    /// A head that was given away before is not of this log's history.
    #[error("the head that was given away before is not of this log's history: {}", .0.why)]
    NotPast(Box<NotPast>),
    /// There is no such entry.
    #[error("there is no entry {index}: the log has {size} entries")]
    NoEntry {
        /// The index asked for.
        index: u64,
        /// The number of entries.
        size: u64,
    },
    /// An annotation given by a program is not one.
    #[error("the annotation cannot be logged: {0}")]
    Annotation(AnnotationFault),
    /// A line of an annotation file is broken, so nothing was imported.
    #[error(
        "{}, line {line}: {fault}{}. Nothing was logged: correct the file, or import the other lines with \
         `--keep-going`",
        path.display(),
        if *others == 0 { String::new() } else { format!(" ({others} more broken lines)") }
    )]
    BrokenLine {
        /// The annotation file.
        path: PathBuf,
        /// The first broken line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: AnnotationFault,
        /// How many more lines are broken.
        others: u64,
    },
    /// The annotation file cannot be imported as a whole.
    #[error("{}: {why}", path.display())]
    Import {
        /// The annotation file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key's keeper did not sign.
    #[error("the head could not be signed: {0}")]
    Signer(String),
    /// The events are safe, but finishing the log's files failed.
    #[error(
        "{source}. The {events} new events are safe in {}; the next command on this log finishes them",
        wal.display()
    )]
    Unfinished {
        /// The write-ahead log that holds them.
        wal: PathBuf,
        /// How many there are.
        events: u64,
        /// What failed.
        source: Box<Error>,
    },
    /// The commit's own sync failed, so its outcome is known only after the next start.
    #[error("{source}. Whether these events were logged shows when the log is opened again")]
    Undecided {
        /// What failed.
        source: Box<Error>,
    },
    /// Privacy settings that cannot be kept.
    #[error("{0}")]
    PrivacySettings(String),
    /// Noise could not be drawn.
    #[error("no noise was drawn: {0}")]
    Noise(MechanismError),
    /// A round that would cost more than is left.
    #[error(
        "nothing was released: epsilon {epsilon} in all, at delta {delta:e}, is the most for one annotator, and of \
         those whose ratings this would use, {people} have less left than it costs them (rho {cost:.3e}; the least \
         left is {left:.3e}){}. Nothing was drawn or charged",
        list_places(places)
    )]
    Budget {
        /// ε of the budget.
        epsilon: f64,
        /// δ of the budget.
        delta: f64,
        /// How many of those who take part have too little left.
        people: u64,
        /// Where each of them comes first in what was to be logged, as a line's or an annotation's number from 1;
        /// nothing of what is in the log already.
        places: Vec<u64>,
        /// What the round costs one of them at most, in zCDP.
        cost: f64,
        /// What is left to the one who has least.
        left: f64,
    },
    /// A batch with more of one annotator than a round may cost.
    #[error(
        "nothing was logged or released: epsilon {epsilon} a round is the most for one annotator and covers {cap} \
         values, and {people} of those in this batch gave more, up to {most}{}. Nothing was drawn or charged; log \
         smaller batches",
        list_places(places)
    )]
    BatchBudget {
        /// ε of a round.
        epsilon: f64,
        /// How many values of one annotator a batch may have.
        cap: u32,
        /// How many annotators have more.
        people: u64,
        /// The largest number of one annotator's.
        most: u32,
        /// Where each of them comes first, as a line's or an annotation's number from 1.
        places: Vec<u64>,
    },
    /// Values were released, and the file for them was not written.
    #[error(
        "{source}. The values are released and in the log: the same command with `--batch '{batch}'` writes them \
         without charging anything"
    )]
    ReleasedFile {
        /// The batch's name.
        batch: String,
        /// What failed.
        source: Box<Error>,
    },
    /// A round of noised values cannot be released.
    #[error("{0}")]
    Round(String),
    /// A key cannot be rotated or retired.
    #[error("{0}")]
    Key(String),
    /// An earlier error has made this writer unusable.
    #[error("an earlier error has stopped this writer; open the log again")]
    Stopped,
}

impl Error {
    /// Whether something outside this machine failed, rather than the input or a file.
    pub fn is_outside(&self) -> bool {
        match self {
            Self::Signer(_) | Self::Http(_) => true,
            Self::Unfinished { source, .. }
            | Self::Undecided { source }
            | Self::ErasureUnfinished { source } => source.is_outside(),
            _ => false,
        }
    }

    pub(crate) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}

/// The first of many things, and how many more there are.
fn list(things: &[String]) -> String {
    let mut text = things.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    if things.len() > 10 {
        text.push_str(&format!(" and {} more", things.len() - 10));
    }
    text
}

/// Whom it is about, without a name.
fn list_places(places: &[u64]) -> String {
    if places.is_empty() {
        return String::new();
    }
    let places: Vec<String> = places.iter().map(u64::to_string).collect();
    format!("; those who come first in line or annotation {}", list(&places))
}

/// How many tensors differ, and the first of them.
fn list_changes(changes: &[StructureChange]) -> String {
    let named = changes.iter().take(3);
    let mut list = named
        .map(|change| {
            format!("{} ({})", change.name.chars().take(200).collect::<String>(), change.what)
        })
        .collect::<Vec<_>>()
        .join(", ");
    if changes.len() > 3 {
        list.push_str(&format!(" and {} more", changes.len() - 3));
    }
    list
}

/// Names the file and the attempt when an [`io::Error`] passes by.
pub(crate) trait IoContext<T> {
    fn at(self, path: &Path, doing: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, path: &Path, doing: &'static str) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), doing, source })
    }
}
