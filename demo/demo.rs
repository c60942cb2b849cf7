//! `cargo run --example demo`: builds the demo and the programs that it needs at the same time, and starts it.
//!
//! This depends on almost nothing, so that it runs a few seconds after the command. `tour` is the demo itself.

mod builds;

use std::{
    env, fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result};
use programs::assets::Assets;

use self::builds::Builds;

/// Processor time in minutes, for the estimate at the start: docs/decisions/0040.
const RUST: usize = 7;
const KUBERNETES: usize = 8;
const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

fn main() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = target_directory().context("cargo's target directory is not known")?;
    let tour = target.join("debug/examples/tour");
    let found = Assets::find_any()?;
    introduce(&found, tour.is_file());
    let assets = Builds::new(&workspace, &target).run()?;
    // testkit takes all programs from one directory.
    let programs = target.join("demo");
    link(&assets, &programs)?;
    // Only returns if it fails.
    Err(Command::new(&tour).args(env::args_os().skip(1)).env("KUBEBUILDER_ASSETS", &programs).exec())
        .with_context(|| format!("run {}", tour.display()))
}

/// The directory above `debug/examples`, where cargo has put this program.
fn target_directory() -> Option<PathBuf> {
    env::current_exe().ok()?.ancestors().nth(3).map(Path::to_owned)
}

/// Says what is going to happen, and how long it takes where that is minutes.
fn introduce(found: &[Option<PathBuf>; 3], compiled: bool) {
    let missing: Vec<_> = NAMES.iter().zip(found).filter(|(_, file)| file.is_none()).map(|(name, _)| *name).collect();
    for (name, file) in NAMES.iter().zip(found) {
        if let Some(file) = file {
            eprintln!("Using {name}: {}", file.display());
        }
    }
    if let Some(text) = estimate(compiled, &missing, thread::available_parallelism().map_or(1, usize::from)) {
        eprintln!("{text}");
    }
}

fn estimate(compiled: bool, missing: &[&str], processors: usize) -> Option<String> {
    let (mut work, mut sum) = (Vec::new(), 0);
    if !compiled {
        work.push(format!("compiles the operator ({RUST} minutes of processor time)"));
        sum += RUST;
    }
    if !missing.is_empty() {
        work.push(format!("builds {} ({KUBERNETES} minutes of processor time)", missing.join(", ")));
        sum += KUBERNETES;
    }
    // More processors do not help: the largest packages take one processor each.
    let minutes = sum.div_ceil(processors.clamp(1, 8));
    let minutes = if minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") };
    let processors = if processors == 1 { "1 processor".to_owned() } else { format!("{processors} processors") };
    (sum > 0).then(|| {
        format!(
            "The first run {}. With {processors} this takes about {minutes}. Later runs start in seconds.",
            work.join(" and ")
        )
    })
}

fn link(assets: &Assets, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for (name, file) in NAMES.iter().zip([&assets.etcd, &assets.kube_apiserver, &assets.kubectl]) {
        let link = directory.join(name);
        // It may not be there yet.
        let _ = fs::remove_file(&link);
        symlink(file, &link).with_context(|| format!("create {}", link.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_names_the_work_and_its_cause() {
        assert_eq!(estimate(true, &[], 2), None);
        for (compiled, missing, processors, expected) in [
            (
                false,
                &NAMES[..],
                2,
                "The first run compiles the operator (7 minutes of processor time) and builds etcd, kube-apiserver, \
                 kubectl (8 minutes of processor time). With 2 processors this takes about 8 minutes. Later runs \
                 start in seconds.",
            ),
            (
                false,
                &[],
                64,
                "The first run compiles the operator (7 minutes of processor time). With 64 processors this takes \
                 about a minute. Later runs start in seconds.",
            ),
            (
                true,
                &NAMES[..2],
                1,
                "The first run builds etcd, kube-apiserver (8 minutes of processor time). With 1 processor this \
                 takes about 8 minutes. Later runs start in seconds.",
            ),
        ] {
            assert_eq!(estimate(compiled, missing, processors).as_deref(), Some(expected));
        }
    }
}
