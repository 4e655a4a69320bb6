//! A transaction: any number of events that enter the log together or not at all.

use std::num::NonZero;
use std::thread;
use std::time::SystemTime;

use ciborium::Value;
use rand::rngs::{StdRng, SysRng};
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, TryRng as _};
use trail::cbor;
use trail::handover::KeyChange;
use trail::{Event, EventType, RunId};
use uuid::Uuid;

use crate::annotation::{Annotation, AnnotationFault, Place, Sealed, Subject, seal};
use crate::audit::Audit;
use crate::erasure::Scope;
use crate::error::{Error, IoContext as _, Result};
use crate::import::Annotated;
use crate::privacy::{Batches, Draws, Permit, Privacy, Released, Tally};
use crate::sequencer::{Sequencer, micros, now};
use crate::subjects::Who;
use crate::vault::seal_pseudonym;
use crate::wal::{BATCH_BYTES, Batch, Commit};

/// Annotations are shuffled within windows of so many, or of so many bytes of text.
const WINDOW: usize = 65_536;
const WINDOW_BYTES: usize = 64 << 20;

/// Fewer annotations than this are not worth a thread.
const THREAD_SHARE: usize = 256;

/// Of what waits in the write-ahead log to be carried into the log's files, at most about so many bytes.
const MAX_WAITING: u64 = 16 << 20;

/// What a transaction, or a whole import, has logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// How many events the caller logged; a `run.start` that came with them is not counted.
    pub logged: u64,
    /// The index of the first of them.
    pub first_index: u64,
    /// The log's size now.
    pub size: u64,
}

/// Events on their way into the log. Dropped without [`Transaction::commit`], it never happened.
#[derive(Debug)]
pub struct Transaction<'a> {
    pub(crate) audit: &'a mut Audit,
    sequencer: Sequencer,
    /// The index of the next event, those in the window not counted.
    next_index: u64,
    batch: Batch,
    window: Vec<Annotation>,
    window_bytes: usize,
    logged: u64,
    first_index: Option<u64>,
    /// An earlier error has left something out, so it can no longer be committed.
    broken: bool,
    committed: bool,
    /// How many of the publications that wait to be noted are in it.
    noted: usize,
    /// Where values are released one by one: what was charged for them, and they themselves.
    pub(crate) batches: Batches,
    /// Whether the log's files may follow later.
    deferred: bool,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(audit: &'a mut Audit, deferred: bool) -> Self {
        let next_index = audit.committed_size();
        if audit.privacy.as_ref().is_some_and(Privacy::is_strong) {
            // Pseudonyms last for a transaction then.
            audit.known.clear();
        }
        Self {
            sequencer: audit.sequencer.clone(),
            next_index,
            batch: Batch::new(next_index),
            window: Vec::new(),
            window_bytes: 0,
            logged: 0,
            first_index: None,
            broken: false,
            committed: false,
            noted: 0,
            batches: Batches::default(),
            deferred,
            audit,
        }
    }

    /// Adds an annotation. Its place among those around it is drawn at random.
    ///
    /// # Errors
    /// It is not one that can be logged, or the write-ahead log cannot be written. Only after the latter
    /// the transaction is lost.
    pub fn annotate(&mut self, annotation: Annotation) -> Result<()> {
        annotation.check().map_err(Error::Annotation)?;
        let drawn = self.audit.draws().is_some();
        if drawn && annotation.annotator().is_none() {
            return Err(Error::Annotation(AnnotationFault::Unaccountable));
        }
        self.or_break(|tx| {
            tx.ensure_run(&EventType::Annotation)?;
            tx.count_one();
            tx.window_bytes += annotation.len();
            tx.window.push(annotation);
            let is_full = tx.window.len() >= WINDOW || tx.window_bytes >= WINDOW_BYTES;
            // What is not charged yet is charged as a whole, before anything of it is drawn.
            if is_full && (!drawn || tx.batches.has_more()) {
                tx.flush_window()?;
            }
            Ok(())
        })
    }

    /// Adds an event whose data is public.
    ///
    /// # Errors
    /// The type has its own way into the log, the event cannot be encoded, or the write-ahead log cannot
    /// be written.
    pub fn event(&mut self, kind: EventType, data: Value) -> Result<()> {
        self.event_at(kind, data, SystemTime::now())
    }

    /// Adds an event whose data is public, and which happened then. It is logged behind those before it, and with no
    /// earlier time.
    ///
    /// # Errors
    /// Those of [`Transaction::event`].
    pub fn event_at(&mut self, kind: EventType, data: Value, then: SystemTime) -> Result<()> {
        let own_way = match kind {
            EventType::RunStart => Some("a run starts with its first event"),
            EventType::RunEnd => Some("end the run instead"),
            EventType::Annotation => Some("annotations are logged as commitments"),
            EventType::Erasure => Some("erasing somebody's content logs it"),
            EventType::HeadPublished => Some("publishing a head logs it"),
            EventType::KeyRotate => Some("rotating a key logs it"),
            EventType::KeyRetire => Some("retiring a key logs it"),
            EventType::PrivacyRound => Some("releasing a round of noised values logs it"),
            _ => None,
        };
        if let Some(own_way) = own_way {
            return Err(Error::Reserved(kind, own_way));
        }
        self.or_break(|tx| tx.ensure_run(&kind))?;
        self.push_event_at(kind, data, micros(then))
    }

    /// Says that a key took over from another, or was taken out of use.
    pub(crate) fn key_change(&mut self, change: &KeyChange) -> Result<()> {
        self.or_break(|tx| tx.ensure_run(&change.kind()))?;
        self.push_event(change.kind(), change.data())
    }

    /// Says that content was erased, and nothing that tells whose: no id, pseudonym, index or number of records.
    pub(crate) fn erasure(&mut self, scope: Scope) -> Result<()> {
        self.or_break(|tx| tx.ensure_run(&EventType::Erasure))?;
        self.push_event(EventType::Erasure, cbor::map([("scope", Value::from(scope.as_str()))]))
    }

    /// Says what was released under the privacy budget.
    pub(crate) fn privacy_round(&mut self, data: Value) -> Result<()> {
        self.or_break(|tx| tx.ensure_run(&EventType::PrivacyRound))?;
        self.push_event(EventType::PrivacyRound, data)
    }

    /// Ends the open run, saying how it went.
    ///
    /// # Errors
    /// No run is open, or the write-ahead log cannot be written.
    pub fn end_run(&mut self, outcome: &str) -> Result<()> {
        if self.sequencer.run().is_none() {
            return Err(Error::NoRun);
        }
        self.push_event(EventType::RunEnd, cbor::map([("outcome", Value::from(outcome))]))?;
        self.sequencer.end_run();
        Ok(())
    }

    /// Gives the batch of annotations that comes next a name, where values are released one by one: what was released
    /// of it is told again by [`Audit::told_before`].
    ///
    /// # Errors
    /// It is no name, another batch has it, or in this log no values are released one by one.
    pub fn name_batch(&mut self, name: &str) -> Result<()> {
        self.audit.check_free_name(name)?;
        self.batches.name = Some(name.to_owned());
        Ok(())
    }

    /// As [`Transaction::commit`], and tells what was released of its annotations.
    ///
    /// # Errors
    /// Those of [`Transaction::commit`].
    pub fn commit_released(self) -> Result<Annotated> {
        self.commit_batches().map(Annotated::of)
    }

    /// Makes the events durable, and then part of the log.
    ///
    /// # Errors
    /// Nothing was logged, except after [`Error::Unfinished`] (they are safe, and the next start finishes
    /// the log's files) and [`Error::Undecided`].
    pub fn commit(self) -> Result<Logged> {
        self.commit_batches().map(|(logged, _)| logged)
    }

    /// As [`Transaction::commit`], with what was released.
    pub(crate) fn commit_batches(mut self) -> Result<(Logged, Batches)> {
        self.or_break(Self::flush_window)?;
        if self.batches.has_more() {
            return Err(Error::Round(
                "fewer annotations came than were charged; nothing was released".into(),
            ));
        }
        self.or_break(Self::flush_batch)?;
        let size = self.next_index;
        let first_index = self.first_index.unwrap_or(size);
        let logged = Logged { logged: self.logged, first_index, size };
        let audit = &mut *self.audit;
        if size > audit.committed_size() {
            // Keys before what they seal: a record without its key would be lost content.
            let subjects = audit.vault.subjects.sync()?;
            if let Err(error) = audit.wal.commit(Commit { size, subjects }) {
                // Of a commit that may be on the disk nothing must be taken back.
                audit.stopped |= matches!(error, Error::Undecided { .. });
                return Err(error);
            }
            // Acknowledged: whatever happens from here on, the events are in the log.
            self.committed = true;
            audit.vault.subjects.keep();
            audit.sequencer = self.sequencer.clone();
            audit.forget_published(self.noted);
            if !self.deferred || audit.wal.len() >= MAX_WAITING {
                audit.finish()?;
            }
            for charged in &self.batches.charged {
                audit.note_release(charged.round, charged.entry)?;
            }
        }
        Ok((logged, std::mem::take(&mut self.batches)))
    }

    /// Notes what was published since the last transaction, before anything else: a card is current while
    /// nothing but notices follows it.
    pub(crate) fn note_publications(&mut self) -> Result<()> {
        for at in 0..self.audit.published.len() {
            let data = self.audit.published[at].event()?;
            self.or_break(|tx| {
                tx.ensure_run(&EventType::HeadPublished)?;
                let entry = tx.encode(EventType::HeadPublished, data)?;
                tx.push_entry(&entry, &[])
            })?;
            self.noted += 1;
        }
        Ok(())
    }

    pub(crate) fn count_one(&mut self) {
        let index = self.next_index + self.window.len() as u64;
        self.first_index.get_or_insert(index);
        self.logged += 1;
    }

    /// Logs `run.start` where an event of this type needs a run and none is open.
    pub(crate) fn ensure_run(&mut self, kind: &EventType) -> Result<()> {
        if self.sequencer.needs_run(kind) { self.open_run(Vec::new()) } else { Ok(()) }
    }

    /// Starts a run, which otherwise the first event does.
    ///
    /// # Errors
    /// A run is open, or the write-ahead log cannot be written.
    pub fn start_run(&mut self) -> Result<()> {
        self.start_run_with(Vec::new())
    }

    /// Starts a run and says more about it, for example its hyperparameters. Keys that every run has stay as they are.
    ///
    /// # Errors
    /// A run is open, what is said is too much for an event, or the write-ahead log cannot be written.
    pub fn start_run_with(&mut self, details: Vec<(&str, Value)>) -> Result<()> {
        if self.sequencer.run().is_some() {
            return Err(Error::RunOpen);
        }
        self.count_one();
        self.or_break(|tx| tx.open_run(details))
    }

    fn open_run(&mut self, details: Vec<(&str, Value)>) -> Result<()> {
        self.flush_window()?;
        let run = RunId::from_bytes(*Uuid::now_v7().as_bytes()).ok_or(Error::NoRun)?;
        self.sequencer.start_run(run);
        let program = cbor::map([
            ("name", Value::from("rlhf-audit-trail")),
            ("version", Value::from(env!("CARGO_PKG_VERSION"))),
        ]);
        let privacy = self.audit.privacy.as_ref();
        let mode = privacy.map_or("minimal", |privacy| privacy.settings.mode.as_str());
        let mut data = vec![
            ("model", Value::from(self.audit.model.as_str())),
            ("program", program),
            ("annotator_privacy", Value::from(mode)),
        ];
        if let Some(privacy) = privacy {
            data.push(("privacy", privacy.settings.event()?));
        }
        for (key, value) in details {
            if data.iter().all(|(known, _)| *known != key) {
                data.push((key, value));
            }
        }
        let data = cbor::map(data);
        let entry = self.encode(EventType::RunStart, data)?;
        self.push_entry(&entry, &[])
    }

    fn push_event(&mut self, kind: EventType, data: Value) -> Result<()> {
        self.push_event_at(kind, data, now())
    }

    fn push_event_at(&mut self, kind: EventType, data: Value, then: u64) -> Result<()> {
        // What was said before must come before.
        self.or_break(Self::flush_window)?;
        // An event that cannot be encoded is refused, and does the others no harm.
        let entry = self.encode_at(kind, data, then)?;
        self.count_one();
        self.or_break(|tx| tx.push_entry(&entry, &[]))
    }

    /// The next entry. Nothing has changed where it fails.
    fn encode(&mut self, kind: EventType, data: Value) -> Result<Vec<u8>> {
        self.encode_at(kind, data, now())
    }

    fn encode_at(&mut self, kind: EventType, data: Value, then: u64) -> Result<Vec<u8>> {
        let mut sequencer = self.sequencer.clone();
        let time = sequencer.exact_time(then);
        let (run, seq) = sequencer.next().ok_or(Error::NoRun)?;
        let entry = Event { time, run, seq, kind, data }.encode()?;
        self.sequencer = sequencer;
        Ok(entry)
    }

    pub(crate) fn push_entry(&mut self, entry: &[u8], record: &[u8]) -> Result<()> {
        self.batch.push(entry, record);
        self.next_index += 1;
        if self.batch.len() >= BATCH_BYTES { self.flush_batch() } else { Ok(()) }
    }

    /// Writes the batch to the write-ahead log, where it waits for the commit.
    fn flush_batch(&mut self) -> Result<()> {
        if !self.audit.log.has_room_for(self.next_index) {
            return Err(Error::Full);
        }
        if self.batch.len() > 0 {
            self.audit.wal.append(&self.batch)?;
            self.batch = Batch::new(self.next_index);
        }
        Ok(())
    }

    /// Turns the annotations in the window into events.
    pub(crate) fn flush_window(&mut self) -> Result<()> {
        if self.window.is_empty() {
            return Ok(());
        }
        let annotations = std::mem::take(&mut self.window);
        self.window_bytes = 0;
        let draws = self.audit.draws();
        if draws.is_some() && !self.batches.has_more() {
            self.charge_now(&annotations)?;
        }
        // The order of arrival could tell who made which.
        let mut order: Vec<usize> = (0..annotations.len()).collect();
        order.shuffle(&mut new_rng()?);
        let mut annotations: Vec<_> = annotations.into_iter().map(Some).collect();

        let time = self.sequencer.coarse_time(now());
        let mut work = Vec::with_capacity(annotations.len());
        for annotation in order.iter().filter_map(|given| annotations[*given].take()) {
            let (run, seq) = self.sequencer.next().ok_or(Error::NoRun)?;
            let subject = self.subject(annotation.annotator(), run)?;
            if draws.is_some() {
                self.batches.take(subject.slot)?;
            }
            work.push((annotation, Place { run, seq, time }, subject));
        }
        let mut released = vec![None; order.len()];
        let draws = draws.zip(self.batches.permit);
        for (sealed, given) in seal_all(work, draws)?.into_iter().zip(order) {
            let index = self.next_index;
            released[given] = sealed.released.map(|value| Released { index, value });
            self.push_entry(&sealed.entry, &sealed.record)?;
        }
        self.batches.released.extend(released.into_iter().flatten());
        Ok(())
    }

    /// Charges the annotations that come next as a batch of their own.
    fn charge_now(&mut self, annotations: &[Annotation]) -> Result<()> {
        let mut tally = Tally::default();
        let first = self.batches.released.len() as u64 + 1;
        annotations
            .iter()
            .zip(first..)
            .for_each(|(annotation, place)| tally.add(annotation, place));
        let round = self.next_index;
        self.charge(&tally)?;
        // The caller's first event comes after the round.
        self.first_index = self.first_index.map(|first| first + u64::from(first == round));
        Ok(())
    }

    /// Says what is released of the annotations that come next.
    pub(crate) fn push_round(&mut self, data: Value) -> Result<()> {
        let entry = self.encode(EventType::PrivacyRound, data)?;
        self.push_entry(&entry, &[])
    }

    /// Run, number and time of the next entry, which has to come.
    pub(crate) fn next_place(&mut self, now: u64) -> Result<(RunId, u64, u64)> {
        let time = self.sequencer.exact_time(now);
        let (run, seq) = self.sequencer.next().ok_or(Error::NoRun)?;
        Ok((run, seq, time))
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The slot of a person in the open run.
    pub(crate) fn slot(&mut self, annotator: &str) -> Result<u32> {
        let run = self.sequencer.run().ok_or(Error::NoRun)?;
        Ok(self.subject(Some(annotator), run)?.slot)
    }

    /// The subject an annotation belongs to, with its pseudonym: one for each run, or, where only noised sums are
    /// released, one for each transaction.
    pub(crate) fn subject(&mut self, annotator: Option<&str>, run: RunId) -> Result<Subject> {
        let known = self.audit.known.get(&(run, annotator.map(str::to_owned)));
        if let Some(subject) = known {
            return Ok(subject.clone());
        }
        let who = annotator.map_or(Who::Unnamed(&run), Who::Id);
        let vault = &mut self.audit.vault;
        let (slot, key) = vault.subjects.find_or_create(who)?;
        let pseudonym = if self.audit.privacy.as_ref().is_some_and(Privacy::is_strong) {
            // Never used again, so nothing has to remember it: whose it is, the sealed record says.
            crate::keys::random()?
        } else if let Some(pseudonym) = vault.pseudonym(slot, &key, &run)? {
            pseudonym
        } else {
            let pseudonym = crate::keys::random()?;
            let sealed = seal_pseudonym(&key, &run, &pseudonym, who)?;
            self.batch.push_pseudonym(slot, run.as_bytes(), &sealed);
            pseudonym
        };
        let subject = Subject { slot, key, pseudonym };
        self.audit.known.insert((run, annotator.map(str::to_owned)), subject.clone());
        Ok(subject)
    }

    /// After an error in the middle, a part of what the caller meant may be missing: there is no way on.
    pub(crate) fn or_break(&mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.broken {
            return Err(Error::Stopped);
        }
        let result = step(self);
        self.broken = result.is_err();
        result
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.audit.roll_back();
        }
    }
}

/// A generator for one window: seeded by the operating system, so that there is no system call for each
/// blinding value, and no state that a fork of the process could repeat.
pub(crate) fn new_rng() -> Result<StdRng> {
    let mut seed = <StdRng as rand::SeedableRng>::Seed::default();
    SysRng
        .try_fill_bytes(&mut seed)
        .map_err(std::io::Error::other)
        .at(std::path::Path::new("the system's random number generator"), "draw from it")?;
    Ok(StdRng::from_seed(seed))
}

/// An annotation that has its place.
type Work = (Annotation, Place, Subject);

/// Seals annotations on all processors, and draws for them where their values are released.
fn seal_all(mut work: Vec<Work>, draws: Option<(Draws, Permit)>) -> Result<Vec<Sealed>> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let share = work.len().div_ceil(processors).max(THREAD_SHARE);
    let mut shares = Vec::new();
    while work.len() > share {
        shares.push(work.split_off(work.len() - share));
    }
    shares.push(work);
    if shares.len() == 1 {
        return shares.pop().map_or_else(|| Ok(Vec::new()), |share| seal_share(share, draws));
    }
    // They were cut off from the end.
    shares.reverse();
    let sealed: Vec<Result<Vec<Sealed>>> = thread::scope(|scope| {
        let workers: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(move || seal_share(share, draws))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    Ok(sealed.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn seal_share(share: Vec<Work>, draws: Option<(Draws, Permit)>) -> Result<Vec<Sealed>> {
    let mut rng = new_rng()?;
    let drawn = match draws {
        Some((draws, permit)) => {
            let annotations: Vec<_> = share.iter().map(|(annotation, ..)| annotation).collect();
            draws.draw(&annotations, permit)?.into_iter().map(Some).collect()
        }
        None => vec![None; share.len()],
    };
    let work = share.into_iter().zip(drawn);
    work.map(|((annotation, place, subject), drawn)| {
        seal(annotation, place, &subject, drawn, &mut rng)
    })
    .collect()
}
