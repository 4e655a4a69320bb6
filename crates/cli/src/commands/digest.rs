//! `rlhf-audit digest`

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use trail::view::hex;
use weight_digest::checkpoint::Checkpoint;
use weight_digest::compute::{self, Comparison};
use weight_digest::engine::Engine;
use weight_digest::sketch::{Counts, Sketch};

use super::{device, weight_proof};
use crate::args::Digest;
use crate::failure::{Done, Failure};
use crate::output::Output;

/// Tensors shown of a comparison, those that moved most first.
const SHOWN: usize = 12;

pub fn run(args: &Digest, output: &Output) -> Done {
    match (&args.prove, &args.check) {
        (Some(tensor), _) => weight_proof::prove(args, tensor, output),
        (_, Some(proof)) => weight_proof::check(proof, &args.path, output),
        _ => whole(args, output),
    }
}

fn whole(args: &Digest, output: &Output) -> Done {
    let choice = device::for_weights(args.device, &args.path)?;
    let engine = choice.engine.as_ref();
    let start = Instant::now();
    let (digest, sketch) = sketched(&args.path, engine, output)?;
    let seconds = start.elapsed().as_secs_f64();
    let root = hex(&digest.root);
    let mut json = json!({
        "root": root,
        "tensors": digest.tensors.len(),
        "bytes": digest.bytes,
        "device": engine.name(),
        "device_reason": choice.why,
        "seconds": seconds,
        "sketch": sketch_json(&sketch),
    });
    let mut text = format!(
        "Root {root}\n{} tensors, {} bytes, {:.2} GB/s on {}\nSketch {}{}",
        digest.tensors.len(),
        digest.bytes,
        digest.bytes as f64 / seconds / 1e9,
        device::text(args.device, &choice),
        hex(&sketch.digest()),
        left_out_text(&sketch)
    );
    if let Some(against) = &args.against {
        let comparison = compare(against, &args.path, args.allow_structure_change, output)?;
        let (base, base_sketch) = sketched(against, engine, output)?;
        let estimate = sketch.buckets.minus(&base_sketch.buckets).l2();
        json["delta"] = delta_json(&comparison);
        json["sketch_delta_l2"] = json!(estimate);
        json["against"] = json!({"root": hex(&base.root), "sketch": sketch_json(&base_sketch)});
        text.push_str(&delta_text(&comparison));
        text.push_str(&format!("\nBy the sketches it moved by {estimate:e} (L2)"));
    }
    output.result(&json, text);
    Ok(ExitCode::SUCCESS)
}

pub fn sketch_json(sketch: &Sketch) -> serde_json::Value {
    let Counts { elements, out_of_range, infinite, nan, packed, .. } = sketch.counts;
    json!({
        "sha256": hex(&sketch.digest()),
        "elements": elements,
        "out_of_range": out_of_range,
        "infinite": infinite,
        "nan": nan,
        "packed": packed,
    })
}

/// What is not in a sketch.
pub fn left_out_text(sketch: &Sketch) -> String {
    let Counts { out_of_range, infinite, nan, packed, .. } = sketch.counts;
    let counts = [
        (nan, "NaN"),
        (infinite, "infinite"),
        (out_of_range, "of 2^23 or more"),
        (packed, "of packed types"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(", without these elements: {}", parts.join(", "))
    }
}

/// Digests and sketches a checkpoint, with a progress bar.
pub fn sketched(
    path: &Path,
    engine: &dyn Engine,
    output: &Output,
) -> Result<(compute::Digest, Sketch), Failure> {
    let checkpoint = Checkpoint::open(path).map_err(Failure::input)?;
    let bar = output.progress(checkpoint.bytes(), "Digesting");
    let result = compute::digest_and_sketch(&checkpoint, engine, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    result.map_err(Failure::input)
}

fn compare(
    old: &Path,
    new: &Path,
    allow_structure_change: bool,
    output: &Output,
) -> Result<Comparison, Failure> {
    let (before, after) = (
        Checkpoint::open(old).map_err(Failure::input)?,
        Checkpoint::open(new).map_err(Failure::input)?,
    );
    let bar = output.progress(after.bytes(), "Comparing");
    let comparison = compute::compare(&before, &after, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let comparison = comparison.map_err(Failure::input)?;
    if !comparison.structure.is_empty() && !allow_structure_change {
        let changes = comparison.structure;
        return Err(producer::Error::Structure {
            base: old.to_owned(),
            next: new.to_owned(),
            changes,
        }
        .into());
    }
    Ok(comparison)
}

/// How far the weights moved: the total, and per tensor.
pub fn delta_json(comparison: &Comparison) -> serde_json::Value {
    let tensors: serde_json::Map<String, serde_json::Value> = comparison
        .tensors
        .iter()
        .map(|(name, delta)| {
            let value = json!({"l2": delta.l2(), "linf": delta.linf, "changed": delta.changed});
            (name.clone(), value)
        })
        .collect();
    let total = &comparison.total;
    json!({
        "l2": total.l2(),
        "linf": total.linf,
        "changed": total.changed,
        "elements": total.elements,
        "not_finite": total.not_finite,
        "tensors": tensors,
        "not_compared": comparison.not_compared,
        "structure": comparison
            .structure
            .iter()
            .map(|change| json!({"tensor": change.name, "what": change.what}))
            .collect::<Vec<_>>(),
    })
}

/// The same for people: the tensors that moved most.
pub fn delta_text(comparison: &Comparison) -> String {
    let total = &comparison.total;
    let mut text = format!(
        "\nMoved by {:e} (L2), at most {:e} in one element; {} of {} elements changed",
        total.l2(),
        total.linf,
        total.changed,
        total.elements
    );
    if total.not_finite > 0 {
        text.push_str(&format!(
            "; {} with NaN or infinity are left out of the norms",
            total.not_finite
        ));
    }
    let mut tensors: Vec<_> = comparison.tensors.iter().collect();
    tensors.sort_by(|a, b| b.1.sum_of_squares.total_cmp(&a.1.sum_of_squares));
    for (name, delta) in tensors.iter().take(SHOWN) {
        text.push_str(&format!("\n  {:>12.5e}  {:>9} changed  {name}", delta.l2(), delta.changed));
    }
    if tensors.len() > SHOWN {
        text.push_str(&format!("\n  and {} more tensors", tensors.len() - SHOWN));
    }
    for change in &comparison.structure {
        text.push_str(&format!("\n  {}: {}", change.name, change.what));
    }
    text
}
