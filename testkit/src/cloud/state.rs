//! What the simulated cloud knows.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::cloud::{
    caches::Dcs,
    catalogue::Catalogue,
    clock::Clock,
    engines::Engines,
    faults::Faults,
    identity::Identity,
    log::RequestLog,
    service::{Addresses, Service},
    usage::Nova,
};

/// The state that the services answer from and a test changes.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) addresses: Addresses,
}

impl Shared {
    pub(super) fn new(addresses: Addresses) -> Self {
        let clock = Clock::default();
        let state = State {
            identity: Identity::new(),
            catalogue: Catalogue::new(),
            engines: Engines::new(clock.now()),
            dcs: Dcs::default(),
            nova: Nova::new(),
            faults: Faults::default(),
            log: RequestLog::default(),
            compress: false,
            system_scope_for_engines: false,
            refuses_signatures: BTreeSet::new(),
            clock,
        };
        Self { state: Mutex::new(state), addresses }
    }

    /// The state; a test that panicked while it held it harms no other.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn base(&self, service: Service) -> &str {
        self.addresses.of(service)
    }
}

pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) identity: Identity,
    pub(super) catalogue: Catalogue,
    pub(super) engines: Engines,
    pub(super) dcs: Dcs,
    pub(super) nova: Nova,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
    pub(super) compress: bool,
    /// Heat's policy has `service:index` for admins of the whole system alone.
    pub(super) system_scope_for_engines: bool,
    /// The services without the vendor's gateway.
    pub(super) refuses_signatures: BTreeSet<Service>,
}
