//! Texts that hold other things: signed notes, PEM and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Change;
use crate::signer;

pub fn change(change: &mut Change<'_>, input: &[u8], depth: usize) -> Option<Vec<u8>> {
    let text = str::from_utf8(input).ok()?;
    note(change, text).or_else(|| pem(change, text, depth)).or_else(|| encoded(change, text, depth))
}

/// A note whose text is another, signed again by the key of the log in the vectors.
fn note(change: &mut Change<'_>, text: &str) -> Option<Vec<u8>> {
    let (said, _) = text.rsplit_once("\n\n")?;
    if !text.ends_with('\n') || change.dice.one_in(3) {
        return None;
    }
    let said = change.string(&format!("{said}\n"), 0);
    let signer = if change.dice.one_in(4) { signer::successor() } else { signer::log() };
    Some(format!("{said}\n{}\n", signer.line(&said)).into_bytes())
}

/// What stands in the first block of PEM (RFC 7468).
fn pem(change: &mut Change<'_>, text: &str, depth: usize) -> Option<Vec<u8>> {
    let begin = text.find("-----BEGIN ")?;
    let start = begin + text[begin..].find('\n')? + 1;
    let end = start + text[start..].find("-----END")?;
    let bytes = BASE64.decode(text[start..end].split_whitespace().collect::<String>()).ok()?;
    let changed = BASE64.encode(change.part(bytes, depth));
    let lines: Vec<&str> =
        changed.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    Some([&text[..start], &lines.join("\n"), "\n", &text[end..]].concat().into_bytes())
}

/// A text too short is rather a word.
fn encoded(change: &mut Change<'_>, text: &str, depth: usize) -> Option<Vec<u8>> {
    let bytes = (text.len() >= 16).then(|| BASE64.decode(text).ok())??;
    Some(BASE64.encode(change.part(bytes, depth)).into_bytes())
}
