//! One piece of human feedback, and how it becomes an event whose private fields are commitments.

use std::fmt;

use ciborium::Value;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use thiserror::Error;
use trail::cbor;
use trail::commitment::Opening;
use trail::event::EventError;
use trail::{Event, EventType, RunId};

use crate::error::Result;
use crate::privacy::{Drawn, ReleasedValue};
use crate::seal::Key;
use crate::vault::{Pseudonym, seal_record};

/// One piece of human feedback.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Annotation {
    /// A number given to a response.
    Rating {
        /// Who gave it.
        annotator: String,
        /// What the model was asked.
        prompt: String,
        /// What it answered.
        response: String,
        /// The number.
        reward: f64,
    },
    /// A choice between two responses.
    Preference {
        /// Who chose, where that is known.
        annotator: Option<String>,
        /// What the model was asked, unless the responses contain it.
        prompt: Option<String>,
        /// The better response.
        chosen: String,
        /// The other one.
        rejected: String,
    },
}

// Content must not reach a log by way of a debug print.
impl fmt::Debug for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rating { .. } => "Rating(..)",
            Self::Preference { .. } => "Preference(..)",
        })
    }
}

/// What is wrong with an annotation. It names fields and places, never contents.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnotationFault {
    /// The line is not text.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// The line is too long.
    #[error("the line is longer than 64 MiB")]
    TooLong,
    /// The line is not JSON.
    #[error("not JSON at column {0} (NaN and Infinity are no JSON numbers)")]
    NotJson(usize),
    /// The line is JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A field is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is there twice.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
    /// A field has the wrong type.
    #[error("`{0}` must be {1}")]
    Type(&'static str, &'static str),
    /// A field is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// The reward is no finite number.
    #[error("`reward` must be a finite number")]
    NotFinite,
    /// The name of a program that judged cannot be shown.
    #[error("the judge's name must be one line of text of at most 200 bytes")]
    Judge,
    /// Nobody to charge.
    #[error(
        "`annotator_id` is missing: in this log each value is charged to somebody's privacy budget"
    )]
    Unaccountable,
    /// Both kinds of annotation at once.
    #[error(
        "it is neither a rating (prompt, response, annotator_id, reward) nor a preference (chosen, rejected), \
         but has fields of both"
    )]
    Mixed,
}

impl Annotation {
    /// Whether it can be logged.
    pub(crate) fn check(&self) -> std::result::Result<(), AnnotationFault> {
        let not_empty = |name, text: &str| {
            if text.is_empty() { Err(AnnotationFault::Empty(name)) } else { Ok(()) }
        };
        match self {
            Self::Rating { annotator, response, reward, .. } => {
                not_empty("annotator_id", annotator)?;
                not_empty("response", response)?;
                if reward.is_finite() { Ok(()) } else { Err(AnnotationFault::NotFinite) }
            }
            Self::Preference { annotator, chosen, rejected, .. } => {
                annotator.as_deref().map_or(Ok(()), |id| not_empty("annotator_id", id))?;
                not_empty("chosen", chosen)?;
                not_empty("rejected", rejected)
            }
        }
    }

    /// Who made it.
    pub(crate) fn annotator(&self) -> Option<&str> {
        match self {
            Self::Rating { annotator, .. } => Some(annotator),
            Self::Preference { annotator, .. } => annotator.as_deref(),
        }
    }

    /// Bytes of text in it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Rating { prompt, response, .. } => prompt.len() + response.len(),
            Self::Preference { prompt, chosen, rejected, .. } => {
                prompt.as_deref().map_or(0, str::len) + chosen.len() + rejected.len()
            }
        }
    }

    /// Its kind, its private fields by name, and who made it.
    fn into_fields(self, rng: &mut StdRng) -> (&'static str, Fields, Option<String>) {
        match self {
            Self::Rating { annotator, prompt, response, reward } => {
                let fields = vec![
                    ("prompt", prompt.into()),
                    ("response", response.into()),
                    // A float even where it is whole, so that 3 and 3.0 are the same rating.
                    ("reward", Value::Float(reward)),
                ];
                ("rating", fields, Some(annotator))
            }
            Self::Preference { annotator, prompt, chosen, rejected } => {
                // Which of the two is `a` must not tell which was chosen, so that opening a text does not
                // open the vote.
                let (preference, a, b) = if rng.next_u32() & 1 == 0 {
                    ("a", chosen, rejected)
                } else {
                    ("b", rejected, chosen)
                };
                let mut fields = vec![
                    ("response_a", a.into()),
                    ("response_b", b.into()),
                    ("preference", preference.into()),
                ];
                fields.extend(prompt.map(|prompt| ("prompt", prompt.into())));
                ("preference", fields, annotator)
            }
        }
    }
}

type Fields = Vec<(&'static str, Value)>;

/// Where an annotation stands in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub run: RunId,
    pub seq: u64,
    pub time: u64,
}

/// The subject an annotation belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub slot: u32,
    pub key: Key,
    pub pseudonym: Pseudonym,
}

/// An annotation as it is written: the public event and the sealed private record.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub entry: Vec<u8>,
    pub record: Vec<u8>,
    /// What the event says of the rating or the vote, where that is released.
    pub released: Option<ReleasedValue>,
}

/// Commits to the private fields of an annotation and seals what opens them.
pub(crate) fn seal(
    annotation: Annotation,
    place: Place,
    subject: &Subject,
    drawn: Option<Drawn>,
    rng: &mut StdRng,
) -> Result<Sealed> {
    let Place { run, seq, time } = place;
    let (kind, fields, annotator) = annotation.into_fields(rng);
    let vote = fields.iter().find(|(field, _)| *field == "preference");
    let released = drawn.map(|drawn| drawn.value(vote.and_then(|(_, vote)| vote.as_text())));
    let mut data = vec![("kind", Value::from(kind))];
    if annotator.is_some() {
        data.push(("annotator", Value::Bytes(subject.pseudonym.to_vec())));
    }
    let mut openings = Vec::with_capacity(fields.len());
    for (field, content) in fields {
        let opening = Opening { field: field.to_owned(), blind: rng.random(), content };
        let commitment = opening.commitment(&run, seq).map_err(EventError::from)?;
        data.push((field, Value::Bytes(commitment.to_vec())));
        openings.push(opening);
    }
    data.extend(released.as_ref().map(|released| ("released", released.logged())));
    let event = Event { time, run, seq, kind: EventType::Annotation, data: cbor::map(data) };
    let key = (subject.slot, &subject.key);
    let record = seal_record(key, &rng.random(), (&run, seq), openings, annotator.as_deref())?;
    Ok(Sealed { entry: event.encode()?, record, released })
}
