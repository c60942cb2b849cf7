//! A panic in work for one tenant or one cloud ends that work and nothing else. It is counted and logged.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use futures::FutureExt as _;

/// The work that may panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A pass over a tenant.
    Pass,
    /// A probe of caches or usage.
    Probe,
    /// The task that asks Heat for its engines.
    Engines,
    /// A login.
    Login,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Probe, Self::Engines, Self::Login];

    /// As metrics name it.
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

    /// How many panics of this part the process has caught.
    #[must_use]
    pub fn count(self) -> u64 {
        CAUGHT[self as usize].load(Relaxed)
    }
}

/// By [`Part`]. Panics belong to the process, as their hook does.
static CAUGHT: [AtomicU64; Part::ALL.len()] = [const { AtomicU64::new(0) }; Part::ALL.len()];

/// The work panicked. The process' log has the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// The work's result, or that it panicked. What the work borrowed mutably may be half changed then, so the caller
/// replaces it.
///
/// # Errors
/// The work panicked.
pub async fn caught<T>(part: Part, work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        part.count_one();
        Panicked
    })
}

/// The process' panic hook: one line in the log, with the place.
pub fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, message = message(panic.payload()), "a panic: this is a fault of the operator, report it");
}

/// A message without arguments, at most 200 characters of it. Arguments may be a Secret's bytes or a cloud's words: a
/// string that is cut within a character, for example, is quoted.
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
