//! The buffers that one part of the work needs on its way, and who has them. While the card works with one set,
//! the processor fills another.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use wgpu::{Buffer, BufferDescriptor, BufferUsages, Device};

/// How large the buffers are.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// What is uploaded: bytes of tensors, and tables behind them.
    pub input: usize,
    /// Nodes of trees.
    pub nodes: usize,
    /// Sums of the sketch, and counts.
    pub sums: usize,
    /// What comes back.
    pub answer: usize,
}

/// One set of buffers.
#[derive(Debug)]
pub struct Slot {
    /// In the processor's memory; mapped, unless it is being uploaded.
    pub staging: Buffer,
    /// The same in the card's.
    pub input: Buffer,
    pub nodes: Buffer,
    pub sums: Buffer,
    /// In the processor's memory; not mapped, unless it is being read.
    pub answer: Buffer,
}

impl Slot {
    pub fn new(device: &Device, sizes: &Sizes) -> Self {
        let buffer = |label, size: usize, usage, mapped_at_creation| {
            let size = size as u64;
            device.create_buffer(&BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation,
            })
        };
        let (to, from) = (BufferUsages::COPY_DST, BufferUsages::COPY_SRC);
        let storage = BufferUsages::STORAGE;
        Self {
            staging: buffer("staging", sizes.input, BufferUsages::MAP_WRITE | from, true),
            input: buffer("input", sizes.input, storage | to, false),
            nodes: buffer("nodes", sizes.nodes, storage | from, false),
            sums: buffer("sums", sizes.sums, storage | from | to, false),
            answer: buffer("answer", sizes.answer, BufferUsages::MAP_READ | to, false),
        }
    }
}

/// The slots, and which of them nobody has.
#[derive(Debug)]
pub struct Pool {
    slots: Vec<Slot>,
    free: Mutex<Vec<usize>>,
    returned: Condvar,
}

impl Pool {
    pub fn new(slots: Vec<Slot>) -> Self {
        let free = Mutex::new((0..slots.len()).collect());
        Self { slots, free, returned: Condvar::new() }
    }

    /// A slot, waited for. Whoever has one already must not: all that wait might have one.
    pub fn take(&self) -> Lease<'_> {
        let mut free = self.lock();
        loop {
            if let Some(at) = free.pop() {
                return Lease { pool: self, at };
            }
            free = self.returned.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A slot, if there is one.
    pub fn try_take(&self) -> Option<Lease<'_>> {
        let at = self.lock().pop()?;
        Some(Lease { pool: self, at })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot that goes back when it is dropped, however that comes about.
#[derive(Debug)]
pub struct Lease<'a> {
    pool: &'a Pool,
    at: usize,
}

impl Deref for Lease<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.pool.slots[self.at]
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.lock().push(self.at);
        self.pool.returned.notify_one();
    }
}
