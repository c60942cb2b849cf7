//! The memory that tenants and their clouds cause the process to keep, counted per namespace and in total.
//!
//! The accounting is pure. A caller reserves the size before it keeps anything, and keeps nothing if that is refused. A
//! reservation returns its bytes on drop. The sizes are estimates from the `kept_bytes` functions.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const MIB: usize = 1 << 20;

/// Each namespace may keep this much even if the others have used up the total: enough for a few ordinary credentials.
const GUARANTEED: usize = 64 << 10;

/// Lists of engines may take this part of each limit. A cloud chooses how long its list is, and an ordinary one takes less
/// than a tenth of what its credential takes.
const LISTS: usize = 3;

/// The limits for kept memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The limit for one namespace, in bytes.
    pub namespace: usize,
    /// The limit for all namespaces together, in bytes.
    pub all: usize,
}

impl Default for Limits {
    /// Enough for 10,000 ordinary credentials in one namespace, about 8 KiB each, within the chart's memory limit.
    fn default() -> Self {
        Self { namespace: 96 * MIB, all: 128 * MIB }
    }
}

/// A number of bytes in Kubernetes' notation: `96Mi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

/// The text is not a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a whole number of bytes, at least 1Mi, as in 96Mi or 1Gi")]
pub struct NoBytes;

impl FromStr for Bytes {
    type Err = NoBytes;

    fn from_str(text: &str) -> Result<Self, NoBytes> {
        let units = [("Ki", 1 << 10), ("Mi", MIB), ("Gi", 1 << 30), ("", 1)];
        let (number, unit) =
            units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))).ok_or(NoBytes)?;
        let digits = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let number: usize = number.parse().ok().filter(|_| digits).ok_or(NoBytes)?;
        number.checked_mul(unit).filter(|bytes| *bytes >= MIB).map(Bytes).ok_or(NoBytes)
    }
}

/// Why a reservation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// The namespace has reached its limit.
    #[error("the namespace has used up what the operator keeps for it")]
    Namespace,
    /// All namespaces together have reached the total limit.
    #[error("all namespaces together have used up what the operator keeps")]
    All,
}

/// The memory that is currently kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// The memory of all namespaces together, in bytes.
    pub all: usize,
    /// The memory of the namespace that keeps the most, in bytes.
    pub largest: usize,
}

/// The accounts of all namespaces. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    limits: Limits,
    kept: Mutex<Kept>,
    /// The lists among it.
    lists: Mutex<Kept>,
}

/// What a reservation counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Lists,
}

#[derive(Debug, Default)]
struct Kept {
    all: usize,
    /// The bytes of each namespace that keeps something.
    namespaces: HashMap<Arc<str>, usize>,
}

impl Budget {
    /// Creates an unused budget.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, ..Inner::default() }))
    }

    /// Reserves memory for this namespace.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn reserve(&self, namespace: &str, bytes: usize) -> Result<Reservation, OverBudget> {
        let mut reservation = self.nothing(Part::Whole, namespace);
        reservation.resize(bytes)?;
        Ok(reservation)
    }

    /// Returns a reservation for a list of engines, of no bytes.
    #[must_use]
    pub fn list(&self, namespace: &str) -> ListReservation {
        let [list, whole] = [Part::Lists, Part::Whole].map(|part| self.nothing(part, namespace));
        ListReservation { list, whole }
    }

    fn nothing(&self, part: Part, namespace: &str) -> Reservation {
        // All reservations of a namespace share its name.
        let known = self.lock(Part::Whole).namespaces.get_key_value(namespace).map(|(known, _)| known.clone());
        Reservation { budget: self.clone(), part, namespace: known.unwrap_or_else(|| namespace.into()), bytes: 0 }
    }

    /// The memory that is currently kept.
    #[must_use]
    pub fn used(&self) -> Use {
        let kept = self.lock(Part::Whole);
        Use { all: kept.all, largest: kept.namespaces.values().copied().max().unwrap_or_default() }
    }

    /// The limits of this budget.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    fn limits_of(&self, part: Part) -> Limits {
        let Limits { namespace, all } = self.limits();
        match part {
            Part::Whole => Limits { namespace, all },
            Part::Lists => Limits { namespace: namespace / LISTS, all: all / LISTS },
        }
    }

    fn lock(&self, part: Part) -> MutexGuard<'_, Kept> {
        let kept = match part {
            Part::Whole => &self.0.kept,
            Part::Lists => &self.0.lists,
        };
        kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a namespace keeps until the reservation is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    part: Part,
    namespace: Arc<str>,
    bytes: usize,
}

impl Reservation {
    /// Changes the size of the reservation. A smaller size is never refused. After a refusal the reservation is
    /// unchanged.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let Limits { namespace, all } = self.budget.limits_of(self.part);
        let mut kept = self.budget.lock(self.part);
        let others = kept.namespaces.get(&self.namespace).copied().unwrap_or_default().saturating_sub(self.bytes);
        let (own, total) = (others.saturating_add(bytes), kept.all.saturating_sub(self.bytes).saturating_add(bytes));
        if bytes > self.bytes {
            if own > namespace {
                return Err(OverBudget::Namespace);
            }
            if total > all && own > GUARANTEED {
                return Err(OverBudget::All);
            }
        }
        kept.all = total;
        if own == 0 {
            kept.namespaces.remove(&self.namespace);
        } else {
            kept.namespaces.insert(self.namespace.clone(), own);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // A smaller size is never refused.
        let _ = self.resize(0);
    }
}

/// Bytes of a list of engines. They count for the limits of lists and for those of everything.
#[derive(Debug)]
pub struct ListReservation {
    list: Reservation,
    whole: Reservation,
}

impl ListReservation {
    /// Changes the size, as [`Reservation::resize`] does.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let before = self.list.bytes;
        self.list.resize(bytes)?;
        self.whole.resize(bytes).or_else(|over| self.list.resize(before).and(Err(over)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn budget() -> Budget {
        Budget::new(Limits { namespace: 600 * KIB, all: 1000 * KIB })
    }

    #[test]
    fn only_the_namespace_over_its_limit_is_refused() {
        let budget = budget();
        let mut first = budget.reserve("a", 500 * KIB).unwrap();
        assert_eq!(budget.reserve("a", 101 * KIB).unwrap_err(), OverBudget::Namespace);
        assert_eq!(first.resize(601 * KIB), Err(OverBudget::Namespace));
        let second = budget.reserve("a", 100 * KIB).unwrap();
        let other = budget.reserve("b", 400 * KIB).unwrap();
        assert_eq!(budget.used(), Use { all: 1000 * KIB, largest: 600 * KIB });
        drop((first, second));
        assert_eq!(budget.used(), Use { all: 400 * KIB, largest: 400 * KIB });
        drop(other);
        assert_eq!(budget.used(), Use::default());
        assert!(budget.lock(Part::Whole).namespaces.is_empty(), "a namespace that keeps nothing is forgotten");
    }

    #[test]
    fn each_namespace_has_a_guaranteed_minimum() {
        let budget = budget();
        let _full = (budget.reserve("a", 600 * KIB).unwrap(), budget.reserve("b", 400 * KIB).unwrap());
        assert_eq!(budget.reserve("b", 1).unwrap_err(), OverBudget::All);
        assert_eq!(budget.reserve("c", GUARANTEED + 1).unwrap_err(), OverBudget::All);
        let mut few = budget.reserve("c", 8 * KIB).unwrap();
        assert_eq!(few.resize(GUARANTEED), Ok(()));
        assert_eq!(budget.reserve("c", 1).unwrap_err(), OverBudget::All);
    }

    #[test]
    fn less_is_never_refused() {
        let budget = budget();
        let mut large = budget.reserve("a", 600 * KIB).unwrap();
        let _rest = budget.reserve("b", 400 * KIB).unwrap();
        let _few = budget.reserve("c", GUARANTEED).unwrap();
        assert_eq!((large.resize(599 * KIB), large.resize(600 * KIB)), (Ok(()), Err(OverBudget::All)));
        assert_eq!(budget.used().largest, 599 * KIB, "what was kept before the refusal still is");
    }

    /// In KiB: the limits are 600 for a namespace and 1,000 for all, of it 200 and 333 for lists.
    #[test]
    fn lists_have_a_part_of_each_limit() {
        let budget = budget();
        let mut lists = ["a", "b", "c"].map(|namespace| budget.list(namespace));
        let mut resize = |at: usize, kib: usize| lists[at].resize(kib * KIB).map_err(|over| over.to_string());
        let [namespace, all] = [OverBudget::Namespace, OverBudget::All].map(|over| Err(over.to_string()));
        assert_eq!(
            [resize(0, 201), resize(0, 200), resize(1, 134), resize(1, 133)],
            [namespace.clone(), Ok(()), all, Ok(())]
        );
        assert_eq!([resize(2, 64), resize(2, 0)], [Ok(()), Ok(())], "the guaranteed minimum");
        assert_eq!(budget.used(), Use { all: 333 * KIB, largest: 200 * KIB });
        let others = budget.reserve("a", 400 * KIB).unwrap();
        assert_eq!([resize(0, 100), resize(0, 200)], [Ok(()), Ok(())]);
        let _rest = (resize(0, 100), budget.reserve("a", 100 * KIB).unwrap());
        assert_eq!([resize(0, 101), resize(0, 100)], [namespace, Ok(())], "the limit of everything holds, too");
        assert_eq!(budget.lock(Part::Lists).all, 233 * KIB, "what is refused counts nowhere");
        drop((lists, others));
        assert!(budget.lock(Part::Lists).namespaces.is_empty());
    }

    #[test]
    fn bytes_are_written_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("96Mi", Some(96 * MIB)),
            ("1Gi", Some(1024 * MIB)),
            ("2048Ki", Some(2 * MIB)),
            ("1048576", Some(MIB)),
            ("1048575", None),
            ("1Ki", None),
            ("0", None),
            ("", None),
            ("Mi", None),
            ("+1Mi", None),
            ("-1Mi", None),
            ("1.5Mi", None),
            ("96M", None),
            ("96 Mi", None),
            ("99999999999999999999Mi", None),
            ("18446744073709551615Gi", None),
        ] {
            assert_eq!(text.parse().ok(), bytes.map(Bytes), "{text:?}");
        }
    }
}
