//! The lab of tests/openstack, in the node's network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{calls::call, machine};

/// The node's address: Pods reach what listens on it.
pub const ADDRESS: &str = "10.244.255.1";
/// Keystone's port in the lab.
pub const KEYSTONE: u16 = 26000;

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack/lab").join(name)
}

/// Its data: the catalogue in it has addresses of the node, so it is not that of tests/openstack.
pub fn directory() -> PathBuf {
    machine::directory().join("openstack")
}

/// A script of the lab. DCS is a vendor's service: here the catalogue has none.
pub fn command(script_name: &str) -> Command {
    let mut command = Command::new(script(script_name));
    command.env("LAB_DIR", directory()).env("LAB_HOST", ADDRESS).env("LAB_PORT_BASE", KEYSTONE.to_string());
    command.env("DCS_URL", "none");
    command
}

/// Starts what does not run, and has Heat forget engines that are down.
pub fn up() -> Result<()> {
    call(&mut command("up"))?;
    ctl("clean")
}

/// A command of ctl, in words.
pub fn ctl(words: &str) -> Result<()> {
    call(command("ctl").args(words.split(' '))).map(drop)
}

/// clouds.yaml with Keystone under another name than in the lab's own.
pub fn clouds(keystone: &str) -> Result<Value> {
    let mut cloud = read("clouds.yaml")?["clouds"]["operator"].take();
    cloud["auth"]["auth_url"] = json!(format!("http://{keystone}:{KEYSTONE}/v3"));
    Ok(json!({"clouds": {"openstack": cloud}}))
}

/// A user with a role in so many new projects and a token for none of them: its clouds.yaml.
pub fn lister(keystone: &str, projects: u32) -> Result<Value> {
    let url = format!("http://{ADDRESS}:{KEYSTONE}/v3");
    call(command("identity.py").args(["listed", &url]).arg(directory()).arg(projects.to_string()))?;
    let mut clouds = clouds(keystone)?;
    let cloud = &mut clouds["clouds"]["openstack"];
    cloud["auth"] = json!({"auth_url": cloud["auth"]["auth_url"], "username": "lister", "password": "lister-secret",
        "user_domain_name": "Default"});
    Ok(clouds)
}

pub fn project() -> Result<String> {
    Ok(read("projects.json")?["tenant-a"].as_str().context("no such project")?.to_owned())
}

fn read(file: &str) -> Result<Value> {
    let file = directory().join(file);
    Ok(serde_json::from_slice(&fs::read(&file).with_context(|| format!("read {}", file.display()))?)?)
}
