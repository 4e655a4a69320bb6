//! What a program thought of a response, for example a reward function: logged like a person's rating, and told apart
//! from it.

use std::fmt;

use ciborium::Value;
use rand::RngExt as _;
use trail::commitment::Opening;
use trail::event::EventError;
use trail::{Event, EventType, cbor};

use crate::annotation::AnnotationFault;
use crate::error::{Error, Result};
use crate::sequencer::now;
use crate::transaction::{Transaction, new_rng};
use crate::vault::seal_record;

/// A judge's name has at most so many bytes.
const MAX_NAME: usize = 200;

/// The reward that a program gave to a response.
#[derive(Clone, PartialEq)]
pub struct Judgement {
    /// What the model was asked.
    pub prompt: String,
    /// What it answered, which may be nothing.
    pub response: String,
    /// The number.
    pub reward: f64,
}

// Content must not reach a log by way of a debug print.
impl fmt::Debug for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judgement(..)")
    }
}

impl Transaction<'_> {
    /// Adds a judgement of the program with this name. It costs no person's privacy budget, and is in no noised round.
    ///
    /// # Errors
    /// The name is not one line of text, the reward is no finite number, or the write-ahead log cannot be written.
    pub fn judge(&mut self, judge: &str, judgement: Judgement) -> Result<()> {
        if judge.trim().is_empty() || judge.len() > MAX_NAME || judge.contains(char::is_control) {
            return Err(Error::Annotation(AnnotationFault::Judge));
        }
        if !judgement.reward.is_finite() {
            return Err(Error::Annotation(AnnotationFault::NotFinite));
        }
        self.or_break(|tx| {
            tx.ensure_run(&EventType::Annotation)?;
            // What was said before must come before.
            tx.flush_window()?;
            tx.push_judgement(judge, judgement)
        })
    }

    fn push_judgement(&mut self, judge: &str, judgement: Judgement) -> Result<()> {
        let Judgement { prompt, response, reward } = judgement;
        let fields = [
            ("prompt", Value::from(prompt)),
            ("response", response.into()),
            ("reward", Value::Float(reward)),
        ];
        let (run, seq, time) = self.next_place(now())?;
        let mut rng = new_rng()?;
        let mut data = vec![("kind", Value::from("rating")), ("judge", judge.into())];
        let mut openings = Vec::with_capacity(fields.len());
        for (field, content) in fields {
            let opening = Opening { field: field.to_owned(), blind: rng.random(), content };
            let commitment = opening.commitment(&run, seq).map_err(EventError::from)?;
            data.push((field, Value::Bytes(commitment.to_vec())));
            openings.push(opening);
        }
        let event = Event { time, run, seq, kind: EventType::Annotation, data: cbor::map(data) };
        // Nobody's: the same key as that of preferences whose annotator is not known.
        let subject = self.subject(None, run)?;
        let key = (subject.slot, &subject.key);
        let record = seal_record(key, &rng.random(), (&run, seq), openings, None)?;
        self.count_one();
        self.push_entry(&event.encode()?, &record)
    }
}
