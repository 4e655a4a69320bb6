//! Annotation files: JSON Lines, one object a line, plain or gzip (`.gz`).
//!
//! A rating has `prompt`, `response`, `annotator_id` and `reward`; a preference has `chosen` and
//! `rejected`, and may have `prompt` and `annotator_id`. Files are read twice, first to check and then to
//! log, in memory that does not grow with them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};
use trail::Hash;

use crate::annotation::{Annotation, AnnotationFault};
use crate::error::{Error, IoContext as _, Result};

/// Longer lines are refused, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// Progress is reported about as often as so many bytes are read.
const REPORT_EVERY: u64 = 1 << 18;

/// Names of unknown fields that are kept for the summary.
const MAX_IGNORED: usize = 32;

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes of the file read in this phase.
    pub bytes: u64,
    /// Bytes of the file.
    pub of: u64,
}

/// The two passes over a file, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Every line is checked; nothing is logged yet.
    Checking,
    /// The lines become events.
    Logging,
    /// The events become part of the log.
    Finishing,
}

/// What a pass over a file found.
#[derive(Debug)]
pub(crate) struct Pass {
    /// SHA-256 of the file: the second pass must read what the first one read.
    pub sha256: Hash,
    /// Names of fields that mean nothing here.
    pub ignored: BTreeSet<String>,
}

/// Reads a file line by line. Blank lines are skipped.
pub(crate) fn read(
    path: &Path,
    phase: Phase,
    progress: &mut dyn FnMut(Progress),
    each: &mut dyn FnMut(u64, std::result::Result<Annotation, AnnotationFault>) -> Result<()>,
) -> Result<Pass> {
    let file = File::open(path).at(path, "open the file")?;
    let metadata = file.metadata().at(path, "open the file")?;
    if !metadata.is_file() {
        let why = "not a file that can be read twice; save it to a file first";
        return Err(Error::Import { path: path.to_owned(), why });
    }
    let tally = Rc::new(RefCell::new(Tally::default()));
    let raw = BufReader::with_capacity(1 << 17, Tallied { file, tally: Rc::clone(&tally) });
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let mut input: Box<dyn BufRead> = if zipped {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(raw)))
    } else {
        Box::new(raw)
    };

    let mut ignored = BTreeSet::new();
    let (mut line, mut number, mut reported) = (Vec::new(), 0, 0);
    loop {
        let too_long = match read_line(&mut *input, &mut line) {
            Ok(None) => break,
            Ok(Some(too_long)) => too_long,
            Err(e) if zipped && is_format_error(&e) => {
                return Err(Error::Import { path: path.to_owned(), why: "not a whole gzip file" });
            }
            Err(e) => return Err(e).at(path, "read the file"),
        };
        number += 1;
        let mut text = line.as_slice();
        if number == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        if too_long {
            each(number, Err(AnnotationFault::TooLong))?;
        } else if !text.trim_ascii().is_empty() {
            each(number, parse(text, &mut ignored))?;
        }
        let bytes = tally.borrow().bytes;
        if bytes - reported >= REPORT_EVERY {
            reported = bytes;
            progress(Progress { phase, bytes, of: metadata.len() });
        }
    }
    // What follows a gzip stream's end is not content, but it is part of the file.
    drop(input);
    let tally = Rc::try_unwrap(tally).map(RefCell::into_inner).unwrap_or_default();
    progress(Progress { phase, bytes: tally.bytes, of: metadata.len() });
    Ok(Pass { sha256: tally.sha256.finalize().into(), ignored })
}

/// What was read from the disk.
#[derive(Default)]
struct Tally {
    bytes: u64,
    sha256: Sha256,
}

struct Tallied {
    file: File,
    tally: Rc<RefCell<Tally>>,
}

impl Read for Tallied {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        let mut tally = self.tally.borrow_mut();
        tally.bytes += n as u64;
        tally.sha256.update(&buffer[..n]);
        Ok(n)
    }
}

fn is_format_error(e: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(e.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Reads a line without its end, and says whether it was too long to keep; `None` at the end.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    if (&mut *input).take(MAX_LINE).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(false));
    }
    if (line.len() as u64) < MAX_LINE {
        return Ok(Some(false));
    }
    input.skip_until(b'\n')?;
    Ok(Some(true))
}

fn parse(
    line: &[u8],
    ignored: &mut BTreeSet<String>,
) -> std::result::Result<Annotation, AnnotationFault> {
    let text = std::str::from_utf8(line).map_err(|_| AnnotationFault::NotUtf8)?;
    let fields: Fields = serde_json::from_str(text).map_err(|e| {
        // Only the place is taken from the parser: its messages may quote the content.
        if e.is_data() {
            AnnotationFault::NotAnObject
        } else {
            AnnotationFault::NotJson(e.column())
        }
    })?;
    if let Some(name) = fields.twice {
        return Err(AnnotationFault::Twice(name));
    }
    for name in &fields.ignored {
        if ignored.len() < MAX_IGNORED {
            ignored.insert(showable(name));
        }
    }
    let annotation = fields.into_annotation()?;
    annotation.check()?;
    Ok(annotation)
}

/// A field's name for the summary, unless it looks like content.
fn showable(name: &str) -> String {
    let plain = name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if plain { name.to_owned() } else { "(a name not shown here)".to_owned() }
}

/// The fields of a line, as far as they mean something.
#[derive(Default)]
struct Fields {
    prompt: Field,
    response: Field,
    annotator_id: Field,
    reward: Field,
    chosen: Field,
    rejected: Field,
    twice: Option<&'static str>,
    ignored: Vec<String>,
}

/// A field's value, as far as the type is one that a field may have.
#[derive(Default)]
enum Field {
    #[default]
    Absent,
    Null,
    Text(String),
    Integer(i128),
    Float(f64),
    Other,
}

impl Fields {
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Field)> {
        Some(match name {
            "prompt" => ("prompt", &mut self.prompt),
            "response" => ("response", &mut self.response),
            "annotator_id" => ("annotator_id", &mut self.annotator_id),
            "reward" => ("reward", &mut self.reward),
            "chosen" => ("chosen", &mut self.chosen),
            "rejected" => ("rejected", &mut self.rejected),
            _ => return None,
        })
    }

    fn into_annotation(self) -> std::result::Result<Annotation, AnnotationFault> {
        let is_rating = self.response.is_there() || self.reward.is_there();
        let is_preference = self.chosen.is_there() || self.rejected.is_there();
        if is_rating && is_preference {
            return Err(AnnotationFault::Mixed);
        }
        let annotator = self.annotator_id.into_id()?;
        if is_preference {
            let prompt = match self.prompt {
                Field::Absent | Field::Null => None,
                prompt => Some(prompt.into_text("prompt")?),
            };
            let chosen = self.chosen.into_text("chosen")?;
            let rejected = self.rejected.into_text("rejected")?;
            return Ok(Annotation::Preference { annotator, prompt, chosen, rejected });
        }
        Ok(Annotation::Rating {
            prompt: self.prompt.into_text("prompt")?,
            response: self.response.into_text("response")?,
            annotator: annotator.ok_or(AnnotationFault::Missing("annotator_id"))?,
            reward: self.reward.into_number("reward")?,
        })
    }
}

impl Field {
    fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn into_text(self, name: &'static str) -> std::result::Result<String, AnnotationFault> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Absent => Err(AnnotationFault::Missing(name)),
            _ => Err(AnnotationFault::Type(name, "text")),
        }
    }

    fn into_number(self, name: &'static str) -> std::result::Result<f64, AnnotationFault> {
        match self {
            Self::Float(number) => Ok(number),
            Self::Integer(number) => Ok(number as f64),
            Self::Absent => Err(AnnotationFault::Missing(name)),
            _ => Err(AnnotationFault::Type(name, "a number")),
        }
    }

    /// An id: text, or an integer taken as its decimal digits. Exports write null where there is none.
    fn into_id(self) -> std::result::Result<Option<String>, AnnotationFault> {
        match self {
            Self::Absent | Self::Null => Ok(None),
            Self::Text(id) => Ok(Some(id)),
            Self::Integer(id) => Ok(Some(id.to_string())),
            _ => Err(AnnotationFault::Type("annotator_id", "text or an integer")),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(name) = map.next_key::<String>()? {
                    let Some((name, slot)) = fields.slot(&name) else {
                        map.next_value::<IgnoredAny>()?;
                        fields.ignored.push(name);
                        continue;
                    };
                    let was_there = slot.is_there();
                    *slot = map.next_value()?;
                    if was_there {
                        fields.twice = Some(name);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct FieldVisitor;
        impl<'de> Visitor<'de> for FieldVisitor {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> std::result::Result<Field, E> {
                Ok(Field::Null)
            }

            fn visit_bool<E>(self, _: bool) -> std::result::Result<Field, E> {
                Ok(Field::Other)
            }

            fn visit_u64<E>(self, number: u64) -> std::result::Result<Field, E> {
                Ok(Field::Integer(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Field, E> {
                Ok(Field::Integer(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> std::result::Result<Field, E> {
                Ok(Field::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Field, E> {
                Ok(Field::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> std::result::Result<Field, E> {
                Ok(Field::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<Field, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Field, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
        }
        deserializer.deserialize_any(FieldVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnnotationFault as Fault;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn parse_line(line: &str) -> std::result::Result<Annotation, Fault> {
        parse(line.as_bytes(), &mut BTreeSet::new())
    }

    #[test]
    fn both_kinds_are_read() {
        let rating = parse_line(r#"{"prompt":"p","response":"r","annotator_id":7,"reward":3}"#);
        assert_eq!(
            rating,
            Ok(Annotation::Rating {
                annotator: "7".into(),
                prompt: "p".into(),
                response: "r".into(),
                reward: 3.0
            })
        );
        let preference = parse_line(r#"{"chosen":"c","rejected":"d","annotator_id":null}"#);
        assert_eq!(
            preference,
            Ok(Annotation::Preference {
                annotator: None,
                prompt: None,
                chosen: "c".into(),
                rejected: "d".into()
            })
        );
    }

    #[test]
    fn every_fault_has_its_name() {
        for (line, fault) in [
            ("secret", Fault::NotJson(1)),
            (r#"["secret"]"#, Fault::NotAnObject),
            (r#""secret""#, Fault::NotAnObject),
            (r#"{"prompt":"secret"}"#, Fault::Missing("response")),
            (r#"{"prompt":"secret","response":"r","reward":1}"#, Fault::Missing("annotator_id")),
            (r#"{"prompt":"p","response":"r","annotator_id":"a"}"#, Fault::Missing("reward")),
            (r#"{"response":"r","annotator_id":"a","reward":1}"#, Fault::Missing("prompt")),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"a","reward":NaN}"#,
                Fault::NotJson(58),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"a","reward":1e999}"#,
                Fault::NotJson(62),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"a","reward":"5"}"#,
                Fault::Type("reward", "a number"),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"a","reward":null}"#,
                Fault::Type("reward", "a number"),
            ),
            (
                r#"{"prompt":["secret"],"response":"r","annotator_id":"a","reward":1}"#,
                Fault::Type("prompt", "text"),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":1.5,"reward":1}"#,
                Fault::Type("annotator_id", "text or an integer"),
            ),
            (
                r#"{"prompt":"p","response":"","annotator_id":"a","reward":1}"#,
                Fault::Empty("response"),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"","reward":1}"#,
                Fault::Empty("annotator_id"),
            ),
            (
                r#"{"prompt":"p","response":"r","annotator_id":"a","reward":1,"reward":5}"#,
                Fault::Twice("reward"),
            ),
            (r#"{"chosen":"c","rejected":"d","reward":1}"#, Fault::Mixed),
            (r#"{"chosen":"c"}"#, Fault::Missing("rejected")),
            (r#"{"chosen":"c","rejected":"d"} secret"#, Fault::NotJson(31)),
        ] {
            let found = parse_line(line).unwrap_err();
            assert_eq!(found, fault, "{line}");
            assert!(!found.to_string().contains("secret"));
        }
        assert_eq!(parse(b"{\"chosen\":\"\xff\"}", &mut BTreeSet::new()), Err(Fault::NotUtf8));
    }

    #[test]
    fn unknown_fields_are_named_unless_they_look_like_content() {
        let mut ignored = BTreeSet::new();
        let line = r#"{"chosen":"c","rejected":"d","source":[1],"what I said":{"a":1}}"#;
        parse(line.as_bytes(), &mut ignored).unwrap();
        assert_eq!(Vec::from_iter(ignored), ["(a name not shown here)", "source"]);
    }

    fn read_all(path: &Path) -> Result<Vec<(u64, std::result::Result<Annotation, Fault>)>> {
        let mut lines = Vec::new();
        read(path, Phase::Checking, &mut |_| {}, &mut |number, line| {
            lines.push((number, line));
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn blank_lines_byte_order_marks_and_windows_line_ends_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let line = r#"{"chosen":"c","rejected":"d"}"#;
        std::fs::write(&path, format!("\u{FEFF}{line}\r\n\r\n  \n{line}")).unwrap();
        let lines = read_all(&path).unwrap();
        assert_eq!(lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 4]);
        assert!(lines.iter().all(|(_, line)| line.is_ok()));
    }

    #[test]
    fn gzip_is_read_by_its_name_and_a_broken_one_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{\"chosen\":\"c\",\"rejected\":\"d\"}\n").unwrap();
        let zipped = encoder.finish().unwrap();
        std::fs::write(&path, &zipped).unwrap();
        assert_eq!(read_all(&path).unwrap().len(), 1);
        std::fs::write(&path, &zipped[..zipped.len() - 5]).unwrap();
        assert!(matches!(read_all(&path), Err(Error::Import { .. })));
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_without_being_kept() {
        let mut input =
            io::Cursor::new([vec![b'x'; MAX_LINE as usize + 5], b"\nnext".to_vec()].concat());
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(true));
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(false));
        assert_eq!(line, b"next");
        assert_eq!(read_line(&mut input, &mut line).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in r#"[ {}\[\]":,a-z0-9\\.\-]{0,60}"#) {
            let _ = parse_line(&line);
        }
    }
}
