use ciborium::Value;

use super::*;
use crate::cbor;
use crate::event::EventType;
use crate::event::tests::run;

/// A minute, in microseconds.
const MINUTE: u64 = 60_000_000;

fn event(n: u8, minute: u64, kind: EventType, data: Vec<(&str, Value)>) -> Event {
    Event { time: minute * MINUTE, run: run(n), seq: 0, kind, data: cbor::map(data) }
}

fn rating(n: u8, minute: u64) -> Event {
    let data = vec![("kind", "rating".into()), ("annotator", Value::Bytes(vec![n; 16]))];
    event(n, minute, EventType::Annotation, data)
}

/// A run that ends before the period, one that begins before it and is open at its end, and something after it.
fn log() -> Vec<Event> {
    let round = || vec![("rho", Value::Float(0.5))];
    vec![
        event(1, 1, EventType::RunStart, vec![("model", "old".into())]),
        rating(1, 2),
        event(1, 3, EventType::RunEnd, vec![("outcome", "completed".into())]),
        event(2, 4, EventType::RunStart, vec![("model", "a|b <i>*new* http://x".into())]),
        event(2, 5, EventType::PrivacyRound, round()),
        rating(2, 10),
        event(2, 11, EventType::PrivacyRound, round()),
        rating(2, 12),
        event(2, 20, EventType::Incident, vec![]),
        event(2, 21, EventType::RunEnd, vec![("outcome", "failed".into())]),
    ]
}

fn report(from: u64, to: u64, names: &[&str]) -> Result<RegulatoryReport, ReportError> {
    let mut builder = ReportBuilder::new(Period::new(from * MINUTE, to * MINUTE)?);
    for (index, event) in (0..).zip(log()) {
        builder.add(index, &event);
    }
    let sections = Section::named(names.iter().copied())?;
    builder.finish(AsOf { origin: "o".into(), size: 10, root: "00".into() }, &sections)
}

fn value(report: &RegulatoryReport, id: &str, scope: Scope) -> Option<Json> {
    let mut all = report.sections.iter().flat_map(|section| &section.statements);
    all.find(|s| s.id == id && s.scope == scope).map(|s| s.value.clone())
}

#[test]
fn what_happened_is_counted_in_the_period_and_what_holds_up_to_its_end() {
    let all: Vec<&str> = Section::all().into_iter().map(Section::name).collect();
    // Both ends are in it.
    let report = report(10, 12, &all).unwrap();
    let within = |id| value(&report, id, Scope::Period);
    let until = |id| value(&report, id, Scope::UntilEnd);
    assert_eq!((report.period.entries, report.period.among), (3, [5, 8]));
    assert_eq!(within("annotations.count"), Some(2.into()));
    assert_eq!(within("incidents.count"), Some(0.into()));
    assert_eq!(within("privacy.spent"), Some(0.5.into()));
    assert_eq!(until("privacy.spent"), Some(1.0.into()));
    assert_eq!(until("model.name"), Some("a|b <i>*new* http://x".into()));
    // The run that is open then, by what was known then; not the one that had ended.
    assert_eq!(until("run.3").unwrap()["ended"], Json::Null);
    assert_eq!((until("run.0"), until("annotations.count")), (None, None));
    for statement in report.sections.iter().flat_map(|section| &section.statements) {
        assert_eq!(known(&statement.id).unwrap(), (statement.kind, statement.title));
        assert!(!statement.evidence.is_empty(), "{}", statement.id);
    }
}

#[test]
fn what_the_log_does_not_hold_is_said() {
    let said = |report: RegulatoryReport| report.sections[0].not_supported.join(" ");
    let bias = said(report(10, 12, &["bias"]).unwrap());
    assert!(bias.contains("no measurement of bias is on record"), "{bias}");
    assert!(bias.contains("Who the annotators are is not in the log"), "{bias}");
    let none = "No incident was logged in the period";
    assert!(said(report(10, 12, &["safety"]).unwrap()).contains(none));
    assert!(!said(report(10, 20, &["safety"]).unwrap()).contains(none));
    let wider = report(0, 99, &["records"]).unwrap();
    assert!(wider.notes.iter().any(|note| note.contains("begins at 1970-01-01T00:01:00Z")));
    assert!(wider.notes.iter().any(|note| note.contains("of the time after")));
    assert_eq!(report(1, 21, &["records"]).unwrap().notes.len(), 2);
}

#[test]
fn a_period_without_entries_and_names_of_nothing_are_refused() {
    let words = |refused: Result<RegulatoryReport, ReportError>| refused.unwrap_err().to_string();
    let outside = words(report(30, 40, &["privacy"]));
    assert!(outside.contains("between 1970-01-01T00:01:00Z and 1970-01-01T00:21:00Z"), "{outside}");
    // Between two entries, and after the last.
    assert!(matches!(report(6, 9, &["privacy"]), Err(ReportError::Outside { .. })));
    assert!(matches!(report(12, 10, &["privacy"]), Err(ReportError::Unordered { .. })));
    assert!(matches!(report(1, 2, &[]), Err(ReportError::NoSection)));
    let unknown = words(report(1, 2, &["privacy", "ethics"]));
    assert!(unknown.contains("`ethics`") && unknown.contains("provenance"), "{unknown}");
}

#[test]
fn in_markdown_the_logs_text_is_text() {
    let report = report(1, 21, &["records", "records"]).unwrap();
    assert_eq!(report.sections.len(), 1);
    let markdown = report.to_markdown();
    assert!(markdown.contains(r"a\|b &lt;i&gt;\*new\* http&#58;//x"), "{markdown}");
    assert!(markdown.contains(
        "| Events in the log (`events.count`) | 10 | the period | recomputed | entries [0, 10) |"
    ));
}
