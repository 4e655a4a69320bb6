//! What no digest on a card can be faster than: the copy that brings it the bytes, and its integer arithmetic.

use std::time::Instant;

use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BufferDescriptor, BufferUsages, CommandEncoder,
    ComputePassDescriptor,
};

use crate::device::{Card, Device};
use crate::kernels::{WORKGROUP, compile};
use crate::sha256;

/// Bytes of a block of SHA-256.
const BLOCK: u64 = 64;

/// Blocks that one invocation of `ceiling.wgsl` compresses, about as many as a leaf has.
const BLOCKS: u64 = 64;

/// Bytes a second.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// Copied from the processor's memory to the card's.
    pub copy: f64,
    /// Compressed by SHA-256, none of them fetched.
    pub hash: f64,
}

/// Measures a card, with so many bytes each.
///
/// # Errors
/// The card fails; it says how.
pub fn measure(card: &Card, bytes: u64) -> Result<Ceiling, String> {
    let device = Device::open(card)?;
    Ok(Ceiling { copy: copy(&device, bytes)?, hash: hash(&device, bytes)? })
}

fn copy(device: &Device, bytes: u64) -> Result<f64, String> {
    let size = bytes.min(64 << 20).next_multiple_of(4);
    let rounds = bytes.div_ceil(size);
    let buffer = |usage, mapped_at_creation| {
        device.device.create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation,
        })
    };
    let from = buffer(BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true);
    from.unmap();
    let to = buffer(BufferUsages::STORAGE | BufferUsages::COPY_DST, false);
    let seconds = timed(device, |encoder| {
        (0..rounds).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size));
    })?;
    Ok((rounds * size) as f64 / seconds)
}

fn hash(device: &Device, bytes: u64) -> Result<f64, String> {
    let workgroups = (bytes / (BLOCK * BLOCKS * WORKGROUP as u64)).clamp(1, 65_535);
    let constants = format!("const BLOCKS = {BLOCKS}u;\n");
    let sources = [&sha256::wgsl(), constants.as_str(), include_str!("shaders/ceiling.wgsl")];
    let pipeline = compile(&device.device, "ceiling", &sources);
    let last = device.device.create_buffer(&BufferDescriptor {
        label: None,
        size: 4 * WORKGROUP as u64,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let group = device.device.create_bind_group(&BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[BindGroupEntry { binding: 0, resource: last.as_entire_binding() }],
    });
    let seconds = timed(device, |encoder| {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(workgroups as u32, 1, 1);
    })?;
    Ok((workgroups * WORKGROUP as u64 * BLOCKS * BLOCK) as f64 / seconds)
}

/// The seconds that commands take, the second time.
fn timed(device: &Device, encode: impl Fn(&mut CommandEncoder)) -> Result<f64, String> {
    let run = || {
        let mut encoder = device.device.create_command_encoder(&Default::default());
        encode(&mut encoder);
        let start = Instant::now();
        device.wait(device.queue.submit([encoder.finish()]))?;
        Ok(start.elapsed().as_secs_f64())
    };
    run().and_then(|_: f64| run())
}
