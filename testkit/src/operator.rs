//! An operator's program, run in a control plane as it would run in a cluster: as its ServiceAccount.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{Api, api::PostParams, config::Kubeconfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::oneshot, task, time};

use crate::control_plane::{ControlPlane, supervised, write_kubeconfig};

/// How long a program may take until it says where it listens.
const START: Duration = Duration::from_secs(30);

/// A ServiceAccount.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// One thing that somebody may do, as RBAC's rules have it.
#[derive(Debug, Clone, Copy)]
pub struct Right<'a> {
    /// `get`, `list`, …
    pub verb: &'a str,
    /// The API group, empty for the core.
    pub group: &'a str,
    /// The plural, with its subresource where one is meant: `pods/status`.
    pub resource: &'a str,
}

impl ControlPlane {
    /// Whether RBAC lets a ServiceAccount do something in every namespace.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn may(&self, account: Account<'_>, right: Right<'_>) -> Result<bool> {
        let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let Account { namespace, name } = account;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(right.verb.to_owned()),
                    group: Some(right.group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviewed = Api::all(self.client().await?).create(&PostParams::default(), &review).await?;
        Ok(reviewed.status.is_some_and(|status| status.allowed))
    }

    /// Installs an operator: its definitions, the namespace of its account, and its rights. Returns once the last
    /// of them is in force, `right`, as the authorizer learns of them by a watch of its own.
    ///
    /// # Errors
    /// The API server refused an object, or the right does not come into force.
    pub async fn install(&self, crds: &str, rbac: &str, account: Account<'_>, right: Right<'_>) -> Result<()> {
        self.apply_crds(crds).await?;
        let namespace = account.namespace;
        // kubectl 1.32 takes a text that begins with a brace for JSON.
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        self.apply_yaml(None, &namespace).await?;
        self.apply_yaml(None, rbac).await?;
        let in_force = async {
            while !self.may(account, right).await? {
                time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        time::timeout(START, in_force).await.unwrap_or_else(|_| bail!("{account:?} does not get {right:?}"))
    }
}

/// A running operator; killed when dropped, or when this process ends.
pub struct Operator {
    supervisor: Child,
    pid: u32,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Operator {
    /// Runs `program run` as its account, and returns when it listens. `environment` is all that it has besides
    /// `KUBECONFIG` and `ALLOW_CLOUD_CIDR`.
    ///
    /// # Errors
    /// The program cannot be run, or ends: the error has its log.
    pub async fn start(
        control_plane: &ControlPlane,
        program: &Path,
        account: Account<'_>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let kubeconfig = control_plane.kubeconfig_for_service_account(account.namespace, account.name).await?;
        Self::start_with(&kubeconfig, program, environment).await
    }

    /// Runs `program run` with this kubeconfig.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(kubeconfig: &Kubeconfig, program: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("testkit-operator-").tempdir()?;
        let file = directory.path().join("kubeconfig");
        write_kubeconfig(kubeconfig, &file)?;
        let pid_file = directory.path().join("pid");
        let mut supervisor = supervised(&pid_file, directory.path(), program)
            .args(["run", "--listen=127.0.0.1:0", "--log-format=json"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", &file)
            // The simulated cloud is there. `environment` may say otherwise.
            .env("ALLOW_CLOUD_CIDR", "127.0.0.0/8")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", program.display()))?;
        let stderr = supervisor.stderr.take().context("no standard error")?;
        let log = Arc::new(Mutex::new(String::new()));
        let (listens, listening) = oneshot::channel();
        let lines = log.clone();
        thread::Builder::new().name("operator-log".to_owned()).spawn(move || follow(stderr, &lines, listens))?;
        let mut operator =
            Self { supervisor, pid: 0, address: SocketAddr::from(([127, 0, 0, 1], 0)), log, _directory: directory };
        match time::timeout(START, listening).await {
            Ok(Ok(address)) => operator.address = address,
            Ok(Err(_)) => bail!("{} ended:\n{}", program.display(), operator.log()),
            Err(_) => bail!("{} does not say where it listens:\n{}", program.display(), operator.log()),
        }
        operator.pid = fs::read_to_string(&pid_file).context("read the operator's pid")?.trim().parse()?;
        Ok(operator)
    }

    /// Where its metrics are served.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything that it has logged, a line of JSON each.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The status and the body of a page that it serves, such as `/metrics`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(START))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("not an answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not answer, or is not ready in time.
    pub async fn until_ready(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let (status, body) = self.get("/readyz")?;
            if status == 200 {
                return Ok(());
            }
            ensure!(began.elapsed() < START, "/readyz: {status} {body}");
            time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The sum of a metric's series that have all these labels, written as `outcome="ok"`.
    ///
    /// # Errors
    /// It does not serve its metrics.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let (status, text) = self.get("/metrics")?;
        ensure!(status == 200, "/metrics: {status}");
        Ok(sum(&text, name, labels))
    }

    /// Its memory in main storage, in bytes. On Linux.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Sends SIGTERM, and returns how the program ended, and how soon.
    ///
    /// # Errors
    /// It has not ended after half a minute.
    pub async fn terminate(mut self) -> Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        let kill = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status()?;
        ensure!(kill.success(), "the operator had ended before:\n{}", self.log());
        let waiting = task::spawn_blocking(move || {
            let deadline = Instant::now() + START;
            while Instant::now() < deadline {
                if let Some(status) = self.supervisor.try_wait()? {
                    return Ok(status);
                }
                thread::sleep(Duration::from_millis(5));
            }
            bail!("the operator has not ended:\n{}", self.log())
        });
        Ok((waiting.await??, began.elapsed()))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
        if thread::panicking() {
            // The harness shows it with the test that failed.
            eprintln!("the operator's log:\n{}", self.log());
        }
    }
}

/// Keeps the log, and tells the address of the line that says where the operator listens.
fn follow(stderr: ChildStderr, log: &Mutex<String>, listens: oneshot::Sender<SocketAddr>) {
    let mut listens = Some(listens);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let told: Option<SocketAddr> = serde_json::from_str::<Value>(&line)
            .ok()
            .filter(|line| line["message"] == "started")
            .and_then(|line| line["address"].as_str()?.parse().ok());
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&line);
        log.push('\n');
        drop(log);
        if let Some(address) = told
            && let Some(listens) = listens.take()
        {
            let _ = listens.send(address);
        }
    }
}

fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let series = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let wanted = series
        .filter(|(of, _)| (of.is_empty() || of.starts_with('{')) && labels.iter().all(|label| of.contains(label)));
    wanted.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_the_series_that_have_the_labels() {
        let text = concat!(
            "# TYPE passes counter\n",
            "passes_total{outcome=\"ok\",of=\"a\"} 3\n",
            "passes_total{outcome=\"ok\",of=\"b\"} 4\n",
            "passes_total{outcome=\"error\",of=\"a\"} 5\n",
            "passes_total_of_others 100\n",
            "plain 1.5\n",
        );
        assert_eq!(sum(text, "passes_total", &[]), 12.0);
        assert_eq!(sum(text, "passes_total", &["outcome=\"ok\""]), 7.0);
        assert_eq!(sum(text, "passes_total", &["outcome=\"ok\"", "of=\"b\""]), 4.0);
        assert_eq!(sum(text, "plain", &[]), 1.5);
        assert_eq!(sum(text, "none", &[]), 0.0);
    }
}
