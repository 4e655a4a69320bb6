//! The privacy ledger: who was charged what for which round, and what was answered.
//!
//! A file that only grows, `private/privacy/ledger`. A round is charged before noise is drawn for it, its answer is
//! kept before anybody sees it, and each of these is durable before the next step. So whatever was released has been
//! charged, and a round has one answer for ever.
//!
//! A frame is `length (4, big-endian) ‖ body ‖ SHA-256(link before ‖ body) (32)`; that digest is the link for the next
//! frame, and the first one follows a link that depends on the log's origin. Bodies are deterministic CBOR maps:
//!
//! | `kind` | keys |
//! |---|---|
//! | `charge` | `id`, text; `request`, the SHA-256 of what was asked for, or of a batch 32 random bytes, which its event holds too; `rho`, float: the cost for each, or of each value; `first`, `end`: the entries; `people`: their slots among the subjects, 4 bytes each; of a batch `items`: how many values of each, 4 bytes each |
//! | `answer` | `answer`: the data of the `privacy.round` event, encoded, for the last charge |
//! | `release` | `index`: where that event is in the log; `round`: of which charge it is, counted from 0 |
//!
//! The answer of a batch whose values are released one by one is not here: it enters the log in the same transaction
//! as the annotations, or never. Slots of people who came with a transaction that never happened are given to others,
//! who then have been charged too much.
//!
//! Only the last frame can be torn, and what it stood for has not happened. It is cut off once the ledger is known
//! to agree with the log, never before.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ciborium::Value;
use sha2::{Digest as _, Sha256};
use trail::cbor;
use trail::event::EventError;

use super::settings::cost_of;
use crate::disk::{Disk, PRIVATE, parent};
use crate::error::{Error, IoContext as _, Result};

const DOMAIN: &[u8] = b"rlhf-audit-trail/privacy-ledger/v1";

/// What a frame has beside its body.
const AROUND: u64 = 4 + 32;

/// A request for a round, to be charged.
#[derive(Debug)]
pub(crate) struct Charge {
    pub id: String,
    pub request: [u8; 32],
    pub rho: f64,
    pub entries: Range<u64>,
    /// Slots of subjects, each once.
    pub people: Vec<u32>,
    /// Where values are released one by one: how many of each.
    pub items: Option<Vec<u32>>,
}

/// That a round is charged, durably. Without it nothing is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit(());

/// A round as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub id: String,
    pub request: [u8; 32],
    pub entries: Range<u64>,
    /// How many were charged.
    pub people: u64,
    /// Whether values are released one by one.
    pub of_items: bool,
    /// The most that somebody was charged.
    pub most: f64,
    /// Where the answer's frame is in the file, once there is one.
    answer: Option<Range<u64>>,
    /// The entry that released it.
    pub index: Option<u64>,
}

/// The ledger, open.
#[derive(Debug)]
pub(crate) struct Ledger {
    disk: Disk,
    path: PathBuf,
    file: File,
    /// Where the next frame belongs, and the link before it.
    end: u64,
    link: [u8; 32],
    rounds: Vec<Record>,
    ids: HashMap<String, usize>,
    /// What each was charged, by slot.
    spent: HashMap<u32, f64>,
}

impl Ledger {
    /// Makes an empty one.
    pub fn create(disk: &Disk, path: &Path) -> Result<()> {
        disk.create_folder(parent(path), 0o700)?;
        disk.create_new(path, &[], PRIVATE)?;
        disk.sync_folder(parent(path))
    }

    /// Reads the ledger of the log with this origin. Nothing is changed.
    pub fn open(disk: &Disk, path: &Path, origin: &str) -> Result<Self> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing(path.to_owned()));
            }
            opened => opened.at(path, "open the file")?,
        };
        let mut ledger = Self {
            disk: disk.clone(),
            path: path.to_owned(),
            file,
            end: 0,
            link: Sha256::new_with_prefix(DOMAIN).chain_update(origin).finalize().into(),
            rounds: Vec::new(),
            ids: HashMap::new(),
            spent: HashMap::new(),
        };
        let len = ledger.file.metadata().at(path, "read the file")?.len();
        let mut reader = BufReader::new(ledger.file.try_clone().at(path, "read the file")?);
        while let Some(body) = ledger.next_frame(&mut reader, len).at(path, "read the file")? {
            let broken = || Error::damaged(path, "a frame has a meaning that is not known here");
            let body = cbor::decode(&body).map_err(|_| broken())?;
            ledger.take(&body).ok_or_else(broken)?;
        }
        Ok(ledger)
    }

    /// The next whole frame of a file of this length, whose end then is where the next one belongs.
    fn next_frame(&mut self, file: &mut impl Read, len: u64) -> io::Result<Option<Vec<u8>>> {
        let left = len - self.end;
        if left < AROUND {
            return Ok(None);
        }
        let (mut length, mut link) = ([0; 4], [0; 32]);
        file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if u64::from(length) > left - AROUND {
            return Ok(None);
        }
        let mut body = vec![0; length as usize];
        file.read_exact(&mut body)?;
        file.read_exact(&mut link)?;
        if link != next_link(&self.link, &body) {
            return Ok(None);
        }
        self.passed(&body, link);
        Ok(Some(body))
    }

    fn passed(&mut self, body: &[u8], link: [u8; 32]) {
        self.end += AROUND + body.len() as u64;
        self.link = link;
    }

    /// What a frame, just passed, says.
    fn take(&mut self, body: &Value) -> Option<()> {
        let number = |key| cbor::get(body, key).and_then(cbor::as_u64);
        match cbor::get(body, "kind")?.as_text()? {
            "charge" => {
                let rho = cbor::get(body, "rho")?.as_float().filter(|rho| *rho >= 0.0)?;
                let people = cbor::get(body, "people")?.as_bytes()?;
                let (people, rest) = people.as_chunks::<4>();
                let items = match cbor::get(body, "items") {
                    Some(items) => Some(items.as_bytes()?.as_chunks::<4>()),
                    None => None,
                };
                if items
                    .is_some_and(|(items, rest)| items.len() != people.len() || !rest.is_empty())
                {
                    return None;
                }
                let charge = Charge {
                    id: cbor::get(body, "id")?.as_text()?.to_owned(),
                    request: cbor::get(body, "request").and_then(cbor::as_array)?,
                    rho,
                    entries: number("first")?..number("end")?,
                    people: numbers(people),
                    items: items.map(|(items, _)| numbers(items)),
                };
                let free = rest.is_empty() && !self.ids.contains_key(&charge.id);
                free.then(|| self.note(charge))
            }
            "answer" => {
                let length = cbor::get(body, "answer")?.as_bytes()?.len() as u64;
                let end = self.end - 32;
                let waits = |round: &&mut Record| round.answer.is_none() && !round.of_items;
                let round = self.rounds.last_mut().filter(waits)?;
                // The body ends with it: the shorter key comes first (RFC 8949 §4.2.1).
                round.answer = Some(end - length..end);
                Some(())
            }
            "release" => {
                let index = number("index")?;
                let round = match cbor::get(body, "round") {
                    Some(number) => usize::try_from(cbor::as_u64(number)?).ok()?,
                    None => self.rounds.len().checked_sub(1)?,
                };
                let round = self.rounds.get_mut(round)?;
                let is_answered = round.answer.is_some() || round.of_items;
                (is_answered && round.index.is_none()).then(|| round.index = Some(index))
            }
            _ => None,
        }
    }

    fn note(&mut self, charge: Charge) {
        let Charge { id, request, rho, entries, people, items } = charge;
        let mut most = 0.0_f64;
        for (at, slot) in people.iter().enumerate() {
            let values = items.as_ref().and_then(|items| items.get(at));
            let cost = values.map_or(rho, |values| cost_of(rho, *values));
            most = most.max(cost);
            // Upwards: what was spent is never more than is said here.
            let spent = self.spent.entry(*slot).or_default();
            *spent = (*spent + cost).next_up();
        }
        self.ids.insert(id.clone(), self.rounds.len());
        let (people, of_items) = (people.len() as u64, items.is_some());
        let (answer, index) = (None, None);
        self.rounds.push(Record { id, request, entries, people, of_items, most, answer, index });
    }

    /// Charges a round. After an error it may be on the disk or not.
    pub fn charge(&mut self, charge: Charge) -> Result<Permit> {
        let bytes = |numbers: &[u32]| {
            Value::Bytes(numbers.iter().flat_map(|number| number.to_be_bytes()).collect())
        };
        let mut body = vec![
            ("kind", "charge".into()),
            ("id", charge.id.as_str().into()),
            ("request", Value::Bytes(charge.request.to_vec())),
            ("rho", Value::Float(charge.rho)),
            ("first", charge.entries.start.into()),
            ("end", charge.entries.end.into()),
            ("people", bytes(&charge.people)),
        ];
        body.extend(charge.items.as_deref().map(|items| ("items", bytes(items))));
        self.append(&cbor::map(body))?;
        Ok(Permit(()))
    }

    /// Keeps the answer of the round charged last, before anybody sees it.
    pub fn answer(&mut self, data: &[u8]) -> Result<()> {
        let data = Value::Bytes(data.to_vec());
        self.append(&cbor::map([("kind", "answer".into()), ("answer", data)]))
    }

    /// Notes where a round, by its number, is in the log.
    pub fn release(&mut self, round: usize, index: u64) -> Result<()> {
        let round = (round as u64).into();
        self.append(&cbor::map([
            ("kind", "release".into()),
            ("index", index.into()),
            ("round", round),
        ]))
    }

    fn append(&mut self, body: &Value) -> Result<()> {
        let bytes = cbor::encode(body).map_err(EventError::from)?;
        let length = u32::try_from(bytes.len()).map_err(|_| Error::Full)?;
        let link = next_link(&self.link, &bytes);
        let frame = [length.to_be_bytes().as_slice(), &bytes, &link].concat();
        self.disk.write_at(&self.file, &self.path, self.end, &frame)?;
        self.disk.sync(&self.file, &self.path)?;
        self.passed(&bytes, link);
        let taken = self.take(body);
        taken.ok_or_else(|| Error::damaged(&self.path, "a frame was written out of its order"))
    }

    /// Cuts off what a crash has left of a frame, and makes durable what was read: a process may have died between
    /// writing and syncing it.
    pub fn settle(&self) -> Result<()> {
        if self.file.metadata().at(&self.path, "read the file")?.len() > self.end {
            self.disk.set_len(&self.file, &self.path, self.end)?;
        }
        self.disk.sync(&self.file, &self.path)
    }

    /// The stored answer of a round.
    pub fn answer_of(&self, round: &Record) -> Result<Option<Vec<u8>>> {
        let Some(place) = &round.answer else { return Ok(None) };
        let mut bytes = vec![0; (place.end - place.start) as usize];
        self.file.read_exact_at(&mut bytes, place.start).at(&self.path, "read the file")?;
        Ok(Some(bytes))
    }

    /// Whether this is what a round released: the data of its event.
    pub fn is_release(&self, round: &Record, data: &[u8]) -> Result<bool> {
        if !round.of_items {
            return Ok(self.answer_of(round)?.as_deref() == Some(data));
        }
        let data = cbor::decode(data).map_err(EventError::from)?;
        Ok(cbor::get(&data, "charge").and_then(cbor::as_array) == Some(round.request))
    }

    /// The number of the round that released this, and of which it is not noted yet.
    pub fn unreleased(&self, data: &[u8]) -> Result<Option<usize>> {
        for (number, round) in self.rounds.iter().enumerate().rev() {
            if round.index.is_none() && self.is_release(round, data)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    pub fn find(&self, id: &str) -> Option<&Record> {
        self.ids.get(id).and_then(|at| self.rounds.get(*at))
    }

    /// All rounds charged, in order.
    pub fn rounds(&self) -> &[Record] {
        &self.rounds
    }

    /// The last round with an answer.
    pub fn last_answered(&self) -> Option<&Record> {
        self.rounds.iter().rev().find(|round| round.answer.is_some())
    }

    /// The last round that is in the log, and where.
    pub fn last_released(&self) -> Option<(&Record, u64)> {
        self.rounds.iter().rev().find_map(|round| Some((round, round.index?)))
    }

    /// What the person in this slot was charged so far.
    pub fn spent_by(&self, slot: u32) -> f64 {
        self.spent.get(&slot).copied().unwrap_or_default()
    }

    /// What was charged to each who was charged anything.
    pub fn spent(&self) -> impl Iterator<Item = f64> {
        self.spent.values().copied()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn numbers(bytes: &[[u8; 4]]) -> Vec<u32> {
    bytes.iter().map(|number| u32::from_be_bytes(*number)).collect()
}

fn next_link(link: &[u8; 32], body: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(link).chain_update(body).finalize().into()
}
