//! JSON, written with sorted members and no space, which is what RFC 8785 asks for but for some fractions.

use serde_json::Value as Json;

use super::Change;
use super::tree::{Tree, edit};

/// What takes a value's place.
const OTHERS: [&str; 10] = ["null", "true", "false", "0", "-1", "0.5", "1e300", "\"\"", "[]", "{}"];

pub fn change(change: &mut Change<'_>, input: &[u8], depth: usize) -> Option<Vec<u8>> {
    let mut json: Json = serde_json::from_slice(input).ok()?;
    if !json.is_object() && !json.is_array() {
        return None;
    }
    edit(&mut json, change, depth);
    serde_json::to_vec(&json).ok()
}

impl Tree for Json {
    fn children(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Array(items) => items.iter_mut().collect(),
            Self::Object(members) => members.values_mut().collect(),
            _ => Vec::new(),
        }
    }

    fn remove(&mut self, at: usize) {
        match self {
            Self::Array(items) => drop(items.remove(at)),
            Self::Object(members) => {
                let name = members.keys().nth(at).cloned();
                name.and_then(|name| members.remove(&name));
            }
            _ => {}
        }
    }

    fn insert(&mut self, at: usize, child: Self, change: &mut Change<'_>) {
        match self {
            Self::Array(items) => items.insert(at, child),
            Self::Object(members) => {
                let name = members.keys().nth(at).cloned().unwrap_or_default();
                members.insert(change.string(&name, 0), child);
            }
            value => *value = Self::Array(vec![value.take(), child]),
        }
    }

    fn own(&mut self, change: &mut Change<'_>, depth: usize) {
        if change.dice.one_in(6) {
            let other = OTHERS[change.dice.below(OTHERS.len())];
            *self = serde_json::from_str(other).unwrap_or_default();
            return;
        }
        match self {
            Self::String(text) => *text = change.string(text, depth),
            Self::Number(number) => {
                let near = number.as_u64().unwrap_or_default();
                *self = change.number(near).into();
            }
            Self::Object(members) => {
                let Some(at) = change.dice.pick(members.len()) else { return };
                let name = members.keys().nth(at).cloned().unwrap_or_default();
                let value = members.remove(&name).unwrap_or_default();
                members.insert(change.string(&name, 0), value);
            }
            _ => {}
        }
    }
}
