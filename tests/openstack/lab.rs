//! The scripts in lab/.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task;

/// Keystone, Heat and Nova, in processes that outlive this one until [`Lab::down`].
pub struct Lab {
    directory: PathBuf,
    dcs: String,
}

impl Lab {
    /// Starts what is not running. `dcs` becomes the catalogue's DCS.
    pub async fn up(dcs: &str) -> Result<Self> {
        let directory = env::var_os("LAB_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openstack"), PathBuf::from);
        let lab = Self { directory, dcs: dcs.to_owned() };
        lab.heal().await?;
        Ok(lab)
    }

    /// Starts what has died, continues what hangs, mends identities, and lets Heat forget engines that are down.
    pub async fn heal(&self) -> Result<()> {
        self.script("up", &[]).await?;
        self.ctl("clean").await
    }

    pub async fn down(&self) -> Result<()> {
        self.script("down", &[]).await.map(drop)
    }

    /// A command of ctl, in words.
    pub async fn ctl(&self, command: &str) -> Result<()> {
        self.script("ctl", &command.split(' ').collect::<Vec<_>>()).await.map(drop)
    }

    /// A question to the databases, which are all on one server.
    pub async fn sql(&self, query: &str) -> Result<String> {
        Ok(self.script("ctl", &["sql", query]).await?.trim().to_owned())
    }

    /// A command of identity.py, in words.
    pub async fn keystone(&self, command: &str) -> Result<()> {
        let mut words = command.split(' ');
        let url = self.cloud("operator")?["auth"]["auth_url"].as_str().context("no auth_url")?.to_owned();
        let arguments: Vec<_> = words.next().into_iter().chain([url.as_str()]).chain(words).collect();
        self.script("identity.py", &arguments).await.map(drop)
    }

    /// An entry of clouds.yaml.
    pub fn cloud(&self, name: &str) -> Result<Value> {
        Ok(self.read("clouds.yaml")?["clouds"][name].take())
    }

    /// The id of a project.
    pub fn project(&self, name: &str) -> Result<String> {
        Ok(self.read("projects.json")?[name].as_str().context("no such project")?.to_owned())
    }

    /// The user `fleet` and this number of its projects: the entry of clouds.yaml, and the IDs.
    pub async fn fleet(&self, projects: usize) -> Result<(Value, Vec<String>)> {
        let mut entry = self.cloud("operator")?;
        let url = entry["auth"]["auth_url"].as_str().context("no auth_url")?;
        let directory = self.directory.display().to_string();
        self.script("identity.py", &["fleet", url, &directory, &projects.to_string()]).await?;
        entry["auth"]["username"] = "fleet".into();
        entry["auth"]["password"] = "fleet-secret".into();
        Ok((entry, serde_json::from_value(self.read("fleet.json")?)?))
    }

    /// The user `lister` and this number of projects below one of its own, in which it is a reader: the entry of
    /// clouds.yaml, which has no scope, the ID of the project above, and theirs.
    pub async fn listed(&self, projects: usize) -> Result<(Value, String, Vec<String>)> {
        let mut entry = self.cloud("operator")?;
        let url = entry["auth"]["auth_url"].as_str().context("no auth_url")?.to_owned();
        let directory = self.directory.display().to_string();
        self.script("identity.py", &["listed", &url, &directory, &projects.to_string()]).await?;
        entry["auth"] = json!({"auth_url": url, "username": "lister", "password": "lister-secret",
            "user_domain_name": "Default"});
        let mut made = self.read("listed.json")?;
        let parent = made["parent"].as_str().context("no parent")?.to_owned();
        Ok((entry, parent, serde_json::from_value(made["projects"].take())?))
    }

    /// The certificate of the Keystone behind TLS, in PEM.
    pub fn certificate(&self) -> Result<String> {
        let file = self.directory.join("conf/tls.crt");
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    }

    /// Where logs are kept.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    fn read(&self, file: &str) -> Result<Value> {
        let file = self.directory.join(file);
        let text = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    async fn script(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack/lab").join(name));
        command.args(arguments).env("LAB_DIR", &self.directory).env("DCS_URL", &self.dcs).stdin(Stdio::null());
        let called = format!("lab/{name} {}", arguments.join(" "));
        let output = task::spawn_blocking(move || command.output()).await?.with_context(|| called.clone())?;
        ensure!(output.status.success(), "{called}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }
}
