//! What Flux, Helm and Argo CD say of an object, by their own libraries: see `testkit/tools/gitops`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::go_tool;

/// The program that has the libraries.
///
/// # Errors
/// It cannot be built.
pub fn gitops() -> Result<PathBuf> {
    go_tool("gitops", &["."], "gitops")
}

/// What is said of one object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdicts {
    /// kstatus, which Flux and Helm's `--wait` act on: `InProgress`, `Current`, `Failed` or `Terminating`.
    pub kstatus: String,
    /// Argo CD, by a health script.
    pub argo: Health,
    /// Flux, by a Kustomization's healthCheckExprs, which do not look at a deletion.
    pub flux: String,
}

/// What Argo CD says of one object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// One of Argo CD's words.
    pub status: String,
    /// The message beside it.
    pub message: String,
}

/// One process that judges many objects.
pub struct Judge {
    child: Child,
    objects: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    /// Starts it with Argo CD's health script and the expressions of one entry of healthCheckExprs.
    ///
    /// # Errors
    /// It cannot be built or run.
    pub fn start(health_lua: &Path, expressions: &Value) -> Result<Self> {
        let mut child = Command::new(gitops()?)
            .arg("judge")
            .arg(health_lua)
            .arg(expressions.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let objects = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, objects, answers })
    }

    /// What the tools say of this object at this time, in seconds since 1970. Only Argo CD's script has a clock.
    ///
    /// # Errors
    /// A script or an expression failed. No further object can be judged.
    pub fn verdicts(&mut self, object: &Value, at: i64) -> Result<Verdicts> {
        let question = json!({ "object": object, "at": at });
        // Where it has ended, what it wrote before says more than a broken pipe.
        let sent = self.objects.write_all(format!("{question}\n").as_bytes());
        let mut answer = String::new();
        if sent.is_err() || self.answers.read_line(&mut answer)? == 0 {
            let mut why = String::new();
            self.child.stderr.take().context("it has failed before")?.read_to_string(&mut why)?;
            self.child.wait()?;
            bail!("{}", why.trim());
        }
        serde_json::from_str(&answer).map_err(|error| anyhow!("{error}: {answer}"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
