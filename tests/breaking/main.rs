//! Kubernetes and the machine break, one fault a test, on a real control plane: docs/chaos.md.
//!
//! The tests mostly wait. So each lane has a thread, and they do not share the test harness's threads, of which there is
//! one for each processor. `cargo test --test breaking -- PART` runs the tests whose names contain the part.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../cluster/account.rs"]
mod account;
mod api_server;
mod definition;
#[allow(dead_code)]
#[path = "../cluster/lab.rs"]
mod lab;
mod lease;
mod machine;
mod namespace;
mod objects;
mod stage;
#[allow(dead_code)]
#[path = "../gitops/verdict.rs"]
mod verdict;
#[allow(unused_imports)]
#[path = "../cluster/witness.rs"]
mod witness;
mod writes;

use std::{
    env,
    pin::Pin,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime, time::timeout};

/// No test takes so long.
const LONGEST: Duration = Duration::from_secs(240);

struct Scene {
    name: &'static str,
    play: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

macro_rules! scenes {
    ($($module:ident::$name:ident),+ $(,)?) => {
        &[$(Scene { name: concat!(stringify!($module), "::", stringify!($name)), play: || Box::pin($module::$name()) }),+]
    };
}

/// The tests of a lane run one after the other. The longest are first.
const LANES: [&[Scene]; 10] = [
    scenes![api_server::is_killed, api_server::is_frozen, api_server::loses_its_etcd],
    scenes![definition::is_deleted_and_created_again, definition::is_replaced_by_an_older_and_a_newer_one],
    scenes![machine::has_its_clock_set],
    scenes![machine::has_no_dns_and_no_disk, objects::a_tenant_is_replaced_in_mid_pass],
    scenes![objects::the_secret_is_deleted_and_created_again],
    scenes![lease::has_a_dead_holder, lease::is_stolen, lease::is_deleted],
    scenes![writes::killed_between_event_and_status, writes::killed_between_status_and_next_pass],
    scenes![namespace::is_deleted_and_created_again, writes::events_are_forbidden],
    scenes![writes::too_many_requests, writes::a_watch_expires],
    scenes![writes::a_status_conflicts],
];

fn play(scene: &Scene) -> bool {
    let (play, began) = (scene.play, Instant::now());
    let playing = thread::Builder::new().name(scene.name.to_owned()).spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(LONGEST, play()).await.expect("it does not end") });
    });
    let passed = playing.unwrap().join().is_ok();
    println!("{} ... {} in {:.1} s", scene.name, if passed { "ok" } else { "FAILED" }, began.elapsed().as_secs_f64());
    passed
}

fn main() -> ExitCode {
    let parts: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |scene: &&Scene| parts.is_empty() || parts.iter().any(|part| scene.name.contains(part));
    if env::args().any(|argument| argument == "--list") {
        LANES.iter().copied().flatten().filter(chosen).for_each(|scene| println!("{}: test", scene.name));
        return ExitCode::SUCCESS;
    }
    let lanes = LANES.map(|lane| {
        let chosen: Vec<_> = lane.iter().filter(chosen).collect();
        thread::spawn(move || chosen.into_iter().filter(|scene| !play(scene)).count())
    });
    let failed: usize = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    println!("breaking: {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
