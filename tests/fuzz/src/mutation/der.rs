//! DER (X.690): values of a tag, a length and what it says, of which some hold values themselves, also where
//! that is inside an OCTET or BIT STRING.

use super::Change;
use super::tree::{Tree, edit};

#[derive(Clone)]
pub struct Node {
    tag: u8,
    /// Bytes before the values inside; all of it where there are none.
    bytes: Vec<u8>,
    inside: Vec<Node>,
}

const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const SEQUENCE: u8 = 0x30;
const CONSTRUCTED: u8 = 0x20;
/// X.509 and CMS have tags of one byte.
const LONG_TAG: u8 = 0x1f;

/// Certificates and stamps come near it; deeper values are bytes.
const LEVELS: usize = 32;

/// Tags that take another's place: BOOLEAN, INTEGER, strings, NULL, OID, times, SEQUENCE, SET, and of contexts.
const TAGS: [u8; 16] =
    [1, 2, 3, 4, 5, 6, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0, 0xa1, 0xa3];

pub fn change(change: &mut Change<'_>, input: &[u8], depth: usize) -> Option<Vec<u8>> {
    // Only what holds others: a byte string that looks like a value by chance is none.
    if *input.first()? != SEQUENCE {
        return None;
    }
    let [mut node] = <[Node; 1]>::try_from(read(input, LEVELS)?).ok()?;
    edit(&mut node, change, depth);
    let mut written = Vec::new();
    node.write(&mut written);
    Some(written)
}

/// The values of which the bytes consist, with so many levels of others in them.
fn read(mut der: &[u8], levels: usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let Some((&tag, rest)) = der.split_first() {
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        nodes.push(Node::new(tag, content, levels));
        der = rest;
    }
    Some(nodes)
}

fn length(der: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = der.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    let length =
        bytes.iter().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)));
    Some((length?, rest))
}

impl Node {
    fn new(tag: u8, content: &[u8], levels: usize) -> Self {
        let before = usize::from(tag == BIT_STRING).min(content.len());
        let (before, inner) = content.split_at(before);
        let string = tag == BIT_STRING || tag == OCTET_STRING;
        let holds = tag & CONSTRUCTED != 0 || string && inner.first() == Some(&SEQUENCE);
        let inside = (holds && levels > 0).then(|| read(inner, levels - 1)).flatten();
        match inside {
            Some(inside) => Self { tag, bytes: before.to_vec(), inside },
            None => Self { tag, bytes: content.to_vec(), inside: Vec::new() },
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut content = self.bytes.clone();
        self.inside.iter().for_each(|node| node.write(&mut content));
        out.push(self.tag);
        let length = content.len().to_be_bytes();
        let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
        match length {
            [] => out.push(0),
            [short] if *short < 0x80 => out.push(*short),
            long => {
                out.push(0x80 | long.len() as u8);
                out.extend(long);
            }
        }
        out.extend(content);
    }
}

impl Tree for Node {
    fn children(&mut self) -> Vec<&mut Self> {
        self.inside.iter_mut().collect()
    }

    fn remove(&mut self, at: usize) {
        self.inside.remove(at);
    }

    fn insert(&mut self, at: usize, child: Self, _: &mut Change<'_>) {
        self.inside.insert(at, child);
    }

    fn own(&mut self, change: &mut Change<'_>, depth: usize) {
        match change.dice.below(4) {
            0 => self.tag = TAGS[change.dice.below(TAGS.len())],
            _ => self.bytes = change.document(std::mem::take(&mut self.bytes), depth),
        }
    }
}
