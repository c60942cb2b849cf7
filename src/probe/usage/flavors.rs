//! Sums the usage by flavor over all pages, in bounded memory.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::MOST_HOURS;
use crate::observation::FlavorUsage;

/// The maximum number of flavors in the status.
const MOST_SHOWN: usize = 20;

/// The maximum number of flavors that are summed, in the order of Nova's list. A cloud has some dozens.
const MOST_SUMMED: usize = 1000;

/// The maximum number of further flavors that are counted as left out.
const MOST_COUNTED: usize = 10_000;

/// Replaces the flavor of a row without one.
pub(super) const NO_FLAVOR: &str = "(none)";

/// Hours, and the hours of vCPUs, memory (MB) and disk (GB).
pub(super) type Hours = [f64; 4];

/// Sums by flavor.
#[derive(Default)]
pub(super) struct Flavors {
    /// In the order of Nova's list.
    summed: Vec<FlavorUsage>,
    /// By name: its place in `summed`.
    places: HashMap<String, usize>,
    /// Hashes of the names of flavors that are not summed.
    beyond: HashSet<u64>,
}

/// Without the places, which follow from the rest and have no order.
impl fmt::Debug for Flavors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flavors").field("summed", &self.summed).field("beyond", &self.beyond).finish_non_exhaustive()
    }
}

impl Flavors {
    /// Adds the usage of some servers of one flavor.
    pub(super) fn add(&mut self, flavor: &str, servers: u64, hours: Hours) {
        let place = self.places.get(flavor).copied().unwrap_or(self.summed.len());
        if place == self.summed.len() && place < MOST_SUMMED {
            self.places.insert(flavor.to_owned(), place);
            self.summed.push(FlavorUsage { flavor: flavor.to_owned(), ..FlavorUsage::default() });
        }
        let Some(sum) = self.summed.get_mut(place) else {
            // The hash is the same in every process.
            let mut hasher = DefaultHasher::new();
            flavor.hash(&mut hasher);
            self.count(hasher.finish());
            return;
        };
        sum.servers = sum.servers.saturating_add(servers);
        let sums = [&mut sum.server_hours, &mut sum.vcpu_hours, &mut sum.memory_mb_hours, &mut sum.disk_gb_hours];
        for (sum, hours) in sums.into_iter().zip(hours) {
            *sum = (*sum + hours).min(MOST_HOURS);
        }
    }

    fn count(&mut self, hash: u64) {
        if self.beyond.len() < MOST_COUNTED {
            self.beyond.insert(hash);
        }
    }

    /// Adds the flavors of a further page.
    pub(super) fn merge(&mut self, page: Self) {
        for used in &page.summed {
            let hours = [used.server_hours, used.vcpu_hours, used.memory_mb_hours, used.disk_gb_hours];
            self.add(&used.flavor, used.servers, hours);
        }
        page.beyond.into_iter().for_each(|hash| self.count(hash));
    }

    /// The flavors with the most vCPU-hours, then by name; and the number of flavors that are left out.
    pub(super) fn finish(self) -> (Vec<FlavorUsage>, u32) {
        let mut flavors = self.summed;
        let all = flavors.len().saturating_add(self.beyond.len());
        flavors.sort_by(|a, b| b.vcpu_hours.total_cmp(&a.vcpu_hours).then_with(|| a.flavor.cmp(&b.flavor)));
        flavors.truncate(MOST_SHOWN);
        let omitted = all.saturating_sub(flavors.len());
        (flavors, u32::try_from(omitted).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One server of each flavor, with its hours of vCPUs.
    fn finished<'a>(used: impl IntoIterator<Item = (&'a str, f64)>) -> (Vec<String>, u32) {
        let mut flavors = Flavors::default();
        used.into_iter().for_each(|(flavor, hours)| flavors.add(flavor, 1, [1.0, hours, 0.0, 0.0]));
        let (shown, omitted) = flavors.finish();
        (shown.into_iter().map(|used| format!("{} {}", used.flavor, used.vcpu_hours)).collect(), omitted)
    }

    #[test]
    fn most_vcpu_hours_first_then_by_name() {
        let rows = [("b", 2.0), ("a", 1.0), ("c", 2.0), ("a", 1.0), ("big", 9.0)];
        let (shown, omitted) = finished(rows);
        assert_eq!((shown, omitted), (vec!["big 9".into(), "a 2".into(), "b 2".into(), "c 2".into()], 0));
    }

    /// A line is: flavors | shown | omitted.
    #[test]
    fn twenty_are_shown_and_the_others_counted() {
        for (flavors, shown, omitted) in
            [(0, 0, 0), (20, 20, 0), (21, 20, 1), (1000, 20, 980), (1001, 20, 981), (50_000, 20, 10_980)]
        {
            // Each flavor appears twice, to check that it is counted once.
            let names: Vec<_> = (0..flavors).chain(0..flavors).map(|number| (format!("f{number}"), number)).collect();
            let (names, left) = finished(names.iter().map(|(name, number)| (name.as_str(), f64::from(*number))));
            assert_eq!((names.len(), left), (shown, omitted), "{flavors}");
            if flavors == 21 {
                assert_eq!((names[0].as_str(), names[19].as_str()), ("f20 40", "f1 2"));
            }
        }
    }

    #[test]
    fn pages_are_added() {
        let page = |rows: &[(&str, f64)]| {
            let mut page = Flavors::default();
            rows.iter().for_each(|(flavor, hours)| page.add(flavor, 1, [1.0, *hours, 0.0, 0.0]));
            page
        };
        let mut sum = page(&[("a", 1.0), ("b", 2.0)]);
        sum.merge(page(&[("b", 3.0), ("c", MOST_HOURS)]));
        sum.merge(page(&[("c", MOST_HOURS)]));
        let (flavors, _) = sum.finish();
        let summed: Vec<_> = flavors.iter().map(|used| (used.flavor.as_str(), used.servers, used.vcpu_hours)).collect();
        assert_eq!(summed, [("c", 2, MOST_HOURS), ("b", 2, 5.0), ("a", 1, 1.0)]);
    }
}
