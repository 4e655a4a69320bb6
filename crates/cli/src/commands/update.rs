//! `rlhf-audit log update` and `rlhf-audit log checkpoint`

use std::process::ExitCode;
use std::sync::Arc;

use producer::{Logged, UpdateOptions};
use serde_json::json;
use trail::view::hex;

use super::digest::{delta_json, delta_text, left_out_text, sketch_json};
use super::{device, open};
use crate::args::{LogCheckpoint, LogUpdate};
use crate::failure::Done;
use crate::output::Output;

pub fn log_update(args: &LogUpdate, output: &Output) -> Done {
    let options = UpdateOptions {
        step: args.step,
        learned_from: args.learned_from.clone(),
        metrics: args.metrics.iter().cloned().collect(),
        allow_structure_change: args.allow_structure_change,
        whole_sketch: args.sketch,
        from_released: args.from_released,
    };
    let mut audit = open(&args.dir, &args.unlock)?;
    let choice = device::for_weights(args.device, &args.next)?;
    audit.digest_by(Arc::clone(&choice.engine));
    let bar = output.progress(0, "Digesting");
    let update = audit.log_update(&args.base, &args.next, &options, &|bytes| {
        bar.inc_length(bytes);
        bar.inc(bytes);
    });
    bar.finish_and_clear();
    let update = update?;
    let Logged { logged, first_index, size } = update.logged;
    output.result(
        &json!({
            "logged": logged,
            "first_index": first_index,
            "size": size,
            "root_before": hex(&update.before.digest.root),
            "root_after": hex(&update.after.digest.root),
            "delta": delta_json(&update.comparison),
            "sketch_before": sketch_json(&update.before.sketch),
            "sketch_after": sketch_json(&update.after.sketch),
            "sketch_delta_l2": update.sketch_delta_l2,
            "learned_from": [update.learned_from.start, update.learned_from.end],
            "device": choice.engine.name(),
            "device_reason": choice.why,
        }),
        format_args!(
            "Logged as entry {first_index}, learned from the annotations among entries {}..{}{}\nBy the sketches it moved by {:e} (L2){}",
            update.learned_from.start,
            update.learned_from.end,
            delta_text(&update.comparison),
            update.sketch_delta_l2,
            left_out_text(&update.after.sketch)
        ),
    );
    Ok(ExitCode::SUCCESS)
}

pub fn log_checkpoint(args: &LogCheckpoint, output: &Output) -> Done {
    let metrics = args.metrics.iter().cloned().collect();
    let mut audit = open(&args.dir, &args.unlock)?;
    let choice = device::for_weights(args.device, &args.weights)?;
    audit.digest_by(Arc::clone(&choice.engine));
    let bar = output.progress(0, "Digesting");
    let saved = audit.log_checkpoint(&args.name, &args.weights, &metrics, &|bytes| {
        bar.inc_length(bytes);
        bar.inc(bytes);
    });
    bar.finish_and_clear();
    let saved = saved?;
    let Logged { logged, first_index, size } = saved.logged;
    let root = hex(&saved.digest.root);
    output.result(
        &json!({
            "logged": logged,
            "first_index": first_index,
            "size": size,
            "root": root,
            "sketch": sketch_json(&saved.sketch),
            "device": choice.engine.name(),
            "device_reason": choice.why,
        }),
        format_args!(
            "Logged checkpoint {} as entry {first_index}, root {root}, with its sketch{}",
            args.name,
            left_out_text(&saved.sketch)
        ),
    );
    Ok(ExitCode::SUCCESS)
}
