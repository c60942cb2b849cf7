//! The cloud: an authenticated, bounded GET of the OpenStack services.
//!
//! A [`Session`] holds one user's token and the service catalogue that came with it. Sessions share HTTP clients.
//! TLS needs rustls' process-wide crypto provider, which the program installs before the first session.

mod answer;
pub(crate) mod aside;
mod brake;
mod bundle;
mod catalogue;
mod circuit;
mod clients;
mod clock;
mod config;
mod connector;
mod counters;
mod credential;
mod error;
mod guard;
mod hosts;
mod http;
mod keys;
mod log;
mod lookup;
mod metered;
mod network;
mod pace;
mod places;
mod plain;
pub mod projects;
mod proving;
#[doc(hidden)]
pub mod readers;
pub(crate) mod rows;
mod secret;
pub(crate) mod service;
mod session;
mod signature;
pub(crate) mod stream;
mod time;
mod tls;
mod token;
mod tokens;
pub(crate) mod words;
mod yaml;

pub use answer::Answer;
pub use clock::ClockReading;
pub use config::{CloudConfig, ConfigError, Notes};
pub use counters::{Counters, NoCounters};
pub(crate) use error::listed;
pub use error::{Error, Failure, NoProject, Refusal};
pub use guard::{AddressRule, AddressVerdict, Cidr, CidrError, CloudHost, NoCloudHost, Rules, judge};
pub use network::{Network, NetworkError, ProxyRule};
pub use secret::Secret;
pub use service::Service;
pub use session::{Clock, Endpoint, Session};
pub use signature::{ClockGap, SignatureRefusal};
pub use time::openstack_time;
pub use tls::TlsFault;
pub use token::{Holder, TokenProject, TokenScope};
pub use words::ErrorCode;

pub use crate::trust::Distrust;
