//! What digests weights.

use std::io::{self, Write as _};
use std::path::Path;

use gpu_digest::{Choice, choose};
use weight_digest::checkpoint::Checkpoint;

use crate::args::Device;
use crate::failure::Failure;
use crate::output::printable;

/// The device for these weights.
pub fn for_weights(device: Device, weights: &Path) -> Result<Choice, Failure> {
    let device = match device {
        Device::Auto => gpu_digest::Device::Auto,
        Device::Cpu => gpu_digest::Device::Cpu,
        Device::Gpu => gpu_digest::Device::Gpu,
    };
    let checkpoint = Checkpoint::open(weights).map_err(Failure::input)?;
    choose(device, &checkpoint, Box::new(warn)).map_err(Failure::input)
}

/// Where standard error cannot be written, the digest is still right.
fn warn(what: &str) {
    let _ = writeln!(io::stderr().lock(), "rlhf-audit: warning: {}", printable(what));
}

/// The device that has digested, for people, and why it, unless they asked for it.
pub fn text(device: Device, choice: &Choice) -> String {
    let name = choice.engine.name();
    let asked = !matches!(device, Device::Auto);
    printable(&if asked { name } else { format!("{name}: {}", choice.why) })
}
