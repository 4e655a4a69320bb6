//! `rlhf-audit publish`

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use producer::{
    Backoff, LogUrl, Passphrase, Publication, PublishOptions, Publisher, RekorVersion, Services,
    Setback, Step,
};
use serde_json::json;

use super::passphrase;
use crate::args::Publish;
use crate::failure::{Done, Failure};
use crate::output::{Output, printable};

pub fn run(args: &Publish, output: &Output) -> Done {
    let passphrase = passphrase(&args.unlock)?;
    let options =
        PublishOptions { services: services(args)?, trusted_root: args.trusted_root.clone() };
    let mut publisher = Publisher::open(&args.dir, passphrase.as_ref(), &options)?;
    let Some(every) = args.every else {
        return once(&mut publisher, args, passphrase.as_ref(), output);
    };
    loop {
        let round = Instant::now();
        // A service that is down now may be there in the next round, and then gets what was left.
        if let Err(failure) = once(&mut publisher, args, passphrase.as_ref(), output) {
            match failure {
                Failure::Outside(why) => eprintln!("rlhf-audit: {}", printable(&why)),
                input @ Failure::Input(_) => return Err(input),
            }
        }
        thread::sleep(every.saturating_sub(round.elapsed()));
    }
}

/// Publishes the newest head and what an earlier time has left.
fn once(
    publisher: &mut Publisher,
    args: &Publish,
    passphrase: Option<&Passphrase>,
    output: &Output,
) -> Done {
    publisher.enqueue_newest()?;
    let spinner = output.spinner();
    let deadline = Instant::now() + args.timeout;
    let drained = drain(publisher, deadline, &spinner);
    spinner.finish_and_clear();
    let (published, setback) = drained?;
    let noted = note(&args.dir, passphrase)?;
    let list: Vec<_> = published
        .iter()
        .flat_map(|p| p.published.iter().map(move |place| (p.sequence, place)))
        .map(|(sequence, p)| json!({"log": p.log, "index": p.index, "sequence": sequence}))
        .collect();
    output.result(&json!({ "published": list }), text(&published, noted));
    let waiting = publisher.waiting()?;
    match setback {
        Some(setback) if !waiting.is_empty() => Err(Failure::Outside(format!(
            "{}. Still to be published: {waiting}; nothing is lost, run the command again",
            setback.why
        ))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Until nothing waits, an answer was refused, or the time is up.
fn drain(
    publisher: &mut Publisher,
    deadline: Instant,
    spinner: &ProgressBar,
) -> Result<(Vec<Publication>, Option<Setback>), Failure> {
    let (mut published, mut backoff) = (Vec::new(), Backoff::default());
    loop {
        match publisher.step()? {
            Step::Idle => return Ok((published, None)),
            Step::Published(publication) => {
                spinner.set_message(format!("Published head {}", publication.sequence));
                published.push(publication);
                backoff.reset();
            }
            Step::Later(setback) => {
                let wait = backoff.next(&setback);
                if setback.refused || Instant::now() + wait > deadline {
                    return Ok((published, Some(setback)));
                }
                spinner.set_message(format!("Waiting: {}", printable(&setback.why)));
                thread::sleep(wait);
            }
        }
    }
}

/// Notes in the log what was published, unless another process is writing to it: that one, or the next
/// `publish`, then does.
fn note(dir: &Path, passphrase: Option<&Passphrase>) -> Result<bool, Failure> {
    match producer::Audit::open(dir, passphrase) {
        Ok(mut audit) => {
            audit.note_publications()?;
            Ok(true)
        }
        Err(producer::Error::Locked { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn text(published: &[Publication], noted: bool) -> String {
    if published.is_empty() {
        return "Nothing new to publish.".to_owned();
    }
    let mut lines = Vec::new();
    for Publication { sequence, size, published, .. } in published {
        let places: Vec<_> = published
            .iter()
            .map(|place| format!("{} as entry {}", printable(&place.log), place.index))
            .collect();
        lines.push(format!(
            "Published the head of {size} entries as number {sequence}: in {}.",
            places.join(", in ")
        ));
    }
    if !noted {
        lines.push(
            "Another process is writing to the log; it is noted there when that one is done."
                .to_owned(),
        );
    }
    lines.join("\n")
}

fn services(args: &Publish) -> Result<Services, Failure> {
    let mut services = match &args.signing_config {
        Some(path) => {
            let json = fs::read_to_string(path)
                .map_err(|e| Failure::file(path, "read the signing config", &e))?;
            Services::from_signing_config(&json)
                .map_err(|e| Failure::input(format!("{}: {e}", path.display())))?
        }
        None => Services::default(),
    };
    let version = if args.rekor_version == 1 { RekorVersion::V1 } else { RekorVersion::V2 };
    if !args.rekor.is_empty() {
        let log = |url: &String| vec![LogUrl { url: url.clone(), version }];
        services.logs = args.rekor.iter().map(log).collect();
    }
    if !args.tsa.is_empty() {
        services.authorities.clone_from(&args.tsa);
    }
    services.insecure = args.insecure_http;
    Ok(services)
}

/// `90`, `90s`, `15m`, `6h` or `1d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = digits.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=31_536_000).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "give a time such as 30s, 15m, 6h or 1d, at most a year".to_owned())
}
