//! CBOR, written deterministically where it can be, with the tag of evidence files before it or without.

use ciborium::Value;
use trail::cbor;
use trail::evidence::MAGIC;

use super::Change;
use super::tree::{Tree, edit};

pub fn change(change: &mut Change<'_>, input: &[u8], depth: usize) -> Option<Vec<u8>> {
    let (magic, rest) = match input.strip_prefix(&MAGIC) {
        Some(rest) => (&input[..MAGIC.len()], rest),
        None => (&input[..0], input),
    };
    let mut unread = rest;
    let mut value: Value = ciborium::from_reader(&mut unread).ok()?;
    let whole = unread.is_empty() && (value.is_map() || value.is_array());
    if !whole {
        return None;
    }
    edit(&mut value, change, depth);
    let mut written = magic.to_vec();
    match cbor::encode(&value) {
        Ok(bytes) => written.extend(bytes),
        Err(_) => ciborium::into_writer(&value, &mut written).ok()?,
    }
    Some(written)
}

impl Tree for Value {
    fn children(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Array(items) => items.iter_mut().collect(),
            Self::Map(pairs) => pairs.iter_mut().map(|(_, value)| value).collect(),
            Self::Tag(_, value) => vec![value],
            _ => Vec::new(),
        }
    }

    fn remove(&mut self, at: usize) {
        match self {
            Self::Array(items) => drop(items.remove(at)),
            Self::Map(pairs) => drop(pairs.remove(at)),
            Self::Tag(_, value) => *self = std::mem::replace(value, Self::Null),
            _ => {}
        }
    }

    fn insert(&mut self, at: usize, child: Self, change: &mut Change<'_>) {
        match self {
            Self::Array(items) => items.insert(at, child),
            Self::Map(pairs) => {
                let mut name = pairs.get(at).map_or(Self::Null, |(name, _)| name.clone());
                name.own(change, 0);
                pairs.insert(at, (name, child));
            }
            value => *value = Self::Array(vec![value.clone(), child]),
        }
    }

    fn own(&mut self, change: &mut Change<'_>, depth: usize) {
        if change.dice.one_in(6) {
            *self = other(change);
            return;
        }
        match self {
            Self::Bytes(bytes) => *bytes = change.part(std::mem::take(bytes), depth),
            Self::Text(text) => *text = change.string(text, depth),
            Self::Integer(number) => {
                let near = u64::try_from(*number).unwrap_or_default();
                *self = change.number(near).into();
            }
            Self::Float(number) => {
                *self = Self::Float(f64::from_bits(change.number(number.to_bits())));
            }
            Self::Bool(yes) => *yes = !*yes,
            Self::Map(pairs) => {
                let Some(at) = change.dice.pick(pairs.len()) else { return };
                pairs[at].0.own(change, 0);
            }
            _ => {}
        }
    }
}

/// What takes a value's place.
fn other(change: &mut Change<'_>) -> Value {
    match change.dice.below(10) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => 0.into(),
        3 => (-1).into(),
        4 => u64::MAX.into(),
        5 => Value::Float(0.5),
        6 => Value::Text(String::new()),
        7 => Value::Bytes(vec![change.dice.byte(); 32]),
        8 => Value::Array(Vec::new()),
        _ => Value::Map(Vec::new()),
    }
}
