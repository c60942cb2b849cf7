//! What has to be done on the machine, outside of the node's network: programs, the image, and the node itself.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use testkit::{assets::Assets, tools};

use crate::{
    INSIDE,
    calls::{ask, call},
    openstack,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Brings everything up, plays the scenes in the node's network by this same program, and takes everything down.
pub fn run(wanted: &[String]) -> Result<bool> {
    suits()?;
    let directory = directory();
    fs::create_dir_all(&directory)?;
    let path = timed("programs", programs)?;
    timed("packages", || {
        call(&mut lab("packages", &path))?;
        call(Command::new(openstack::script("up")).arg("--packages").env("LAB_DIR", openstack::directory()))
    })?;
    let image = timed("image", || image(&directory))?;
    println!("{image}");
    timed("node", || call(lab("up", &path).args([directory.join("pause.tar"), directory.join("image.tar")])))?;
    let played = Command::new(Path::new(ROOT).join("tests/node/lab/in"))
        .arg(env::current_exe()?)
        .args(wanted)
        .env("LAB_DIR", &directory)
        .env("PATH", &path)
        .env(INSIDE, "1")
        .env("NODE_IMAGE", &image)
        .status();
    if env::var_os("NODE_KEEP").is_some() {
        println!("node: everything goes on, as NODE_KEEP asks; tests/node/lab/in COMMAND runs in it");
    } else {
        timed("end", || {
            call(&mut openstack::command("down"))?;
            call(&mut lab("down", &path))
        })?;
    }
    Ok(played?.success())
}

fn suits() -> Result<()> {
    ensure!(call(Command::new("id").arg("-u"))? == "0", "it needs root");
    ensure!(ask(Command::new("apt-get").arg("--version")).is_ok_and(|said| said.well), "it needs Debian's apt");
    let said = ask(Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]))?;
    ensure!(said.well, "it needs namespaces of its own: {}", said.text);
    Ok(())
}

/// Where the node keeps its data.
pub fn directory() -> PathBuf {
    env::var_os("LAB_DIR").map_or_else(|| Path::new(ROOT).join("target/node"), PathBuf::from)
}

fn lab(script: &str, path: &OsString) -> Command {
    let mut command = Command::new(Path::new(ROOT).join("tests/node/lab").join(script));
    command.env("LAB_DIR", directory()).env("PATH", path);
    command
}

/// The programs' directories, as a PATH.
fn programs() -> Result<OsString> {
    let assets = Assets::find_or_build()?;
    let parent = |program: PathBuf| program.parent().map(Path::to_owned).context("a program is in no directory");
    let ours = [parent(assets.kubectl)?, tools::node()?, parent(tools::coredns()?)?, parent(tools::helm()?)?];
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(ours.into_iter().chain(env::split_paths(&path)))?)
}

/// Builds the operator's image and the one that holds a Pod's namespaces. Returns what is said of the first.
fn image(directory: &Path) -> Result<String> {
    let pause = directory.join("pause");
    let source = Path::new(ROOT).join("tests/node/lab/pause.c");
    call(Command::new("cc").args(["-static", "-Os", "-s", "-o"]).args([&pause, &source]))?;
    let cargo = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["run", "--quiet", "--locked", "--package", "image", "--"]).current_dir(ROOT);
        cargo
    };
    let out = directory.join("pause.tar");
    call(cargo().args(["pack", "--name", "localhost/pause:1", "--binary"]).arg(pause).arg("--out").arg(out))?;
    let said = call(cargo().args(["build", "--out"]).arg(directory.join("image.tar")))?;
    let ours = |line: &&str| ["name ", "digest ", "size "].iter().any(|word| line.starts_with(word));
    let lines = said.lines().filter(ours);
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = work().with_context(|| what.to_owned());
    println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    done
}
