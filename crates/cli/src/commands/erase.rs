//! `rlhf-audit erase`

use std::collections::BTreeSet;
use std::io::{self, BufRead as _};
use std::process::ExitCode;

use producer::{Erased, Scope};
use serde_json::json;

use super::open;
use crate::args::Erase;
use crate::failure::{Done, Failure};
use crate::output::{Output, printable};

/// What no program can reach that works in one folder.
const OUT_OF_REACH: [&str; 5] = [
    "copies of the log's folder: backups, snapshots of the file system or the machine, older versions that a bucket \
     keeps. With private/subjects and private/vault.key as they were before, what was erased can be opened there",
    "openings that were given away, in evidence files: they stay readable, and go on matching the log",
    "the files that annotations were imported from, and what other programs keep of them",
    "the disk itself: solid-state disks and copy-on-write file systems may keep what was overwritten until they use \
     the place again",
    "the model, and what the log shows of its weights: it is not made to forget",
];

pub fn run(args: &Erase, output: &Output) -> Done {
    let prompt = args.prompt_hash.as_deref().map(parse_hash).transpose()?;
    let ids = ids(&args.annotator)?;
    let mut audit = open(&args.dir, &args.unlock)?;
    let erased = match prompt {
        Some(prompt) => audit.erase_prompt(&prompt)?,
        None => audit.erase_annotators(&ids)?,
    };
    report(&erased, output);
    Ok(ExitCode::SUCCESS)
}

/// The hash is not repeated: a prompt that somebody guesses could be recognised by it.
fn parse_hash(text: &str) -> Result<[u8; 32], Failure> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).map_err(|_| {
        Failure::input("--prompt-hash: give sha256: and 64 hexadecimal digits, the SHA-256 of the prompt's text")
    })?;
    Ok(hash)
}

/// The ids given, or read from standard input where `-` is.
pub fn ids(given: &[String]) -> Result<Vec<String>, Failure> {
    match given {
        [only] if only == "-" => read_ids(),
        ids => Ok(ids.to_vec()),
    }
}

fn read_ids() -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for line in io::stdin().lock().lines() {
        let line =
            line.map_err(|e| Failure::input(format!("standard input could not be read: {e}")))?;
        if !line.is_empty() {
            ids.push(line);
        }
    }
    if ids.is_empty() {
        return Err(Failure::input("standard input holds no annotator's id; give one a line"));
    }
    Ok(ids)
}

fn report(erased: &Erased, output: &Output) {
    let Erased { records, keys_destroyed, keys_tried, first_index, .. } = erased;
    let what = match erased.scope {
        Scope::Annotator => count(erased.erasures, "annotator's content", "annotators' content"),
        _ => "What was given on the prompt".to_owned(),
    };
    let mut text = format!(
        "{what} is erased: {}, and {} that opened them.\n\
         Tried afterwards: {}; nothing opens it.\n\
         The log says that an erasure took place, not whose or of what ({}). All entries, proofs, cards and evidence \
         files stay valid.\n\nNot in reach of this program; see to these yourself:\n",
        count(*records, "private record", "private records"),
        count(*keys_destroyed, "key", "keys"),
        count(
            *keys_tried,
            "attempt with a key that is left",
            "attempts with the keys that are left"
        ),
        entries(*first_index, erased.erasures),
    );
    for copies in OUT_OF_REACH {
        text.push_str(&format!("- {copies}\n"));
    }
    text.push_str(&told(&erased.disclosed_to));
    output.result(
        &json!({
            "scope": erased.scope.as_str(),
            "erasures": erased.erasures,
            "first_index": first_index,
            "size": erased.size,
            "records": records,
            "keys_destroyed": keys_destroyed,
            "keys_tried": keys_tried,
            "opened": 0,
            "disclosed_to": erased.disclosed_to,
            "out_of_reach": OUT_OF_REACH,
        }),
        text,
    );
}

/// Whom to tell (Regulation (EU) 2016/679, Article 19).
fn told(auditors: &BTreeSet<String>) -> String {
    if auditors.is_empty() {
        return "By the log, none of it was disclosed to an auditor; `evidence --open` leaves no trace there.".into();
    }
    let names: Vec<String> = auditors.iter().map(|name| printable(name)).collect();
    format!("By the log, some of it was disclosed to: {}. Tell them.", names.join(", "))
}

fn entries(first: u64, number: u64) -> String {
    match number {
        1 => format!("entry {first}"),
        _ => format!("entries {first} to {}", first + number - 1),
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
