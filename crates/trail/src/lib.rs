//! The portable core of RLHF Audit Trail: what an event is, how events become a Merkle log, and how
//! a stranger checks the log and the claims made from it.
//!
//! Nothing here touches a file, a clock, a random number or a thread, so that the same code runs in
//! the producer, on the command line and, compiled to WebAssembly, in an auditor's browser.
//!
//! | module | subject |
//! |---|---|
//! | [`cbor`] | deterministic CBOR (RFC 8949 §4.2.1) |
//! | [`event`], [`schema`], [`view`] | one logged event, what it must hold, and its JSON view |
//! | [`commitment`] | commitments to private fields, and their openings |
//! | [`merkle`], [`tile`] | the RFC 6962 tree and its C2SP tlog-tiles layout |
//! | [`range`] | proofs of consecutive leaves |
//! | [`names`], [`order`] | a small map by name, and sorting: less code than the standard library's |
//! | [`note`], [`checkpoint`], [`proof`] | signed notes, tree heads, proofs of one entry |
//! | [`handover`] | keys that take over from others |
//! | [`anchor`] | tree heads published where others watch |
//! | [`released`] | values released one by one, and the rounds that account for them |
//! | [`card`] | the model card derived from the events |
//! | [`regulatory`] | the report on a period, derived from the events |
//! | [`weights`] | what the events say about the model's weights |
//! | [`sketch`], [`drift`] | sketches of weights, and how far they say that weights moved |
//! | [`evidence`] | the file a regulator receives |
//! | [`tlog_policy`], [`policy`] | whose signatures the verifying person accepts |
//! | [`verify`], [`report`] | the one verification function and what it answers |
#![forbid(unsafe_code)]

pub mod anchor;
pub mod card;
pub mod cbor;
pub mod checkpoint;
pub mod commitment;
pub mod drift;
pub mod event;
pub mod evidence;
pub mod handover;
pub mod merkle;
pub mod names;
pub mod note;
pub mod object;
pub mod order;
pub mod policy;
pub mod proof;
pub mod range;
pub mod regulatory;
pub mod released;
pub mod report;
pub mod schema;
pub mod sketch;
pub mod tile;
pub mod time;
pub mod tlog_policy;
pub mod verify;
pub mod view;
mod vkey;
pub mod weights;

pub use event::{Event, EventType, RunId};
pub use merkle::Hash;
