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
    let text = json.to_string();
    let text = change.dice.one_in(16).then(|| twice(change, &text)).flatten().unwrap_or(text);
    Some(text.into_bytes())
}

/// The same text with a member twice, which no tree holds and readers differ about.
fn twice(change: &mut Change<'_>, text: &str) -> Option<String> {
    // In a string, the quotation mark would have a backslash before it.
    let objects: Vec<usize> = text.match_indices("{\"").map(|(at, _)| at).collect();
    let at = objects[change.dice.pick(objects.len())?];
    let mut read = serde_json::Deserializer::from_str(&text[at..]).into_iter();
    let members: serde_json::Map<String, Json> = read.next()?.ok()?;
    let (name, value) = members.iter().nth(change.dice.below(members.len()))?;
    let (before, after) = text.split_at(at + 1);
    Some(format!("{before}{}:{value},{after}", Json::from(name.as_str())))
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
            // serde takes a list for a structure's fields in order.
            Self::Object(members) if change.dice.one_in(4) => {
                *self = std::mem::take(members).into_iter().map(|(_, value)| value).collect();
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
