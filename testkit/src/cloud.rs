//! A simulated OpenStack cloud: Keystone, Heat, DCS and Nova over HTTP, each on a port of its own.
//!
//! It answers as the recorded services do, errors included, and a test changes what it answers from.
//! Time inside is its own clock, which a test moves; waits that a client sits through are real.

mod answer;
mod caches;
mod catalogue;
mod clock;
mod controls;
mod dcs;
mod engines;
mod faults;
mod heat;
mod identity;
mod ids;
mod keystone;
mod layer;
mod listener;
mod log;
mod login;
mod microversion;
mod nova;
mod projects;
mod refusal;
mod server;
mod service;
mod signed;
mod state;
mod tls;
mod usage;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

pub use crate::cloud::{
    caches::{CacheCounts, Counts},
    catalogue::REGION,
    faults::Fault,
    identity::{ADMIN_PROJECT, DEMO_PROJECT},
    log::RequestSeen,
    projects::{Listing, Project},
    service::Service,
    usage::Server,
};
use crate::{
    certificates::Issued,
    cloud::{listener::Port, server::Running, service::Addresses, state::Shared},
};

/// The cloud. It runs on a thread of its own, so that it outlives a test's runtime, and stops when dropped.
pub struct SimulatedCloud {
    shared: Arc<Shared>,
    services: Running,
    ca_pem: Option<String>,
}

/// How a cloud is started.
#[derive(Default)]
pub struct Builder {
    tls: bool,
    certificates: BTreeMap<Service, Issued>,
}

impl Builder {
    /// Serves HTTPS with a certificate of an authority of its own.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Serves HTTPS, this service with this certificate.
    #[must_use]
    pub fn certificate(mut self, service: Service, issued: Issued) -> Self {
        self.tls = true;
        self.certificates.insert(service, issued);
        self
    }

    /// Starts the cloud; it listens when this returns.
    ///
    /// # Errors
    /// When a port, a thread or a certificate cannot be had.
    pub async fn start(self) -> Result<SimulatedCloud> {
        let (ca_pem, acceptor) = match self.tls {
            true => tls::authority().map(|(pem, acceptor)| (Some(pem), Some(acceptor)))?,
            false => (None, None),
        };
        let scheme = if self.tls { "https" } else { "http" };
        let mut ports = BTreeMap::new();
        for service in Service::ALL {
            ports.insert(service, Port::reserve()?);
        }
        let base = |(service, port): (&Service, &Port)| (*service, format!("{scheme}://{}", port.address));
        let addresses = Addresses::new(ports.iter().map(base).collect());
        let shared = Arc::new(Shared::new(addresses));
        let mut acceptors = BTreeMap::new();
        for service in Service::ALL {
            let own = self.certificates.get(&service).map(tls::acceptor).transpose()?;
            acceptors.extend(own.or_else(|| acceptor.clone()).map(|acceptor| (service, acceptor)));
        }
        let services = Running::start(&shared, ports, &acceptors)?;
        for service in Service::ALL {
            services.switch(service, true).with_context(|| format!("starting {service:?}"))?;
        }
        Ok(SimulatedCloud { shared, services, ca_pem })
    }
}

impl SimulatedCloud {
    /// Starts a cloud over HTTP.
    ///
    /// # Errors
    /// When a port or a thread cannot be had.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// For a cloud that is not started as [`Self::start`] does.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The certificate authority of a cloud over HTTPS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Keystone's URL, as a `clouds.yaml` has it.
    #[must_use]
    pub fn auth_url(&self) -> String {
        format!("{}/v3", self.shared.base(Service::Keystone))
    }

    /// Scheme, address and port of a service.
    #[must_use]
    pub fn base_url(&self, service: Service) -> &str {
        self.shared.base(service)
    }

    /// The time by the cloud's clock, as its answers tell it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.lock().clock.told()
    }

    /// Moves the cloud's clock on, so that no test waits for tokens to end or engines to be missed.
    pub fn advance(&self, by: Duration) {
        self.shared.lock().clock.advance(by);
    }

    /// Stops the cloud's clock at this time; [`Self::advance`] moves it on. What already happened keeps its times.
    pub fn set_clock(&self, now: Timestamp) {
        self.shared.lock().clock.stop_at(now);
    }

    /// How far every time that the cloud tells is off, the `Date` header's too. Nothing ages by it.
    pub fn set_date_skew(&self, skew: SignedDuration) {
        self.shared.lock().clock.set_skew(skew);
    }

    fn listen(&self, service: Service, open: bool) {
        if let Err(error) = self.services.switch(service, open) {
            tracing::error!(?service, open, %error, "the simulated cloud's port cannot be switched");
        }
    }
}
