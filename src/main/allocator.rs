//! The process' allocator.

#[cfg(feature = "jemalloc")]
use tikv_jemalloc_ctl::{Access as _, AsName as _};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long jemalloc keeps free memory for itself, in milliseconds. In its default of ten seconds, what cloud answers take
/// one after the other adds up.
#[cfg(feature = "jemalloc")]
const KEPT: isize = 1000;

/// The arena's index that stands for all of them.
#[cfg(feature = "jemalloc")]
const ALL_ARENAS: &str = "arena.4096.dirty_decay_ms\0";

/// Lets jemalloc return free memory to the system soon, and in the background. Otherwise it does so only when it is
/// called, so after a burst an idle process keeps the memory.
#[cfg(feature = "jemalloc")]
pub fn return_free_memory() {
    // The first is for the arenas to come.
    let soon = ["arenas.dirty_decay_ms\0", ALL_ARENAS].map(|name| name.name().write(KEPT));
    let set = soon.into_iter().chain([tikv_jemalloc_ctl::background_thread::write(true)]);
    if let Err(error) = set.collect::<Result<(), _>>() {
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

#[cfg(all(test, feature = "jemalloc"))]
mod tests {
    use super::*;

    #[test]
    fn all_arenas_return_free_memory_after_a_second() {
        return_free_memory();
        let kept = ["arena.0.dirty_decay_ms\0", "arenas.dirty_decay_ms\0"].map(|name| name.name().read());
        assert_eq!(kept, [Ok::<isize, _>(1000); 2]);
    }
}
