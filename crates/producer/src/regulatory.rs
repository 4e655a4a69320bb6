//! Regulatory reports: derived from the log, kept beside it, their digest logged.

use ciborium::Value;
use trail::card::AsOf;
use trail::merkle::sha256;
use trail::regulatory::{Period, RegulatoryReport, ReportBuilder, Section};
use trail::{Event, EventType, cbor};

use crate::audit::Audit;
use crate::error::Result;
use crate::reader::LogReader;

/// A report as it was logged.
#[derive(Clone, Debug)]
pub struct LoggedReport {
    /// Its bytes, RFC 8785 JSON.
    pub bytes: Vec<u8>,
    /// What they say.
    pub report: RegulatoryReport,
    /// The entry that holds their SHA-256.
    pub entry: u64,
}

impl LogReader {
    /// The report on a period as of the newest head. Reads every entry once, and compares it with the tree.
    ///
    /// # Errors
    /// Nothing in the log lies in the period, no section is asked for, or the log is damaged.
    pub fn derive_report(&self, period: Period, sections: &[Section]) -> Result<RegulatoryReport> {
        let mut builder = ReportBuilder::new(period);
        for (index, entry) in (0..).zip(self.checked_entries()) {
            let event = Event::decode(&entry?);
            builder.add(index, &event.map_err(|e| self.damaged_entry(index, &e))?);
        }
        let head = &self.head().checkpoint;
        let root = hex::encode(head.root);
        Ok(builder.finish(AsOf { origin: head.origin.clone(), size: head.size, root }, sections)?)
    }
}

impl Audit {
    /// Derives a report on a period, and logs its digest.
    ///
    /// # Errors
    /// Those of [`LogReader::derive_report`], or the report cannot be written or logged.
    pub fn report(&mut self, period: Period, sections: &[Section]) -> Result<LoggedReport> {
        let reader = self.reader();
        let report = reader.derive_report(period, sections)?;
        let bytes = report.to_bytes()?;
        let digest = sha256(&bytes);
        // The files before the event: what the log speaks of must be there.
        self.keep(&reader.folder().report(&digest), &bytes)?;
        self.keep_quoted_head()?;
        let names = report.sections.iter().map(|section| Value::from(section.name)).collect();
        let data = cbor::map([
            ("sha256", Value::Bytes(digest.to_vec())),
            ("size", Value::from(report.as_of.size)),
            ("from", Value::from(report.period.from.as_str())),
            ("to", Value::from(report.period.to.as_str())),
            ("sections", Value::Array(names)),
        ]);
        let logged = self.log_event(EventType::Report, data)?;
        Ok(LoggedReport { bytes, report, entry: logged.first_index })
    }
}
