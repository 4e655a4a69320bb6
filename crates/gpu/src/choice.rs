//! Which device digests a checkpoint, and why that one.

use std::sync::Arc;

use weight_digest::checkpoint::{Checkpoint, CheckpointError};
use weight_digest::compute;
use weight_digest::cpu::Cpu;
use weight_digest::engine::{Engine, EngineError};

use crate::device::Card;
use crate::engine::{Gpu, Options};
use crate::fallback::{OrCpu, Warn};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The faster one.
    Auto,
    /// This machine's processor.
    Cpu,
    /// A card, or a stand-in for one.
    Gpu,
}

/// What digests.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The device.
    pub engine: Arc<dyn Engine>,
    /// Why it was chosen, for people.
    pub why: String,
}

/// Smaller checkpoints the processor has digested before a card is ready.
const WORTHWHILE: u64 = 1 << 30;

/// Bytes that both try.
const SAMPLE: u64 = 256 << 20;

/// Chooses a device for a checkpoint. A card that fails later is replaced by the processor, which `warn` is told.
///
/// # Errors
/// A card was asked for and there is none; or the checkpoint cannot be read.
pub fn choose(
    device: Device,
    checkpoint: &Checkpoint,
    warn: Warn,
) -> Result<Choice, CheckpointError> {
    let bytes = checkpoint.bytes();
    match device {
        Device::Cpu => Ok(cpu("it was asked for".to_owned())),
        Device::Auto if bytes < WORTHWHILE => {
            Ok(cpu("it is less than the 1 GiB from which on a card is tried".to_owned()))
        }
        Device::Auto => match Card::all().into_iter().find(|card| !card.is_software()) {
            None => Ok(cpu("no card that speaks Vulkan was found".to_owned())),
            Some(card) => match Gpu::open(&card, Options::for_bytes(bytes)) {
                Ok(gpu) => faster(checkpoint, gpu, SAMPLE, warn),
                Err(error) => Ok(cpu(error.to_string())),
            },
        },
        Device::Gpu => {
            let missing = |why| EngineError { engine: "--device gpu".to_owned(), why };
            let card = Card::best().map_err(missing)?;
            match Gpu::open(&card, Options::for_bytes(bytes)) {
                Ok(gpu) => Ok(Choice {
                    engine: Arc::new(OrCpu::new(gpu, warn)),
                    why: "it was asked for".to_owned(),
                }),
                Err(error) => {
                    warn(&format!("{error}; the processor does it in its stead"));
                    Ok(cpu(error.to_string()))
                }
            }
        }
    }
}

/// The faster of the processor and a card, on about so many bytes of the checkpoint.
fn faster(
    checkpoint: &Checkpoint,
    gpu: Gpu,
    sample: u64,
    warn: Warn,
) -> Result<Choice, CheckpointError> {
    let [by_gpu, by_cpu] = match compute::rates(checkpoint, [&gpu, &Cpu], sample) {
        Ok(rates) => rates,
        Err(CheckpointError::Engine(error)) => return Ok(cpu(error.to_string())),
        Err(error) => return Err(error),
    };
    let why = format!(
        "tried on some of it, {} did {:.2} GB/s and {} {:.2} GB/s",
        gpu.name(),
        by_gpu / 1e9,
        Cpu.name(),
        by_cpu / 1e9
    );
    if by_gpu > by_cpu {
        Ok(Choice { engine: Arc::new(OrCpu::new(gpu, warn)), why })
    } else {
        Ok(cpu(why))
    }
}

fn cpu(why: String) -> Choice {
    Choice { engine: Arc::new(Cpu), why }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    /// A checkpoint of one tensor of so many floats.
    fn checkpoint(elements: usize) -> (tempfile::TempDir, Checkpoint) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let end = 4 * elements;
        let header =
            format!(r#"{{"a":{{"dtype":"F32","shape":[{elements}],"data_offsets":[0,{end}]}}}}"#);
        let bytes =
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![7; end]].concat();
        fs::write(&path, bytes).unwrap();
        (dir, Checkpoint::open(&path).unwrap())
    }

    #[test]
    fn the_faster_one_is_measured_to_be_so() {
        let (_dir, checkpoint) = checkpoint(100_000);
        let card = Card::all().pop().unwrap();
        let gpu = Gpu::open(&card, Options::for_bytes(400_000)).unwrap();
        let choice = faster(&checkpoint, gpu, 1 << 20, Box::new(|_| ())).unwrap();
        // The last card is a stand-in where there is one, and slower than the processor it runs on.
        assert!(!card.is_software() || choice.engine.name() == Cpu.name());
        assert!(
            choice.why.contains(&card.name()) && choice.why.contains(&Cpu.name()),
            "{}",
            choice.why
        );
    }

    #[test]
    fn a_card_that_fails_while_it_is_tried_is_not_chosen() {
        let (_dir, checkpoint) = checkpoint(100_000);
        let gpu = Gpu::open(&Card::best().unwrap(), Options::for_bytes(0)).unwrap();
        gpu.close();
        let choice = faster(&checkpoint, gpu, 1 << 20, Box::new(|_| ())).unwrap();
        assert!(
            choice.engine.name() == Cpu.name() && choice.why.contains("lost"),
            "{}",
            choice.why
        );
    }

    #[test]
    fn a_small_checkpoint_is_not_worth_a_try() {
        let (_dir, checkpoint) = checkpoint(10);
        let choice = choose(Device::Auto, &checkpoint, Box::new(|_| ())).unwrap();
        assert!(
            choice.engine.name() == Cpu.name() && choice.why.contains("1 GiB"),
            "{}",
            choice.why
        );
    }
}
