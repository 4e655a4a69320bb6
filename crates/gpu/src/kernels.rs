//! The shaders, compiled for a device.

use std::fmt::Write as _;

use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Device, PipelineCompilationOptions,
    ShaderModuleDescriptor, ShaderSource,
};

use crate::{kinds, plan, sha256};

/// Invocations in a workgroup of `leaves.wgsl` and `nodes.wgsl`.
pub const WORKGROUP: usize = 64;

/// The three passes.
#[derive(Debug)]
pub struct Kernels {
    pub leaves: ComputePipeline,
    pub nodes: ComputePipeline,
    pub sketch: ComputePipeline,
}

impl Kernels {
    pub fn new(device: &Device) -> Self {
        let hashing = sha256::wgsl();
        let mut constants = kinds::wgsl();
        // Writing to a string cannot fail.
        let _ = writeln!(constants, "const RUN = {}u;", plan::RUN);
        Self {
            leaves: compile(device, "leaves", &[&hashing, include_str!("shaders/leaves.wgsl")]),
            nodes: compile(device, "nodes", &[&hashing, include_str!("shaders/nodes.wgsl")]),
            sketch: compile(device, "sketch", &[&constants, include_str!("shaders/sketch.wgsl")]),
        }
    }
}

/// The one entry point of these sources.
pub fn compile(device: &Device, label: &str, sources: &[&str]) -> ComputePipeline {
    let module = device.create_shader_module(ShaderModuleDescriptor {
        label: Some(label),
        source: ShaderSource::Wgsl(sources.concat().into()),
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(label),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: PipelineCompilationOptions {
            // Each is written before it is read.
            zero_initialize_workgroup_memory: false,
            ..PipelineCompilationOptions::default()
        },
        cache: None,
    })
}
