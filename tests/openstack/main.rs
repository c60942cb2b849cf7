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
use world::{MANY_PROJECTS, TENANT_SETS, TENANT_SETS_PRUNE, World};

/// What one run for every change can afford.
const SMOKE: [&str; 2] = ["engine-killed", "tenant-without-servers"];

/// Scenarios that are not in the table, because they are of more than one tenant.
const SPECIAL: [&str; 3] = [TENANT_SETS, TENANT_SETS_PRUNE, MANY_PROJECTS];

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
    let special: Vec<_> = SPECIAL
        .into_iter()
        .filter(|special| wanted.iter().any(|name| name == special) || wanted.is_empty() && asked != "smoke")
        .collect();
    if chosen.is_empty() && special.is_empty() {
        eprintln!("openstack: no scenario of this name; there are:");
        let names = table::SCENARIOS.iter().map(|scenario| scenario.name);
        names.chain(SPECIAL).for_each(|name| eprintln!("  {name}"));
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Runtime::new().unwrap().block_on(play(&chosen, &special)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("openstack: cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(scenarios: &[&'static Scenario], special: &[&'static str]) -> anyhow::Result<bool> {
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
    let mut all_right = true;
    for name in special {
        println!("\n{name}");
        let ended = match *name {
            TENANT_SETS => world.tenant_sets().await,
            TENANT_SETS_PRUNE => world.tenant_sets_prune().await,
            _ => world.many_projects().await,
        };
        if let Err(error) = &ended {
            println!("{name}: {error:#}\nthe log: {}", world.keep_log(name).display());
        }
        all_right &= ended.is_ok();
    }
    world.end().await;
    Ok(all_right && reports.iter().all(|report| report.wrong.is_empty()))
}
