//! A real control plane: etcd and kube-apiserver, in processes of their own, on 127.0.0.1.
//!
//! Nothing is simulated: validation, RBAC, server-side apply, watches and conflicts are Kubernetes'
//! own. There are no nodes and no controllers: no garbage collection, no default ServiceAccounts, and a
//! Namespace that is deleted stays, terminating.
//!
//! Share one in a test binary ([`ControlPlane::shared`]) and give each test a [namespace] of its own.
//! Nothing is left behind, however the process ends.
//!
//! [namespace]: ControlPlane::namespace

mod credentials;
mod flags;
mod kubectl;
mod metrics;
mod pki;
mod process;
pub mod wait;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
    config::Kubeconfig,
};
use programs::assets::Assets;
use tempfile::TempDir;
use tokio::{sync::OnceCell, task, time};

pub(crate) use self::{credentials::write as write_kubeconfig, process::supervised};
use self::{
    flags::Ports,
    process::{Exited, OnKill, Process},
};
pub use self::{kubectl::Output, metrics::ApiServerMetrics};

const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// The administrator's kubeconfig, in the control plane's directory.
const KUBECONFIG: &str = "kubeconfig";

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
        })
    }
}

/// A running control plane. It stops when dropped, or when this process ends.
// Fields are dropped in this order: the API server must not see its store vanish, and etcd's end is
// the directory's, too.
pub struct ControlPlane {
    api_server: Mutex<Process>,
    etcd: Mutex<Process>,
    directory: TempDir,
    assets: Arc<Assets>,
    admin: Kubeconfig,
}

impl ControlPlane {
    /// Starts a control plane, and returns when it is ready.
    ///
    /// # Errors
    /// There are no binaries, or they do not start: the error has the end of the log.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with more flags for the API server: a feature gate, say.
    ///
    /// # Errors
    /// As [`ControlPlane::start`]; or the API server does not know a flag.
    pub async fn start_with(flags: &[&str]) -> Result<Self> {
        // Fails if somebody has installed one already, which is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let assets = Arc::new(task::spawn_blocking(Assets::find_or_build).await??);
        match Self::start_on(Ports::free()?, &assets, flags).await {
            Err(error) if lost_its_port(&error) => Self::start_on(Ports::free()?, &assets, flags).await,
            result => result,
        }
    }

    /// The control plane of this process, started for the first who asks. It is never dropped, and
    /// ends with the process.
    ///
    /// # Errors
    /// It did not start. It will not be tried again: every test gets the same error, at once.
    pub async fn shared() -> Result<&'static Self> {
        // No client is kept here: it would be bound to the runtime of the first test, which ends with it.
        static SHARED: OnceCell<Result<ControlPlane>> = OnceCell::const_new();
        let started = SHARED.get_or_init(Self::start).await;
        started.as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    async fn start_on(ports: Ports, assets: &Arc<Assets>, flags: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("testkit-control-plane-").tempdir()?;
        let path = directory.path();
        // etcd first: while it starts, there is time for the certificates.
        let etcd =
            Process::spawn(Component::Etcd, &assets.etcd, &flags::etcd(path, ports), path, OnKill::RemoveDirectory)?;
        let credentials = pki::issue(path)?;
        let admin = credentials::admin_kubeconfig(ports.api_server, &credentials);
        credentials::write(&admin, &path.join(KUBECONFIG))?;
        let api_server = Process::spawn(
            Component::ApiServer,
            &assets.kube_apiserver,
            &[flags::kube_apiserver(path, ports), flags.iter().map(|flag| (*flag).to_owned()).collect()].concat(),
            path,
            OnKill::KeepDirectory,
        )?;
        let (api_server, etcd) = (Mutex::new(api_server), Mutex::new(etcd));
        let control_plane = Self { api_server, etcd, directory, assets: Arc::clone(assets), admin };
        control_plane.wait_until_ready().await?;
        Ok(control_plane)
    }

    async fn wait_until_ready(&self) -> Result<()> {
        const ONE_ANSWER: Duration = Duration::from_secs(5);
        let client = self.client().await?;
        let started = Instant::now();
        loop {
            let answer = time::timeout(ONE_ANSWER, is_ready(&client)).await;
            let error = match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("no answer"),
            };
            self.process(Component::Etcd).check_running()?;
            self.process(Component::ApiServer).check_running()?;
            if started.elapsed() > READY_TIMEOUT {
                bail!("the API server is not ready after {READY_TIMEOUT:?}: {error:#}");
            }
            time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates a namespace that no other test has, and returns its name.
    ///
    /// # Errors
    /// The API server does not accept `prefix` as the beginning of a name.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..Default::default() },
            ..Default::default()
        };
        let created = Api::all(self.client().await?)
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("create a namespace {prefix}-…"))?;
        Ok(created.name_any())
    }

    /// Everything that a component has written to its log.
    #[must_use]
    pub fn log(&self, component: Component) -> String {
        self.process(component).log()
    }

    /// A component's process id: to measure it, or to stop it for a while.
    ///
    /// # Errors
    /// The component has ended, and its directory with it.
    pub fn pid(&self, component: Component) -> Result<u32> {
        self.process(component).pid()
    }

    /// Kills a component with SIGKILL, starts it again after this time, and returns when the control plane is ready.
    ///
    /// # Errors
    /// The component does not start again.
    pub async fn restart(&self, component: Component, after: Duration) -> Result<()> {
        self.process(component).kill()?;
        time::sleep(after).await;
        self.process(component).start_again()?;
        self.wait_until_ready().await
    }

    /// The directory with the control plane's data, logs and keys. It goes when the control plane goes.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The administrator's kubeconfig, for programs that run beside.
    #[must_use]
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.directory().join(KUBECONFIG)
    }

    /// The programs that it was made from.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// Stops the control plane, and returns when its processes and its directory are gone.
    pub fn stop(self) {
        drop(self);
    }

    fn process(&self, component: Component) -> MutexGuard<'_, Process> {
        let process = match component {
            Component::Etcd => &self.etcd,
            Component::ApiServer => &self.api_server,
        };
        process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost_its_port(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Exited>().is_some_and(Exited::for_want_of_its_port)
}

async fn is_ready(client: &Client) -> Result<()> {
    client.request_text(get("/readyz")?).await?;
    Ok(())
}

fn get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn recognizes_that_a_port_was_taken() {
        let assets = Arc::new(Assets::find_or_build().unwrap());
        let ports = Ports::free().unwrap();
        for port in [ports.api_server, ports.etcd_clients, ports.etcd_peers] {
            let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
            let error = ControlPlane::start_on(ports, &assets, &[]).await.err();
            let error = error.expect("two servers cannot have the same port");
            assert!(lost_its_port(&error), "{error:#}");
        }
    }
}
