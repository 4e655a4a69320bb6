//! The driver's context, streams and memory, given back when they are dropped. Whoever uses them has entered the
//! card's context.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use cudarc::driver::{DriverError, result, sys};

use crate::error::CudaError;

/// What the driver answers.
pub type Answer<T> = Result<T, String>;

/// An error of the driver, with what was asked of it.
pub fn said(asked: &'static str) -> impl Fn(DriverError) -> String {
    move |error| match error.error_string() {
        Ok(text) => format!("{asked}: {} ({:?})", text.to_string_lossy(), error.0),
        Err(_) => format!("{asked}: {:?}", error.0),
    }
}

/// A card, and the context that everybody in the process shares, PyTorch too.
#[derive(Debug)]
pub struct Device {
    device: sys::CUdevice,
    context: sys::CUcontext,
    name: String,
}

// SAFETY: a context may be entered by every thread; the driver locks what it must.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Opens a card by its number.
    pub fn open(ordinal: i32) -> Result<Self, CudaError> {
        // SAFETY: NVIDIA's libraries may be loaded, and stay loaded.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        let failed = |why| CudaError::Failed { device: format!("CUDA device {ordinal}"), why };
        match result::init() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return Err(CudaError::NoDevice { ordinal, count: 0 });
            }
            answer => answer.map_err(said("cuInit")).map_err(failed)?,
        }
        let count =
            result::device::get_count().map_err(said("cuDeviceGetCount")).map_err(failed)?;
        if !(0..count).contains(&ordinal) {
            return Err(CudaError::NoDevice { ordinal, count });
        }
        let device = result::device::get(ordinal).map_err(said("cuDeviceGet")).map_err(failed)?;
        let name =
            result::device::get_name(device).map_err(said("cuDeviceGetName")).map_err(failed)?;
        // SAFETY: the driver gave the device.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(said("cuDevicePrimaryCtxRetain"))
            .map_err(failed)?;
        Ok(Self { device, context, name: format!("CUDA device {ordinal}, {name}") })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability, as 90 for 9.0.
    pub fn capability(&self) -> Answer<i32> {
        use sys::CUdevice_attribute as Attribute;
        let of = |attribute| {
            // SAFETY: the driver gave the device.
            unsafe { result::device::get_attribute(self.device, attribute) }
                .map_err(said("cuDeviceGetAttribute"))
        };
        let major = of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        Ok(10 * major + of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?)
    }

    /// Makes the context this thread's, until what is returned is dropped.
    pub fn enter(&self) -> Answer<Entered<'_>> {
        // SAFETY: the context is retained as long as the device lives.
        unsafe { sys::cuCtxPushCurrent_v2(self.context) }
            .result()
            .map_err(said("cuCtxPushCurrent"))?;
        Ok(Entered { device: self, thread: PhantomData })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: retained once, in `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// The thread is in a card's context. It stays with the thread.
#[derive(Debug)]
pub struct Entered<'a> {
    device: &'a Device,
    thread: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut popped = ptr::null_mut();
        // SAFETY: pushed by `enter` on this thread.
        let _ = unsafe { sys::cuCtxPopCurrent_v2(&raw mut popped) };
    }
}

impl Entered<'_> {
    /// Checks that all of these bytes are memory of the card, or such that it reads as its own.
    pub fn check(&self, from: u64, length: u64) -> Answer<()> {
        let mut at = from;
        while at < from + length {
            let (mut base, mut size) = (0, 0);
            // SAFETY: both are written to; the driver knows which addresses are its own.
            unsafe { sys::cuMemGetAddressRange_v2(&raw mut base, &raw mut size, at) }
                .result()
                .map_err(|_| {
                    if at == from {
                        "its pointer points at no memory of this card".to_owned()
                    } else {
                        format!("only {} of its {length} bytes are memory of this card", at - from)
                    }
                })?;
            let whose = owner(at)?;
            if whose != self.device.device {
                return Err(format!("it lies in the memory of CUDA device {whose}"));
            }
            // Memory that is mapped piece by piece is told piece by piece.
            let end = base.checked_add(size as u64).filter(|end| *end > at);
            at = end.ok_or("the driver tells of memory without end")?;
        }
        Ok(())
    }
}

/// The card whose memory an address is. The kernels of another would fail there, and with them the context.
fn owner(at: u64) -> Answer<i32> {
    let mut device = -1_i32;
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL;
    // SAFETY: this attribute is an integer, which is written to.
    unsafe { sys::cuPointerGetAttribute((&raw mut device).cast(), attribute, at) }
        .result()
        .map_err(said("cuPointerGetAttribute"))?;
    Ok(device)
}

/// A stream that waits for no other, unless it is told to.
#[derive(Debug)]
pub struct Stream<'a> {
    pub raw: sys::CUstream,
    context: PhantomData<&'a Entered<'a>>,
}

impl<'a> Stream<'a> {
    pub fn new(_: &'a Entered<'_>) -> Answer<Self> {
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(said("cuStreamCreate"))?;
        Ok(Self { raw, context: PhantomData })
    }

    /// What comes now is done after everything that was enqueued on another stream before.
    pub fn after(&self, other: u64) -> Answer<()> {
        let event = Event::new()?;
        // SAFETY: whoever made the `Resident` has promised that the stream is there. Events may be destroyed when
        // the wait for them is enqueued.
        unsafe {
            result::event::record(event.0, other as sys::CUstream)
                .map_err(said("cuEventRecord"))?;
            let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            result::stream::wait_event(self.raw, event.0, flags).map_err(said("cuStreamWaitEvent"))
        }
    }

    /// Waits until everything is done.
    pub fn finish(&self) -> Answer<()> {
        // SAFETY: the stream is there until it is dropped.
        unsafe { result::stream::synchronize(self.raw) }.map_err(said("cuStreamSynchronize"))
    }

    /// Copies from the card's memory, when it is this stream's turn.
    ///
    /// # Safety
    /// The bytes of the card stay, and the processor's are neither moved, read nor written until the stream has
    /// finished.
    pub unsafe fn copy_out(&self, from: u64, to: &mut [u8]) -> Answer<()> {
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_dtoh_async(to, from, self.raw) }.map_err(said("cuMemcpyDtoHAsync"))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // What is under way may use memory that goes next.
        let _ = self.finish();
        // SAFETY: made by `new`, used by nobody any more.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

struct Event(sys::CUevent);

impl Event {
    fn new() -> Answer<Self> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        result::event::create(flags).map(Self).map_err(said("cuEventCreate"))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// Memory of the card, taken and given back in a stream's turn: nobody else has to wait.
#[derive(Debug)]
pub struct Memory<'a> {
    pub at: sys::CUdeviceptr,
    length: usize,
    stream: &'a Stream<'a>,
}

impl<'a> Memory<'a> {
    /// So many zero bytes.
    pub fn zeroed(stream: &'a Stream<'_>, length: usize) -> Answer<Self> {
        let memory = Self::new(stream, length)?;
        // SAFETY: so many bytes were just taken.
        unsafe { result::memset_d8_async(memory.at, 0, length, stream.raw) }
            .map_err(said("cuMemsetD8Async"))?;
        Ok(memory)
    }

    /// These bytes.
    pub fn of(stream: &'a Stream<'_>, bytes: &[u8]) -> Answer<Self> {
        let memory = Self::new(stream, bytes.len())?;
        // SAFETY: so many bytes were just taken. Of memory that is not page-locked the driver makes a copy before
        // it returns.
        unsafe { result::memcpy_htod_async(memory.at, bytes, stream.raw) }
            .map_err(said("cuMemcpyHtoDAsync"))?;
        Ok(memory)
    }

    fn new(stream: &'a Stream<'_>, length: usize) -> Answer<Self> {
        // SAFETY: it is written before it is read, by both who call this.
        let at = unsafe { result::malloc_async(stream.raw, length.max(1)) }
            .map_err(said("cuMemAllocAsync"))?;
        Ok(Self { at, length, stream })
    }

    /// What it holds when everything before in the stream is done, which is waited for.
    pub fn read(&self) -> Answer<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        // SAFETY: it has so many bytes, and both stay until the stream has finished.
        unsafe { self.stream.copy_out(self.at, &mut bytes) }?;
        self.stream.finish()?;
        Ok(bytes)
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: taken by `new`; what uses it is enqueued on the same stream before.
        let _ = unsafe { result::free_async(self.at, self.stream.raw) };
    }
}

/// Page-locked memory of the processor, which the card writes to by itself.
#[derive(Debug)]
pub struct Pinned<'a> {
    at: *mut u8,
    length: usize,
    context: PhantomData<&'a Entered<'a>>,
}

impl<'a> Pinned<'a> {
    pub fn new(_: &'a Entered<'_>, length: usize) -> Answer<Self> {
        // SAFETY: it is written before it is lent.
        let at = unsafe { result::malloc_host(length, 0) }.map_err(said("cuMemHostAlloc"))?;
        // SAFETY: so many bytes were just taken.
        unsafe { ptr::write_bytes(at.cast::<u8>(), 0, length) };
        Ok(Self { at: at.cast(), length, context: PhantomData })
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: taken and filled by `new`, and lent once at a time.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.length) }
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        // SAFETY: taken by `new`.
        let _ = unsafe { result::free_host(self.at.cast::<c_void>()) };
    }
}

/// Code on the card.
#[derive(Debug)]
pub struct Module(sys::CUmodule);

// SAFETY: a module may be used by every thread that is in its context.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A kernel of a module, which stays as long as the module.
#[derive(Clone, Copy, Debug)]
pub struct Kernel(sys::CUfunction);

// SAFETY: as of the module.
unsafe impl Send for Kernel {}
// SAFETY: as of the module.
unsafe impl Sync for Kernel {}

impl Module {
    /// Loads a cubin, or PTX with a zero byte at the end.
    pub fn load(_: &Entered<'_>, image: &[u8]) -> Answer<Self> {
        // SAFETY: NVRTC made the image.
        unsafe { result::module::load_data(image.as_ptr().cast()) }
            .map(Self)
            .map_err(said("cuModuleLoadData"))
    }

    pub fn kernel(&self, name: &str) -> Answer<Kernel> {
        let name = std::ffi::CString::new(name).map_err(|e| e.to_string())?;
        // SAFETY: the module is loaded.
        unsafe { result::module::get_function(self.0, name) }
            .map(Kernel)
            .map_err(said("cuModuleGetFunction"))
    }

    /// Unloads it.
    pub fn unload(&self, _: &Entered<'_>) {
        // SAFETY: loaded by `load`; whoever calls this uses its kernels no more.
        let _ = unsafe { result::module::unload(self.0) };
    }
}

impl Kernel {
    /// Runs it in so many blocks of so many threads, when it is the stream's turn, with two pointers.
    ///
    /// # Safety
    /// It takes two pointers, and reads and writes nothing but what stays until the stream has finished.
    pub unsafe fn launch(
        self,
        stream: &Stream<'_>,
        (blocks, threads): (u32, u32),
        pointers: [sys::CUdeviceptr; 2],
    ) -> Answer<()> {
        let mut arguments =
            pointers.each_ref().map(|pointer| ptr::from_ref(pointer).cast_mut().cast());
        // SAFETY: as the caller promises; arguments are copied before it returns.
        unsafe {
            result::launch_kernel(
                self.0,
                (blocks, 1, 1),
                (threads, 1, 1),
                0,
                stream.raw,
                &mut arguments,
            )
        }
        .map_err(said("cuLaunchKernel"))
    }
}
