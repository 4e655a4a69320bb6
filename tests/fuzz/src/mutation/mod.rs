//! Changes to inputs that keep their form: libFuzzer's own know only bytes, and nearly all of them end in the
//! first reader that checks a length, a base64 or the one spelling.
//!
//! A document is changed as the tree that it is and written again, and so is the document that stands in one of
//! its strings: a DER certificate in base64 in a trusted root, an event in an evidence file. Every so often another
//! target's input takes its place, or the bytes themselves are changed, as libFuzzer would.

mod cbor;
mod der;
mod dice;
mod donors;
mod json;
mod text;
mod tree;

use std::sync::LazyLock;

pub use dice::Dice;
use donors::DONORS;

/// Changes bytes that have no form; `usize` is the most that they may grow to.
pub type Bytes<'a> = &'a mut dyn FnMut(&mut Vec<u8>, usize);

/// How deep documents may lie one in the other.
const DEPTH: usize = 6;

/// So much may bytes grow at once.
const GROWTH: usize = 64;

/// The words of libFuzzer's dictionary, but for those with bytes that are no text.
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let lines = include_str!("../../words.dict").lines().filter(|line| !line.contains('\\'));
    lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).collect()
});

/// What lies before a target's documents, as the target reads it.
struct Frame {
    /// Bytes that choose.
    head: usize,
    /// So many parts come after their lengths in two bytes; what remains is the last part.
    lengths: usize,
}

impl Frame {
    fn of(target: &str) -> Self {
        let (head, lengths) = match target {
            "anchor" | "trusted_root" => (0, 1),
            "shards" => (0, 2),
            "derived" => (0, usize::MAX),
            "sealed" => (1, usize::MAX),
            "watch" | "witness" => (4, 0),
            _ => (0, 0),
        };
        Self { head, lengths }
    }

    fn is_none(&self) -> bool {
        self.head == 0 && self.lengths == 0
    }
}

/// The input of the target, changed in one place or a few.
pub fn mutate(target: &str, input: &[u8], dice: &mut Dice, bytes: Bytes<'_>) -> Vec<u8> {
    let mut change = Change { dice, bytes };
    let mut input = input.to_vec();
    for _ in 0..=change.dice.below(3) {
        let frame = Frame::of(target);
        let framed = !frame.is_none() && input.len() > frame.head;
        input = match framed && !change.dice.one_in(8) {
            true => change.framed(&frame, &input),
            false => change.document(input, DEPTH),
        };
    }
    input
}

/// One change: where chance decides, and what changes bytes.
struct Change<'a> {
    dice: &'a mut Dice,
    bytes: Bytes<'a>,
}

impl Change<'_> {
    fn framed(&mut self, frame: &Frame, input: &[u8]) -> Vec<u8> {
        let (head, rest) = input.split_at(frame.head);
        let (mut head, mut parts) = (head.to_vec(), split(rest, frame.lengths));
        if !head.is_empty() && self.dice.one_in(4) {
            let at = self.dice.below(head.len());
            head[at] = self.dice.byte();
        } else if parts.len() > 1 && self.dice.one_in(8) {
            self.rearrange(&mut parts);
        } else {
            let at = self.dice.below(parts.len());
            parts[at] = self.part(std::mem::take(&mut parts[at]), DEPTH);
        }
        join(head, &parts)
    }

    fn rearrange(&mut self, parts: &mut Vec<Vec<u8>>) {
        let (from, to) = (self.dice.below(parts.len()), self.dice.below(parts.len()));
        match self.dice.below(3) {
            0 => parts.swap(from, to),
            1 => parts.insert(to, parts[from].clone()),
            _ => drop(parts.remove(from)),
        }
    }

    /// A document in another, or another target's in its place.
    fn part(&mut self, input: Vec<u8>, depth: usize) -> Vec<u8> {
        match self.dice.pick(DONORS.len()) {
            Some(donor) if self.dice.one_in(12) => DONORS[donor].clone(),
            _ => self.document(input, depth),
        }
    }

    /// A document that is recognised changes as such; of others, the bytes change.
    fn document(&mut self, input: Vec<u8>, depth: usize) -> Vec<u8> {
        if depth > 0 && !self.dice.one_in(6) {
            let read = [json::change, cbor::change, der::change, text::change, safetensors];
            for change in read {
                if let Some(changed) = change(self, &input, depth - 1) {
                    return changed;
                }
            }
        }
        self.raw(input)
    }

    fn raw(&mut self, mut input: Vec<u8>) -> Vec<u8> {
        let most = input.len() + GROWTH;
        (self.bytes)(&mut input, most);
        input
    }

    /// What stands in a string that must stay one.
    fn string(&mut self, text: &str, depth: usize) -> String {
        if self.dice.one_in(4) {
            return WORDS[self.dice.below(WORDS.len())].to_owned();
        }
        let changed = self.part(text.as_bytes().to_vec(), depth);
        String::from_utf8(changed).unwrap_or_else(|bad| {
            bad.into_bytes().into_iter().map(|byte| char::from(byte & 0x7f)).collect()
        })
    }

    /// A number that some reader may think special, or one near this.
    fn number(&mut self, number: u64) -> u64 {
        const SPECIAL: [u64; 8] =
            [0, 1, 255, 256, 1 << 32, (1 << 53) - 1, i64::MAX as u64, u64::MAX];
        match self.dice.below(4) {
            0 => number.wrapping_add(1),
            1 => number.wrapping_sub(1),
            2 => number ^ (1 << self.dice.below(64)),
            _ => SPECIAL[self.dice.below(SPECIAL.len())],
        }
    }
}

/// So many parts that have their lengths before them, then what remains.
fn split(mut rest: &[u8], lengths: usize) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while parts.len() < lengths
        && let Some((length, after)) = rest.split_first_chunk::<2>()
    {
        let (part, after) = after.split_at(after.len().min(u16::from_be_bytes(*length).into()));
        parts.push(part.to_vec());
        rest = after;
    }
    parts.push(rest.to_vec());
    parts
}

fn join(head: Vec<u8>, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = head;
    let Some((last, parts)) = parts.split_last() else { return joined };
    for part in parts {
        let length = part.len().min(u16::MAX.into());
        joined.extend((length as u16).to_be_bytes());
        joined.extend(&part[..length]);
    }
    joined.extend(last);
    joined
}

/// The header of a safetensors file, whose length stands before it, or the bytes of its tensors.
fn safetensors(change: &mut Change<'_>, input: &[u8], depth: usize) -> Option<Vec<u8>> {
    let (length, rest) = input.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    if header.first() != Some(&b'{') {
        return None;
    }
    let (mut header, mut data) = (header.to_vec(), data.to_vec());
    match change.dice.one_in(4) {
        true => data = change.raw(data),
        false => header = change.document(header, depth),
    }
    Some([&(header.len() as u64).to_le_bytes(), header.as_slice(), &data].concat())
}
