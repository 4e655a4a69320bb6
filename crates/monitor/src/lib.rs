//! Watches a log: that it only grows, that its published heads have no gap and no conflict, and that
//! no other head stands under the publishing key in the public logs.
//!
//! An anchor shows that a head was published; only someone who reads every entry of the public logs can
//! say that no other was. Rekor v2 has no search, so its tiles are read, each entry once.
//!
//! | module | subject |
//! |---|---|
//! | `source` | where files are read from |
//! | `state` | what is remembered from one look to the next |
//! | `heads` | two heads of one log: grown, shrunk or forked |
//! | `published` | the sequence of published heads |
//! | `public` | the public logs, entry by entry |
//! | `report` | what a look found |
//!
//! Nothing here touches a file, a clock or the network; [`Watch`] is given them.
#![forbid(unsafe_code)]

mod heads;
mod public;
mod published;
mod report;
mod source;
mod state;

use trail::anchor::{AnchorTrust, PublicLog};
use trail::checkpoint::Checkpoint;
use trail::note::{Note, VerifierKey};

pub use report::{Coverage, Evidence, Finding, Kind, NotCovered, Report};
pub use source::{Fault, Source};
pub use state::State;

use heads::Step;
use report::Recorder;
use state::SeenHead;

/// What is watched, and whose keys count.
pub struct Watch<'a> {
    /// The log's files.
    pub log: &'a dyn Source,
    /// The log keys of the policy.
    pub keys: &'a [VerifierKey],
    /// The publishing keys and public logs of the policy, if it has any.
    pub trust: Option<&'a AnchorTrust>,
    /// The public logs' files, below `/api/v2`; those not in here are not read.
    pub public: Vec<(PublicLog, Box<dyn Source + 'a>)>,
    /// Read a public log that was not read before from its present end on, instead of from its first
    /// entry.
    pub from_now: bool,
    /// How long an entry under the publishing key may precede its anchor in the log's folder, in
    /// microseconds: a publisher writes the anchor only once the entry is in.
    pub grace: u64,
    /// The present time, microseconds since 1970.
    pub now: u64,
}

impl Watch<'_> {
    /// Looks once. `save` is called in the course of long reading, with what was read so far. The state
    /// is worth keeping when the report says that everything could be reached.
    pub fn look(&self, state: &mut State, save: &mut dyn FnMut(&State)) -> Report {
        let mut report = Recorder::new(self.now);
        // The order keeps what is written meanwhile from looking wrong: each part must be in the next.
        let publics = self.read_public_heads(&mut report);
        let anchors = match published::load(self.log, &state.published) {
            Ok(anchors) => anchors,
            Err(fault) => {
                report.unreachable(&fault);
                return report.finish(state, self);
            }
        };
        let Some(head) = self.look_at_head(state, &mut report) else {
            return report.finish(state, self);
        };
        if let Some(trust) = self.trust {
            let more = anchors.more;
            let all = published::follow(self, trust, anchors, &head, state, &mut report);
            if more {
                // Entries of heads that are not read yet would look unknown.
                report.note(
                    "there are more published heads than are read at once; look again".into(),
                );
                return report.finish(state, self);
            }
            for (position, checkpoint) in publics {
                let (log, source) = &self.public[position];
                public::follow(self, log, source.as_ref(), &checkpoint, state, &mut report, save);
            }
            // Without all published heads the entries of some would look unknown.
            if all {
                public::judge_unknown(self, state, &mut report);
            }
        }
        report.finish(state, self)
    }

    fn read_public_heads(&self, report: &mut Recorder) -> Vec<(usize, public::Head)> {
        let mut heads = Vec::new();
        for (position, (log, source)) in self.public.iter().enumerate() {
            match public::read_head(log, source.as_ref()) {
                Ok(head) => heads.push((position, head)),
                Err(fault) => report.unreachable(&fault),
            }
        }
        heads
    }

    /// The log's head, if it is one that may be followed.
    fn look_at_head(&self, state: &mut State, report: &mut Recorder) -> Option<Checkpoint> {
        let (text, note, head) = match self.read_head() {
            Ok(read) => read,
            Err(fault) => {
                report.unreachable(&fault);
                return None;
            }
        };
        let key = self.keys.iter().find(|key| key.name() == head.origin);
        if !key.is_some_and(|key| matches!(note.verify(key), Ok(Some(_)))) {
            report.finding(
                Kind::Unsigned,
                format!(
                    "the log's checkpoint, of {}, is not signed by a log key of your policy",
                    head.origin
                ),
                vec![("checkpoint", text.into_bytes())],
            );
            return None;
        }
        if let Some(last) = &state.head {
            let last_head = last.checkpoint();
            if last_head.as_ref().is_some_and(|last| last.origin != head.origin) {
                report.finding(
                    Kind::Unsigned,
                    format!(
                        "the checkpoint is of the log {}, another than the one watched so far",
                        head.origin
                    ),
                    vec![("checkpoint", text.into_bytes())],
                );
                return None;
            }
            let step = match last_head {
                Some(last_head) => heads::compare(&last_head, &head, self.log),
                None => Ok(Step::Grown),
            };
            let evidence = || {
                vec![
                    ("earlier", last.note.clone().into_bytes()),
                    ("later", text.clone().into_bytes()),
                ]
            };
            match step {
                Ok(Step::Same) => {}
                Ok(Step::Grown) => report.change(format!(
                    "the log has grown from {} to {} entries",
                    last.size(),
                    head.size
                )),
                Ok(Step::Shrunk) => {
                    report.finding(
                        Kind::Rollback,
                        format!("the log had {} entries and now shows {}", last.size(), head.size),
                        evidence(),
                    );
                    return None;
                }
                Ok(Step::Forked) => {
                    report.finding(
                        Kind::Fork,
                        format!(
                            "the log's head of {} entries is no continuation of its head of {} entries; both are signed with its key",
                            head.size, last.size()
                        ),
                        evidence(),
                    );
                    return None;
                }
                Ok(Step::Unproven(reason)) => {
                    report.finding(
                        Kind::Unproven,
                        format!(
                            "that the head of {} entries continues the one of {} cannot be shown from the log's tiles: {reason}",
                            head.size, last.size()
                        ),
                        evidence(),
                    );
                    return None;
                }
                Err(fault) => {
                    report.unreachable(&fault);
                    return None;
                }
            }
        } else {
            report.change(format!("first look: the log {} has {} entries", head.origin, head.size));
        }
        state.head = Some(SeenHead { note: text, at: self.now });
        Some(head)
    }

    fn read_head(&self) -> Result<(String, Note, Checkpoint), Fault> {
        let text = source::text(self.log, "checkpoint")?;
        let wrong = |why: String| Fault::new(format!("{}: {why}", self.log.name("checkpoint")));
        let note = Note::parse(&text).map_err(|e| wrong(e.to_string()))?;
        let head = Checkpoint::parse(&note.text).map_err(|e| wrong(e.to_string()))?;
        Ok((text, note, head))
    }
}
