//! Openings made for somebody: which fields of which entries, and, where the log is to say so, for whom.
//!
//! The log says so before anything is given away. A process that dies in between leaves a disclosure in the log
//! that did not happen, never one that happened and is not in the log.

use std::collections::BTreeSet;

use ciborium::Value;
use trail::card::PRIVATE_FIELDS;
use trail::commitment::{DisclosedOpening, Opening};
use trail::{Event, EventType, cbor};

use crate::audit::Audit;
use crate::error::{Error, Result};

/// An event takes so many entries: six fields of each of them fit.
const ENTRIES_IN_EVENT: usize = 512;

/// An auditor's name takes so many bytes.
const MAX_NAME: usize = 200;

/// Openings made for an auditor.
#[derive(Clone, Debug)]
pub struct Disclosed {
    /// What was opened.
    pub openings: Vec<DisclosedOpening>,
    /// The entry that says so; with several, the first.
    pub entry: u64,
}

impl Audit {
    /// The opening of one private field, to be given away. The log does not say so: see [`Audit::disclose_to`].
    ///
    /// # Errors
    /// The entry has no such field, or it was erased.
    pub fn disclose(&self, index: u64, field: &str) -> Result<DisclosedOpening> {
        self.find_opening(index, field)?.ok_or_else(|| erased(&[(index, field)]))
    }

    /// Opens these fields of each of these entries for an auditor, and logs that it did: for whom, which entries
    /// and which fields.
    ///
    /// # Errors
    /// The name is no name, an entry has no such field, or one was erased: then nothing was logged. Or the log
    /// cannot be written.
    pub fn disclose_to(
        &mut self,
        auditor: &str,
        entries: &BTreeSet<u64>,
        fields: &BTreeSet<String>,
    ) -> Result<Disclosed> {
        if auditor.trim().is_empty()
            || auditor.len() > MAX_NAME
            || auditor.contains(char::is_control)
        {
            return Err(Error::AuditorName);
        }
        let (mut openings, mut gone) = (Vec::new(), Vec::new());
        for (&index, field) in entries.iter().flat_map(|i| fields.iter().map(move |f| (i, f))) {
            match self.find_opening(index, field)? {
                Some(opening) => openings.push(opening),
                None => gone.push((index, field.as_str())),
            }
        }
        if !gone.is_empty() {
            return Err(erased(&gone));
        }
        let entries: Vec<u64> = entries.iter().copied().collect();
        let mut transaction = self.begin()?;
        for some in entries.chunks(ENTRIES_IN_EVENT) {
            transaction.event(EventType::AuditorAccess, access(auditor, some, fields))?;
        }
        Ok(Disclosed { openings, entry: transaction.commit()?.first_index })
    }

    /// The opening of a private field that the entry has; `None` where it was erased.
    fn find_opening(&self, index: u64, field: &str) -> Result<Option<DisclosedOpening>> {
        let event = self.event(index)?;
        let is_private = event.kind == EventType::Annotation && PRIVATE_FIELDS.contains(&field);
        if !is_private || event.get(field).and_then(cbor::as_array::<32>).is_none() {
            return Err(Error::NoOpening { index, field: field.to_owned() });
        }
        let mut openings = self.vault.openings(index, &event)?.into_iter();
        let opening = openings.find(|opening| opening.field == field);
        opening.map(|opening| disclosed(index, opening)).transpose()
    }

    /// To whom openings of these entries were given, as far as the log says; the entries in ascending order.
    pub(crate) fn auditors_of(&self, entries: &[u64]) -> Result<BTreeSet<String>> {
        let mut auditors = BTreeSet::new();
        for (entry, index) in self.reader().entries(0..self.size()).zip(0..) {
            let event = self.decode(index, &entry?)?;
            if event.kind == EventType::AuditorAccess
                && opened_in(&event).any(|opened| entries.binary_search(&opened).is_ok())
            {
                let name = event.get("auditor").and_then(Value::as_text);
                auditors.insert(name.unwrap_or("an auditor whose name is not logged").to_owned());
            }
        }
        Ok(auditors)
    }
}

/// The data of the event: never contents.
fn access(auditor: &str, entries: &[u64], fields: &BTreeSet<String>) -> Value {
    let fields: Vec<Value> = fields.iter().map(|field| field.as_str().into()).collect();
    let opened = entries.iter().map(|entry| {
        cbor::map([("entry", (*entry).into()), ("fields", Value::Array(fields.clone()))])
    });
    cbor::map([("auditor", auditor.into()), ("opened", Value::Array(opened.collect()))])
}

fn opened_in(event: &Event) -> impl Iterator<Item = u64> {
    let opened = event.get("opened").and_then(Value::as_array).map(Vec::as_slice);
    let opened = opened.unwrap_or_default().iter();
    opened.filter_map(|opened| cbor::get(opened, "entry").and_then(cbor::as_u64))
}

fn disclosed(index: u64, opening: Opening) -> Result<DisclosedOpening> {
    let content = cbor::encode(&opening.content).map_err(|e| Error::Event(e.into()))?;
    Ok(DisclosedOpening { r: opening.blind.to_vec(), field: opening.field, index, content })
}

fn erased(fields: &[(u64, &str)]) -> Error {
    let named = |(index, field): &(u64, &str)| format!("`{field}` of entry {index}");
    Error::Erased(fields.iter().map(named).collect())
}
