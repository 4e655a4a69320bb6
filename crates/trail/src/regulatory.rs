//! The regulatory report: what the log shows of a period, section by section, and what it does not. The format is
//! in `transparency/regulatory-report.md`.
//!
//! Its statements are the claims of two model cards: one derived from the events of the period alone, one from all
//! events up to its end. So a report says nothing that a card could not, and is checked as one is.

mod markdown;
mod sections;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use thiserror::Error;

use crate::card::{AsOf, CardBuilder, Claim, ClaimKind, Pointer, known};
use crate::event::{Event, RunId};
use crate::report::NOT_PROVEN;
use crate::time::to_rfc3339;

pub use sections::Section;

/// How an event comes to be in the period.
const TIMES: &str = "Which events lie in the period follows from their times, which are the producer's word; those of \
    annotations are rounded down to the minute.";

/// Why there is no report.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportError {
    /// The period ends before it begins.
    #[error("the period ends before it begins: {} is before {}; swap the two dates", to_rfc3339(*to), to_rfc3339(*from))]
    Unordered {
        /// Where it was to begin, in microseconds since 1970.
        from: u64,
        /// Where it was to end.
        to: u64,
    },
    /// Nothing in the log lies in the period.
    #[error(
        "no entry of this log lies between {} and {}: they lie between {} and {}; choose a period that has some",
        to_rfc3339(period.from), to_rfc3339(period.to), to_rfc3339(log[0]), to_rfc3339(log[1])
    )]
    Outside {
        /// What was asked for.
        period: Period,
        /// The first and the last time in the log.
        log: [u64; 2],
    },
    /// There is nothing to report on.
    #[error("this log has no entries yet; log something first")]
    Empty,
    /// A section that there is not.
    #[error("there is no section `{name}`; the sections are {}", Section::list())]
    UnknownSection {
        /// What was asked for.
        name: String,
    },
    /// No section at all.
    #[error("the report would have no section; the sections are {}", Section::list())]
    NoSection,
    /// A value that JSON cannot hold.
    #[error("the report cannot be written: {0}")]
    Json(String),
}

/// A stretch of time, both ends in it, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    from: u64,
    to: u64,
}

impl Period {
    /// From the one to the other.
    ///
    /// # Errors
    /// They are in the other order.
    pub fn new(from: u64, to: u64) -> Result<Self, ReportError> {
        if from > to { Err(ReportError::Unordered { from, to }) } else { Ok(Self { from, to }) }
    }

    fn holds(&self, time: u64) -> bool {
        (self.from..=self.to).contains(&time)
    }
}

/// Which events a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of the period.
    Period,
    /// All up to the period's end.
    UntilEnd,
}

/// One statement: a claim as a card makes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// The claim's id.
    pub id: String,
    /// The claim in words.
    pub title: &'static str,
    /// What is claimed.
    pub value: Json,
    /// What it rests on.
    pub kind: ClaimKind,
    /// Which events it is about.
    pub scope: Scope,
    /// Provisions of the EU AI Act that ask for it.
    pub eu: Vec<String>,
    /// Subcategories of the NIST AI RMF that ask for it.
    pub nist: Vec<String>,
    /// Where its evidence is.
    pub evidence: Vec<Pointer>,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SectionReport {
    /// Its name.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What the log supports.
    pub statements: Vec<Statement>,
    /// What it does not, in sentences.
    pub not_supported: Vec<String>,
}

/// The stretch of time that a report is about, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Its beginning.
    pub from: String,
    /// Its end, which is in it.
    pub to: String,
    /// How many entries lie in it.
    pub entries: u64,
    /// The first of them and the one after the last; entries outside the period may lie between.
    pub among: [u64; 2],
    /// The first and the last time in the log.
    pub log: [String; 2],
}

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegulatoryReport {
    /// Format version: 1.
    pub v: u64,
    /// The head that it speaks of.
    pub as_of: AsOf,
    /// The period.
    pub period: Reported,
    /// The sections, in the order they were asked for.
    pub sections: Vec<SectionReport>,
    /// What holds for all of it, in sentences.
    pub notes: Vec<String>,
}

impl RegulatoryReport {
    /// The report as RFC 8785 JSON; its SHA-256 is what a `report` event holds.
    ///
    /// # Errors
    /// A value that JSON cannot hold, which claims derived here never have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReportError> {
        serde_json_canonicalizer::to_vec(self).map_err(|e| ReportError::Json(e.to_string()))
    }

    /// The report for people, as Markdown.
    pub fn to_markdown(&self) -> String {
        markdown::render(self)
    }
}

/// Derives a report from the events, in order, in memory that grows with what the report says and not with the log.
#[derive(Debug)]
pub struct ReportBuilder {
    period: Period,
    within: CardBuilder,
    until: CardBuilder,
    /// The first and the last time of each run.
    runs: BTreeMap<RunId, [u64; 2]>,
    log: Option<[u64; 2]>,
    entries: u64,
    among: Option<[u64; 2]>,
}

impl ReportBuilder {
    /// A report on a period.
    pub fn new(period: Period) -> Self {
        Self {
            period,
            within: CardBuilder::default(),
            until: CardBuilder::default(),
            runs: BTreeMap::new(),
            log: None,
            entries: 0,
            among: None,
        }
    }

    /// Takes in the event at `index`.
    pub fn add(&mut self, index: u64, event: &Event) {
        widen(self.log.get_or_insert([event.time; 2]), event.time);
        widen(self.runs.entry(event.run).or_insert([event.time; 2]), event.time);
        if event.time <= self.period.to {
            self.until.add(index, event);
        }
        if self.period.holds(event.time) {
            self.within.add(index, event);
            self.entries += 1;
            self.among.get_or_insert([index, index])[1] = index.saturating_add(1);
        }
    }

    /// The report of the events so far, as of this head.
    ///
    /// # Errors
    /// No event lies in the period, or no section is asked for.
    pub fn finish(
        &self,
        as_of: AsOf,
        sections: &[Section],
    ) -> Result<RegulatoryReport, ReportError> {
        let log = self.log.ok_or(ReportError::Empty)?;
        let among = self.among.ok_or(ReportError::Outside { period: self.period, log })?;
        if sections.is_empty() {
            return Err(ReportError::NoSection);
        }
        let statements = self.statements(&as_of);
        let sections = sections.iter().map(|section| section.report(&statements)).collect();
        Ok(RegulatoryReport {
            v: 1,
            as_of,
            period: Reported {
                from: to_rfc3339(self.period.from),
                to: to_rfc3339(self.period.to),
                entries: self.entries,
                among,
                log: log.map(to_rfc3339),
            },
            sections,
            notes: self.notes(log),
        })
    }

    /// All that can be stated, by id.
    fn statements(&self, as_of: &AsOf) -> Vec<Statement> {
        let of = |cards: &CardBuilder, scope| {
            let claims = cards.finish(as_of.clone()).claims.into_iter();
            let claims = claims.filter(move |claim| sections::speaks_of(&claim.id, scope));
            claims.map(move |claim| statement(claim, scope)).collect::<Vec<_>>()
        };
        let mut statements = of(&self.within, Scope::Period);
        let until = of(&self.until, Scope::UntilEnd);
        statements.extend(until.into_iter().filter(|statement| !self.is_of_another_run(statement)));
        statements.sort_by(|a, b| a.id.cmp(&b.id));
        statements
    }

    /// Whether it is about a run that had ended before the period began.
    fn is_of_another_run(&self, statement: &Statement) -> bool {
        let Some(run) = statement.id.strip_prefix("run.").and(statement.value["run"].as_str())
        else {
            return false;
        };
        let times = self.runs.iter().find(|(id, _)| id.to_string() == run).map(|(_, times)| times);
        let is_open = statement.value["ended"].is_null();
        !is_open && times.is_some_and(|[_, last]| *last < self.period.from)
    }

    fn notes(&self, [first, last]: [u64; 2]) -> Vec<String> {
        let mut notes = vec![TIMES.to_owned()];
        if self.period.from < first {
            notes.push(format!(
                "The log begins at {}: of the time before, it says nothing.",
                to_rfc3339(first)
            ));
        }
        if self.period.to > last {
            notes.push(format!(
                "The log's last entry is of {}: of the time after, it says nothing.",
                to_rfc3339(last)
            ));
        }
        notes.push(NOT_PROVEN.to_owned());
        notes
    }
}

fn widen([first, last]: &mut [u64; 2], time: u64) {
    *first = (*first).min(time);
    *last = (*last).max(time);
}

fn statement(claim: Claim, scope: Scope) -> Statement {
    let Claim { id, value, kind, eu, nist, evidence } = claim;
    let title = known(&id).map_or("", |(_, title)| title);
    Statement { id, title, value, kind, scope, eu, nist, evidence }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
