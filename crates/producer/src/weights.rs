//! Weights on the record: updates and checkpoints, digested and logged with what they learned from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ciborium::Value;
use trail::merkle::{Hash, sha256};
use trail::{Event, EventType, cbor};
use weight_digest::checkpoint::Checkpoint;
use weight_digest::compute::{self, Comparison, Digest, OnBytes};
use weight_digest::engine::Engine;
use weight_digest::sketch::Sketch;

use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::transaction::Logged;

/// What is said about an update besides its weights.
#[derive(Clone, Debug, Default)]
pub struct UpdateOptions {
    /// The optimizer's step.
    pub step: Option<u64>,
    /// The annotations it learned from, by the entries they lie between; by default all of the run's
    /// since its last update.
    pub learned_from: Option<Range<u64>>,
    /// Numbers measured, for example the loss.
    pub metrics: BTreeMap<String, f64>,
    /// Log it even when tensors came, went or changed their shape.
    pub allow_structure_change: bool,
    /// Log the whole sketch of the weights after, 32 KiB, and not its digest alone.
    pub whole_sketch: bool,
    /// Of those annotations, it learned from the values released with noise, and from nothing else that depends on
    /// ratings. The log says so on the caller's word.
    pub from_released: bool,
}

/// An update as it was logged.
#[derive(Clone, Debug)]
pub struct LoggedUpdate {
    /// Where.
    pub logged: Logged,
    /// The weights before.
    pub before: Digest,
    /// The weights after.
    pub after: Digest,
    /// How far they moved.
    pub comparison: Comparison,
    /// The sketches before and after.
    pub sketches: [Sketch; 2],
    /// How far they moved by the sketches.
    pub sketch_delta_l2: f64,
    /// The annotations it learned from, by the entries they lie between.
    pub learned_from: Range<u64>,
}

/// A checkpoint as it was logged.
#[derive(Clone, Debug)]
pub struct LoggedCheckpoint {
    /// Where.
    pub logged: Logged,
    /// The weights.
    pub digest: Digest,
    /// Their sketch.
    pub sketch: Sketch,
}

impl Audit {
    /// Has this engine digest weights from now on, instead of the processor.
    pub fn digest_by(&mut self, engine: Arc<dyn Engine>) {
        self.engine = engine;
    }

    /// Logs an update of the policy's weights from one checkpoint to the next.
    ///
    /// # Errors
    /// A checkpoint cannot be read, the two differ in structure and that is not allowed, the range holds no
    /// entries of this log, or those of [`Audit::log_event`].
    pub fn log_update(
        &mut self,
        base: &Path,
        next: &Path,
        options: &UpdateOptions,
        done: OnBytes<'_>,
    ) -> Result<LoggedUpdate> {
        let (old, new) = (Checkpoint::open(base)?, Checkpoint::open(next)?);
        let comparison = compute::compare(&old, &new, done)?;
        if !comparison.structure.is_empty() && !options.allow_structure_change {
            return Err(Error::Structure {
                base: base.to_owned(),
                next: next.to_owned(),
                changes: comparison.structure,
            });
        }
        let is_first = !self.has_weights()?;
        if is_first && options.whole_sketch {
            return Err(Error::TwoSketches { base: base.to_owned() });
        }
        let (before, sketch_before) = compute::digest_and_sketch(&old, self.engine.as_ref(), done)?;
        let (after, sketch_after) = compute::digest_and_sketch(&new, self.engine.as_ref(), done)?;
        let sketch_delta_l2 = sketch_after.buckets.minus(&sketch_before.buckets).l2();
        let learned_from = self.learned_from(options.learned_from.clone())?;
        let annotations = self.annotations_among(&learned_from, options.from_released)?;
        let mut from = vec![
            ("first", Value::from(learned_from.start)),
            ("end", Value::from(learned_from.end)),
            ("annotations", Value::from(annotations)),
        ];
        if options.from_released {
            from.push(("values", "released".into()));
        }
        let delta = &comparison.total;
        let mut data = vec![
            ("root_before", hash(&before.root)),
            ("root_after", hash(&after.root)),
            ("table", hash(&self.keep_table(&after)?)),
            ("delta_l2", Value::Float(delta.l2())),
            ("delta_linf", Value::Float(delta.linf)),
            // Where nothing in the run has told of the weights yet, drift is counted from here.
            ("sketch_before", sketched(&sketch_before, is_first)),
            ("sketch_after", sketched(&sketch_after, options.whole_sketch)),
            ("sketch_delta_l2", Value::Float(sketch_delta_l2)),
            ("changed", Value::from(delta.changed)),
            ("elements", Value::from(delta.elements)),
            ("learned_from", cbor::map(from)),
            ("metrics", metrics(&options.metrics)),
        ];
        data.extend(options.step.map(|step| ("step", Value::from(step))));
        if delta.not_finite > 0 {
            data.push(("not_finite", Value::from(delta.not_finite)));
        }
        if !comparison.structure.is_empty() {
            data.push(("structure_changes", Value::from(comparison.structure.len() as u64)));
        }
        let logged = self.log_event(EventType::PolicyUpdate, cbor::map(data))?;
        let sketches = [sketch_before, sketch_after];
        Ok(LoggedUpdate {
            logged,
            before,
            after,
            comparison,
            sketches,
            sketch_delta_l2,
            learned_from,
        })
    }

    /// Logs a named checkpoint. The head after it is to be published, where heads are.
    ///
    /// # Errors
    /// It cannot be read, or those of [`Audit::log_event`] and [`Audit::publish`].
    pub fn log_checkpoint(
        &mut self,
        name: &str,
        weights: &Path,
        measured: &BTreeMap<String, f64>,
        done: OnBytes<'_>,
    ) -> Result<LoggedCheckpoint> {
        if name.is_empty() || name.len() > 200 || name.contains(char::is_control) {
            return Err(Error::CheckpointName);
        }
        let checkpoint = Checkpoint::open(weights)?;
        let (digest, sketch) = compute::digest_and_sketch(&checkpoint, self.engine.as_ref(), done)?;
        let data = cbor::map([
            ("name", Value::from(name)),
            ("root", hash(&digest.root)),
            ("table", hash(&self.keep_table(&digest)?)),
            ("sketch", sketched(&sketch, true)),
            ("tensors", Value::from(digest.tensors.len() as u64)),
            ("bytes", Value::from(digest.bytes)),
            ("metrics", metrics(measured)),
        ]);
        let logged = self.log_event(EventType::Checkpoint, data)?;
        self.publish()?;
        Ok(LoggedCheckpoint { logged, digest, sketch })
    }

    /// Keeps the per-tensor table beside the log, so that single tensors can be shown later, and returns
    /// its SHA-256: a CBOR sequence of the tree's leaves (`transparency/weights.md`).
    fn keep_table(&self, digest: &Digest) -> Result<Hash> {
        let table: Vec<u8> = digest.tensors.iter().flat_map(|tensor| tensor.leaf()).collect();
        let sha256 = sha256(&table);
        let path = self.root().join("tables").join(hex::encode(sha256));
        if !path.is_file() {
            self.keep(&path, &table)?;
        }
        Ok(sha256)
    }

    /// The entries whose annotations an update learned from: those given, or all since the run's last
    /// update.
    fn learned_from(&self, given: Option<Range<u64>>) -> Result<Range<u64>> {
        if let Some(range) = given {
            return if range.start < range.end && range.end <= self.size() {
                Ok(range)
            } else {
                Err(Error::NoSuchRange { first: range.start, end: range.end, size: self.size() })
            };
        }
        let end = self.size();
        let newest =
            self.newest(|kind| matches!(kind, EventType::PolicyUpdate | EventType::RunStart))?;
        Ok(newest.map_or(0, |(index, _)| index + 1)..end)
    }

    /// Whether the run has told of the weights before.
    fn has_weights(&self) -> Result<bool> {
        let newest = self.newest(|kind| {
            matches!(kind, EventType::PolicyUpdate | EventType::Checkpoint | EventType::RunStart)
        })?;
        let kind = newest.and_then(|(_, kind)| kind);
        Ok(kind.is_some_and(|kind| kind != EventType::RunStart))
    }

    /// From the end of the log back, a bundle at a time, to such an event of the run, or to the end of
    /// another run, which has no type here.
    fn newest(
        &self,
        wanted: impl Fn(&EventType) -> bool,
    ) -> Result<Option<(u64, Option<EventType>)>> {
        let mut first = self.size();
        let Some(run) = self.run() else {
            return Ok(first.checked_sub(1).map(|last| (last, None)));
        };
        let reader = self.reader();
        while first > 0 {
            let bundle = (first - 1) / 256 * 256;
            let entries = reader.entries(bundle..first).collect::<Result<Vec<_>>>()?;
            for entry in entries.iter().rev() {
                first -= 1;
                let event = Event::decode(entry).map_err(|e| reader.damaged_entry(first, &e))?;
                if event.run != run {
                    return Ok(Some((first, None)));
                }
                if wanted(&event.kind) {
                    return Ok(Some((first, Some(event.kind))));
                }
            }
        }
        Ok(None)
    }

    /// How many annotations these entries are; with `released`, all of them must have a released value.
    fn annotations_among(&self, range: &Range<u64>, released: bool) -> Result<u64> {
        let reader = self.reader();
        let mut annotations = 0;
        for (index, entry) in (range.start..).zip(reader.entries(range.clone())) {
            let event = Event::decode(&entry?).map_err(|e| reader.damaged_entry(index, &e))?;
            if event.kind != EventType::Annotation {
                continue;
            }
            if released && event.get("released").is_none() {
                return Err(Error::NotReleased(index));
            }
            annotations += 1;
        }
        Ok(annotations)
    }
}

fn hash(hash: &Hash) -> Value {
    Value::Bytes(hash.to_vec())
}

/// The whole sketch, or its SHA-256.
fn sketched(sketch: &Sketch, whole: bool) -> Value {
    if whole { Value::Bytes(sketch.to_bytes()) } else { hash(&sketch.digest()) }
}

fn metrics(metrics: &BTreeMap<String, f64>) -> Value {
    cbor::map(metrics.iter().map(|(name, value)| (name.as_str(), Value::Float(*value))))
}
