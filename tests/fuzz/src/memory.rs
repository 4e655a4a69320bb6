//! How much memory a call may take.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What any call may take, in bytes, however short its input: serde takes up to 1 MiB for what a list says of
/// its length, and up to three lists lie one inside the other.
const FLOOR: usize = 4 << 20;

/// Calls `call`, which may take at most `factor` bytes of memory for each of the `input` bytes that a
/// stranger sent. Counts the whole process, so one call at a time.
pub fn bounded<T>(input: usize, factor: usize, call: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = call();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = FLOOR + factor * input;
    assert!(taken <= allowed, "{input} bytes took {taken} bytes of memory, more than {allowed}");
    result
}
