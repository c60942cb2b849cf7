//! What is built: the commit, and its time.

use std::{env, process::Command};

use anyhow::{Context as _, Result};

use crate::compile::Project;

/// The commit of the working directory.
pub struct Commit {
    /// With `-dirty` where files differ from it; nothing outside of a git repository.
    pub revision: Option<String>,
    /// In seconds since 1970: `SOURCE_DATE_EPOCH`, or the commit's own, or 0.
    pub time: i64,
}

impl Commit {
    pub fn read() -> Result<Self> {
        let revision = git(&["rev-parse", "HEAD"]).map(|revision| {
            let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|list| !list.is_empty());
            format!("{revision}{}", if changed { "-dirty" } else { "" })
        });
        let time = env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git(&["log", "-1", "--format=%ct"]));
        let time = time.as_deref().unwrap_or("0").parse().context("SOURCE_DATE_EPOCH")?;
        Ok(Self { revision, time })
    }

    pub fn labels(&self, project: &Project, source: Option<&str>) -> Vec<(&'static str, String)> {
        let labels = [
            ("org.opencontainers.image.title", Some(project.name.clone())),
            ("org.opencontainers.image.description", Some(project.description.clone())),
            ("org.opencontainers.image.version", Some(project.version.clone())),
            ("org.opencontainers.image.licenses", Some(project.license.clone())),
            ("org.opencontainers.image.revision", self.revision.clone()),
            ("org.opencontainers.image.source", source.map(str::to_owned)),
        ];
        labels.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
