//! Never more lenient than others: of thousands of damaged bundles, none is accepted here that
//! `sigstore-verify` refuses with its own cryptography (aws-lc, in `tests/native`).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use end_to_end::checkout;
use serde_bytes::ByteBuf;
use serde_json::Value as Json;
use trail::anchor::{Anchor, AnchorTrust};
use trail::merkle::sha256;

use crate::anchoring::{Anchored, Producer};

const MUTANTS: u64 = 4_000;
/// Of them so many are also given to the program.
const TYPED: usize = 200;

#[test]
fn no_damaged_bundle_is_accepted_that_sigstore_verify_refuses() {
    let Some(mut producer) = Producer::new() else { return };
    producer.grow();
    let donor = producer.publish();
    producer.grow();
    let anchored = producer.publish();
    let mutants = mutants(&anchored, &donor);
    let judged = native(&producer, &anchored.digest, &mutants);

    let publisher = producer.work.text("policy/publisher.pub");
    let trust = AnchorTrust::new(&publisher, &producer.work.text("policy/trusted_root.json"));
    let trust = trust.unwrap();
    let stamp = ByteBuf::from(anchored.stamp);
    let mut accepted = [0, 0];
    for (number, (mutant, native)) in mutants.iter().zip(&judged).enumerate() {
        let anchor = Anchor { stamp: Some(stamp.clone()), bundle: ByteBuf::from(mutant.clone()) };
        let ours = trust.check(&anchor).is_ok_and(|anchor| anchor.subject == anchored.digest);
        let native_accepts = native == "accepted";
        accepted[0] += usize::from(ours);
        accepted[1] += usize::from(native_accepts);
        if ours && !native_accepts {
            panic!("mutant {number}: {native}\n{}", String::from_utf8_lossy(mutant));
        }
    }
    // What is changed is not always what is signed; without any accepted this would show nothing.
    let [ours, theirs] = accepted;
    eprintln!("{} mutants: accepted here {ours}, by sigstore-verify {theirs}", mutants.len());
    assert!(ours > 20 && ours <= theirs && theirs < mutants.len() / 2);
    typed(&producer, &anchored.digest, &mutants, &judged);
}

/// The same for `sigstore verify-bundle`: as many that others accept as that they refuse.
fn typed(producer: &Producer, digest: &[u8; 32], mutants: &[Vec<u8>], judged: &[String]) {
    let command = format!(
        "sigstore verify-bundle --bundle mutant.json --key policy/publisher.pub \
         --trusted-root policy/trusted_root.json sha256:{}",
        hex::encode(digest)
    );
    for accepted in [true, false] {
        let alike = mutants.iter().zip(judged).filter(|(_, j)| (*j == "accepted") == accepted);
        for (mutant, native) in alike.take(TYPED / 2) {
            producer.work.write("mutant.json", mutant);
            let answer = producer.work.run(&command);
            assert!(answer.status != Some(0) || native == "accepted", "{native}: {answer:#?}");
        }
    }
}

/// What `sigstore-verify` makes of each: `accepted`, or why not.
fn native(producer: &Producer, digest: &[u8; 32], mutants: &[Vec<u8>]) -> Vec<String> {
    let mut child = Command::new(build_native())
        .args([producer.work.path("policy/trusted_root.json").to_str().unwrap()])
        .args([&hex::encode(digest), producer.work.path("policy/publisher.pub").to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = mutants.iter().map(|m| STANDARD.encode(m) + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), mutants.len());
    lines
}

fn build_native() -> std::path::PathBuf {
    let folder = checkout().join("tests/native");
    let target = checkout().join("target/native");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(status.success(), "tests/native cannot be built");
    target.join(Path::new("debug/native-sigstore"))
}

/// Each another damage, the same at each run for the same bundle.
fn mutants(anchored: &Anchored, donor: &Anchored) -> Vec<Vec<u8>> {
    let whole = anchored.bundle.to_string().into_bytes();
    (0..MUTANTS)
        .map(|number| {
            let mut chance = Chance::new(number);
            match number % 4 {
                0 => bytes(&whole, &mut chance),
                1 => inside(&anchored.bundle, &mut chance),
                2 => rearranged(&anchored.bundle, &mut chance),
                _ => grafted(&anchored.bundle, &donor.bundle, &mut chance),
            }
        })
        .collect()
}

/// Characters of the text changed, lost or doubled.
fn bytes(whole: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut mutant = whole.to_vec();
    let at = chance.below(mutant.len());
    match chance.below(4) {
        0 => mutant[at] ^= 1 << chance.below(8),
        1 => drop(mutant.remove(at)),
        2 => mutant.insert(at, b" 0Aa\"{}[],=-"[chance.below(12)]),
        _ => mutant.truncate(at),
    }
    mutant
}

/// A value changed where it is: a byte of what base64 holds, a digit, a line.
fn inside(bundle: &Json, chance: &mut Chance) -> Vec<u8> {
    let mut mutant = bundle.clone();
    let places = places(bundle);
    let place = &places[chance.below(places.len())];
    let value = mutant.pointer_mut(place).unwrap();
    *value = match &*value {
        Json::String(text) => match STANDARD.decode(text) {
            Ok(mut held) if !held.is_empty() && text.len() > 6 => {
                let at = chance.below(held.len());
                match chance.below(5) {
                    0 => held.truncate(at),
                    1 => held.insert(at, chance.below(256) as u8),
                    2 => held.push(0),
                    _ => held[at] ^= 1 << chance.below(8),
                }
                STANDARD.encode(held).into()
            }
            _ => String::from_utf8_lossy(&bytes(text.as_bytes(), chance)).into_owned().into(),
        },
        Json::Array(list) if !list.is_empty() => {
            let mut list = list.clone();
            let at = chance.below(list.len());
            match chance.below(3) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                _ => list.reverse(),
            }
            list.into()
        }
        Json::Object(members) => {
            let mut members = members.clone();
            let name = members.keys().nth(chance.below(members.len())).cloned().unwrap();
            members.remove(&name);
            members.into()
        }
        _ => [Json::Null, "".into(), 0.into(), (-1).into(), true.into()][chance.below(5)].clone(),
    };
    mutant.to_string().into_bytes()
}

/// Two values in each other's place.
fn rearranged(bundle: &Json, chance: &mut Chance) -> Vec<u8> {
    let mut mutant = bundle.clone();
    let places = places(bundle);
    let [one, other] = [0, 0].map(|_| &places[chance.below(places.len())]);
    let [first, second] = [one, other].map(|place| bundle.pointer(place).unwrap().clone());
    *mutant.pointer_mut(one).unwrap() = second;
    // Gone when it was within the first.
    if let Some(value) = mutant.pointer_mut(other) {
        *value = first;
    }
    mutant.to_string().into_bytes()
}

/// One to three values from another bundle of the same key and log.
fn grafted(bundle: &Json, donor: &Json, chance: &mut Chance) -> Vec<u8> {
    let mut mutant = bundle.clone();
    let places = places(donor);
    for _ in 0..=chance.below(3) {
        let place = &places[chance.below(places.len())];
        if let Some(value) = mutant.pointer_mut(place) {
            *value = donor.pointer(place).unwrap().clone();
        }
    }
    mutant.to_string().into_bytes()
}

/// Every place in a document below its root, as JSON pointers.
fn places(json: &Json) -> Vec<String> {
    let children: Vec<(String, &Json)> = match json {
        Json::Object(members) => members.iter().map(|(name, v)| (name.clone(), v)).collect(),
        Json::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => return Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(name, value)| {
            let below = places(value).into_iter().map({
                let name = name.clone();
                move |place| format!("/{name}{place}")
            });
            std::iter::once(format!("/{name}")).chain(below).collect::<Vec<_>>()
        })
        .collect()
}

/// Numbers that look drawn, from SHA-256.
struct Chance([u8; 32]);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(sha256(&seed.to_be_bytes()))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = sha256(&self.0);
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) as usize % end
    }
}
