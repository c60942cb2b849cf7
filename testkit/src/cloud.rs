//! A simulated OpenStack cloud: Keystone, Heat, DCS and Nova over HTTP, each on a port of its own.
//!
//! It answers as the recorded services do, errors included, and a test changes what it answers from.
//! Time inside is its own clock, which a test moves; waits that a client sits through are real.

mod answer;
mod catalogue;
mod dcs;
mod engines;
mod faults;
mod heat;
mod identity;
mod keystone;
mod listener;
mod log;
mod login;
mod microversion;
mod nova;
mod state;
mod tls;
mod usage;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc as std_mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Router, middleware};
pub use dcs::{CacheCounts, Counts};
pub use faults::Fault;
pub use identity::DEMO_PROJECT;
use jiff::{SignedDuration, Timestamp};
use listener::{Command, Port, Serving};
pub use log::RequestSeen;
use state::Shared;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};
pub use usage::Server;

use crate::certificates::Issued;

/// The region that leads somewhere.
pub const REGION: &str = "RegionOne";
/// The id of the project `admin`.
pub const ADMIN_PROJECT: &str = "ec556a52de3448f0b8b5f8fc5ac83529";

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Identity.
    Keystone,
    /// Orchestration.
    Heat,
    /// Distributed cache.
    Dcs,
    /// Compute.
    Nova,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 4] = [Self::Keystone, Self::Heat, Self::Dcs, Self::Nova];

    /// The service's type in catalogues and access rules.
    fn catalogue_type(self) -> &'static str {
        match self {
            Self::Keystone => "identity",
            Self::Heat => "orchestration",
            Self::Dcs => "dcs",
            Self::Nova => "compute",
        }
    }

    fn router(self, shared: Arc<Shared>) -> Router {
        match self {
            Self::Keystone => keystone::router(shared),
            Self::Heat => heat::router(shared),
            Self::Dcs => dcs::router(shared),
            Self::Nova => nova::router(shared),
        }
    }
}

/// The cloud. It runs on a thread of its own, so that it outlives a test's runtime, and stops when dropped.
pub struct SimulatedCloud {
    shared: Arc<Shared>,
    commands: BTreeMap<Service, mpsc::UnboundedSender<Command>>,
    ca_pem: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
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
        let shared = Arc::new(Shared::new(ports.iter().map(base).collect()));

        let mut commands = BTreeMap::new();
        let mut serving = Vec::new();
        for (service, port) in &ports {
            let (sender, receiver) = mpsc::unbounded_channel();
            commands.insert(*service, sender);
            let faults = middleware::from_fn_with_state((*service, shared.clone()), faults::layer);
            let own = self.certificates.get(service).map(tls::acceptor).transpose()?;
            serving.push(Serving {
                address: port.address,
                app: service.router(shared.clone()).layer(faults),
                tls: own.or_else(|| acceptor.clone()),
                commands: receiver,
            });
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("simulated-cloud".to_owned()).spawn(move || {
            let _ports = ports;
            runtime.block_on(async move {
                for service in serving {
                    tokio::spawn(service.run());
                }
                let _ = stopped.await;
            });
        })?;
        let cloud = SimulatedCloud { shared, commands, ca_pem, stop: Some(stop), thread: Some(thread) };
        for service in Service::ALL {
            cloud.switch(service, true).with_context(|| format!("starting {service:?}"))?;
        }
        Ok(cloud)
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

    /// A `clouds.yaml` with one cloud: the operator's password, scoped to the project `admin`.
    #[must_use]
    pub fn clouds_yaml(&self, cloud_name: &str) -> String {
        let state = self.shared.lock();
        let user = &state.identity.users[0];
        self.yaml(
            cloud_name,
            "password",
            &[
                ("username", &user.name),
                ("password", &user.password),
                ("user_domain_name", "Default"),
                ("project_name", "admin"),
                ("project_domain_name", "Default"),
            ],
        )
    }

    /// A `clouds.yaml` with one cloud: the password of this user, for a scope that is no project.
    fn yaml_of_user(&self, cloud_name: &str, user: usize, scope: (&str, &str)) -> String {
        let state = self.shared.lock();
        let user = &state.identity.users[user];
        let login = [("username", user.name.as_str()), ("password", &user.password), ("user_domain_name", "Default")];
        self.yaml(cloud_name, "password", &[&login[..], &[scope]].concat())
    }

    /// An entry of a `clouds.yaml`, to be put behind [`Self::clouds_yaml`]: the operator's password, for the whole
    /// system.
    #[must_use]
    pub fn system_entry(&self, cloud_name: &str) -> String {
        self.yaml_of_user(cloud_name, 0, ("system_scope", "all")).replacen("clouds:\n", "", 1)
    }

    /// A `clouds.yaml` with one cloud: the password of the user `demo`, by a trust of the operator's.
    #[must_use]
    pub fn clouds_yaml_trust(&self, cloud_name: &str, trust: &str) -> String {
        self.yaml_of_user(cloud_name, 1, ("trust_id", trust))
    }

    /// A `clouds.yaml` with one cloud: the operator's password, for the domain `default`.
    #[must_use]
    pub fn clouds_yaml_domain(&self, cloud_name: &str) -> String {
        self.yaml_of_user(cloud_name, 0, ("domain_id", "default"))
    }

    /// A `clouds.yaml` with one cloud: a token that the operator was given.
    #[must_use]
    pub fn clouds_yaml_token(&self, cloud_name: &str) -> String {
        let token = self.issue_token();
        let auth = [("token", token.as_str()), ("project_id", ADMIN_PROJECT)];
        self.yaml(cloud_name, "v3token", &auth)
    }

    /// A `clouds.yaml` with one cloud: the operator's application credential.
    #[must_use]
    pub fn clouds_yaml_application_credential(&self, cloud_name: &str) -> String {
        let (id, secret) = identity::APPLICATION_CREDENTIAL;
        let auth = [("application_credential_id", id), ("application_credential_secret", secret)];
        self.yaml(cloud_name, "v3applicationcredential", &auth)
    }

    fn yaml(&self, cloud_name: &str, auth_type: &str, auth: &[(&str, &str)]) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut yaml = format!("clouds:\n  {}:\n    auth_type: {auth_type}\n    auth:\n", quoted(cloud_name));
        yaml.push_str(&format!("      auth_url: {}\n", quoted(&self.auth_url())));
        for (key, value) in auth {
            yaml.push_str(&format!("      {key}: {}\n", quoted(value)));
        }
        yaml.push_str(&format!("    region_name: {REGION}\n"));
        yaml
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
        if let Err(error) = self.switch(service, open) {
            tracing::error!(?service, open, %error, "the simulated cloud's port cannot be switched");
        }
    }

    /// Opens or closes a service's port, and waits until that is done.
    fn switch(&self, service: Service, open: bool) -> Result<()> {
        let (done, waiting) = std_mpsc::channel();
        let commands = self.commands.get(&service).context("no such service")?;
        commands.send(Command { open, done }).ok().context("the service has ended")?;
        waiting.recv().context("the port is not to be had")
    }
}

impl Drop for SimulatedCloud {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
