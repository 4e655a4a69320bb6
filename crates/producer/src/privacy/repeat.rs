//! A batch asked for again: what was released of it, told once more.

use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use trail::EventType;

use super::round::{check_name, refused};
use super::value::{Released, ReleasedValue};
use crate::annotation::Annotation;
use crate::audit::Audit;
use crate::error::Result;

/// What was released of a batch of a name, by what was given.
#[derive(Debug)]
pub(crate) struct Before {
    values: HashMap<[u8; 32], Vec<Released>>,
    left: usize,
    pub entries: Range<u64>,
}

impl Audit {
    /// What was released of the batch of this name; nothing where the name is free.
    ///
    /// # Errors
    /// It is no name, values are not released one by one here, the batch of this name never came to be logged, or
    /// something of it was erased.
    pub(crate) fn released_before(&self, name: &str) -> Result<Option<Before>> {
        self.check_batch_name(name)?;
        let privacy = self.privacy()?;
        let Some(known) = privacy.ledger.find(name) else { return Ok(None) };
        if known.index.is_none() {
            return Err(refused(
                "a batch of this name was charged and never logged; the charge stays, and another name makes another \
                 batch",
            ));
        }
        let entries = known.entries.clone();
        let mut before = Before { values: HashMap::new(), left: 0, entries: entries.clone() };
        for (entry, index) in self.reader().entries(entries.clone()).zip(entries) {
            let event = self.decode(index, &entry?)?;
            let released = event.get("released").filter(|_| event.kind == EventType::Annotation);
            let found = self.vault.annotation(index, &event)?.zip(released);
            let value = found
                .as_ref()
                .and_then(|((_, vote), logged)| ReleasedValue::read(logged, vote.as_deref()));
            let (Some(((annotation, _), _)), Some(value)) = (&found, value) else {
                return Err(refused(
                    "something of the batch of this name was erased, so that its values cannot be told apart any \
                     more; they are in the log",
                ));
            };
            before
                .values
                .entry(fingerprint(annotation))
                .or_default()
                .push(Released { index, value });
            before.left += 1;
        }
        Ok(Some(before))
    }

    /// Whether a new batch can have this name.
    pub(crate) fn check_free_name(&self, name: &str) -> Result<()> {
        self.check_batch_name(name)?;
        match self.privacy()?.ledger.find(name) {
            Some(_) => Err(refused("another batch has this name; nothing was charged")),
            None => Ok(()),
        }
    }

    fn check_batch_name(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if self.draws().is_none() {
            return Err(refused(
                "a batch has a name only in a log where values are released one by one (`--privacy moderate`)",
            ));
        }
        Ok(())
    }
}

impl Before {
    /// What was released of this annotation. Of several that are the same, each is told once.
    pub fn take(&mut self, annotation: &Annotation) -> Result<Released> {
        let found = self.values.get_mut(&fingerprint(annotation)).and_then(Vec::pop);
        self.left = self.left.saturating_sub(1);
        found.ok_or_else(another)
    }

    /// Whether all of it was asked for.
    pub fn finish(&self) -> Result<()> {
        if self.left == 0 { Ok(()) } else { Err(another()) }
    }
}

fn another() -> crate::Error {
    refused("a batch of this name with other annotations was logged; nothing was charged")
}

/// Of one annotation, for comparing in memory; it is never written.
fn fingerprint(annotation: &Annotation) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        hash.update([u8::from(bytes.is_some())]);
        let bytes = bytes.unwrap_or_default();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    match annotation {
        Annotation::Rating { annotator, prompt, response, reward } => {
            for text in [annotator, prompt, response] {
                part(Some(text.as_bytes()));
            }
            part(Some(&reward.to_be_bytes()));
        }
        Annotation::Preference { annotator, prompt, chosen, rejected } => {
            part(annotator.as_deref().map(str::as_bytes));
            part(prompt.as_deref().map(str::as_bytes));
            // A fifth part, which a rating has not.
            for text in [chosen.as_str(), rejected, ""] {
                part(Some(text.as_bytes()));
            }
        }
    }
    hash.finalize().into()
}
