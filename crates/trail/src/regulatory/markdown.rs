//! A report as Markdown. What others wrote into the log is text in it, never mark-up.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{RegulatoryReport, Scope, SectionReport, Statement};
use crate::card::{ClaimKind, Pointer};

/// Writing to text cannot fail, so results are dropped below.
pub(super) fn render(report: &RegulatoryReport) -> String {
    let mut text = String::new();
    let (period, as_of) = (&report.period, &report.as_of);
    let [first, end] = period.among;
    let _ = writeln!(text, "# Regulatory report\n");
    let _ = writeln!(
        text,
        "From {} to {}, both included: {} entries, among [{first}, {end}). The log `{}` holds events from {} to {}. \
         Checkpoint: size {}, root `{}`.\n",
        period.from,
        period.to,
        period.entries,
        plain(&as_of.origin),
        period.log[0],
        period.log[1],
        as_of.size,
        as_of.root
    );
    let _ = writeln!(
        text,
        "*Recomputed*: follows from the logged events by arithmetic, which does not show that their values are true. \
         *Committed*: its digest is in the log. *Asserted*: somebody said so and signed.\n"
    );
    for note in &report.notes {
        let _ = writeln!(text, "- {note}");
    }
    for section in &report.sections {
        render_section(&mut text, section);
    }
    text
}

fn render_section(text: &mut String, section: &SectionReport) {
    let _ = writeln!(text, "\n## {}\n", section.title);
    if !section.statements.is_empty() {
        let _ = writeln!(text, "| statement | value | about | kind | evidence | asked for by |");
        let _ = writeln!(text, "|---|---|---|---|---|---|");
    }
    for statement in &section.statements {
        render_statement(text, statement);
    }
    let _ = writeln!(text, "\nNot supported by this log:\n");
    for sentence in &section.not_supported {
        let _ = writeln!(text, "- {sentence}");
    }
}

fn render_statement(text: &mut String, statement: &Statement) {
    let about = match statement.scope {
        Scope::Period => "the period",
        Scope::UntilEnd => "all up to its end",
    };
    let kind = match statement.kind {
        ClaimKind::Recomputed => "recomputed",
        ClaimKind::Committed => "committed",
        ClaimKind::Asserted => "asserted",
    };
    let evidence: Vec<String> = statement.evidence.iter().map(pointer).collect();
    let asked_by: Vec<&str> =
        statement.eu.iter().chain(&statement.nist).map(String::as_str).collect();
    let _ = writeln!(
        text,
        "| {} (`{}`) | {} | {about} | {kind} | {} | {} |",
        statement.title,
        statement.id,
        value(&statement.value),
        evidence.join(", "),
        asked_by.join("; ")
    );
}

fn pointer(pointer: &Pointer) -> String {
    match pointer {
        Pointer::Entry { entry } => format!("entry {entry}"),
        Pointer::Entries { entries: [first, end] } => format!("entries [{first}, {end})"),
        Pointer::Digest { sha256 } => format!("SHA-256 `{sha256}`"),
    }
}

fn value(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        Json::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// Text that Markdown shows as it is, on one line.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => out.extend(['\\', char]),
            // A bare address would become a link.
            ':' if chars.peek() == Some(&'/') => out.push_str("&#58;"),
            char if char.is_control() => out.push(' '),
            char => out.push(char),
        }
    }
    out
}
