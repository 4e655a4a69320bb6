//! A card as an engine.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use weight_digest::engine::{Engine, EngineError, Span};
use weight_digest::leaves::{LeafRange, subtrees};
use weight_digest::sketch::Sketch;
use weight_digest::tree::LEAF;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, BufferAsyncError,
    BufferBinding, CommandEncoder, ComputePipeline, MapMode, SubmissionIndex,
};

use crate::answer::{self, SUMS};
use crate::device::{Card, Device};
use crate::kernels::{Kernels, WORKGROUP};
use crate::plan::{Piece, Plan, cut};
use crate::slot::{Lease, Pool, Sizes, Slot};
use crate::trust;
use crate::upload::{Tables, fill, part_of};

/// How the work is divided.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes uploaded at a time, unless the card takes fewer. A card has thousands of lanes, each of which hashes a
    /// leaf of 4,096 bytes: of fewer bytes most lanes would have nothing to do, and more of them would not be uploaded
    /// faster.
    pub part: usize,
    /// Parts under way at once: while one is hashed, the next is uploaded and the one after it filled. Together they are
    /// less than 64 MiB of the processor's memory.
    pub slots: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { part: 16 << 20, slots: 3 }
    }
}

impl Options {
    /// For so many bytes in all, which need not fill a part.
    pub fn for_bytes(bytes: u64) -> Self {
        let most = Self::default();
        let each = bytes.div_ceil(most.slots as u64).clamp(1 << 20, most.part as u64);
        Self { part: each as usize, ..most }
    }
}

/// A graphics card, driven by Vulkan.
#[derive(Debug)]
pub struct Gpu {
    name: String,
    device: Device,
    kernels: Kernels,
    pool: Pool,
    slots: usize,
    /// Bytes of a part.
    part: usize,
    /// Leaves of a part.
    leaves: usize,
    /// Where in a buffer a table may begin: at its multiples.
    align: usize,
}

impl Gpu {
    /// Opens a card.
    ///
    /// # Errors
    /// It cannot be opened, has not enough memory, or does not give the processor's digest of a few bytes.
    pub fn open(card: &Card, options: Options) -> Result<Self, EngineError> {
        let name = card.name();
        Self::try_open(card, options).map_err(|why| EngineError { engine: name, why })
    }

    fn try_open(card: &Card, options: Options) -> Result<Self, String> {
        let device = Device::open(card)?;
        let limits = device.device.limits();
        let at_once = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size / 2);
        let part = (options.part as u64).min(at_once).min(1 << 30) as usize / LEAF * LEAF;
        let part = part.max(LEAF);
        let workgroups = limits.max_compute_workgroups_per_dimension as usize;
        // Tensors of less than a leaf fill it less.
        let leaves = (part / LEAF * 4).max(64).min(workgroups);
        let align = limits.min_storage_buffer_offset_alignment.max(16) as usize;
        // Leaves, pairs, of which there are fewer, on at most 32 levels, and runs, of which there are no more.
        let tables = leaves * (12 + 8 + 32) + 34 * align;
        let sizes = Sizes {
            input: part + tables,
            nodes: leaves * 2 * 32,
            sums: SUMS,
            answer: leaves * 32 + SUMS,
        };
        let (kernels, slots) = guarded(&device, || {
            let slots =
                (0..options.slots.max(1)).map(|_| Slot::new(&device.device, &sizes)).collect();
            (Kernels::new(&device.device), slots)
        })?;
        let gpu = Self {
            name: card.name(),
            device,
            kernels,
            pool: Pool::new(slots),
            slots: options.slots.max(1),
            part,
            leaves,
            align,
        };
        trust::check(&gpu).map(|()| gpu)
    }

    /// Gives the card back, at once: what is under way fails, and whatever comes later.
    pub fn close(&self) {
        self.device.device.destroy();
    }

    /// Part after part; on every way out, what is under way gives its slot back.
    fn digest_parts(
        &self,
        spans: &[Span<'_>],
        mut sketch: Option<&mut Sketch>,
    ) -> Result<Vec<LeafRange>, String> {
        let mut ranges: Vec<LeafRange> =
            spans.iter().map(|span| LeafRange::empty(span.first)).collect();
        let mut under_way: VecDeque<(Vec<Piece>, Flight<'_>)> = VecDeque::new();
        let mut parts = cut(spans, self.part, self.leaves).into_iter();
        loop {
            let part = parts.next();
            // The next part is filled while this one is hashed, if there is a slot for it; who waits for a slot
            // has none.
            let mut lease = part.is_some().then(|| self.pool.try_take()).flatten();
            while lease.is_none() {
                let Some((pieces, flight)) = under_way.pop_front() else { break };
                self.land(flight, &pieces, spans, &mut ranges, sketch.as_deref_mut())?;
                lease = part.is_some().then(|| self.pool.try_take()).flatten();
            }
            let Some(part) = part else { return Ok(ranges) };
            let lease = lease.unwrap_or_else(|| self.pool.take());
            self.device.check()?;
            let plan = Plan::new(spans, &part, sketch.is_some());
            let flight = self.launch(lease, spans, &part, plan, sketch.is_some())?;
            under_way.push_back((part, flight));
        }
    }

    /// Fills a slot and hands it to the card.
    fn launch<'a>(
        &self,
        slot: Lease<'a>,
        spans: &[Span<'_>],
        part: &[Piece],
        plan: Plan,
        sketch: bool,
    ) -> Result<Flight<'a>, String> {
        let tables = Tables::new(&plan, self.align);
        fill(&slot.staging, spans, part, &tables).map_err(|e| e.to_string())?;
        slot.staging.unmap();
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&slot.staging, 0, &slot.input, 0, tables.end as u64);
        self.encode(&mut encoder, &slot, &plan, &tables);
        let nodes = plan.results as u64 * 32;
        encoder.copy_buffer_to_buffer(&slot.nodes, 0, &slot.answer, 0, nodes);
        if sketch {
            encoder.copy_buffer_to_buffer(&slot.sums, 0, &slot.answer, nodes, SUMS as u64);
        }
        let submission = self.device.queue.submit([encoder.finish()]);
        let length = nodes + if sketch { SUMS as u64 } else { 0 };
        let (sender, mapped) = channel();
        let other = sender.clone();
        // They fail only where nobody waits any more.
        slot.answer.map_async(MapMode::Read, ..length, move |result| drop(sender.send(result)));
        slot.staging.map_async(MapMode::Write, .., move |result| drop(other.send(result)));
        Ok(Flight { slot, submission, mapped, length, results: plan.results })
    }

    fn encode(&self, encoder: &mut CommandEncoder, slot: &Slot, plan: &Plan, tables: &Tables) {
        let words = part_of(&slot.input, 0, plan.bytes);
        let table = |(from, bytes): &(usize, Vec<u8>)| part_of(&slot.input, *from, bytes.len());
        let (nodes, sums) =
            (slot.nodes.as_entire_buffer_binding(), slot.sums.as_entire_buffer_binding());
        encoder.clear_buffer(&slot.sums, 0, None);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let mut run =
            |pipeline: &ComputePipeline, bindings: &[BufferBinding<'_>], workgroups: usize| {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &self.bind(pipeline, bindings), &[]);
                pass.dispatch_workgroups(workgroups as u32, 1, 1);
            };
        let Kernels { leaves, nodes: inner, sketch } = &self.kernels;
        run(
            leaves,
            &[words.clone(), table(&tables.leaves), nodes.clone()],
            plan.leaves.len().div_ceil(WORKGROUP),
        );
        for (level, pairs) in tables.levels.iter().zip(&plan.levels) {
            run(inner, &[table(level), nodes.clone()], pairs.len().div_ceil(WORKGROUP));
        }
        if !plan.runs.is_empty() {
            run(sketch, &[words, table(&tables.runs), sums], plan.runs.len());
        }
    }

    fn bind(&self, pipeline: &ComputePipeline, bindings: &[BufferBinding<'_>]) -> BindGroup {
        let entries: Vec<BindGroupEntry<'_>> = (0..)
            .zip(bindings)
            .map(|(binding, buffer)| BindGroupEntry {
                binding,
                resource: BindingResource::Buffer(buffer.clone()),
            })
            .collect();
        self.device.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Waits for a part, and takes in what it gives.
    fn land(
        &self,
        flight: Flight<'_>,
        part: &[Piece],
        spans: &[Span<'_>],
        ranges: &mut [LeafRange],
        sketch: Option<&mut Sketch>,
    ) -> Result<(), String> {
        self.device.wait(flight.submission)?;
        for _ in 0..2 {
            // Another thread may be the one that tells.
            let told =
                flight.mapped.recv_timeout(Duration::from_secs(5)).map_err(|e| e.to_string())?;
            told.map_err(|e| e.to_string())?;
        }
        let buffer = &flight.slot.answer;
        let view = buffer.get_mapped_range(..flight.length).map_err(|e| e.to_string())?;
        let (nodes, sums) = view.split_at(flight.results * 32);
        let mut nodes = nodes.as_chunks().0.iter().map(answer::hash);
        for piece in part {
            let leaves = piece.leaves(spans);
            let count = subtrees(&leaves).count();
            let range = LeafRange::new(leaves, nodes.by_ref().take(count).collect());
            if !range.is_some_and(|range| ranges[piece.span].append(&range)) {
                return Err("its leaves do not follow those before".to_owned());
            }
        }
        if let Some(sketch) = sketch {
            answer::add(sketch, sums);
        }
        drop(view);
        buffer.unmap();
        Ok(())
    }
}

impl Engine for Gpu {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn batch(&self) -> usize {
        self.part
    }

    fn calls(&self) -> Option<usize> {
        Some(self.slots)
    }

    fn digest(
        &self,
        spans: &[Span<'_>],
        sketch: Option<&mut Sketch>,
    ) -> Result<Vec<LeafRange>, EngineError> {
        let mut added = sketch.is_some().then(Sketch::default);
        let ranges = self
            .digest_parts(spans, added.as_mut())
            .and_then(|ranges| self.device.check().map(|()| ranges))
            .map_err(|why| EngineError { engine: self.name.clone(), why: self.device.fail(why) })?;
        if let (Some(sketch), Some(mut added)) = (sketch, added) {
            spans.iter().for_each(|span| answer::count(&mut added, span));
            sketch.join(&added);
        }
        Ok(ranges)
    }
}

/// A part that the card is at work on.
struct Flight<'a> {
    slot: Lease<'a>,
    submission: SubmissionIndex,
    /// Told once for each of the two buffers that are mapped when it is done.
    mapped: Receiver<Result<(), BufferAsyncError>>,
    /// Bytes that come back.
    length: u64,
    /// Nodes that come back.
    results: usize,
}

/// Runs what makes things on the card, and tells what went wrong with it.
fn guarded<T>(device: &Device, make: impl FnOnce() -> T) -> Result<T, String> {
    let scopes = [
        wgpu::ErrorFilter::Validation,
        wgpu::ErrorFilter::OutOfMemory,
        wgpu::ErrorFilter::Internal,
    ]
    .map(|filter| device.device.push_error_scope(filter));
    let made = make();
    // The last one pushed is the first one popped.
    for scope in scopes.into_iter().rev() {
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(error.to_string());
        }
    }
    device.check().map(|()| made)
}
