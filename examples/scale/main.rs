//! Measures the operator with many CloudTenants: `cargo run --release --example scale -- --tenants 10000`.
//!
//! The program runs as its ServiceAccount in a real control plane, against simulated clouds in this process. Figures of
//! one run are comparable with each other; times of different machines, or of a machine with other work, are not.
//! docs/scaling.md explains them.

mod figures;
mod scene;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use figures::Snapshot;
use scene::Scene;
use testkit::operator::{Account, Operator, Right};
use tokio::time::{sleep, timeout};

const ACCOUNT: Account<'_> = Account { namespace: "cloudtenant-system", name: "cloudtenant-operator" };
const LAST_RIGHT: Right<'_> = Right { verb: "create", group: "events.k8s.io", resource: "events" };
/// Intervals that the second part of a run measures, after one interval for the end of the first observations.
const INTERVALS: u32 = 3;

/// Measures the operator with many CloudTenants.
#[derive(Debug, Parser)]
struct Arguments {
    /// CloudTenants, all in one namespace.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    tenants: u32,
    /// Secrets, each with another user.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    credentials: u32,
    /// Clouds. The users are spread over them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    clouds: u32,
    /// The number of these clouds that accept logins and then do not answer.
    #[arg(long, default_value_t = 0)]
    sick: u32,
    /// `spec.interval`, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(10..))]
    interval: u32,
    /// How late the clouds answer, in milliseconds.
    #[arg(long, default_value_t = 0)]
    latency: u32,
    /// The longest wait until all CloudTenants of clouds that answer are Ready, in seconds.
    #[arg(long, default_value_t = 600)]
    limit: u32,
    /// The operator's program. It is built in the release profile by default.
    #[arg(long)]
    program: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.sick < arguments.clouds, "at least one cloud has to answer");
    let program = arguments.program.clone().map_or_else(build, Ok)?;
    let scene = Scene::create(&arguments).await?;
    println!("{}", scene.description());
    let bare = scene.bare_patches().await?;
    println!("bare patches of a status        {bare:>10.0} a second");

    let before = Snapshot::of_api_server(&scene).await?;
    let began = Instant::now();
    let environment = [("WATCH_NAMESPACE", scene.namespace.as_str())];
    let operator = Operator::start(&scene.control_plane, &program, ACCOUNT, &environment).await?;
    let limit = Duration::from_secs(arguments.limit.into());
    timeout(limit, scene.until_ready()).await.context("not all are Ready in time")??;
    let took = began.elapsed().as_secs_f64();
    let ready = Snapshot::take(&scene, &operator).await?;
    let well = f64::from(scene.well());
    println!("all Ready after                 {took:>10.1} s");
    println!("of the rate of bare patches     {:>10.2}", well / took / bare);
    ready.print_since(&before, well);

    let interval = Duration::from_secs(arguments.interval.into());
    sleep(interval).await;
    scene.forget_requests();
    let before = Snapshot::take(&scene, &operator).await?;
    sleep(interval * INTERVALS).await;
    let after = Snapshot::take(&scene, &operator).await?;
    println!("then, in {INTERVALS} intervals of {interval:?}:");
    after.print_since(&before, well);
    scene.print_lag(interval);
    let (status, took) = operator.terminate().await?;
    println!("stopped after                   {:>10.2} s, {status}", took.as_secs_f64());
    Ok(())
}

/// Builds the operator beside this program. Returns its path.
fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--bin", "cloudtenant-operator"];
    let status = Command::new(cargo).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    ensure!(status.success(), "the operator was not built");
    // This program is in target/PROFILE/examples.
    let target = env::current_exe()?.ancestors().nth(3).map(Path::to_owned).context("no target directory")?;
    Ok(target.join("release/cloudtenant-operator"))
}
