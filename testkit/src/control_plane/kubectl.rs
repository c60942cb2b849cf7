//! The real `kubectl`, and what is easiest done with it.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    runtime::{conditions::is_crd_established, wait::Condition},
};
use tokio::{io::AsyncWriteExt, process::Command, time};

use super::{ControlPlane, wait};

const CRD_TIMEOUT: Duration = Duration::from_secs(30);

/// What a run of `kubectl` came to.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status.
    pub status: ExitStatus,
    /// Everything written to standard output.
    pub stdout: String,
    /// Everything written to standard error.
    pub stderr: String,
}

impl ControlPlane {
    /// Runs `kubectl` as the administrator. A failure of the command itself is a status, not an error.
    ///
    /// # Errors
    /// `kubectl` cannot be run.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_stdin(args, "").await
    }

    /// Runs `kubectl` as the administrator, with something on its standard input.
    ///
    /// # Errors
    /// `kubectl` cannot be run.
    pub async fn kubectl_stdin(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut child = Command::new(&self.assets.kubectl)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig_path())
            // Neither the user's preferences nor their cache belong in a test.
            .env("KUBERC", "off")
            .env("KUBECACHEDIR", self.directory().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("run {}", self.assets.kubectl.display()))?;
        let pipe = child.stdin.take();
        let feed = async {
            if let Some(mut pipe) = pipe {
                // kubectl may fail before it has read everything: its own message says more.
                let _ = pipe.write_all(stdin.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output?;
        Ok(Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Server-side apply of YAML with any number of documents of any kinds. `namespace` is for objects
    /// that name none.
    ///
    /// # Errors
    /// The API server refused an object: the error has its message.
    pub async fn apply_yaml(&self, namespace: Option<&str>, yaml: &str) -> Result<()> {
        self.apply(namespace, yaml).await.map(drop)
    }

    /// Applies CustomResourceDefinitions, and waits until their objects can be read.
    ///
    /// Until a definition is two seconds old, the API server delays the creation of its objects by POST
    /// by two seconds; server-side apply it serves at once.
    ///
    /// # Errors
    /// The API server refused a definition, or does not serve it in time.
    pub async fn apply_crds(&self, yaml: &str) -> Result<()> {
        let applied = self.apply(None, yaml).await?;
        let client = self.client().await?;
        let kind = "customresourcedefinition.apiextensions.k8s.io/";
        for name in applied.lines().filter_map(|line| line.strip_prefix(kind)) {
            let crds = Api::<CustomResourceDefinition>::all(client.clone());
            let crd = wait::until(crds, name, "is established", CRD_TIMEOUT, |crd| {
                is_crd_established().matches_object(Some(crd))
            })
            .await?;
            wait_until_served(&client, &crd).await?;
        }
        Ok(())
    }

    /// Returns what was applied, as lines of `kind.group/name`.
    async fn apply(&self, namespace: Option<&str>, yaml: &str) -> Result<String> {
        let mut args = vec!["apply", "--server-side", "--force-conflicts"];
        args.extend(["--field-manager=testkit", "--output=name", "--filename=-"]);
        if let Some(namespace) = namespace {
            args.extend(["--namespace", namespace]);
        }
        let output = self.kubectl_stdin(&args, yaml).await?;
        if !output.status.success() {
            bail!("kubectl apply: {}", output.stderr.trim());
        }
        Ok(output.stdout)
    }
}

/// The condition `Established` comes a moment before the paths are there, and the description of the objects, which
/// `kubectl explain` and kubectl's own validation read, after them.
async fn wait_until_served(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let objects = format!("/apis/{group}/{}/{plural}?limit=1", version.name);
        let description = format!("/openapi/v3/apis/{group}/{}", version.name);
        for path in [objects, description] {
            wait_until_found(client, &path).await?;
        }
    }
    Ok(())
}

async fn wait_until_found(client: &Client, path: &str) -> Result<()> {
    let found = async {
        while let Err(error) = client.request_text(super::get(path)?).await {
            match error {
                kube::Error::Api(status) if status.code == 404 || status.code == 503 => {
                    time::sleep(Duration::from_millis(20)).await;
                }
                other => return Err(other.into()),
            }
        }
        Ok(())
    };
    time::timeout(CRD_TIMEOUT, found)
        .await
        .unwrap_or_else(|_| bail!("not served in {CRD_TIMEOUT:?}"))
        .with_context(|| format!("wait for {path}"))
}
