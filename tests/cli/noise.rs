//! Noise is never told: who has it takes it off what was released. It is drawn so large that it is unique, and with it
//! the values it hides are searched for in everything that is written and said.

use std::cell::RefCell;

use ciborium::Value;
use end_to_end::{Served, Work};
use serde_json::{Value as Json, json};
use trail::Event;

use crate::canaries::{Canaries, Watched};

/// On the program's grid of a hundredth.
const REWARD: f64 = 31_415.92;
const STEPS: i64 = 3_141_592;
const PEOPLE: i64 = 12;

/// Noise of fewer digits could be found by chance.
const LARGE: u64 = 10_000_000;

/// A log under these settings, with noise of about 24 million steps on what one annotator can move.
fn noised(work: &Work, mode: &str) {
    let settings = "--epsilon 100 --epsilon-per-round 1 --clip 0,60000 --cap 1";
    work.json(&format!("init log --model tiny --privacy {mode} {settings}"));
    let line = |who| json!({"prompt": "p", "response": "r", "annotator_id": format!("{who}"), "reward": REWARD});
    work.write("a.jsonl", (0..PEOPLE).map(|who| format!("{}\n", line(who))).collect::<String>());
}

/// A number of steps, as it might be written: in steps, as a reward, and as a mean of all.
fn numbers(steps: i64) -> [f64; 3] {
    let reward = steps as f64 / 100.0;
    [steps as f64, reward, reward / PEOPLE as f64]
}

fn add(canaries: &mut Canaries, what: &str, steps: i64) {
    assert!(steps.unsigned_abs() >= LARGE, "too small to be told from chance");
    canaries.form(what, "big endian", steps.to_be_bytes());
    canaries.form(what, "little endian", steps.to_le_bytes());
    for before in [":", " ", "\"", "-", ",", "[", "(", "="] {
        canaries.form(what, "in steps", format!("{before}{}", steps.unsigned_abs()));
    }
    for number in &numbers(steps)[1..] {
        canaries.form(what, "big endian, in rewards", number.to_be_bytes());
        canaries.form(what, "little endian, in rewards", number.to_le_bytes());
        let text = number.abs().to_string();
        let point = text.find('.').unwrap_or(text.len());
        // With four decimals at least, where it has so many.
        let text = &text[..text.len().min(point + 5)];
        if text.len() >= 8 {
            canaries.form(what, "in rewards", text);
        }
    }
}

/// The numbers of every event, however they are encoded.
fn logged(work: &Work) -> Vec<f64> {
    let mut found = Vec::new();
    for (path, bytes) in work.files("log/tile/entries") {
        assert!(!path.is_dir());
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
            walk(&Event::decode(entry).unwrap().data, &mut found);
            rest = after;
        }
    }
    found
}

fn walk(value: &Value, found: &mut Vec<f64>) {
    match value {
        Value::Integer(number) => found.push(i128::from(*number) as f64),
        Value::Float(number) => found.push(*number),
        Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| walk(value, found)),
        _ => {}
    }
}

/// Searches everything for these numbers of steps, and for one that was released, which has to be found.
fn search(work: &Work, secrets: &[(&str, i64)], released: i64) {
    let mut canaries = Canaries::nothing();
    secrets.iter().for_each(|(what, steps)| add(&mut canaries, what, *steps));
    let watched = Watched { work, canaries: &canaries, commands: RefCell::default() };
    watched.run("show log --type privacy.round --limit 100", 0);
    watched.run("show log --type annotation --limit 1000", 0);
    watched.run("privacy log", 0);
    watched.run("log round log --entries 0..1", 2);
    watched.run("card log -o out.json", 0);
    watched.run("card log --format html -o out.html", 0);
    watched.run("evidence log -o out.evidence", 0);
    watched.run("verify out.evidence", 4);
    watched.folder_is_clean("log");
    for file in ["out.json", "out.html", "out.evidence"] {
        canaries.absent_from(file, &work.read(file));
    }
    if let Some(served) = Served::start(work, "serve log --open-entries") {
        for path in ["/", "/checkpoint", "/tile/0/000.p/13", "/tile/entries/000.p/13"] {
            canaries.absent_from(path, &served.get(path).body);
        }
    }
    let logged = logged(work);
    for (what, steps) in secrets {
        for number in numbers(*steps) {
            let found = logged.iter().any(|logged| logged.abs() == number.abs());
            assert!(!found, "the log holds {what}");
        }
    }
    let is_there = numbers(released).iter().any(|number| logged.contains(number));
    assert!(is_there, "the search finds what was released");
}

#[test]
fn neither_a_rounds_noise_nor_the_sum_without_it_is_written_or_said() {
    let work = Work::empty();
    noised(&work, "strong");
    let raw = STEPS * PEOPLE;
    let (mut sums, mut noise) = (Vec::new(), Vec::new());
    while noise.is_empty() {
        work.json("log annotations log a.jsonl");
        let sum = work.json("log round log")["sum"].as_i64().unwrap();
        sums.push(sum);
        noise.extend(Some(sum - raw).filter(|noise| noise.unsigned_abs() >= LARGE));
    }
    search(&work, &[("the noise", noise[0]), ("the sum", raw)], sums[0]);

    // In words it would be found as well.
    let mut canaries = Canaries::nothing();
    add(&mut canaries, "noise", noise[0]);
    let told = format!("the noise is {}", noise[0]);
    assert_eq!(canaries.found_in(told.as_bytes()).len(), 1, "{told}");
}

#[test]
fn no_noise_of_a_value_that_is_released_by_itself_is_written_or_said() {
    let work = Work::empty();
    noised(&work, "moderate");
    let steps = |value: &Json| (value["reward"].as_f64().unwrap() * 100.0).round() as i64;
    let (mut released, mut noise): (Vec<i64>, Vec<_>) = (Vec::new(), Vec::new());
    while noise.is_empty() {
        let told = work.json("log annotations log a.jsonl");
        released = told["released"].as_array().unwrap().iter().map(steps).collect();
        let drawn = released.iter().map(|released| ("the noise", released - STEPS));
        noise = drawn.filter(|(_, noise)| noise.unsigned_abs() >= LARGE).collect();
    }
    search(&work, &noise, released[0]);
}
