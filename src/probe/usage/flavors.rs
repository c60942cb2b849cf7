//! Sums the usage by flavor over all pages, in bounded memory.

use std::{
    collections::{BTreeMap, HashSet},
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

/// Sums by flavor.
#[derive(Debug, Default)]
pub(super) struct Flavors {
    summed: BTreeMap<String, FlavorUsage>,
    /// Hashes of the names of flavors that are not summed.
    beyond: HashSet<u64>,
}

impl Flavors {
    /// Adds the usage of one server, or of several of one flavor.
    pub(super) fn add(&mut self, used: FlavorUsage) {
        if let Some(sum) = self.summed.get_mut(&used.flavor) {
            sum.servers = sum.servers.saturating_add(used.servers);
            for (sum, used) in [
                (&mut sum.server_hours, used.server_hours),
                (&mut sum.vcpu_hours, used.vcpu_hours),
                (&mut sum.memory_mb_hours, used.memory_mb_hours),
                (&mut sum.disk_gb_hours, used.disk_gb_hours),
            ] {
                *sum = (*sum + used).min(MOST_HOURS);
            }
        } else if self.summed.len() < MOST_SUMMED {
            self.summed.insert(used.flavor.clone(), used);
        } else {
            // The hash is the same in every process.
            let mut hasher = DefaultHasher::new();
            used.flavor.hash(&mut hasher);
            self.count(hasher.finish());
        }
    }

    fn count(&mut self, hash: u64) {
        if self.beyond.len() < MOST_COUNTED {
            self.beyond.insert(hash);
        }
    }

    /// Adds the flavors of a further page.
    pub(super) fn merge(&mut self, page: Self) {
        page.summed.into_values().for_each(|used| self.add(used));
        page.beyond.into_iter().for_each(|hash| self.count(hash));
    }

    /// The flavors with the most vCPU-hours, then by name; and the number of flavors that are left out.
    pub(super) fn finish(self) -> (Vec<FlavorUsage>, u32) {
        let mut flavors: Vec<_> = self.summed.into_values().collect();
        let all = flavors.len().saturating_add(self.beyond.len());
        // The list is already sorted by name, and the sort is stable.
        flavors.sort_by(|a, b| b.vcpu_hours.total_cmp(&a.vcpu_hours));
        flavors.truncate(MOST_SHOWN);
        let omitted = all.saturating_sub(flavors.len());
        (flavors, u32::try_from(omitted).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(flavor: &str, vcpu_hours: f64) -> FlavorUsage {
        FlavorUsage { flavor: flavor.to_owned(), servers: 1, server_hours: 1.0, vcpu_hours, ..FlavorUsage::default() }
    }

    fn finished(used: impl IntoIterator<Item = FlavorUsage>) -> (Vec<String>, u32) {
        let mut flavors = Flavors::default();
        used.into_iter().for_each(|used| flavors.add(used));
        let (shown, omitted) = flavors.finish();
        (shown.into_iter().map(|used| format!("{} {}", used.flavor, used.vcpu_hours)).collect(), omitted)
    }

    #[test]
    fn most_vcpu_hours_first_then_by_name() {
        let rows = [("b", 2.0), ("a", 1.0), ("c", 2.0), ("a", 1.0), ("big", 9.0)];
        let (shown, omitted) = finished(rows.map(|(flavor, hours)| used(flavor, hours)));
        assert_eq!((shown, omitted), (vec!["big 9".into(), "a 2".into(), "b 2".into(), "c 2".into()], 0));
    }

    /// A line is: flavors | shown | omitted.
    #[test]
    fn twenty_are_shown_and_the_others_counted() {
        for (flavors, shown, omitted) in
            [(0, 0, 0), (20, 20, 0), (21, 20, 1), (1000, 20, 980), (1001, 20, 981), (50_000, 20, 10_980)]
        {
            // Each flavor appears twice, to check that it is counted once.
            let rows = (0..flavors).chain(0..flavors).map(|number| used(&format!("f{number}"), f64::from(number)));
            let (names, left) = finished(rows);
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
            rows.iter().for_each(|(flavor, hours)| page.add(used(flavor, *hours)));
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
