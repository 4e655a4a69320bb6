//! All that one person gave, for that person (Regulation (EU) 2016/679, Article 15).
//!
//! The log says that it was asked for before anything is given, and neither of whom nor which entries: that would
//! tell everybody which entries are one person's.

use std::collections::BTreeSet;

use ciborium::Value;
use privacy::accountant::{Delta, Rho};
use redb::{ReadableDatabase as _, ReadableTable as _};
use trail::{Event, EventType, cbor};

use crate::annotation::Annotation;
use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::privacy::Cost;
use crate::subjects::Who;
use crate::vault::{RECORDS, failed, split_record};

/// Whom such an access is logged for.
const AUDITOR: &str = "a person who annotated, about themselves";

/// All that one person gave, and who has seen it.
#[derive(Debug)]
pub struct Person {
    /// What they gave, in the order of the log.
    pub records: Vec<PersonRecord>,
    /// To whom something of it was opened, as far as the log says.
    pub disclosed_to: BTreeSet<String>,
    /// What of their privacy budget was spent, where they have one.
    pub spent: Option<Cost>,
    /// The entry that says that somebody's records were asked for.
    pub entry: u64,
}

/// One annotation.
#[derive(Debug)]
pub struct PersonRecord {
    /// The entry.
    pub index: u64,
    /// The event, with the pseudonym and, where there is one, the released value.
    pub event: Event,
    /// What was given.
    pub annotation: Annotation,
}

impl Audit {
    /// All that this person gave and that was not erased.
    ///
    /// # Errors
    /// The person is unknown, the vault cannot be read, or the log cannot be written: then nothing is given.
    pub fn person(&mut self, id: &str) -> Result<Person> {
        let slot = self.vault.subjects.find(Who::Id(id));
        let slot = slot.ok_or_else(|| Error::UnknownAnnotator(self.root().to_owned()))?;
        let mut records = Vec::new();
        for index in self.entries_of_slot(slot)? {
            let event = self.event(index)?;
            if let Some((annotation, _)) = self.vault.annotation(index, &event)? {
                records.push(PersonRecord { index, event, annotation });
            }
        }
        let entries: Vec<u64> = records.iter().map(|record| record.index).collect();
        let (disclosed_to, spent) = (self.auditors_of(&entries)?, self.spent_by(slot)?);
        let data = cbor::map([("auditor", AUDITOR.into()), ("opened", Value::Array(Vec::new()))]);
        let entry = self.log_event(EventType::AuditorAccess, data)?.first_index;
        Ok(Person { records, disclosed_to, spent, entry })
    }

    /// The entries whose records are sealed under the key in this slot.
    fn entries_of_slot(&self, slot: u32) -> Result<Vec<u64>> {
        let path = self.vault.path();
        let read = self.vault.database.begin_read().map_err(failed(path))?;
        let table = read.open_table(RECORDS).map_err(failed(path))?;
        let mut entries = Vec::new();
        for item in table.iter().map_err(failed(path))? {
            let (index, record) = item.map_err(failed(path))?;
            if split_record(record.value()).is_some_and(|(whose, _)| whose == slot) {
                entries.push(index.value());
            }
        }
        Ok(entries)
    }

    fn spent_by(&self, slot: u32) -> Result<Option<Cost>> {
        let Some(privacy) = &self.privacy else { return Ok(None) };
        let wrong = |why: String| Error::PrivacySettings(why);
        let delta = Delta::new(privacy.settings.delta).map_err(|e| wrong(e.to_string()))?;
        let rho = privacy.ledger.spent_by(slot);
        let epsilon = Rho::new(rho).map_or(f64::INFINITY, |rho| rho.epsilon(delta));
        Ok(Some(Cost { rho, epsilon }))
    }
}
