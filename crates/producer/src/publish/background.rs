//! Publishing beside the training: the logging thread pushes a head onto a queue, a thread of its own signs
//! and sends, and the writer notes what was published when it next writes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ciborium::Value;
use trail::{Event, EventType, cbor};

use super::{Publication, Publisher, Queue, Setback, Step, Waiting};
use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::head::SignedHead;

/// After so long the same is tried again, twice as long each time, up to so long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// With nothing to do it wakes up all the same.
const LONG: Duration = Duration::from_secs(3600);

/// How long to wait before the next attempt.
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// The wait after one more failure: what the service asks for, if it does.
    pub fn next(&mut self, setback: &Setback) -> Duration {
        let own = FIRST_RETRY.saturating_mul(1 << self.0.min(9)).min(LAST_RETRY);
        self.0 = self.0.saturating_add(1);
        setback.after.map_or(own, |asked| asked.clamp(Duration::from_millis(100), LAST_RETRY))
    }

    /// Something went well.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

enum Command {
    Publish(SignedHead),
    Stop(Duration),
}

/// The thread that publishes.
#[derive(Debug)]
pub(crate) struct Background {
    commands: Sender<Command>,
    published: Receiver<Publication>,
    thread: Option<JoinHandle<Result<Waiting>>>,
}

impl Background {
    fn start(publisher: Publisher, every: Option<Duration>) -> Self {
        let (commands, inbox) = channel();
        let (outbox, published) = channel();
        let thread = thread::spawn(move || work(publisher, every, &inbox, &outbox));
        Self { commands, published, thread: Some(thread) }
    }

    fn push(&self, head: &SignedHead) {
        // A thread that has failed says so when the log is closed.
        let _ = self.commands.send(Command::Publish(head.clone()));
    }

    /// What was published since the last time.
    pub fn published(&self) -> impl Iterator<Item = Publication> {
        self.published.try_iter()
    }

    fn stop(mut self, patience: Duration) -> Result<Waiting> {
        let _ = self.commands.send(Command::Stop(patience));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Waiting::default()),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The thread ends by itself; what waits is on the disk.
        let _ = self.commands.send(Command::Stop(Duration::ZERO));
    }
}

fn work(
    mut publisher: Publisher,
    every: Option<Duration>,
    inbox: &Receiver<Command>,
    outbox: &Sender<Publication>,
) -> Result<Waiting> {
    let mut backoff = Backoff::default();
    let mut stop: Option<Instant> = None;
    let mut interval = Instant::now();
    // What an earlier process has left is taken up at once.
    let mut wait = Duration::ZERO;
    loop {
        let received = match stop {
            None => inbox.recv_timeout(every.map_or(wait, |every| wait.min(every))),
            Some(_) => {
                thread::sleep(wait);
                Err(RecvTimeoutError::Timeout)
            }
        };
        match received {
            Ok(Command::Publish(head)) => {
                publisher.enqueue(&head)?;
            }
            Ok(Command::Stop(patience)) => stop = Instant::now().checked_add(patience),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => stop = Some(Instant::now()),
        }
        if stop.is_none() && every.is_some_and(|every| interval.elapsed() >= every) {
            interval = Instant::now();
            publisher.enqueue_newest()?;
        }
        wait = match publisher.step()? {
            Step::Published(publication) => {
                backoff.reset();
                let _ = outbox.send(publication);
                Duration::ZERO
            }
            Step::Idle if stop.is_some() => break,
            Step::Idle => LONG,
            Step::Later(setback) => backoff.next(&setback),
        };
        if stop.is_some_and(|deadline| Instant::now() + wait > deadline) {
            break;
        }
    }
    publisher.waiting()
}

impl Audit {
    /// Publishes beside the writing from now on: every head that [`Audit::publish`] or a named checkpoint puts
    /// into the queue, and the newest one at each interval.
    pub fn publish_in_background(&mut self, publisher: Publisher, every: Option<Duration>) {
        self.background = Some(Background::start(publisher, every));
    }

    /// Puts the newest head into the queue. Nothing is sent here.
    ///
    /// # Errors
    /// The queue cannot be written.
    pub fn publish(&mut self) -> Result<()> {
        match &self.background {
            Some(background) => {
                background.push(self.head());
                Ok(())
            }
            // Another process may publish it.
            None if self.folder().publisher().is_file() => self.queue()?.put(self.head()),
            None => Ok(()),
        }
    }

    /// Ends publishing in the background after at most so long, and notes in the log what was published. What
    /// still waits is returned, and stays in the queue.
    ///
    /// # Errors
    /// The queue or the log could not be written.
    pub fn close(mut self, patience: Duration) -> Result<Waiting> {
        let waiting = match self.background.take() {
            Some(background) => background.stop(patience)?,
            None => Waiting::default(),
        };
        self.note_publications()?;
        Ok(waiting)
    }

    /// Notes in the log what was published and is not noted yet, also by other processes. Returns how many.
    ///
    /// # Errors
    /// The queue or the log cannot be read or written.
    pub fn note_publications(&mut self) -> Result<usize> {
        if !self.folder().queue().is_dir() {
            return Ok(0);
        }
        let queue = self.queue()?;
        let mut noted = 0;
        self.published.clear();
        for notice in queue.notices()? {
            // A process may have died between noting it and forgetting it.
            if self.has_noted(&notice)? {
                queue.drop_notice(notice.sequence)?;
            } else {
                self.published.push(notice);
                noted += 1;
            }
        }
        if noted > 0 {
            self.begin()?.commit()?;
        }
        Ok(noted)
    }

    fn has_noted(&self, notice: &Publication) -> Result<bool> {
        let reader = self.reader();
        for (entry, index) in reader.entries(notice.size..self.size()).zip(notice.size..) {
            let event = Event::decode(&entry?).map_err(|e| reader.damaged_entry(index, &e))?;
            if event.kind == EventType::HeadPublished
                && event.get("sequence").and_then(cbor::as_u64) == Some(notice.sequence)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The publications that the next transaction is to note.
    pub(crate) fn take_published(&mut self) {
        if let Some(background) = &self.background {
            self.published.extend(background.published());
        }
    }

    /// They are noted.
    pub(crate) fn forget_published(&mut self, noted: usize) {
        for notice in self.published.drain(..noted).collect::<Vec<_>>() {
            // One that stays is found to be noted already.
            let _ = self.queue().and_then(|queue| queue.drop_notice(notice.sequence));
        }
    }

    fn queue(&self) -> Result<Queue> {
        Queue::open(self.disk(), self.folder())
    }
}

impl Publication {
    /// The data of the event that notes it.
    pub(crate) fn event(&self) -> Result<Value> {
        let bytes = |hex: &str| {
            hex::decode(hex)
                .map(Value::Bytes)
                .map_err(|_| Error::Publish("what was published is not as it was written".into()))
        };
        let published = self.published.iter().map(|place| {
            Ok(cbor::map([
                ("log_id", bytes(&place.log_id)?),
                ("log", Value::from(place.log.as_str())),
                ("index", Value::from(place.index)),
            ]))
        });
        Ok(cbor::map([
            ("sequence", Value::from(self.sequence)),
            ("size", Value::from(self.size)),
            ("root", bytes(&self.root)?),
            ("published", Value::Array(published.collect::<Result<_>>()?)),
        ]))
    }
}
