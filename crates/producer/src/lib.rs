//! The audit engine: takes human feedback and training events, and keeps them in a log that cannot be
//! rewritten unnoticed, with the private content sealed beside it.
//!
//! [`Audit`] writes a log, [`LogReader`] reads the public part of one. A folder holds one log:
//!
//! | path | what it is |
//! |---|---|
//! | `checkpoint`, `tile/` | the public log (<https://c2sp.org/tlog-tiles>); any web server can serve it |
//! | `cards/`, `reports/`, `heads/`, `documents/`, `tables/` | model cards, regulatory reports, the heads that these speak of, that were published or cosigned, documents too large for an event, the tensors of logged weights |
//! | `anchors/` | what shows that heads were published: bundles and time stamps |
//! | `keys/` | proofs of the entries in which a key took over from another or was taken out of use |
//! | `policy/` | a trust policy with the log's own keys, for trying out |
//! | `private/log.key`, `private/publisher.key`, `private/vault.key` | the signing keys of heads and of publications, and the vault's master key |
//! | `private/log-ml-dsa-44.key` | in a hybrid log, the key of the second signature of every head |
//! | `private/next/`, `private/former/` | keys that are to take over, and those that have handed over and are not retired |
//! | `private/publish/` | heads on their way to being published |
//! | `private/vault.redb`, `private/subjects` | the sealed private content, and the keys of its subjects |
//! | `private/privacy/ledger` | who was charged what for the release of noised values |
//! | `private/wal`, `private/head` | what makes it survive a crash |
//! | `private/erasure.json`, `private/vault.next` | an erasure that is being carried out |
//!
//! Private content is in `private/vault.redb` and, for the moment until it is carried there, in
//! `private/wal`; in both it is sealed. The engine runs on Unix.
#![forbid(unsafe_code)]

mod anchors;
mod annotation;
mod annotations;
#[doc(hidden)]
pub mod answers;
mod audit;
mod card;
mod copied;
mod cosigner;
mod deferred;
mod disclosure;
mod disk;
mod documents;
mod erasure;
#[cfg(test)]
mod erasure_survival;
mod error;
mod evidence;
#[cfg(test)]
mod faults;
mod folder;
mod head;
mod held;
mod http;
mod import;
mod judgement;
mod key_list;
mod keys;
mod log;
mod past;
mod person;
mod printable;
mod privacy;
mod pruning;
mod publish;
mod reader;
mod regulatory;
mod rotation;
#[cfg(test)]
mod rotation_survival;
mod seal;
mod sequencer;
mod signer;
#[cfg(test)]
mod snapshot;
mod subjects;
#[cfg(test)]
mod survival;
mod transaction;
mod vault;
mod verification;
mod wal;
mod weights;
pub mod witness;

pub use anchors::{Published, published_size};
pub use annotation::{Annotation, AnnotationFault};
pub use annotations::{Phase, Progress};
pub use audit::{Audit, InitOptions, Initialised};
pub use card::LoggedCard;
pub use copied::Copied;
pub use deferred::Deferred;
pub use disclosure::Disclosed;
pub use disk::{write_private, write_whole};
pub use erasure::{Erased, Scope};
pub use error::{Error, Result};
pub use evidence::EntryChoice;
pub use head::SignedHead;
pub use import::{Annotated, ImportOptions, Imported, LeftOut};
pub use judgement::Judgement;
pub use key_list::{KeyState, LoggedChange, State};
pub use keys::Passphrase;
pub use past::NotPast;
pub use person::{Person, PersonRecord};
pub use printable::printable;
pub use privacy::{
    Cost, MIN_GROUP, Noise, PrivacyMode, PrivacyPlan, PrivacyReport, PrivacySettings, Released,
    ReleasedValue, Round, RoundCost, RoundRequest, privacy_report,
};
pub use publish::{
    Backoff, LogUrl, Publication, PublishOptions, PublishedIn, Publisher, RekorVersion, Services,
    Setback, Step, Waiting,
};
pub use reader::{Entries, LogReader};
pub use regulatory::LoggedReport;
pub use rotation::{Retired, Rotated};
pub use signer::{FileSigner, Signer};
pub use transaction::{Logged, Transaction};
pub use weights::{LoggedCheckpoint, LoggedUpdate, Moved, UpdateOptions, Weighed};
