//! What a process needs before it is ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a process needs before it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// A CustomResourceDefinition that has all fields which the operator needs.
    Definition,
    /// The Lease, or the knowledge of its holder.
    Lease,
    /// The rights to work as the leader.
    Rights,
    /// A complete list of CloudTenants, for the leader.
    Tenants,
}

/// Whether the process is ready, for `/readyz`, and what is missing otherwise.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<Requirement, String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([(Requirement::Definition, "starting".to_owned())]))))
    }
}

impl Readiness {
    /// The requirement is met.
    pub fn has(&self, requirement: Requirement) {
        self.lock().remove(&requirement);
    }

    /// The requirement is not met, for this reason.
    pub fn lacks(&self, requirement: Requirement, why: &str) {
        self.lock().insert(requirement, why.to_owned());
    }

    /// The reasons of all requirements that are not met, if there are any.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let lacks = self.lock().values().cloned().collect::<Vec<_>>().join("; ");
        (!lacks.is_empty()).then_some(lacks)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Requirement, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
