//! What a process needs before it is ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A precondition of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The served CustomResourceDefinition has all fields that the operator needs.
    Definition,
    /// The process holds the Lease or knows its holder.
    Lease,
    /// The account has the rights to work as the leader.
    Rights,
    /// The leader has a complete list of CloudTenants.
    Tenants,
    /// The served CustomResourceDefinition of CloudTenantSets has all fields that the leader needs.
    SetDefinition,
}

/// The readiness of the process for `/readyz`, with the unmet requirements.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<BTreeMap<Requirement, String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([(Requirement::Definition, "starting".to_owned())]))))
    }
}

impl Readiness {
    /// Marks the requirement as met.
    pub fn has(&self, requirement: Requirement) {
        self.lock().remove(&requirement);
    }

    /// Marks the requirement as unmet, for this reason.
    pub fn lacks(&self, requirement: Requirement, why: &str) {
        self.lock().insert(requirement, why.to_owned());
    }

    /// Returns the reasons of all unmet requirements. `None` if all are met.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let lacks = self.lock().values().cloned().collect::<Vec<_>>().join("; ");
        (!lacks.is_empty()).then_some(lacks)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Requirement, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
