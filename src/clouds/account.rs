//! The charges of one namespace for one cloud.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    budget::{Budget, ListReservation, OverBudget, Reservation},
    openstack::CloudConfig,
};

/// A namespace's charges for a cloud: the session, and the engines' answers if its tenants read them. Each namespace
/// pays in full for a shared session, so that its charge does not depend on the others.
#[derive(Debug)]
pub(super) struct Account(Mutex<Charges>);

#[derive(Debug)]
struct Charges {
    session: Reservation,
    engines: ListReservation,
    /// Why the namespace may not keep the engines' latest answers.
    refused: Option<OverBudget>,
}

/// Returns the size of an entry of clouds.yaml in use, without its session. TLS keeps a second copy of the certificates
/// in its own form, once for all projects of an entry.
fn entry_bytes(config: &CloudConfig) -> usize {
    let certificates = if config.entry().is_some() { 0 } else { config.cacert_bytes() };
    config.kept_bytes() + certificates
}

impl Account {
    /// Opens an account for an entry and a session of this size.
    pub(super) fn open(
        budget: &Budget,
        namespace: &str,
        config: &CloudConfig,
        session: usize,
    ) -> Result<Arc<Self>, OverBudget> {
        let session = budget.reserve(namespace, entry_bytes(config) + session)?;
        let engines = budget.list(namespace);
        Ok(Arc::new(Self(Mutex::new(Charges { session, engines, refused: None }))))
    }

    /// Charges the session's current size.
    pub(super) fn charge_session(&self, config: &CloudConfig, bytes: usize) -> Result<(), OverBudget> {
        self.lock().session.resize(entry_bytes(config) + bytes)
    }

    /// Charges the current size of the engines' answers. If the budget refuses it, the charge is zero.
    pub(super) fn charge_engines(&self, bytes: usize) -> Result<(), OverBudget> {
        let mut charges = self.lock();
        let charged = charges.engines.resize(bytes);
        charges.refused = charged.err();
        if charges.refused.is_some() {
            charges.engines.resize(0)?;
        }
        charged
    }

    /// Returns why the namespace may not keep the engines' latest answers.
    pub(super) fn refused(&self) -> Option<OverBudget> {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Charges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
