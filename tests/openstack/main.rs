//! The operator against real OpenStack services: Debian's Keystone, Heat and Nova, a real Kubernetes control plane,
//! and a simulated DCS, which is a vendor's service. docs/openstack-tests.md says how to run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod judge;
mod lab;
mod record;
mod run;
mod scenario;
mod table;
mod world;

use std::{env, process::ExitCode};

use scenario::Scenario;
use world::{MANY_PROJECTS, World};

/// What one run for every change can afford.
const SMOKE: [&str; 2] = ["engine-killed", "tenant-without-servers"];

fn main() -> ExitCode {
    let wanted: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    // Test runners ask for a list first.
    if env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let asked = env::var("OPENSTACK").unwrap_or_default();
    if asked.is_empty() {
        println!(
            "openstack: skipped. It installs and starts real services, as root: OPENSTACK=1 (or smoke) asks for it"
        );
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> = table::SCENARIOS
        .iter()
        .filter(|scenario| match (wanted.is_empty(), asked.as_str()) {
            (false, _) => wanted.iter().any(|name| name == scenario.name),
            (true, "smoke") => SMOKE.contains(&scenario.name),
            (true, _) => true,
        })
        .collect();
    let many = wanted.iter().any(|name| name == MANY_PROJECTS) || wanted.is_empty() && asked != "smoke";
    if chosen.is_empty() && !many {
        eprintln!("openstack: no scenario of this name; there are:");
        let names = table::SCENARIOS.iter().map(|scenario| scenario.name);
        names.chain([MANY_PROJECTS]).for_each(|name| eprintln!("  {name}"));
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Runtime::new().unwrap().block_on(play(&chosen, many)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("openstack: cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(scenarios: &[&'static Scenario], many_projects: bool) -> anyhow::Result<bool> {
    let mut world = World::start().await?;
    let mut reports = Vec::new();
    for scenario in scenarios {
        println!("{}: {}", scenario.name, scenario.what);
        let report = run::run(&mut world, scenario).await;
        println!("{report}");
        reports.push(report);
    }
    println!("\n| scenario | verdict right? | seconds until told |\n| --- | --- | --- |");
    reports.iter().for_each(|report| println!("{}", report.row()));
    let many = if many_projects { world.many_projects().await } else { Ok(()) };
    if let Err(error) = &many {
        println!("{MANY_PROJECTS}: {error:#}\nthe log: {}", world.keep_log(MANY_PROJECTS).display());
    }
    world.end().await;
    Ok(many.is_ok() && reports.iter().all(|report| report.wrong.is_empty()))
}
