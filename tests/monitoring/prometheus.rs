//! Prometheus' own programs: promtool, and a server that scrapes an operator.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use testkit::tools::PrometheusPrograms;
use tokio::time;

/// The longest that it may take to start, or to see what it scrapes.
pub const SOON: Duration = Duration::from_secs(90);

/// Whether promtool takes it, and all that it says.
pub fn promtool(programs: &PrometheusPrograms, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(&programs.promtool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// What Prometheus does with a label of the operator that it gives to the target itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// It keeps the operator's, as `honorLabels` asks for.
    Honoured,
    /// It writes its own over it, whatever `honorLabels` says.
    Overwritten,
}

/// A running server; killed when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    client: reqwest::Client,
    directory: TempDir,
}

impl Prometheus {
    /// Scrapes the operators every second as a ServiceMonitor would, and reads the rules.
    pub async fn start(programs: &PrometheusPrograms, operators: &[SocketAddr], rules: &Path, labels: Labels) -> Self {
        // reqwest is built without a provider of its own; another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::Builder::new().prefix("prometheus-").tempdir().unwrap();
        let targets: Vec<_> = operators.iter().map(ToString::to_string).collect();
        let config = serde_json::json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "cloudtenant-operator",
                "honor_labels": labels == Labels::Honoured,
                "static_configs": [{
                    "targets": targets,
                    "labels": { "namespace": "cloudtenant-system", "service": "cloudtenant-operator" },
                }],
            }],
        });
        // JSON is YAML.
        let file = directory.path().join("prometheus.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        // Freed for Prometheus, which cannot choose one itself. Somebody else could take it: then it does not start.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(&programs.prometheus)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, address, client: reqwest::Client::new(), directory };
        let began = Instant::now();
        while !server.ready().await {
            assert!(server.child.try_wait().unwrap().is_none() && began.elapsed() < SOON, "{}", server.log());
            time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    async fn ready(&self) -> bool {
        let answer = self.client.get(format!("http://{}/-/ready", self.address)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The series that a query has now.
    ///
    /// # Errors
    /// Prometheus refuses it.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let data = self.api("query", &[("query", query)]).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The series of a query, once they are as wanted; as they last were if that takes too long.
    pub async fn until(&self, query: &str, wanted: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>, String> {
        let began = Instant::now();
        loop {
            let series = self.query(query).await?;
            if wanted(&series) || began.elapsed() > SOON {
                return Ok(series);
            }
            time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The rules, with how each of them is.
    pub async fn rules(&self) -> Vec<Value> {
        let data = self.api("rules", &[]).await.unwrap();
        let groups = data["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    async fn api(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.client.get(format!("http://{}/api/v1/{path}", self.address)).query(query);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"].clone()),
            _ => Err(answer["error"].as_str().unwrap_or("no answer").to_owned()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Prometheus' log:\n{}", self.log());
        }
    }
}

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
