//! The process' allocator.

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
