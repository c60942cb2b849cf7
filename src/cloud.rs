//! The cloud: an authenticated, bounded GET of the OpenStack services.
//!
//! A [`Session`] holds one user's token and the service catalogue that came with it. Sessions share HTTP clients.
//! TLS needs rustls' process-wide crypto provider, which the program installs before the first session.

mod answer;
pub(crate) mod aside;
mod bundle;
mod catalogue;
mod clients;
mod config;
mod credential;
mod error;
mod http;
mod keys;
mod log;
mod network;
mod places;
#[doc(hidden)]
pub mod readers;
pub(crate) mod rows;
mod secret;
mod session;
mod tls;
mod token;
mod tokens;
pub(crate) mod words;
mod yaml;

use std::fmt;

pub use answer::Answer;
pub use config::{CloudConfig, ConfigError, Notes};
pub(crate) use error::listed;
pub use error::{Error, Failure, NoProject, Refusal};
pub use network::{Network, NetworkError, ProxyRule};
pub use secret::Secret;
pub use session::{Clock, Endpoint, Session};
pub use tls::TlsFault;
pub use token::{Holder, TokenProject, TokenScope};
pub use words::ErrorCode;

pub use crate::trust::Distrust;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Keystone: logins, and questions about projects.
    Identity,
    /// Heat.
    Orchestration,
    /// The Distributed Cache Service, of catalogue type `dcs`.
    Cache,
    /// Nova.
    Compute,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 4] = [Service::Identity, Service::Orchestration, Service::Cache, Service::Compute];

    /// The services that the probes ask, at addresses of the catalogue. Keystone is asked at `auth_url`.
    pub const PROBED: [Service; 3] = [Service::Orchestration, Service::Cache, Service::Compute];

    /// The service as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Orchestration => "orchestration",
            Service::Cache => "cache",
            Service::Compute => "compute",
        }
    }
}

/// The name that people know it by.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Identity => "Keystone",
            Service::Orchestration => "Heat",
            Service::Cache => "DCS",
            Service::Compute => "Nova",
        })
    }
}
