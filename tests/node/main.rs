//! The operator as it is shipped: its image, installed by its chart, in a real one-node Kubernetes with a real OpenStack
//! beside it. docs/node-tests.md says how to run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod calls;
#[path = "../chart/can_i.rs"]
mod can_i;
mod follow;
mod machine;
mod openstack;
mod process;
mod scenes;
mod world;

use std::{env, process::ExitCode, time::Instant};

use scenes::{SCENES, Scene};
use world::World;

/// Set for the part that runs in the node's network.
const INSIDE: &str = "NODE_INSIDE";

fn main() -> ExitCode {
    let wanted: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    // Test runners ask for a list first.
    if env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let asked = env::var("NODE").unwrap_or_default();
    if asked.is_empty() {
        println!("node: skipped. It starts a real Kubernetes node, as root: NODE=1 (or smoke) asks for it");
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> = SCENES
        .iter()
        .filter(|scene| match (wanted.is_empty(), asked.as_str()) {
            // Nothing can be seen without the first.
            (false, _) => scene.name == SCENES[0].name || wanted.iter().any(|name| name == scene.name),
            (true, "smoke") => scene.smoke,
            (true, _) => true,
        })
        .collect();
    let inside = env::var_os(INSIDE).is_some();
    let done =
        if inside { tokio::runtime::Runtime::new().unwrap().block_on(play(&chosen)) } else { machine::run(&wanted) };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("node: cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(scenes: &[&Scene]) -> anyhow::Result<bool> {
    let mut world = World::new().await?;
    let mut failed = Vec::new();
    for scene in scenes {
        println!("\n{}: {}", scene.name, scene.what);
        let began = Instant::now();
        let done = (scene.play)(&mut world).await;
        let took = began.elapsed().as_secs_f64();
        match done {
            Ok(()) => println!("{}: right, {took:.1} s", scene.name),
            Err(error) => {
                println!("{}: WRONG after {took:.1} s: {error:#}", scene.name);
                world.tell_all();
                failed.push(scene.name);
                // The rest is about what this one installs.
                if scene.name == SCENES[0].name {
                    break;
                }
            }
        }
    }
    world.print_figures();
    if !failed.is_empty() {
        println!("node: FAILED: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}
