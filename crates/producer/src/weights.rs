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
use weight_digest::delta::Delta;
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

/// Weights, digested and sketched.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// The digest.
    pub digest: Digest,
    /// The sketch.
    pub sketch: Sketch,
}

/// An update whose weights were digested elsewhere, before it was logged.
#[derive(Clone, Debug)]
pub struct Moved<'a> {
    /// The weights before.
    pub before: &'a Weighed,
    /// The weights after.
    pub after: &'a Weighed,
    /// How the tensors that both have alike differ.
    pub delta: &'a Delta,
    /// How many tensors came, went, or changed their type or shape.
    pub structure_changes: u64,
    /// The annotations it learned from: the entries they lie between, and how many they are.
    pub learned_from: (Range<u64>, u64),
    /// Whether it learned from their released values only, on the caller's word.
    pub from_released: bool,
    /// Whether the whole sketch of the weights before, or after, goes into the log. Both do not fit.
    pub whole: [bool; 2],
    /// The optimizer's step.
    pub step: Option<u64>,
    /// Numbers measured, for example the loss.
    pub metrics: &'a BTreeMap<String, f64>,
    /// Which weights are digested, and when, where that is a choice: a word.
    pub policy: Option<&'a str>,
}

/// An update as it was logged.
#[derive(Clone, Debug)]
pub struct LoggedUpdate {
    /// Where.
    pub logged: Logged,
    /// The weights before.
    pub before: Weighed,
    /// The weights after.
    pub after: Weighed,
    /// How far they moved.
    pub comparison: Comparison,
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
        let before = Weighed::of(&old, self.engine.as_ref(), done)?;
        let after = Weighed::of(&new, self.engine.as_ref(), done)?;
        let learned_from = self.learned_from(options.learned_from.clone())?;
        let annotations = self.annotations_among(&learned_from, options.from_released)?;
        let moved = Moved {
            before: &before,
            after: &after,
            delta: &comparison.total,
            structure_changes: comparison.structure.len() as u64,
            learned_from: (learned_from.clone(), annotations),
            // Where nothing in the run has told of the weights yet, drift is counted from here.
            whole: [is_first, options.whole_sketch],
            step: options.step,
            metrics: &options.metrics,
            from_released: options.from_released,
            policy: None,
        };
        let mut data = moved.data();
        data.push(("table", hash(&self.keep_table(&after.digest)?)));
        let sketch_delta_l2 = moved.sketch_delta_l2();
        let logged = self.log_event(EventType::PolicyUpdate, cbor::map(data))?;
        Ok(LoggedUpdate { logged, before, after, comparison, sketch_delta_l2, learned_from })
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
        check_checkpoint_name(name)?;
        let Weighed { digest, sketch } = Weighed::saved(weights, self.engine.as_ref(), done)?;
        let logged = self.record_checkpoint(name, (&digest, &sketch), measured)?;
        Ok(LoggedCheckpoint { logged, digest, sketch })
    }

    /// Logs a named checkpoint whose weights were digested elsewhere. The head after it is to be published, where
    /// heads are.
    ///
    /// # Errors
    /// The name is none, or those of [`Audit::log_event`] and [`Audit::publish`].
    pub fn log_weighed_checkpoint(
        &mut self,
        name: &str,
        weights: &Weighed,
        measured: &BTreeMap<String, f64>,
    ) -> Result<Logged> {
        check_checkpoint_name(name)?;
        self.record_checkpoint(name, (&weights.digest, &weights.sketch), measured)
    }

    fn record_checkpoint(
        &mut self,
        name: &str,
        (digest, sketch): (&Digest, &Sketch),
        measured: &BTreeMap<String, f64>,
    ) -> Result<Logged> {
        let data = cbor::map([
            ("name", Value::from(name)),
            ("root", hash(&digest.root)),
            ("table", hash(&self.keep_table(digest)?)),
            ("sketch", sketched(sketch, true)),
            ("tensors", Value::from(digest.tensors.len() as u64)),
            ("bytes", Value::from(digest.bytes)),
            ("metrics", metrics(measured)),
        ]);
        let logged = self.log_event(EventType::Checkpoint, data)?;
        self.publish()?;
        Ok(logged)
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

impl Weighed {
    /// Digests a saved checkpoint.
    ///
    /// # Errors
    /// It cannot be read, or changes meanwhile.
    pub fn saved(path: &Path, engine: &dyn Engine, done: OnBytes<'_>) -> Result<Self> {
        Self::of(&Checkpoint::open(path)?, engine, done)
    }

    fn of(checkpoint: &Checkpoint, engine: &dyn Engine, done: OnBytes<'_>) -> Result<Self> {
        let (digest, sketch) = compute::digest_and_sketch(checkpoint, engine, done)?;
        Ok(Self { digest, sketch })
    }
}

impl Moved<'_> {
    /// How far the weights moved, by the sketches.
    pub fn sketch_delta_l2(&self) -> f64 {
        self.after.sketch.buckets.minus(&self.before.sketch.buckets).l2()
    }

    /// The data of the event, a `policy.update`.
    pub fn event(&self) -> Value {
        cbor::map(self.data())
    }

    /// As the event holds it, but for the table.
    fn data(&self) -> Vec<(&'static str, Value)> {
        let Self { before, after, delta, learned_from: (entries, annotations), .. } = self;
        let mut learned_from = vec![
            ("first", Value::from(entries.start)),
            ("end", Value::from(entries.end)),
            ("annotations", Value::from(*annotations)),
        ];
        if self.from_released {
            learned_from.push(("values", "released".into()));
        }
        let mut data = vec![
            ("root_before", hash(&before.digest.root)),
            ("root_after", hash(&after.digest.root)),
            ("delta_l2", Value::Float(delta.l2())),
            ("delta_linf", Value::Float(delta.linf)),
            ("sketch_before", sketched(&before.sketch, self.whole[0])),
            ("sketch_after", sketched(&after.sketch, self.whole[1])),
            ("sketch_delta_l2", Value::Float(self.sketch_delta_l2())),
            ("changed", Value::from(delta.changed)),
            ("elements", Value::from(delta.elements)),
            ("learned_from", cbor::map(learned_from)),
            ("metrics", metrics(self.metrics)),
        ];
        data.extend(self.step.map(|step| ("step", Value::from(step))));
        data.extend(self.policy.map(|policy| ("weights", Value::from(policy))));
        if delta.not_finite > 0 {
            data.push(("not_finite", Value::from(delta.not_finite)));
        }
        if self.structure_changes > 0 {
            data.push(("structure_changes", Value::from(self.structure_changes)));
        }
        data
    }
}

fn check_checkpoint_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 200 || name.contains(char::is_control) {
        return Err(Error::CheckpointName);
    }
    Ok(())
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
