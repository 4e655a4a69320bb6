//! The regulatory report.

use producer::LoggedReport;
use pyo3::prelude::*;
use trail::regulatory::{Period, Section};

use crate::failure::{Done, Failure};

/// A report as JSON, the same as Markdown, and the entry that holds the SHA-256 of the JSON.
pub type Written = (Vec<u8>, String, u64);

/// What is to be reported on. No sections are all.
pub fn question(start: u64, end: u64, sections: Option<&[String]>) -> Done<(Period, Vec<Section>)> {
    let period = Period::new(start, end).map_err(Failure::input)?;
    let sections = match sections {
        Some(names) => Section::named(names.iter().map(String::as_str)).map_err(Failure::input)?,
        None => Section::all(),
    };
    Ok((period, sections))
}

pub fn write(logged: LoggedReport) -> Written {
    let markdown = logged.report.to_markdown();
    (logged.bytes, markdown, logged.entry)
}

/// The names of the sections.
#[pyfunction]
pub fn report_sections() -> Vec<&'static str> {
    Section::all().into_iter().map(Section::name).collect()
}
