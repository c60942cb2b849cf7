//! The process' allocator.

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lets jemalloc return free memory to the system in the background. Without this it does so only when it is called, so
/// after a burst an idle process keeps the memory.
#[cfg(feature = "jemalloc")]
pub fn return_free_memory() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::info!(%error, "free memory is not returned to the system in the background");
    }
}

/// Does nothing without jemalloc.
#[cfg(not(feature = "jemalloc"))]
pub const fn return_free_memory() {}

/// Returns the bytes that the program has allocated and not freed. `None` without jemalloc.
#[cfg(feature = "jemalloc")]
pub fn allocated_bytes() -> Option<u64> {
    // jemalloc updates its statistics only when the epoch advances.
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    u64::try_from(tikv_jemalloc_ctl::stats::allocated::read().ok()?).ok()
}

/// Returns the bytes that the program has allocated and not freed. `None` without jemalloc.
#[cfg(not(feature = "jemalloc"))]
pub const fn allocated_bytes() -> Option<u64> {
    None
}
