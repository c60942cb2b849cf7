//! What one namespace is charged for one cloud.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    budget::{Budget, OverBudget, Reservation},
    openstack::CloudConfig,
};

/// A namespace's charge for a cloud: its session, and the engines' answers if its tenants read them. Each namespace
/// that uses a session pays for it in full, so that none depends on whether another one still does.
#[derive(Debug)]
pub(super) struct Account(Mutex<Charges>);

#[derive(Debug)]
struct Charges {
    session: Reservation,
    engines: Reservation,
    /// Why the engines' last answers are not for this namespace.
    refused: Option<OverBudget>,
}

/// What an entry of clouds.yaml costs while it is in use, besides its session. The certificates are kept once more, in
/// the form that TLS reads.
fn entry_bytes(config: &CloudConfig) -> usize {
    config.kept_bytes() + config.cacert_bytes()
}

impl Account {
    /// An account for an entry, and a session of this size.
    pub(super) fn open(
        budget: &Budget,
        namespace: &str,
        config: &CloudConfig,
        session: usize,
    ) -> Result<Arc<Self>, OverBudget> {
        let session = budget.reserve(namespace, entry_bytes(config) + session)?;
        let engines = budget.reserve(namespace, 0)?;
        Ok(Arc::new(Self(Mutex::new(Charges { session, engines, refused: None }))))
    }

    /// The session has this size now.
    pub(super) fn charge_session(&self, config: &CloudConfig, bytes: usize) -> Result<(), OverBudget> {
        self.lock().session.resize(entry_bytes(config) + bytes)
    }

    /// The engines' answers have this size now. Where the namespace cannot keep them, it pays for none.
    pub(super) fn charge_engines(&self, bytes: usize) -> Result<(), OverBudget> {
        let mut charges = self.lock();
        let charged = charges.engines.resize(bytes);
        charges.refused = charged.err();
        if charges.refused.is_some() {
            charges.engines.resize(0)?;
        }
        charged
    }

    /// Why the engines' last answers are not for this namespace.
    pub(super) fn refused(&self) -> Option<OverBudget> {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Charges> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
