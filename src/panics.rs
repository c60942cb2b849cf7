//! A panic in the work for one tenant or one cloud ends only that work. The process counts and logs it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use futures::FutureExt as _;

/// The kinds of work that may panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A pass over a tenant.
    Pass,
    /// A probe of caches or usage.
    Probe,
    /// The task that queries Heat for its engines.
    Engines,
    /// A login.
    Login,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Probe, Self::Engines, Self::Login];

    /// The label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Probe => "probe",
            Self::Engines => "engines",
            Self::Login => "login",
        }
    }

    /// Counts a panic of this part that was caught.
    pub fn count_one(self) {
        CAUGHT[self as usize].fetch_add(1, Relaxed);
    }

    /// The number of panics of this part that the process has caught.
    #[must_use]
    pub fn count(self) -> u64 {
        CAUGHT[self as usize].load(Relaxed)
    }
}

/// Indexed by [`Part`]. The counters belong to the process, like the panic hook.
static CAUGHT: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// The work panicked. The log has the source position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Returns the work's result, or that it panicked. After a panic, values that the work borrowed mutably may be
/// inconsistent. The caller must replace them.
///
/// # Errors
/// The work panicked.
pub fn caught<T>(part: Part, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    // Not an async function: that would contain the work twice.
    let counted = move |_| {
        part.count_one();
        Panicked
    };
    AssertUnwindSafe(work).catch_unwind().map(move |done| done.map_err(counted))
}

/// The process' panic hook. It writes one log line with the source position.
pub fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, message = message(panic.payload()), "a panic: this is a fault of the operator, report it");
}

/// A fixed message, at most 200 characters of it. Arguments are omitted: they may contain a Secret's bytes or a cloud's
/// text. A slice within a character, for example, quotes the string.
fn message(payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&'static str>();
    fixed.map_or("(not shown, since it may quote data)".to_owned(), |text| text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_counted_by_its_part() {
        for part in Part::ALL {
            let before = Part::ALL.map(Part::count);
            assert_eq!(caught(part, async { 7 }).await, Ok(7));
            assert_eq!(part.count(), before[part as usize], "{part:?}");
            let late = async {
                tokio::task::yield_now().await;
                assert!(before.is_empty(), "on purpose");
            };
            assert_eq!(caught(part, late).await, Err(Panicked));
            assert!(part.count() > before[part as usize], "{part:?}");
        }
    }

    #[test]
    fn the_log_quotes_no_data() {
        let text = "hunter2ü";
        type Row = (fn(&str), &'static str);
        let panics: [Row; 4] = [
            (|_| panic!("a fixed message"), "a fixed message"),
            (|text| panic!("with data: {text}"), "(not shown, since it may quote data)"),
            (|text| drop(text[..8].to_owned()), "(not shown, since it may quote data)"),
            (|text| assert_eq!(text.parse::<u8>().unwrap(), 1), "(not shown, since it may quote data)"),
        ];
        for (work, logged) in panics {
            let payload = std::panic::catch_unwind(|| work(text)).unwrap_err();
            assert_eq!(message(payload.as_ref()), logged);
        }
        let long: Box<dyn Any + Send> = Box::new("a fixed message, but long: 0123456789012345678901234567890123456789");
        assert!(message(long.as_ref()).chars().count() <= 200);
    }
}
