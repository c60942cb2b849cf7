//! Programs of other versions and other places, for those who do not need the pinned version.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The minor versions of Kubernetes that the operator supports.
const MINORS: std::ops::RangeInclusive<u32> = 31..=37;
/// The oldest etcd that one of them is released with.
const ETCD: (u32, u32) = (3, 5);

/// The directories `VERSION-OS-ARCH` of `setup-envtest`'s store with a supported version, the newest first.
pub(crate) fn directories(store: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(store).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = version(name.strip_suffix(suffix)?)?;
            is_supported(version).then(|| (version, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// The program of `PATH`, if its version is supported.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let file = env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())?;
    let arguments: &[&str] = if name == "kubectl" { &["version", "--client"] } else { &["--version"] };
    let output = Command::new(&file).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    suits(name, &String::from_utf8_lossy(&output.stdout)).then_some(file)
}

/// Whether the program with this output of `--version` can be used.
fn suits(name: &str, output: &str) -> bool {
    let Some(version) = output.lines().next().and_then(|line| version(line.rsplit(' ').next()?)) else { return false };
    if name == "etcd" { version.0 == ETCD.0 && version >= (ETCD.0, ETCD.1, 0) } else { is_supported(version) }
}

fn is_supported((major, minor, _): (u32, u32, u32)) -> bool {
    major == 1 && MINORS.contains(&minor)
}

/// `1.36.3`, also with a `v` in front and with a suffix such as `-gke.100` or `+k3s1`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.trim().trim_start_matches('v');
    let numbers = text.split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn versions_that_the_operator_supports_are_used() {
        for (name, output, expected) in [
            ("kube-apiserver", "Kubernetes v1.36.3\n", true),
            ("kube-apiserver", "Kubernetes v1.31.14\n", true),
            ("kube-apiserver", "Kubernetes v1.37.2-rc.1+abc\n", true),
            ("kube-apiserver", "Kubernetes v1.30.9\n", false),
            ("kube-apiserver", "Kubernetes v1.38.0\n", false),
            ("kube-apiserver", "Kubernetes v0.0.0-master+$Format:%H$\n", false),
            ("kubectl", "Client Version: v1.34.1\nKustomize Version: v5.7.1\n", true),
            ("kubectl", "Client Version: v1.20.0\n", false),
            ("etcd", "etcd Version: 3.5.21\nGit SHA: a17edfd\nGo Version: go1.23.7\n", true),
            ("etcd", "etcd Version: 3.6.4\n", true),
            ("etcd", "etcd Version: 3.4.27\n", false),
            ("etcd", "", false),
            ("kubectl", "not a version\n", false),
        ] {
            assert_eq!(suits(name, output), expected, "{name}: {output}");
        }
    }

    #[test]
    fn the_newest_supported_directory_of_this_machine_is_first() {
        let store = tempfile::tempdir().unwrap();
        for name in ["1.31.0-linux-amd64", "1.34.1-linux-amd64", "1.4.0-linux-amd64", "1.35.0-linux-arm64", "odd"] {
            fs::create_dir(store.path().join(name)).unwrap();
        }
        let names: Vec<_> = directories(store.path(), "-linux-amd64")
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["1.34.1-linux-amd64", "1.31.0-linux-amd64"]);
        assert!(directories(&store.path().join("missing"), "-linux-amd64").is_empty());
    }
}
