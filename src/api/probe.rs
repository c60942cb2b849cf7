//! The probes, and a type that holds one value for each of them.

use std::{
    array, fmt,
    iter::Zip,
    ops::{Index, IndexMut},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition_type;

/// A probe, as `readyOn` names it.
// `Ready` considers the probes in this order.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Heat's orchestration engines.
    Engines,
    /// The project's cache instances.
    Caches,
    /// The usage of the project's servers.
    Usage,
}

impl ProbeKind {
    /// All probes.
    pub const ALL: [Self; 3] = [Self::Engines, Self::Caches, Self::Usage];

    /// The name in the spec, in the status and in metrics, and the condition type.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Engines => ("engines", condition_type::ENGINES_HEALTHY),
            Self::Caches => ("caches", condition_type::CACHES_HEALTHY),
            Self::Usage => ("usage", condition_type::USAGE_REPORTED),
        }
    }

    /// The name in the spec, in the status and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().0
    }

    /// The type of the probe's condition.
    #[must_use]
    pub const fn condition_type(self) -> &'static str {
        self.names().1
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const COUNT: usize = ProbeKind::ALL.len();

/// One value for each probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByProbe<T>([T; COUNT]);

impl<T> ByProbe<T> {
    /// Computes each probe's value.
    pub fn from_fn(of: impl FnMut(ProbeKind) -> T) -> Self {
        Self(ProbeKind::ALL.map(of))
    }

    /// The values in the order of the probes.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// The values in the order of the probes, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// Computes another value from each.
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> ByProbe<U> {
        ByProbe(self.0.map(of))
    }
}

impl<T> IntoIterator for ByProbe<T> {
    type Item = (ProbeKind, T);
    type IntoIter = Zip<array::IntoIter<ProbeKind, COUNT>, array::IntoIter<T, COUNT>>;

    /// Each probe with its value, in the order of the probes.
    fn into_iter(self) -> Self::IntoIter {
        ProbeKind::ALL.into_iter().zip(self.0)
    }
}

impl<T> Index<ProbeKind> for ByProbe<T> {
    type Output = T;

    fn index(&self, kind: ProbeKind) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ProbeKind> for ByProbe<T> {
    fn index_mut(&mut self, kind: ProbeKind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_has_its_own_value() {
        let mut names = ByProbe::from_fn(ProbeKind::as_str);
        assert!(names.into_iter().all(|(kind, name)| kind.as_str() == name));
        names[ProbeKind::Caches] = "changed";
        for (kind, name) in names {
            assert_eq!(name, if kind == ProbeKind::Caches { "changed" } else { kind.as_str() });
            assert!(condition_type::ALL.contains(&kind.condition_type()), "{kind}");
        }
    }
}
